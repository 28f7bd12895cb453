//! AWS Signature Version 2 in a presigned query (`AWSAccessKeyId`, `Expires`, `Signature`): boto3,
//! `aws s3 presign` of version 1 and `s3cmd signurl` still make such URLs unless told otherwise.
//! In the `Authorization` header version 2 stays refused, by [`crate::sigv4`].
//!
//! Version 2 signs the method, Content-MD5, Content-Type, the time of expiry, every `x-amz-` header
//! and the resource: bucket, path as sent, and the subresources of the query. The rest of the query
//! (`prefix`, `max-keys`) and the other headers (`Range`) are not covered, as on AWS.
//!
//! Invariants: those of [`crate::sigv4`]; what is signed is what takes effect. So headers that the
//! query carries become headers before anything else ([`crate::route::with_hoisted_headers`]), and every parameter that
//! selects an operation is among `SUBRESOURCES`.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, Uri};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;

use crate::error::S3Result;
use crate::route::Query;
use crate::sigv4::{self, Carrier, Mismatch, Payload, Request, Secret, SigError, Verified};

/// Query parameters that are part of the signed resource: AWS's documented list, what the SDKs sign
/// beyond it, and what selects an operation. `attributes` is missing since the SDKs do not sign
/// it; it needs an `x-amz-` header, which they do sign.
const SUBRESOURCES: &[&str] = &[
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "cors",
    "defaultObjectAcl",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "partNumber",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "retention",
    "select",
    "select-type",
    "session",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

const CONTENT_MD5: &str = "content-md5";
const SECURITY_TOKEN: &str = "x-amz-security-token";

/// Whether the query carries a signature of version 2, and nothing else a signature.
pub fn is_presigned(uri: &Uri, headers: &HeaderMap) -> bool {
    let query = uri.query().unwrap_or_default();
    sigv4::is_presigned_v2(query)
        && !sigv4::is_presigned(query)
        && !headers.contains_key(AUTHORIZATION)
}

/// Whether version 2 signs a header of this name, so that it counts in the query too.
pub fn is_signed(name: &HeaderName) -> bool {
    is_amz(name) || name == CONTENT_TYPE || name == CONTENT_MD5
}

fn is_amz(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-amz-")
}

/// Checks the signature of a request that [`is_presigned`] and whose headers were hoisted.
///
/// `host_bucket` is the bucket that the host names; `now` is in seconds since 1970.
///
/// # Errors
/// What AWS answers to the [`SigError`]; the caller refuses the request.
pub fn verify(
    request: &Request<'_>,
    host_bucket: Option<&str>,
    now: i64,
    secret_of: impl FnOnce(&str) -> Option<Secret>,
) -> S3Result<Verified> {
    let query = Query::parse(request.uri.query())?;
    let claim = Claim::of(&query)?;
    claim.check_time(now)?;
    let access_key = claim.access_key.to_owned();
    let Some(secret) = secret_of(&access_key) else {
        return Err(SigError::UnknownAccessKey { access_key }.into());
    };
    let payload = payload(request.headers)?;
    let resource = resource(request.uri.path(), host_bucket, &query);
    claim.check_signature(request, &resource, &secret)?;
    Ok(Verified {
        access_key,
        carrier: Carrier::Query,
        payload,
        session_token: text(request.headers, SECURITY_TOKEN).map(str::to_owned),
        chunks: None,
    })
}

/// Version 2 knows no signed chunks; a hash that is sent is checked.
fn payload(headers: &HeaderMap) -> Result<Payload, SigError> {
    let Some(mode) = text(headers, sigv4::CONTENT_SHA256) else {
        return Ok(Payload::Unsigned);
    };
    let payload = Payload::parse(mode)?;
    if payload.is_chunked() {
        return Err(SigError::UnsupportedAlgorithm);
    }
    Ok(payload)
}

/// The three parameters, decoded.
struct Claim<'a> {
    access_key: &'a str,
    expires: &'a str,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    fn of(query: &'a Query) -> Result<Self, SigError> {
        let part = |name| query.filled(name).ok_or(SigError::QueryIncompleteV2);
        Ok(Self {
            access_key: part("AWSAccessKeyId")?,
            expires: part("Expires")?,
            signature: part("Signature")?,
        })
    }

    fn check_time(&self, now: i64) -> Result<(), SigError> {
        let Ok(expired_at) = self.expires.parse() else {
            return Err(SigError::ExpiresNotATime {
                got: self.expires.to_owned(),
            });
        };
        if now > expired_at {
            return Err(SigError::Expired {
                expires_seconds: None,
                expired_at,
                server_time: now,
            });
        }
        Ok(())
    }

    fn check_signature(
        &self,
        request: &Request<'_>,
        resource: &Resource<'_>,
        secret: &Secret,
    ) -> Result<(), SigError> {
        let as_sent = self.string_to_sign(request, resource, "");
        if self.signs(&as_sent, secret) {
            return Ok(());
        }
        // botocore signs `/bucket/` where it sends `/bucket`; they are the same resource.
        if resource.is_bare_bucket() {
            let with_slash = self.string_to_sign(request, resource, "/");
            if self.signs(&with_slash, secret) {
                return Ok(());
            }
        }
        Err(SigError::Mismatch(Box::new(Mismatch {
            access_key: self.access_key.to_owned(),
            signature_provided: self.signature.to_owned(),
            string_to_sign: String::from_utf8_lossy(&as_sent).into_owned(),
            canonical_request: None,
        })))
    }

    fn string_to_sign(
        &self,
        request: &Request<'_>,
        resource: &Resource<'_>,
        slash: &str,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let header = |name| request.headers.get(name).map_or(&b""[..], |v| v.as_bytes());
        for line in [
            request.method.as_str().as_bytes(),
            header(CONTENT_MD5).trim_ascii(),
            header(CONTENT_TYPE.as_str()).trim_ascii(),
            self.expires.as_bytes(),
        ] {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        push_amz_headers(&mut out, request.headers);
        resource.push(&mut out, slash);
        out
    }

    /// Compares in constant time.
    fn signs(&self, string_to_sign: &[u8], secret: &Secret) -> bool {
        let expected = hmac_sha1(secret, string_to_sign);
        // Base64 has no spaces: one is a `+` that the client did not encode.
        let got = STANDARD.decode(self.signature.replace(' ', "+"));
        got.is_ok_and(|got| bool::from(expected[..].ct_eq(&got)))
    }
}

