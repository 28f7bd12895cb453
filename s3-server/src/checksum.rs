//! S3's additional checksums: CRC32, CRC32C, CRC64NVME, SHA-1, SHA-256, and `Content-MD5`.
//!
//! [`Hasher`] computes one while a body streams, [`Expected`] is what the client said it must be,
//! [`multipart`] makes an object's checksum of its parts'.
//!
//! Invariant: a [`Checksum`] always has its algorithm's length, so that a comparison can't be of
//! unlike things.

mod algorithm;
mod content_md5;
mod error;
pub mod multipart;
mod request;

pub use algorithm::{Algorithm, ChecksumType};
pub use content_md5::ContentMd5;
pub use error::ChecksumError;
pub use request::Expected;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The longest checksum, in bytes.
const MAX_BYTES: usize = 32;

/// A checksum and its algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum {
    algorithm: Algorithm,
    /// Beyond the algorithm's length all zero.
    bytes: [u8; MAX_BYTES],
}

impl Checksum {
    /// A checksum from its raw bytes (big endian for the CRCs), or `None` if the length is wrong.
    pub fn from_bytes(algorithm: Algorithm, raw: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_BYTES];
        if raw.len() != algorithm.len_bytes() {
            return None;
        }
        bytes[..raw.len()].copy_from_slice(raw);
        Some(Self { algorithm, bytes })
    }

    /// A checksum from its base64 text, or `None` if it isn't one of that algorithm.
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Self> {
        Self::from_bytes(algorithm, &STANDARD.decode(text).ok()?)
    }

    /// The base64 text, as in headers and XML.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.as_bytes())
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.len_bytes()]
    }

    fn from_crc(algorithm: Algorithm, value: u64) -> Self {
        let mut bytes = [0; MAX_BYTES];
        let len = algorithm.len_bytes();
        bytes[..len].copy_from_slice(&value.to_be_bytes()[8 - len..]);
        Self { algorithm, bytes }
    }

    fn from_digest(algorithm: Algorithm, digest: &[u8]) -> Self {
        let mut bytes = [0; MAX_BYTES];
        bytes[..digest.len()].copy_from_slice(digest);
        Self { algorithm, bytes }
    }

    /// The value of a CRC, right-aligned.
    fn crc_value(&self) -> u64 {
        self.as_bytes()
            .iter()
            .fold(0, |value, &byte| value << 8 | u64::from(byte))
    }
}

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.to_base64())
    }
}

/// Computes a checksum of a stream.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    state: HasherState,
}

#[derive(Clone)]
enum HasherState {
    Crc(crc_fast::Digest),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hasher({})", self.algorithm.name())
    }
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match (algorithm.crc(), algorithm) {
            (Some(crc), _) => HasherState::Crc(crc_fast::Digest::new(crc)),
            (None, Algorithm::Sha1) => HasherState::Sha1(Sha1::new()),
            (None, _) => HasherState::Sha256(Sha256::new()),
        };
        Self { algorithm, state }
    }

    /// Adds bytes.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.state {
            HasherState::Crc(crc) => crc.update(data),
            HasherState::Sha1(sha) => sha.update(data),
            HasherState::Sha256(sha) => sha.update(data),
        }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The checksum of all bytes added.
    pub fn finish(self) -> Checksum {
        match self.state {
            HasherState::Crc(crc) => Checksum::from_crc(self.algorithm, crc.finalize()),
            HasherState::Sha1(sha) => Checksum::from_digest(self.algorithm, &sha.finalize()),
            HasherState::Sha256(sha) => Checksum::from_digest(self.algorithm, &sha.finalize()),
        }
    }
}

/// The checksum of one buffer.
pub fn checksum(algorithm: Algorithm, data: &[u8]) -> Checksum {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(data);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_the_check_values_of_every_algorithm() {
        let expected = [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (
                Algorithm::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ];
        for (algorithm, hex_text) in expected {
            let sum = checksum(algorithm, b"123456789");
            assert_eq!(hex::encode(sum.as_bytes()), hex_text, "{algorithm:?}");
        }
    }

    proptest! {
        #[test]
        fn base64_round_trips_and_splitting_changes_nothing(
            data in proptest::collection::vec(any::<u8>(), 0..300), at in any::<usize>(),
            which in 0_usize..5,
        ) {
            let algorithm = Algorithm::ALL[which];
            let whole = checksum(algorithm, &data);
            let (left, right) = data.split_at(at % (data.len() + 1));
            let mut hasher = Hasher::new(algorithm);
            hasher.update(left);
            hasher.update(right);
            prop_assert_eq!(hasher.finish(), whole);
            prop_assert_eq!(Checksum::from_base64(algorithm, &whole.to_base64()), Some(whole));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,60}", which in 0_usize..5) {
            let _ = Checksum::from_base64(Algorithm::ALL[which], &text);
        }
    }
}
