//! Reading a body: limits, decoding of aws-chunked, and every hash that it must have.
//!
//! Invariant: bytes that were handed on count for nothing until [`Intake::finish`] said `Ok`.

use bytes::Bytes;
use http::{Version, header, request::Parts};
use larder_storage::objects::{BodyWriter, Checksum as StoredChecksum, FinishedBody};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Call, checksums};
use crate::{
    checksum::{Algorithm, Checksum, ContentMd5, Expected, Hasher},
    error::{S3Code, S3Error, S3Result},
    hash::Md5Stream,
    http::{Incoming, IncomingError},
    sigv4::{
        Payload,
        chunked::{DECODED_LENGTH, Decoder, Trailers, decoded_length},
    },
};

/// The largest body of one PUT or part.
pub(super) const MAX_BODY_BYTES: u64 = 5 << 30;

/// What is known of a body before its first byte.
#[derive(Debug)]
pub(super) struct Plan {
    /// Its length, decoded.
    pub(super) size: u64,
    content_md5: Option<ContentMd5>,
    expected: Expected,
    /// A checksum to work out whatever the client sends.
    computed: Option<Algorithm>,
}

/// A body on its way in.
#[derive(Debug)]
pub(super) struct Intake<'a> {
    body: &'a mut Incoming,
    input: Bytes,
    decoder: Option<Decoder>,
    digests: Digests,
    plan: Plan,
    received_bytes: u64,
}

#[derive(Debug)]
struct Digests {
    md5: Option<Md5Stream>,
    checksum: Option<Hasher>,
    /// Beside `checksum`; `None` where that is of the same algorithm.
    computed: Option<Hasher>,
    sha256: Option<(Sha256, [u8; 32])>,
}

/// What a body turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digested {
    /// Its MD5; zero where none was wanted.
    pub(super) md5: [u8; 16],
    /// Its checksum, if the client sent one.
    pub(super) checksum: Option<Checksum>,
    /// Its checksum by the algorithm of [`Plan::computing`].
    pub(super) computed: Option<Checksum>,
}

/// A body that is stored, though nothing names it yet.
#[derive(Debug)]
pub(super) struct Received {
    /// The bytes.
    pub(super) blob: FinishedBody,
    /// Their MD5.
    pub(super) md5: [u8; 16],
    /// Their checksum, if the client sent one.
    pub(super) checksum: Option<StoredChecksum>,
    /// Their checksum by the algorithm of [`Plan::computing`].
    pub(super) computed: Option<StoredChecksum>,
}

impl Plan {
    /// Reads the headers of a request whose body is data.
    ///
    /// # Errors
    /// [`S3Code::MissingContentLength`], [`S3Code::EntityTooLarge`], and those of the checksums.
    pub(super) fn of(call: &Call<'_>) -> S3Result<Self> {
        let expected = Expected::from_headers(call.headers(), call.verified.payload.has_trailer())?;
        Self::with(call, expected)
    }

    /// As [`Plan::of`], for a body that is stored: in HTTP/1.1 its length is said even where it is 0, or else a client that
    /// lost its body would leave an empty object in the place of a full one.
    ///
    /// # Errors
    /// As [`Plan::of`].
    pub(super) fn of_data(call: &Call<'_>) -> S3Result<Self> {
        check_length_is_said(call.parts)?;
        Self::of(call)
    }

    /// As [`Plan::of`], for a body whose request has checksums that are not those of the body.
    pub(super) fn without_checksum(call: &Call<'_>) -> S3Result<Self> {
        Self::with(call, Expected::None)
    }

    fn with(call: &Call<'_>, expected: Expected) -> S3Result<Self> {
        let content_md5 = ContentMd5::from_headers(call.headers())?;
        let plan = Self {
            size: size(call)?,
            content_md5,
            expected,
            computed: None,
        };
        plan.at_most(MAX_BODY_BYTES)
    }

    /// Works a checksum of this algorithm out, whether the client sends one or not.
    pub(super) fn computing(self, algorithm: Algorithm) -> Self {
        let computed = Some(algorithm);
        Self { computed, ..self }
    }

