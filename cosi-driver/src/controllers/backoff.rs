//! How soon an object is tried again: 100 ms, doubling with each failure in a row, up to a minute.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_mins(1);
/// Entries that nobody came back to, such as those of deleted objects, go after this.
const FORGOTTEN: Duration = Duration::from_mins(10);
/// So many are kept without looking for forgotten ones.
const ROOM: usize = 1024;

/// Failures in a row by object.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: Mutex<HashMap<String, (u32, Instant)>>,
}

impl Backoff {
    /// It failed once more: try again after this.
    pub(crate) fn failed(&self, uid: &str) -> Duration {
        let now = Instant::now();
        let mut failures = self.failures.lock();
        if failures.len() > ROOM {
            failures.retain(|_, (_, last)| now.duration_since(*last) < FORGOTTEN);
        }
        let (count, last) = failures.entry(uid.to_owned()).or_insert((0, now));
        let pause = FIRST.saturating_mul(1 << (*count).min(16)).min(LONGEST);
        (*count, *last) = (count.saturating_add(1), now);
        pause
    }

    /// It went well.
    pub(crate) fn done(&self, uid: &str) {
        self.failures.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_start_anew_after_a_success() {
        let backoff = Backoff::default();
        let pauses: Vec<_> = (0..12).map(|_| backoff.failed("u").as_millis()).collect();
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[11], 60_000);
        assert_eq!(backoff.failed("other").as_millis(), 100);
        backoff.done("u");
        assert_eq!(backoff.failed("u").as_millis(), 100);
    }
}
