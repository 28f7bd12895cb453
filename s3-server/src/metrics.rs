//! Counters of what was served; labels are bounded by operation and class of status.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: AtomicU64,
    client_errors: AtomicU64,
    server_errors: AtomicU64,
    slow_downs: AtomicU64,
}

/// A reading of [`Metrics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Requests answered.
    pub requests: u64,
    /// Of these, with a status of 400 to 499.
    pub client_errors: u64,
    /// Of these, with a status of 500 or more.
    pub server_errors: u64,
    /// Requests refused because too many were in progress.
    pub slow_downs: u64,
}

impl Metrics {
    /// A request was answered.
    pub fn answered(&self, status: http::StatusCode) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if status.is_client_error() {
            self.client_errors.fetch_add(1, Ordering::Relaxed);
        }
        if status.is_server_error() {
            self.server_errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request was refused for overload.
    pub fn slowed_down(&self) {
        self.slow_downs.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            requests: read(&self.requests),
            client_errors: read(&self.client_errors),
            server_errors: read(&self.server_errors),
            slow_downs: read(&self.slow_downs),
        }
    }
}
