//! Segments: the files of the log, and the 64 bytes at the start of each.
//!
//! ```text
//! 0   magic       8 bytes  "LARDRSEG"
//! 8   format      u32      1
//! 12  segment     u32
//! 16  cluster id  16 bytes
//! 32  disk number u16
//! 34  zeros       14 bytes
//! 48  opened_at   u64
//! 56  check       u64      CRC-64/NVME of bytes 0..56
//! ```
//!
//! Invariant: a damaged header costs nothing but `opened_at` (taken as zero, which is always true of it): the salt of the frames
//! comes from the disk's identity, not from here.

use super::{DiskNo, Seq, frame::Salt, frame::crc64};

/// Bytes of a segment's header; the first frame starts here.
pub const SEGMENT_HEADER_BYTES: u32 = 64;
/// Format of segments that this code writes, and the highest that it reads.
pub(super) const SEGMENT_FORMAT: u32 = 1;
/// Directory of the segments within a volume.
pub(super) const LOG_DIR: &str = "log";

const MAGIC: [u8; 8] = *b"LARDRSEG";
const HEADER: usize = SEGMENT_HEADER_BYTES as usize;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Its number.
    pub segment: u32,
    /// The cluster it belongs to.
    pub cluster: u128,
    /// The disk it belongs to.
    pub disk: DiskNo,
    /// See [`super::SegmentInfo::opened_at`].
    pub opened_at: Seq,
}

/// What the first bytes of a segment turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderState {
    /// A header that this code understands.
    Good(SegmentHeader),
    /// A sound header of a format that this code does not know.
    Newer(u32),
    /// No header: torn or rotten.
    Damaged,
}

impl SegmentHeader {
    /// The 64 bytes.
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&SEGMENT_FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.segment.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.cluster.to_le_bytes());
        bytes[32..34].copy_from_slice(&self.disk.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.opened_at.0.to_le_bytes());
        let check = crc64(&bytes[..56]);
        bytes[56..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Judges the first 64 bytes of a segment.
    pub(super) fn decode(bytes: &[u8; HEADER]) -> HeaderState {
        let sound =
            bytes[..8] == MAGIC && crc64(&bytes[..56]) == u64::from_le_bytes(field(bytes, 56));
        if !sound {
            return HeaderState::Damaged;
        }
        let format = u32::from_le_bytes(field(bytes, 8));
        if format > SEGMENT_FORMAT {
            return HeaderState::Newer(format);
        }
        HeaderState::Good(Self {
            segment: u32::from_le_bytes(field(bytes, 12)),
            cluster: u128::from_le_bytes(field(bytes, 16)),
            disk: DiskNo(u16::from_le_bytes(field(bytes, 32))),
            opened_at: Seq(u64::from_le_bytes(field(bytes, 48))),
        })
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

/// The file of a segment, relative to the volume.
pub fn segment_path(segment: u32) -> String {
    format!("{LOG_DIR}/{segment:08x}.seg")
}

/// The number in a segment's file name, if it is one.
pub(super) fn parse_segment_name(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let well_formed = digits.len() == 8 && digits.bytes().all(lower_hex);
    well_formed
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

/// The salt of a segment's frames: a disk's id (random, told to no client) and the segment number, mixed.
pub(super) fn segment_salt(disk_id: u128, segment: u32) -> Salt {
    let mut covered = [0; 20];
    covered[..16].copy_from_slice(&disk_id.to_le_bytes());
    covered[16..].copy_from_slice(&segment.to_le_bytes());
    Salt(crc64(&covered))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            segment: 7,
            cluster: 0xabcd << 90,
            disk: DiskNo(3),
            opened_at: Seq::new(2, 9),
        }
    }

    #[test]
    fn header_survives_encoding() {
        assert_eq!(
            SegmentHeader::decode(&header().encode()),
            HeaderState::Good(header())
        );
    }

    #[test]
    fn bytes_of_a_header_and_salts_never_change() {
        let bytes = header().encode();
        assert_eq!(bytes[..16], *b"LARDRSEG\x01\0\0\0\x07\0\0\0");
        assert_eq!(bytes[32..48], *b"\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        // Both computed by a bit-by-bit CRC-64/NVME in another language.
        assert_eq!(bytes[56..], 0x2f20_138c_20d7_0111_u64.to_le_bytes());
        assert_eq!(segment_salt(99, 7), Salt(0x006c_a0d2_72cb_01f4));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        for bit in 0..HEADER * 8 {
            let mut bytes = header().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                SegmentHeader::decode(&bytes),
                HeaderState::Damaged,
                "bit {bit}"
            );
        }
    }

    #[test]
    fn header_of_a_later_format_is_told_from_damage() {
        let mut bytes = header().encode();
        bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
        let check = crc64(&bytes[..56]);
        bytes[56..].copy_from_slice(&check.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), HeaderState::Newer(2));
    }

    #[test]
    fn names_that_are_no_segments_are_refused() {
        for name in [
            "floor",
            "0000001.seg",
            "0000000G.seg",
            "+0000001.seg",
            "0000000A.seg",
            "00000001.seg.tmp",
        ] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn names_survive_parsing(number: u32) {
            let path = segment_path(number);
            prop_assert_eq!(parse_segment_name(path.strip_prefix("log/").unwrap()), Some(number));
        }
    }
}
