//! Locks on keys, held from the check of a commit's preconditions until it is visible.
//!
//! Keys are hashed to a fixed number of locks; a commit takes its locks in ascending order, so two commits can't
//! wait for each other. Two keys that share a lock only wait longer.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::{meta::Transaction, sync};

const LOCKS: usize = 4096;

/// The locks of one store.
#[derive(Debug)]
pub(super) struct KeyLocks {
    generation: u64,
    locks: Vec<Arc<RwLock<()>>>,
}

/// Held locks; dropping releases them.
#[derive(Debug, Default)]
pub(super) struct Held {
    generation: u64,
    exclusive: Vec<OwnedRwLockWriteGuard<()>>,
    shared: Vec<OwnedRwLockReadGuard<()>>,
}

impl Held {
    /// Which view the locks are for.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }
}

impl KeyLocks {
    /// Locks that nobody holds, of a view's `generation`.
    pub(super) fn new(generation: u64) -> Self {
        let locks = (0..LOCKS).map(|_| Arc::default()).collect();
        Self { generation, locks }
    }

    /// Hashed without a random key, so that a simulated run can be repeated: who finds keys that share a lock slows down
    /// nobody but the writers of these keys.
    fn index(key: &[u8]) -> usize {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or(0)
    }

    /// Locks the keys of `transaction`: changed ones exclusively, tested ones shared.
    pub(super) async fn lock(&self, transaction: &Transaction) -> Held {
        let mut wanted: Vec<(usize, bool)> = transaction
            .changes
            .iter()
            .map(|change| (Self::index(&change.key), true))
            .collect();
        let tested = transaction.preconditions.iter();
        wanted.extend(tested.map(|precondition| (Self::index(&precondition.key), false)));
        // Exclusive before shared of the same lock, so that dedup keeps the stronger one.
        wanted.sort_unstable_by_key(|(index, exclusive)| (*index, !*exclusive));
        wanted.dedup_by_key(|(index, _)| *index);
        self.take(&wanted).await
    }

    /// Takes locks in this order, each exclusively or not.
    async fn take(&self, wanted: &[(usize, bool)]) -> Held {
        let mut held = Held {
            generation: self.generation,
            ..Held::default()
        };
        for (index, exclusive) in wanted {
            sync::others_go_on().await;
            let lock = Arc::clone(&self.locks[*index]);
            if *exclusive {
                held.exclusive.push(lock.write_owned().await);
            } else {
                held.shared.push(lock.read_owned().await);
            }
        }
        held
    }
}

#[cfg(test)]
mod interleavings;
