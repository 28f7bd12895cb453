//! Settings of a disk.

use super::{MAX_FRAME_BYTES, Space, segment::SEGMENT_HEADER_BYTES};

/// Settings of one disk's log, the same for all disks of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// Size at which a segment is sealed, bytes. Default 64 MiB; between 64 KiB and 1 GiB, values outside are taken as the
    /// nearest within. Larger: fewer files. Smaller: space comes back in smaller pieces, a rebuild reads less at a time. A frame
    /// that is larger than this gets a segment of its own.
    pub segment_bytes: u32,
    /// Free space below which the disk takes no new data, bytes. `None`: two segments or 1 % of the file system, whichever is
    /// more, but at most 4 GiB and at most an eighth of the file system. A full disk takes data again with half as much more. Larger: more
    /// room for deletes when it gets full.
    pub reserve_bytes: Option<u64>,
}

impl DiskOptions {
    const MIN_SEGMENT_BYTES: u32 = 64 << 10;
    const MAX_SEGMENT_BYTES: u32 = 1 << 30;
    const MAX_RESERVE_BYTES: u64 = 4 << 30;

    /// Where segments are sealed, within its bounds.
    pub(super) fn segment_bytes(&self) -> u32 {
        self.segment_bytes
            .clamp(Self::MIN_SEGMENT_BYTES, Self::MAX_SEGMENT_BYTES)
    }

    /// The reserve on a file system of this size, bytes.
    pub(crate) fn reserve_bytes(&self, space: Space) -> u64 {
        let wanted = (2 * u64::from(self.segment_bytes())).max(space.total_bytes / 100);
        let bounded = wanted
            .min(Self::MAX_RESERVE_BYTES)
            .min(space.total_bytes / 8);
        self.reserve_bytes.unwrap_or(bounded)
    }

    /// The free space with which a full disk takes data again.
    pub(super) fn enough_bytes(&self, space: Space) -> u64 {
        let reserve = self.reserve_bytes(space);
        reserve.saturating_add((reserve / 2).min(space.total_bytes / 16))
    }
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            reserve_bytes: None,
        }
    }
}

// An offset is a u32: the largest segment with one frame too many must stay below.
const _: () = assert!(
    DiskOptions::MAX_SEGMENT_BYTES as u64 + MAX_FRAME_BYTES as u64 + (SEGMENT_HEADER_BYTES as u64)
        < u32::MAX as u64
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_fits_small_and_huge_file_systems() {
        let reserve = |total_bytes| {
            DiskOptions::default().reserve_bytes(Space {
                total_bytes,
                free_bytes: 0,
            })
        };
        assert_eq!(reserve(64 << 20), 8 << 20);
        assert_eq!(reserve(10 << 30), 128 << 20);
        assert_eq!(reserve(100 << 30), 1 << 30);
        assert_eq!(reserve(16 << 40), 4 << 30);
    }

    #[test]
    fn a_full_disk_needs_half_the_reserve_more_and_never_more_than_there_is() {
        let enough = |total_bytes, reserve_bytes| {
            let options = DiskOptions {
                reserve_bytes,
                ..DiskOptions::default()
            };
            options.enough_bytes(Space {
                total_bytes,
                free_bytes: 0,
            })
        };
        assert_eq!(enough(64 << 20, None), 12 << 20);
        assert_eq!(enough(16 << 40, None), 6 << 30);
        assert_eq!(enough(64 << 20, Some(56 << 20)), 60 << 20);
    }

    #[test]
    fn segment_size_is_brought_within_its_bounds() {
        let of = |segment_bytes| {
            DiskOptions {
                segment_bytes,
                ..DiskOptions::default()
            }
            .segment_bytes()
        };
        assert_eq!(
            (of(0), of(1 << 20), of(u32::MAX)),
            (64 << 10, 1 << 20, 1 << 30)
        );
    }
}
