//! Rotten bytes on disk: opening answers with a view or an error and never panics or hangs; what can be read is right
//! or refused.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Engine, put, small};
use crate::{
    meta::view::{View, ViewError, open},
    rng::{Rng, SeededRng},
};

const ENTRIES: u32 = 2_000;

fn key(i: u32) -> String {
    format!("key/{i:06}")
}

/// Bytes that do not compress, so that a flip anywhere hits something.
fn value(i: u32) -> Vec<u8> {
    let rng = SeededRng::new(u64::from(i));
    (0..16).flat_map(|_| rng.next_u64().to_le_bytes()).collect()
}

fn fill(engine: Engine, dir: &Path) {
    let view = open(engine, dir, small()).unwrap();
    for i in 0..ENTRIES {
        view.apply(&[put(key(i), value(i))]).unwrap();
    }
    view.persist().unwrap();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}

/// Flips one bit among the first bytes that are in use.
fn flip(path: &Path, rng: &SeededRng) {
    let mut contents = fs::read(path).unwrap();
    let used = contents
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    if used > 0 {
        let at = usize::try_from(rng.next_u64()).unwrap() % used;
        contents[at] ^= 1 << (rng.next_u64() % 8);
        fs::write(path, contents).unwrap();
    }
}

/// Reads everything; the values that are there must be right.
fn read_all(view: &dyn View) -> Result<(), ViewError> {
    for i in 0..ENTRIES {
        if let Some(found) = view.get(key(i).as_bytes())? {
            assert_eq!(found, value(i), "wrong bytes for {i}");
        }
    }
    view.scan(b"", b"z", &mut |_, _| true)
}

fn flipped_bits_are_no_wrong_answers(engine: Engine) {
    let whole = tempfile::tempdir().unwrap();
    fill(engine, whole.path());
    let rng = SeededRng::new(7);
    for round in 0..40 {
        let damaged = tempfile::tempdir().unwrap();
        copy(whole.path(), damaged.path());
        let mut targets = files(damaged.path());
        targets.sort();
        let target = &targets[round % targets.len()];
        flip(target, &rng);
        if let Ok(view) = open(engine, damaged.path(), small()) {
            drop(read_all(&*view));
        }
    }
}

#[test]
fn flipped_bits_are_no_wrong_answers_in_fjall() {
    flipped_bits_are_no_wrong_answers(Engine::Fjall);
}

#[test]
fn flipped_bits_are_no_wrong_answers_in_sled() {
    flipped_bits_are_no_wrong_answers(Engine::Sled);
}
