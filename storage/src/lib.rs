//! Larder's storage engine: disks, metadata, stripes and S3 semantics.
//!
//! Layers, each of which knows only those below it:
//!
//! ```text
//! objects    S3 semantics: buckets, objects, uploads, listing, conditions
//! upkeep     reclaim, garbage of uploads and deleted objects
//! stripes    a blob to shards and back, with rebuilding on the fly
//! meta       ordered key-value with conditional transactions
//! placement  which disks hold which shards
//! disk       one disk: log of frames, extents, identity
//! ```
//!
//! Invariant: nothing here names HTTP, XML or S3's wire format; nothing reads the clock, sleeps or
//! draws randomness but through [`clock::Clock`] and [`rng::Rng`].

pub mod clock;
pub mod disk;
pub mod disk_set;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
pub mod meta;
pub mod mutation;
pub mod objects;
pub mod open;
pub mod placement;
pub mod rebuild;
pub mod rng;
pub mod stripes;
mod sync;
pub mod upkeep;
pub mod varint;
