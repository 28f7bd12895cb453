//! Bodies that lie encrypted on the disks: what is between the plain bytes of an object or a part and the bytes of its blob.
//!
//! ```text
//! blob: chunk 0 | chunk 1 | ... | last chunk      chunk: 65,536 bytes encrypted (the last one: 1 to 65,536) | tag (16)
//! ```
//!
//! A chunk is AES-256-GCM under the *blob key*, its nonce the number of the chunk and whether it is the last one. The blob key is HKDF-Expand
//! (SHA-256) of the data key, a label, the blob's salt (24 random bytes, kept in the record) and the number of the part (0 for an object's own blob).
//! So no key ever encrypts two different chunks under one nonce, a chunk opens nowhere but in its place, and a blob that was cut off
//! does not open at its end.
//!
//! Where data keys come from, and how they are kept, is not this crate's matter: records hold an opaque *envelope*. Everything
//! below (stripes, healing, scrubbing, rebuilding) sees encrypted bytes and needs no key; everything above sees sizes of plain ones.
//!
//! Invariants: bytes that were not authenticated are never handed out; keys are in no `Debug` text and no error.

mod chunk;
#[cfg(any(test, feature = "testing"))]
mod fuzzing;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};

pub(super) use chunk::{BlobKey, sealed_bytes};
#[cfg(any(test, feature = "testing"))]
pub(crate) use fuzzing::sealed as fuzz_sealed;
pub(super) use read::{BodyReader, Unsealing};
pub use write::{BodyWriter, FinishedBody};

use super::PartNumber;
use crate::rng::Rng;

/// Bytes of a data key.
pub const DATA_KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 24;

/// What encrypts one object, or all parts of one upload. Must be random and of one object only.
#[derive(Clone)]
pub struct DataKey(Prk);

impl DataKey {
    /// The key of these bytes.
    pub fn new(bytes: &[u8; DATA_KEY_BYTES]) -> Self {
        Self(Prk::new_less_safe(HKDF_SHA256, bytes))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").finish_non_exhaustive()
    }
}

/// How a body is to be encrypted.
#[derive(Clone, Debug)]
pub struct Sealing {
    key: DataKey,
    envelope: Vec<u8>,
    part: u64,
}

impl Sealing {
    /// An object's own body. `envelope` is kept with it, and says to the caller how to get at `key` again.
    pub fn of_object(key: DataKey, envelope: Vec<u8>) -> Self {
        let part = 0;
        Self {
            key,
            envelope,
            part,
        }
    }

    /// A part: its envelope is that of its upload.
    pub fn of_part(key: DataKey, number: PartNumber) -> Self {
        Self {
            key,
            envelope: Vec::new(),
            part: u64::from(number.get()),
        }
    }
}

/// What tells the blobs of one data key apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt(pub(super) [u8; SALT_BYTES]);

impl Salt {
    pub(super) fn random(rng: &dyn Rng) -> Self {
        let mut bytes = [0; SALT_BYTES];
        for eight in bytes.chunks_exact_mut(8) {
            eight.copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        Self(bytes)
    }
}
