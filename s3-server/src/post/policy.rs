//! The policy document of a form: what its signer allows to be uploaded.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::error::{S3Code, S3Error};

/// Fields that need no condition: they are about the policy itself, or about nothing.
const UNCONDITIONED: [&str; 5] = [
    "policy",
    "file",
    "signature",
    "awsaccesskeyid",
    "x-amz-signature",
];
const IGNORED_PREFIX: &str = "x-ignore-";

/// How many bytes the file may have.
pub type LengthRange = RangeInclusive<u64>;

/// The fields of a form before its file, in order; names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Adds a field.
    pub fn push(&mut self, name: &str, value: String) {
        self.0.push((name.to_ascii_lowercase(), value));
    }

    /// The first field of this name, given in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        let (_, value) = fields.find(|(n, _)| n == name)?;
        Some(value)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// A policy document that does not parse, or a form that does not keep to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostPolicyError {
    /// No policy document.
    #[error("Invalid Policy: {0}")]
    Malformed(&'static str),
    /// Its time is over.
    #[error("Invalid according to Policy: Policy expired.")]
    Expired,
    /// A condition does not hold.
    #[error("Invalid according to Policy: Policy Condition failed: {0}")]
    Failed(String),
    /// A field that no condition is about.
    #[error("Invalid according to Policy: Extra input fields: {0}")]
    Extra(String),
}

impl From<PostPolicyError> for S3Error {
    fn from(error: PostPolicyError) -> Self {
        let code = match error {
            PostPolicyError::Malformed(_) => S3Code::InvalidPolicyDocument,
            _ => S3Code::AccessDenied,
        };
        Self::with_message(code, error.to_string())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Is { name: String, value: String },
    StartsWith { name: String, start: String },
}

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostPolicy {
    expires_unix: i64,
    conditions: Vec<Condition>,
    length: Option<LengthRange>,
}

type Parsed<T> = Result<T, PostPolicyError>;

fn malformed<T>(what: &'static str) -> Parsed<T> {
    Err(PostPolicyError::Malformed(what))
}

impl PostPolicy {
    /// Parses a document, decoded from base 64.
    ///
    /// # Errors
    /// [`PostPolicyError::Malformed`].
    pub fn parse(json: &[u8]) -> Parsed<Self> {
        let Ok(Value::Object(document)) = serde_json::from_slice(json) else {
            return malformed("Invalid JSON.");
        };
        let Some(Value::String(expiration)) = document.get("expiration") else {
            return malformed("Policy missing expiration.");
        };
        let Ok(expires) = OffsetDateTime::parse(expiration, &Rfc3339) else {
            return malformed("Invalid 'expiration' value.");
        };
        let Some(Value::Array(conditions)) = document.get("conditions") else {
            return malformed("Policy missing conditions.");
        };
        let mut policy = Self {
            expires_unix: expires.unix_timestamp(),
            conditions: Vec::new(),
            length: None,
        };
        conditions.iter().try_for_each(|one| policy.add(one))?;
        Ok(policy)
    }

    fn add(&mut self, condition: &Value) -> Parsed<()> {
        match condition {
            Value::Object(fields) => self.add_fields(fields),
            Value::Array(words) => self.add_words(words),
            _ => malformed("Conditions must be objects or arrays."),
        }
    }

    fn add_fields(&mut self, fields: &Map<String, Value>) -> Parsed<()> {
        let mut fields = fields.iter();
        let (Some((name, value)), None) = (fields.next(), fields.next()) else {
            return malformed(
                "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
            );
        };
        let Value::String(value) = value else {
            return malformed("Invalid Simple-Condition: value must be a string.");
        };
        let (name, value) = (name.to_ascii_lowercase(), value.clone());
        self.conditions.push(Condition::Is { name, value });
        Ok(())
    }

