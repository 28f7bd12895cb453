//! Encoding and checking stripes of one profile.

use std::sync::Arc;

use crate::error::check_lengths;
use crate::kernel::Start;
use crate::matrix::parity_coefficient;
use crate::program::{Method, Program, Row};
use crate::{Error, Level, Plan, Profile, Progressive};

/// Everything that can be done with stripes of one profile, at one level.
///
/// Built once per profile and shared: `Send`, `Sync`, and a clone is one reference count. Tables
/// are made when it is built; the calls that move bytes do not allocate.
#[derive(Clone, Debug)]
pub struct Codec {
    profile: Profile,
    level: Level,
    encoder: Arc<Program>,
}

impl Codec {
    /// A codec at the fastest level that the processor has.
    pub fn new(profile: Profile) -> Self {
        Self::build(profile, Level::detect())
    }

    /// A codec at a given level, or `None` if the processor does not have it. For tests, support
    /// and benchmarks.
    pub fn with_level(profile: Profile, level: Level) -> Option<Self> {
        level.is_available().then(|| Self::build(profile, level))
    }

    fn build(profile: Profile, level: Level) -> Self {
        let row = |row| Row {
            output: row,
            coefficients: (0..profile.data())
                .map(|column| parity_coefficient(profile, row, column))
                .collect(),
        };
        let rows: Vec<Row> = (0..profile.parity()).map(row).collect();
        let encoder = Arc::new(Program::new(level, profile.data(), &rows, Method::Plain));
        Self {
            profile,
            level,
            encoder,
        }
    }

    /// The profile it was built for.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The level it runs at.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Writes all parity of a stripe. `data` are the data shards in order, `parity` the parity
    /// shards in order, all of one length; what `parity` held before does not matter.
    ///
    /// # Errors
    /// [`Error::DataShardCount`], [`Error::ParityShardCount`], [`Error::ShardLengthMismatch`]: a
    /// bug of the caller; nothing was written.
    pub fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), Error> {
        let length = self.check_data(data)?;
        self.check_parity(length, parity.iter().map(|shard| shard.len()))?;
        self.encoder.run(data, parity);
        Ok(())
    }

    /// Whether `parity` is what [`Self::encode`] would write. Stops at the first difference.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn verify(&self, data: &[&[u8]], parity: &[&[u8]]) -> Result<bool, Error> {
        let length = self.check_data(data)?;
        self.check_parity(length, parity.iter().map(|shard| shard.len()))?;
        Ok(self.encoder.matches(data, parity))
    }

    /// Starts encoding a stripe whose data shards come one after the other, in any order.
    pub fn progressive(&self) -> Progressive<'_> {
        Progressive::new(self)
    }

    /// Brings `parity` up to date after data shard `index` changed from `old` to `new`. Any
    /// sub-range will do: only the bytes that changed need to be passed, with the same range of
    /// the parity shards.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`], [`Error::ParityShardCount`], [`Error::ShardLengthMismatch`]: a
    /// bug of the caller; nothing was written.
    pub fn update(
        &self,
        index: u8,
        old: &[u8],
        new: &[u8],
        parity: &mut [&mut [u8]],
    ) -> Result<(), Error> {
        self.check_data_index(index)?;
        check_lengths(old.len(), [new.len()])?;
        self.check_parity(old.len(), parity.iter().map(|shard| shard.len()))?;
        // The difference of two products is the product of the difference.
        self.encoder
            .accumulate(&[index, index], &[old, new], parity, Start::Keep);
        Ok(())
    }

    /// Works out how to rebuild the shards in `want` from those in `present`, in microseconds for
    /// usual profiles.
    ///
    /// `present` are indices (`0..k+m`) of shards that can be read, in order of preference: the
    /// plan reads exactly the first `k` of them, which is the fewest that can do (none if `want`
    /// is empty). Rebuilding is cheapest when parity shard 0 (index `k`) is the first parity shard
    /// in the list. `want` are indices of shards to rebuild, in the order in which they are to be
    /// written; shards that are lost but not wanted need not be named. `present` and `want` have no
    /// shard in common.
    ///
    /// # Errors
    /// [`Error::TooFewShards`]: wait for more shards. [`Error::IndexOutOfRange`],
    /// [`Error::DuplicateShard`], [`Error::WantedPresent`]: a bug of the caller.
    pub fn plan(&self, present: &[u8], want: &[u8]) -> Result<Plan, Error> {
        Plan::new(self.profile, self.level, present, want)
    }

    pub(crate) fn encoder(&self) -> &Program {
        &self.encoder
    }

    fn check_data(&self, data: &[&[u8]]) -> Result<usize, Error> {
        let (expected, got) = (self.profile.data(), data.len());
        let first = data.first().filter(|_| expected == got);
        let length = first.ok_or(Error::DataShardCount { expected, got })?.len();
        check_lengths(length, data.iter().map(|shard| shard.len()))?;
        Ok(length)
    }

    pub(crate) fn check_parity(
        &self,
        expected_bytes: usize,
        lengths: impl ExactSizeIterator<Item = usize>,
    ) -> Result<(), Error> {
        let (expected, got) = (self.profile.parity(), lengths.len());
        if expected != got {
            return Err(Error::ParityShardCount { expected, got });
        }
        check_lengths(expected_bytes, lengths)
    }

    pub(crate) fn check_data_index(&self, index: u8) -> Result<(), Error> {
        let limit = self.profile.data();
        if usize::from(index) < limit {
            return Ok(());
        }
        Err(Error::IndexOutOfRange { limit, index })
    }
}
