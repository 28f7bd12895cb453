//! `larder user`, `key`, `group`, `policy`, `role`, `provider` and `sts`: AWS's IAM and STS, as any of their clients speaks them.
//!
//! Everything goes through [`client::Client`], so that the commands work against whatever speaks these APIs, with the credentials of whoever
//! is allowed to ask.

mod client;
mod document;
mod entity;
mod exports;
mod form;
pub(super) mod group;
pub(super) mod key;
pub(super) mod policy;
pub(super) mod provider;
pub(super) mod role;
mod scope;
pub(super) mod sts;
pub(super) mod user;

use std::{fmt, str::FromStr};

/// Somebody called something else that what was looked for; exit status 2.
fn need(what: impl Into<String>) -> super::Failure {
    super::Usage(what.into()).into()
}

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    key: String,
    value: String,
}

impl FromStr for Tag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("write it as KEY=VALUE"),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// `2026-11-29 10:38:59` of a time in an answer, which is in UTC.
fn time(iso: &str) -> String {
    iso.trim_end_matches('Z').replacen('T', " ", 1)
}

/// `1 policy`, `2 policies`.
fn count(number: usize, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_and_written() {
        let tag: Tag = "a=b=c".parse().unwrap();
        assert_eq!((tag.key.as_str(), tag.value.as_str()), ("a", "b=c"));
        assert_eq!(tag.to_string(), "a=b=c");
        assert!("a".parse::<Tag>().is_err() && "=b".parse::<Tag>().is_err());
    }
}
