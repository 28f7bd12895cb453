//! Counters of what was served. Labels are bounded by construction: names of operations and of codes are `'static`.

mod exposition;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

pub use exposition::{Exposition, Family, Kind};

/// What a request was, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// The operation; `unknown` for what was refused before it was known.
    pub operation: &'static str,
    /// The code of the error; `OK` where there is none.
    pub code: &'static str,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: AtomicU64,
    client_errors: AtomicU64,
    server_errors: AtomicU64,
    slow_downs: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    answers: Mutex<BTreeMap<Answer, u64>>,
}

/// A reading of the sums of [`Metrics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "RequestCounts"))]
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
    pub fn answered(&self, answer: Answer, status: http::StatusCode) {
        add(&self.requests, 1);
        if status.is_client_error() {
            add(&self.client_errors, 1);
        }
        if status.is_server_error() {
            add(&self.server_errors, 1);
        }
        *self.answers.lock().entry(answer).or_default() += 1;
    }

    /// A request was refused for overload.
    pub fn slowed_down(&self) {
        add(&self.slow_downs, 1);
    }

    /// Bytes of a request's body came in.
    pub fn received(&self, bytes: u64) {
        add(&self.received_bytes, bytes);
    }

    /// Bytes of an answer's body went out.
    pub fn sent(&self, bytes: u64) {
        add(&self.sent_bytes, bytes);
    }

    /// The sums now.
    pub fn counts(&self) -> Counts {
        Counts {
            requests: read(&self.requests),
            client_errors: read(&self.client_errors),
            server_errors: read(&self.server_errors),
            slow_downs: read(&self.slow_downs),
        }
    }

    /// How many requests ended how, in order of operation.
    pub fn answers(&self) -> Vec<(Answer, u64)> {
        let answers = self.answers.lock();
        answers
            .iter()
            .map(|(answer, count)| (*answer, *count))
            .collect()
    }

    /// See [`Metrics::received`].
    pub fn received_bytes(&self) -> u64 {
        read(&self.received_bytes)
    }

    /// See [`Metrics::sent`].
    pub fn sent_bytes(&self) -> u64 {
        read(&self.sent_bytes)
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
