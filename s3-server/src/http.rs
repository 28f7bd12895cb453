//! The HTTP side: connections in, requests through [`crate::op`], answers out.
//!
//! Invariants: connections, requests, header bytes and waiting are bounded; a client that neither
//! sends nor reads is cut off after [`Deadlines::stall`]; no storage logic lives here.

mod body;
mod client_address;
mod connection;
mod incoming;
mod listener;
#[cfg(test)]
mod manual_clock;
mod request_id;
mod service;
mod stall;
mod watched;

use std::time::Duration;

pub use body::{Body, BodyError, Passage};
pub use client_address::{Client, Peer, TrustedProxies};
pub use incoming::{Incoming, IncomingError};
pub use listener::{Limits, Listener, Socket, Stopper, stopper};
pub use request_id::{RequestId, RequestIds};
pub use service::Service;
pub(crate) use service::Trace;

/// What every operation answers with.
pub type Response = http::Response<Body>;

/// How long clients may take. What they take for too long costs them their connection, never the server's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// How long a client may send or take less than [`STALL_MIN_BYTES`] while the server waits for it.
    pub stall: Duration,
    /// How long a connection may take to send a request's headers, idle time before them included.
    pub header: Duration,
}

/// See [`Deadlines::stall`].
pub const STALL_MIN_BYTES: usize = 16 << 10;
/// Bytes of request line and headers.
pub const MAX_HEADER_BYTES: usize = 32 << 10;