    fn add_words(&mut self, words: &[Value]) -> Parsed<()> {
        let [Value::String(operator), first, second] = words else {
            return malformed("Invalid Condition: three elements are expected.");
        };
        match (&*operator.to_ascii_lowercase(), first, second) {
            ("content-length-range", least, most) => {
                let (Some(least), Some(most)) = (number(least), number(most)) else {
                    return malformed("Invalid Condition: content-length-range takes two numbers.");
                };
                self.length = Some(least..=most);
                Ok(())
            }
            (operator, Value::String(name), Value::String(value)) => {
                let Some(name) = name.strip_prefix('$') else {
                    return malformed("Invalid Condition: names of fields begin with $.");
                };
                let (name, value) = (name.to_ascii_lowercase(), value.clone());
                self.conditions.push(match operator {
                    "eq" => Condition::Is { name, value },
                    "starts-with" => Condition::StartsWith { name, start: value },
                    _ => return malformed("Invalid Condition: unknown operation."),
                });
                Ok(())
            }
            _ => malformed("Invalid Condition: elements must be strings."),
        }
    }

    /// How many bytes the file may have, if it matters.
    pub fn length(&self) -> Option<&LengthRange> {
        self.length.as_ref()
    }

    /// Checks a form for `bucket`, at `now` in seconds since 1970. Each condition must hold, and each field must have one.
    ///
    /// # Errors
    /// [`PostPolicyError`]: the form is refused.
    pub fn check(&self, bucket: &str, fields: &Fields, now: i64) -> Parsed<()> {
        if now >= self.expires_unix {
            return Err(PostPolicyError::Expired);
        }
        let failed = self.conditions.iter().find(|c| !c.holds(bucket, fields));
        if let Some(failed) = failed {
            return Err(PostPolicyError::Failed(failed.text()));
        }
        // The bucket is a field as well, though the address and not the form says it.
        let names = std::iter::once("bucket").chain(fields.iter().map(|(name, _)| name));
        let extra: Vec<_> = names.filter(|name| !self.is_about(name)).collect();
        match &extra[..] {
            [] => Ok(()),
            names => Err(PostPolicyError::Extra(names.join(", "))),
        }
    }

    fn is_about(&self, field: &str) -> bool {
        UNCONDITIONED.contains(&field)
            || field.starts_with(IGNORED_PREFIX)
            || self.conditions.iter().any(|c| c.name() == field)
    }
}

impl Condition {
    fn name(&self) -> &str {
        match self {
            Self::Is { name, .. } | Self::StartsWith { name, .. } => name,
        }
    }

    fn holds(&self, bucket: &str, fields: &Fields) -> bool {
        let value = match self.name() {
            // The address says it, whatever the form does.
            "bucket" => bucket,
            name => fields.get(name).unwrap_or_default(),
        };
        match self {
            Self::Is { value: wanted, .. } => value == wanted,
            Self::StartsWith { name, start } if name == "content-type" => {
                // "If the value of the Content-Type field is a list, each element must start with it."
                value.split(',').all(|one| one.trim().starts_with(&**start))
            }
            Self::StartsWith { start, .. } => value.starts_with(&**start),
        }
    }

