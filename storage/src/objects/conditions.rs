//! Conditional requests: the decision alone. That a decision on a write still holds when it is committed
//! is the matter of the commit's preconditions.

use super::{error::StoreError, names::ETag};
use crate::meta::Revision;

/// What `If-Match` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: any object.
    Any,
    /// One of these. Empty matches nothing.
    Tags(Vec<ETag>),
}

impl IfMatch {
    /// Reads a header's value. What is no strong tag of this store matches nothing, so it is left out.
    pub fn parse(value: &str) -> Self {
        if value.trim() == "*" {
            return Self::Any;
        }
        Self::Tags(
            value
                .split(',')
                .filter_map(|tag| tag.parse().ok())
                .collect(),
        )
    }

    fn matches(&self, etag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.contains(etag),
        }
    }
}

impl From<ETag> for IfMatch {
    fn from(etag: ETag) -> Self {
        Self::Tags(vec![etag])
    }
}

/// Conditions of a write, decided atomically with it. `Default` is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteConditions {
    /// The present object must be this one.
    pub if_match: Option<IfMatch>,
    /// There must be no object.
    pub if_none_match_any: bool,
    /// Neither the data of the present object nor what is known of it may have changed since it was read
    /// ([`super::ObjectHandle::revision`]): for a write that depends on what it has read.
    pub if_unchanged: Option<Revision>,
}

/// The object that a write would replace or delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Its entity tag.
    pub etag: ETag,
    /// When it was last written.
    pub revision: Revision,
}

impl WriteConditions {
    /// Whether the write may replace (or delete) `existing`.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] if it is not the one that was read: the caller reads again and decides.
    /// [`StoreError::NoSuchKey`] if `If-Match` meets no object; [`StoreError::PreconditionFailed`].
    pub fn check(&self, existing: Option<Existing>) -> Result<(), StoreError> {
        if self.if_unchanged.is_some() && self.if_unchanged != existing.map(|e| e.revision) {
            return Err(StoreError::Replaced);
        }
        if let Some(wanted) = &self.if_match {
            let existing = existing.ok_or(StoreError::NoSuchKey)?;
            if !wanted.matches(&existing.etag) {
                return Err(StoreError::PreconditionFailed { which: "If-Match" });
            }
        }
        if self.if_none_match_any && existing.is_some() {
            return Err(StoreError::PreconditionFailed {
                which: "If-None-Match",
            });
        }
        Ok(())
    }
}

/// Conditions of a read, as the client sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadConditions {
    /// Value of `If-Match`.
    pub if_match: Option<String>,
    /// Value of `If-None-Match`.
    pub if_none_match: Option<String>,
    /// `If-Modified-Since`, seconds since the Unix epoch.
    pub if_modified_since: Option<u64>,
    /// `If-Unmodified-Since`, seconds since the Unix epoch.
    pub if_unmodified_since: Option<u64>,
}

/// Why a conditional read gives no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionFailed {
    /// The client has it already: `304`.
    #[error("not modified")]
    NotModified,
    /// `412`.
    #[error("precondition failed: {which}")]
    PreconditionFailed {
        /// The header that failed.
        which: &'static str,
    },
}

