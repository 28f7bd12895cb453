//! When a new key is made, and when the old one goes. The state is on the `BucketAccess`, so that a restart knows it.
//!
//! Two generations of keys count at most: a rotation that is asked for while the one before still overlaps waits until that is over.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::Timestamp;

use crate::controllers::clock::after;

/// Anything new in this annotation of a `BucketAccess` asks for a rotation.
pub const ROTATE: &str = "cosi.larder.dev/rotate";
/// What [`ROTATE`] said when it was last heeded.
pub(crate) const HEEDED: &str = "cosi.larder.dev/rotate-heeded";
/// The generation of the key in the Secret.
pub(crate) const GENERATION: &str = "cosi.larder.dev/key-generation";
/// When it was made.
pub(crate) const ROTATED_AT: &str = "cosi.larder.dev/rotated-at";
/// Until when the key before it counts.
pub(crate) const OVERLAP_UNTIL: &str = "cosi.larder.dev/old-key-until";

/// Of the key of a first grant.
const FIRST: u64 = 1;

/// What is known of an access's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Of the key in the Secret; that of the first grant is 1.
    pub(crate) generation: u64,
    /// When it was made, where it was rotated at all.
    pub(crate) rotated_at: Option<Timestamp>,
    /// Until when the key before it counts.
    pub(crate) overlap_until: Option<Timestamp>,
    /// What was asked for and heeded.
    pub(crate) heeded: Option<String>,
    /// What is asked for.
    pub(crate) asked: Option<String>,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing; `Some`: until then.
    Nothing(Option<Timestamp>),
    /// The key of this generation is made and written to the Secret.
    Rotate(u64),
    /// Keys of earlier generations go.
    Retire,
}

impl Keys {
    /// As annotations say. What can't be read is as if it were not there: at worst a key is made once more.
    pub(crate) fn read(annotations: &BTreeMap<String, String>) -> Self {
        let time = |name| annotations.get(name).and_then(|text| text.parse().ok());
        Self {
            generation: annotations
                .get(GENERATION)
                .and_then(|text| text.parse().ok())
                .unwrap_or(FIRST),
            rotated_at: time(ROTATED_AT),
            overlap_until: time(OVERLAP_UNTIL),
            heeded: annotations.get(HEEDED).cloned(),
            asked: annotations.get(ROTATE).cloned(),
        }
    }

    /// What is to be done, with keys that are made every so often, and the first of them at `since`.
    pub(crate) fn step(&self, every: Option<Duration>, since: Timestamp, now: Timestamp) -> Step {
        if let Some(until) = self.overlap_until {
            return if until <= now {
                Step::Retire
            } else {
                Step::Nothing(Some(until))
            };
        }
        let due = every.map(|every| after(self.rotated_at.unwrap_or(since), every));
        let asked = self.asked.is_some() && self.asked != self.heeded;
        if asked || due.is_some_and(|due| due <= now) {
            return Step::Rotate(self.generation.saturating_add(1));
        }
        Step::Nothing(due)
    }

    /// What the annotations say after a rotation; `null` takes one away.
    pub(crate) fn rotated(&self, now: Timestamp, overlap: Duration) -> serde_json::Value {
        serde_json::json!({
            GENERATION: self.generation.saturating_add(1).to_string(),
            ROTATED_AT: now.to_string(),
            OVERLAP_UNTIL: after(now, overlap).to_string(),
            HEEDED: self.asked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(days: u32) -> Timestamp {
        after(START, DAY * days)
    }

    fn new() -> Keys {
        Keys::read(&BTreeMap::new())
    }

    fn asked(text: &str) -> Keys {
        Keys {
            asked: Some(text.to_owned()),
            ..new()
        }
    }

    #[test]
    fn keys_that_nobody_wants_rotated_stay() {
        assert_eq!(new().step(None, START, at(9999)), Step::Nothing(None));
    }

    #[test]
    fn a_new_annotation_rotates_once() {
        let mut keys = asked("please");
        assert_eq!(keys.step(None, START, START), Step::Rotate(2));
        keys.heeded.clone_from(&keys.asked);
        assert_eq!(keys.step(None, START, START), Step::Nothing(None));
        keys.asked = Some("again".to_owned());
        keys.generation = 7;
        assert_eq!(keys.step(None, START, START), Step::Rotate(8));
        keys.asked = None;
        assert_eq!(keys.step(None, START, START), Step::Nothing(None));
    }

    #[test]
    fn an_interval_counts_from_the_grant_and_then_from_the_last_rotation() {
        let every = Some(DAY * 30);
        let mut keys = new();
        assert_eq!(keys.step(every, START, at(29)), Step::Nothing(Some(at(30))));
        assert_eq!(keys.step(every, START, at(30)), Step::Rotate(2));
        keys.rotated_at = Some(at(31));
        assert_eq!(keys.step(every, START, at(60)), Step::Nothing(Some(at(61))));
    }

    #[test]
    fn the_old_key_counts_until_the_overlap_is_over_and_nothing_is_rotated_before() {
        let mut keys = asked("more");
        keys.overlap_until = Some(at(2));
        assert_eq!(
            keys.step(Some(DAY), START, at(1)),
            Step::Nothing(Some(at(2)))
        );
        assert_eq!(keys.step(Some(DAY), START, at(2)), Step::Retire);
    }

    #[test]
    fn what_is_written_is_read() {
        let written = asked("please").rotated(at(3), DAY);
        let annotations: BTreeMap<String, String> = serde_json::from_value(written).unwrap();
        let keys = Keys::read(&annotations);
        assert_eq!(keys.generation, 2);
        assert_eq!(keys.rotated_at, Some(at(3)));
        assert_eq!(keys.overlap_until, Some(at(4)));
        assert_eq!(keys.heeded.as_deref(), Some("please"));
    }

    #[test]
    fn nonsense_is_as_nothing() {
        let annotations = [GENERATION, ROTATED_AT, OVERLAP_UNTIL]
            .map(|name| (name.to_owned(), "nonsense".to_owned()))
            .into();
        assert_eq!(Keys::read(&annotations), new());
    }
}
