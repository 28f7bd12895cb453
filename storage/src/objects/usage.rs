//! How much is in a bucket, and how much may be.
//!
//! What is there is counted by the metadata engine ([`crate::meta::tally`]): exactly, with every commit, and without a record that writes
//! would share. What may be there stands in the bucket's record, so whoever writes by an older quota has its commit refused and
//! reads again.

use std::sync::Arc;

use super::{
    BucketName, ObjectKey, Queue, Store, StoreError, Versioning,
    bucket::OpenBucket,
    keys,
    record::{ObjectSummary, weight_of},
};
use crate::meta::tally::{Limit, Tally, Weight};

/// How much may be in a bucket. `Default`: there is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quota {
    /// Bytes of all versions of all objects.
    pub max_bytes: Option<u64>,
    /// Versions of objects, noncurrent ones too, without delete markers.
    pub max_objects: Option<u64>,
}

impl Quota {
    /// Whether it bounds anything.
    pub fn is_set(&self) -> bool {
        self.max_bytes.is_some() || self.max_objects.is_some()
    }

    /// The bound on what these buckets have together.
    pub(super) fn limit(self, of: &'static str, groups: Arc<[u64]>) -> Limit {
        Limit {
            of,
            groups,
            max_objects: self.max_objects,
            max_bytes: self.max_bytes,
        }
    }
}

/// What a row of the metadata counts for the usage of a bucket, or among the events of a queue.
pub fn weigh(key: &[u8], value: &[u8]) -> Option<Weight> {
    if let Some(queue) = Queue::of_row(key) {
        return Some(weight_of_event(queue, value));
    }
    let group = keys::bucket_of_version(key)?;
    let tally = weight_of(value)?;
    Some(Weight { group, tally })
}

fn weight_of_event(queue: Queue, value: &[u8]) -> Weight {
    Weight {
        group: queue.group(),
        tally: Tally {
            objects: 1,
            bytes: value.len() as u64,
            delete_markers: 0,
        },
    }
}

impl OpenBucket {
    /// What a commit that adds something must keep to.
    pub(super) fn limit(&self) -> Option<Limit> {
        let quota = self.quota();
        quota
            .is_set()
            .then(|| quota.limit("bucket", [self.id()].into()))
    }
}

impl Store {
    /// How much is in a bucket. Exact, with every write and deletion that returned before; reads nothing where the bucket was read before.
    /// Uploads in progress don't count.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn usage(&self, name: &BucketName) -> Result<Tally, StoreError> {
        let bucket = self.known_bucket(name).await?;
        Ok(self.inner.meta.tally(bucket.id()))
    }

    /// How much may be in a bucket.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn quota(&self, name: &BucketName) -> Result<Quota, StoreError> {
        Ok(self.known_bucket(name).await?.quota())
    }

    /// Sets how much may be in a bucket. Durable when it returns, and no write that returns later has gone by another quota. What is
    /// there already stays, also where it is more.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn set_quota(&self, name: &BucketName, quota: Quota) -> Result<(), StoreError> {
        self.change_bucket(name, |_, record, _| {
            let changes = record.quota != quota;
            record.quota = quota;
            Ok(changes)
        })
        .await
    }

    /// Refuses early what could only be refused at its end: an object of `bytes` in place of what is under `key` now, or a part of so
    /// many for an object that is to come. What others write meanwhile is seen at the commit. Reads nothing where neither the bucket nor its account
    /// has a quota.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::QuotaExceeded`].
    pub async fn check_quota(
        &self,
        name: &BucketName,
        key: Option<&ObjectKey>,
        bytes: u64,
    ) -> Result<(), StoreError> {
        let bucket = self.open_bucket(name).await?;
        let ceiling = bucket.ceiling().map(|ceiling| ceiling.limit().clone());
        let limits: Vec<_> = bucket.limit().into_iter().chain(ceiling).collect();
        if limits.is_empty() {
            return Ok(());
        }
        let replaced = match key {
            Some(key) => self.replaced_by_a_put(&bucket, key).await?,
            None => Some(0),
        };
        for limit in limits {
            let now = |group| self.inner.meta.tally(group);
            limit.check_one_more(bucket.id(), now, replaced, bytes)?;
        }
        Ok(())
    }

    /// What goes when an object is put under `key`.
    async fn replaced_by_a_put(
        &self,
        bucket: &OpenBucket,
        key: &ObjectKey,
    ) -> Result<Option<u64>, StoreError> {
        if bucket.versioning() != Versioning::Off {
            return Ok(None);
        }
        let found = self.inner.meta.get(&keys::object(bucket.id(), key)).await?;
        let found = found.and_then(|found| ObjectSummary::decode(&found.value).ok());
        Ok(found.map(|summary| summary.size))
    }
}
