//! What several test files share.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "test code, though outside of #[test] functions")]
#![allow(clippy::cast_possible_truncation, reason = "indices are below 255")]

use larder_erasure::{Codec, Profile};

/// Borrows every shard.
pub(crate) fn slices(shards: &[Vec<u8>]) -> Vec<&[u8]> {
    shards.iter().map(Vec::as_slice).collect()
}

/// Borrows every shard for writing.
pub(crate) fn slices_mut(shards: &mut [Vec<u8>]) -> Vec<&mut [u8]> {
    shards.iter_mut().map(Vec::as_mut_slice).collect()
}

/// A small generator of bytes that do not repeat (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Fills a slice.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next().to_le_bytes()[0];
        }
    }

    /// A vector of `length` bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }

    /// Numbers `0..count` in random order.
    pub(crate) fn shuffled(&mut self, count: usize) -> Vec<u8> {
        let mut order: Vec<u8> = (0..count)
            .map(|index| u8::try_from(index).unwrap())
            .collect();
        for index in (1..count).rev() {
            order.swap(index, self.below(index + 1));
        }
        order
    }
}

/// The shards of a stripe, data and parity.
pub(crate) struct Stripe {
    pub(crate) profile: Profile,
    pub(crate) shards: Vec<Vec<u8>>,
}

impl Stripe {
    /// Random data with its parity.
    pub(crate) fn encoded(codec: &Codec, length: usize) -> Self {
        let profile = codec.profile();
        let mut random = Random(length as u64);
        let mut shards: Vec<_> = (0..profile.total()).map(|_| random.bytes(length)).collect();
        let (data, parity) = shards.split_at_mut(profile.data());
        codec
            .encode(&slices(data), &mut slices_mut(parity))
            .unwrap();
        Self { profile, shards }
    }

    /// What `verify` says.
    pub(crate) fn verifies(&self, codec: &Codec) -> bool {
        let (data, parity) = self.shards.split_at(self.profile.data());
        codec.verify(&slices(data), &slices(parity)).unwrap()
    }

    /// Loses the shards whose bits are set and compares what is rebuilt.
    pub(crate) fn assert_rebuilds(&self, codec: &Codec, lost: u32) {
        let is_lost = |&index: &u8| (lost >> index) & 1 == 1;
        let (want, present): (Vec<u8>, Vec<u8>) =
            (0..self.profile.total() as u8).partition(is_lost);
        self.assert_plan(codec, &present, &want);
    }

    /// Rebuilds `want` from `present` and compares.
    pub(crate) fn assert_plan(&self, codec: &Codec, present: &[u8], want: &[u8]) {
        let plan = codec.plan(present, want).unwrap();
        let shard = |&index: &u8| self.shards[usize::from(index)].as_slice();
        let sources: Vec<&[u8]> = plan.sources().iter().map(shard).collect();
        let mut rebuilt = vec![vec![0xee; self.shards[0].len()]; want.len()];
        plan.run(&sources, &mut slices_mut(&mut rebuilt)).unwrap();
        for (index, rebuilt) in plan.targets().iter().zip(&rebuilt) {
            let (profile, level) = (self.profile, codec.level());
            assert!(
                rebuilt == shard(index),
                "{profile} {level}: {want:?} from {present:?}"
            );
        }
    }
}
