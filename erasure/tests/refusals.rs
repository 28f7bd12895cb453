//! Wrong arguments are refused by name, and nothing is written.

#![allow(
    clippy::unwrap_used,
    reason = "test code, also outside of #[test] functions"
)]

use larder_erasure::{Codec, Error};

mod support;
use support::{slices, slices_mut};

fn codec() -> Codec {
    Codec::new("4+2".parse().unwrap())
}

#[test]
fn encode_refuses_wrong_counts_and_lengths() {
    let data = vec![vec![1u8; 8]; 4];
    let mut parity = vec![vec![9u8; 8]; 2];
    let refused = codec().encode(&slices(&data[..3]), &mut slices_mut(&mut parity));
    assert_eq!(
        refused,
        Err(Error::DataShardCount {
            expected: 4,
            got: 3
        })
    );
    let refused = codec().encode(&slices(&data), &mut slices_mut(&mut parity[..1]));
    assert_eq!(
        refused,
        Err(Error::ParityShardCount {
            expected: 2,
            got: 1
        })
    );
    parity[1].push(9);
    let refused = codec().encode(&slices(&data), &mut slices_mut(&mut parity));
    assert_eq!(
        refused,
        Err(Error::ShardLengthMismatch {
            expected_bytes: 8,
            got_bytes: 9
        })
    );
    assert!(
        parity.iter().flatten().all(|&byte| byte == 9),
        "parity was written"
    );
}

#[test]
fn plan_refuses_what_cannot_be_done() {
    let codec = codec();
    let refusal = |present: &[u8], want: &[u8]| codec.plan(present, want).unwrap_err();
    assert_eq!(
        refusal(&[1, 2, 3], &[0]),
        Error::TooFewShards {
            needed: 4,
            present: 3
        }
    );
    assert_eq!(
        refusal(&[1, 2, 3, 6], &[0]),
        Error::IndexOutOfRange { limit: 6, index: 6 }
    );
    assert_eq!(
        refusal(&[1, 2, 3, 4], &[255]),
        Error::IndexOutOfRange {
            limit: 6,
            index: 255
        }
    );
    assert_eq!(
        refusal(&[1, 2, 3, 3], &[0]),
        Error::DuplicateShard { index: 3 }
    );
    assert_eq!(
        refusal(&[1, 2, 3, 4], &[0, 0]),
        Error::DuplicateShard { index: 0 }
    );
    assert_eq!(
        refusal(&[1, 2, 3, 4], &[0, 4]),
        Error::WantedPresent { index: 4 }
    );
}

#[test]
fn run_refuses_wrong_counts_and_lengths() {
    let plan = codec().plan(&[2, 3, 4, 5], &[0, 1]).unwrap();
    let sources = vec![vec![0u8; 8]; 4];
    let mut targets = vec![vec![0u8; 8]; 2];
    let refused = plan.run(&slices(&sources[1..]), &mut slices_mut(&mut targets));
    assert_eq!(
        refused,
        Err(Error::SourceCount {
            expected: 4,
            got: 3
        })
    );
    let refused = plan.run(&slices(&sources), &mut slices_mut(&mut targets[1..]));
    assert_eq!(
        refused,
        Err(Error::TargetCount {
            expected: 2,
            got: 1
        })
    );
    targets[0].pop();
    let refused = plan.run(&slices(&sources), &mut slices_mut(&mut targets));
    assert_eq!(
        refused,
        Err(Error::ShardLengthMismatch {
            expected_bytes: 8,
            got_bytes: 7
        })
    );
}

#[test]
fn progressive_refuses_repeats_strangers_and_an_early_end() {
    let (codec, shard) = (codec(), [1u8; 8]);
    let mut parity = vec![vec![0u8; 8]; 2];
    let mut progressive = codec.progressive();
    progressive
        .add(2, &shard, &mut slices_mut(&mut parity))
        .unwrap();
    let repeated = progressive.add(2, &shard, &mut slices_mut(&mut parity));
    assert_eq!(repeated, Err(Error::DuplicateShard { index: 2 }));
    let stranger = progressive.add(4, &shard, &mut slices_mut(&mut parity));
    assert_eq!(stranger, Err(Error::IndexOutOfRange { limit: 4, index: 4 }));
    let uneven = progressive.add_group(&[0, 1], &[&shard], &mut slices_mut(&mut parity));
    assert_eq!(
        uneven,
        Err(Error::IndexCount {
            indices: 2,
            shards: 1
        })
    );
    let short = progressive.add(1, &shard[1..], &mut slices_mut(&mut parity));
    assert_eq!(
        short,
        Err(Error::ShardLengthMismatch {
            expected_bytes: 8,
            got_bytes: 7
        })
    );
    assert_eq!(progressive.added(), 1);
    assert_eq!(
        progressive.finish(),
        Err(Error::Incomplete {
            expected: 4,
            added: 1
        })
    );
}

#[test]
fn update_refuses_a_parity_shard_and_uneven_lengths() {
    let mut parity = vec![vec![0u8; 8]; 2];
    let refused = codec().update(4, &[0; 8], &[1; 8], &mut slices_mut(&mut parity));
    assert_eq!(refused, Err(Error::IndexOutOfRange { limit: 4, index: 4 }));
    let refused = codec().update(0, &[0; 8], &[1; 7], &mut slices_mut(&mut parity));
    assert_eq!(
        refused,
        Err(Error::ShardLengthMismatch {
            expected_bytes: 8,
            got_bytes: 7
        })
    );
}
