//! Headers that a presigned URL carries in its query.
//!
//! SDKs move headers of the request that they presign into the URL, so that whoever uses the URL need not send them.
//! Which of them count there depends on the version of the signature. Version 2 signs them as headers, so all that it signs
//! do ([`crate::sigv2::is_signed`]), and they must be headers before it is verified. Version 4 signs the query itself, and S3 heeds some of
//! what is in it ([`counts_in_version_4`]); they become headers once it is verified, because it refuses `x-amz-` headers that are not
//! signed as such.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};

use super::Query;

/// Tags and checksums are missing on purpose, as on AWS: a checksum would be that of the body at the time of signing, which
/// is empty.
const IN_VERSION_4: [&str; 6] = [
    "x-amz-meta-",
    "x-amz-acl",
    "x-amz-grant-",
    "x-amz-object-lock-",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
];

/// Whether a header in the query of a URL presigned with version 4 counts as it does in the head.
pub fn counts_in_version_4(name: &HeaderName) -> bool {
    let name = name.as_str();
    IN_VERSION_4.iter().any(|start| name.starts_with(start))
}

/// `parts` with those headers of its query that `counts` names; those of the head come first.
///
/// A value that is no header's is left where it is, where nobody reads it: it cannot forge lines of what is signed.
pub fn with_hoisted_headers<'a>(
    parts: &'a Parts,
    query: &Query,
    counts: impl Fn(&HeaderName) -> bool,
) -> Cow<'a, Parts> {
    let mut parts = Cow::Borrowed(parts);
    for (name, value) in query.iter().filter_map(header) {
        if counts(&name) && !parts.headers.contains_key(&name) {
            headers_of(&mut parts).insert(name, value);
        }
    }
    parts
}

fn headers_of<'a>(parts: &'a mut Cow<'_, Parts>) -> &'a mut HeaderMap {
    &mut parts.to_mut().headers
}

fn header((name, value): (&str, &str)) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hoisted(pair: (&str, &str)) -> Option<(String, String)> {
        let (name, value) = header(pair).filter(|(name, _)| counts_in_version_4(name))?;
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
