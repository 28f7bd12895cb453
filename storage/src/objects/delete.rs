//! Deleting objects, one or many.

use std::collections::HashSet;

use futures_util::{FutureExt, StreamExt, stream};

use super::{
    BucketName, Deleted, ETag, Governance, ObjectKey, Store, StoreError, VersionId, Versioning,
    WriteConditions,
    bucket::OpenBucket,
    commit::{ATTEMPTS, Draft},
    keys,
    outbox::{Fact, Happened, Teller},
    versions::{Drafted, Head, delete_marker},
};

/// Objects deleted in one commit: each takes a change, a precondition and perhaps a garbage task.
const BATCH: usize = 20;
/// The same where each may take an event as well.
const BATCH_WITH_EVENTS: usize = 15;
/// Commits of one request under way at once; they share syncs.
const BATCHES_AT_ONCE: usize = 8;

/// One of many objects to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteItem {
    /// Its key.
    pub key: ObjectKey,
    /// Which version is to go for good; `None`: the object.
    pub version: Option<VersionId>,
    /// Which object it must be.
    pub if_match: Option<ETag>,
}

/// What is to be deleted, and under which conditions.
#[derive(Debug)]
struct What<'a> {
    key: &'a ObjectKey,
    version: Option<VersionId>,
    governance: Governance,
    conditions: WriteConditions,
}

impl DeleteItem {
    fn what(&self, governance: Governance) -> What<'_> {
        What {
            key: &self.key,
            version: self.version,
            governance,
            conditions: WriteConditions {
                if_match: self.if_match.map(Into::into),
                ..WriteConditions::default()
            },
        }
    }
}

impl Store {
    /// Deletes an object. Where the bucket has versions, it gets a delete marker and nothing goes, but for the null version while they are
    /// suspended. On `Ok` it stays so after power loss.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::PreconditionFailed`], [`StoreError::NoSuchKey`] (`If-Match` without an object).
    pub async fn delete_object(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        conditions: WriteConditions,
    ) -> Result<Deleted, StoreError> {
        let governance = Governance::Heeded;
        self.delete_version(bucket, key, None, conditions, governance)
            .await
    }

    /// Deletes a version of an object for good; `None`: as [`Self::delete_object`]. The version before it, if there is one, becomes the
    /// latest where it was that. On `Ok` it stays deleted after power loss.
    ///
    /// # Errors
    /// As [`Self::delete_object`], and [`StoreError::Locked`].
    pub async fn delete_version(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        conditions: WriteConditions,
        governance: Governance,
    ) -> Result<Deleted, StoreError> {
        let bucket = self.open_bucket(bucket).await?;
        let what = What {
            key,
            version,
            governance,
            conditions,
        };
        self.delete_from(&bucket, &what).await
    }

    async fn delete_from(
        &self,
        bucket: &OpenBucket,
        what: &What<'_>,
    ) -> Result<Deleted, StoreError> {
        let (mut bucket, mut turn) = (bucket.clone(), None);
        for _ in 0..ATTEMPTS {
            let mut draft = Draft::default();
            let Some(deleted) = self.draft_delete(&mut draft, &bucket, what).await? else {
                continue;
            };
            if !deleted.changed {
                return Ok(deleted);
            }
            if self.try_commit(draft).await?.is_some() {
                return Ok(deleted);
            }
            let object_key = keys::object(bucket.id(), what.key);
            self.inner.turns.take(&object_key, &mut turn).await;
            bucket = self.reopen_bucket(&bucket).await?;
        }
        Err(StoreError::Conflict)
    }

    /// Adds a deletion to a draft; `None` if something had to be committed before. Where it fails the draft is as it was.
    async fn draft_delete(
        &self,
        draft: &mut Draft,
        bucket: &OpenBucket,
        what: &What<'_>,
    ) -> Result<Option<Deleted>, StoreError> {
        let What {
            key,
            version,
            governance,
            conditions,
        } = what;
        let teller = self.teller(bucket).await?;
        let head = self.find_head(bucket, key).await?;
        conditions.check(head.existing())?;
        let id = match (*version, bucket.versioning()) {
            (Some(id), _) => id,
            (None, Versioning::Off) => VersionId::Null,
            (None, Versioning::Enabled | Versioning::Suspended) => {
                return self
                    .draft_delete_marker(draft, bucket, key, head, &teller)
                    .await;
            }
        };
        let what = (id, *governance);
        let deleted = self.draft_removal(draft, bucket, key, what, head).await?;
        if let Some(deleted) = &deleted {
            let fact = Fact::now(Happened::Deleted, deleted.version, self.now());
            teller.tell(draft, self, bucket, key, fact);
        }
        Ok(Some(deleted.unwrap_or(Deleted {
            changed: false,
            version: bucket.null_version().and(*version),
            is_delete_marker: false,
        })))
    }

