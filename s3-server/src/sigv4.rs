//! AWS Signature Version 4 for S3, IAM and STS: who sent this request, and was it changed on the way?
//!
//! [`Verifier::verify`] takes a request's method, URI and headers, the time, and a look-up of
//! secrets, and answers with the access key and how the body is protected. aws-chunked bodies are
//! then read with [`chunked::Decoder`].
//!
//! Invariants: signatures are compared in constant time; an error never holds a secret or the
//! expected signature; the clock is an argument; bytes from the network never panic.

mod authorization;
mod canonical;
pub mod chunked;
mod error;
mod key;
mod payload;
mod post;
mod timestamp;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use http::header::{AUTHORIZATION, DATE, HOST};
use http::{HeaderMap, Method, Uri};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use authorization::{Claim, PresignedClaim};
use canonical::{Encoding, Parts};
use key::{KeyCache, Scope};

pub(crate) use authorization::{claimed_access_key, is_presigned, is_presigned_v2};
pub use error::{Carrier, Mismatch, SigError};
pub use key::{Secret, SigningKey};
pub use payload::Payload;
pub use post::PostSignature;
pub use timestamp::Timestamp;

/// How far a client's clock may be off, in seconds.
const MAX_SKEW_SECONDS: i64 = 15 * 60;

/// What requests to IAM and STS are signed for wherever they go, unless a client is told otherwise.
const GLOBAL_REGION: &str = "us-east-1";

const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
pub(crate) const CONTENT_SHA256: &str = "x-amz-content-sha256";

/// What a request is signed for. A signature for one of them is none for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// S3.
    S3,
    /// IAM.
    Iam,
    /// STS.
    Sts,
}

impl Service {
    /// As it stands in the scope of a credential.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }
}

/// The parts of a request that a signature covers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The URI as it came in: path and query raw; over HTTP/2 also the authority.
    pub uri: &'a Uri,
    /// The headers as they came in.
    pub headers: &'a HeaderMap,
}

/// A request whose signature was right.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Who signed it.
    pub access_key: String,
    /// Header or presigned query.
    pub carrier: Carrier,
    /// How the body is protected.
    pub payload: Payload,
    /// The session token of temporary credentials, not checked yet.
    pub session_token: Option<String>,
    /// What signed chunks are verified with; `None` for version 2, which has no chunks.
    pub chunks: Option<ChunkSigner>,
}

/// The start of the chain of chunk signatures.
#[derive(Clone, Debug)]
pub struct ChunkSigner {
    key: SigningKey,
    timestamp: Timestamp,
    scope: String,
    seed: [u8; 32],
}

impl Verified {
    /// A request that nobody signed, whose body may be protected all the same.
    ///
    /// # Errors
    /// [`SigError::Anonymous`] for chunks that are said to be signed, [`SigError::InvalidContentSha256`].
    pub fn anonymous(headers: &HeaderMap) -> Result<Self, SigError> {
        let payload = Payload::parse(text(headers, CONTENT_SHA256).unwrap_or(UNSIGNED_PAYLOAD))?;
        if let Payload::SignedChunks | Payload::SignedChunksTrailer = payload {
            return Err(SigError::Anonymous);
        }
        Ok(Self {
            access_key: String::new(),
            carrier: Carrier::Header,
            payload,
            session_token: None,
            chunks: None,
        })
    }
}

/// Whether nobody even claims to have signed a request.
pub fn is_anonymous(request: &Request<'_>) -> bool {
    let query = request.uri.query().unwrap_or_default();
    !request.headers.contains_key(AUTHORIZATION) && !is_presigned(query) && !is_presigned_v2(query)
}

/// The token of temporary credentials, where a request says that it was signed with such: in a presigned query, or in a header.
pub(crate) fn session_token(request: &Request<'_>) -> Option<String> {
    let query = request.uri.query().unwrap_or_default();
    if is_presigned(query) {
        let presigned = authorization::parse_query(query).ok()?;
        return presigned.session_token.map(Cow::into_owned);
    }
    text(request.headers, "x-amz-security-token").map(str::to_owned)
}

