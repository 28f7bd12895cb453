//! What each disk holds against what it should, and which shard moves where. Pure.
//!
//! Invariants:
//! - Each move of a shard makes the disks more level: the sum of the squares of what they hold too much falls. So no sequence of moves comes
//!   back to where it began.
//! - A disk's due is no more than blobs can put there: one shard of each.

use std::collections::BTreeMap;

use crate::{
    disk::DiskNo,
    stripes::{BlobPlacement, ShardPlace},
};

/// Disks are level if each holds what it should to within this share of it, in percent ...
const LEVEL_PERCENT: u64 = 5;
/// ... or to within so many bytes: less is not worth a move. Less in tests only.
pub(in crate::upkeep::heal) const LEVEL_BYTES: u64 = 4 << 20;

/// What a disk holds of blobs, and how large it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) size_bytes: u64,
    pub(super) held_bytes: u64,
    /// Whether new shards may go there.
    pub(super) takes_data: bool,
}

/// How much more, or less, than it should each disk holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::upkeep::heal) struct Levels {
    disks: BTreeMap<DiskNo, Level>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Level {
    surplus_bytes: i128,
    /// What counts as level.
    slack_bytes: i128,
    takes_data: bool,
}

impl Levels {
    /// From what the disks hold, and the bytes of one shard of each blob together. No difference below `least_bytes` counts.
    pub(super) fn of(
        disks: &BTreeMap<DiskNo, Holding>,
        one_of_each_bytes: u64,
        least_bytes: u64,
    ) -> Self {
        let dues = dues(disks, one_of_each_bytes);
        let level = |(number, holding): (&DiskNo, &Holding)| {
            let due = dues.get(number).copied().unwrap_or_default();
            let slack = (due / 100).saturating_mul(i128::from(LEVEL_PERCENT));
            let level = Level {
                surplus_bytes: i128::from(holding.held_bytes) - due,
                slack_bytes: slack.max(i128::from(least_bytes)),
                takes_data: holding.takes_data,
            };
            (*number, level)
        };
        Self {
            disks: disks.iter().map(level).collect(),
        }
    }

    /// Whether each disk holds about what it should.
    pub(super) fn is_level(&self) -> bool {
        let mut levels = self.disks.values();
        levels.all(|level| level.surplus_bytes.abs() <= level.slack_bytes)
    }

    /// What each disk that takes shards is short of.
    pub(super) fn wanting(&self) -> BTreeMap<DiskNo, u64> {
        let takers = self.disks.iter().filter(|(_, level)| level.takes());
        let short = |level: &Level| u64::try_from(-level.surplus_bytes).unwrap_or(u64::MAX);
        takers.map(|(disk, level)| (*disk, short(level))).collect()
    }

