//! What healing needs of the records: the extents that they name, and giving a record other ones.
//!
//! Shards of extents are written anew under the number of their blob, so they would leak if a crash or a lost race came between the
//! writing and the commit. So a garbage task that lists them is committed before the first byte is written, and deleted by the
//! commit that names them: whatever happens, either the record names an extent or the task does.
//!
//! Invariant: while a blob is being healed, no garbage task of it is done, and the other way round ([`HealingBlobs`]).

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    Store, StoreError,
    commit::{Draft, is_outcome_unknown, to_the_end},
    keys,
    record::{self, GarbageRecord},
};
use crate::{
    disk::{BlobId, DiskNo},
    meta::{
        Revision,
        keys::{UNTOLD, heal_key},
    },
    mutation::{self, Mutation},
    stripes::{BlobPlacement, Rebuilt, Rest, ShardPlace, StripeError, Target, rebuild_extents},
};

/// Keys that readers found damaged and that nobody has taken yet, at most.
const MAX_DAMAGED: usize = 1024;

/// The extents that the record under `key` names, if it names any that are somebody's data. A record that does not decode names none.
pub(crate) fn extents_of(key: &[u8], record: &[u8]) -> Option<BlobPlacement> {
    if !keys::names_blobs(key) {
        return None;
    }
    let placement = record::placement_of(record).ok().flatten();
    placement.filter(BlobPlacement::is_extents)
}

/// The extents that the record under `key` names, and whether they are somebody's data: a garbage task names what is to go.
///
/// # Errors
/// [`StoreError::Record`]: it does not decode, so that it may name anything.
pub(crate) fn any_extents_of(
    key: &[u8],
    record: &[u8],
) -> Result<Option<(BlobPlacement, bool)>, StoreError> {
    let is_data = keys::names_blobs(key);
    if !is_data && !keys::is_garbage(key) {
        return Ok(None);
    }
    let placement = record::placement_of(record)?;
    let extents = placement.filter(BlobPlacement::is_extents);
    Ok(extents.map(|placement| (placement, is_data)))
}

/// Blobs whose extents are being healed, or swept.
#[derive(Debug, Default)]
pub(super) struct HealingBlobs(Mutex<HashSet<BlobId>>);

/// Keeps others from healing or sweeping a blob.
#[derive(Debug)]
pub(crate) struct Healing {
    blobs: Arc<HealingBlobs>,
    blob: BlobId,
    /// What became of it will be known after the next start only: nobody may touch it before.
    for_ever: bool,
}

impl HealingBlobs {
    /// `None` while another has it.
    pub(super) fn begin(self: &Arc<Self>, blob: BlobId) -> Option<Healing> {
        self.0.lock().insert(blob).then(|| Healing {
            blobs: Arc::clone(self),
            blob,
            for_ever: false,
        })
    }
}

impl Drop for Healing {
    fn drop(&mut self) {
        if !self.for_ever {
            self.blobs.0.lock().remove(&self.blob);
        }
    }
}

/// Keys of objects and parts whose readers met damage that no record tells of.
#[derive(Debug, Default)]
pub(super) struct DamagedObjects(Mutex<BTreeSet<Bytes>>);

impl DamagedObjects {
    /// Notes a key. Beyond a bound it is dropped: the next reader will find it again.
    pub(super) fn note(&self, key: &Bytes) {
        let mut keys = self.0.lock();
        if keys.len() < MAX_DAMAGED {
            keys.insert(key.clone());
        }
    }
}

/// A record with extents, some of whose shards are to be written anew.
#[derive(Debug)]
pub(crate) struct HealingExtents {
    /// Under which the record is.
    pub(crate) key: Bytes,
    /// At which it is.
    pub(crate) revision: Revision,
    /// The record.
    pub(crate) record: Bytes,
    /// What it names.
    pub(crate) placement: BlobPlacement,
    /// Whether the record itself should be committed anew although nothing changes in it.
    pub(crate) lacks_copies: bool,
}

impl Store {
    /// Takes a blob for healing; `None` while it is being swept, or healed by another.
    pub(crate) fn begin_healing(&self, blob: BlobId) -> Option<Healing> {
        self.inner.healing.begin(blob)
    }

    /// Keys that readers found damaged since the last call.
    pub(crate) fn take_damaged(&self) -> BTreeSet<Bytes> {
        std::mem::take(&mut *self.inner.damaged.0.lock())
    }

