//! S3 operations on one connection.
//!
//! Each is one request and the check of its response: status, and what the load needs of the body.
//! Buffers are kept from request to request.

use std::{io::IoSlice, sync::Arc};

use larder_storage::clock::Clock;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    connection::{Connection, ExchangeError},
    endpoint::Endpoint,
    payload::{BodyMode, CHUNK_BYTES, Payloads, Verifier, base64_crc32},
    response::ResponseHead,
    sign::{Credentials, Signer, Unsigned, hex_sha256},
    xml::{self, ListPage},
};

/// What the signature leaves as it is in a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same in a path, where slashes stay.
const PATH: &AsciiSet = &QUERY.remove(b'/');

const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// An operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// No whole response.
    #[error("{operation}: {}", with_source(.source))]
    Exchange {
        /// The operation.
        operation: &'static str,
        /// What happened.
        source: ExchangeError,
    },
    /// The server refused.
    #[error("{operation}: status {status} {code} {message}")]
    Status {
        /// The operation.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
        /// S3's error code, or empty.
        code: String,
        /// S3's message, or the beginning of the body.
        message: String,
    },
    /// The server answered with success, but not with what it was given.
    #[error("{operation}: WRONG ANSWER: {what}")]
    Wrong {
        /// The operation.
        operation: &'static str,
        /// What is wrong.
        what: String,
    },
    /// No answer in time.
    #[error("no answer within {seconds} s after the end of the load")]
    Timeout {
        /// The time allowed.
        seconds: u64,
    },
}

fn with_source(error: &ExchangeError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// How GET's bodies are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Length, first and last bytes.
    Ends,
    /// Every byte.
    Whole,
}

/// Which part of an upload a body belongs to.
#[derive(Debug, Clone, Copy)]
pub struct PartOf<'a> {
    /// The upload's id.
    pub upload_id: &'a str,
    /// 1 to 10,000.
    pub part_number: u64,
}

/// What to list.
#[derive(Debug, Clone, Copy)]
pub struct ListQuery<'a> {
    /// The prefix of all keys.
    pub prefix: &'a str,
    /// Whether keys are grouped at the next `/`.
    pub delimited: bool,
    /// Where the page begins.
    pub token: Option<&'a str>,
}

