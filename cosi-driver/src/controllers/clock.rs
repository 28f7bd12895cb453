//! Time: that of the wall, as objects have it.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Now, as timestamps of objects have it.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// This much later; the end of time where that is beyond it.
pub(crate) fn after(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| time.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// How long it is until then; nothing where it has passed.
pub(crate) fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_wrap() {
        let start = Timestamp::UNIX_EPOCH;
        let second = Duration::from_secs(1);
        assert_eq!(until(after(start, second), start), second);
        assert_eq!(until(start, after(start, second)), Duration::ZERO);
        assert_eq!(after(start, Duration::MAX), Timestamp::MAX);
    }
}
