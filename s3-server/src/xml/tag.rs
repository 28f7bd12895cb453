//! Tags of objects, from XML or from the `x-amz-tagging` header.

use percent_encoding::percent_decode_str;

use crate::error::{S3Code, S3Error};

/// Most tags that an object may have.
pub const MAX_OBJECT_TAGS: usize = 10;

const MAX_KEY_CHARS: usize = 128;
const MAX_VALUE_CHARS: usize = 256;

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// 1 to 128 characters.
    pub key: String,
    /// Up to 256 characters.
    pub value: String,
}

/// Most tags that a bucket may have.
const MAX_BUCKET_TAGS: usize = 50;

/// The tags of an object or a bucket: valid, not too many, no key twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagSet(Vec<Tag>);

/// Why a set of tags was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// More than an object or a bucket may have.
    #[error("too many tags: {count} of {max}")]
    TooMany {
        /// How many.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// The key is empty, too long or has a character that is not allowed.
    #[error("tag key is invalid: {key}")]
    InvalidKey {
        /// The key.
        key: String,
    },
    /// The key starts with `aws:`.
    #[error("tag key is reserved: {key}")]
    ReservedKey {
        /// The key.
        key: String,
    },
    /// The value is too long or has a character that is not allowed.
    #[error("tag value is invalid: {value}")]
    InvalidValue {
        /// The value.
        value: String,
    },
    /// A key stands twice in the XML.
    #[error("tag key stands twice: {key}")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// The header is not a URL query, or has a key twice.
    #[error("tagging header is malformed")]
    MalformedHeader {
        /// The header.
        value: String,
    },
}

const MALFORMED_HEADER: &str = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.";

impl From<TagError> for S3Error {
    fn from(error: TagError) -> Self {
        let tag = |message| S3Error::with_message(S3Code::InvalidTag, message);
        let answer = match &error {
            TagError::TooMany { max, .. } => {
                let what = match *max {
                    MAX_OBJECT_TAGS => "Object tags",
                    _ => "Bucket tag count",
                };
                let message = format!("{what} cannot be greater than {max}");
                S3Error::with_message(S3Code::BadRequest, message)
            }
            TagError::InvalidKey { key } => {
                tag("The TagKey you have provided is invalid").element("TagKey", key)
            }
            TagError::ReservedKey { .. } => tag("System tags cannot be added/updated by requester"),
            TagError::InvalidValue { value } => {
                tag("The TagValue you have provided is invalid").element("TagValue", value)
            }
            TagError::Duplicate { key } => {
                tag("Cannot provide multiple Tags with the same key").element("TagKey", key)
            }
            TagError::MalformedHeader { value } => {
                S3Error::with_message(S3Code::InvalidArgument, MALFORMED_HEADER)
                    .element("ArgumentName", "x-amz-tagging")
                    .element("ArgumentValue", value)
            }
        };
        answer.source_of(error)
    }
}

impl TagSet {
    /// Checks tags by AWS's rules for objects.
    ///
    /// # Errors
    /// A [`TagError`].
    pub fn new(tags: Vec<Tag>) -> Result<Self, TagError> {
        Self::of_at_most(MAX_OBJECT_TAGS, tags)
    }

    /// Checks tags by AWS's rules for buckets.
    ///
    /// # Errors
    /// A [`TagError`].
    pub fn of_bucket(tags: Vec<Tag>) -> Result<Self, TagError> {
        Self::of_at_most(MAX_BUCKET_TAGS, tags)
    }

    fn of_at_most(max: usize, tags: Vec<Tag>) -> Result<Self, TagError> {
        let count = tags.len();
        if count > max {
            return Err(TagError::TooMany { count, max });
        }
        for (i, tag) in tags.iter().enumerate() {
            check(tag)?;
            if tags[..i].iter().any(|t| t.key == tag.key) {
                return Err(TagError::Duplicate {
                    key: tag.key.clone(),
                });
            }
        }
        Ok(Self(tags))
    }