/// An S3 client with one connection.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    signer: Signer,
    clock: Arc<dyn Clock>,
    bucket: String,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Client {
    /// A client for `bucket` (a valid bucket name) at `endpoint`; connects with the first request.
    pub fn new(
        endpoint: &Endpoint,
        credentials: Credentials,
        bucket: &str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            connection: Connection::new(endpoint.address),
            signer: Signer::new(credentials, endpoint.authority.clone()),
            clock,
            bucket: bucket.to_owned(),
            head: Vec::with_capacity(1024),
            body: Vec::new(),
        }
    }

    /// Creates the bucket; one that exists and is ours is as good.
    pub async fn create_bucket(&mut self) -> Result<(), OpError> {
        let region = self.signer.region().to_owned();
        let body = if region == "us-east-1" {
            String::new()
        } else {
            format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                xml::escape(&region)
            )
        };
        let path = format!("/{}", self.bucket);
        let answer = self
            .send_small("CreateBucket", "PUT", &path, "", &[], body.as_bytes())
            .await;
        let exists = ["BucketAlreadyOwnedByYou", "BucketAlreadyExists"];
        match answer {
            Err(OpError::Status { ref code, .. }) if exists.contains(&code.as_str()) => Ok(()),
            answer => answer,
        }
    }

    /// Puts body number `index` under `key`, or as a part of an upload; returns its `ETag`.
    pub async fn put(
        &mut self,
        key: &str,
        payloads: &Payloads,
        index: u64,
        part: Option<PartOf<'_>>,
    ) -> Result<String, OpError> {
        let operation = if part.is_some() {
            "UploadPart"
        } else {
            "PutObject"
        };
        let query = part.map_or_else(String::new, |part| {
            let id = utf8_percent_encode(part.upload_id, QUERY);
            format!("partNumber={}&uploadId={id}", part.part_number)
        });
        let path = self.path_of(key);
        let now = self.clock.unix_millis();
        let frames = Frames::sign(
            &mut self.signer,
            &mut self.head,
            payloads,
            index,
            (&path, &query, now),
        );
        let mut pieces = frames.pieces(&self.head, payloads.bytes(index));
        let (head, error_text) = self
            .connection
            .exchange(&mut pieces, false, |_| {})
            .await
            .map_err(|source| OpError::Exchange { operation, source })?;
        check(operation, &head, &error_text)?;
        Ok(head.etag)
    }

    /// Gets `key`, or of it the bytes in `range` (first, last), and compares with `expected`.
    pub async fn get(
        &mut self,
        key: &str,
        range: Option<(u64, u64)>,
        expected: &[u8],
        how: Check,
    ) -> Result<(), OpError> {
        let operation = "GetObject";
        let path = self.path_of(key);
        let range_text = range.map(|(first, last)| format!("bytes={first}-{last}"));
        let range_header = range_text.as_deref().map(|text| [("range", text)]);
        let headers: &[_] = range_header.as_ref().map_or(&[], |header| header);
        self.sign_bodiless("GET", &path, "", headers);
        let mut verifier = Verifier::new(expected, how == Check::Whole);
        let mut pieces = [IoSlice::new(&self.head)];
        let (head, error_text) = self
            .connection
            .exchange(&mut pieces, false, |piece| verifier.take(piece))
            .await
            .map_err(|source| OpError::Exchange { operation, source })?;
        check(operation, &head, &error_text)?;
        let status = if range.is_some() { 206 } else { 200 };
        if head.status != status {
            let what = format!("expected status {status}, got {}", head.status);
            return Err(OpError::Wrong { operation, what });
        }
        verifier
            .problem()
            .map_or(Ok(()), |what| Err(OpError::Wrong { operation, what }))
    }

    /// Asks for the head of `key`, which must have `expected_bytes`.
    pub async fn head(&mut self, key: &str, expected_bytes: u64) -> Result<(), OpError> {
        let operation = "HeadObject";
        let path = self.path_of(key);
        self.sign_bodiless("HEAD", &path, "", &[]);
        let mut pieces = [IoSlice::new(&self.head)];
        let (head, error_text) = self
            .connection
            .exchange(&mut pieces, true, |_| {})
            .await
            .map_err(|source| OpError::Exchange { operation, source })?;
        check(operation, &head, &error_text)?;
        if head.content_length != Some(expected_bytes) {
            let what = format!(
                "expected {expected_bytes} bytes, got {:?}",
                head.content_length
            );
            return Err(OpError::Wrong { operation, what });
        }
        Ok(())
    }

    /// Deletes `key`.
    pub async fn delete(&mut self, key: &str) -> Result<(), OpError> {
        let path = self.path_of(key);
        self.send_small("DeleteObject", "DELETE", &path, "", &[], b"")
            .await
    }

    /// Reads one page of a listing, of at most 1,000 entries.
    pub async fn list(&mut self, query: &ListQuery<'_>) -> Result<ListPage, OpError> {
        self.list_body(query).await?;
        Ok(xml::parse_list_page(&self.body))
    }

    /// Deletes up to 1,000 of the objects under `prefix`; returns how many there were.
    pub async fn delete_page(&mut self, prefix: &str) -> Result<usize, OpError> {
        let operation = "DeleteObjects";
        self.list_body(&ListQuery {
            prefix,
            delimited: false,
            token: None,
        })
        .await?;
        let keys = xml::list_keys(&self.body);
        if keys.is_empty() {
            return Ok(0);
        }
        let items = keys
            .iter()
            .map(|key| format!("<Object><Key>{}</Key></Object>", xml::escape(key)));
        let body = format!(
            "<Delete><Quiet>true</Quiet>{}</Delete>",
            items.collect::<String>()
        );
        let crc32 = base64_crc32(body.as_bytes());
        let headers = [
            ("x-amz-checksum-crc32", crc32.as_str()),
            ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ];
        let path = format!("/{}", self.bucket);
        self.send_small(
            operation,
            "POST",
            &path,
            "delete=",
            &headers,
            body.as_bytes(),
        )
        .await?;
        match xml::first_text(&self.body, "Code") {
            Some(code) => Err(OpError::Wrong {
                operation,
                what: format!("a key failed: {code}"),
            }),
            None => Ok(keys.len()),
        }
    }

    /// Begins a multipart upload; returns its id.
    pub async fn create_upload(&mut self, key: &str) -> Result<String, OpError> {
        let operation = "CreateMultipartUpload";
        let path = self.path_of(key);
        self.send_small(operation, "POST", &path, "uploads=", &[], b"")
            .await?;
        let what = || "no UploadId in the answer".to_owned();
        xml::first_text(&self.body, "UploadId").ok_or_else(|| OpError::Wrong {
            operation,
            what: what(),
        })
    }

    /// Completes an upload from the `ETag`s of its parts, in order from part 1.
    pub async fn complete_upload(
        &mut self,
        key: &str,
        upload_id: &str,
        etags: &[String],
    ) -> Result<(), OpError> {
        let operation = "CompleteMultipartUpload";
        let parts = etags.iter().zip(1_u64..).map(|(etag, number)| {
            let etag = xml::escape(etag);
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        });
        let body = format!(
            "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
            parts.collect::<String>()
        );
        let path = self.path_of(key);
        let query = format!("uploadId={}", utf8_percent_encode(upload_id, QUERY));
        self.send_small(operation, "POST", &path, &query, &[], body.as_bytes())
            .await?;
        // S3 may say 200 first and fail afterwards.
        match xml::first_text(&self.body, "Code") {
            Some(code) => Err(OpError::Wrong {
                operation,
                what: format!("200, but {code}"),
            }),
            None => Ok(()),
        }
    }

    /// Aborts an upload.
    pub async fn abort_upload(&mut self, key: &str, upload_id: &str) -> Result<(), OpError> {
        let path = self.path_of(key);
        let query = format!("uploadId={}", utf8_percent_encode(upload_id, QUERY));
        self.send_small("AbortMultipartUpload", "DELETE", &path, &query, &[], b"")
            .await
    }

    async fn list_body(&mut self, query: &ListQuery<'_>) -> Result<(), OpError> {
        let mut text = String::new();
        if let Some(token) = query.token {
            text = format!("continuation-token={}&", utf8_percent_encode(token, QUERY));
        }
        let delimiter = if query.delimited {
            "delimiter=%2F&"
        } else {
            ""
        };
        let prefix = utf8_percent_encode(query.prefix, QUERY);
        text = format!("{text}{delimiter}list-type=2&max-keys=1000&prefix={prefix}");
        let path = format!("/{}", self.bucket);
        self.send_small("ListObjectsV2", "GET", &path, &text, &[], b"")
            .await
    }

    /// Sends a request with a small body or none, gathers the response's body in `self.body`.
    async fn send_small(
        &mut self,
        operation: &'static str,
        method: &'static str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), OpError> {
        let content_sha256 = hex_sha256(body);
        let has_body = matches!(method, "PUT" | "POST");
        let request = Unsigned {
            method,
            path,
            query,
            content_sha256: &content_sha256,
            content_length: has_body.then_some(body.len() as u64),
            headers,
        };
        self.signer
            .write_head(&mut self.head, &request, self.clock.unix_millis());
        self.body.clear();
        let mut pieces = [IoSlice::new(&self.head), IoSlice::new(body)];
        let gathered = &mut self.body;
        let (head, error_text) = self
            .connection
            .exchange(&mut pieces, false, |piece| {
                gathered.extend_from_slice(piece);
            })
            .await
            .map_err(|source| OpError::Exchange { operation, source })?;
        check(operation, &head, &error_text)
    }

    fn sign_bodiless(
        &mut self,
        method: &'static str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
    ) {
        let request = Unsigned {
            method,
            path,
            query,
            content_sha256: UNSIGNED_PAYLOAD,
            content_length: None,
            headers,
        };
        self.signer
            .write_head(&mut self.head, &request, self.clock.unix_millis());
    }

    fn path_of(&self, key: &str) -> String {
        format!("/{}/{}", self.bucket, utf8_percent_encode(key, PATH))
    }
}

