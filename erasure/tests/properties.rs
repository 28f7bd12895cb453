//! Every level against the reference, over lengths, alignments, profiles, losses and wishes.

#![allow(
    clippy::unwrap_used,
    reason = "test code, also outside of #[test] functions"
)]

use std::sync::LazyLock;

use larder_erasure::{Codec, Level, Profile};
use proptest::prelude::*;

mod support;
use support::{Random, Reference, Stripe, codecs, slices, slices_mut};

static REFERENCE: LazyLock<Reference> = LazyLock::new(Reference::new);
const UNIT_BYTES: usize = 4096;

/// Shards that each begin at a given distance from a 64-byte line.
struct Misaligned {
    memory: Vec<u8>,
    starts: Vec<usize>,
    length: usize,
}

impl Misaligned {
    fn new(length: usize, distances: impl Iterator<Item = usize>, seed: u64) -> Self {
        let stride = length.next_multiple_of(64) + 128;
        let starts: Vec<usize> = distances.enumerate().map(|(j, d)| j * stride + d).collect();
        let memory = Random(seed).bytes(stride * starts.len() + 192);
        let line = memory.as_ptr().align_offset(64);
        let starts = starts.into_iter().map(|start| start + line).collect();
        Self {
            memory,
            starts,
            length,
        }
    }

    fn shards(&self) -> Vec<&[u8]> {
        self.starts
            .iter()
            .map(|&start| &self.memory[start..][..self.length])
            .collect()
    }

    fn shards_mut(&mut self) -> Vec<&mut [u8]> {
        let mut rest = self.memory.as_mut_slice();
        let mut passed = 0;
        let mut shards = Vec::new();
        for &start in &self.starts {
            let (shard, after) = rest
                .split_at_mut(start - passed)
                .1
                .split_at_mut(self.length);
            shards.push(shard);
            (rest, passed) = (after, start + self.length);
        }
        shards
    }
}

/// Encodes at a level with all shards misaligned, and compares with the reference.
fn check_encoding(codec: &Codec, length: usize, distances: &mut dyn FnMut() -> usize) {
    let profile = codec.profile();
    let mut take = |count| {
        (0..count)
            .map(|_| distances())
            .collect::<Vec<_>>()
            .into_iter()
    };
    let data = Misaligned::new(length, take(profile.data()), length as u64);
    let mut parity = Misaligned::new(length, take(profile.parity()), 99);
    let untouched = parity.memory.clone();
    codec
        .encode(&data.shards(), &mut parity.shards_mut())
        .unwrap();
    let expected = REFERENCE.encode(profile, &data.shards());
    let level = codec.level();
    assert!(
        parity.shards() == slices(&expected),
        "{profile} {level} {length}"
    );
    for (index, (&after, before)) in parity.memory.iter().zip(untouched).enumerate() {
        let inside = parity
            .starts
            .iter()
            .any(|&start| (start..start + length).contains(&index));
        assert!(
            inside || after == before,
            "{profile} {level} {length}: wrote at {index}"
        );
    }
}

fn lengths() -> impl Iterator<Item = usize> {
    (0..=300).chain(UNIT_BYTES - 65..=UNIT_BYTES + 65)
}

#[test]
fn every_level_equals_the_reference_at_every_length() {
    for profile in ["1+1", "2+2", "3+3", "4+2", "3+7"] {
        for codec in codecs(profile.parse().unwrap()) {
            let mut random = Random(5);
            let lengths = lengths().filter(|length| codec.profile().total() < 8 || *length <= 300);
            for length in lengths {
                check_encoding(&codec, length, &mut || random.below(64));
            }
        }
    }
}

#[test]
fn every_level_equals_the_reference_at_every_misalignment() {
    for codec in codecs("3+4".parse().unwrap()) {
        for distance in 0..64 {
            for length in [1, 63, 130, 300] {
                check_encoding(&codec, length, &mut || distance);
            }
        }
    }
}

#[test]
fn every_level_equals_the_reference_for_every_number_of_parity_shards_up_to_20() {
    for parity in 0..=20 {
        for codec in codecs(Profile::new(5, parity).unwrap()) {
            check_encoding(&codec, 200, &mut || 0);
        }
    }
}