    /// The algorithm that the client chose.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.expected.algorithm()
    }

    /// Whether the client sent anything that its body is compared with, the signature left out.
    pub(super) fn has_integrity(&self) -> bool {
        self.content_md5.is_some() || self.algorithm().is_some()
    }

    /// Refuses a longer body.
    ///
    /// # Errors
    /// [`S3Code::EntityTooLarge`].
    pub(super) fn at_most(self, max_bytes: u64) -> S3Result<Self> {
        if self.size <= max_bytes {
            return Ok(self);
        }
        Err(S3Error::new(S3Code::EntityTooLarge)
            .element("ProposedSize", self.size.to_string())
            .element("MaxSizeAllowed", max_bytes.to_string()))
    }
}

/// Refuses a body in HTTP/1.1 of which nothing says how long it is.
///
/// # Errors
/// [`S3Code::MissingContentLength`].
pub(super) fn check_length_is_said(parts: &Parts) -> S3Result<()> {
    let is_said = parts.headers.contains_key(header::CONTENT_LENGTH)
        || parts.headers.contains_key(header::TRANSFER_ENCODING);
    if parts.version < Version::HTTP_2 && !is_said {
        return Err(S3Error::new(S3Code::MissingContentLength));
    }
    Ok(())
}

/// The length of the data, whatever it is wrapped in.
fn size(call: &Call<'_>) -> S3Result<u64> {
    let headers = call.headers();
    if call.verified.payload.is_chunked() {
        return Ok(decoded_length(headers)?);
    }
    if headers.contains_key(DECODED_LENGTH) {
        return plain_length(decoded_length(headers)?, call.content_length());
    }
    match call.content_length() {
        Some(size) => Ok(size),
        None if call.body.is_end() && !headers.contains_key(header::TRANSFER_ENCODING) => Ok(0),
        None => Err(S3Error::new(S3Code::MissingContentLength)),
    }
}

/// The length of a body whose payload hash says that it is not in aws-chunked frames, though the
/// request has a decoded length. Where the two lengths differ there are frames nevertheless, and to
/// store them would corrupt the object.
fn plain_length(decoded: u64, content_length: Option<u64>) -> S3Result<u64> {
    if content_length.is_none_or(|length| length == decoded) {
        return Ok(decoded);
    }
    let message = "x-amz-decoded-content-length differs from Content-Length, but x-amz-content-sha256 does not name a streaming payload";
    Err(S3Error::with_message(S3Code::InvalidRequest, message))
}

impl<'a> Intake<'a> {
    /// Begins to read; `with_md5` says whether the MD5 is wanted where the client sent none.
    pub(super) fn new(call: &'a mut Call<'_>, plan: Plan, with_md5: bool) -> Self {
        let payload = call.verified.payload;
        let digests = Digests {
            md5: (with_md5 || plan.content_md5.is_some()).then(|| Md5Stream::new(&call.app.md5)),
            checksum: plan.algorithm().map(Hasher::new),
            computed: plan
                .computed
                .filter(|_| plan.computed != plan.algorithm())
                .map(Hasher::new),
            sha256: match payload {
                Payload::Sha256(expected) => Some((Sha256::new(), expected)),
                _ => None,
            },
        };
        let decoder = match &call.verified.chunks {
            Some(signer) => Decoder::new(payload, signer, plan.size),
            // Signed chunks that nobody signed were refused with the request's head.
            None => payload.is_chunked().then(|| Decoder::unsigned(plan.size)),
        };
        Self {
            body: call.body,
            input: Bytes::new(),
            decoder,
            digests,
            plan,
            received_bytes: 0,
        }
    }

