//! `log/floor`: what must outlive the segments themselves.
//!
//! ```text
//! 0   magic         8 bytes  "LARDRFLR"
//! 8   trim floor    u64
//! 16  last segment  u32      no new segment gets this number or a lower one
//! 20  zeros         4 bytes
//! 24  check         u64      CRC-64/NVME of bytes 0..24
//! 4096               the same 32 bytes again, so that one rotten sector does not cost the disk
//! ```

use super::{
    DiskError, Seq,
    frame::crc64,
    volume::{Volume, read_file, refusal, replace_file},
};

/// The file, relative to the volume.
pub(super) const FLOOR_PATH: &str = "log/floor";
const MAGIC: [u8; 8] = *b"LARDRFLR";
const LENGTH: usize = 32;
const COPY_AT: usize = 4096;

/// The content of the file; a file that is absent is all zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Floor {
    pub(super) trim: Seq,
    pub(super) last_segment: u32,
}

impl Floor {
    fn encode(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.trim.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.last_segment.to_le_bytes());
        let check = crc64(&bytes[..24]);
        bytes[24..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let (covered, check) = bytes.split_last_chunk::<8>()?;
        let (magic, rest) = covered.split_first_chunk::<8>()?;
        let (trim, rest) = rest.split_first_chunk::<8>()?;
        let last_segment = rest.first_chunk::<4>()?;
        let sound = *magic == MAGIC && crc64(covered) == u64::from_le_bytes(*check);
        let floor = Self {
            trim: Seq(u64::from_le_bytes(*trim)),
            last_segment: u32::from_le_bytes(*last_segment),
        };
        sound.then_some(floor)
    }

    fn decode_either(bytes: &[u8]) -> Option<Self> {
        let copy = |at: usize| Self::decode(bytes.get(at..at + LENGTH)?);
        copy(0).or_else(|| copy(COPY_AT))
    }

    pub(super) fn load(volume: &dyn Volume) -> Result<Self, DiskError> {
        match read_file(volume, FLOOR_PATH, 64 << 10) {
            Ok(bytes) => Self::decode_either(&bytes).ok_or_else(|| {
                let message = "both copies are damaged: replace this disk by an empty one";
                refusal("read", FLOOR_PATH, message.to_owned())
            }),
            Err(DiskError::NotFound) => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn store(self, volume: &dyn Volume) -> Result<(), DiskError> {
        let mut bytes = vec![0; COPY_AT + LENGTH];
        bytes[..LENGTH].copy_from_slice(&self.encode());
        bytes[COPY_AT..].copy_from_slice(&self.encode());
        replace_file(volume, FLOOR_PATH, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_and_other_lengths_are_refused() {
        let floor = Floor {
            trim: Seq::new(3, 4),
            last_segment: 9,
        };
        let good = floor.encode();
        assert_eq!(Floor::decode(&good), Some(floor));
        for byte in 0..LENGTH {
            let mut bytes = good;
            bytes[byte] ^= 0x10;
            assert_eq!(Floor::decode(&bytes), None, "byte {byte}");
        }
        assert_eq!(Floor::decode(&good[..31]), None);
        assert_eq!(Floor::decode(&[]), None);
    }

    #[test]
    fn second_copy_stands_in_for_the_first() {
        let floor = Floor {
            trim: Seq::new(3, 4),
            last_segment: 9,
        };
        let mut bytes = vec![0; COPY_AT];
        bytes.extend_from_slice(&floor.encode());
        assert_eq!(Floor::decode_either(&bytes), Some(floor));
        bytes[COPY_AT + 9] ^= 1;
        assert_eq!(Floor::decode_either(&bytes), None);
    }
}