    /// Queues keys for healing, durably.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(crate) async fn queue_for_healing(
        &self,
        keys: impl IntoIterator<Item = Bytes>,
    ) -> Result<(), StoreError> {
        for key in keys {
            let mut draft = Draft::default();
            draft.put(heal_key(&key), UNTOLD.to_vec());
            self.try_commit(draft).await?;
        }
        Ok(())
    }

    /// Turns an entry of the queue into one of which the record tells all that is left to heal.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(crate) async fn queue_known(
        &self,
        key: &Bytes,
        revision: Option<Revision>,
        queued: Revision,
    ) -> Result<(), StoreError> {
        let mut draft = Draft::default();
        draft.put(heal_key(key), Vec::new());
        draft.expect(heal_key(key), Some(queued));
        draft.expect(key.clone(), revision);
        self.try_commit(draft).await?;
        Ok(())
    }

    /// Takes a key off the queue, if neither it nor its entry has changed since these revisions.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(crate) async fn unqueue(
        &self,
        key: &Bytes,
        revision: Option<Revision>,
        queued: Revision,
    ) -> Result<(), StoreError> {
        let mut draft = Draft::default();
        draft.delete(heal_key(key));
        draft.expect(heal_key(key), Some(queued));
        draft.expect(key.clone(), revision);
        self.try_commit(draft).await?;
        Ok(())
    }

    /// Writes shards anew from the others and has the record name them. Which were written, and which further ones turned out to
    /// be bad. `None`: the object was replaced meanwhile; what was written is removed.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`]: too few good shards. Others: as it was; try again.
    pub(crate) async fn heal_extents(
        &self,
        healing: Healing,
        what: HealingExtents,
        targets: Vec<Target>,
        rest: Arc<dyn Rest>,
    ) -> Result<Option<(Revision, Rebuilt)>, StoreError> {
        let store = self.clone();
        to_the_end(async move {
            store
                .heal_extents_alone(healing, &what, &targets, &*rest)
                .await
        })
        .await
    }

    async fn heal_extents_alone(
        &self,
        mut healing: Healing,
        what: &HealingExtents,
        targets: &[Target],
        rest: &dyn Rest,
    ) -> Result<Option<(Revision, Rebuilt)>, StoreError> {
        let task = keys::garbage(self.new_number());
        let mut placement = what.placement.clone();
        for place in &mut placement.shards {
            *place = ShardPlace::Missing;
        }
        name(&mut placement, targets, |_| true);
        let strays = GarbageRecord::Strays(what.key.to_vec(), placement);
        let mut draft = Draft::default();
        draft.put(task.clone(), strays.encode());
        draft.expect(what.key.clone(), Some(what.revision));
        if self.try_commit(draft).await?.is_none() {
            return Ok(None);
        }
        let rebuilt = rebuild_extents(&self.inner.pool, &what.placement, targets, rest).await?;
        if rebuilt.written.is_empty() {
            return Err(nothing_written(&rebuilt, what));
        }
        let is_here = |disk| self.inner.pool.disk(disk).is_some();
        let draft = renaming(what, targets, &rebuilt, task, is_here)?;
        match self.try_commit(draft).await {
            Ok(revision) => Ok(revision.map(|revision| (revision, rebuilt))),
            Err(error) => {
                healing.for_ever = is_outcome_unknown(&error);
                Err(error)
            }
        }
    }

    /// Removes extents that no record names, but for those of blobs that somebody still reads or sweeps.
    pub(crate) async fn remove_strays(&self, strays: Vec<(BlobId, u8, DiskNo)>) {
        for extent in strays {
            let (blob, ..) = extent;
            if self.inner.pins.is_pinned(blob.0) {
                continue;
            }
            if let Some(_alone) = self.inner.healing.begin(blob) {
                self.inner.pool.remove_extents(vec![extent]).await;
            }
        }
    }

    /// The extents of a task of healing that its record does not name go. False: it is being healed.
    pub(super) async fn sweep_strays(
        &self,
        key: &[u8],
        strays: &BlobPlacement,
    ) -> Result<bool, StoreError> {
        let Some(_alone) = self.inner.healing.begin(strays.blob) else {
            return Ok(false);
        };
        let found = self.inner.meta.get(key).await?;
        let named = found.and_then(|found| extents_of(key, &found.value));
        let named = named.filter(|named| named.blob == strays.blob);
        let mut unnamed = strays.clone();
        for (shard, place) in unnamed.shards.iter_mut().enumerate() {
            if named.as_ref().and_then(|named| named.shards.get(shard)) == Some(place) {
                *place = ShardPlace::Missing;
            }
        }
        self.inner.pool.remove_blob(&unnamed).await;
        Ok(true)
    }
}

/// The transaction that makes what was written count.
fn renaming(
    what: &HealingExtents,
    targets: &[Target],
    rebuilt: &Rebuilt,
    task: Bytes,
    is_here: impl Fn(DiskNo) -> bool,
) -> Result<Draft, StoreError> {
    let mut draft = Draft::default();
    let mut placement = what.placement.clone();
    name(&mut placement, targets, |shard| {
        rebuilt.written.contains(&shard)
    });
    if placement != what.placement || what.lacks_copies {
        let record = record::with_placement(&what.record, &placement)?;
        draft.put(what.key.clone(), record);
    }
    match left_behind(&what.placement, &placement, is_here) {
        None => draft.delete(task),
        Some(left) => {
            let left = GarbageRecord::Strays(what.key.to_vec(), left);
            draft.put(task, left.encode());
        }
    }
    if !mutation::is_active(Mutation::SkipHealPreconditions) {
        draft.expect(what.key.clone(), Some(what.revision));
    }
    Ok(draft)
}

/// Extents that the record named and no longer names: they go once it is committed.
fn left_behind(
    before: &BlobPlacement,
    after: &BlobPlacement,
    is_here: impl Fn(DiskNo) -> bool,
) -> Option<BlobPlacement> {
    let mut left = before.clone();
    for (old, new) in left.shards.iter_mut().zip(&after.shards) {
        if old == new || !old.disk().is_some_and(&is_here) {
            *old = ShardPlace::Missing;
        }
    }
    (left.missing_shards() < left.shards.len()).then_some(left)
}

fn name(placement: &mut BlobPlacement, targets: &[Target], is_there: impl Fn(usize) -> bool) {
    for (shard, disk) in targets.iter().filter(|(shard, _)| is_there(*shard)) {
        placement.shards[*shard] = ShardPlace::Extent(disk.number());
    }
}

fn nothing_written(rebuilt: &Rebuilt, what: &HealingExtents) -> StoreError {
    if rebuilt.ran_full {
        return StripeError::Full.into();
    }
    StoreError::Unavailable(format!(
        "no shard of blob {:016x} could be written",
        what.placement.blob.0
    ))
}
