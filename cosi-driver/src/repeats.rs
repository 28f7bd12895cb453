//! What is refused again and again for the same reason: told at once, then after growing intervals with how often it was heard in between, so that one claim that can't
//! be, or one caller that asks every second, doesn't fill the log.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// After what was told for the first time, it is not told again before this; doubled each time.
const FIRST: Duration = Duration::from_mins(1);
/// Nothing is kept quiet for longer.
const LONGEST: Duration = Duration::from_hours(1);
/// Of subjects. Beyond it the one goes that was not heard of for longest: it may be told once more than it should.
const ROOM: usize = 4096;
/// Of texts of one subject, which change from one to the other and back.
const TEXTS: usize = 4;

/// Refusals that were told. What is kept of each is a few numbers, whatever its text.
#[derive(Debug, Default)]
pub struct Repeats {
    hasher: RandomState,
    subjects: Mutex<HashMap<u64, Vec<Told>>>,
}

#[derive(Debug)]
struct Told {
    text: u64,
    /// When it was told, and for how long it is not told again.
    since: Instant,
    quiet: Duration,
    last_heard: Instant,
    kept_back: u64,
}

impl Repeats {
    /// A subject is refused for this reason once more. `Some`: it is to be told, with how often it was not since the last time.
    pub fn heard(&self, subject: &str, text: &str) -> Option<u64> {
        self.heard_at(subject, text, Instant::now())
    }

    /// All is well with a subject: what comes next is news.
    pub fn forget(&self, subject: &str) {
        self.subjects.lock().remove(&self.hasher.hash_one(subject));
    }

    fn heard_at(&self, subject: &str, text: &str, now: Instant) -> Option<u64> {
        let (subject, text) = (self.hasher.hash_one(subject), self.hasher.hash_one(text));
        let mut subjects = self.subjects.lock();
        if subjects.len() >= ROOM && !subjects.contains_key(&subject) {
            make_room(&mut subjects);
        }
        let told = subjects.entry(subject).or_default();
        if let Some(before) = told.iter_mut().find(|it| it.text == text) {
            return before.again(now);
        }
        if told.len() >= TEXTS {
            told.remove(0);
        }
        told.push(Told::first(text, now));
        Some(0)
    }
}

impl Told {
    fn first(text: u64, now: Instant) -> Self {
        Self {
            text,
            since: now,
            quiet: FIRST,
            last_heard: now,
            kept_back: 0,
        }
    }

    fn again(&mut self, now: Instant) -> Option<u64> {
        self.last_heard = now;
        if now.duration_since(self.since) < self.quiet {
            self.kept_back = self.kept_back.saturating_add(1);
            return None;
        }
        self.since = now;
        self.quiet = (self.quiet * 2).min(LONGEST);
        Some(std::mem::take(&mut self.kept_back))
    }
}

fn make_room(subjects: &mut HashMap<u64, Vec<Told>>) {
    let last = |told: &Vec<Told>| told.iter().map(|it| it.last_heard).max();
    let longest_ago = subjects.iter().min_by_key(|(_, told)| last(told));
    if let Some(subject) = longest_ago.map(|(subject, _)| *subject) {
        subjects.remove(&subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_is_told_at_once_and_then_after_growing_intervals_with_a_count() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let told: Vec<(u32, u64)> = (0..=20_000)
            .filter_map(|second| {
                let count = repeats.heard_at("claim", "no class", start + SECOND * second)?;
                Some((second, count))
            })
            .collect();
        let expected = [
            (0, 0),
            (60, 59),
            (180, 119),
            (420, 239),
            (900, 479),
            (1860, 959),
            (3780, 1919),
            (7380, 3599),
            (10_980, 3599),
            (14_580, 3599),
            (18_180, 3599),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn other_reasons_other_subjects_and_what_was_well_in_between_are_news() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        let heard = |subject: &str, text: &str| repeats.heard_at(subject, text, now).is_some();
        assert!(heard("a", "no class") && !heard("a", "no class"));
        assert!(heard("a", "no bucket") && heard("b", "no class"));
        // Neither of two that alternate is told again and again.
        assert!(!heard("a", "no class") && !heard("a", "no bucket"));
        repeats.forget("a");
        assert!(heard("a", "no class") && !heard("b", "no class"));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        for number in 0..3 * ROOM {
            let now = start + Duration::from_millis(u64::try_from(number).unwrap());
            assert!(repeats.heard_at(&number.to_string(), "no", now).is_some());
            // Whoever is heard of keeps its place.
            let first = repeats.heard_at("0", "no", now);
            assert_eq!(first, None, "{number}");
            for text in 0..2 * TEXTS {
                repeats.heard_at("talker", &text.to_string(), now);
            }
        }
        let subjects = repeats.subjects.lock();
        assert_eq!(subjects.len(), ROOM);
        assert!(subjects.values().all(|told| told.len() <= TEXTS));
    }
}
