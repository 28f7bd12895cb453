//! What a bucket's configuration means: which events go to which target.

use crate::xml::parse::{Notification, NotificationConfiguration, NotificationKind};

/// Events that a configuration may name; those that end in `*` stand for all that begin as they do. Some never happen here, since there is no
/// replication, no restoring and no moving between storage classes.
const EVENTS: &[&str] = &[
    "s3:IntelligentTiering",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:LifecycleTransition",
    "s3:ObjectAcl:Put",
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Put",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:ObjectRestore:Post",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Delete",
    "s3:ObjectTagging:Put",
    "s3:ReducedRedundancyLostObject",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationNotTracked",
    "s3:Replication:OperationReplicatedAfterThreshold",
];

/// The events of one configuration that go to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The configuration's name.
    pub(crate) id: String,
    /// The target's name.
    pub(crate) target: String,
    events: Vec<&'static str>,
    prefix: String,
    suffix: String,
}

/// The rules of a bucket. Of those that are checked one at most is about an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(Vec<Rule>);

/// Why a configuration can't be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadRule {
    /// No such event.
    Event(String),
    /// Not the ARN of a destination of its kind.
    Arn(NotificationKind, String),
    /// Neither prefix nor suffix.
    FilterName(String),
    /// A prefix or suffix is there twice.
    FilterTwice(&'static str),
    /// A prefix or suffix of more than 1,024 bytes.
    FilterLength,
    /// It may be about the same event as another one.
    Overlap,
}

const MAX_FILTER_BYTES: usize = 1024;

impl Rules {
    /// The rules of what a bucket keeps. What can't be understood was written by a later release, and is left out.
    pub(crate) fn of_kept(configuration: &NotificationConfiguration) -> Self {
        let rules = configuration.notifications.iter();
        Self(rules.filter_map(|rule| Rule::of(rule).ok()).collect())
    }

    /// The rules of what a client asks for.
    ///
    /// # Errors
    /// [`BadRule`].
    pub(crate) fn checked(configuration: &NotificationConfiguration) -> Result<Self, BadRule> {
        let rules = configuration.notifications.iter().map(Rule::of);
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        for (at, rule) in rules.iter().enumerate() {
            if rules[..at].iter().any(|other| rule.overlaps(other)) {
                return Err(BadRule::Overlap);
            }
        }
        Ok(Self(rules))
    }

    /// The one that an event of this name about this key goes by.
    pub(crate) fn of_event(&self, event: &str, key: &str) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.is_about(event, key))
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}

impl Rule {
    fn of(notification: &Notification) -> Result<Self, BadRule> {
        let mut rule = Self {
            id: notification.id.clone().unwrap_or_default(),
            target: target_of(notification.kind, &notification.arn)
                .ok_or_else(|| BadRule::Arn(notification.kind, notification.arn.clone()))?
                .to_owned(),
            events: Vec::with_capacity(notification.events.len()),
            prefix: String::new(),
            suffix: String::new(),
        };
        for event in &notification.events {
            let known = EVENTS.iter().find(|known| *known == event);
            rule.events
                .push(known.ok_or_else(|| BadRule::Event(event.clone()))?);
        }
        let (mut prefix, mut suffix) = (None, None);
        for (name, value) in &notification.filter {
            let (slot, name) = match name.to_ascii_lowercase().as_str() {
                "prefix" => (&mut prefix, "prefix"),
                "suffix" => (&mut suffix, "suffix"),
                _ => return Err(BadRule::FilterName(name.clone())),
            };
            if value.len() > MAX_FILTER_BYTES {
                return Err(BadRule::FilterLength);
            }
            if slot.replace(decoded(value)).is_some() {
                return Err(BadRule::FilterTwice(name));
            }
        }
        rule.prefix = prefix.unwrap_or_default();
        rule.suffix = suffix.unwrap_or_default();
        Ok(rule)
    }

