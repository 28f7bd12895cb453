//! `log/floor`: what must outlive the segments themselves.
//!
//! ```text
//! 0   magic         8 bytes  "LARDRFLR"
//! 8   trim floor    u64
//! 16  last segment  u32      no new segment gets this number or a lower one
//! 20  format        u32      less one: 0 today
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
const LIMIT_BYTES: u64 = 64 << 10;
/// Format that this code writes, and the highest that it reads.
const FLOOR_FORMAT: u32 = 1;

/// What 32 bytes turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloorState {
    /// A floor that this code understands.
    Good(Floor),
    /// A sound floor of a format that this code does not know.
    Newer(u64),
    /// Torn or rotten.
    Damaged,
}

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

    fn decode(bytes: &[u8]) -> FloorState {
        Self::parse(bytes).unwrap_or(FloorState::Damaged)
    }

    fn parse(bytes: &[u8]) -> Option<FloorState> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let (covered, check) = bytes.split_last_chunk::<8>()?;
        let (magic, rest) = covered.split_first_chunk::<8>()?;
        let (trim, rest) = rest.split_first_chunk::<8>()?;
        let (last_segment, rest) = rest.split_first_chunk::<4>()?;
        if *magic != MAGIC || crc64(covered) != u64::from_le_bytes(*check) {
            return None;
        }
        let format = u64::from(u32::from_le_bytes(*rest.first_chunk::<4>()?)) + 1;
        if format > u64::from(FLOOR_FORMAT) {
            return Some(FloorState::Newer(format));
        }
        Some(FloorState::Good(Self {
            trim: Seq(u64::from_le_bytes(*trim)),
            last_segment: u32::from_le_bytes(*last_segment),
        }))
    }

    /// What the bytes of the file say, by the first copy that is sound.
    pub(super) fn decode_either(bytes: &[u8]) -> FloorState {
        let copy = |at: usize| Self::decode(bytes.get(at..at + LENGTH).unwrap_or_default());
        match copy(0) {
            FloorState::Damaged => copy(COPY_AT),
            sound => sound,
        }
    }

    /// The format of the file if it is later than what this code reads. Whatever else is wrong with it is for [`Self::load`] to say.
    pub(super) fn newer_format(volume: &dyn Volume) -> Option<u64> {
        let bytes = read_file(volume, FLOOR_PATH, LIMIT_BYTES).ok()?;
        match Self::decode_either(&bytes) {
            FloorState::Newer(format) => Some(format),
            FloorState::Good(_) | FloorState::Damaged => None,
        }
    }

    pub(super) fn load(volume: &dyn Volume) -> Result<Self, DiskError> {
        let bytes = match read_file(volume, FLOOR_PATH, LIMIT_BYTES) {
            Ok(bytes) => bytes,
            Err(DiskError::NotFound) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        match Self::decode_either(&bytes) {
            FloorState::Good(floor) => Ok(floor),
            FloorState::Newer(format) => {
                let message = format!("format {format} is later than this version of Larder reads");
                Err(refusal("read", FLOOR_PATH, message))
            }
            FloorState::Damaged => {
                let message = "both copies are damaged: replace this disk by an empty one";
                Err(refusal("read", FLOOR_PATH, message.to_owned()))
            }
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
        assert_eq!(Floor::decode(&good), FloorState::Good(floor));
        for byte in 0..LENGTH {
            let mut bytes = good;
            bytes[byte] ^= 0x10;
            assert_eq!(Floor::decode(&bytes), FloorState::Damaged, "byte {byte}");
        }
        assert_eq!(Floor::decode(&good[..31]), FloorState::Damaged);
        assert_eq!(Floor::decode(&[]), FloorState::Damaged);
    }

    #[test]
    fn later_format_is_told_from_damage() {
        let mut bytes = Floor::default().encode();
        bytes[20] = 1;
        let check = crc64(&bytes[..24]);
        bytes[24..].copy_from_slice(&check.to_le_bytes());
        assert_eq!(Floor::decode(&bytes), FloorState::Newer(2));
    }

    #[test]
    fn second_copy_stands_in_for_the_first() {
        let floor = Floor {
            trim: Seq::new(3, 4),
            last_segment: 9,
        };
        let mut bytes = vec![0; COPY_AT];
        bytes.extend_from_slice(&floor.encode());
        assert_eq!(Floor::decode_either(&bytes), FloorState::Good(floor));
        bytes[COPY_AT + 9] ^= 1;
        assert_eq!(Floor::decode_either(&bytes), FloorState::Damaged);
    }
}
