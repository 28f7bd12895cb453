//! Blobs to shards and back.
//!
//! A *blob* is the body of an object or of a part: one run of bytes, coded with one profile, stored as `k+m` shards. It is cut
//! into stripes of `k` units of [`UNIT_BYTES`]; the last stripe has shorter units (`ceil(rest / k)`, zero-padded).
//! Each unit of each shard is a *block*: its bytes and a checksum that also covers which blob, shard and stripe it is.
//! Blobs up to [`INLINE_MAX_BYTES`] travel in the log with their commit; larger ones are extents.
//!
//! Invariants:
//! - Bytes whose checksum does not match never leave [`BlobReader`]: they are rebuilt or the read fails.
//! - Memory per blob in flight is bounded (a batch of 512 KiB on its way and one being filled or read), whatever its size.

mod block;
mod check;
mod crew;
mod disks;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod fuzzing;
mod placement;
mod pool;
mod read;
mod repair;
mod suitable;
#[cfg(test)]
mod tests;
mod write;

pub use block::{BLOCK_CHECKSUM_BYTES, Layout, UNIT_BYTES};
pub(crate) use check::{BlobCheck, ShardState, check_blob};
pub(crate) use crew::Job;
pub use disks::{Disks, PoolDisk, Role};
pub use placement::{BlobPlacement, PlacementError, ShardForm, ShardPlace};
pub(crate) use pool::ListedExtents;
pub use pool::{Pool, PoolOptions};
pub use read::BlobReader;
pub(crate) use read::verify_shard;
pub(crate) use repair::{Rebuilt, Rest, ShardCheck, Target, check_extents, rebuild_extents};
pub use suitable::UnsuitableProfile;
pub use write::{BlobWriter, ExtentBlob, FinishedBlob, INLINE_MAX_BYTES, InlineBlob};

use crate::disk::DiskError;

/// What went wrong with a blob.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StripeError {
    /// Too few good disks to write to; retry later.
    #[error("{good} good disks, {needed} needed to write")]
    TooFewDisks {
        /// Good ones.
        good: usize,
        /// Needed ones.
        needed: usize,
    },
    /// Fewer than `k` shards of a stripe can be read and verified.
    #[error(
        "stripe {stripe} of blob {blob:016x} has {good} good shards, {needed} needed: {places}"
    )]
    Unreadable {
        /// The blob.
        blob: u64,
        /// The stripe.
        stripe: u64,
        /// Shards that were good.
        good: usize,
        /// Shards that are needed.
        needed: usize,
        /// Where its shards are, or should be.
        places: String,
    },
    /// Fewer than `k` shards of a stripe can be read now, and enough others are on disks that are missing or failed: retry once they are back.
    #[error(
        "stripe {stripe} of blob {blob:016x} has {good} good shards, {needed} needed, and {away} are on disks that are away"
    )]
    DisksAway {
        /// The blob.
        blob: u64,
        /// The stripe.
        stripe: u64,
        /// Shards that were good.
        good: usize,
        /// Shards that are needed.
        needed: usize,
        /// Shards that may be good, on disks that are missing or failed.
        away: usize,
    },
    /// No space for data.
    #[error("disks are full")]
    Full,
    /// The body ended before, or went on after, its announced length.
    #[error("body has {got_bytes} bytes, {expected_bytes} were announced")]
    LengthMismatch {
        /// Announced.
        expected_bytes: u64,
        /// Received.
        got_bytes: u64,
    },
    /// The coder refused its arguments: a bug.
    #[error("coding: {0}")]
    Coding(#[from] larder_erasure::Error),
    /// A disk failed in a way that leaves no way on.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
