//! Which bucket, key and operation a request is about.
//!
//! Invariants: keys are percent-decoded exactly once and otherwise left as they are (`a//b` and
//! `a/../b` are keys like any other); unknown query parameters change nothing.

mod hoisted;
mod operation;
mod query;

use std::borrow::Cow;

use http::{HeaderMap, Uri, header::HOST};
use larder_storage::objects::{BucketName, NameError, ObjectKey};
use percent_encoding::percent_decode_str;

use crate::error::{S3Code, S3Error, S3Result};

pub use hoisted::{counts_in_version_4, with_hoisted_headers};
#[cfg(test)]
pub(crate) use operation::subresources;
pub use operation::{Configuration, Operation, operation};
pub use query::Query;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The whole service.
    Service,
    /// A bucket.
    Bucket(BucketName),
    /// An object, which may or may not exist.
    Object(BucketName, ObjectKey),
}

/// The target of a request: path style, or host style where the host ends in one of `domains`.
///
/// # Errors
/// [`S3Code::InvalidUri`], [`S3Code::InvalidBucketName`], [`S3Code::KeyTooLong`].
pub fn target(uri: &Uri, headers: &HeaderMap, domains: &[String]) -> S3Result<Target> {
    let path = uri.path().strip_prefix('/').unwrap_or_default();
    if let Some(bucket) = host_bucket(uri, headers, domains) {
        return named(&bucket, path);
    }
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    match bucket {
        "" if key.is_empty() => Ok(Target::Service),
        _ => named(&decode(bucket)?, key),
    }
}

/// The bucket that the host names, for host style.
pub fn host_bucket(uri: &Uri, headers: &HeaderMap, domains: &[String]) -> Option<String> {
    bucket_of_host(host(uri, headers), domains)
}

fn named(bucket: &str, raw_key: &str) -> S3Result<Target> {
    let name = BucketName::parse(bucket).map_err(|error| {
        S3Error::new(S3Code::InvalidBucketName)
            .element("BucketName", bucket)
            .source_of(error)
    })?;
    if raw_key.is_empty() {
        return Ok(Target::Bucket(name));
    }
    Ok(Target::Object(name, parse_key(&decode(raw_key)?)?))
}

/// A key as clients give it, decoded.
///
/// # Errors
/// [`S3Code::KeyTooLong`], [`S3Code::InvalidUri`].
pub fn parse_key(key: &str) -> S3Result<ObjectKey> {
    ObjectKey::parse(key).map_err(|error| match error {
        NameError::KeyTooLong { bytes } => S3Error::new(S3Code::KeyTooLong)
            .element("Size", bytes.to_string())
            .element("MaxSizeAllowed", "1024"),
        _ => S3Error::new(S3Code::InvalidUri).source_of(error),
    })
}

fn decode(raw: &str) -> S3Result<Cow<'_, str>> {
    percent_decode_str(raw).decode_utf8().map_err(|error| {
        S3Error::new(S3Code::InvalidUri)
            .element("URI", raw)
            .source_of(error)
    })
}

fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let header = || headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(header);
    without_port(host.unwrap_or_default())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The longest domain that the host ends in decides.
fn bucket_of_host(host: &str, domains: &[String]) -> Option<String> {
    if domains.is_empty() {
        return None;
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if domains.contains(&host) {
        return None;
    }
    let bucket = |domain: &String| host.strip_suffix(domain)?.strip_suffix('.');
    domains
        .iter()
        .filter_map(bucket)
        .min_by_key(|b| b.len())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(uri: &str, host: &str, domains: &[&str]) -> S3Result<Target> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        let domains: Vec<_> = domains.iter().map(|&d| d.to_owned()).collect();
        target(&uri.parse().unwrap(), &headers, &domains)
    }

    fn object(bucket: &str, key: &str) -> Target {
        Target::Object(
            BucketName::parse(bucket).unwrap(),
            ObjectKey::parse(key).unwrap(),
        )
    }

    #[test]
    fn path_style_takes_the_bucket_from_the_path() {
        let at = |uri| route(uri, "localhost:9000", &[]).unwrap();
        assert_eq!(at("/"), Target::Service);
        assert_eq!(at("/?x-id=ListBuckets"), Target::Service);
        assert_eq!(
            at("/bucket"),
            Target::Bucket(BucketName::parse("bucket").unwrap())
        );
        assert_eq!(
            at("/bucket/"),
            Target::Bucket(BucketName::parse("bucket").unwrap())
        );
        assert_eq!(at("/bucket/a/b"), object("bucket", "a/b"));
    }

    #[test]
    fn odd_keys_stay_as_they_are() {
        let at = |uri| route(uri, "localhost", &[]).unwrap();
        assert_eq!(at("/bucket//a//b/"), object("bucket", "/a//b/"));
        assert_eq!(at("/bucket/a/../b/./c"), object("bucket", "a/../b/./c"));
        assert_eq!(at("/bucket/a+b%20c%2Bd%25"), object("bucket", "a+b c+d%"));
        assert_eq!(
            at("/bucket/%C3%BC%2F%F0%9F%98%80"),
            object("bucket", "ü/😀")
        );
        assert_eq!(at("/bucket/%2500"), object("bucket", "%00"));
    }

    #[test]
    fn host_style_takes_the_bucket_from_the_host() {
        let domains = ["s3.example", "eu.s3.example"];
        let at = |uri, host| route(uri, host, &domains).unwrap();
        assert_eq!(at("/a/b", "bucket.s3.example"), object("bucket", "a/b"));
        assert_eq!(
            at("/a/b", "my.bucket.S3.EXAMPLE:9000"),
            object("my.bucket", "a/b")
        );
        assert_eq!(at("/a", "bucket.eu.s3.example"), object("bucket", "a"));
        assert_eq!(at("/bucket/a", "eu.s3.example"), object("bucket", "a"));
        assert_eq!(at("/bucket/a", "s3.example:80"), object("bucket", "a"));
        assert_eq!(at("/bucket/a", "127.0.0.1:9000"), object("bucket", "a"));
        assert_eq!(at("/bucket/a", "[::1]:9000"), object("bucket", "a"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let code = |uri| route(uri, "localhost", &[]).unwrap_err().code();
        assert_eq!(code("/Bad_Bucket"), S3Code::InvalidBucketName);
        assert_eq!(code("//bucket"), S3Code::InvalidBucketName);
        assert_eq!(code("/bucket/%ff"), S3Code::InvalidUri);
        assert_eq!(
            code(&format!("/bucket/{}", "a".repeat(1025))),
            S3Code::KeyTooLong
        );
    }
}
