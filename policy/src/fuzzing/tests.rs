//! The bodies of the fuzz targets on a fixed set of inputs: what `cargo fuzz` runs without end, `cargo nextest` runs some thousand times.
//! An input that a fuzzer finds is added to the seeds, or here, with what it found.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;

/// Well-formed inputs: the seeds of the fuzzers as well.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let files = fs::read_dir(dir).expect("seeds");
    let mut files: Vec<_> = files.map(|file| file.expect("a seed").path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).expect("a seed"))
        .collect()
}

/// What is done to a seed.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Cut(usize),
    /// Some bytes that mean something, put in.
    Insert(usize, &'static str),
    /// A piece taken out.
    Remove(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "*",
        "?",
        "${",
        "}",
        "${aws:username}",
        "'",
        "\\u0000",
        "Not",
        "IfExists",
        "ForAllValues:",
        "\"AWS\":\"*\"",
        "1e308",
        "null",
        "\u{fc}",
        "/0",
        "arn:aws:s3:::",
    ]);
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), words).prop_map(|(at, word)| Change::Insert(at, word)),
        (any::<usize>(), 1..20_usize).prop_map(|(at, bytes)| Change::Remove(at, bytes)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let place = |at: usize| at % (bytes.len() + 1);
        match *change {
            Change::Set(at, byte) => {
                let at = place(at);
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            Change::Cut(at) => bytes.truncate(place(at)),
            Change::Insert(at, word) => {
                let at = place(at);
                bytes.splice(at..at, word.bytes());
            }
            Change::Remove(at, count) => {
                let at = place(at);
                let end = bytes.len().min(at + count);
                bytes.drain(at..end);
            }
        }
    }
    bytes
}

fn run_many(target: Target, name: &str) {
    let seeds = seeds(name);
    for seed in &seeds {
        assert!(run(target, seed) > 0, "every seed is good for something");
    }
    let good = std::cell::Cell::new(0);
    let changes = prop::collection::vec(change(), 0..4);
    let config = ProptestConfig::with_cases(4000);
    proptest!(config, |(seed in prop::sample::select(seeds), changes in changes)| {
        good.set(good.get() + usize::from(run(target, &changed(seed, &changes)) > 0));
    });
    // The inputs must go on reaching the evaluator.
    assert!(good.get() > 1000, "{}", good.get());
}

#[test]
fn documents_of_any_bytes_are_read_or_refused() {
    run_many(Target::Document, "document");
}

#[test]
fn requests_of_any_text_are_decided() {
    run_many(Target::Decision, "decision");
}