    fn is_about(&self, event: &str, key: &str) -> bool {
        self.events.iter().any(|known| covers(known, event))
            && key.starts_with(&self.prefix)
            && key.ends_with(&self.suffix)
    }

    /// Whether there is an event that both might be about.
    fn overlaps(&self, other: &Self) -> bool {
        let of_one_kind = self.events.iter().any(|event| {
            let mut others = other.events.iter();
            others.any(|other| covers(event, other) || covers(other, event))
        });
        let (a, b) = (&self.prefix, &other.prefix);
        let prefixes = a.starts_with(b.as_str()) || b.starts_with(a.as_str());
        let (a, b) = (&self.suffix, &other.suffix);
        let suffixes = a.ends_with(b.as_str()) || b.ends_with(a.as_str());
        of_one_kind && prefixes && suffixes
    }
}

/// Whether `pattern` is the event, or stands for it among others.
fn covers(pattern: &str, event: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => event.starts_with(start),
        None => pattern == event,
    }
}

/// Values of filters are URL-encoded, as keys in events are. What is no such encoding means itself.
fn decoded(value: &str) -> String {
    let spaced = value.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    decoded.map_or_else(|_| value.to_owned(), std::borrow::Cow::into_owned)
}

/// The name of the target that an ARN is of: `arn:aws:sqs:<region>:<account>:<target>`, likewise `sns`, and `lambda` with
/// `function:<target>`; also `MinIO`'s `arn:minio:sqs:<region>:<target>:<type>`, which it uses for all of them.
pub(crate) fn target_of(kind: NotificationKind, arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.split(':').collect();
    let ((NotificationKind::Queue, ["arn", "aws", "sqs", _, _, target])
    | (NotificationKind::Topic, ["arn", "aws", "sns", _, _, target])
    | (NotificationKind::Function, ["arn", "aws", "lambda", _, _, "function", target])
    | (_, ["arn", "minio", "sqs", _, target, _])) = (kind, &parts[..])
    else {
        return None;
    };
    (!target.is_empty()).then_some(*target)
}

