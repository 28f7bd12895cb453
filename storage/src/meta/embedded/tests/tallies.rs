//! What is counted beside the rows is what the rows weigh, whatever happens to the view.

use futures_util::future::join_all;

use super::*;
use crate::meta::tally::{Limit, Limited, OverLimit, Tally, Weight};

/// A key `w`, a digit, and more is a row of the digit's group, as large as its value says.
pub(super) fn weigh(key: &[u8], value: &[u8]) -> Option<Weight> {
    let [b'w', digit, ..] = key else { return None };
    let tally = Tally {
        objects: 1,
        bytes: std::str::from_utf8(value).ok()?.parse().ok()?,
        delete_markers: 0,
    };
    let group = u64::from(*digit);
    Some(Weight { group, tally })
}

const GROUPS: [u8; 3] = *b"012";

async fn check(running: &Running) {
    for digit in GROUPS {
        let from = [b'w', digit];
        let to = [b'w', digit + 1];
        let rows = running.engine.scan(&from, &to, usize::MAX).await.unwrap();
        let mut expected = Tally::default();
        for row in rows {
            let weight = weigh(&row.key, &row.value).unwrap();
            expected.objects += 1;
            expected.bytes += weight.tally.bytes;
        }
        assert_eq!(running.engine.tally(u64::from(digit)), expected);
    }
}

fn change(key: &str, bytes: Option<u64>) -> Change {
    Change {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: bytes.map(|bytes| Bytes::from(bytes.to_string())),
    }
}

fn transaction(changes: Vec<Change>) -> Transaction {
    Transaction {
        changes,
        ..Transaction::default()
    }
}

/// Some rows come, change and go, several at a time, some of them in one commit with those of another group.
async fn churn(running: &Running, rng: &SeededRng) {
    let draw = |below: u64| rng.next_u64() % below;
    for _ in 0..30 {
        let commits = (0..8).map(|_| {
            let name = |digit: u64| format!("w{}{}", digit, draw(12));
            let bytes = |draw: u64| (draw > 1).then_some(draw * 1000);
            let first = draw(3);
            let mut changes = vec![change(&name(first), bytes(draw(9)))];
            if draw(4) == 0 {
                changes.push(change(&name((first + 1) % 3), bytes(draw(9))));
            }
            running.engine.commit(transaction(changes))
        });
        for committed in join_all(commits.collect::<Vec<_>>()).await {
            committed.unwrap();
        }
    }
}

#[tokio::test]
async fn tallies_are_what_the_rows_weigh_after_whatever_happens_to_the_view() {
    for seed in 0..6 {
        let mut world = World::new(seed);
        for round in 0..5 {
            let running = world.open().await;
            check(&running).await;
            churn(&running, &world.rng).await;
            check(&running).await;
            if round % 2 == 0 {
                running.engine.checkpoint().await.unwrap();
                churn(&running, &world.rng).await;
            }
            match (seed + round) % 3 {
                0 => running.close(),
                1 => world.crash(),
                _ => {
                    running.close();
                    world.lose_view();
                }
            }
        }
        check(&world.open().await).await;
    }
}

fn limited(key: &str, bytes: u64, max_objects: u64, max_bytes: u64) -> Transaction {
    Transaction {
        limits: vec![Limit {
            of: "group",
            groups: [u64::from(b'0'), u64::from(b'1')].into(),
            max_objects: Some(max_objects),
            max_bytes: Some(max_bytes),
        }],
        ..transaction(vec![change(key, Some(bytes))])
    }
}

#[tokio::test]
async fn however_many_write_at_once_a_limit_is_used_up_and_not_passed() {
    let world = World::new(1);
    let running = world.open().await;
    for round in 0..10 {
        let commits = (0..40).map(|at| {
            let key = format!("w{}{round}-{at}", at % 2);
            let (engine, objects) = (Arc::clone(&running.engine), (round + 1) * 7);
            async move { engine.commit(limited(&key, 5, objects, u64::MAX)).await }
        });
        let done = join_all(commits.map(tokio::spawn).collect::<Vec<_>>()).await;
        let done: Vec<_> = done.into_iter().map(Result::unwrap).collect();
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 7);
        for refused in done.into_iter().filter_map(Result::err) {
            let MetaError::OverLimit(over) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(over.what, Limited::Objects);
        }
        check(&running).await;
    }
}

#[tokio::test]
async fn a_limit_is_no_bar_to_what_adds_nothing() {
    let world = World::new(2);
    let running = world.open().await;
    let commit = |transaction| running.engine.commit(transaction);
    commit(limited("w0a", 60, 2, 100)).await.unwrap();
    commit(limited("w1b", 40, 2, 100)).await.unwrap();
    let over = commit(limited("w0a", 61, 2, 100)).await;
    let expected = OverLimit {
        of: "group",
        what: Limited::Bytes,
        would_be: 101,
        limit: 100,
    };
    assert!(matches!(over, Err(MetaError::OverLimit(over)) if over == expected));
    commit(limited("w0a", 60, 2, 100)).await.unwrap();
    // The limit came later, and is passed already.
    commit(limited("w0a", 50, 1, 10)).await.unwrap();
    commit(transaction(vec![change("w1b", None)]))
        .await
        .unwrap();
    commit(limited("w0a", 100, 1, 100)).await.unwrap();
    // What is not in its groups does not concern it.
    commit(limited("w2c", 1000, 1, 100)).await.unwrap();
    check(&running).await;
}
