//! Extents that no record names: what a process was writing when it died.

use std::collections::HashSet;

use super::{
    Store, StoreError, keys,
    pages::Pages,
    record::{Body, GarbageRecord, ObjectRecord, PartRecord, RecordError},
};
use crate::{
    disk::BlobId,
    mutation::{self, Mutation},
    stripes::BlobPlacement,
};

/// What a record names; a record that does not decode stops the sweep, since it might name anything.
type PlacementOf = fn(&[u8]) -> Result<Option<BlobPlacement>, RecordError>;

/// Entries read at a time.
const PAGE: usize = 1000;

impl Store {
    /// Removes extents that earlier processes wrote and no record names. `from` is the oldest blob that may be one
    /// ([`crate::meta::embedded::RecoveryReport::orphans_from`]). Costs a listing of the extents, and only if there
    /// are candidates a scan of all records. Returns the number of blobs removed.
    ///
    /// # Errors
    /// Those of the metadata engine; nothing is removed then.
    pub async fn sweep_orphans(&self, from: BlobId) -> Result<usize, StoreError> {
        let candidates = self.inner.pool.extents_of_earlier_epochs(from).await;
        let orphans = self.unnamed(candidates).await?;
        let count = orphans.len();
        self.inner.pool.remove_all_extents_of(orphans).await;
        Ok(count)
    }

    /// Those of `candidates` that no record names. What moves from one record to another while this reads is found: data goes from objects
    /// and parts to garbage tasks only, which are read last.
    ///
    /// # Errors
    /// Those of the metadata engine, and a record that does not decode, which might name anything.
    pub(crate) async fn unnamed(
        &self,
        mut candidates: HashSet<BlobId>,
    ) -> Result<HashSet<BlobId>, StoreError> {
        let named: [(_, PlacementOf); 4] = [
            (keys::all_objects(), object_placement),
            (keys::all_versions(), object_placement),
            (keys::all_parts(), part_placement),
            (keys::all_garbage(), garbage_placement),
        ];
        for ((first, to), placement_of) in named {
            if candidates.is_empty() {
                break;
            }
            if first == keys::all_parts().0 && mutation::is_active(Mutation::LeakPartsOfObjects) {
                continue;
            }
            self.strike_named(&mut candidates, first, to, placement_of)
                .await?;
        }
        Ok(candidates)
    }

    async fn strike_named(
        &self,
        candidates: &mut HashSet<BlobId>,
        from: Vec<u8>,
        to: Vec<u8>,
        placement_of: PlacementOf,
    ) -> Result<(), StoreError> {
        let mut pages = Pages::new(&*self.inner.meta, from, to, PAGE);
        while let Some(entry) = pages.next().await? {
            if let Some(placement) = placement_of(&entry.value)? {
                candidates.remove(&placement.blob);
            }
        }
        Ok(())
    }
}

fn object_placement(value: &[u8]) -> Result<Option<BlobPlacement>, RecordError> {
    Ok(match ObjectRecord::decode(value)?.body {
        Body::Blob(placement) => Some(placement),
        Body::Parts(_) | Body::Empty | Body::Elsewhere(_) => None,
    })
}

fn part_placement(value: &[u8]) -> Result<Option<BlobPlacement>, RecordError> {
    Ok(PartRecord::decode(value)?.placement)
}

fn garbage_placement(value: &[u8]) -> Result<Option<BlobPlacement>, RecordError> {
    Ok(match GarbageRecord::decode(value)? {
        GarbageRecord::Blob(placement) => Some(placement),
        _ => None,
    })
}
