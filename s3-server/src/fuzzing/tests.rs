//! The bodies of the fuzz targets on a fixed set of inputs: what `cargo fuzz` runs without end, `cargo nextest` runs some
//! thousand times. An input that a fuzzer finds is added to the seeds, with what it found.

use std::{fs, path::Path};

use larder_storage::rng::{Rng, SeededRng};

use super::{Target, run};

const INPUTS: u64 = 4000;

/// Well-formed inputs: the seeds of the fuzzers as well.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let files = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn below(rng: &dyn Rng, limit: usize) -> usize {
    usize::try_from(rng.next_u64() % limit.max(1) as u64).unwrap()
}

/// A seed with some bytes changed, cut off, put in between, or doubled.
fn input(rng: &dyn Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let noise = |length: usize| (0..length).map(|_| rng.next_u64().to_le_bytes()[0]);
    let mut bytes = seeds[below(rng, seeds.len())].clone();
    for _ in 0..below(rng, 5) {
        let at = below(rng, bytes.len());
        match below(rng, 4) {
            0 if !bytes.is_empty() => bytes[at] = rng.next_u64().to_le_bytes()[0],
            1 => bytes.truncate(at),
            2 => {
                let piece = bytes[at..]
                    .iter()
                    .take(below(rng, 40))
                    .copied()
                    .collect::<Vec<_>>();
                drop(bytes.splice(at..at, piece));
            }
            _ => drop(bytes.splice(at..at, noise(below(rng, 12)))),
        }
    }
    bytes
}

fn run_many(target: Target, name: &str) {
    let (rng, seeds) = (SeededRng::new(7), seeds(name));
    for seed in &seeds {
        assert!(
            run(target, seed) > 0,
            "{name}: {}",
            String::from_utf8_lossy(seed)
        );
    }
    let good: usize = (0..INPUTS)
        .map(|_| run(target, &input(&rng, &seeds)).min(1))
        .sum();
    assert!(
        good > 100,
        "only {good} inputs of {name} get past the parser"
    );
}

#[test]
fn heads_of_requests() {
    run_many(Target::Signatures, "signatures");
}

#[test]
fn bodies_in_chunks() {
    run_many(Target::Chunked, "chunked");
}

#[test]
fn documents() {
    run_many(Target::Xml, "xml");
}

#[test]
fn forms_and_their_policies() {
    run_many(Target::Forms, "forms");
}

#[test]
fn envelopes_of_data_keys() {
    run_many(Target::Envelopes, "envelopes");
}

#[test]
fn every_target_has_seeds() {
    assert_eq!(Target::ALL.len(), 5);
    for input in [&b""[..], b"\0", b"\n", &[255; 100]] {
        for target in Target::ALL {
            run(target, input);
        }
    }
}
