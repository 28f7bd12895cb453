//! Encoding a stripe whose data shards do not come all at once.

use crate::error::check_lengths;
use crate::kernel::Start;
use crate::{Codec, Error};

/// Adds data shards to the parity of one stripe, one or several at a time, in any order.
///
/// Keeps account of the shards, not of the bytes: the parity shards stay with the caller and must
/// be the same ones in every call. The first call overwrites them. Groups of up to four shards run
/// two to three times as fast as single ones, because parity is read and written once per group.
#[derive(Debug)]
pub struct Progressive<'a> {
    codec: &'a Codec,
    seen: ShardSet,
    shard_bytes: Option<usize>,
}

impl<'a> Progressive<'a> {
    pub(crate) fn new(codec: &'a Codec) -> Self {
        Self {
            codec,
            seen: ShardSet::default(),
            shard_bytes: None,
        }
    }

    /// Adds one data shard.
    ///
    /// # Errors
    /// As [`Self::add_group`].
    pub fn add(&mut self, index: u8, shard: &[u8], parity: &mut [&mut [u8]]) -> Result<(), Error> {
        self.add_group(&[index], &[shard], parity)
    }

    /// Adds several data shards: `indices[i]` says which one `shards[i]` is.
    ///
    /// # Errors
    /// [`Error::IndexCount`], [`Error::IndexOutOfRange`], [`Error::DuplicateShard`],
    /// [`Error::ParityShardCount`], [`Error::ShardLengthMismatch`] (within the call, or against
    /// earlier calls): a bug of the caller; nothing was added or written.
    pub fn add_group(
        &mut self,
        indices: &[u8],
        shards: &[&[u8]],
        parity: &mut [&mut [u8]],
    ) -> Result<(), Error> {
        let Some(first) = shards.first().filter(|_| indices.len() == shards.len()) else {
            return no_shards(indices.len(), shards.len());
        };
        let shard_bytes = self.shard_bytes.unwrap_or(first.len());
        check_lengths(shard_bytes, shards.iter().map(|shard| shard.len()))?;
        self.codec
            .check_parity(shard_bytes, parity.iter().map(|shard| shard.len()))?;
        let seen = self.with(indices)?;
        let start = if self.shard_bytes.is_none() {
            Start::Zero
        } else {
            Start::Keep
        };
        self.codec
            .encoder()
            .accumulate(indices, shards, parity, start);
        (self.seen, self.shard_bytes) = (seen, Some(shard_bytes));
        Ok(())
    }

    /// How many data shards have been added.
    pub fn added(&self) -> usize {
        self.seen.len()
    }

    /// Whether every data shard has been added, so that the parity shards are right.
    pub fn is_complete(&self) -> bool {
        self.added() == self.codec.profile().data()
    }

    /// Ends the stripe.
    ///
    /// # Errors
    /// [`Error::Incomplete`]: a data shard was never added, and the parity is not usable.
    pub fn finish(self) -> Result<(), Error> {
        if self.is_complete() {
            return Ok(());
        }
        Err(Error::Incomplete {
            expected: self.codec.profile().data(),
            added: self.added(),
        })
    }

    fn with(&self, indices: &[u8]) -> Result<ShardSet, Error> {
        let mut seen = self.seen;
        for &index in indices {
            self.codec.check_data_index(index)?;
            if !seen.insert(index) {
                return Err(Error::DuplicateShard { index });
            }
        }
        Ok(seen)
    }
}

/// Adding nothing is fine if both lists agree that it is nothing.
fn no_shards(indices: usize, shards: usize) -> Result<(), Error> {
    if indices == shards {
        Ok(())
    } else {
        Err(Error::IndexCount { indices, shards })
    }
}

/// A set of shard indices.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct ShardSet([u128; 2]);

impl ShardSet {
    /// Adds an index; `false` if it was there.
    pub(crate) fn insert(&mut self, index: u8) -> bool {
        let added = !self.contains(index);
        self.0[usize::from(index >> 7)] |= 1 << (index & 127);
        added
    }

    /// Whether the index is there.
    pub(crate) fn contains(&self, index: u8) -> bool {
        (self.0[usize::from(index >> 7)] >> (index & 127)) & 1 == 1
    }

    fn len(&self) -> usize {
        self.0.iter().map(|half| half.count_ones() as usize).sum()
    }
}