    /// Bytes that are to move until nothing does any more.
    pub(super) fn left_bytes(&self) -> u64 {
        self.wanting()
            .values()
            .fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// A disk has taken shards that others wrote.
    pub(super) fn set_wanting(&mut self, wanting: &BTreeMap<DiskNo, u64>) {
        for (disk, level) in &mut self.disks {
            if level.surplus_bytes < 0 {
                let left = wanting.get(disk).copied().unwrap_or_default();
                level.surplus_bytes = level.surplus_bytes.max(-i128::from(left));
            }
        }
    }

    /// A shard of a blob and where it should go, if one should: from the fullest of its disks to the emptiest of the others.
    pub(super) fn move_of(&self, placement: &BlobPlacement) -> Option<(usize, DiskNo)> {
        let on = |disk: &DiskNo| placement.shards.iter().any(|p| p.disk() == Some(*disk));
        let surplus = |disk: DiskNo| self.disks.get(&disk).map(|level| level.surplus_bytes);
        let surplus_of =
            |(shard, place): (usize, &ShardPlace)| Some((surplus(place.disk()?)?, shard));
        let (fullest, shard) = placement
            .shards
            .iter()
            .enumerate()
            .filter_map(surplus_of)
            .max()?;
        let free = self
            .disks
            .iter()
            .filter(|(disk, level)| level.takes() && !on(disk));
        let (emptiest, to) = free
            .map(|(disk, level)| (level.surplus_bytes, *disk))
            .min()?;
        let bytes = i128::from(placement.layout().shard_bytes());
        (fullest > 0 && fullest - emptiest > bytes).then_some((shard, to))
    }

    /// Books a move.
    pub(super) fn book(&mut self, from: Option<DiskNo>, to: DiskNo, bytes: u64) {
        for (disk, bytes) in [(from, -i128::from(bytes)), (Some(to), i128::from(bytes))] {
            if let Some(level) = disk.and_then(|disk| self.disks.get_mut(&disk)) {
                level.surplus_bytes += bytes;
            }
        }
    }
}

impl Level {
    fn takes(&self) -> bool {
        self.takes_data && self.surplus_bytes < -self.slack_bytes / 4
    }
}

/// What each disk should hold: as much as its size has of all sizes, but of each blob no more than one shard; what is too much for one
/// is the others'.
fn dues(disks: &BTreeMap<DiskNo, Holding>, one_of_each_bytes: u64) -> BTreeMap<DiskNo, i128> {
    let cap = i128::from(one_of_each_bytes);
    let mut left: i128 = disks.values().map(|disk| i128::from(disk.held_bytes)).sum();
    let mut dues = BTreeMap::new();
    loop {
        let open = disks.iter().filter(|(disk, _)| !dues.contains_key(*disk));
        let open: Vec<(DiskNo, i128)> = open
            .map(|(disk, of)| (*disk, i128::from(of.size_bytes)))
            .collect();
        let sizes: i128 = open.iter().map(|(_, size)| size).sum();
        let share = |size: i128| left.saturating_mul(size) / sizes.max(1);
        let capped: Vec<DiskNo> = open
            .iter()
            .filter(|(_, size)| share(*size) > cap)
            .map(|(disk, _)| *disk)
            .collect();
        if capped.is_empty() {
            dues.extend(open.iter().map(|(disk, size)| (*disk, share(*size))));
            return dues;
        }
        left -= cap * i128::try_from(capped.len()).unwrap_or_default();
        left = left.max(0);
        dues.extend(capped.into_iter().map(|disk| (disk, cap)));
    }
}

#[cfg(test)]
mod tests {
    use larder_erasure::Profile;
    use proptest::prelude::*;

    use super::*;
    use crate::{disk::BlobId, stripes::ShardForm};

    const GIB: u64 = 1 << 30;
    const BLOB_BYTES: u64 = 20 << 20;

    fn placement(on: &[u16]) -> BlobPlacement {
        let parity = on.len() - 2;
        BlobPlacement {
            blob: BlobId(7),
            size: BLOB_BYTES,
            profile: Profile::new(2, u8::try_from(parity).unwrap()).unwrap(),
            form: ShardForm::Extent,
            shards: on
                .iter()
                .map(|disk| ShardPlace::Extent(DiskNo(*disk)))
                .collect(),
        }
    }

    /// Blobs with shards on disks of these sizes.
    struct Cluster {
        sizes: Vec<u64>,
        blobs: Vec<BlobPlacement>,
    }

    impl Cluster {
        fn levels(&self) -> Levels {
            let of = |number: usize| Holding {
                size_bytes: self.sizes[number],
                held_bytes: self.held(number),
                takes_data: true,
            };
            let disks = (0..self.sizes.len()).map(|n| (no(n), of(n)));
            let one_of_each = self.blobs.iter().map(|blob| blob.layout().shard_bytes());
            Levels::of(&disks.collect(), one_of_each.sum(), LEVEL_BYTES)
        }

        fn held(&self, number: usize) -> u64 {
            let places = self
                .blobs
                .iter()
                .flat_map(|blob| blob.shards.iter().map(move |place| (blob, place)));
            let on = places.filter(|(_, place)| place.disk() == Some(no(number)));
            on.map(|(blob, _)| blob.layout().shard_bytes()).sum()
        }

        /// One pass over all blobs; how many moved.
        fn pass(&mut self) -> usize {
            let (mut levels, mut moves) = (self.levels(), 0);
            if levels.is_level() {
                return 0;
            }
            for blob in &mut self.blobs {
                if let Some((shard, to)) = levels.move_of(blob) {
                    let from = blob.shards[shard].disk();
                    levels.book(from, to, blob.layout().shard_bytes());
                    blob.shards[shard] = ShardPlace::Extent(to);
                    moves += 1;
                }
            }
            moves
        }
    }

