//! What several test files share.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "test code, though outside of #[test] functions"
)]
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

/// An implementation of the code that shares nothing with the library's: products bit by bit, the
/// matrix from its definition in the documentation, one byte at a time.
pub(crate) struct Reference {
    products: Vec<[u8; 256]>,
}

impl Reference {
    /// Computes the table of all products.
    pub(crate) fn new() -> Self {
        let row = |a: u8| std::array::from_fn(|b| bitwise_mul(a, b as u8));
        Self {
            products: (0..=255).map(row).collect(),
        }
    }

    fn mul(&self, a: u8, b: u8) -> u8 {
        self.products[usize::from(a)][usize::from(b)]
    }

    fn div(&self, a: u8, b: u8) -> u8 {
        let inverse = (1..=255).find(|&c| self.mul(b, c) == 1).unwrap();
        self.mul(a, inverse)
    }

    /// What data shard `j` is multiplied by in parity shard `r`.
    pub(crate) fn coefficient(&self, profile: Profile, r: usize, j: usize) -> u8 {
        let (k, j, row) = (profile.data() as u8, j as u8, (profile.data() + r) as u8);
        if r == 0 {
            1
        } else if r + 1 == profile.parity() {
            self.div(k ^ j, k)
        } else {
            self.mul(self.div(k ^ j, row ^ j), self.div(row, k))
        }
    }

    /// The parity of a stripe.
    pub(crate) fn encode(&self, profile: Profile, data: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut parity = vec![vec![0; data[0].len()]; profile.parity()];
        for (r, output) in parity.iter_mut().enumerate() {
            for (j, shard) in data.iter().enumerate() {
                let coefficient = self.coefficient(profile, r, j);
                for (to, &from) in output.iter_mut().zip(*shard) {
                    *to ^= self.mul(coefficient, from);
                }
            }
        }
        parity
    }
}

fn bitwise_mul(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        product ^= if b & 1 == 1 { a } else { 0 };
        a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1d };
        b >>= 1;
    }
    product
}

/// The codecs of a profile at every level that this processor has.
pub(crate) fn codecs(profile: Profile) -> impl Iterator<Item = Codec> {
    larder_erasure::Level::ALL
        .into_iter()
        .filter_map(move |level| Codec::with_level(profile, level))
}
