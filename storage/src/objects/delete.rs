//! Deleting objects, one or many.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

use super::{
    BucketName, ETag, ObjectKey, Store, StoreError, WriteConditions,
    bucket::OpenBucket,
    commit::{ATTEMPTS, Draft},
    keys,
    object::FoundObject,
};

/// Objects deleted in one commit: each takes a change, a precondition and perhaps a garbage task.
const BATCH: usize = 20;
/// Commits of one request under way at once; they share syncs.
const BATCHES_AT_ONCE: usize = 8;

/// One of many objects to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteItem {
    /// Its key.
    pub key: ObjectKey,
    /// Which object it must be.
    pub if_match: Option<ETag>,
}

impl DeleteItem {
    fn conditions(&self) -> WriteConditions {
        WriteConditions {
            if_match: self.if_match.map(Into::into),
            ..WriteConditions::default()
        }
    }
}

impl Store {
    /// Deletes an object; says whether there was one. On `Ok` it stays deleted after power loss.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::PreconditionFailed`], [`StoreError::NoSuchKey`] (`If-Match` without an object).
    pub async fn delete_object(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        conditions: WriteConditions,
    ) -> Result<bool, StoreError> {
        let bucket = self.open_bucket(bucket).await?;
        self.delete_from(&bucket, key, &conditions).await
    }

    async fn delete_from(
        &self,
        bucket: &OpenBucket,
        key: &ObjectKey,
        conditions: &WriteConditions,
    ) -> Result<bool, StoreError> {
        let object_key = keys::object(bucket.id(), key);
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            let mut draft = Draft::default();
            if !self
                .draft_delete(&mut draft, &object_key, conditions)
                .await?
            {
                return Ok(false);
            }
            if self.try_commit(draft).await?.is_some() {
                return Ok(true);
            }
            self.inner.turns.take(&object_key, &mut turn).await;
        }
        Err(StoreError::Conflict)
    }

    /// Adds the deletion of what is there; `false` if nothing is.
    async fn draft_delete(
        &self,
        draft: &mut Draft,
        object_key: &Bytes,
        conditions: &WriteConditions,
    ) -> Result<bool, StoreError> {
        let old = self.find_object(object_key).await?;
        conditions.check(old.as_ref().map(FoundObject::existing))?;
        let Some(old) = old else { return Ok(false) };
        draft.delete(object_key.clone());
        draft.expect(object_key.clone(), Some(old.revision));
        self.discard_object(draft, Some(&old.record));
        Ok(true)
    }

    /// Deletes many objects, each for itself: the results stand in the order of `items` and say whether there was one.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; all else stands with the object that it befell.
    pub async fn delete_objects(
        &self,
        bucket: &BucketName,
        items: Vec<DeleteItem>,
    ) -> Result<Vec<Result<bool, StoreError>>, StoreError> {
        let bucket = &self.open_bucket(bucket).await?;
        let batches: Vec<_> = batches(&items)
            .into_iter()
            .map(|batch| self.delete_batch(bucket, batch).boxed())
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
    ) -> Vec<Result<bool, StoreError>> {
        let mut draft = Draft::default();
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            let key = keys::object(bucket.id(), &item.key);
            results.push(
                self.draft_delete(&mut draft, &key, &item.conditions())
                    .await,
            );
        }
        if draft.is_empty() {
            return results;
        }
        match self.try_commit(draft).await {
            Ok(Some(_)) => results,
            Ok(None) => self.delete_each(bucket, items).await,
            Err(error) => results
                .into_iter()
                .map(|result| match result {
                    Ok(true) => Err(error.clone()),
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
    ) -> Vec<Result<bool, StoreError>> {
        let delete = |item| self.delete_one_of(bucket, item).boxed();
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
    ) -> Result<bool, StoreError> {
        self.delete_from(bucket, &item.key, &item.conditions())
            .await
    }
}

/// Runs of `items` without a key twice, since a commit changes a key once.
fn batches(items: &[DeleteItem]) -> Vec<&[DeleteItem]> {
    let mut batches = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let mut seen = HashSet::new();
        let distinct = rest
            .iter()
            .take(BATCH)
            .take_while(|item| seen.insert(&item.key))
            .count();
        let (batch, after) = rest.split_at(distinct);
        batches.push(batch);
        rest = after;
    }
    batches
}
