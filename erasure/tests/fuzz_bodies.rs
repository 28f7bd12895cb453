//! The bodies of the fuzz targets on a fixed set of inputs: what `cargo fuzz` runs without end,
//! `cargo nextest` runs a few thousand times. An input that a fuzzer finds is added here.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "test code, also outside of #[test] functions"
)]

use std::collections::BTreeMap;

use larder_erasure::Error;

#[path = "../fuzz/bodies/plan.rs"]
mod plan;
mod support;
use plan::Outcome;
use support::Random;

const INPUTS: u64 = 6000;

/// Input `seed`: noise behind a profile that is small more often than chance would have it.
fn input(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let length = random.below(600);
    let mut bytes = random.bytes(length + 2);
    if !seed.is_multiple_of(4) {
        bytes[0] = bytes[0] % 24 + 1;
        bytes[1] %= 12;
    }
    bytes
}

fn reason(refusal: Error) -> &'static str {
    match refusal {
        Error::IndexOutOfRange { .. } => "out of range",
        Error::DuplicateShard { .. } => "duplicate",
        Error::WantedPresent { .. } => "wanted and present",
        Error::TooFewShards { .. } => "too few",
        _ => "other",
    }
}

#[test]
fn plans_of_many_hostile_inputs_rebuild_or_are_refused_with_reason() {
    let (mut rebuilt, mut most) = (0, 0);
    let mut refusals: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..INPUTS {
        match plan::run(&input(seed)) {
            Outcome::NotTried => {}
            Outcome::Rebuilt(shards) => {
                rebuilt += u32::from(shards > 0);
                most = most.max(shards);
            }
            Outcome::Refused(refusal) => *refusals.entry(reason(refusal)).or_default() += 1,
        }
    }
    // The inputs must go on reaching everything that a plan can answer.
    assert!(
        rebuilt > 1000 && most > 40,
        "{rebuilt} rebuilt, {most} shards at most"
    );
    for reason in ["out of range", "duplicate", "wanted and present", "too few"] {
        assert!(refusals.get(reason) > Some(&50), "{reason}: {refusals:?}");
    }
}
