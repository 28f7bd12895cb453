//! Headers and tags kept with an object, with short codes for what is common.

use super::fields::{Encoder, Field, RecordError, put_text, take_text};
use crate::varint;

/// Headers kept with an object, as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Headers {
    /// Those that mean something to HTTP or S3 (`content-type`, `cache-control`, ...), names in lower case.
    pub system: Vec<(String, String)>,
    /// User metadata: names without `x-amz-meta-`, in lower case.
    pub user: Vec<(String, String)>,
}

/// Tags of an object, keys distinct.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags(pub Vec<(String, String)>);

/// Tags under which the fields of this file stand in any record.
pub(super) const CONTENT_TYPE: u64 = 9;
pub(super) const SYSTEM: u64 = 11;
pub(super) const USER: u64 = 13;
pub(super) const TAGS: u64 = 15;

/// Names with a code, which is the position plus one; only ever appended to. Code 0: the name is spelled out.
const NAMES: [&str; 8] = [
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
    "x-amz-website-redirect-location",
    "x-amz-storage-class",
];

/// Content types with a code, which is the position; only ever appended to.
const TYPES: [&str; 12] = [
    "application/octet-stream",
    "binary/octet-stream",
    "text/plain",
    "application/json",
    "application/gzip",
    "application/x-gzip",
    "application/x-tar",
    "application/zstd",
    "text/html",
    "image/jpeg",
    "image/png",
    "application/x-www-form-urlencoded; charset=utf-8",
];

pub(super) fn encode_headers(headers: &Headers, out: &mut Encoder) {
    for (name, value) in &headers.system {
        encode_system(name, value, out);
    }
    for (name, value) in &headers.user {
        let mut bytes = Vec::with_capacity(name.len() + value.len() + 2);
        put_text(&mut bytes, name);
        bytes.extend_from_slice(value.as_bytes());
        out.bytes(USER, &bytes);
    }
}

fn encode_system(name: &str, value: &str, out: &mut Encoder) {
    let type_code = TYPES.iter().position(|known| *known == value);
    if let (Some(code), "content-type") = (type_code, name) {
        return out.number(CONTENT_TYPE, code as u64);
    }
    let mut bytes = Vec::with_capacity(name.len() + value.len() + 2);
    if let Some(code) = NAMES.iter().position(|known| *known == name) {
        varint::put(&mut bytes, code as u64 + 1);
    } else {
        varint::put(&mut bytes, 0);
        put_text(&mut bytes, name);
    }
    bytes.extend_from_slice(value.as_bytes());
    out.bytes(SYSTEM, &bytes);
}

impl Headers {
    /// Takes in a field of tag [`CONTENT_TYPE`], [`SYSTEM`] or [`USER`].
    pub(super) fn decode_field(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        let header = match field.tag {
            CONTENT_TYPE => content_type(field),
            SYSTEM => field.whole(take_system),
            _ => {
                let user = field.whole(|input| Some((take_text(input)?, take_rest(input)?)))?;
                self.user.push(user);
                return Ok(());
            }
        };
        self.system.push(header?);
        Ok(())
    }
}

fn content_type(field: &Field<'_>) -> Result<(String, String), RecordError> {
    let code = usize::try_from(field.number()?).map_err(|_| field.bad())?;
    let value = TYPES.get(code).ok_or_else(|| field.bad())?;
    Ok(("content-type".to_owned(), (*value).to_owned()))
}

fn take_system(input: &mut &[u8]) -> Option<(String, String)> {
    let name = match usize::try_from(varint::take(input)?).ok()? {
        0 => take_text(input)?,
        code => (*NAMES.get(code - 1)?).to_owned(),
    };
    Some((name, take_rest(input)?))
}

fn take_rest(input: &mut &[u8]) -> Option<String> {
    let text = std::str::from_utf8(std::mem::take(input)).ok()?;
    Some(text.to_owned())
}

pub(super) fn encode_tags(tags: &Tags, out: &mut Encoder) {
    if tags.0.is_empty() {
        return;
    }
    let mut bytes = Vec::new();
    for (key, value) in &tags.0 {
        put_text(&mut bytes, key);
        put_text(&mut bytes, value);
    }
    out.bytes(TAGS, &bytes);
}

impl Tags {
    pub(super) fn decode(field: &Field<'_>) -> Result<Self, RecordError> {
        field.whole(|input| {
            let mut tags = Vec::new();
            while !input.is_empty() {
                tags.push((take_text(input)?, take_text(input)?));
            }
            Some(Self(tags))
        })
    }
}
