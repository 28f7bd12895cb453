//! The bodies of the fuzz targets on a fixed set of inputs: what `cargo fuzz` runs without end, `cargo nextest` runs some
//! thousand times. An input that a fuzzer finds is added here, with what it found.

use std::{fs, path::Path};

use super::{Target, run};
use crate::rng::{Rng, SeededRng};

const INPUTS: u64 = 4000;

/// Well-formed inputs: the seeds of the fuzzers as well.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let files = fs::read_dir(dir)
        .expect("seeds")
        .map(|entry| entry.expect("a seed").path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).expect("a seed"))
        .collect()
}

fn below(rng: &dyn Rng, limit: usize) -> usize {
    usize::try_from(rng.next_u64() % limit.max(1) as u64).unwrap_or(0)
}

/// Noise, or a seed with some bytes changed, cut off or put in between.
fn input(rng: &dyn Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let noise = |length: usize| {
        (0..length)
            .map(|_| rng.next_u64().to_le_bytes()[0])
            .collect()
    };
    if seeds.is_empty() || below(rng, 4) == 0 {
        return noise(below(rng, 400));
    }
    let mut bytes = seeds[below(rng, seeds.len())].clone();
    for _ in 0..below(rng, 4) {
        let at = below(rng, bytes.len());
        match below(rng, 3) {
            0 if !bytes.is_empty() => bytes[at] = rng.next_u64().to_le_bytes()[0],
            1 => bytes.truncate(at),
            _ => drop(bytes.splice(at..at, noise(below(rng, 12)))),
        }
    }
    bytes
}

/// How many inputs were taken for good by some decoder.
fn run_many(target: Target, name: &str) -> usize {
    let (rng, seeds) = (SeededRng::new(7), seeds(name));
    let good = seeds.iter().filter(|seed| run(target, seed) > 0).count();
    assert_eq!(
        good,
        seeds.len(),
        "every seed of {name} is good for something"
    );
    (0..INPUTS)
        .filter(|_| run(target, &input(&rng, &seeds)) > 0)
        .count()
}

// The inputs must go on reaching the decoders' ends: hence the least number of good ones.

#[test]
fn segments_of_any_bytes_are_scanned() {
    let good = run_many(Target::Segment, "segment");
    assert!(good > 500, "{good}");
}

#[test]
fn identities_of_any_bytes_are_judged() {
    let good = run_many(Target::Identity, "identity");
    assert!(good > 500, "{good}");
}

#[test]
fn metadata_of_any_bytes_is_decoded_or_refused() {
    let good = run_many(Target::Metadata, "metadata");
    assert!(good > 500, "{good}");
}

#[test]
fn records_of_any_bytes_are_decoded_or_refused() {
    let good = run_many(Target::Records, "records");
    assert!(good > 500, "{good}");
}

#[test]
fn placements_and_shards_of_any_bytes_are_judged() {
    let good = run_many(Target::Shards, "shards");
    assert!(good > 500, "{good}");
}

#[test]
fn chunks_of_any_bytes_open_only_as_they_were_sealed() {
    let good = run_many(Target::Sealed, "sealed");
    assert!(good > 500, "{good}");
}
