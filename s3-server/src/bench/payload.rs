//! What is uploaded: slices of one random pool, with hashes made before the clock starts.
//!
//! Random bytes keep servers from winning by compression; slicing one pool costs nothing per
//! request. Each size has a few variants, and object `i` holds variant `i % variants`, so that
//! what a GET returns can be compared without remembering anything per object.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::ValueEnum;
use larder_storage::rng::{Rng, SeededRng};

use super::sign::hex_sha256;

/// Bytes of a chunk of `aws-chunked` bodies: what AWS's SDKs send.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// The pool is at least this long, so that slices of it do not stay in the CPU's caches.
const MIN_POOL_BYTES: usize = 64 << 20;
/// Slices start at multiples of this, so that small ones differ much and none is too odd.
const OFFSET_STEP_BYTES: usize = 64;
/// Hashing before the load is bounded to this many bytes for each size.
const HASHED_BYTES_BOUND: usize = 256 << 20;
const MAX_VARIANTS: usize = 64;
const MIN_VARIANTS: usize = 4;

/// How request bodies are sent and secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum BodyMode {
    /// `UNSIGNED-PAYLOAD`: as it is.
    Unsigned,
    /// The SHA-256 of the body in the signed head.
    Signed,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`: 64 KiB chunks, each with its signature.
    Chunked,
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`: 64 KiB chunks and a CRC32 at the end.
    Trailer,
}

impl BodyMode {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signed => "signed",
            Self::Chunked => "chunked",
            Self::Trailer => "trailer",
        }
    }
}

/// Random bytes that all payloads are slices of.
#[derive(Debug)]
pub struct Pool(Vec<u8>);

impl Pool {
    /// A pool that payloads of up to `largest_bytes` can be cut from.
    pub fn new(largest_bytes: usize) -> Self {
        let length = MIN_POOL_BYTES.max(largest_bytes + MIN_POOL_BYTES / 8);
        let mut bytes = Vec::with_capacity(length + 8);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        while bytes.len() < length {
            bytes.extend_from_slice(&next_random(&mut state).to_le_bytes());
        }
        Self(bytes)
    }
}

/// A step of xorshift64*: random enough for payloads and for choosing objects.
pub(super) fn next_random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// One body, with what its [`BodyMode`] needs to be known of it.
#[derive(Debug)]
struct Variant {
    offset: usize,
    sha256: String,
    chunk_sha256: Vec<String>,
    crc32: String,
}

/// The bodies of one size.
#[derive(Debug)]
pub struct Payloads {
    pool: Arc<Pool>,
    length: usize,
    mode: BodyMode,
    variants: Vec<Variant>,
}

impl Payloads {
    /// Cuts and hashes the bodies of `length` bytes. The same pool and length give the same bodies
    /// in every mode.
    pub fn new(pool: Arc<Pool>, length: usize, mode: BodyMode) -> Self {
        let count = (HASHED_BYTES_BOUND / length.max(1)).clamp(MIN_VARIANTS, MAX_VARIANTS);
        let rng = SeededRng::new(length as u64);
        let room = (pool.0.len() - length) / OFFSET_STEP_BYTES;
        let offsets = (0..count).map(|_| {
            let step = rng.next_u64() % (room as u64 + 1);
            usize::try_from(step).unwrap_or(0) * OFFSET_STEP_BYTES
        });
        let offsets: Vec<usize> = offsets.collect();
        let cut = |offset: usize| Variant::new(&pool.0[offset..offset + length], offset, mode);
        let variants = offsets.into_iter().map(cut).collect();
        Self {
            pool,
            length,
            mode,
            variants,
        }
    }

    /// Bytes of each body.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How the bodies are sent.
    pub fn mode(&self) -> BodyMode {
        self.mode
    }

    /// The bytes of object number `index`.
    pub fn bytes(&self, index: u64) -> &[u8] {
        let offset = self.variant(index).offset;
        &self.pool.0[offset..offset + self.length]
    }

    /// Hexadecimal SHA-256 of the body ([`BodyMode::Signed`] only).
    pub fn sha256(&self, index: u64) -> &str {
        &self.variant(index).sha256
    }

    /// Hexadecimal SHA-256 of each chunk ([`BodyMode::Chunked`] only).
    pub fn chunk_sha256(&self, index: u64) -> &[String] {
        &self.variant(index).chunk_sha256
    }

    /// Base64 of the body's CRC32 ([`BodyMode::Trailer`] only).
    pub fn crc32(&self, index: u64) -> &str {
        &self.variant(index).crc32
    }

    fn variant(&self, index: u64) -> &Variant {
        let count = self.variants.len() as u64;
        &self.variants[usize::try_from(index % count).unwrap_or(0)]
    }
}

impl Variant {
    fn new(bytes: &[u8], offset: usize, mode: BodyMode) -> Self {
        let mut variant = Self {
            offset,
            sha256: String::new(),
            chunk_sha256: Vec::new(),
            crc32: String::new(),
        };
        match mode {
            BodyMode::Unsigned => {}
            BodyMode::Signed => variant.sha256 = hex_sha256(bytes),
            BodyMode::Chunked => {
                variant.chunk_sha256 = bytes.chunks(CHUNK_BYTES).map(hex_sha256).collect();
            }
            BodyMode::Trailer => variant.crc32 = base64_crc32(bytes),
        }
        variant
    }
}