/// When a request was signed, in seconds since 1970, as it says itself: nobody has checked it here.
pub(crate) fn signed_at(request: &Request<'_>) -> Option<i64> {
    let query = request.uri.query().unwrap_or_default();
    let timestamp = if is_presigned(query) {
        Timestamp::parse_iso(&authorization::parse_query(query).ok()?.date)
    } else {
        header_time(request.headers)
    };
    timestamp.map(|timestamp| timestamp.unix_seconds())
}

/// Verifies requests for one region. Cheap to share; holds the cache of signing keys.
#[derive(Debug)]
pub struct Verifier {
    region: String,
    keys: KeyCache,
}

/// A claim with its time and payload hash worked out, ready to be checked.
struct Candidate<'a> {
    claim: Claim<'a>,
    timestamp: Timestamp,
    payload_hash: Cow<'a, str>,
    session_token: Option<Cow<'a, str>>,
}

impl Verifier {
    /// A verifier for requests signed for `region`.
    pub fn new(region: impl Into<String>) -> Self {
        Self {
            region: region.into(),
            keys: KeyCache::default(),
        }
    }

    /// The region that requests must be signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Checks a request's signature.
    ///
    /// `now` is in seconds since 1970; `secret_of` looks an access key up.
    ///
    /// # Errors
    /// Any [`SigError`]; each becomes the S3 error that AWS answers. The caller refuses the request.
    pub fn verify(
        &self,
        request: &Request<'_>,
        now: i64,
        secret_of: impl FnOnce(&str) -> Option<Secret>,
    ) -> Result<Verified, SigError> {
        let candidate = candidate(request, now)?;
        self.verify_candidate(Service::S3, request, candidate, secret_of)
    }

    /// Checks the signature of a request to IAM or STS, whose body is part of it: `body_sha256` is its hash in hexadecimal.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub fn verify_with_body(
        &self,
        service: Service,
        request: &Request<'_>,
        body_sha256: &str,
        now: i64,
        secret_of: impl FnOnce(&str) -> Option<Secret>,
    ) -> Result<Verified, SigError> {
        let mut candidate = candidate_of(request, now, Some(body_sha256))?;
        candidate.payload_hash = Cow::Borrowed(body_sha256);
        self.verify_candidate(service, request, candidate, secret_of)
    }

    fn verify_candidate(
        &self,
        service: Service,
        request: &Request<'_>,
        candidate: Candidate<'_>,
        secret_of: impl FnOnce(&str) -> Option<Secret>,
    ) -> Result<Verified, SigError> {
        self.check_scope(service, &candidate)?;
        let access_key = &*candidate.claim.scope.access_key;
        let secret = secret_of(access_key).ok_or_else(|| SigError::UnknownAccessKey {
            access_key: access_key.to_owned(),
        })?;
        check_signed_headers(request, &candidate.claim.signed_headers)?;
        let payload = Payload::parse(&candidate.payload_hash)?;
        let chunks = self.check_signature(request, &candidate, &secret)?;
        let Candidate {
            claim,
            session_token,
            ..
        } = candidate;
        Ok(Verified {
            access_key: claim.scope.access_key.into_owned(),
            carrier: claim.carrier,
            payload,
            session_token: session_token.map(Cow::into_owned),
            chunks: Some(chunks),
        })
    }

    fn check_scope(&self, service: Service, candidate: &Candidate<'_>) -> Result<(), SigError> {
        let Claim { carrier, scope, .. } = &candidate.claim;
        if scope.service != service.name() {
            return Err(SigError::WrongService {
                carrier: *carrier,
                expected: service.name(),
                got: scope.service.clone().into_owned(),
            });
        }
        let is_global = service != Service::S3 && scope.region == GLOBAL_REGION;
        if scope.region != self.region && !is_global {
            let (expected, got) = (self.region.clone(), scope.region.clone().into_owned());
            return Err(SigError::WrongRegion {
                carrier: *carrier,
                expected,
                got,
            });
        }
        if scope.date != candidate.timestamp.date() {
            return Err(SigError::CredentialDateMismatch {
                carrier: *carrier,
                credential: scope.date.clone().into_owned(),
                request: candidate.timestamp.date().to_owned(),
            });
        }
        Ok(())
    }

    fn check_signature(
        &self,
        request: &Request<'_>,
        candidate: &Candidate<'_>,
        secret: &Secret,
    ) -> Result<ChunkSigner, SigError> {
        let claimed = &candidate.claim.scope;
        let scope = Scope {
            date: &claimed.date,
            region: &claimed.region,
            service: &claimed.service,
        };
        let key = self.keys.get(&claimed.access_key, secret, scope);
        let (scope, timestamp) = (scope.text(), candidate.timestamp);
        let parts = Parts {
            method: request.method,
            uri: request.uri,
            headers: request.headers,
            signed_headers: &candidate.claim.signed_headers,
            payload_hash: &candidate.payload_hash,
        };
        let normalised = canonical::request(&parts, Encoding::Normalised);
        let signer = ChunkSigner {
            key,
            timestamp,
            scope,
            seed: [0; 32],
        };
        if let Some(seed) = signer.matches(&normalised, &candidate.claim.signature) {
            return Ok(ChunkSigner { seed, ..signer });
        }
        let as_sent = canonical::request(&parts, Encoding::AsSent);
        match signer.matches(&as_sent, &candidate.claim.signature) {
            Some(seed) => Ok(ChunkSigner { seed, ..signer }),
            None => Err(signer.mismatch(&normalised, &candidate.claim)),
        }
    }
}