fn any_length() -> impl Strategy<Value = usize> {
    prop_oneof![0..=300usize, UNIT_BYTES - 65..=UNIT_BYTES + 65]
}

fn any_codec() -> impl Strategy<Value = Codec> {
    let available: Vec<Level> = Level::ALL
        .into_iter()
        .filter(|l| l.is_available())
        .collect();
    (1..=20u8, 0..=10u8, proptest::sample::select(available)).prop_map(|(data, parity, level)| {
        Codec::with_level(Profile::new(data, parity).unwrap(), level).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn encoding_equals_the_reference(codec in any_codec(), length in any_length(), seed: u64) {
        let mut random = Random(seed);
        check_encoding(&codec, length, &mut || random.below(64));
    }

    #[test]
    fn any_wanted_part_of_any_loss_is_rebuilt_on_any_range(
        codec in any_codec(), length in any_length(), seed: u64,
    ) {
        let (profile, mut random) = (codec.profile(), Random(seed));
        let stripe = Stripe::encoded(&codec, length);
        let order = random.shuffled(profile.total());
        let lost = random.below(profile.parity() + 1);
        let (lost, present) = order.split_at(lost);
        let want = &lost[..random.below(lost.len() + 1)];
        let plan = codec.plan(present, want).unwrap();
        let start = random.below(length + 1);
        let range = start..start + random.below(length - start + 1);
        let part = |&index: &u8| &stripe.shards[usize::from(index)][range.clone()];
        let sources: Vec<&[u8]> = plan.sources().iter().map(part).collect();
        let mut rebuilt = vec![vec![0x5a; range.len()]; want.len()];
        plan.run(&sources, &mut slices_mut(&mut rebuilt)).unwrap();
        prop_assert_eq!(plan.targets(), want);
        for (index, rebuilt) in want.iter().zip(&rebuilt) {
            prop_assert_eq!(rebuilt, part(index));
        }
    }

    #[test]
    fn a_plan_reads_the_preferred_k_shards(codec in any_codec(), seed: u64) {
        let (profile, mut random) = (codec.profile(), Random(seed));
        let order = random.shuffled(profile.total());
        let (want, present) = order.split_at(profile.parity());
        let plan = codec.plan(present, want).unwrap();
        let mut expected = present[..profile.data()].to_vec();
        let mut sources = plan.sources().to_vec();
        expected.sort_unstable();
        sources.sort_unstable();
        prop_assert_eq!(sources, if want.is_empty() { vec![] } else { expected });
    }

    #[test]
    fn progressive_encoding_in_any_order_and_grouping_equals_encoding(
        codec in any_codec(), length in any_length(), seed: u64,
    ) {
        let (profile, mut random) = (codec.profile(), Random(seed));
        let stripe = Stripe::encoded(&codec, length);
        let (data, parity) = stripe.shards.split_at(profile.data());
        let mut progressive_parity = vec![vec![0x77; length]; profile.parity()];
        let order = random.shuffled(profile.data());
        let mut progressive = codec.progressive();
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let (group, after) = rest.split_at(1 + random.below(rest.len()));
            let shards: Vec<&[u8]> = group.iter().map(|&i| data[usize::from(i)].as_slice()).collect();
            let mut parity = slices_mut(&mut progressive_parity);
            progressive.add_group(group, &shards, &mut parity).unwrap();
            rest = after;
        }
        prop_assert_eq!(progressive.finish(), Ok(()));
        prop_assert_eq!(&progressive_parity[..], parity);
    }

    #[test]
    fn update_equals_encoding_again(codec in any_codec(), length in any_length(), seed: u64) {
        let (profile, mut random) = (codec.profile(), Random(seed));
        let mut stripe = Stripe::encoded(&codec, length);
        let index = random.below(profile.data());
        let new = random.bytes(length);
        let (data, parity) = stripe.shards.split_at_mut(profile.data());
        let shard = u8::try_from(index).unwrap();
        codec.update(shard, &data[index], &new, &mut slices_mut(parity)).unwrap();
        data[index] = new;
        prop_assert!(stripe.verifies(&codec));
    }
}

#[test]
fn long_shards_of_many_parity_rows_are_worked_through_in_blocks() {
    for codec in codecs("3+9".parse().unwrap()) {
        check_encoding(&codec, 300_001, &mut || 3);
    }
}
