//! What expires when: the rules of a bucket, and what they say of one object, version or upload. No I/O, and no clock.

/// The rules of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// In the order in which they were given.
    pub rules: Vec<LifecycleRule>,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleRule {
    /// Its name.
    pub id: String,
    /// Whether it counts.
    pub is_enabled: bool,
    /// Which objects it is about.
    pub filter: LifecycleFilter,
    /// What becomes of current versions, and of delete markers that hide nothing.
    pub expiration: Option<Expiration>,
    /// What becomes of noncurrent versions.
    pub noncurrent: Option<NoncurrentExpiration>,
    /// After how many days uploads that are not completed are given up.
    pub abort_uploads_after_days: Option<u32>,
}

/// In which form a filter was given, and is given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FilterForm {
    /// A prefix of the rule itself, as of old.
    Prefix,
    /// A filter with one condition or none.
    #[default]
    One,
    /// A filter with several conditions, all of which must hold.
    All,
}

/// Which objects a rule is about: those for which all of these hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleFilter {
    /// How it was given.
    pub form: FilterForm,
    /// What keys begin with.
    pub prefix: Option<String>,
    /// Tags that objects have, among others.
    pub tags: Vec<(String, String)>,
    /// Objects have more bytes than this.
    pub larger_than: Option<u64>,
    /// Objects have fewer bytes than this.
    pub smaller_than: Option<u64>,
}

/// What becomes of current versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiration {
    /// They expire so many days after they were written.
    AfterDays(u32),
    /// They expire from this time on, milliseconds since the Unix epoch.
    OnDate(u64),
    /// They stay; delete markers that hide nothing go, or not.
    DeleteMarkers(bool),
}

/// What becomes of noncurrent versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoncurrentExpiration {
    /// They expire so many days after something newer took their place.
    pub days: u32,
    /// Only where so many noncurrent versions are newer.
    pub newer_versions: Option<u32>,
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub(in crate::objects) struct Subject<'a> {
    pub(in crate::objects) key: &'a str,
    pub(in crate::objects) size: u64,
    pub(in crate::objects) tags: &'a [(String, String)],
}

/// How long a day is, and when one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calendar {
    day_millis: u64,
}

impl Calendar {
    /// Days of so many milliseconds, counted from the Unix epoch.
    pub(crate) fn new(day_millis: u64) -> Self {
        Self {
            day_millis: day_millis.max(1),
        }
    }

    /// Which day it is.
    pub(crate) fn day(self, unix_millis: u64) -> u64 {
        unix_millis / self.day_millis
    }

    /// The first midnight at which `days` have gone since `from`.
    fn due(self, from: u64, days: u32) -> u64 {
        let age = u64::from(days).saturating_mul(self.day_millis);
        let days = from.saturating_add(age).div_ceil(self.day_millis);
        days.saturating_mul(self.day_millis)
    }
}

impl LifecycleFilter {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        self.matches_key(subject.key)
            && self.larger_than.is_none_or(|least| subject.size > least)
            && self.smaller_than.is_none_or(|most| subject.size < most)
            && self.tags.iter().all(|tag| subject.tags.contains(tag))
    }

    fn matches_key(&self, key: &str) -> bool {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        key.starts_with(prefix)
    }

    /// Whether only the key counts.
    fn is_of_keys(&self) -> bool {
        self.tags.is_empty() && self.larger_than.is_none() && self.smaller_than.is_none()
    }
}

impl Lifecycle {
    fn enabled(&self) -> impl Iterator<Item = &LifecycleRule> {
        self.rules.iter().filter(|rule| rule.is_enabled)
    }

    /// When a current version expires that was written at `modified`, and by which rule: the earliest, and of those the first.
    pub(in crate::objects) fn expiry(
        &self,
        calendar: Calendar,
        subject: &Subject<'_>,
        modified: u64,
    ) -> Option<(u64, &LifecycleRule)> {
        let when = |rule: &LifecycleRule| match rule.expiration? {
            Expiration::AfterDays(days) => Some(calendar.due(modified, days)),
            Expiration::OnDate(date) => Some(date),
            Expiration::DeleteMarkers(_) => None,
        };
        let rules = self.enabled().filter(|rule| rule.filter.matches(subject));
        rules
            .filter_map(|rule| Some((when(rule)?, rule)))
            .min_by_key(|(when, _)| *when)
    }

