//! One chunk: its place, its key, and the two directions.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::KeyType,
};
use bytes::BytesMut;
use zeroize::Zeroizing;

use super::{DATA_KEY_BYTES, DataKey, Salt};

/// Plain bytes of a chunk, but for the last one's.
pub(super) const CHUNK_BYTES: usize = 64 << 10;
pub(super) const TAG_BYTES: usize = 16;
/// Bytes of a whole chunk as it lies on the disks.
pub(super) const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
const LABEL: &[u8] = b"larder/blob/1";

/// A chunk did not open, or none can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkError;

/// What encrypts the chunks of one blob.
#[derive(Debug)]
pub(in crate::objects) struct BlobKey(LessSafeKey);

/// Which chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) is_last: bool,
}

impl Place {
    fn nonce(self) -> Nonce {
        let mut bytes = [0; NONCE_LEN];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[NONCE_LEN - 1] = u8::from(self.is_last);
        Nonce::assume_unique_for_key(bytes)
    }
}

impl BlobKey {
    /// The key of the blob with this salt; `part` is 0 for an object's own.
    pub(in crate::objects) fn derive(data: &DataKey, salt: &Salt, part: u64) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; DATA_KEY_BYTES]);
        let part = part.to_le_bytes();
        let info = [LABEL, &salt.0, &part];
        data.0.expand(&info, Length).ok()?.fill(&mut *bytes).ok()?;
        let key = UnboundKey::new(&AES_256_GCM, &*bytes).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    /// Encrypts a chunk where it is, and appends its tag.
    pub(super) fn seal(&self, place: Place, chunk: &mut BytesMut) -> Result<(), ChunkError> {
        let sealed = self
            .0
            .seal_in_place_separate_tag(place.nonce(), Aad::empty(), chunk);
        chunk.extend_from_slice(sealed.map_err(|_| ChunkError)?.as_ref());
        Ok(())
    }

    /// Decrypts a chunk where it is, and takes its tag off.
    pub(super) fn open(&self, place: Place, chunk: &mut BytesMut) -> Result<(), ChunkError> {
        let opened = self.0.open_in_place(place.nonce(), Aad::empty(), chunk);
        let plain = opened.map_err(|_| ChunkError)?.len();
        chunk.truncate(plain);
        Ok(())
    }
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        DATA_KEY_BYTES
    }
}

/// How many chunks so many plain bytes have.
pub(super) fn chunks(plain: u64) -> u64 {
    plain.div_ceil(CHUNK_BYTES as u64)
}

/// What so many plain bytes take, encrypted.
pub(in crate::objects) fn sealed_bytes(plain: u64) -> u64 {
    plain.saturating_add(chunks(plain) * TAG_BYTES as u64)
}
