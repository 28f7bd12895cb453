//! What lacks redundancy, as the metadata and the disks that are here tell: nothing of it is stored.
//!
//! Pure but for the snapshot of the disks' state in [`Standings::of`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use crate::{
    disk::{Address, DiskError, DiskNo, Health},
    meta::embedded::{Stored, inline_placement},
    objects::extents_of,
    stripes::{BlobPlacement, Pool, Role, ShardPlace},
};

/// What is known of the disks at one moment.
#[derive(Debug)]
pub(crate) struct Standings {
    disks: HashMap<DiskNo, Standing>,
    /// Copies that a record should have.
    copies: usize,
    /// Whether enough disks are good for commits.
    is_writable: bool,
    takes_data: usize,
}

#[derive(Debug)]
enum Standing {
    Here {
        takes_data: bool,
        /// What it holds is to move to others.
        is_leaving: bool,
        /// Lengths of its log's segments.
        segments: BTreeMap<u32, u64>,
    },
    /// A member that does not answer: what it holds is neither lost nor of use now.
    Away,
}

/// Where a copy or a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Good,
    /// Good, on a disk that is being drained.
    Leaving,
    Away,
    Lost,
}

/// What can be done for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// All is as it should be.
    Nothing,
    /// It lacks something that can be made up for now.
    Healing,
    /// It lacks something that needs a disk that is not here, or room.
    Waiting,
    /// Fewer than `k` shards are left, those of disks that may come back included.
    Lost,
}

/// What a record has, and lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Losses that it survives now; negative where it can't be read.
    pub(crate) spare: i64,
    pub(crate) need: Need,
    /// Size of its blob, or of itself.
    pub(crate) bytes: u64,
    /// Fewer copies than it should have.
    pub(crate) lacks_copies: bool,
    /// Shards of its blob that are on no disk of the cluster, and then those that are on disks that are being drained.
    pub(crate) lost_shards: Vec<usize>,
    /// It lacks nothing, but should not be where it is.
    pub(crate) only_moves: bool,
}

impl Standings {
    /// The disks of `pool` as they are now.
    ///
    /// # Errors
    /// [`DiskError`]: a log can't be listed.
    pub(crate) fn of(pool: &Pool) -> Result<Self, DiskError> {
        let (mut disks, mut good, mut staying, mut takes_data) = (HashMap::new(), 0, 0, 0);
        for place in &pool.disks() {
            let here = place.here();
            let here = here.filter(|disk| !matches!(disk.health(), Health::Failed(_)));
            let is_leaving = place.role == Role::Draining;
            let standing = match here {
                // A dead disk that is being drained is given up for lost.
                None if is_leaving => continue,
                None => Standing::Away,
                Some(disk) => {
                    let segments = disk.segments()?.into_iter();
                    let is_good = disk.health() == Health::Good && !is_leaving;
                    good += 1;
                    staying += usize::from(!is_leaving);
                    takes_data += usize::from(is_good);
                    Standing::Here {
                        takes_data: is_good,
                        is_leaving,
                        segments: segments.map(|s| (s.number, s.bytes)).collect(),
                    }
                }
            };
            disks.insert(place.number, standing);
        }
        let profile = pool.profile();
        Ok(Self {
            disks,
            copies: (profile.parity() + 1).min(staying),
            is_writable: good >= Pool::write_quorum(profile),
            takes_data,
        })
    }

    /// Members that are not here.
    pub(crate) fn away(&self) -> BTreeSet<DiskNo> {
        let away = |(number, standing): (&DiskNo, &Standing)| {
            matches!(standing, Standing::Away).then_some(*number)
        };
        self.disks.iter().filter_map(away).collect()
    }

    /// Members that are here.
    pub(crate) fn here(&self) -> BTreeSet<DiskNo> {
        let here = |(number, standing): (&DiskNo, &Standing)| {
            matches!(standing, Standing::Here { .. }).then_some(*number)
        };
        self.disks.iter().filter_map(here).collect()
    }

    /// Whether enough disks are good for commits.
    pub(crate) fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// Whether a new shard may be put on this disk.
    pub(crate) fn takes_data(&self, disk: DiskNo) -> bool {
        matches!(
            self.disks.get(&disk),
            Some(Standing::Here {
                takes_data: true,
                ..
            })
        )
    }

    fn in_log(&self, disk: DiskNo, segment: u32, offset: u32) -> Place {
        match self.disks.get(&disk) {
            None => Place::Lost,
            Some(Standing::Away) => Place::Away,
            Some(Standing::Here {
                segments,
                is_leaving,
                ..
            }) => {
                let last = segments.last_key_value();
                match segments.get(&segment) {
                    // Written since, or being written.
                    _ if last.is_none_or(|(last, _)| segment >= *last) => Place::here(*is_leaving),
                    Some(bytes) if u64::from(offset) < *bytes => Place::here(*is_leaving),
                    _ => Place::Lost,
                }
            }
        }
    }