impl ChunkSigner {
    /// A signer of the day of AWS's examples.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn for_fuzzing(secret: &Secret) -> Self {
        let scope = Scope {
            date: "20130524",
            region: "us-east-1",
            service: "s3",
        };
        let timestamp = Timestamp::parse_iso("20130524T000000Z");
        Self {
            key: SigningKey::derive(secret, scope),
            timestamp: timestamp.unwrap_or_else(|| unreachable!("a date")),
            scope: scope.text(),
            seed: [0; 32],
        }
    }

    fn string_to_sign(&self, canonical_request: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        for part in [
            authorization::ALGORITHM,
            self.timestamp.as_str(),
            &self.scope,
        ] {
            out.extend_from_slice(part.as_bytes());
            out.push(b'\n');
        }
        push_hex(&mut out, &Sha256::digest(canonical_request));
        out
    }

    /// The signature, if it is the right one.
    fn matches(&self, canonical_request: &[u8], signature: &str) -> Option<[u8; 32]> {
        let expected = self.key.sign(&self.string_to_sign(canonical_request));
        same_signature(&expected, signature.as_bytes()).then_some(expected)
    }

    fn mismatch(&self, canonical_request: &[u8], claim: &Claim<'_>) -> SigError {
        let string_to_sign = self.string_to_sign(canonical_request);
        SigError::Mismatch(Box::new(Mismatch {
            access_key: claim.scope.access_key.clone().into_owned(),
            signature_provided: claim.signature.clone().into_owned(),
            string_to_sign: String::from_utf8_lossy(&string_to_sign).into_owned(),
            canonical_request: Some(String::from_utf8_lossy(canonical_request).into_owned()),
        }))
    }
}

/// Compares in constant time with 64 hex digits.
fn same_signature(expected: &[u8; 32], hex_digits: &[u8]) -> bool {
    let mut got = [0; 32];
    hex::decode_to_slice(hex_digits, &mut got).is_ok() && bool::from(expected.ct_eq(&got))
}

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

fn candidate<'a>(request: &Request<'a>, now: i64) -> Result<Candidate<'a>, SigError> {
    candidate_of(request, now, None)
}

