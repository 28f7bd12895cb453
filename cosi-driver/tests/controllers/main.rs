//! The controllers against an API server in this process, and a store in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, also in what they share"
)]

mod auto;
mod claims;
mod crashes;
mod orphans;
mod repair;
mod rights;
mod rotation;
mod secrets;
mod world;
