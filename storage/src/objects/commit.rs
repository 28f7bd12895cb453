//! Building and trying transactions; what all writes share.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use bytes::Bytes;
use tokio::sync::{Mutex, MutexGuard};

use super::{
    Store, StoreError,
    bucket::OpenBucket,
    keys,
    outbox::DraftedEvents,
    record::{Body, GarbageRecord, ObjectRecord, PartRecord},
};
use crate::{
    meta::{
        Change, MAX_KEY_BYTES, MAX_VALUE_BYTES, MetaError, Precondition, Revision, Transaction,
        keys::heal_key, tally::Limit,
    },
    stripes::{BlobPlacement, ExtentBlob, FinishedBlob, InlineBlob},
};

/// How often a write starts over because something it depends on has changed.
pub(super) const ATTEMPTS: usize = 32;
/// Left free in a value for what the commit engine appends: the placement of 255 shards, and to spare.
const PLACEMENT_RESERVE_BYTES: usize = 4 << 10;

/// A transaction in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    transaction: Transaction,
    pub(super) events: DraftedEvents,
}

impl Draft {
    /// Sets `key`. The first one set holds the inline blob, if there is one.
    pub(super) fn put(&mut self, key: Bytes, value: Vec<u8>) {
        self.transaction.changes.push(Change {
            key,
            value: Some(value.into()),
        });
    }

    /// As [`Self::put`], before all that is there already: this is what holds the inline blob.
    pub(super) fn put_first(&mut self, key: Bytes, value: Vec<u8>) {
        let value = Some(value.into());
        self.transaction.changes.insert(0, Change { key, value });
    }

    /// Queues what is put under `key` for healing if its extents lack a shard; of inline blobs the engine finds out.
    pub(super) fn queue_healing(&mut self, key: &[u8], placement: Option<&BlobPlacement>) {
        if placement.is_some_and(|placement| placement.missing_shards() > 0) {
            self.put(heal_key(key), Vec::new());
        }
    }

    /// Removes `key`.
    pub(super) fn delete(&mut self, key: Bytes) {
        self.transaction.changes.push(Change { key, value: None });
    }

    /// Commits only if `key` is at `revision`, or absent for `None`.
    pub(super) fn expect(&mut self, key: Bytes, revision: Option<Revision>) {
        self.transaction
            .preconditions
            .push(Precondition { key, revision });
    }

    /// Commits only if what it adds stays below `limit`.
    pub(super) fn limit(&mut self, limit: Limit) {
        self.transaction.limits.push(limit);
    }

    /// Makes `blob` durable with the commit.
    pub(super) fn inline(&mut self, blob: Option<InlineBlob>) {
        self.transaction.inline = blob;
    }

    /// Whether nothing would change.
    pub(super) fn is_empty(&self) -> bool {
        self.transaction.changes.is_empty()
    }

    /// Commits only if the bucket has not changed.
    pub(super) fn expect_bucket(&mut self, bucket: &OpenBucket) {
        let conditions = &self.transaction.preconditions;
        if conditions.iter().all(|known| known.key != bucket.key) {
            self.expect(bucket.key.clone(), Some(bucket.revision));
        }
    }

    /// Commits only if the bucket has not changed, and within its quota and its account's. Takes back a deletion that was only beginning.
    pub(super) fn enter(&mut self, bucket: &OpenBucket) {
        self.expect_bucket(bucket);
        self.transaction.limits.extend(bucket.limit());
        if let Some(ceiling) = bucket.ceiling() {
            ceiling.bind(self);
        }
        if let Some(reopened) = bucket.reopened() {
            self.put(bucket.key.clone(), reopened);
        }
    }

    fn check_size(&self) -> Result<(), StoreError> {
        let changes = &self.transaction.changes;
        if let Some(change) = changes
            .iter()
            .find(|change| change.key.len() > MAX_KEY_BYTES)
        {
            return Err(StoreError::MetadataTooLarge {
                bytes: change.key.len(),
            });
        }
        let values = changes.iter().filter_map(|change| change.value.as_ref());
        match values.map(Bytes::len).max() {
            Some(bytes) if bytes > MAX_VALUE_BYTES - PLACEMENT_RESERVE_BYTES => {
                Err(StoreError::MetadataTooLarge { bytes })
            }
            _ => Ok(()),
        }
    }
}

