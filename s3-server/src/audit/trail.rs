//! The marks that a request leaves on its way to its answer.

use larder_policy::{StatementRef, Verdict};
use parking_lot::Mutex;
use serde::Serialize;

use super::line::{DeletedKey, clipped};
use crate::{accounts::Caller, route::Target};

/// Decisions of one request that are kept; those of thousands of keys are few different ones.
const MAX_DECISIONS: usize = 16;

/// The marks of one request. Where nobody will read them, none are kept.
#[derive(Debug, Default)]
pub struct Trail(Option<Mutex<Marks>>);

#[derive(Debug, Default)]
struct Marks {
    signed: Option<Signed>,
    /// What the policies said last, and of which action.
    ruling: Option<Ruling>,
    found: Found,
}

/// Whose signature it was, and where.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) caller: Caller,
    pub(super) access_key: String,
    pub(super) how: &'static str,
}

#[derive(Debug)]
struct Ruling {
    action: String,
    verdict: Verdict,
    statement: Option<(PolicyOf, Statement)>,
}

/// Whose policy a statement is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyOf {
    /// The bucket's.
    Bucket,
    /// One of those of whoever asks.
    Caller,
}

impl PolicyOf {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bucket => "bucket-policy",
            Self::Caller => "identity-policy",
        }
    }
}

/// What is known of a request besides what it says itself.
#[derive(Debug, Default, Serialize)]
pub(super) struct Found {
    operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    decisions: Vec<Decision>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted: Vec<DeletedKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Decision {
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    effect: &'static str,
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Statement {
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
}

/// Who has a say besides policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// The bucket's list.
    Bucket,
    /// The owner and the list of an object that is there, and they alone.
    Object,
    /// Nobody: there is no object, and whoever may list the bucket may know.
    Absent,
}

/// A key that was to be deleted with others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deletion<'a> {
    pub(crate) key: &'a str,
    pub(crate) version: Option<&'a str>,
    /// `None`: it was.
    pub(crate) error: Option<&'static str>,
}

/// Who asked, and what was found out.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(super) signed: Option<Signed>,
    pub(super) found: Found,
}

impl Trail {
    /// An empty one; with `is_kept` false it stays so.
    pub(crate) fn new(is_kept: bool) -> Self {
        Self(is_kept.then(Mutex::default))
    }

    fn mark(&self, mark: impl FnOnce(&mut Marks)) {
        if let Some(marks) = &self.0 {
            mark(&mut marks.lock());
        }
    }

    /// Somebody signed the request, and where.
    pub(crate) fn asked_by(&self, caller: &Caller, access_key: &str, how: &'static str) {
        self.mark(|marks| {
            marks.signed = Some(Signed {
                caller: caller.clone(),
                access_key: access_key.to_owned(),
                how,
            });
        });
    }

    /// What the request is about.
    pub(crate) fn about(&self, target: &Target) {
        self.mark(|marks| {
            let (bucket, key) = match target {
                Target::Service => (None, None),
                Target::Bucket(bucket) => (Some(bucket), None),
                Target::Object(bucket, key) => (Some(bucket), Some(key)),
            };
            marks.found.bucket = bucket.map(ToString::to_string);
            marks.found.key = key.map(|key| key.as_str().to_owned());
        });
    }

    /// What it asks for: the operation, as in the metrics.
    pub(crate) fn calls(&self, name: &str) {
        self.mark(|marks| marks.found.operation = Some(name.to_owned()));
    }

    /// How it failed.
    pub(crate) fn failed(&self, code: &str) {
        self.mark(|marks| marks.found.error = Some(code.to_owned()));
    }

    /// What the policies say about an action.
    pub(crate) fn ruled(
        &self,
        action: &str,
        verdict: Verdict,
        statement: Option<(PolicyOf, StatementRef<'_>)>,
    ) {
        self.mark(|marks| {
            let statement = statement.map(|(of, statement)| {
                let sid = statement.sid.map(str::to_owned);
                let policy = statement.policy.map(str::to_owned);
                let index = statement.index;
                (of, Statement { policy, index, sid })
            });
            marks.ruling = Some(Ruling {
                action: action.to_owned(),
                verdict,
                statement,
            });
        });
    }

    /// Whether an action is allowed at last, after what the policies said.
    pub(crate) fn decided(&self, action: &str, is_allowed: bool, say: Say) {
        self.mark(|marks| {
            let ruling = marks.ruling.take();
            let ruling = ruling.filter(|ruling| ruling.action == action);
            marks.found.add(decision(action, is_allowed, say, ruling));
        });
    }

    /// The same, of something that is no bucket and no object.
    pub(crate) fn decided_on(&self, resource: &str, action: &str, is_allowed: bool) {
        self.mark(|marks| {
            let ruling = marks.ruling.take();
            let resource = Some(clipped(resource));
            marks.found.add(Decision {
                resource,
                ..decision(action, is_allowed, Say::Bucket, ruling)
            });
        });
    }

    /// It is allowed because of who asks, and nothing else was looked at.
    pub(crate) fn free(&self, by: &'static str) {
        self.mark(|marks| {
            marks.found.add(Decision {
                action: None,
                resource: None,
                effect: "Allow",
                by,
                statement: None,
            });
        });
    }

    /// What became of keys that were to be deleted together.
    pub(crate) fn deleted<'a>(&self, deletions: impl Iterator<Item = Deletion<'a>>) {
        self.mark(|marks| marks.found.deleted = deletions.map(DeletedKey::from).collect());
    }

