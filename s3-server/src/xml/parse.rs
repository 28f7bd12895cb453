//! Parsers of request bodies. Element names count without their namespace; elements that Larder
//! does not know are skipped, so that newer clients keep working.

mod access;
mod complete;
mod cors;
mod cursor;
mod delete;
mod encryption;
mod lifecycle;
mod logging;
mod notification;
mod object_lock;

pub use access::{
    AclRequest, NamedGrantee, access_control_policy, ownership_controls, public_access_block,
};
pub use complete::{CompletePart, MAX_COMPLETE_BYTES, complete_multipart_upload};
pub use cors::cors_configuration;
pub use delete::{DeleteObject, DeleteRequest, MAX_DELETE_BYTES, MAX_DELETE_KEYS, delete};
pub use encryption::{DefaultEncryption, bucket_encryption};
pub use lifecycle::{
    LifecycleExpiration, LifecycleFilter, LifecycleRule, MAX_LIFECYCLE_BYTES, MAX_LIFECYCLE_RULES,
    NoncurrentExpiration, lifecycle_configuration,
};
pub use logging::{LogDestination, LogKeyFormat, bucket_logging};
pub use notification::{
    MAX_NOTIFICATION_BYTES, MAX_NOTIFICATIONS, Notification, NotificationConfiguration,
    NotificationKind, notification_configuration,
};
pub use object_lock::{
    DefaultRetention, LockConfiguration, Retention, legal_hold, object_lock_configuration,
    retention,
};

use cursor::Cursor;

use crate::error::{S3Code, S3Error};

use super::{Tag, TagError, TagSet};

/// Largest body of the small requests (location, tagging), in bytes.
pub const MAX_SMALL_BYTES: usize = 64 * 1024;

/// Why a body was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Larger than its kind may be.
    #[error("body is too large, at most {max_bytes} bytes, got {got_bytes}")]
    TooLarge {
        /// Limit in bytes.
        max_bytes: usize,
        /// Length in bytes.
        got_bytes: usize,
    },
    /// Not well-formed, not the schema, or something that is never accepted (a DTD, an entity).
    #[error("xml is malformed: {what}")]
    Malformed {
        /// What was wrong.
        what: &'static str,
    },
    /// A part number outside of 1 to 10,000.
    #[error("part number is out of range: {value}")]
    PartNumber {
        /// What stood there.
        value: String,
    },
    /// Part numbers that don't ascend.
    #[error("parts are not in ascending order")]
    PartOrder,
    /// The tags break a rule.
    #[error("tags are invalid")]
    Tags(#[from] TagError),
}

impl From<XmlError> for S3Error {
    fn from(error: XmlError) -> Self {
        let answer = match error.clone() {
            XmlError::TooLarge { .. } => S3Error::new(S3Code::MaxMessageLengthExceeded),
            XmlError::Malformed { .. } => S3Error::new(S3Code::MalformedXml),
            XmlError::PartNumber { value } => S3Error::with_message(
                S3Code::InvalidArgument,
                "Part number must be an integer between 1 and 10000, inclusive",
            )
            .element("ArgumentName", "partNumber")
            .element("ArgumentValue", value),
            XmlError::PartOrder => S3Error::new(S3Code::InvalidPartOrder),
            XmlError::Tags(tags) => return tags.into(),
        };
        answer.source_of(error)
    }
}

fn malformed(what: &'static str) -> XmlError {
    XmlError::Malformed { what }
}

/// What a `VersioningConfiguration` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersioningRequest {
    /// `Enabled` or `Suspended`, if the client is right.
    pub status: Option<String>,
    /// `Enabled` or `Disabled`.
    pub mfa_delete: Option<String>,
}

/// Parses `VersioningConfiguration`.
///
/// # Errors
/// [`XmlError::Malformed`] and [`XmlError::TooLarge`].
pub fn versioning_configuration(body: &[u8]) -> Result<VersioningRequest, XmlError> {
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("VersioningConfiguration")?;
    let mut request = VersioningRequest::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "Status" => request.status = Some(cursor.text()?),
            "MfaDelete" | "MFADelete" => request.mfa_delete = Some(cursor.text()?),
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    Ok(request)
}

/// What a `CreateBucketConfiguration` asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CreateBucketRequest {
    /// Where the bucket is to be.
    pub location: Option<String>,
    /// Its tags, if it is to have any.
    pub tags: Option<TagSet>,
}

/// Parses `CreateBucketConfiguration`. An empty body asks for nothing.
///
/// # Errors
/// [`XmlError::Malformed`], [`XmlError::TooLarge`] and [`XmlError::Tags`].
pub fn create_bucket_configuration(body: &[u8]) -> Result<CreateBucketRequest, XmlError> {
    let mut request = CreateBucketRequest::default();
    if body.trim_ascii().is_empty() {
        return Ok(request);
    }
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("CreateBucketConfiguration")?;
    let mut tags = Vec::new();
    while let Some(name) = cursor.next_child()? {
        match name {
            "LocationConstraint" => request.location = Some(cursor.text()?),
            "Tags" => tags.extend(tag_set(&mut cursor)?),
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    request.location = request.location.filter(|location| !location.is_empty());
    if !tags.is_empty() {
        request.tags = Some(TagSet::of_bucket(tags)?);
    }
    Ok(request)
}

/// Parses `Tagging`, with the rules for objects.
///
/// # Errors
/// [`XmlError::Malformed`], [`XmlError::TooLarge`] and [`XmlError::Tags`].
pub fn tagging(body: &[u8]) -> Result<TagSet, XmlError> {
    Ok(TagSet::new(all_tags(body)?)?)
}

/// Parses `Tagging`, with the rules for buckets.
///
/// # Errors
/// As [`tagging`].
pub fn bucket_tagging(body: &[u8]) -> Result<TagSet, XmlError> {
    Ok(TagSet::of_bucket(all_tags(body)?)?)
}

fn all_tags(body: &[u8]) -> Result<Vec<Tag>, XmlError> {
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("Tagging")?;
    let mut tags = None;
    while let Some(name) = cursor.next_child()? {
        match name {
            "TagSet" if tags.is_none() => tags = Some(tag_set(&mut cursor)?),
            "TagSet" => return Err(malformed("more than one tag set")),
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    tags.ok_or(malformed("no tag set"))
}

fn tag_set(cursor: &mut Cursor<'_>) -> Result<Vec<Tag>, XmlError> {
    let mut tags = Vec::new();
    while let Some(name) = cursor.next_child()? {
        match name {
            "Tag" => tags.push(tag(cursor)?),
            _ => cursor.skip()?,
        }
    }
    Ok(tags)
}

fn tag(cursor: &mut Cursor<'_>) -> Result<Tag, XmlError> {
    let (mut key, mut value) = (None, None);
    while let Some(name) = cursor.next_child()? {
        match name {
            "Key" => key = Some(cursor.text()?),
            "Value" => value = Some(cursor.text()?),
            _ => cursor.skip()?,
        }
    }
    let key = key.ok_or(malformed("tag without key"))?;
    Ok(Tag {
        key,
        value: value.ok_or(malformed("tag without value"))?,
    })
}

#[cfg(test)]
mod tests;