    /// When an upload that was begun at `initiated` is given up, and by which rule.
    pub(in crate::objects) fn upload_expiry(
        &self,
        calendar: Calendar,
        key: &str,
        initiated: u64,
    ) -> Option<(u64, &LifecycleRule)> {
        let rules = self.enabled().filter(|rule| rule.filter.matches_key(key));
        rules
            .filter_map(|rule| {
                let days = rule.abort_uploads_after_days?;
                Some((calendar.due(initiated, days), rule))
            })
            .min_by_key(|(when, _)| *when)
    }

    /// Whether a noncurrent version goes at `now` that something took the place of at `since`, and that `newer` noncurrent ones are newer
    /// than.
    pub(in crate::objects) fn takes_noncurrent(
        &self,
        calendar: Calendar,
        subject: &Subject<'_>,
        (since, newer): (u64, u64),
        now: u64,
    ) -> bool {
        self.enabled().any(|rule| {
            rule.noncurrent.is_some_and(|expiration| {
                let NoncurrentExpiration {
                    days,
                    newer_versions,
                } = expiration;
                calendar.due(since, days) <= now && newer >= u64::from(newer_versions.unwrap_or(0))
            }) && rule.filter.matches(subject)
        })
    }

    /// Whether a delete marker that hides nothing, made at `modified`, goes at `now`.
    pub(in crate::objects) fn takes_marker(
        &self,
        calendar: Calendar,
        key: &str,
        modified: u64,
        now: u64,
    ) -> bool {
        let subject = Subject {
            key,
            size: 0,
            tags: &[],
        };
        self.enabled().any(|rule| {
            let is_due = match rule.expiration {
                Some(Expiration::DeleteMarkers(go)) => go,
                Some(Expiration::AfterDays(days)) => calendar.due(modified, days) <= now,
                Some(Expiration::OnDate(_)) | None => false,
            };
            is_due && rule.filter.matches(&subject)
        })
    }

    /// Whether any rule looks at tags.
    pub(in crate::objects) fn looks_at_tags(&self) -> bool {
        self.enabled().any(|rule| !rule.filter.tags.is_empty())
    }

    /// Whether any rule is about noncurrent versions.
    pub(in crate::objects) fn is_about_noncurrent(&self) -> bool {
        self.enabled().any(|rule| rule.noncurrent.is_some())
    }

    /// Whether any rule is about objects or versions.
    pub(in crate::objects) fn is_about_objects(&self) -> bool {
        let is_about = |rule: &LifecycleRule| match rule.expiration {
            Some(Expiration::DeleteMarkers(go)) => go,
            Some(Expiration::AfterDays(_) | Expiration::OnDate(_)) => true,
            None => rule.noncurrent.is_some(),
        };
        self.enabled()
            .any(|rule| is_about(rule) || rule.noncurrent.is_some())
    }

    /// Whether any rule is about uploads.
    pub(in crate::objects) fn is_about_uploads(&self) -> bool {
        self.enabled()
            .any(|rule| rule.abort_uploads_after_days.is_some())
    }

    /// What all keys begin with that any rule is about.
    pub(in crate::objects) fn common_prefix(&self) -> &str {
        let mut prefixes = self
            .enabled()
            .map(|rule| rule.filter.prefix.as_deref().unwrap_or_default());
        let Some(first) = prefixes.next() else {
            return "";
        };
        prefixes.fold(first, |common, prefix| {
            let same = common
                .char_indices()
                .zip(prefix.chars())
                .find(|((_, a), b)| a != b);
            let at = same.map_or(common.len().min(prefix.len()), |((at, _), _)| at);
            &common[..at]
        })
    }
}

impl LifecycleRule {
    /// Whether its filter only looks at keys.
    pub fn is_of_keys(&self) -> bool {
        self.filter.is_of_keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60 * 1000;
    const CALENDAR: Calendar = Calendar { day_millis: DAY };
    const HOUR: u64 = DAY / 24;

    fn subject(key: &str) -> Subject<'_> {
        Subject {
            key,
            size: 10,
            tags: &[],
        }
    }