/// What stands between the pieces of a body on the wire.
#[derive(Debug, Default)]
struct Frames {
    /// Before each chunk, and after the last; empty if the body is sent as it is.
    before: Vec<Vec<u8>>,
}

impl Frames {
    /// Signs the head of a PUT of body `index` into `head` and makes the frames of its chunks.
    /// `target` is path, query and Unix milliseconds.
    fn sign(
        signer: &mut Signer,
        head: &mut Vec<u8>,
        payloads: &Payloads,
        index: u64,
        target: (&str, &str, u64),
    ) -> Self {
        let (path, query, now) = target;
        let length = payloads.length() as u64;
        let decoded_length = length.to_string();
        let mut request = Unsigned {
            method: "PUT",
            path,
            query,
            content_sha256: UNSIGNED_PAYLOAD,
            content_length: Some(length),
            headers: &[],
        };
        let chunked = [
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", decoded_length.as_str()),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ];
        match payloads.mode() {
            BodyMode::Unsigned => {
                signer.write_head(head, &request, now);
                Self::default()
            }
            BodyMode::Signed => {
                request.content_sha256 = payloads.sha256(index);
                signer.write_head(head, &request, now);
                Self::default()
            }
            BodyMode::Chunked => {
                request.content_sha256 = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
                request.headers = &chunked[..2];
                request.content_length = Some(signed_chunks_length(payloads.length()));
                let seed = signer.write_head(head, &request, now);
                Self {
                    before: signed_frames(signer, seed, payloads, index),
                }
            }
            BodyMode::Trailer => {
                let before = trailer_frames(payloads, index);
                request.content_sha256 = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
                request.headers = &chunked;
                let framing: usize = before.iter().map(Vec::len).sum();
                request.content_length = Some(length + framing as u64);
                signer.write_head(head, &request, now);
                Self { before }
            }
        }
    }

    /// All that is sent: `head`, then `body` in its frames.
    fn pieces<'a>(&'a self, head: &'a [u8], body: &'a [u8]) -> Vec<IoSlice<'a>> {
        let mut pieces = vec![IoSlice::new(head)];
        if self.before.is_empty() {
            pieces.push(IoSlice::new(body));
            return pieces;
        }
        let mut chunks = body.chunks(CHUNK_BYTES);
        for frame in &self.before {
            pieces.push(IoSlice::new(frame));
            pieces.extend(chunks.next().map(IoSlice::new));
        }
        pieces
    }
}