fn hmac_sha1(secret: &Secret, data: &[u8]) -> [u8; 20] {
    // HMAC takes keys of every length; the zero key would only make signatures mismatch.
    let state = Hmac::<Sha1>::new_from_slice(secret.as_bytes());
    let mut state = state.unwrap_or_else(|_| Hmac::new(&[0; 64].into()));
    state.update(data);
    state.finalize().into_bytes().into()
}

/// Appends a line for each `x-amz-` header, sorted, repeated ones joined by commas.
fn push_amz_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    let mut names: Vec<_> = headers.keys().filter(|name| is_amz(name)).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    for name in names {
        out.extend_from_slice(name.as_str().as_bytes());
        let mut separator = b':';
        for value in headers.get_all(name) {
            out.push(separator);
            out.extend_from_slice(value.as_bytes().trim_ascii());
            separator = b',';
        }
        out.push(b'\n');
    }
}

/// The resource that is signed: bucket of the host, raw path, decoded subresources sorted by name.
struct Resource<'a> {
    host_bucket: Option<&'a str>,
    path: &'a str,
    subresources: Vec<(&'a str, &'a str)>,
}

fn resource<'a>(path: &'a str, host_bucket: Option<&'a str>, query: &'a Query) -> Resource<'a> {
    let is_signed = |&(name, _): &(&str, &str)| SUBRESOURCES.contains(&name);
    let mut subresources: Vec<_> = query.iter().filter(is_signed).collect();
    subresources.sort_by_key(|&(name, _)| name);
    Resource {
        host_bucket,
        path,
        subresources,
    }
}

impl Resource<'_> {
    /// Whether the path is `/bucket`.
    fn is_bare_bucket(&self) -> bool {
        let name = self.path.strip_prefix('/').unwrap_or_default();
        self.host_bucket.is_none() && !name.is_empty() && !name.contains('/')
    }

    fn push(&self, out: &mut Vec<u8>, slash: &str) {
        if let Some(bucket) = self.host_bucket {
            out.push(b'/');
            out.extend_from_slice(bucket.as_bytes());
        }
        out.extend_from_slice(self.path.as_bytes());
        out.extend_from_slice(slash.as_bytes());
        let mut separator = b'?';
        for &(name, value) in &self.subresources {
            out.push(separator);
            out.extend_from_slice(pair(name, value).as_bytes());
            separator = b'&';
        }
    }
}

fn pair<'a>(name: &'a str, value: &str) -> Cow<'a, str> {
    match value {
        "" => Cow::Borrowed(name),
        _ => Cow::Owned(format!("{name}={value}")),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
