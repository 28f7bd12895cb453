//! Failures that tests ask for.

use http::Method;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    failure::Failure,
    request::{Query, Request},
};

/// So many kinds of failure may wait at once.
const MOST: usize = 100;

/// One failure that is to come.
#[derive(Clone, Debug)]
struct Fault {
    /// Empty for all.
    method: String,
    /// A part of the path.
    path: String,
    code: u16,
    times: u64,
}

/// Failures that are to come, and whether watches are to be cut.
#[derive(Debug)]
pub(crate) struct Faults {
    waiting: Mutex<Vec<Fault>>,
    cuts: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            cuts: watch::Sender::new(0),
        }
    }
}

impl Faults {
    /// From a query: `method`, `path` (a part of it), `code` (500), `times` (1).
    pub(crate) fn add(&self, query: &Query) {
        let code = query
            .number("code")
            .and_then(|code| u16::try_from(code).ok())
            .unwrap_or(500);
        self.fail(
            query.text("method"),
            query.text("path"),
            code,
            query.number("times").unwrap_or(1),
        );
    }

    pub(crate) fn fail(&self, method: &str, path: &str, code: u16, times: u64) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < MOST {
            waiting.push(Fault {
                method: method.to_owned(),
                path: path.to_owned(),
                code,
                times,
            });
        }
    }

    /// Fails where a failure waits for such a request.
    pub(crate) fn meet(&self, request: &Request) -> Result<(), Failure> {
        let mut waiting = self.waiting.lock();
        let fits = |fault: &Fault| {
            (fault.method.is_empty()
                || Method::from_bytes(fault.method.as_bytes())
                    .is_ok_and(|method| method == request.method))
                && request.path.contains(&fault.path)
        };
        let Some(at) = waiting.iter().position(fits) else {
            return Ok(());
        };
        let Some(fault) = waiting.get_mut(at) else {
            return Ok(());
        };
        fault.times = fault.times.saturating_sub(1);
        let failure = as_failure(fault.code);
        if fault.times == 0 {
            waiting.remove(at);
        }
        Err(failure)
    }

    /// Ends all watches.
    pub(crate) fn disconnect(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    pub(crate) fn cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }
}

fn as_failure(code: u16) -> Failure {
    let reason = match code {
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    Failure::new(code, reason, "a failure that a test asked for")
}