    /// Parses the `x-amz-tagging` header: `key=value&key2=value2`, URL-encoded.
    ///
    /// # Errors
    /// A [`TagError`].
    pub fn from_header(header: &str) -> Result<Self, TagError> {
        let malformed = || TagError::MalformedHeader {
            value: header.to_owned(),
        };
        let mut tags = Vec::new();
        for pair in header.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decode(key).ok_or_else(malformed)?;
            tags.push(Tag {
                key,
                value: decode(value).ok_or_else(malformed)?,
            });
        }
        Self::new(tags).map_err(|e| match e {
            TagError::Duplicate { .. } => malformed(),
            other => other,
        })
    }

    /// The tags, in order.
    pub fn as_slice(&self) -> &[Tag] {
        &self.0
    }

    /// The tags, in order.
    pub fn into_vec(self) -> Vec<Tag> {
        self.0
    }
}

fn decode(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    Some(percent_decode_str(&text).decode_utf8().ok()?.into_owned())
}

fn check(tag: &Tag) -> Result<(), TagError> {
    let key_chars = tag.key.chars().count();
    if key_chars == 0 || key_chars > MAX_KEY_CHARS || !tag.key.chars().all(is_allowed) {
        return Err(TagError::InvalidKey {
            key: tag.key.clone(),
        });
    }
    if tag
        .key
        .get(..4)
        .is_some_and(|p| p.eq_ignore_ascii_case("aws:"))
    {
        return Err(TagError::ReservedKey {
            key: tag.key.clone(),
        });
    }
    if tag.value.chars().count() > MAX_VALUE_CHARS || !tag.value.chars().all(is_allowed) {
        return Err(TagError::InvalidValue {
            value: tag.value.clone(),
        });
    }
    Ok(())
}

/// Letters, digits and spaces of every script, and `+ - = . _ : / @`.
fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c) || (!c.is_ascii() && !c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Result<TagSet, TagError> {
        let tag = |(k, v): &(&str, &str)| Tag {
            key: (*k).to_owned(),
            value: (*v).to_owned(),
        };
        TagSet::new(pairs.iter().map(tag).collect())
    }

    #[test]
    fn limits_are_those_of_aws() {
        tags(&[(&"k".repeat(128), &"v".repeat(256)), ("é +-=._:/@", "")]).expect("valid");
        assert!(matches!(
            tags(&[("", "v")]),
            Err(TagError::InvalidKey { .. })
        ));
        assert!(matches!(
            tags(&[(&"k".repeat(129), "v")]),
            Err(TagError::InvalidKey { .. })
        ));
        assert!(matches!(
            tags(&[("k", &"v".repeat(257))]),
            Err(TagError::InvalidValue { .. })
        ));
        assert!(matches!(
            tags(&[("k", "a&b")]),
            Err(TagError::InvalidValue { .. })
        ));
        assert!(matches!(
            tags(&[("AWS:x", "v")]),
            Err(TagError::ReservedKey { .. })
        ));
        assert!(matches!(
            tags(&[("k", "1"), ("k", "2")]),
            Err(TagError::Duplicate { .. })
        ));
        let eleven: Vec<String> = (0..11).map(|i| format!("k{i}")).collect();
        let eleven: Vec<(&str, &str)> = eleven.iter().map(|k| (k.as_str(), "")).collect();
        assert_eq!(tags(&eleven), Err(TagError::TooMany { count: 11, max: 10 }));
        assert_eq!(
            S3Error::from(TagError::TooMany { count: 11, max: 10 }).code(),
            S3Code::BadRequest
        );
    }

    #[test]
    fn the_header_is_a_url_query() {
        let set = TagSet::from_header("a=1&b+c=%2F%20&d").expect("valid");
        let pairs: Vec<_> = set
            .as_slice()
            .iter()
            .map(|t| (&*t.key, &*t.value))
            .collect();
        assert_eq!(pairs, [("a", "1"), ("b c", "/ "), ("d", "")]);
        for bad in ["a=1&a=2", "a=%ff"] {
            let error = TagSet::from_header(bad).expect_err("refused");
            assert!(matches!(error, TagError::MalformedHeader { .. }), "{bad}");
        }
        assert_eq!(TagSet::from_header("").expect("empty"), TagSet::default());
    }
}