    fn no(number: usize) -> DiskNo {
        DiskNo(u16::try_from(number).unwrap())
    }

    #[test]
    fn an_added_disk_gets_its_share_in_one_pass_and_nothing_moves_in_the_next() {
        for old in [3_u16, 4, 8, 20] {
            let blobs = (0..600).map(|blob| {
                let on: Vec<u16> = (0..3).map(|shard| (blob + shard) % old).collect();
                placement(&on)
            });
            let mut cluster = Cluster {
                sizes: vec![100 * GIB; usize::from(old) + 1],
                blobs: blobs.collect(),
            };
            assert!(cluster.pass() > 0);
            assert!(cluster.levels().is_level(), "{old} disks");
            assert_eq!(cluster.pass(), 0, "{old} disks");
        }
    }

    #[test]
    fn small_differences_and_blobs_that_are_there_already_stay() {
        let holding = |held_bytes| Holding {
            size_bytes: 100 * GIB,
            held_bytes,
            takes_data: true,
        };
        let of = |held: [u64; 5]| {
            let disks = held
                .iter()
                .enumerate()
                .map(|(n, held)| (no(n), holding(*held)));
            Levels::of(&disks.collect(), GIB, LEVEL_BYTES)
        };
        let small = 3 << 20;
        assert!(of([small, small, small, small, 0]).is_level());
        let levels = of([GIB, GIB, GIB, GIB, 0]);
        assert!(!levels.is_level());
        assert_eq!(levels.move_of(&placement(&[0, 1, 2, 4])), None);
        assert_eq!(
            levels.move_of(&placement(&[0, 1, 2, 3])).unwrap().1,
            DiskNo(4)
        );
    }

    #[test]
    fn a_disk_much_larger_than_the_others_is_due_one_shard_of_each_blob() {
        let mut cluster = Cluster {
            sizes: vec![GIB, GIB, GIB, GIB, 100 * GIB],
            blobs: (0..40).map(|_| placement(&[0, 1, 2, 3])).collect(),
        };
        assert_eq!(cluster.pass(), 40, "each has a shard there");
        assert!(cluster.levels().is_level());
        assert_eq!(cluster.pass(), 0);
    }

    #[test]
    fn a_full_disk_gives_and_does_not_take() {
        let disks = [(10 * GIB, true), (GIB, false), (GIB, true)];
        let holding = |(held_bytes, takes_data): (u64, bool)| Holding {
            size_bytes: 100 * GIB,
            held_bytes,
            takes_data,
        };
        let disks = disks
            .iter()
            .enumerate()
            .map(|(n, disk)| (no(n), holding(*disk)));
        let levels = Levels::of(&disks.collect(), 10 * GIB, LEVEL_BYTES);
        let takers: Vec<DiskNo> = levels.wanting().into_keys().collect();
        assert_eq!(takers, [DiskNo(2)]);
    }

    proptest! {
        #[test]
        fn moves_come_to_an_end_whatever_the_disks_and_sizes(
            sizes in prop::collection::vec(1..20_u64, 4..9), starts in prop::collection::vec((any::<u16>(), 1..500_u64), 1..40),
        ) {
            let count = u16::try_from(sizes.len()).unwrap();
            let blob = |(start, mib): &(u16, u64)| {
                let on: Vec<u16> = (0..4).map(|shard| (start % count + shard) % count).collect();
                BlobPlacement { size: mib << 20, ..placement(&on) }
            };
            let mut cluster = Cluster { sizes: sizes.iter().map(|size| size * GIB).collect(), blobs: starts.iter().map(blob).collect() };
            let mut passes = 0;
            while cluster.pass() > 0 {
                passes += 1;
                prop_assert!(passes < 20, "to and fro");
                for blob in &cluster.blobs {
                    let mut on: Vec<_> = blob.shards.iter().map(|place| place.disk()).collect();
                    on.sort_unstable();
                    on.dedup();
                    prop_assert_eq!(on.len(), 4, "one shard a disk");
                }
            }
        }
    }
}