impl Store {
    /// Commits; `false` if a precondition did not hold, so that the caller reads again and decides.
    pub(super) async fn try_commit(&self, draft: Draft) -> Result<Option<Revision>, StoreError> {
        draft.check_size()?;
        let changes_bucket = draft
            .transaction
            .changes
            .iter()
            .any(|change| is_bucket(&change.key));
        // Also when this future is dropped half way: the commit may happen all the same.
        let _forget = changes_bucket.then(|| self.inner.buckets.clear_on_drop());
        match self.inner.meta.commit(draft.transaction).await {
            Ok(committed) => {
                draft.events.committed(&self.inner.outbox);
                Ok(Some(committed.revision))
            }
            Err(MetaError::Conflict { key }) => {
                if is_bucket(&key) {
                    self.inner.buckets.clear();
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Adds a garbage task.
    pub(super) fn discard(&self, draft: &mut Draft, task: &GarbageRecord) {
        draft.put(keys::garbage(self.new_number()), task.encode());
    }

    /// Adds the garbage task for the data of a record that goes away, if it has any outside the log.
    pub(super) fn discard_object(&self, draft: &mut Draft, old: Option<&ObjectRecord>) {
        if let Some(task) = old.and_then(object_garbage) {
            self.discard(draft, &task);
        }
    }

    /// The same for a part.
    pub(super) fn discard_part(&self, draft: &mut Draft, old: Option<&PartRecord>) {
        let placement = old.and_then(|part| part.placement.as_ref());
        if let Some(placement) = placement.filter(|placement| placement.is_extents()) {
            self.discard(draft, &GarbageRecord::Blob(placement.clone()));
        }
    }
}

/// What has to be removed once nothing refers to `record` any more.
pub(super) fn object_garbage(record: &ObjectRecord) -> Option<GarbageRecord> {
    match &record.body {
        Body::Blob(placement) if placement.is_extents() => {
            Some(GarbageRecord::Blob(placement.clone()))
        }
        Body::Parts(manifest) => Some(GarbageRecord::parts_of(&manifest.upload)),
        Body::Blob(_) | Body::Empty | Body::Elsewhere(_) => None,
    }
}

/// Whether what is known of buckets depends on it.
fn is_bucket(key: &[u8]) -> bool {
    key.first() == Some(&keys::BUCKET) || keys::is_account_quota(key)
}

/// A body on its way into a commit.
#[derive(Debug)]
pub(super) struct Data {
    /// What travels with the commit.
    pub(super) inline: Option<InlineBlob>,
    extents: Option<ExtentBlob>,
}

impl Data {
    pub(super) fn new(blob: FinishedBlob) -> Self {
        match blob {
            FinishedBlob::Empty => Self {
                inline: None,
                extents: None,
            },
            FinishedBlob::Inline(inline) => Self {
                inline: Some(inline),
                extents: None,
            },
            FinishedBlob::Extents(extents) => Self {
                inline: None,
                extents: Some(extents),
            },
        }
    }

    /// What a record says of it, but for what the commit engine appends.
    pub(super) fn body(&self) -> Body {
        match &self.extents {
            Some(extents) => Body::Blob(extents.placement().clone()),
            None => Body::Empty,
        }
    }

    /// Keeps the extents if the commit happened or may have; else they are removed.
    pub(super) fn settle<T>(self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let may_be_named = match &result {
            Ok(_) => true,
            Err(error) => is_outcome_unknown(error),
        };
        if let Some(extents) = self.extents
            && may_be_named
        {
            extents.keep();
        }
        result
    }
}

/// A commit that failed like this may turn out to have happened after the next start.
pub(super) fn is_outcome_unknown(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unavailable(_) | StoreError::Meta(MetaError::Corrupt(_))
    )
}

/// Runs a write that holds extents to its end although its caller may go away: a cancelled caller must not remove
/// extents that the commit names.
pub(super) async fn to_the_end<T: Send + 'static>(
    write: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::spawn(write).await;
    done.map_err(|error| StoreError::Internal(format!("write task: {error}")))?
}

/// Lets writers that lost a race go one after the other, so that none starves.
#[derive(Debug)]
pub(super) struct Turns {
    stripes: [Mutex<()>; 64],
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            stripes: std::array::from_fn(|_| Mutex::new(())),
        }
    }
}

impl Turns {
    /// Waits for the turn of this `key`, unless `turn` has it.
    pub(super) async fn take<'a>(&'a self, key: &[u8], turn: &mut Option<MutexGuard<'a, ()>>) {
        if turn.is_none() {
            let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
            let index = usize::try_from(hash % self.stripes.len() as u64).unwrap_or(0);
            *turn = Some(self.stripes[index].lock().await);
        }
    }
}