const SIGNATURE_BYTES: usize = 64;

fn chunk_lengths(length: usize) -> impl Iterator<Item = usize> {
    let whole = std::iter::repeat_n(CHUNK_BYTES, length / CHUNK_BYTES);
    whole.chain(Some(length % CHUNK_BYTES).filter(|rest| *rest > 0))
}

/// Bytes on the wire of a body of `length` bytes in signed chunks: known before it is signed.
fn signed_chunks_length(length: usize) -> u64 {
    let frame =
        |chunk: usize| format!("{chunk:x};chunk-signature=\r\n\r\n").len() + SIGNATURE_BYTES;
    let frames: usize = chunk_lengths(length).chain([0]).map(frame).sum();
    (length + frames) as u64
}

fn signed_frames(signer: &Signer, seed: String, payloads: &Payloads, index: u64) -> Vec<Vec<u8>> {
    let empty_sha256 = hex_sha256(b"");
    let hashes = payloads.chunk_sha256(index).iter().chain([&empty_sha256]);
    let (mut previous, mut line_end, mut frames) = (seed, "", Vec::new());
    for (chunk, sha256) in chunk_lengths(payloads.length()).chain([0]).zip(hashes) {
        let signature = signer.chunk_signature(&previous, sha256);
        let end = if chunk == 0 { "\r\n" } else { "" };
        let frame = format!("{line_end}{chunk:x};chunk-signature={signature}\r\n{end}");
        frames.push(frame.into_bytes());
        previous = signature;
        line_end = "\r\n";
    }
    frames
}

fn trailer_frames(payloads: &Payloads, index: u64) -> Vec<Vec<u8>> {
    let mut line_end = "";
    let mut frames = Vec::new();
    for chunk in chunk_lengths(payloads.length()) {
        frames.push(format!("{line_end}{chunk:x}\r\n").into_bytes());
        line_end = "\r\n";
    }
    let crc32 = payloads.crc32(index);
    frames.push(format!("{line_end}0\r\nx-amz-checksum-crc32:{crc32}\r\n\r\n").into_bytes());
    frames
}

fn check(operation: &'static str, head: &ResponseHead, error_text: &[u8]) -> Result<(), OpError> {
    let status = head.status;
    if (200..300).contains(&status) {
        return Ok(());
    }
    let code = xml::first_text(error_text, "Code").unwrap_or_default();
    let message = xml::first_text(error_text, "Message").unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&error_text[..error_text.len().min(200)]);
        text.trim().to_owned()
    });
    Err(OpError::Status {
        operation,
        status,
        code,
        message,
    })
}

#[cfg(test)]
mod tests;