    fn shard(&self, place: ShardPlace) -> Place {
        match place {
            ShardPlace::Missing => Place::Lost,
            ShardPlace::Log(disk, Address { segment, offset }) => {
                self.in_log(disk, segment, offset)
            }
            ShardPlace::Extent(disk) => match self.disks.get(&disk) {
                None => Place::Lost,
                Some(Standing::Away) => Place::Away,
                Some(Standing::Here { is_leaving, .. }) => Place::here(*is_leaving),
            },
        }
    }

    /// Disks for further shards of extents: good ones without a shard of the blob, those that are away included.
    pub(crate) fn is_free_for(&self, placement: &BlobPlacement, disk: DiskNo) -> bool {
        let has = |place: &ShardPlace| place.disk() == Some(disk);
        self.takes_data(disk) && !placement.shards.iter().any(has)
    }

    /// Whether a record and its blob lack nothing, and a blob in the log would lack nothing after it is committed anew either.
    pub(super) fn may_move(
        &self,
        key: &[u8],
        stored: &Stored,
        placement: &BlobPlacement,
        is_inline: bool,
    ) -> bool {
        let is_good = |place: &ShardPlace| self.shard(*place) == Place::Good;
        self.is_writable
            && self.judge(key, stored).need == Need::Nothing
            && placement.shards.iter().all(is_good)
            && (!is_inline || self.takes_data >= placement.profile.total())
    }

    fn free_disks(&self, placement: &BlobPlacement) -> usize {
        let numbers = self.disks.keys();
        numbers
            .filter(|number| self.is_free_for(placement, **number))
            .count()
    }

    /// What the record under `key` has and lacks.
    pub(crate) fn judge(&self, key: &[u8], stored: &Stored) -> Verdict {
        let on = |wanted: Place| {
            let homes = stored.homes.iter();
            let homes = homes.filter(|(disk, segment)| self.in_log(*disk, *segment, 0) == wanted);
            homes.map(|(disk, _)| *disk).collect::<BTreeSet<DiskNo>>()
        };
        let (copies, leaving) = (on(Place::Good).len(), on(Place::Leaving).len());
        let value = stored.value.as_ref();
        let lacks_copies = copies < self.copies;
        let mut verdict = Verdict {
            spare: signed(copies + leaving) - 1,
            need: if lacks_copies {
                Need::Healing
            } else {
                Need::Nothing
            },
            bytes: value.map_or(0, Bytes::len) as u64,
            lacks_copies,
            lost_shards: Vec::new(),
            only_moves: copies + leaving >= self.copies,
        };
        if let Some((placement, is_inline)) = value.and_then(|value| blob_of(key, stored, value)) {
            self.judge_blob(&placement, is_inline, &mut verdict);
        }
        if verdict.need == Need::Healing && !self.is_writable {
            verdict.need = Need::Waiting;
        }
        verdict
    }

    fn judge_blob(&self, placement: &BlobPlacement, is_inline: bool, verdict: &mut Verdict) {
        let places: Vec<Place> = placement.shards.iter().map(|p| self.shard(*p)).collect();
        let count = |wanted| places.iter().filter(|place| **place == wanted).count();
        let (good, leaving) = (count(Place::Good), count(Place::Leaving));
        let (readable, away) = (good + leaving, count(Place::Away));
        let profile = placement.profile;
        verdict.bytes = placement.size;
        verdict.spare = verdict.spare.min(signed(readable) - signed(profile.data()));
        verdict.only_moves &= readable == profile.total();
        let of = |wanted| {
            let places = places.iter().enumerate();
            let places = places.filter(move |(_, place)| **place == wanted);
            places.map(|(shard, _)| shard)
        };
        verdict.lost_shards = of(Place::Lost).chain(of(Place::Leaving)).collect();
        let attainable = if is_inline {
            profile.total().min(self.takes_data)
        } else {
            good + self.free_disks(placement).min(verdict.lost_shards.len())
        };
        verdict.need = if readable < profile.data() {
            if readable + away < profile.data() {
                Need::Lost
            } else {
                Need::Waiting
            }
        } else if is_inline && attainable < readable {
            // To commit it anew would cost it the shards that are on full disks, or on those that are being drained.
            if verdict.lacks_copies || good + away < profile.total() {
                Need::Waiting
            } else {
                Need::Nothing
            }
        } else if attainable > good || verdict.lacks_copies {
            Need::Healing
        } else if good < profile.total() {
            Need::Waiting
        } else {
            Need::Nothing
        };
    }
}

impl Place {
    fn here(is_leaving: bool) -> Self {
        if is_leaving {
            Self::Leaving
        } else {
            Self::Good
        }
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The blob that a row names, and whether it is in the log.
pub(super) fn blob_of(key: &[u8], stored: &Stored, value: &Bytes) -> Option<(BlobPlacement, bool)> {
    match inline_placement(value, stored.placement_bytes) {
        Some((placement, _)) => Some((placement, true)),
        None => Some((extents_of(key, value)?, false)),
    }
}
