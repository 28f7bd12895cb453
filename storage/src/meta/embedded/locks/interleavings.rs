//! Every order of commits on the same keys that the model checker comes to: the locks themselves, and what holding them from the check
//! of a precondition until the change is visible is worth.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use parking_lot::Mutex as Plain;
use shuttle::future;

use super::*;
use crate::{
    disk::Seq,
    meta::{Change, Precondition, Revision},
    sync::{modelled, others_go_on},
};

/// Orders tried per test.
const RUNS: usize = 2000;
const WRITERS: u8 = 3;
const COMMITS_EACH: usize = 2;
const KEYS: [&[u8]; 3] = [b"a", b"b", b"c"];

/// How a commit goes about its locks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// As the engine does.
    Right,
    /// Each takes them in an order of its own.
    Unordered,
    /// They are released once the frames are appended, before the change is visible.
    ReleasedEarly,
    /// What is tested is not locked.
    TestedUnlocked,
}

/// A store without disks. Its locks are held by no one who waits.
struct Store {
    locks: KeyLocks,
    sequencer: Plain<Seq>,
    /// Per key the number of the commit that is visible, and how often it was increased.
    view: Plain<BTreeMap<&'static [u8], (Seq, u64)>>,
    commits: Plain<u64>,
}

impl Store {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            locks: KeyLocks::new(0),
            sequencer: Plain::new(Seq(1)),
            view: Plain::default(),
            commits: Plain::default(),
        })
    }

    fn visible(&self, key: &[u8]) -> (Seq, u64) {
        self.view.lock().get(key).copied().unwrap_or_default()
    }

    /// Increases one key if both are still what they were, as the engine commits: check, number, append, apply.
    async fn increase(&self, key: &'static [u8], tested: &'static [u8], protocol: Protocol) {
        loop {
            let before = (self.visible(key), self.visible(tested));
            others_go_on().await;
            let held = self.lock(key, tested, protocol).await;
            if (self.visible(key), self.visible(tested)) != before {
                continue;
            }
            let seq = {
                let mut next = self.sequencer.lock();
                let seq = *next;
                next.0 += 1;
                seq
            };
            let held = (protocol != Protocol::ReleasedEarly).then_some(held);
            // The frames are written and synced.
            others_go_on().await;
            others_go_on().await;
            assert_eq!(self.visible(tested), before.1, "tested, and changed since");
            let old = self.view.lock().insert(key, (seq, before.0.1 + 1));
            assert!(old.unwrap_or_default().0 < seq, "per key the numbers rise");
            *self.commits.lock() += 1;
            drop(held);
            return;
        }
    }

    async fn lock(&self, key: &[u8], tested: &[u8], protocol: Protocol) -> Held {
        if protocol == Protocol::Unordered {
            let wanted = [
                (KeyLocks::index(key), true),
                (KeyLocks::index(tested), false),
            ];
            return self.locks.take(&wanted).await;
        }
        let mut transaction = Transaction {
            changes: vec![Change {
                key: Bytes::copy_from_slice(key),
                value: None,
            }],
            ..Transaction::default()
        };
        if protocol != Protocol::TestedUnlocked {
            transaction.preconditions.push(Precondition {
                key: Bytes::copy_from_slice(tested),
                revision: Some(Revision(0)),
            });
        }
        self.locks.lock(&transaction).await
    }
}

/// Writers that test each other's keys, in all orders.
fn run(protocol: Protocol) {
    let body = move || {
        let store = Store::new();
        let write = |writer: usize| {
            let store = Arc::clone(&store);
            future::spawn(async move {
                for round in 0..COMMITS_EACH {
                    let key = KEYS[(writer + round) % KEYS.len()];
                    let tested = KEYS[(writer + round + 1) % KEYS.len()];
                    store.increase(key, tested, protocol).await;
                }
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(usize::from).map(write).collect();
        future::block_on(async {
            for writer in writers {
                writer.await.unwrap();
            }
        });
        let increased: u64 = store.view.lock().values().map(|(_, count)| count).sum();
        assert_eq!(increased, *store.commits.lock(), "no update is lost");
    };
    modelled(|| shuttle::check_random(body, RUNS));
}

fn is_found(protocol: Protocol) -> bool {
    let found = catch_unwind(AssertUnwindSafe(|| run(protocol))).is_err();
    // A run that failed did not come to the end of the model.
    modelled(|| ());
    found
}

#[test]
fn commits_on_the_same_keys_take_turns_and_never_wait_for_each_other_for_ever() {
    run(Protocol::Right);
}

#[test]
fn locks_that_are_taken_in_any_order_are_found_to_wait_for_ever() {
    assert!(is_found(Protocol::Unordered));
}

#[test]
fn locks_that_are_released_before_the_change_is_visible_are_found() {
    assert!(is_found(Protocol::ReleasedEarly));
}

#[test]
fn a_precondition_whose_key_is_not_locked_is_found() {
    assert!(is_found(Protocol::TestedUnlocked));
}
