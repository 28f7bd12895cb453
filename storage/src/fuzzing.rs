//! The decoders of everything that comes from disks, on bytes from anywhere: the one door for fuzzers.
//!
//! Invariants that hold for every input: nothing panics, nothing allocates more than a small multiple of the input, and what
//! decodes is written in a form that decodes to the same again.

use crate::{disk, meta, objects, stripes};

/// What the bytes are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A log segment: any bytes, or well-made frames with some bits changed.
    Segment,
    /// `disk.json`, `log/floor` and the header of a segment.
    Identity,
    /// The metadata part of frames; values and checkpoint of the view.
    Metadata,
    /// Records of objects, parts, buckets, uploads and garbage tasks, and manifests.
    Records,
    /// Placements, and shards made of blocks.
    Shards,
    /// Chunks of encrypted bodies: changed, cut off, moved, or somebody else's.
    Sealed,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Segment,
        Self::Identity,
        Self::Metadata,
        Self::Records,
        Self::Shards,
        Self::Sealed,
    ];
}

/// Runs one input; says how many decoders took it for good.
///
/// # Panics
/// If this crate is wrong.
pub fn run(target: Target, input: &[u8]) -> usize {
    match target {
        Target::Segment => disk::fuzzing::segment(input),
        Target::Identity => disk::fuzzing::identity(input),
        Target::Metadata => meta::embedded::fuzzing::metadata(input),
        Target::Records => objects::fuzz_records(input),
        Target::Shards => stripes::fuzzing::shards(input),
        Target::Sealed => objects::fuzz_sealed(input),
    }
}

/// Counts an input that decodes, after checking that it does so again as it is written.
///
/// # Panics
/// If it does not.
pub(crate) fn settles(input: &[u8], rewrite: impl Fn(&[u8]) -> Option<Vec<u8>>) -> usize {
    let Some(once) = rewrite(input) else {
        return 0;
    };
    let twice = rewrite(&once);
    assert_eq!(twice.as_ref(), Some(&once), "written in another form");
    1
}

#[cfg(test)]
mod tests;