impl ReadConditions {
    /// Decides in the order of RFC 9110 section 13.2.2, which is AWS's: a date counts only where its tag is absent.
    ///
    /// # Errors
    /// [`ConditionFailed`]: no body is to be sent.
    pub fn check(&self, etag: &ETag, modified_unix_millis: u64) -> Result<(), ConditionFailed> {
        let modified = modified_unix_millis / 1000;
        self.check_unchanged(etag, modified)?;
        let is_known = match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => matches_list(tags, etag, Comparison::Weak),
            (None, Some(since)) => modified <= since,
            (None, None) => false,
        };
        if is_known {
            Err(ConditionFailed::NotModified)
        } else {
            Ok(())
        }
    }

    fn check_unchanged(&self, etag: &ETag, modified: u64) -> Result<(), ConditionFailed> {
        let (holds, which) = match (&self.if_match, self.if_unmodified_since) {
            (Some(tags), _) => (matches_list(tags, etag, Comparison::Strong), "If-Match"),
            (None, Some(since)) => (modified <= since, "If-Unmodified-Since"),
            (None, None) => (true, ""),
        };
        if holds {
            Ok(())
        } else {
            Err(ConditionFailed::PreconditionFailed { which })
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn matches_list(list: &str, etag: &ETag, comparison: Comparison) -> bool {
    list.split(',').map(str::trim).any(|item| {
        let (is_weak, tag) = item
            .strip_prefix("W/")
            .map_or((false, item), |rest| (true, rest));
        let comparable = !is_weak || comparison == Comparison::Weak;
        item == "*" || (comparable && tag.parse() == Ok(*etag))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ETag = ETag {
        md5: [0xaa; 16],
        parts: 0,
    };
    const B: ETag = ETag {
        md5: [0xbb; 16],
        parts: 3,
    };
    const MODIFIED: u64 = 1_000_999;

    fn existing(etag: ETag) -> Existing {
        let revision = Revision(7);
        Existing { etag, revision }
    }

    fn failed(which: &'static str) -> Result<(), ConditionFailed> {
        Err(ConditionFailed::PreconditionFailed { which })
    }

    #[test]
    fn if_match_takes_lists_stars_and_strong_tags_only() {
        let check = |value: &str| {
            let conditions = ReadConditions {
                if_match: Some(value.into()),
                ..Default::default()
            };
            conditions.check(&A, MODIFIED)
        };
        assert_eq!(check("*"), Ok(()));
        assert_eq!(check(&format!("\"{A}\"")), Ok(()));
        assert_eq!(check(&format!("{A}")), Ok(()));
        assert_eq!(check(&format!("\"{B}\", \"{A}\"")), Ok(()));
        assert_eq!(check(&format!("W/\"{A}\"")), failed("If-Match"));
        assert_eq!(check("\"nonsense\""), failed("If-Match"));
        assert_eq!(check(""), failed("If-Match"));
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let check = |value: &str| {
            let conditions = ReadConditions {
                if_none_match: Some(value.into()),
                ..Default::default()
            };
            conditions.check(&A, MODIFIED)
        };
        assert_eq!(check("*"), Err(ConditionFailed::NotModified));
        assert_eq!(
            check(&format!("W/\"{A}\"")),
            Err(ConditionFailed::NotModified)
        );
        assert_eq!(check(&format!("\"{B}\"")), Ok(()));
    }

    #[test]
    fn dates_have_seconds_and_include_the_moment_itself() {
        let since = |seconds| ReadConditions {
            if_modified_since: Some(seconds),
            ..Default::default()
        };
        assert_eq!(
            since(1000).check(&A, MODIFIED),
            Err(ConditionFailed::NotModified)
        );
        assert_eq!(since(999).check(&A, MODIFIED), Ok(()));
        let until = |s| ReadConditions {
            if_unmodified_since: Some(s),
            ..Default::default()
        };
        assert_eq!(until(1000).check(&A, MODIFIED), Ok(()));
        assert_eq!(
            until(999).check(&A, MODIFIED),
            failed("If-Unmodified-Since")
        );
    }

    #[test]
    fn tags_take_precedence_over_dates() {
        let both = ReadConditions {
            if_match: Some(A.to_string()),
            if_unmodified_since: Some(1),
            ..Default::default()
        };
        assert_eq!(both.check(&A, MODIFIED), Ok(()));
        let both = ReadConditions {
            if_none_match: Some(B.to_string()),
            if_modified_since: Some(2000),
            ..Default::default()
        };
        assert_eq!(both.check(&A, MODIFIED), Ok(()));
        let conflicting = ReadConditions {
            if_none_match: Some(A.to_string()),
            if_unmodified_since: Some(1),
            ..Default::default()
        };
        assert_eq!(
            conflicting.check(&A, MODIFIED),
            failed("If-Unmodified-Since")
        );
    }

    #[test]
    fn writes_are_decided_on_what_is_there() {
        let none = WriteConditions::default();
        assert!(none.check(None).is_ok() && none.check(Some(existing(A))).is_ok());
        let absent = WriteConditions {
            if_none_match_any: true,
            ..Default::default()
        };
        assert!(absent.check(None).is_ok());
        assert!(matches!(
            absent.check(Some(existing(A))),
            Err(StoreError::PreconditionFailed {
                which: "If-None-Match"
            })
        ));
        let only_a = WriteConditions {
            if_match: Some(A.into()),
            ..Default::default()
        };
        assert!(only_a.check(Some(existing(A))).is_ok());
        assert!(matches!(only_a.check(None), Err(StoreError::NoSuchKey)));
        assert!(matches!(
            only_a.check(Some(existing(B))),
            Err(StoreError::PreconditionFailed { which: "If-Match" })
        ));
        let any = WriteConditions {
            if_match: Some(IfMatch::parse(" * ")),
            ..Default::default()
        };
        assert!(any.check(Some(existing(B))).is_ok());
        assert!(matches!(any.check(None), Err(StoreError::NoSuchKey)));
    }

    #[test]
    fn a_write_that_depends_on_what_it_read_fails_once_that_has_changed() {
        let read_at = |revision| WriteConditions {
            if_unchanged: Some(Revision(revision)),
            if_match: Some(A.into()),
            ..Default::default()
        };
        assert!(read_at(7).check(Some(existing(A))).is_ok());
        // That it was replaced comes first: what the other conditions say of it is news to the caller.
        for (read, found) in [
            (read_at(6), Some(existing(A))),
            (read_at(6), Some(existing(B))),
            (read_at(7), None),
        ] {
            assert!(matches!(read.check(found), Err(StoreError::Replaced)));
        }
    }
}
