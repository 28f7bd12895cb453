//! What is on which disk, as the records tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use larder_erasure::Profile;
use parking_lot::Mutex;

use crate::{
    disk::DiskNo,
    meta::{
        MetaError,
        embedded::{Embedded, Stored, inline_placement},
    },
    objects::extents_of,
    stripes::{BlobPlacement, Pool, Role},
};

/// Rows that are looked at without a pause.
const ROWS: usize = 4096;

/// What the records name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Per disk; disks that are no members any more may be among them.
    pub disks: BTreeMap<DiskNo, DiskUsage>,
    /// Bytes of one shard of each blob: more no disk can hold.
    pub one_of_each_bytes: u64,
    /// The profile with the most shards, of those that blobs have.
    pub widest: Option<Profile>,
}

/// What the records name on one disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Shards of objects and parts.
    pub shards: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Copies of records.
    pub records: u64,
}

impl DiskUsage {
    /// Whether nothing is named there.
    pub fn is_empty(&self) -> bool {
        self.shards == 0 && self.records == 0
    }
}

/// What would become of the records without some disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Objects, parts and other records of which nothing would be left that suffices to read them.
    pub unreadable: u64,
    /// Those that can be read but would have fewer shards or copies than now.
    pub weakened: u64,
}

impl Usage {
    /// What the records of `engine` name.
    ///
    /// # Errors
    /// [`MetaError`]: the metadata can't be read now.
    pub async fn of(pool: &Pool, engine: &Arc<Embedded>) -> Result<Self, MetaError> {
        let members = pool.disks();
        let members = members.iter().filter(|disk| disk.role == Role::Member);
        let members: BTreeSet<DiskNo> = members.map(|disk| disk.number).collect();
        let copies = (pool.profile().parity() + 1).min(members.len());
        fold(engine, move |usage: &mut Self, row| {
            usage.add(row, &members, copies);
        })
        .await
    }

    /// What `number` holds.
    pub fn on(&self, number: DiskNo) -> DiskUsage {
        self.disks.get(&number).copied().unwrap_or_default()
    }

    /// Copies on disks that are on their way out count only where the others have too few.
    fn add(&mut self, row: &Row<'_>, members: &BTreeSet<DiskNo>, copies: usize) {
        let suffices = row.homes.intersection(members).count() >= copies;
        for home in &row.homes {
            if !suffices || members.contains(home) {
                self.disks.entry(*home).or_default().records += 1;
            }
        }
        let Some(placement) = row.blob() else {
            return;
        };
        let bytes = placement.layout().shard_bytes();
        for disk in placement.shards.iter().filter_map(|place| place.disk()) {
            let usage = self.disks.entry(disk).or_default();
            usage.shards += 1;
            usage.bytes += bytes;
        }
        self.one_of_each_bytes = self.one_of_each_bytes.saturating_add(bytes);
        self.widen(placement.profile);
    }

    fn widen(&mut self, profile: Profile) {
        if self
            .widest
            .is_none_or(|known| known.total() < profile.total())
        {
            self.widest = Some(profile);
        }
    }
}

impl Loss {
    /// What would become of the records of `engine` if only the disks that `is_left` picks were left.
    ///
    /// # Errors
    /// [`MetaError`]: the metadata can't be read now.
    pub async fn without(
        engine: &Arc<Embedded>,
        gone: DiskNo,
        is_left: impl Fn(DiskNo) -> bool + Send + Sync + 'static,
    ) -> Result<Self, MetaError> {
        fold(engine, move |loss: &mut Self, row| {
            loss.add(row, gone, &is_left);
        })
        .await
    }

    fn add(&mut self, row: &Row<'_>, gone: DiskNo, is_left: &dyn Fn(DiskNo) -> bool) {
        let left = |disk: &DiskNo| *disk != gone && is_left(*disk);
        let placement = row.blob();
        let shards = placement.iter().flat_map(|placement| &placement.shards);
        let shards: Vec<DiskNo> = shards.filter_map(|place| place.disk()).collect();
        if !row.homes.contains(&gone) && !shards.contains(&gone) {
            return;
        }
        let needed = placement.map_or(0, |placement| placement.profile.data());
        let has_record = row.homes.iter().any(left);
        if has_record && shards.iter().filter(|disk| left(disk)).count() >= needed {
            self.weakened += 1;
        } else {
            self.unreadable += 1;
        }
    }
}

/// A record with where it is.
struct Row<'a> {
    key: &'a [u8],
    stored: &'a Stored,
    /// The disks that have a copy of it.
    homes: BTreeSet<DiskNo>,
}

impl Row<'_> {
    /// Its blob, whether in the log or in extents.
    fn blob(&self) -> Option<BlobPlacement> {
        let value = self.stored.value.as_ref()?;
        let inline = inline_placement(value, self.stored.placement_bytes);
        let inline = inline.map(|(placement, _)| placement);
        inline.or_else(|| extents_of(self.key, value))
    }
}

/// Goes through all rows, off the async threads, a page at a time.
async fn fold<T: Default + Send + 'static>(
    engine: &Arc<Embedded>,
    add: impl Fn(&mut T, &Row<'_>) + Send + Sync + 'static,
) -> Result<T, MetaError> {
    let (all, add) = (Arc::new(Mutex::new(T::default())), Arc::new(add));
    let mut from = Some(Bytes::new());
    while let Some(start) = from {
        let (all, add) = (Arc::clone(&all), Arc::clone(&add));
        let visit = move |key: &[u8], stored: &Stored| {
            let homes = stored.homes.iter().map(|(disk, _)| *disk).collect();
            add(&mut all.lock(), &Row { key, stored, homes });
            false
        };
        from = engine.rows(start, ROWS, ROWS, visit).await?.1;
    }
    let mut all = all.lock();
    Ok(std::mem::take(&mut *all))
}
