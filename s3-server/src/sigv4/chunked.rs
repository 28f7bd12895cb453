//! Incremental decoder of aws-chunked bodies, signed or not, with or without trailers.
//!
//! ```text
//! signed     10000;chunk-signature=<64 hex>\r\n <data> \r\n … 0;chunk-signature=<64 hex>\r\n \r\n
//! + trailer  … 0;chunk-signature=<64 hex>\r\n name:value\r\n x-amz-trailer-signature:<64 hex>\r\n \r\n
//! unsigned   10000\r\n <data> \r\n … 0\r\n name:value\r\n \r\n
//! ```
//!
//! Data is handed on as slices of the input, without copying and **before** the signature of its
//! chunk has been seen: a chunk may be as large as the object, and memory is bounded. Hence the
//! contract: whatever is made of the data must stay invisible until [`Decoder::finish`] has
//! returned `Ok`, which it does only when every chunk, the trailer and the length were right.
//!
//! Invariants: at most [`MAX_LINE_BYTES`] of a line are buffered, at most [`MAX_TRAILERS`] trailers
//! kept; the output never exceeds `x-amz-decoded-content-length`; how the input is split does not
//! change the output; after an error every further call fails.

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use crate::error::{S3Code, S3Error};

use super::{ChunkSigner, Payload, push_hex, same_signature};

/// Longest chunk header or trailer line, in bytes, without its end.
pub const MAX_LINE_BYTES: usize = 4096;

/// Most trailers that a body may carry.
pub const MAX_TRAILERS: usize = 16;

const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";
/// Names the length of the object in a body of frames.
pub const DECODED_LENGTH: &str = "x-amz-decoded-content-length";

/// Why an aws-chunked body was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// `x-amz-decoded-content-length` is missing.
    #[error("x-amz-decoded-content-length is missing")]
    MissingDecodedLength,
    /// `x-amz-decoded-content-length` is no number.
    #[error("x-amz-decoded-content-length is invalid: {value}")]
    InvalidDecodedLength {
        /// What stood there.
        value: String,
    },
    /// The framing is wrong.
    #[error("chunk framing is malformed")]
    Malformed,
    /// A line is longer than [`MAX_LINE_BYTES`].
    #[error("line is longer than {MAX_LINE_BYTES} bytes")]
    LineTooLong,
    /// The body ended before its last chunk or trailer did.
    #[error("body ended early")]
    Truncated,
    /// The chunks hold more or less than `x-amz-decoded-content-length`.
    #[error("decoded length is wrong, expected {expected_bytes}, got at least {got_bytes}")]
    LengthMismatch {
        /// As the header said.
        expected_bytes: u64,
        /// As the chunks said.
        got_bytes: u64,
    },
    /// A chunk's signature is wrong.
    #[error("signature of chunk {chunk} does not match")]
    ChunkSignature {
        /// Its number, from 0.
        chunk: u64,
    },
    /// The trailer's signature is wrong or missing.
    #[error("signature of the trailer does not match")]
    TrailerSignature,
    /// A trailer line is no `name:value`, or there are too many.
    #[error("trailer is malformed")]
    MalformedTrailer,
    /// The decoder was used after it had failed.
    #[error("decoder has already failed")]
    AlreadyFailed,
}

impl From<ChunkError> for S3Error {
    fn from(error: ChunkError) -> Self {
        let answer = match &error {
            ChunkError::MissingDecodedLength => S3Error::new(S3Code::MissingContentLength),
            ChunkError::InvalidDecodedLength { value } => S3Error::new(S3Code::InvalidArgument)
                .element("ArgumentName", DECODED_LENGTH)
                .element("ArgumentValue", value),
            ChunkError::LengthMismatch { .. } => S3Error::new(S3Code::IncompleteBody),
            ChunkError::Malformed
            | ChunkError::LineTooLong
            | ChunkError::Truncated
            | ChunkError::AlreadyFailed => S3Error::with_message(
                S3Code::IncompleteBody,
                "The request body terminated unexpectedly",
            ),
            ChunkError::ChunkSignature { .. } | ChunkError::TrailerSignature => {
                S3Error::new(S3Code::SignatureDoesNotMatch)
            }
            ChunkError::MalformedTrailer => S3Error::new(S3Code::MalformedTrailer),
        };
        answer.source_of(error)
    }
}

