//! Extents that nothing names, and extents that are named and not there.
//!
//! Each disk's extents are listed and compared with what the records name. So a disk that was away while objects were deleted, or that
//! came back as it was long ago, is brought into accord with the others without anybody having kept account of it.
//!
//! Invariants:
//! - Only extents of blobs that earlier processes began are removed: those of this one may be named by a commit whose outcome is open.
//! - Nothing is removed while a record does not decode.
//! - Nothing is healed meanwhile: what is listed as a stray would become a shard that is named.
//! - Memory is bounded: extents are looked at in parts, by hash of their blob.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use bytes::Bytes;

use super::{Healer, ROWS};
use crate::{
    disk::{BlobId, DiskNo},
    objects::{StoreError, any_extents_of},
    stripes::{BlobPlacement, ListedExtents, Rest, ShardPlace},
};

/// Extents that are held in memory at a time, about 24 bytes each.
const EXTENTS_AT_ONCE: usize = 400_000;
/// Keys with missing extents that are held before they are queued.
const MISSING_AT_ONCE: usize = 1000;

/// What a census found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// Extents that nothing named, which are removed.
    pub(super) strays: u64,
    /// Records that name extents which are not there, which are queued.
    pub(super) missing: u64,
}

/// Extents of a part, sorted, and which of them were found to be named.
struct Part {
    number: u64,
    of: u64,
    listed: ListedExtents,
    is_named: Vec<bool>,
    /// Blobs from here on may be named by commits that are on their way.
    oldest_in_flight: BlobId,
}

impl Part {
    fn takes(&self, blob: BlobId) -> bool {
        part_of(blob, self.of) == self.number
    }

    /// Marks what `placement` names; whether all of it is there, as far as its disks were listed.
    fn name(&mut self, placement: &BlobPlacement) -> bool {
        let mut all = true;
        for (shard, place) in placement.shards.iter().enumerate() {
            let ShardPlace::Extent(disk) = place else {
                continue;
            };
            let shard = u8::try_from(shard).unwrap_or(u8::MAX);
            let wanted = (placement.blob, shard, *disk);
            match self.listed.extents.binary_search(&wanted) {
                Ok(at) => self.is_named[at] = true,
                Err(_) => all &= !self.listed.disks.contains(disk),
            }
        }
        all
    }

    fn strays(&self, before: BlobId) -> Vec<(BlobId, u8, DiskNo)> {
        let extents = self.listed.extents.iter().zip(&self.is_named);
        extents
            .filter(|((blob, ..), is_named)| !**is_named && *blob < before)
            .map(|(extent, _)| *extent)
            .collect()
    }
}

fn part_of(blob: BlobId, of: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    blob.hash(&mut hasher);
    hasher.finish() % of
}

impl Healer {
    /// Compares the extents of all disks that are here with what the records name.
    pub(super) async fn census(&self) -> Result<Census, StoreError> {
        let mut census = Census::default();
        let (mut number, mut of) = (0, 1);
        while number < of {
            let oldest_in_flight = self.pool.oldest_in_flight();
            let is_of_part = move |blob| part_of(blob, of) == number;
            let listed = self.pool.list_extents(is_of_part).await;
            if listed.extents.len() > EXTENTS_AT_ONCE {
                // Of the parts that were looked at before, each becomes several: all of them are done.
                let factor = (listed.extents.len() / EXTENTS_AT_ONCE + 1) as u64;
                (number, of) = (number * factor, of * factor);
                continue;
            }
            let part = Part {
                number,
                of,
                is_named: vec![false; listed.extents.len()],
                listed,
                oldest_in_flight,
            };
            self.compare(part, &mut census).await?;
            number += 1;
        }
        Ok(census)
    }

    async fn compare(&self, mut part: Part, census: &mut Census) -> Result<(), StoreError> {
        let (mut missing, mut is_sure) = (BTreeSet::new(), true);
        let mut from = Some(Bytes::new());
        while let Some(start) = from {
            let (rows, next) = self.engine.rows(start, ROWS, ROWS, |_, _| true).await?;
            from = next;
            for (key, row) in rows {
                let value = row.value.unwrap_or_default();
                let (placement, is_data) = match any_extents_of(&key, &value) {
                    Ok(Some(found)) => found,
                    Ok(None) => continue,
                    // Of a later release, perhaps: it may name anything.
                    Err(_) => {
                        is_sure = false;
                        continue;
                    }
                };
                if part.takes(placement.blob)
                    && !part.name(&placement)
                    && is_data
                    && placement.blob < part.oldest_in_flight
                {
                    missing.insert(key);
                }
            }
            if missing.len() >= MISSING_AT_ONCE {
                census.missing += self.queue_missing(std::mem::take(&mut missing)).await?;
            }
            self.breath.rest(0).await;
        }
        census.missing += self.queue_missing(missing).await?;
        if !is_sure {
            return Ok(());
        }
        let strays = part.strays(self.pool.first_blob());
        census.strays += strays.len() as u64;
        self.store.remove_strays(strays).await;
        Ok(())
    }

    async fn queue_missing(&self, keys: BTreeSet<Bytes>) -> Result<u64, StoreError> {
        let count = keys.len() as u64;
        self.store.queue_for_healing(keys).await?;
        Ok(count)
    }
}
