//! The body of a request as frames of bytes, with a deadline on a client that stops sending.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body as _;
use larder_storage::clock::Clock;

use super::stall::StallGuard;

/// What a body could not be read for.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// The client sent too little for too long.
    #[error("the client stopped sending")]
    Stalled,
    /// The connection broke, or its framing is wrong.
    #[error("the connection failed")]
    Connection(#[source] hyper::Error),
}

/// The body of a request. Nothing is read (and no `100 Continue` sent) before [`Incoming::next`].
#[derive(Debug)]
pub struct Incoming {
    body: hyper::body::Incoming,
    guard: StallGuard,
    /// Whether a body that has bytes was asked for: then hyper has sent `100 Continue` if one was expected.
    asked: bool,
    received_bytes: u64,
}

impl Incoming {
    /// The body, of a client that may stall for `timeout` on `clock`.
    pub fn new(body: hyper::body::Incoming, clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        Self {
            body,
            guard: StallGuard::new(clock, timeout),
            asked: false,
            received_bytes: 0,
        }
    }

    /// Whether a client that waits for `100 Continue` got it: bytes were asked for, and there are some.
    pub fn has_continued(&self) -> bool {
        self.asked
    }

    /// Bytes that came so far.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Whether there is no body at all, or all of it was read.
    pub fn is_end(&self) -> bool {
        self.body.is_end_stream()
    }

    /// The next bytes; `None` after the last. HTTP trailers are skipped.
    ///
    /// # Errors
    /// [`IncomingError`]: the request failed, the connection is of no more use.
    pub async fn next(&mut self) -> Option<Result<Bytes, IncomingError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, IncomingError>>> {
        self.asked |= !self.body.is_end_stream();
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                ready!(self.guard.poll_stalled(cx));
                return Poll::Ready(Some(Err(IncomingError::Stalled)));
            };
            match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(IncomingError::Connection(error))));
                }
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.guard.moved(bytes.len());
                        self.received_bytes += bytes.len() as u64;
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
            }
        }
    }
}