    pub(super) fn finish(&self) -> Option<Finished> {
        let marks = std::mem::take(&mut *self.0.as_ref()?.lock());
        Some(Finished {
            signed: marks.signed,
            found: marks.found,
        })
    }
}

impl Found {
    fn add(&mut self, decision: Decision) {
        if self.decisions.len() < MAX_DECISIONS && !self.decisions.contains(&decision) {
            self.decisions.push(decision);
        }
    }
}

fn decision(action: &str, is_allowed: bool, say: Say, ruling: Option<Ruling>) -> Decision {
    let (verdict, statement) = match ruling {
        Some(ruling) => (ruling.verdict, ruling.statement),
        None => (Verdict::ImplicitDeny, None),
    };
    let by_policies = match say {
        Say::Object => verdict == Verdict::ExplicitDeny,
        Say::Bucket | Say::Absent => verdict != Verdict::ImplicitDeny,
    };
    let (by, statement) = match (is_allowed, by_policies, statement) {
        (_, true, Some((of, statement))) => (of.as_str(), Some(statement)),
        (true, true, None) => ("owner", None),
        (true, false, _) if say == Say::Absent => ("listing", None),
        (true, false, _) => ("acl", None),
        (false, ..) => ("nobody", None),
    };
    Decision {
        action: Some(action.to_owned()),
        resource: None,
        effect: if is_allowed { "Allow" } else { "Deny" },
        by,
        statement,
    }
}

#[cfg(test)]
mod tests {
    use Verdict::{Allow, ExplicitDeny, ImplicitDeny};

    use super::*;

    fn decided(verdict: Verdict, sid: Option<&str>, is_allowed: bool, say: Say) -> String {
        let trail = Trail::new(true);
        let statement = sid.map(|sid| {
            let sid = Some(sid);
            let policy = None;
            let index = 3;
            (PolicyOf::Bucket, StatementRef { policy, index, sid })
        });
        trail.ruled("s3:GetObject", verdict, statement);
        trail.decided("s3:GetObject", is_allowed, say);
        let found = trail.finish().unwrap().found;
        serde_json::to_string(&found.decisions[0]).unwrap()
    }

    #[test]
    fn what_decided_is_named() {
        let of = |effect: &str, by: &str| {
            format!(r#"{{"action":"s3:GetObject","effect":"{effect}","by":"{by}"}}"#)
        };
        let by_statement = |effect: &str| {
            format!(
                r#"{{"action":"s3:GetObject","effect":"{effect}","by":"bucket-policy","statement":{{"index":3,"sid":"S"}}}}"#
            )
        };
        let sid = Some("S");
        for (verdict, sid, is_allowed, say, expected) in [
            (Allow, sid, true, Say::Bucket, by_statement("Allow")),
            (Allow, None, true, Say::Bucket, of("Allow", "owner")),
            (Allow, sid, true, Say::Object, of("Allow", "acl")),
            (Allow, sid, false, Say::Object, of("Deny", "nobody")),
            (ExplicitDeny, sid, false, Say::Bucket, by_statement("Deny")),
            (ExplicitDeny, sid, false, Say::Object, by_statement("Deny")),
            (ImplicitDeny, None, true, Say::Bucket, of("Allow", "acl")),
            (
                ImplicitDeny,
                None,
                true,
                Say::Absent,
                of("Allow", "listing"),
            ),
            (ImplicitDeny, None, false, Say::Bucket, of("Deny", "nobody")),
        ] {
            assert_eq!(decided(verdict, sid, is_allowed, say), expected);
        }
    }

    #[test]
    fn what_is_said_of_another_action_does_not_count() {
        let trail = Trail::new(true);
        trail.ruled("s3:ListBucket", Allow, None);
        trail.decided("s3:GetObject", true, Say::Absent);
        assert_eq!(trail.finish().unwrap().found.decisions[0].by, "listing");
    }

    #[test]
    fn the_same_decision_about_many_keys_is_kept_once_and_many_are_few() {
        let trail = Trail::new(true);
        for index in 0..1000 {
            let found = StatementRef {
                policy: None,
                index: index / 2,
                sid: None,
            };
            trail.ruled("s3:DeleteObject", Allow, Some((PolicyOf::Bucket, found)));
            trail.decided("s3:DeleteObject", true, Say::Bucket);
        }
        let decisions = trail.finish().unwrap().found.decisions;
        assert_eq!(decisions.len(), MAX_DECISIONS);
        assert_ne!(decisions[0], decisions[1]);
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let trail = Trail::new(false);
        trail.failed("AccessDenied");
        assert!(trail.finish().is_none());
    }
}
