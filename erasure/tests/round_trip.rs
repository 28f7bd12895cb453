//! Any `m` losses are repaired, at every level.

use larder_erasure::{Codec, Level, Profile};

mod support;
use support::{Stripe, slices, slices_mut};

#[test]
fn reconstructs_after_losing_any_set_of_at_most_m_shards() {
    for profile in ["1+1", "2+1", "2+2", "3+2", "4+2", "3+3", "6+3", "8+4"] {
        let profile: Profile = profile.parse().unwrap();
        for level in Level::ALL {
            let Some(codec) = Codec::with_level(profile, level) else {
                continue;
            };
            let stripe = Stripe::encoded(&codec, 323);
            for lost in 1..1u32 << profile.total() {
                if lost.count_ones() as usize <= profile.parity() {
                    stripe.assert_rebuilds(&codec, lost);
                }
            }
        }
    }
}

#[test]
fn every_profile_of_up_to_20_shards_survives_the_loss_of_its_first_and_last_shards() {
    for total in 1..=20u8 {
        for parity in 0..total {
            let profile = Profile::new(total - parity, parity).unwrap();
            let codec = Codec::new(profile);
            let stripe = Stripe::encoded(&codec, 33);
            let first = (1u32 << parity) - 1;
            stripe.assert_rebuilds(&codec, first);
            stripe.assert_rebuilds(&codec, first << (total - parity));
        }
    }
}

#[test]
fn verify_finds_a_flipped_bit_in_any_shard() {
    let codec = Codec::new("5+3".parse().unwrap());
    for length in [1, 63, 64, 2048, 5000] {
        let mut stripe = Stripe::encoded(&codec, length);
        assert!(stripe.verifies(&codec));
        for shard in 0..8 {
            stripe.shards[shard][length - 1] ^= 0x10;
            assert!(!stripe.verifies(&codec), "shard {shard} of {length} bytes");
            stripe.shards[shard][length - 1] ^= 0x10;
        }
    }
}

#[test]
fn a_profile_without_parity_encodes_nothing_and_verifies() {
    let codec = Codec::new("3+0".parse().unwrap());
    let data = vec![vec![7u8; 10]; 3];
    codec
        .encode(&slices(&data), &mut slices_mut(&mut []))
        .unwrap();
    assert_eq!(codec.verify(&slices(&data), &[]), Ok(true));
    codec.update(1, &data[0], &data[1], &mut []).unwrap();
    assert!(codec.plan(&[0, 1, 2], &[]).unwrap().sources().is_empty());
}
