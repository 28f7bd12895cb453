//! Every loss of at most `m` shards is repaired, byte for byte: all of them where the profile is
//! small, random ones where it is large. That no loss was overlooked is proven on the matrix itself,
//! in `matrix/tests.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "test code, also outside of #[test] functions"
)]

use larder_erasure::{Codec, Profile};

mod support;
use support::{Random, Stripe, codecs};

/// Loses every set of at most `m` shards.
fn assert_survives_every_loss(codec: &Codec, shard_bytes: usize) {
    let stripe = Stripe::encoded(codec, shard_bytes);
    for lost in 1..1u32 << codec.profile().total() {
        if lost.count_ones() as usize <= codec.profile().parity() {
            stripe.assert_rebuilds(codec, lost);
        }
    }
}

#[test]
fn every_level_survives_every_loss_of_the_common_profiles() {
    for profile in [
        "1+1", "2+1", "2+2", "3+2", "4+2", "3+3", "6+3", "5+5", "8+4",
    ] {
        for codec in codecs(profile.parse().unwrap()) {
            assert_survives_every_loss(&codec, 323);
        }
    }
}

#[test]
fn every_profile_of_up_to_16_shards_survives_every_loss() {
    for total in 1..=16u8 {
        for parity in 0..total {
            let profile = Profile::new(total - parity, parity).unwrap();
            assert_survives_every_loss(&Codec::new(profile), 5);
        }
    }
}

/// Loses random sets: as many as the profile allows, and fewer, down to one.
fn assert_survives_random_losses(codec: &Codec, times: usize) {
    let profile = codec.profile();
    let stripe = Stripe::encoded(codec, 70);
    let mut random = Random(profile.data() as u64);
    for time in 0..times {
        let order = random.shuffled(profile.total());
        let count = match time {
            0 => profile.parity(),
            _ => random.below(profile.parity()) + 1,
        };
        let (lost, present) = order.split_at(count);
        stripe.assert_plan(codec, present, lost);
    }
}

#[test]
fn every_profile_of_255_shards_survives_random_losses() {
    for data in 1..=254u8 {
        assert_survives_random_losses(&Codec::new(Profile::new(data, 255 - data).unwrap()), 3);
    }
}

#[test]
fn random_profiles_survive_random_losses() {
    let mut random = Random(7);
    for _ in 0..400 {
        let total = random.below(253) + 2;
        let parity = u8::try_from(random.below(total - 1) + 1).unwrap();
        let data = u8::try_from(total).unwrap() - parity;
        assert_survives_random_losses(&Codec::new(Profile::new(data, parity).unwrap()), 3);
    }
}

#[test]
fn every_level_survives_random_losses_of_large_profiles() {
    let profiles = ["251+4", "235+20", "128+127", "20+235", "1+254", "100+7"];
    for profile in profiles {
        for codec in codecs(profile.parse().unwrap()) {
            assert_survives_random_losses(&codec, 2);
        }
    }
}