/// `body_sha256`: what counts where no header has a hash of the body.
fn candidate_of<'a>(
    request: &Request<'a>,
    now: i64,
    body_sha256: Option<&'a str>,
) -> Result<Candidate<'a>, SigError> {
    let query = request.uri.query().unwrap_or_default();
    let presigned = is_presigned(query);
    match request.headers.get(AUTHORIZATION) {
        Some(_) if presigned || is_presigned_v2(query) => Err(SigError::MultipleMechanisms),
        Some(value) => {
            let value = value.to_str().unwrap_or_default();
            from_header(request, value, now, body_sha256)
        }
        None if presigned => from_query(request, query, now),
        None if is_presigned_v2(query) => Err(SigError::UnsupportedAlgorithm),
        None => Err(SigError::Anonymous),
    }
}

fn from_header<'a>(
    request: &Request<'a>,
    value: &'a str,
    now: i64,
    body_sha256: Option<&'a str>,
) -> Result<Candidate<'a>, SigError> {
    let claim = authorization::parse_header(value)?;
    let timestamp = header_time(request.headers).ok_or(SigError::MissingDate)?;
    let skew = -MAX_SKEW_SECONDS..=MAX_SKEW_SECONDS;
    if !within(&skew, now, timestamp) {
        let request_time = timestamp.as_str().to_owned();
        return Err(SigError::TimeTooSkewed {
            request_time,
            server_time: now,
        });
    }
    let hash = text(request.headers, CONTENT_SHA256).or(body_sha256);
    let hash = hash.ok_or(SigError::MissingContentSha256)?;
    let session_token = text(request.headers, "x-amz-security-token").map(Cow::Borrowed);
    Ok(Candidate {
        claim,
        timestamp,
        payload_hash: Cow::Borrowed(hash),
        session_token,
    })
}

fn from_query<'a>(
    request: &Request<'a>,
    query: &'a str,
    now: i64,
) -> Result<Candidate<'a>, SigError> {
    let presigned = authorization::parse_query(query)?;
    let timestamp = Timestamp::parse_iso(&presigned.date).ok_or(SigError::QueryDate)?;
    check_lifetime(&presigned, timestamp, now)?;
    let header = text(request.headers, CONTENT_SHA256).map(Cow::Borrowed);
    let payload_hash = header
        .or(presigned.content_sha256)
        .unwrap_or(Cow::Borrowed(UNSIGNED_PAYLOAD));
    let PresignedClaim {
        claim,
        session_token,
        ..
    } = presigned;
    Ok(Candidate {
        claim,
        timestamp,
        payload_hash,
        session_token,
    })
}

fn check_lifetime(
    presigned: &PresignedClaim<'_>,
    timestamp: Timestamp,
    now: i64,
) -> Result<(), SigError> {
    let expires_seconds = presigned.expires_seconds;
    let age = now.saturating_sub(timestamp.unix_seconds());
    if age < -MAX_SKEW_SECONDS {
        return Err(SigError::NotYetValid { server_time: now });
    }
    if age > expires_seconds {
        let expired_at = timestamp.unix_seconds() + expires_seconds;
        return Err(SigError::Expired {
            expires_seconds: Some(expires_seconds),
            expired_at,
            server_time: now,
        });
    }
    Ok(())
}

fn within(skew: &RangeInclusive<i64>, now: i64, timestamp: Timestamp) -> bool {
    skew.contains(&now.saturating_sub(timestamp.unix_seconds()))
}

fn header_time(headers: &HeaderMap) -> Option<Timestamp> {
    match text(headers, "x-amz-date") {
        Some(date) => Timestamp::parse_date_header(date),
        None => Timestamp::parse_date_header(headers.get(DATE)?.to_str().ok()?),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Refuses a request whose `host` or one of whose `x-amz-` headers the signature does not cover.
fn check_signed_headers(request: &Request<'_>, signed: &str) -> Result<(), SigError> {
    let is_signed = |name: &str| signed.split(';').any(|s| s == name);
    let mut missing = Vec::new();
    if !is_signed(HOST.as_str()) {
        missing.push(HOST.as_str());
    }
    for name in request.headers.keys().map(http::HeaderName::as_str) {
        if name.starts_with("x-amz-") && !is_signed(name) {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(SigError::HeadersNotSigned {
        names: missing.join(", "),
    })
}
