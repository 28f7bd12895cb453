//! Where each byte of a blob lies in its shards, and the checksum of a block.

use std::ops::Range;

use crc_fast::CrcAlgorithm;
use larder_erasure::Profile;

use crate::disk::BlobId;

/// Bytes of one full unit, the payload of a block.
pub const UNIT_BYTES: usize = 64 << 10;
/// Bytes of the checksum that follows each block's payload.
pub const BLOCK_CHECKSUM_BYTES: usize = 8;
/// Distance of two blocks of one shard.
pub(super) const BLOCK_STRIDE: u64 = (UNIT_BYTES + BLOCK_CHECKSUM_BYTES) as u64;

/// The geometry of a blob: pure arithmetic on its size and profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u64,
    data_shards: u64,
}

impl Layout {
    /// The geometry of a blob of `size` bytes coded with `profile`.
    pub fn new(size: u64, profile: Profile) -> Self {
        Self {
            size,
            data_shards: profile.data() as u64,
        }
    }

    /// Data bytes of a full stripe.
    pub fn stripe_bytes(self) -> u64 {
        self.data_shards * UNIT_BYTES as u64
    }

    /// Number of stripes, the short one included.
    pub fn stripes(self) -> u64 {
        self.size.div_ceil(self.stripe_bytes())
    }

    /// Payload bytes of each block of `stripe`.
    pub fn unit_bytes(self, stripe: u64) -> usize {
        let rest = self.size.saturating_sub(stripe * self.stripe_bytes());
        unit_for(rest, self.data_shards)
    }

    /// Length of each shard, checksums included.
    pub fn shard_bytes(self) -> u64 {
        let stripes = self.stripes();
        if stripes == 0 {
            return 0;
        }
        (stripes - 1) * BLOCK_STRIDE
            + self.unit_bytes(stripes - 1) as u64
            + BLOCK_CHECKSUM_BYTES as u64
    }

    /// The stripes that hold the bytes of `range`.
    pub fn stripes_of(self, range: &Range<u64>) -> Range<u64> {
        if range.is_empty() {
            return 0..0;
        }
        range.start / self.stripe_bytes()..range.end.div_ceil(self.stripe_bytes())
    }

    /// The part of data unit `unit` of `stripe` that falls in `range` of the blob, as a range within the unit.
    pub fn overlap(self, stripe: u64, unit: usize, range: &Range<u64>) -> Range<usize> {
        let bytes = self.unit_bytes(stripe) as u64;
        let start = (stripe * self.stripe_bytes() + unit as u64 * bytes).min(self.size);
        let end = (start + bytes).min(self.size);
        let from = range.start.clamp(start, end) - start;
        let to = range.end.clamp(start, end) - start;
        to_usize(from)..to_usize(to.max(from))
    }
}

/// Payload bytes of the blocks of a stripe of which `rest` bytes (or more) of the blob remain.
pub(super) fn unit_for(rest: u64, data_shards: u64) -> usize {
    to_usize(rest.div_ceil(data_shards).min(UNIT_BYTES as u64))
}

/// For numbers that are bounded by a unit or a batch.
pub(super) fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The checksum of a block: CRC-64/NVME of its payload, mixed with what the block is, so that a good block in a wrong
/// place (a misdirected write, a replaced disk) is as wrong as a rotten one.
pub(super) fn checksum(payload: &[u8], blob: BlobId, shard: u8, stripe: u64) -> u64 {
    let crc = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, payload);
    crc ^ mix(blob.0 ^ mix(stripe ^ mix(u64::from(shard) + 1)))
}

/// `SplitMix64`'s finaliser: every input bit reaches every output bit.
pub(super) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Whether `block` (payload and checksum) is the block that it should be.
pub(super) fn verify(block: &[u8], blob: BlobId, shard: u8, stripe: u64) -> bool {
    let Some((payload, sum)) = block.split_last_chunk::<BLOCK_CHECKSUM_BYTES>() else {
        return false;
    };
    checksum(payload, blob, shard, stripe) == u64::from_le_bytes(*sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: u64, data: u8) -> Layout {
        Layout::new(size, Profile::new(data, 2).unwrap())
    }

    #[test]
    fn overlaps_of_all_units_tile_every_range() {
        for data in [1_u8, 2, 3, 7] {
            let stripe = u64::from(data) * UNIT_BYTES as u64;
            for size in [
                0,
                1,
                2,
                5,
                stripe - 1,
                stripe,
                stripe + 1,
                3 * stripe + 12_345,
            ] {
                let layout = layout(size, data);
                for range in [0..size, 0..size / 2, size / 3..size, size / 2..size / 2 + 1] {
                    let range = range.start.min(size)..range.end.min(size);
                    let mut covered = range.start;
                    for stripe in layout.stripes_of(&range) {
                        for unit in 0..usize::from(data) {
                            covered += layout.overlap(stripe, unit, &range).len() as u64;
                        }
                    }
                    assert_eq!(covered, range.end, "size {size} k {data} {range:?}");
                }
            }
        }
    }

    #[test]
    fn a_block_in_another_place_is_refused() {
        let mut block = vec![7_u8; 100];
        let sum = checksum(&block, BlobId(9), 1, 3);
        block.extend_from_slice(&sum.to_le_bytes());
        assert!(verify(&block, BlobId(9), 1, 3));
        assert!(!verify(&block, BlobId(8), 1, 3));
        assert!(!verify(&block, BlobId(9), 2, 3));
        assert!(!verify(&block, BlobId(9), 1, 4));
        block[50] ^= 1;
        assert!(!verify(&block, BlobId(9), 1, 3));
        assert!(!verify(&[1, 2], BlobId(9), 1, 3));
    }

    #[test]
    fn shard_length_is_the_sum_of_its_blocks() {
        let layout = layout(3 * 2 * UNIT_BYTES as u64 + 5, 2);
        assert_eq!(layout.stripes(), 4);
        assert_eq!(layout.unit_bytes(3), 3);
        assert_eq!(layout.shard_bytes(), 3 * BLOCK_STRIDE + 3 + 8);
        assert_eq!(Layout::new(0, Profile::new(2, 2).unwrap()).shard_bytes(), 0);
    }
}
