//! Bodies of objects: made from a number, so that nothing has to be kept to compare them.

use bytes::Bytes;
use larder_storage::{
    objects::ETag,
    rng::{Rng, SeededRng},
};

/// Bodies above this become extents in the simulation: small enough that most are either.
pub const INLINE_MAX_BYTES: u64 = 3000;
/// What a part must have unless it is the last.
pub const MIN_PART_BYTES: u64 = 64;

/// A body that can be made again from its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Body {
    /// Decides its bytes and its length.
    pub number: u64,
}

impl Body {
    /// Its length: often small, sometimes some stripes, now and then more than a writer's batch.
    pub fn size(self) -> usize {
        let draw = SeededRng::new(self.number);
        let kind = draw.next_u64() % 100;
        let within = |limit: u64| usize::try_from(draw.next_u64() % limit).unwrap_or(0);
        match kind {
            0..5 => 0,
            5..45 => 1 + within(300),
            45..70 => 1 + within(INLINE_MAX_BYTES),
            70..95 => 1 + within(40_000),
            95..99 => 1 + within(300_000),
            _ => 1 + within(1_300_000),
        }
    }

    /// Its bytes.
    pub fn bytes(self) -> Bytes {
        let mut bytes = vec![0; self.size()];
        let draw = SeededRng::new(self.number ^ 0x5bd1_e995);
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&draw.next_u64().to_le_bytes()[..chunk.len()]);
        }
        bytes.into()
    }
}

/// Not MD5, but tells different bytes apart; the store takes it for one.
pub fn digest(bytes: &[u8]) -> [u8; 16] {
    const PRIME: u128 = 0x0100_0000_0000_0000_0000_013b;
    let mut state = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let mut value = [0; 8];
        value.copy_from_slice(word);
        state = (state ^ u128::from(u64::from_le_bytes(value))).wrapping_mul(PRIME);
        state ^= state >> 67;
    }
    for byte in words.remainder() {
        state = (state ^ u128::from(*byte)).wrapping_mul(PRIME);
    }
    (state ^ bytes.len() as u128).to_be_bytes()
}

/// The entity tag of a body put in one piece.
pub fn etag(bytes: &[u8]) -> ETag {
    ETag {
        md5: digest(bytes),
        parts: 0,
    }
}

/// The entity tag of an object completed from parts with these tags.
pub fn etag_of_parts(parts: &[ETag]) -> ETag {
    let joined: Vec<u8> = parts.iter().flat_map(|part| part.md5).collect();
    ETag {
        md5: digest(&joined),
        parts: u16::try_from(parts.len()).unwrap_or(u16::MAX),
    }
}
