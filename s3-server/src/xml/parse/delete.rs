//! The body of `DeleteObjects`.

use super::cursor::Cursor;
use super::{XmlError, malformed};

/// Most keys in one request.
pub const MAX_DELETE_KEYS: usize = 1000;

/// Largest body in bytes: a thousand keys of 1,024 bytes with every byte a numeric reference, and
/// their elements.
pub const MAX_DELETE_BYTES: usize = 8 * 1024 * 1024;

/// One object to delete, with the conditions that it must meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteObject {
    /// The key; never empty.
    pub key: String,
    /// The version, if one is named.
    pub version_id: Option<String>,
    /// The entity tag it must have, without quotes.
    pub etag: Option<String>,
    /// The time it must have, as sent.
    pub last_modified_time: Option<String>,
    /// The size in bytes that it must have.
    pub size: Option<u64>,
}

/// A parsed `Delete`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Whether only errors are answered.
    pub quiet: bool,
    /// 1 to 1,000 objects.
    pub objects: Vec<DeleteObject>,
}

/// Parses `Delete`.
///
/// # Errors
/// [`XmlError::Malformed`], also for none and for more than a thousand keys, and
/// [`XmlError::TooLarge`].
pub fn delete(body: &[u8]) -> Result<DeleteRequest, XmlError> {
    let mut cursor = Cursor::new(body, MAX_DELETE_BYTES)?;
    cursor.root("Delete")?;
    let mut request = DeleteRequest::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "Object" if request.objects.len() == MAX_DELETE_KEYS => {
                return Err(malformed("more than a thousand keys"));
            }
            "Object" => request.objects.push(object(&mut cursor)?),
            "Quiet" => request.quiet = boolean(&cursor.text()?)?,
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    if request.objects.is_empty() {
        return Err(malformed("no keys"));
    }
    Ok(request)
}

fn object(cursor: &mut Cursor<'_>) -> Result<DeleteObject, XmlError> {
    let mut object = DeleteObject::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "Key" => object.key = cursor.text()?,
            "VersionId" => object.version_id = non_empty(cursor.text()?),
            "ETag" => object.etag = non_empty(cursor.text()?.trim_matches('"').to_owned()),
            "LastModifiedTime" => object.last_modified_time = non_empty(cursor.text()?),
            "Size" => object.size = Some(size(&cursor.text()?)?),
            _ => cursor.skip()?,
        }
    }
    if object.key.is_empty() {
        Err(malformed("object without key"))
    } else {
        Ok(object)
    }
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|t| !t.is_empty())
}

fn size(text: &str) -> Result<u64, XmlError> {
    text.trim()
        .parse()
        .map_err(|_| malformed("size is not a number"))
}

fn boolean(text: &str) -> Result<bool, XmlError> {
    match text.trim() {
        t if t.eq_ignore_ascii_case("true") => Ok(true),
        t if t.eq_ignore_ascii_case("false") || t.is_empty() => Ok(false),
        _ => Err(malformed("quiet is neither true nor false")),
    }
}
