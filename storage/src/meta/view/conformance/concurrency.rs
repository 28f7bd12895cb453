//! Readers and writers at the same time.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{END, Home, entries, put, remove};
use crate::meta::view::View;

/// Each batch writes the same number under two keys, between two keys that stay, and a key that comes and goes.
pub(super) fn readers_never_go_back_while_writing(home: &impl Home) {
    let view = home.open();
    view.apply(&[
        put("a", "stays"),
        put("m/0", number(0)),
        put("m/1", number(0)),
        put("z", "stays"),
    ])
    .unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| read_until(&*view, &done)))
            .collect();
        for i in 1..=2_000 {
            let filler = format!("n/{i:05}");
            let gone = format!("n/{:05}", i - 1);
            view.apply(&[
                put("m/0", number(i)),
                put("m/1", number(i)),
                put(filler, [b'f'; 200]),
                remove(gone),
            ])
            .unwrap();
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert_eq!(entries(&*view, b"", END).len(), 5);
}

/// Returns how often it read.
fn read_until(view: &dyn View, done: &AtomicBool) -> usize {
    let (mut reads, mut last) = (0, 0);
    while reads == 0 || !done.load(Ordering::Acquire) {
        let first = parse(&view.get(b"m/0").unwrap().unwrap());
        assert!(first >= last, "went back from {last} to {first}");
        last = first;
        check_scan(view, last);
        reads += 1;
    }
    reads
}

fn check_scan(view: &dyn View, at_least: u32) {
    let found = entries(view, b"", END);
    assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{found:?}");
    assert_eq!(&found[0].0[..], b"a");
    assert_eq!(&found.last().unwrap().0[..], b"z");
    assert_eq!(&found[1].0[..], b"m/0");
    assert_eq!(&found[2].0[..], b"m/1");
    assert!(
        found[1..3]
            .iter()
            .all(|(_, value)| parse(value) >= at_least)
    );
}

fn number(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

fn parse(value: &[u8]) -> u32 {
    u32::from_be_bytes(value.try_into().unwrap())
}

pub(super) fn concurrent_writers_lose_nothing(home: &impl Home) {
    let view = home.open();
    thread::scope(|scope| {
        for writer in 0..4 {
            let view = &view;
            scope.spawn(move || {
                for i in 0..500 {
                    view.apply(&[put(format!("{i:04}/{writer}"), [b'v'; 200])])
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(entries(&*view, b"", END).len(), 2_000);
    view.persist().unwrap();
    drop(view);
    assert_eq!(entries(&*home.open(), b"", END).len(), 2_000);
}

pub(super) fn persist_runs_beside_writers(home: &impl Home) {
    let view = home.open();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let persister = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                view.persist().unwrap();
            }
        });
        for i in 0..1_000 {
            view.apply(&[put(format!("{i:04}"), [b'v'; 300])]).unwrap();
        }
        done.store(true, Ordering::Release);
        persister.join().unwrap();
    });
    drop(view);
    assert_eq!(entries(&*home.open(), b"", END).len(), 1_000);
}