    /// The next bytes, hashed already.
    ///
    /// # Errors
    /// [`S3Code::RequestTimeout`], [`S3Code::IncompleteBody`], those of the chunks.
    pub(super) async fn next(&mut self) -> S3Result<Option<Bytes>> {
        while let Some(data) = self.data().await? {
            if !data.is_empty() {
                self.received_bytes += data.len() as u64;
                self.digests.update(&data).await;
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    async fn data(&mut self) -> S3Result<Option<Bytes>> {
        loop {
            if let Some(decoder) = &mut self.decoder
                && let Some(data) = decoder.push(&mut self.input)?
            {
                return Ok(Some(data));
            }
            match self.body.next().await.transpose().map_err(cut)? {
                None => return Ok(None),
                Some(bytes) if self.decoder.is_some() => self.input = bytes,
                Some(bytes) => return Ok(Some(bytes)),
            }
        }
    }

    /// Ends the body and compares everything that was said about it.
    ///
    /// # Errors
    /// [`S3Code::IncompleteBody`], [`S3Code::BadDigest`], [`S3Code::XAmzContentSha256Mismatch`],
    /// those of the chunks.
    pub(super) async fn finish(self) -> S3Result<Digested> {
        let trailers = self
            .decoder
            .map_or(Ok(Trailers::default()), Decoder::finish)?;
        if self.received_bytes != self.plan.size {
            return Err(S3Error::new(S3Code::IncompleteBody));
        }
        let Digests {
            md5,
            checksum,
            computed,
            sha256,
        } = self.digests;
        check_sha256(sha256)?;
        let md5 = match md5 {
            Some(md5) => md5.finish().await,
            None => [0; 16],
        };
        self.plan
            .content_md5
            .map_or(Ok(()), |expected| expected.check(&md5))?;
        let checksum = checksum.map(Hasher::finish);
        self.plan.expected.check(checksum, &trailers)?;
        let same = checksum.filter(|_| self.plan.computed == self.plan.expected.algorithm());
        Ok(Digested {
            md5,
            checksum,
            computed: computed.map(Hasher::finish).or(same),
        })
    }
}

impl Digests {
    /// The MD5 is worked out beside what follows; it holds a bounded number of bytes.
    async fn update(&mut self, data: &Bytes) {
        if let Some(md5) = &mut self.md5 {
            md5.update(data.clone()).await;
        }
        let checksums = [&mut self.checksum, &mut self.computed];
        for hasher in checksums.into_iter().flatten() {
            hasher.update(data);
        }
        if let Some((sha256, _)) = &mut self.sha256 {
            sha256.update(data);
        }
    }
}

fn check_sha256(sha256: Option<(Sha256, [u8; 32])>) -> S3Result<()> {
    let Some((calculated, expected)) = sha256 else {
        return Ok(());
    };
    let calculated = calculated.finalize();
    if bool::from(calculated.as_slice().ct_eq(&expected)) {
        return Ok(());
    }
    Err(S3Error::new(S3Code::XAmzContentSha256Mismatch)
        .element("ClientComputedContentSHA256", hex::encode(expected))
        .element("S3ComputedContentSHA256", hex::encode(calculated)))
}

/// What a body that broke off is to the client.
pub(super) fn cut(error: IncomingError) -> S3Error {
    let code = match error {
        IncomingError::Stalled => S3Code::RequestTimeout,
        IncomingError::Connection(_) => S3Code::IncompleteBody,
    };
    S3Error::new(code).source_of(error)
}

/// Stores a body. Memory is bounded by what `writer` holds.
///
/// # Errors
/// Those of [`Intake`] and of the store; what was written is removed.
///
/// # Cancel safety
/// Dropping the future removes what was written.
pub(super) async fn receive(
    call: &mut Call<'_>,
    plan: Plan,
    mut writer: BodyWriter,
) -> S3Result<Received> {
    let mut intake = Intake::new(call, plan, true);
    while let Some(data) = intake.next().await? {
        writer.write(data).await?;
    }
    let Digested {
        md5,
        checksum,
        computed,
    } = intake.finish().await?;
    Ok(Received {
        blob: writer.finish().await?,
        md5,
        checksum: checksum.as_ref().map(checksums::to_stored),
        computed: computed.as_ref().map(checksums::to_stored),
    })
}
