//! What was encoded verifies, and nothing else does.

use larder_erasure::Codec;

mod support;
use support::{Stripe, slices, slices_mut};

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