/// The trailers of a body, names in lower case, in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trailers(Vec<(String, String)>);

impl Trailers {
    /// The value of the trailer of that lower-case name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// All trailers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Trailers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(trailers: I) -> Self {
        Self(
            trailers
                .into_iter()
                .map(|(n, v)| (n.into(), v.into()))
                .collect(),
        )
    }
}

/// Reads `x-amz-decoded-content-length`, in bytes.
///
/// # Errors
/// [`ChunkError::MissingDecodedLength`] and [`ChunkError::InvalidDecodedLength`].
pub fn decoded_length(headers: &HeaderMap) -> Result<u64, ChunkError> {
    let value = headers
        .get(DECODED_LENGTH)
        .ok_or(ChunkError::MissingDecodedLength)?;
    let text = value.to_str().unwrap_or_default();
    let invalid = || ChunkError::InvalidDecodedLength {
        value: text.to_owned(),
    };
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    text.parse().map_err(|_| invalid())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk's header line.
    Header,
    /// In a chunk's data, with so many bytes to come.
    Data { left: u64 },
    /// Before the line end after the data; `last` after the empty chunk.
    DataEnd { last: bool },
    /// In the lines after the last chunk.
    Trailer,
    /// Everything has been read.
    End,
    /// An error was returned.
    Failed,
}

/// The chain of signatures of a signed body.
struct Chain {
    signer: ChunkSigner,
    previous: [u8; 32],
    /// The signature that the current chunk's header carries.
    claimed: [u8; 64],
    hasher: Sha256,
    chunk: u64,
}

/// Decoder of one aws-chunked body.
pub struct Decoder {
    state: State,
    line: Vec<u8>,
    expected_bytes: u64,
    announced_bytes: u64,
    chain: Option<Chain>,
    has_trailer: bool,
    trailers: Trailers,
    trailer_signature: Option<String>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("state", &self.state)
            .field("expected_bytes", &self.expected_bytes)
            .field("announced_bytes", &self.announced_bytes)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder for a body of that kind, or `None` if the kind is not aws-chunked.
    ///
    /// `decoded_bytes` is the value of `x-amz-decoded-content-length`.
    pub fn new(payload: Payload, signer: &ChunkSigner, decoded_bytes: u64) -> Option<Self> {
        let (is_signed, has_trailer) = match payload {
            Payload::SignedChunks => (true, false),
            Payload::SignedChunksTrailer => (true, true),
            Payload::UnsignedChunksTrailer => (false, true),
            Payload::Sha256(_) | Payload::Unsigned => return None,
        };
        Some(Self {
            chain: is_signed.then(|| Chain::new(signer.clone())),
            has_trailer,
            ..Self::unsigned(decoded_bytes)
        })
    }

    /// A decoder for a body of [`Payload::UnsignedChunksTrailer`], which nobody signed.
    pub fn unsigned(decoded_bytes: u64) -> Self {
        Self {
            state: State::Header,
            line: Vec::new(),
            expected_bytes: decoded_bytes,
            announced_bytes: 0,
            chain: None,
            has_trailer: true,
            trailers: Trailers::default(),
            trailer_signature: None,
        }
    }

