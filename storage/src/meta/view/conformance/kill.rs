//! A process that applies batches is killed with SIGKILL; what it leaves must be whole batches, and all that it
//! had persisted.
//!
//! The child is this test binary, asked to run [`kill_child`] alone.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{END, entries, put, remove, small};
use crate::meta::view::{Engine, View, ViewChange, open};

const ENGINE: &str = "LARDER_VIEW_KILL_ENGINE";
const DIR: &str = "LARDER_VIEW_KILL_DIR";
/// Batches between two calls of `persist`.
const PERSIST_EVERY: u32 = 150;
/// Keys that each batch adds, beside the one that it moves.
const KEYS: u32 = 4;

/// Batch `i` adds [`KEYS`] entries of its own and moves the one entry below `t/`.
fn batch(i: u32) -> Vec<ViewChange> {
    let mut changes: Vec<_> = (0..KEYS)
        .map(|n| put(key(i, n), vec![n.to_le_bytes()[0]; 200]))
        .collect();
    changes.push(put(format!("t/{i:08}"), "here"));
    if i > 0 {
        changes.push(remove(format!("t/{:08}", i - 1)));
    }
    changes
}

fn key(i: u32, n: u32) -> String {
    format!("k/{i:08}/{n}")
}

/// How many batches are there, having checked that each is whole and none before the last is missing.
fn batches(view: &dyn View) -> u32 {
    let found = entries(view, b"k/", b"k0");
    let count = u32::try_from(found.len()).unwrap() / KEYS;
    let expected = (0..count).flat_map(|i| (0..KEYS).map(move |n| key(i, n)));
    assert!(
        expected.eq(found
            .iter()
            .map(|(key, _)| String::from_utf8_lossy(key).into_owned()))
    );
    assert_eq!(
        found.len(),
        (count * KEYS) as usize,
        "the last batch is torn"
    );
    let moved: Vec<_> = entries(view, b"t/", b"t0")
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let last = count.checked_sub(1).map(|last| format!("t/{last:08}"));
    assert_eq!(moved, last.into_iter().collect::<Vec<_>>());
    count
}

/// Not a test of its own: it does nothing unless [`kill_leaves_whole_batches`] starts it.
#[test]
#[ignore = "run by kill_leaves_whole_batches in a process of its own"]
fn kill_child() {
    let (Ok(engine), Ok(dir)) = (env::var(ENGINE), env::var(DIR)) else {
        return;
    };
    let view = open(engine.parse().unwrap(), Path::new(&dir), small()).unwrap();
    for i in batches(&*view).. {
        view.apply(&batch(i)).unwrap();
        if i % PERSIST_EVERY == 0 {
            view.persist().unwrap();
            println!("persisted {i}");
            std::io::stdout().flush().unwrap();
        }
    }
}

fn spawn_child(engine: Engine, dir: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "meta::view::conformance::kill::kill_child",
            "--ignored",
            "--nocapture",
        ])
        .env(ENGINE, engine.name())
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills the child after it has persisted `times` times; returns the last batch that it said it had persisted.
fn run_and_kill(engine: Engine, dir: &Path, times: usize) -> u32 {
    let mut child = spawn_child(engine, dir);
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut next =
        || lines.find_map(|line| Some(line.split_once("persisted ")?.1.parse().unwrap()));
    let mut last: u32 = (0..times)
        .filter_map(|_| next())
        .last()
        .expect("the child persists");
    child.kill().unwrap();
    child.wait().unwrap();
    while let Some(later) = next() {
        last = later;
    }
    last
}

fn kill_leaves_whole_batches(engine: Engine) {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=6 {
        let persisted = run_and_kill(engine, dir.path(), round);
        let view = open(engine, dir.path(), small()).unwrap();
        let count = batches(&*view);
        assert!(
            count > persisted,
            "batch {persisted} was persisted, {count} batches are there"
        );
        assert_eq!(entries(&*view, b"", END).len(), (count * KEYS + 1) as usize);
    }
}

#[test]
fn kill_leaves_whole_batches_in_fjall() {
    kill_leaves_whole_batches(Engine::Fjall);
}

#[test]
fn kill_leaves_whole_batches_in_sled() {
    kill_leaves_whole_batches(Engine::Sled);
}
