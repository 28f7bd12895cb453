//! What can be wrong with the arguments of a call. Nothing else can fail here.

/// A call was refused; no output was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The number of data shards is not the profile's.
    #[error("expected {expected} data shards, got {got}")]
    DataShardCount {
        /// Data shards of the profile.
        expected: usize,
        /// Data shards handed in.
        got: usize,
    },
    /// The number of parity shards is not the profile's.
    #[error("expected {expected} parity shards, got {got}")]
    ParityShardCount {
        /// Parity shards of the profile.
        expected: usize,
        /// Parity shards handed in.
        got: usize,
    },
    /// The number of source slices is not the plan's.
    #[error("expected {expected} source shards, got {got}")]
    SourceCount {
        /// Length of the plan's `sources()`.
        expected: usize,
        /// Slices handed in.
        got: usize,
    },
    /// The number of target slices is not the plan's.
    #[error("expected {expected} target shards, got {got}")]
    TargetCount {
        /// Length of the plan's `targets()`.
        expected: usize,
        /// Slices handed in.
        got: usize,
    },
    /// The number of indices differs from the number of slices that go with them.
    #[error("got {indices} shard indices for {shards} shards")]
    IndexCount {
        /// Indices handed in.
        indices: usize,
        /// Slices handed in.
        shards: usize,
    },
    /// All slices of a call must have one length.
    #[error("expected a shard of {expected_bytes} bytes, got {got_bytes}")]
    ShardLengthMismatch {
        /// Length of the call's first slice.
        expected_bytes: usize,
        /// Length of the slice that differs.
        got_bytes: usize,
    },
    /// There is no such shard in the profile.
    #[error("shard index must be below {limit}, got {index}")]
    IndexOutOfRange {
        /// First index that does not exist.
        limit: usize,
        /// Index handed in.
        index: u8,
    },
    /// A shard was named twice, or handed to a progressive encoder twice.
    #[error("shard {index} was given twice")]
    DuplicateShard {
        /// Index of that shard.
        index: u8,
    },
    /// A shard to be rebuilt was also said to be readable. Leave it out of one of the lists.
    #[error("shard {index} is both present and wanted")]
    WantedPresent {
        /// Index of that shard.
        index: u8,
    },
    /// What is wanted cannot be rebuilt until more shards can be read.
    #[error("rebuilding needs {needed} shards, {present} are present")]
    TooFewShards {
        /// Data shards of the profile.
        needed: usize,
        /// Shards that can be read.
        present: usize,
    },
    /// A progressive encoder was finished before it had seen every data shard.
    #[error("parity needs {expected} data shards, {added} were added")]
    Incomplete {
        /// Data shards of the profile.
        expected: usize,
        /// Data shards added.
        added: usize,
    },
}

/// Checks that every slice has `expected_bytes`.
pub(crate) fn check_lengths(
    expected_bytes: usize,
    lengths: impl IntoIterator<Item = usize>,
) -> Result<(), Error> {
    for got_bytes in lengths {
        if got_bytes != expected_bytes {
            return Err(Error::ShardLengthMismatch {
                expected_bytes,
                got_bytes,
            });
        }
    }
    Ok(())
}