    /// Takes bytes off the front of `input` and returns the next piece of data in them, or `None`
    /// when `input` is used up. Call again with the same `input` until then.
    ///
    /// # Errors
    /// A [`ChunkError`]: the body is wrong, nothing made of it may be kept.
    pub fn push(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ChunkError> {
        let result = self.step(input);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    /// Whether the last chunk and trailer have been read.
    pub fn is_complete(&self) -> bool {
        self.state == State::End
    }

    /// Ends the body and returns its trailers. Only after this may the data be made visible.
    ///
    /// # Errors
    /// [`ChunkError::Truncated`] if the last chunk or the trailer is missing or cut.
    pub fn finish(self) -> Result<Trailers, ChunkError> {
        match self.state {
            State::End => Ok(self.trailers),
            State::Failed => Err(ChunkError::AlreadyFailed),
            _ => Err(ChunkError::Truncated),
        }
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ChunkError> {
        while !input.is_empty() {
            match self.state {
                State::Data { left } => return Ok(Some(self.take_data(input, left))),
                State::Header | State::DataEnd { .. } | State::Trailer => {
                    if self.take_line(input)? {
                        self.end_of_line()?;
                    }
                }
                State::End => return Err(ChunkError::Malformed),
                State::Failed => return Err(ChunkError::AlreadyFailed),
            }
        }
        Ok(None)
    }

    fn take_data(&mut self, input: &mut Bytes, left: u64) -> Bytes {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let data = input.split_to(take);
        if let Some(chain) = &mut self.chain {
            chain.hasher.update(&data);
        }
        let left = left - take as u64;
        self.state = if left == 0 {
            State::DataEnd { last: false }
        } else {
            State::Data { left }
        };
        data
    }

    /// Moves bytes into the line buffer; true when the line is complete, without its end.
    fn take_line(&mut self, input: &mut Bytes) -> Result<bool, ChunkError> {
        let room = MAX_LINE_BYTES + 2 - self.line.len();
        let window = &input[..input.len().min(room)];
        if let Some(at) = window.iter().position(|&b| b == b'\n') {
            self.line.extend_from_slice(&window[..at]);
            input.advance(at + 1);
            return self.strip_carriage_return().map(|()| true);
        }
        if window.len() == room {
            return Err(ChunkError::LineTooLong);
        }
        self.line.extend_from_slice(window);
        input.clear();
        Ok(false)
    }

    /// Chunk lines end in CRLF; trailer lines may end in LF alone, as in AWS's own example.
    fn strip_carriage_return(&mut self) -> Result<(), ChunkError> {
        match self.line.last() {
            Some(b'\r') => {
                self.line.pop();
                Ok(())
            }
            _ if self.state == State::Trailer => Ok(()),
            _ => Err(ChunkError::Malformed),
        }
    }

    fn end_of_line(&mut self) -> Result<(), ChunkError> {
        let line = std::mem::take(&mut self.line);
        let result = match self.state {
            State::Header => self.chunk_header(&line),
            State::DataEnd { last } => self.data_end(&line, last),
            _ => self.trailer_line(&line),
        };
        self.line = line;
        self.line.clear();
        result
    }

    fn chunk_header(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        let (size, signature) = parse_header(line)?;
        self.announced_bytes = self.announced_bytes.saturating_add(size);
        if self.announced_bytes > self.expected_bytes {
            return Err(self.length_mismatch());
        }
        if let Some(chain) = &mut self.chain {
            chain.claimed = signature.ok_or(ChunkError::Malformed)?;
        }
        if size > 0 {
            self.state = State::Data { left: size };
            return Ok(());
        }
        self.last_header()
    }

    fn last_header(&mut self) -> Result<(), ChunkError> {
        if self.announced_bytes != self.expected_bytes {
            return Err(self.length_mismatch());
        }
        self.check_chunk()?;
        self.state = if self.has_trailer {
            State::Trailer
        } else {
            State::DataEnd { last: true }
        };
        Ok(())
    }

    fn length_mismatch(&self) -> ChunkError {
        let (expected_bytes, got_bytes) = (self.expected_bytes, self.announced_bytes);
        ChunkError::LengthMismatch {
            expected_bytes,
            got_bytes,
        }
    }

    fn check_chunk(&mut self) -> Result<(), ChunkError> {
        self.chain.as_mut().map_or(Ok(()), Chain::check_chunk)
    }

    fn data_end(&mut self, line: &[u8], last: bool) -> Result<(), ChunkError> {
        if !line.is_empty() {
            return Err(ChunkError::Malformed);
        }
        if last {
            self.state = State::End;
            return Ok(());
        }
        self.state = State::Header;
        self.check_chunk()
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        if line.is_empty() {
            return self.trailer_end();
        }
        let text = std::str::from_utf8(line).map_err(|_| ChunkError::MalformedTrailer)?;
        let (name, value) = text.split_once(':').ok_or(ChunkError::MalformedTrailer)?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        if name.is_empty() || self.trailers.0.len() >= MAX_TRAILERS {
            return Err(ChunkError::MalformedTrailer);
        }
        if name == TRAILER_SIGNATURE {
            self.trailer_signature = Some(value);
        } else {
            self.trailers.0.push((name, value));
        }
        Ok(())
    }

    /// An empty line ends an unsigned trailer. A signed one ends after its signature: AWS's own
    /// example has an empty line before it.
    fn trailer_end(&mut self) -> Result<(), ChunkError> {
        let Some(chain) = &self.chain else {
            self.state = State::End;
            return Ok(());
        };
        let Some(signature) = &self.trailer_signature else {
            return if self.trailers.0.is_empty() {
                Err(ChunkError::TrailerSignature)
            } else {
                Ok(())
            };
        };
        chain.check_trailer(&self.trailers, signature)?;
        self.state = State::End;
        Ok(())
    }
}

impl Chain {
    fn new(signer: ChunkSigner) -> Self {
        let previous = signer.seed;
        Self {
            signer,
            previous,
            claimed: [0; 64],
            hasher: Sha256::new(),
            chunk: 0,
        }
    }

    fn string_to_sign(&self, kind: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(320);
        for part in [kind, self.signer.timestamp.as_str(), &self.signer.scope] {
            out.extend_from_slice(part.as_bytes());
            out.push(b'\n');
        }
        push_hex(&mut out, &self.previous);
        out.push(b'\n');
        out
    }

    fn check_chunk(&mut self) -> Result<(), ChunkError> {
        let mut text = self.string_to_sign("AWS4-HMAC-SHA256-PAYLOAD");
        text.extend_from_slice(EMPTY_SHA256.as_bytes());
        text.push(b'\n');
        push_hex(&mut text, &self.hasher.finalize_reset());
        let expected = self.signer.key.sign(&text);
        if !same_signature(&expected, &self.claimed) {
            return Err(ChunkError::ChunkSignature { chunk: self.chunk });
        }
        self.previous = expected;
        self.chunk += 1;
        Ok(())
    }

    fn check_trailer(&self, trailers: &Trailers, signature: &str) -> Result<(), ChunkError> {
        let mut hasher = Sha256::new();
        for (name, value) in trailers.iter() {
            for part in [name, ":", value, "\n"] {
                hasher.update(part.as_bytes());
            }
        }
        let mut text = self.string_to_sign("AWS4-HMAC-SHA256-TRAILER");
        push_hex(&mut text, &hasher.finalize());
        if same_signature(&self.signer.key.sign(&text), signature.as_bytes()) {
            Ok(())
        } else {
            Err(ChunkError::TrailerSignature)
        }
    }
}

/// Parses `10000` or `10000;chunk-signature=<64 hex>`; unknown extensions are skipped.
fn parse_header(line: &[u8]) -> Result<(u64, Option<[u8; 64]>), ChunkError> {
    let mut parts = line.split(|&b| b == b';');
    let size = parse_size(parts.next().unwrap_or_default())?;
    let mut signature = None;
    for extension in parts {
        if let Some(value) = extension.trim_ascii().strip_prefix(b"chunk-signature=") {
            signature = Some(value.try_into().map_err(|_| ChunkError::Malformed)?);
        }
    }
    Ok((size, signature))
}

fn parse_size(digits: &[u8]) -> Result<u64, ChunkError> {
    let digits = digits.trim_ascii();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(ChunkError::Malformed);
    }
    let text = std::str::from_utf8(digits).map_err(|_| ChunkError::Malformed)?;
    u64::from_str_radix(text, 16).map_err(|_| ChunkError::Malformed)
}

#[cfg(test)]
mod tests;
