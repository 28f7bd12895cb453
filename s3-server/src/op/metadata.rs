//! Headers that are kept with an object: from the request, and back onto answers.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use larder_storage::objects::{Headers, ObjectInfo, Tags};

use super::{call::text, object_lock};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http_date, reply,
    xml::{Tag, TagSet},
};

/// Names and values of user metadata, in bytes.
const MAX_USER_METADATA_BYTES: usize = 2 << 10;
const USER_PREFIX: &str = "x-amz-meta-";
const STORAGE_CLASS: &str = "x-amz-storage-class";
/// The storage class of every object.
pub(super) const STANDARD: &str = "STANDARD";
const DEFAULT_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("binary/octet-stream");

/// Kept as they come, beside `content-encoding`, which loses `aws-chunked`.
const KEPT: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
];

/// The headers to keep of a request.
///
/// # Errors
/// [`S3Code::MetadataTooLarge`], [`S3Code::InvalidStorageClass`].
pub(super) fn from_request(headers: &HeaderMap) -> S3Result<Headers> {
    check_storage_class(headers)?;
    check_redirect(headers)?;
    let mut system = Vec::new();
    for name in KEPT {
        // An empty value is none: the object has its default then.
        let value = headers.get(name).filter(|value| !value.is_empty());
        system.extend(value.map(|value| (name.to_owned(), readable(value))));
    }
    if let Some(encoding) = content_encoding(headers) {
        system.push((header::CONTENT_ENCODING.as_str().to_owned(), encoding));
    }
    Ok(Headers {
        system,
        user: user_metadata(headers)?,
    })
}

fn user_metadata(headers: &HeaderMap) -> S3Result<Vec<(String, String)>> {
    let mut user: Vec<(String, String)> = Vec::new();
    for name in headers.keys() {
        let Some(short) = name.as_str().strip_prefix(USER_PREFIX) else {
            continue;
        };
        let values: Vec<_> = headers.get_all(name).iter().map(readable).collect();
        user.push((short.to_owned(), values.join(",")));
    }
    let bytes: usize = user
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > MAX_USER_METADATA_BYTES {
        return Err(S3Error::new(S3Code::MetadataTooLarge)
            .element("Size", bytes.to_string())
            .element("MaxSizeAllowed", MAX_USER_METADATA_BYTES.to_string()));
    }
    user.sort();
    Ok(user)
}

/// UTF-8 where it is UTF-8, Latin-1 otherwise, so that nothing is lost.
fn readable(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim().to_owned(),
        Err(_) => bytes.iter().map(|&b| char::from(b)).collect(),
    }
}

/// `Content-Encoding` without `aws-chunked`, which describes the transfer and not the object.
fn content_encoding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let tokens = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let kept: Vec<_> = tokens
        .map(str::trim)
        .filter(|token| !token.is_empty() && !token.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

fn check_storage_class(headers: &HeaderMap) -> S3Result<()> {
    match text(headers, STORAGE_CLASS) {
        None | Some(STANDARD) => Ok(()),
        Some(other) => {
            Err(S3Error::new(S3Code::InvalidStorageClass).element("StorageClassRequested", other))
        }
    }
}

fn check_redirect(headers: &HeaderMap) -> S3Result<()> {
    let starts = ["/", "http://", "https://"];
    match headers.get("x-amz-website-redirect-location") {
        Some(to)
            if !starts
                .iter()
                .any(|start| to.as_bytes().starts_with(start.as_bytes())) =>
        {
            Err(S3Error::new(S3Code::InvalidRedirectLocation))
        }
        _ => Ok(()),
    }
}

/// The tags of `x-amz-tagging`.
///
/// # Errors
/// [`S3Code::InvalidTag`] and its like.
pub(super) fn tags_from_request(headers: &HeaderMap) -> S3Result<Tags> {
    let Some(value) = text(headers, "x-amz-tagging") else {
        return Ok(Tags::default());
    };
    Ok(to_tags(TagSet::from_header(value)?))
}

/// Checked tags for the store.
pub(super) fn to_tags(set: TagSet) -> Tags {
    Tags(
        set.into_vec()
            .into_iter()
            .map(|tag| (tag.key, tag.value))
            .collect(),
    )
}

/// Stored tags for XML.
///
/// # Errors
/// The store holds tags that were never let in.
pub(super) fn from_tags(tags: &Tags) -> S3Result<TagSet> {
    let tag = |(key, value): &(String, String)| Tag {
        key: key.clone(),
        value: value.clone(),
    };
    TagSet::new(tags.0.iter().map(tag).collect()).map_err(S3Error::internal)
}

/// Puts what is known of an object onto an answer, its checksum and length left out.
pub(super) fn describe(info: &ObjectInfo, headers: &mut HeaderMap) {
    headers.insert(
        header::LAST_MODIFIED,
        http_date::header(info.modified_unix_millis),
    );
    headers.insert(header::ETAG, reply::quoted(&info.etag));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, DEFAULT_CONTENT_TYPE);
    for (name, value) in &info.headers.system {
        if let Ok(name) = HeaderName::try_from(name.as_str()) {
            reply::set(headers, name, value);
        }
    }
    for (name, value) in &info.headers.user {
        if let Ok(name) = HeaderName::try_from(format!("{USER_PREFIX}{name}")) {
            reply::set(headers, name, value);
        }
    }
    if !info.tags.0.is_empty() {
        reply::set_number(
            headers,
            reply::X_AMZ_TAGGING_COUNT,
            info.tags.0.len() as u64,
        );
    }
    object_lock::describe(&info.lock, headers);
    reply::set_version(headers, info.version);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    #[test]
    fn system_and_user_headers_are_kept_and_the_rest_is_not() {
        let kept = from_request(&headers(&[
            ("content-type", "text/plain"),
            ("x-amz-meta-b", "2"),
            ("x-amz-meta-a", "ü"),
            ("user-agent", "x"),
            ("x-amz-storage-class", "STANDARD"),
        ]));
        let kept = kept.unwrap();
        assert_eq!(
            kept.system,
            [("content-type".to_owned(), "text/plain".to_owned())]
        );
        let user = [
            ("a".to_owned(), "ü".to_owned()),
            ("b".to_owned(), "2".to_owned()),
        ];
        assert_eq!(kept.user, user);
    }

    #[test]
    fn the_encoding_of_the_transfer_is_not_that_of_the_object() {
        let encoding = |value| content_encoding(&headers(&[("content-encoding", value)]));
        assert_eq!(encoding("aws-chunked"), None);
        assert_eq!(encoding("AWS-chunked, gzip"), Some("gzip".to_owned()));
        assert_eq!(encoding("gzip,aws-chunked"), Some("gzip".to_owned()));
        assert_eq!(encoding("gzip"), Some("gzip".to_owned()));
    }

    #[test]
    fn metadata_has_a_bound() {
        let fits = "v".repeat(MAX_USER_METADATA_BYTES - 1);
        assert!(from_request(&headers(&[("x-amz-meta-k", &fits)])).is_ok());
        let error = from_request(&headers(&[("x-amz-meta-kk", &fits)])).unwrap_err();
        assert_eq!(error.code(), S3Code::MetadataTooLarge);
    }

    #[test]
    fn other_storage_classes_are_refused() {
        let error = from_request(&headers(&[("x-amz-storage-class", "GLACIER")])).unwrap_err();
        assert_eq!(error.code(), S3Code::InvalidStorageClass);
    }
}
