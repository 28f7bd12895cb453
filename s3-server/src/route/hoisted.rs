//! Headers that a presigned URL carries in its query.
//!
//! SDKs move `x-amz-*` headers of the request that they presign into the URL, so that whoever uses
//! the URL need not send them. S3 heeds them there as it does in the head, except for tags and
//! checksums, which it ignores: a checksum would be that of the body at the time of signing, which
//! is empty.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};

use super::Query;
use crate::sigv4::{Carrier, Verified};

/// What counts in the query as it does in the head.
const HOISTED: [&str; 6] = [
    "x-amz-meta-",
    "x-amz-acl",
    "x-amz-grant-",
    "x-amz-object-lock-",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
];

/// `parts` with the headers that its presigned query has; those of the head come first.
pub fn with_hoisted_headers<'a>(
    parts: &'a Parts,
    query: &Query,
    verified: &Verified,
) -> Cow<'a, Parts> {
    let mut parts = Cow::Borrowed(parts);
    if verified.carrier == Carrier::Query {
        for (name, value) in query.iter().filter_map(header) {
            if !parts.headers.contains_key(&name) {
                headers_of(&mut parts).insert(name, value);
            }
        }
    }
    parts
}

fn headers_of<'a>(parts: &'a mut Cow<'_, Parts>) -> &'a mut HeaderMap {
    &mut parts.to_mut().headers
}

fn header((name, value): (&str, &str)) -> Option<(HeaderName, HeaderValue)> {
    let name = name.to_ascii_lowercase();
    if !HOISTED.iter().any(|start| name.starts_with(start)) {
        return None;
    }
    let name = HeaderName::try_from(name).ok()?;
    Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hoisted(pair: (&str, &str)) -> Option<(String, String)> {
        let (name, value) = header(pair)?;
        let value = String::from_utf8(value.as_bytes().to_vec()).unwrap();
        Some((name.as_str().to_owned(), value))
    }

    #[test]
    fn metadata_counts_whatever_its_case() {
        let expected = Some(("x-amz-meta-author".to_owned(), "ü b".to_owned()));
        assert_eq!(hoisted(("x-amz-meta-author", "ü b")), expected);
        assert_eq!(hoisted(("X-Amz-Meta-Author", "ü b")), expected);
        assert!(hoisted(("x-amz-server-side-encryption", "aws:kms")).is_some());
    }

    #[test]
    fn the_signature_tags_and_checksums_do_not() {
        for name in [
            "X-Amz-Signature",
            "X-Amz-Date",
            "x-amz-tagging",
            "x-amz-checksum-crc32",
            "x-amz-sdk-checksum-algorithm",
            "x-id",
            "partNumber",
        ] {
            assert_eq!(hoisted((name, "v")), None, "{name}");
        }
        assert_eq!(hoisted(("x-amz-meta-a b", "v")), None);
        assert_eq!(hoisted(("x-amz-meta-a", "line\nbreak")), None);
    }
}