    fn rule(id: &str, prefix: &str, expiration: Expiration) -> LifecycleRule {
        LifecycleRule {
            id: id.to_owned(),
            is_enabled: true,
            filter: LifecycleFilter {
                prefix: Some(prefix.to_owned()),
                ..LifecycleFilter::default()
            },
            expiration: Some(expiration),
            ..LifecycleRule::default()
        }
    }

    #[test]
    fn an_age_in_days_ends_at_the_next_midnight() {
        // AWS's example: 10:30 on the 15th and three days make midnight after the 18th.
        let created = 15 * DAY + 10 * HOUR + HOUR / 2;
        assert_eq!(CALENDAR.due(created, 3), 19 * DAY);
        assert_eq!(CALENDAR.due(15 * DAY + 1, 1), 17 * DAY);
        assert_eq!(CALENDAR.due(15 * DAY, 1), 16 * DAY);
        assert_eq!(CALENDAR.due(u64::MAX, 7), u64::MAX, "never");
    }

    #[test]
    fn the_earliest_rule_counts_and_of_those_the_first() {
        let rules = vec![
            rule("late", "", Expiration::AfterDays(9)),
            rule("a", "a", Expiration::AfterDays(3)),
            rule("again", "", Expiration::AfterDays(3)),
            rule("date", "b", Expiration::OnDate(7)),
            LifecycleRule {
                is_enabled: false,
                ..rule("off", "", Expiration::OnDate(1))
            },
            rule("markers", "", Expiration::DeleteMarkers(true)),
        ];
        let lifecycle = Lifecycle { rules };
        let found = |key| {
            let found = lifecycle.expiry(CALENDAR, &subject(key), 1);
            found.map(|(when, rule)| (when, rule.id.as_str()))
        };
        assert_eq!(found("a/1"), Some((4 * DAY, "a")));
        assert_eq!(found("c"), Some((4 * DAY, "again")));
        assert_eq!(found("b"), Some((7, "date")));
    }

    #[test]
    fn all_conditions_of_a_filter_must_hold() {
        let tags = [
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), String::new()),
        ];
        let filter = LifecycleFilter {
            form: FilterForm::All,
            prefix: Some("x/".to_owned()),
            tags: tags.to_vec(),
            larger_than: Some(10),
            smaller_than: Some(20),
        };
        let more = [&tags[..], &[("c".to_owned(), String::new())]].concat();
        let of = |key, size, tags| Subject { key, size, tags };
        assert!(filter.matches(&of("x/y", 11, &tags)));
        assert!(filter.matches(&of("x/y", 19, &more)));
        assert!(!filter.matches(&of("y", 11, &tags)));
        assert!(!filter.matches(&of("x/y", 10, &tags)));
        assert!(!filter.matches(&of("x/y", 20, &tags)));
        assert!(!filter.matches(&of("x/y", 11, &tags[..1])));
    }

    #[test]
    fn noncurrent_versions_go_when_they_are_old_and_enough_are_newer() {
        let noncurrent = NoncurrentExpiration {
            days: 2,
            newer_versions: Some(3),
        };
        let rules = vec![LifecycleRule {
            is_enabled: true,
            noncurrent: Some(noncurrent),
            ..LifecycleRule::default()
        }];
        let lifecycle = Lifecycle { rules };
        let takes =
            |newer, now| lifecycle.takes_noncurrent(CALENDAR, &subject("k"), (1, newer), now);
        assert!(takes(3, 3 * DAY));
        assert!(!takes(2, 3 * DAY));
        assert!(!takes(9, 3 * DAY - 1));
    }

    #[test]
    fn what_rules_are_about_begins_with_a_common_prefix() {
        let common = |prefixes: &[&str]| {
            let rule = |prefix: &&str| rule("", prefix, Expiration::AfterDays(1));
            let rules = prefixes.iter().map(rule).collect();
            Lifecycle { rules }.common_prefix().to_owned()
        };
        assert_eq!(common(&[]), "");
        assert_eq!(common(&["a/bc"]), "a/bc");
        assert_eq!(common(&["a/bc", "a/bd", "a/b"]), "a/b");
        assert_eq!(common(&["a", ""]), "");
        assert_eq!(common(&["äö", "äü"]), "ä");
        assert_eq!(common(&["x", "y"]), "");
    }
}
