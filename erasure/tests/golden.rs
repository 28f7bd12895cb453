//! Frozen output: what is on disk today must be what every later version computes.
//!
//! A failure here means that stored stripes could no longer be rebuilt. Never change an expected
//! value; a new code gets a new matrix id and vectors of its own.

#![allow(
    clippy::unwrap_used,
    reason = "test code, also outside of #[test] functions"
)]

mod support;
use support::{codecs, slices, slices_mut};

/// Byte `i` of data shard `j`.
fn pattern(j: usize, i: usize) -> u8 {
    let x = (i * 0x9e37 + j * 0x79b9 + 0x1234) & 0xffff;
    (x ^ (x >> 7)).to_le_bytes()[0]
}

fn encoded(codec: &larder_erasure::Codec, length: usize) -> Vec<Vec<u8>> {
    let profile = codec.profile();
    let shard = |j| (0..length).map(|i| pattern(j, i)).collect();
    let data: Vec<Vec<u8>> = (0..profile.data()).map(shard).collect();
    let mut parity = vec![vec![0; length]; profile.parity()];
    codec
        .encode(&slices(&data), &mut slices_mut(&mut parity))
        .unwrap();
    parity
}

/// FNV-1a, 64 bits.
fn hash(shards: &[Vec<u8>]) -> u64 {
    shards
        .iter()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

#[test]
fn parity_of_four_plus_two_is_frozen_byte_for_byte() {
    for codec in codecs("4+2".parse().unwrap()) {
        assert_eq!(
            encoded(&codec, 8),
            [GOLDEN_4_2[0].to_vec(), GOLDEN_4_2[1].to_vec()]
        );
    }
}

#[test]
fn parity_of_common_and_extreme_profiles_is_frozen_by_hash() {
    for (profile, expected) in HASHES {
        for codec in codecs(profile.parse().unwrap()) {
            let got = hash(&encoded(&codec, 1000));
            assert_eq!(got, expected, "{profile} {}: {got:#018x}", codec.level());
        }
    }
}

/// Computed by an independent program, from Jerasure's construction of the matrix.
const GOLDEN_4_2: [[u8; 8]; 2] = [
    [0xe6, 0x4c, 0xde, 0x64, 0x72, 0x8d, 0x00, 0x7e],
    [0x3f, 0xa9, 0x90, 0x05, 0xe3, 0xe4, 0xf6, 0x74],
];

/// Profile, and the hash of all its parity of 1000 bytes. Computed likewise.
const HASHES: [(&str, u64); 13] = [
    ("1+1", 0x56ea_a4ec_ffc2_c04f),
    ("2+1", 0x9a95_69d2_1bdb_e833),
    ("2+2", 0x17f3_1f38_6638_3c46),
    ("4+2", 0x0984_1634_01ba_6fa0),
    ("5+3", 0x2e20_b9a4_dff2_fb13),
    ("6+3", 0x8d9b_7e07_6c64_1dcb),
    ("8+4", 0x5d25_5633_0206_2563),
    ("12+4", 0xf321_d2a8_851f_1aba),
    ("16+4", 0x24e6_470b_0ae8_b100),
    ("3+7", 0x5e12_0e93_ccb1_9e76),
    ("10+10", 0x7f52_d526_eb10_d4e8),
    ("251+4", 0xede1_850c_3165_2a42),
    ("128+127", 0x788a_2c03_fdd1_84e1),
];
