//! What was compared with the store not long ago, so that a change of an object's status doesn't lead to the comparison once more.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// So many are kept without looking for old ones.
const ROOM: usize = 4096;

/// Objects by uid, as which they were looked at, and when.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    seen: Mutex<HashMap<String, (String, Instant)>>,
}

impl Lately {
    /// Whether it was looked at as this within that time.
    pub(crate) fn seen(&self, uid: &str, state: &str, within: Duration) -> bool {
        self.seen
            .lock()
            .get(uid)
            .is_some_and(|(before, when)| before == state && when.elapsed() < within)
    }

    /// It was looked at as this, now.
    pub(crate) fn note(&self, uid: &str, state: String, within: Duration) {
        let mut seen = self.seen.lock();
        if seen.len() > ROOM {
            seen.retain(|_, (_, when)| when.elapsed() < within);
        }
        seen.insert(uid.to_owned(), (state, Instant::now()));
    }

    /// It has to be looked at anew.
    pub(crate) fn forget(&self, uid: &str) {
        self.seen.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_seen_as_it_was_and_for_a_while() {
        let lately = Lately::default();
        let long = Duration::from_hours(1);
        assert!(!lately.seen("u", "a", long));
        lately.note("u", "a".to_owned(), long);
        assert!(lately.seen("u", "a", long));
        assert!(!lately.seen("u", "b", long));
        assert!(!lately.seen("u", "a", Duration::ZERO));
        lately.forget("u");
        assert!(!lately.seen("u", "a", long));
    }
}