/// CRC32 as S3's checksum headers carry it.
pub(super) fn base64_crc32(bytes: &[u8]) -> String {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes);
    let crc = u32::try_from(crc).unwrap_or(u32::MAX);
    STANDARD.encode(crc.to_be_bytes())
}

/// Compares a body that arrives in pieces with what it must be.
#[derive(Debug)]
pub struct Verifier<'a> {
    expected: &'a [u8],
    position: usize,
    whole: bool,
    first_difference: Option<usize>,
}

/// Bytes compared at each end of a body when it is not compared in whole.
const SAMPLE_BYTES: usize = 64;

impl<'a> Verifier<'a> {
    /// Expects `expected`; compares all of it if `whole`, otherwise its first and last bytes and
    /// its length.
    pub fn new(expected: &'a [u8], whole: bool) -> Self {
        Self {
            expected,
            position: 0,
            whole,
            first_difference: None,
        }
    }

    /// Takes the next piece.
    pub fn take(&mut self, piece: &[u8]) {
        let length = self.expected.len();
        if self.whole || length <= 2 * SAMPLE_BYTES {
            self.compare(piece, 0, length);
        } else {
            self.compare(piece, 0, SAMPLE_BYTES);
            self.compare(piece, length - SAMPLE_BYTES, length);
        }
        self.position += piece.len();
    }

    /// `None` when all was as expected, otherwise what was not.
    pub fn problem(&self) -> Option<String> {
        let expected_bytes = self.expected.len();
        if self.position != expected_bytes {
            return Some(format!(
                "expected {expected_bytes} bytes, got {}",
                self.position
            ));
        }
        self.first_difference
            .map(|at| format!("wrong bytes from offset {at} of {expected_bytes}"))
    }

    /// Compares the part of `piece`, which begins at `self.position`, that lies in `from..to`.
    fn compare(&mut self, piece: &[u8], from: usize, to: usize) {
        let start = from.max(self.position);
        let end = to.min(self.position + piece.len());
        if start >= end || self.first_difference.is_some() {
            return;
        }
        let got = &piece[start - self.position..end - self.position];
        let expected = &self.expected[start..end];
        if got != expected {
            let at = got
                .iter()
                .zip(expected)
                .position(|(a, b)| a != b)
                .unwrap_or(0);
            self.first_difference = Some(start + at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies_are_the_same_in_every_mode_and_random() {
        let pool = Arc::new(Pool::new(1 << 20));
        let unsigned = Payloads::new(Arc::clone(&pool), 4_096, BodyMode::Unsigned);
        let signed = Payloads::new(pool, 4_096, BodyMode::Signed);
        for index in 0..100 {
            assert_eq!(unsigned.bytes(index), signed.bytes(index));
            assert_eq!(signed.sha256(index), hex_sha256(signed.bytes(index)));
        }
        assert_ne!(unsigned.bytes(0), unsigned.bytes(1));
    }

    #[test]
    fn payloads_may_be_empty_or_as_large_as_the_pool_was_made_for() {
        let pool = Arc::new(Pool::new(80 << 20));
        assert_eq!(
            Payloads::new(Arc::clone(&pool), 0, BodyMode::Chunked).bytes(3),
            b""
        );
        let large = Payloads::new(pool, 80 << 20, BodyMode::Unsigned);
        assert_eq!(large.bytes(7).len(), 80 << 20);
    }

    #[test]
    fn crc32_is_the_known_one() {
        assert_eq!(base64_crc32(b"123456789"), "y/Q5Jg==");
    }

    fn problem(expected: &[u8], got: &[u8], cuts: &[usize], whole: bool) -> Option<String> {
        let mut verifier = Verifier::new(expected, whole);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (got.len() + 1)).collect();
        ends.push(got.len());
        ends.sort_unstable();
        let mut from = 0;
        for end in ends {
            verifier.take(&got[from..end]);
            from = end;
        }
        verifier.problem()
    }

    proptest! {
        #[test]
        fn verifier_finds_every_wrong_byte_it_looks_at(
            length in 1_usize..600,
            at in 0_usize..600,
            whole: bool,
            cuts in prop::collection::vec(0_usize..600, 0..6),
        ) {
            let expected: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            prop_assert_eq!(problem(&expected, &expected, &cuts, whole), None);
            prop_assert!(problem(&expected, &expected[1..], &cuts, whole).is_some());
            let mut wrong = expected.clone();
            let at = at % length;
            wrong[at] ^= 1;
            let looked_at = whole || at < 64 || at >= length - 64.min(length) || length <= 128;
            prop_assert_eq!(problem(&expected, &wrong, &cuts, whole).is_some(), looked_at);
            wrong.push(0);
            prop_assert!(problem(&expected, &wrong, &cuts, whole).is_some());
        }
    }
}
