//! Bucket records and quotas of accounts in memory, so that a request costs no read of its bucket.
//!
//! Writes are safe with a stale record, because they have a precondition on its revision. Reads are right because each change of a
//! bucket by this process clears the cache before it is answered. Several processes on one key space need another
//! rule for reads; the embedded engine has one process.
//!
//! Invariant: what was read before a clear is not put in after it.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;

use super::{
    account_quota::Ceiling,
    bucket::OpenBucket,
    names::{AccountId, BucketName},
};

/// Buckets held at most; over it the cache starts afresh.
const MAX_BUCKETS: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct BucketCache {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    buckets: HashMap<BucketName, OpenBucket>,
    /// `None`: the account has none.
    ceilings: HashMap<AccountId, Option<Arc<Ceiling>>>,
}

/// The state of the cache when a read began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generation(u64);

impl BucketCache {
    /// The bucket, or what to hand to [`Self::insert`] with what is read now.
    pub(super) fn get(&self, name: &BucketName) -> Result<OpenBucket, Generation> {
        let state = self.state.read();
        state
            .buckets
            .get(name)
            .cloned()
            .ok_or(Generation(state.generation))
    }

    /// Keeps a bucket that was read after `generation` was taken.
    pub(super) fn insert(&self, generation: Generation, name: &BucketName, bucket: &OpenBucket) {
        let mut state = self.state.write();
        if state.generation != generation.0 {
            return;
        }
        if state.buckets.len() >= MAX_BUCKETS {
            state.buckets.clear();
        }
        state.buckets.insert(name.clone(), bucket.clone());
    }

    /// The quota of an account, or what to hand to [`Self::insert_ceiling`] with what is read now.
    pub(super) fn ceiling(&self, owner: AccountId) -> Result<Option<Arc<Ceiling>>, Generation> {
        let state = self.state.read();
        let known = state.ceilings.get(&owner).cloned();
        known.ok_or(Generation(state.generation))
    }

    /// Keeps what was read after `generation` was taken.
    pub(super) fn insert_ceiling(
        &self,
        generation: Generation,
        owner: AccountId,
        ceiling: Option<&Arc<Ceiling>>,
    ) {
        let mut state = self.state.write();
        if state.generation != generation.0 {
            return;
        }
        if state.ceilings.len() >= MAX_BUCKETS {
            state.ceilings.clear();
        }
        state.ceilings.insert(owner, ceiling.map(Arc::clone));
    }

    /// Forgets all. Buckets change rarely.
    pub(super) fn clear(&self) {
        let mut state = self.state.write();
        state.generation += 1;
        state.buckets.clear();
        state.ceilings.clear();
    }

    /// Forgets all when the result is dropped.
    pub(super) fn clear_on_drop(&self) -> ClearOnDrop<'_> {
        ClearOnDrop(self)
    }
}

/// See [`BucketCache::clear_on_drop`].
#[derive(Debug)]
pub(super) struct ClearOnDrop<'a>(&'a BucketCache);

impl Drop for ClearOnDrop<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}
