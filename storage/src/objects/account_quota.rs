//! How much may be in all buckets of an account together.
//!
//! The quota of an account is a record that each write into one of its buckets has a precondition on, where there is one. Creating
//! a bucket writes that record anew. So a write always counts all buckets that the account has, and goes by the quota that there is.
//! Accounts without a quota have no record, and their writes pay nothing.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{
    AccountId, Quota, Store, StoreError,
    commit::{ATTEMPTS, Draft},
    keys,
    record::{decode_quota, encode_quota},
};
use crate::meta::{
    Revision,
    tally::{Limit, Tally},
};

/// What all buckets of an account may have together, as last read.
#[derive(Clone, Debug)]
pub(super) struct Ceiling {
    key: Bytes,
    revision: Revision,
    quota: Quota,
    limit: Limit,
}

impl Ceiling {
    pub(super) fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Has a write keep to it.
    pub(super) fn bind(&self, draft: &mut Draft) {
        draft.expect(self.key.clone(), Some(self.revision));
        draft.limit(self.limit.clone());
    }
}

impl Store {
    /// How many buckets each account has, and how much is in them; those without buckets are not named. Exact, with every write and deletion
    /// that returned before. Reads the list of buckets.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn usage_by_account(&self) -> Result<BTreeMap<AccountId, (u64, Tally)>, StoreError> {
        let mut usage: BTreeMap<AccountId, (u64, Tally)> = BTreeMap::new();
        self.each_bucket(|record| {
            let (buckets, sum) = usage.entry(record.owner).or_default();
            *buckets += 1;
            *sum = Tally::sum([*sum, self.inner.meta.tally(record.id)].into_iter());
        })
        .await?;
        Ok(usage)
    }

    /// How much may be in all buckets of an account. Reads nothing where a bucket of the account was read before.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn account_quota(&self, owner: AccountId) -> Result<Quota, StoreError> {
        let ceiling = self.ceiling_of(owner).await?;
        Ok(ceiling.map_or_else(Quota::default, |ceiling| ceiling.quota))
    }

    /// Sets how much may be in all buckets of an account. Durable when it returns, and no write that returns later has gone by another
    /// quota. What is there already stays, also where it is more. Whether there is such an account is not this crate's matter.
    ///
    /// # Errors
    /// Those of the metadata engine; [`StoreError::Conflict`] under unceasing changes.
    pub async fn set_account_quota(
        &self,
        owner: AccountId,
        quota: Quota,
    ) -> Result<(), StoreError> {
        let key = keys::account_quota(owner);
        for _ in 0..ATTEMPTS {
            let found = self.inner.meta.get(&key).await?;
            let is_first = found.is_none();
            if is_first && !quota.is_set() {
                return Ok(());
            }
            let mut draft = Draft::default();
            if quota.is_set() {
                draft.put(key.clone(), encode_quota(quota));
            } else {
                draft.delete(key.clone());
            }
            draft.expect(key.clone(), found.map(|found| found.revision));
            if self.try_commit(draft).await?.is_none() {
                continue;
            }
            if is_first {
                self.touch_buckets_of(owner).await?;
            }
            return Ok(());
        }
        Err(StoreError::Conflict)
    }

    /// Fails the commits of all writes that began before the account had a quota, so that they begin anew.
    async fn touch_buckets_of(&self, owner: AccountId) -> Result<(), StoreError> {
        for bucket in self.list_buckets(Some(owner), "", None, usize::MAX).await? {
            let touched = self.change_bucket(&bucket.name, |_, _, _| Ok(true)).await;
            match touched {
                Ok(()) | Err(StoreError::NoSuchBucket) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What a bucket that is created for `owner` has to do with its quota.
    pub(super) async fn draft_bucket_of(
        &self,
        draft: &mut Draft,
        owner: AccountId,
    ) -> Result<(), StoreError> {
        let key = keys::account_quota(owner);
        let found = self.inner.meta.get(&key).await?;
        draft.expect(key.clone(), found.as_ref().map(|found| found.revision));
        if let Some(found) = found {
            draft.put(key, found.value.to_vec());
        }
        Ok(())
    }

    /// The quota of an account; `None` where it has none.
    pub(super) async fn ceiling_of(
        &self,
        owner: AccountId,
    ) -> Result<Option<Arc<Ceiling>>, StoreError> {
        let generation = match self.inner.buckets.ceiling(owner) {
            Ok(ceiling) => return Ok(ceiling),
            Err(generation) => generation,
        };
        let key = keys::account_quota(owner);
        // Before the buckets are listed: one that comes after them changes the revision.
        let found = self.inner.meta.get(&key).await?;
        let ceiling = match found {
            None => None,
            Some(found) => {
                let quota = decode_quota(&found.value)?;
                Some(Arc::new(Ceiling {
                    key,
                    revision: found.revision,
                    quota,
                    limit: quota.limit("account", self.groups_of(owner).await?),
                }))
            }
        };
        self.inner
            .buckets
            .insert_ceiling(generation, owner, ceiling.as_ref());
        Ok(ceiling)
    }

    async fn groups_of(&self, owner: AccountId) -> Result<Arc<[u64]>, StoreError> {
        let mut groups = Vec::new();
        self.each_bucket(|record| {
            if record.owner == owner {
                groups.push(record.id);
            }
        })
        .await?;
        Ok(groups.into())
    }
}