    /// As it stands in the document.
    fn text(&self) -> String {
        let (operator, name, value) = match self {
            Self::Is { name, value } => ("eq", name, value),
            Self::StartsWith { name, start } => ("starts-with", name, start),
        };
        serde_json::json!([operator, format!("${name}"), value]).to_string()
    }
}

/// A number, or a text that is one, as AWS takes it.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn policy(conditions: &str) -> Parsed<PostPolicy> {
        let json = format!(
            "{{\"expiration\": \"2030-12-01T12:00:00.000Z\", \"conditions\": [{conditions}]}}"
        );
        PostPolicy::parse(json.as_bytes())
    }

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.push(name, (*value).to_owned());
        }
        fields
    }

    #[test]
    fn each_condition_must_hold() {
        let policy = policy(
            r#"{"bucket": "b"}, ["starts-with", "$key", "user/"], ["eq", "$ACL", "private"]"#,
        )
        .unwrap();
        let good = fields(&[
            ("Key", "user/a"),
            ("acl", "private"),
            ("Policy", "x"),
            ("x-ignore-me", "y"),
        ]);
        assert_eq!(policy.check("b", &good, NOW), Ok(()));
        let failed = |text: &str| Err(PostPolicyError::Failed(text.to_owned()));
        assert_eq!(
            policy.check("other", &good, NOW),
            failed(r#"["eq","$bucket","b"]"#)
        );
        let elsewhere = fields(&[("key", "usr"), ("acl", "private")]);
        assert_eq!(
            policy.check("b", &elsewhere, NOW),
            failed(r#"["starts-with","$key","user/"]"#)
        );
        let missing = fields(&[("key", "user/a")]);
        assert_eq!(
            policy.check("b", &missing, NOW),
            failed(r#"["eq","$acl","private"]"#)
        );
        assert_eq!(
            policy.check("b", &good, i64::MAX),
            Err(PostPolicyError::Expired)
        );
    }

    #[test]
    fn each_field_must_have_a_condition() {
        let policy = policy(r#"["starts-with", "$key", ""]"#).unwrap();
        let key = fields(&[("key", "a")]);
        let bucket = Err(PostPolicyError::Extra("bucket".to_owned()));
        assert_eq!(policy.check("b", &key, NOW), bucket);
        let more = fields(&[("key", "a"), ("x-amz-meta-a", "1"), ("tagging", "2")]);
        let extra = Err(PostPolicyError::Extra(
            "bucket, x-amz-meta-a, tagging".to_owned(),
        ));
        assert_eq!(policy.check("b", &more, NOW), extra);
    }

    #[test]
    fn each_content_type_of_a_list_must_start_as_it_is_asked() {
        let policy =
            policy(r#"{"bucket": "b"}, ["starts-with", "$Content-Type", "image/"]"#).unwrap();
        let check = |value| {
            policy
                .check("b", &fields(&[("content-type", value)]), NOW)
                .is_ok()
        };
        assert!(check("image/png") && check("image/png, image/gif"));
        assert!(!check("image/png, text/html") && !check(""));
    }

    #[test]
    fn lengths_are_numbers_or_texts() {
        let length = |c| policy(c).map(|policy| policy.length().cloned());
        assert_eq!(
            length(r#"["content-length-range", 1, 10]"#),
            Ok(Some(1..=10))
        );
        assert_eq!(
            length(r#"["content-length-range", "1", "10"]"#),
            Ok(Some(1..=10))
        );
        assert_eq!(length(""), Ok(None));
        for bad in [
            r#"["content-length-range", -1, 10]"#,
            r#"["content-length-range", 1.5, 10]"#,
        ] {
            assert!(length(bad).is_err());
        }
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for json in [
            "",
            "[]",
            "{}",
            r#"{"expiration": "2030-12-01T12:00:00Z"}"#,
            r#"{"conditions": []}"#,
            r#"{"expiration": "tomorrow", "conditions": []}"#,
            r#"{"expiration": 7, "conditions": []}"#,
        ] {
            assert!(PostPolicy::parse(json.as_bytes()).is_err(), "{json}");
        }
        for bad in [
            "1",
            "[]",
            r#"["eq", "$key"]"#,
            r#"["eq", "key", "a"]"#,
            r#"["ends-with", "$key", "a"]"#,
            r#"["eq", "$key", 1]"#,
            r#"{"key": 1}"#,
            "{}",
            r#"{"key": "a", "acl": "b"}"#,
        ] {
            assert!(policy(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn random_documents_never_panic(text in r#"[\[\]{}",:$a-z0-9 -]{0,80}"#) {
            drop(PostPolicy::parse(text.as_bytes()));
            drop(policy(&text).map(|policy| policy.check("b", &Fields::default(), NOW)));
        }
    }
}
