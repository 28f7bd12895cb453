//! Which of the events that wait may be sent now: of each key one at a time, in order.
//!
//! A *lane* has the events of a key, or of a few keys that happen to share it.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    time::Duration,
};

use super::letter::Letter;

/// Events that are looked at together.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Numbers of all that are here, and of those that were sent and are not settled yet.
    known: HashSet<u64>,
    by_id: HashMap<u64, Lane>,
    /// Lanes whose first event may be sent.
    ready: VecDeque<u64>,
    /// Lanes whose first event failed, by when it may be sent again.
    paused: BTreeSet<(Duration, u64)>,
}

#[derive(Debug, Default)]
struct Lane {
    letters: VecDeque<Letter>,
    /// How often the first one was sent in vain.
    attempts: u32,
}

impl Lanes {
    /// How many are here, or not settled yet.
    pub(super) fn known(&self) -> usize {
        self.known.len()
    }

    /// Adds an event behind those of its key that are here, unless it is here already.
    pub(super) fn add(&mut self, letter: Letter) {
        if !self.known.insert(letter.number) {
            return;
        }
        let id = letter.lane();
        let lane = self.by_id.entry(id).or_default();
        lane.letters.push_back(letter);
        if lane.letters.len() == 1 {
            self.ready.push_back(id);
        }
    }

    /// Whether [`Self::take`] has something to give.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// An event to send now; its lane waits for [`Self::sent`] or [`Self::pause`].
    pub(super) fn take(&mut self) -> Option<Letter> {
        let id = self.ready.pop_front()?;
        self.by_id.get(&id)?.letters.front().cloned()
    }

    /// The first event of its lane has arrived.
    pub(super) fn sent(&mut self, id: u64) {
        let Some(lane) = self.by_id.get_mut(&id) else {
            return;
        };
        lane.letters.pop_front();
        lane.attempts = 0;
        if lane.letters.is_empty() {
            self.by_id.remove(&id);
        } else {
            self.ready.push_back(id);
        }
    }

    /// The first event of its lane has not arrived. How often it has not, all in all.
    pub(super) fn attempts(&mut self, id: u64) -> u32 {
        let Some(lane) = self.by_id.get_mut(&id) else {
            return 1;
        };
        lane.attempts = lane.attempts.saturating_add(1);
        lane.attempts
    }

    /// It is sent again then.
    pub(super) fn pause(&mut self, id: u64, until: Duration) {
        self.paused.insert((until, id));
    }

    /// When the next lane ends its pause.
    pub(super) fn wakes(&self) -> Option<Duration> {
        self.paused.first().map(|(until, _)| *until)
    }

    /// Ends pauses that are over.
    pub(super) fn wake(&mut self, now: Duration) {
        while let Some((until, id)) = self.paused.pop_first() {
            if until > now {
                self.paused.insert((until, id));
                return;
            }
            self.ready.push_back(id);
        }
    }

    /// Ends all pauses: what they were for is over.
    pub(super) fn wake_all(&mut self) {
        let paused = std::mem::take(&mut self.paused);
        self.ready.extend(paused.into_iter().map(|(_, id)| id));
    }

    /// These are gone for good.
    pub(super) fn settled(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.known.remove(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(number: u64, key: &str) -> Letter {
        Letter::for_tests(number, key)
    }

    #[test]
    fn of_a_key_one_is_sent_at_a_time_and_in_order() {
        let mut lanes = Lanes::default();
        for (number, key) in [(1, "a"), (2, "a"), (3, "b"), (2, "a")] {
            lanes.add(letter(number, key));
        }
        assert_eq!(lanes.known(), 3);
        let first = lanes.take().unwrap();
        assert_eq!(lanes.take().unwrap().number, 3);
        assert!(
            lanes.take().is_none(),
            "the second of a key waits for the first"
        );
        lanes.sent(first.lane());
        assert_eq!((first.number, lanes.take().unwrap().number), (1, 2));
        lanes.settled(&[1]);
        assert_eq!(lanes.known(), 2);
    }

    #[test]
    fn what_failed_holds_up_its_own_key_only() {
        let mut lanes = Lanes::default();
        lanes.add(letter(1, "a"));
        lanes.add(letter(2, "a"));
        let first = lanes.take().unwrap();
        assert_eq!(lanes.attempts(first.lane()), 1);
        lanes.pause(first.lane(), Duration::from_secs(5));
        lanes.add(letter(3, "b"));
        assert_eq!(lanes.take().unwrap().number, 3);
        lanes.wake(Duration::from_secs(4));
        assert!(!lanes.has_ready());
        assert_eq!(lanes.wakes(), Some(Duration::from_secs(5)));
        lanes.wake(Duration::from_secs(5));
        assert_eq!(lanes.take().unwrap().number, 1, "the same one again");
        assert_eq!(lanes.attempts(first.lane()), 2);
        lanes.pause(first.lane(), Duration::from_secs(50));
        lanes.wake_all();
        assert_eq!(lanes.take().unwrap().number, 1);
    }

    #[test]
    fn what_was_sent_and_is_not_settled_is_not_sent_again() {
        let mut lanes = Lanes::default();
        lanes.add(letter(1, "a"));
        let sent = lanes.take().unwrap();
        lanes.sent(sent.lane());
        lanes.add(letter(1, "a"));
        assert!(lanes.take().is_none());
    }
}