/// The region that an ARN says; empty for whichever.
pub(crate) fn region_of(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(events: &[&str], filter: &[(&str, &str)]) -> Notification {
        Notification {
            id: Some("id".to_owned()),
            kind: NotificationKind::Queue,
            arn: "arn:aws:sqs:us-east-1:000000000000:t".to_owned(),
            events: events.iter().map(|&event| event.to_owned()).collect(),
            filter: filter
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    fn checked(notifications: Vec<Notification>) -> Result<Rules, BadRule> {
        Rules::checked(&NotificationConfiguration {
            notifications,
            has_event_bridge: false,
        })
    }

    #[test]
    fn events_are_matched_by_name_prefix_and_suffix() {
        let filter = [("Prefix", "in/"), ("suffix", ".gz")];
        let rules = checked(vec![rule(&["s3:ObjectCreated:*"], &filter)]).unwrap();
        for (event, key, is_about) in [
            ("s3:ObjectCreated:Put", "in/a.gz", true),
            ("s3:ObjectCreated:Copy", "in/.gz", true),
            ("s3:ObjectRemoved:Delete", "in/a.gz", false),
            ("s3:ObjectCreated:Put", "in/a.gzip", false),
            ("s3:ObjectCreated:Put", "out/in/a.gz", false),
        ] {
            let found = rules.of_event(event, key);
            assert_eq!(found.is_some(), is_about, "{event} {key}");
        }
    }

    #[test]
    fn filters_are_url_encoded() {
        let about = |value: &str, key: &str| {
            let rules = checked(vec![rule(&["s3:ObjectCreated:Put"], &[("prefix", value)])]);
            rules
                .unwrap()
                .of_event("s3:ObjectCreated:Put", key)
                .is_some()
        };
        assert!(about("a+b%2Bc/", "a b+c/d") && !about("a+b", "a+b"));
        assert!(about("%C3%A4", "ä") && about("ä", "ä") && about("100%", "100%/x"));
        assert!(about("%FF", "%FF"), "what decodes to no text means itself");
    }

    #[test]
    fn rules_that_may_be_about_one_event_are_refused() {
        let created = ["s3:ObjectCreated:Put"];
        for (a, b, overlap) in [
            (
                rule(&created, &[]),
                rule(&["s3:ObjectCreated:*"], &[]),
                true,
            ),
            (
                rule(&created, &[]),
                rule(&["s3:ObjectCreated:Copy"], &[]),
                false,
            ),
            (
                rule(&created, &[("prefix", "a")]),
                rule(&created, &[("prefix", "ab")]),
                true,
            ),
            (
                rule(&created, &[("prefix", "a")]),
                rule(&created, &[("prefix", "b")]),
                false,
            ),
            (
                rule(&created, &[("prefix", "a")]),
                rule(&created, &[("suffix", "b")]),
                true,
            ),
            (
                rule(&created, &[("prefix", "a"), ("suffix", "x")]),
                rule(&created, &[("prefix", "a"), ("suffix", "y")]),
                false,
            ),
        ] {
            let found = checked(vec![a.clone(), b.clone()]);
            assert_eq!(
                found.err() == Some(BadRule::Overlap),
                overlap,
                "{a:?} {b:?}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(
            checked(vec![rule(&["s3:ObjectCreated"], &[])]),
            Err(BadRule::Event("s3:ObjectCreated".to_owned()))
        );
        let put = ["s3:ObjectCreated:Put"];
        let twice = [("prefix", "a"), ("Prefix", "b")];
        assert_eq!(
            checked(vec![rule(&put, &twice)]),
            Err(BadRule::FilterTwice("prefix"))
        );
        let long = "x".repeat(MAX_FILTER_BYTES + 1);
        assert_eq!(
            checked(vec![rule(&put, &[("suffix", &long)])]),
            Err(BadRule::FilterLength)
        );
        let other = checked(vec![rule(&put, &[("infix", "")])]);
        assert_eq!(other, Err(BadRule::FilterName("infix".to_owned())));
    }

    #[test]
    fn arns_name_their_target() {
        use NotificationKind::{Function, Queue, Topic};
        for (kind, arn, target) in [
            (
                Queue,
                "arn:aws:sqs:us-east-1:123456789012:hook",
                Some("hook"),
            ),
            (Queue, "arn:aws:sqs:::hook", Some("hook")),
            (
                Topic,
                "arn:aws:sns:us-east-1:123456789012:hook",
                Some("hook"),
            ),
            (
                Function,
                "arn:aws:lambda:us-east-1:123456789012:function:hook",
                Some("hook"),
            ),
            (Queue, "arn:minio:sqs::hook:webhook", Some("hook")),
            (Queue, "arn:aws:sns:us-east-1:123456789012:hook", None),
            (Queue, "arn:aws:sqs:us-east-1:123456789012:", None),
            (Queue, "hook", None),
            (Queue, "", None),
        ] {
            assert_eq!(target_of(kind, arn), target, "{arn}");
        }
    }

    proptest! {
        /// What overlaps is found by whoever tries keys and events.
        #[test]
        fn of_rules_that_are_checked_one_at_most_is_about_an_event(
            rules in prop::collection::vec((0..EVENTS.len(), "[ab]{0,2}", "[ab]{0,2}"), 2..4), event in 0..EVENTS.len(), key in "[ab]{0,5}",
        ) {
            let notifications = rules.iter().map(|(event, prefix, suffix)| {
                rule(&[EVENTS[*event]], &[("prefix", prefix), ("suffix", suffix)])
            });
            if let Ok(rules) = checked(notifications.collect()) {
                let found = rules.iter().filter(|rule| rule.is_about(EVENTS[event], &key));
                prop_assert!(found.count() <= 1);
            }
        }
    }
}
