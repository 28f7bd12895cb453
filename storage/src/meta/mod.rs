//! Metadata: one ordered key space with conditional transactions.
//!
//! S3 semantics are written once, above this. The trait promises no more than the weakest engine
//! can keep: a commit touches at most [`MAX_COMMIT_KEYS`] keys and [`MAX_COMMIT_BYTES`];
//! preconditions are on the revision or absence of single keys; a scan is a snapshot only within a page.

#[cfg(test)]
mod conformance;
pub mod embedded;
pub mod keys;
pub mod memory;
pub mod tally;
pub mod view;

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

use self::tally::{Limit, OverLimit, Tally};
use crate::stripes::InlineBlob;

/// Keys that a commit may change or test.
pub const MAX_COMMIT_KEYS: usize = 64;
/// Bytes of all keys and values of a commit.
pub const MAX_COMMIT_BYTES: usize = 1 << 20;
/// Bytes of one value.
pub const MAX_VALUE_BYTES: usize = 64 << 10;
/// Bytes of one key.
pub const MAX_KEY_BYTES: usize = 2 << 10;

/// When a key was last written; unique to that write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A value and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// When.
    pub revision: Revision,
    /// What.
    pub value: Bytes,
}

/// An entry of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Bytes,
    /// When it was written.
    pub revision: Revision,
    /// Its value.
    pub value: Bytes,
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which key.
    pub key: Bytes,
    /// `None` deletes.
    pub value: Option<Bytes>,
}

/// What must hold of a key for a commit to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// Which key.
    pub key: Bytes,
    /// `None`: the key is absent. `Some`: it is at this revision.
    pub revision: Option<Revision>,
}

/// A transaction. `Default` is empty.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// Applied together or not at all; distinct keys.
    pub changes: Vec<Change>,
    /// All must hold at the moment of the commit.
    pub preconditions: Vec<Precondition>,
    /// A small blob whose shards become durable with (or before) the changes. The engine appends the encoded
    /// [`crate::stripes::BlobPlacement`] of the shards to the value of `changes[0]`, in the very way that
    /// [`crate::stripes::BlobPlacement::encode_into`] does; the caller leaves room for it at the end of the value.
    pub inline: Option<InlineBlob>,
    /// Sums that the changes may not bring over a bound; checked together with the preconditions, against what other commits under way add.
    pub limits: Vec<Limit>,
}

/// The metadata engine.
#[async_trait]
pub trait Meta: Send + Sync + Debug {
    /// The value of `key`. Sees every commit that returned before.
    ///
    /// # Errors
    /// [`MetaError::Unavailable`], [`MetaError::Corrupt`].
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, MetaError>;
    /// Up to `limit` entries with `from <= key < to` in ascending order; fewer means that there are no more.
    ///
    /// # Errors
    /// As [`Meta::get`].
    async fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, MetaError>;
    /// Applies the transaction if its preconditions hold. On `Ok` it is durable on enough disks and
    /// visible to every later `get` and `scan`.
    ///
    /// # Errors
    /// [`MetaError::Conflict`]: a precondition failed, nothing happened: read again and decide. [`MetaError::OverLimit`]: likewise.
    /// [`MetaError::Unavailable`]: outcome unknown to this caller; not visible now.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the commit happening or not, never half of it.
    async fn commit(&self, transaction: Transaction) -> Result<Committed, MetaError>;
    /// What the rows of a group add up to. Sees every commit that returned before; reads nothing.
    fn tally(&self, group: u64) -> Tally;
}

/// The outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The new revision of each changed key.
    pub revision: Revision,
    /// Whether some shard or copy could not be written and is queued for healing.
    pub degraded: bool,
}

/// What went wrong in the metadata engine.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MetaError {
    /// A precondition on this key did not hold.
    #[error("precondition failed on key {key:?}")]
    Conflict {
        /// The key.
        key: Bytes,
    },
    /// Over one of the limits of this module: a bug of the caller.
    #[error("transaction over its limits: {0}")]
    TooLarge(String),
    /// Too few disks; retry later.
    #[error("metadata unavailable: {0}")]
    Unavailable(String),
    /// A sum would be over its limit. Nothing happened.
    #[error("over a limit: {0}")]
    OverLimit(OverLimit),
    /// No space for data.
    #[error("disks are full")]
    Full,
    /// A disk is behind with what it was given already; retry later. Nothing happened.
    #[error("disk {0} is behind")]
    Overloaded(String),
    /// The view is damaged: rebuild it.
    #[error("metadata view is damaged: {0}")]
    Corrupt(String),
}