    async fn draft_delete_marker(
        &self,
        draft: &mut Draft,
        bucket: &OpenBucket,
        key: &ObjectKey,
        head: Head,
        teller: &Teller,
    ) -> Result<Option<Deleted>, StoreError> {
        let mut marker = delete_marker(self.now());
        let drafted = self.draft_latest(draft, bucket, key, (&mut marker, None), head);
        let Drafted::Ready(version) = drafted.await? else {
            return Ok(None);
        };
        draft.enter(bucket);
        let fact = Fact::of(Happened::MarkerCreated, version, &marker);
        teller.tell(draft, self, bucket, key, fact);
        Ok(Some(Deleted {
            changed: true,
            version,
            is_delete_marker: true,
        }))
    }

    /// Deletes many objects, or versions, each for itself: the results stand in the order of `items`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; all else stands with the object that it befell.
    pub async fn delete_objects(
        &self,
        bucket: &BucketName,
        items: Vec<DeleteItem>,
        governance: Governance,
    ) -> Result<Vec<Result<Deleted, StoreError>>, StoreError> {
        let bucket = &self.open_bucket(bucket).await?;
        let most = if bucket.tells() {
            BATCH_WITH_EVENTS
        } else {
            BATCH
        };
        let batches: Vec<_> = batches(&items, most)
            .into_iter()
            .map(|batch| self.delete_batch(bucket, batch, governance).boxed())
            .collect();
        let batches = stream::iter(batches).buffered(BATCHES_AT_ONCE);
        Ok(batches
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .flatten()
            .collect())
    }

    async fn delete_batch(
        &self,
        bucket: &OpenBucket,
        items: &[DeleteItem],
        governance: Governance,
    ) -> Vec<Result<Deleted, StoreError>> {
        // Versions take more keys of a commit than one has for all.
        if bucket.versioning() != Versioning::Off {
            return self.delete_each(bucket, items, governance).await;
        }
        let mut draft = Draft::default();
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            let what = item.what(governance);
            let deleted = self.draft_delete(&mut draft, bucket, &what);
            // Only a delete marker needs another commit before.
            results.push(deleted.await.map(Option::unwrap_or_default));
        }
        if draft.is_empty() {
            return results;
        }
        match self.try_commit(draft).await {
            Ok(Some(_)) => results,
            Ok(None) => self.delete_each(bucket, items, governance).await,
            Err(error) => results
                .into_iter()
                .map(|result| match result {
                    Ok(Deleted { changed: true, .. }) => Err(error.clone()),
                    other => other,
                })
                .collect(),
        }
    }

    /// What a batch falls back to when someone changed one of its objects.
    async fn delete_each(
        &self,
        bucket: &OpenBucket,
        items: &[DeleteItem],
        governance: Governance,
    ) -> Vec<Result<Deleted, StoreError>> {
        let delete = |item| self.delete_one_of(bucket, item, governance).boxed();
        let deletes: Vec<_> = items.iter().map(delete).collect();
        stream::iter(deletes)
            .buffered(BATCHES_AT_ONCE)
            .collect()
            .await
    }

    async fn delete_one_of(
        &self,
        bucket: &OpenBucket,
        item: &DeleteItem,
        governance: Governance,
    ) -> Result<Deleted, StoreError> {
        self.delete_from(bucket, &item.what(governance)).await
    }
}

/// Runs of `items`, `most` at most, without a key twice, since a commit changes a key once.
fn batches(items: &[DeleteItem], most: usize) -> Vec<&[DeleteItem]> {
    let mut batches = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let mut seen = HashSet::new();
        let distinct = rest
            .iter()
            .take(most)
            .take_while(|item| seen.insert(&item.key))
            .count();
        let (batch, after) = rest.split_at(distinct);
        batches.push(batch);
        rest = after;
    }
    batches
}
