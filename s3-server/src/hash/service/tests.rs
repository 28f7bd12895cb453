use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::*;

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("runtime")
}

fn body(seed: usize, len: usize) -> Bytes {
    (0..len)
        .map(|i| ((i * 31) ^ (i >> 8) ^ (seed * 7)).to_le_bytes()[0])
        .collect()
}

async fn hash(lanes: Md5Lanes, data: Bytes, pieces: Vec<usize>) -> [u8; 16] {
    let mut stream = Md5Stream::new(&lanes);
    let mut rest = data;
    let mut sizes = pieces.into_iter().cycle();
    while !rest.is_empty() {
        let take = sizes.next().unwrap_or(1).clamp(1, rest.len());
        stream.update(rest.split_to(take)).await;
    }
    stream.finish().await
}

/// Hashes all bodies at once and compares each with the plain hasher.
fn check(level: Level, bodies: &[(usize, Vec<usize>)]) -> Md5Lanes {
    let lanes = Md5Lanes::with_level(level).expect("worker");
    runtime().block_on(async {
        let mut tasks = JoinSet::new();
        for (i, (len, pieces)) in bodies.iter().cloned().enumerate() {
            let (data, lanes) = (body(i, len), lanes.clone());
            let expected = Md5::digest(&data);
            tasks.spawn(async move { (i, hash(lanes, data, pieces).await, expected) });
        }
        while let Some(done) = tasks.join_next().await {
            let (i, got, expected) = done.expect("task");
            assert_eq!(got, expected, "body {i} of {bodies:?}");
        }
    });
    lanes
}

#[test]
fn one_body_of_any_size_hashes_right() {
    for len in [
        0,
        1,
        55,
        56,
        63,
        64,
        65,
        INLINE_BYTES,
        INLINE_BYTES + 1,
        3 * WINDOW_BYTES + 17,
    ] {
        check(Level::best(), &[(len, vec![64 * 1024])]);
        check(Level::best(), &[(len, vec![1000, 1, 77])]);
    }
}

#[test]
fn many_unequal_bodies_hash_right_on_every_level_and_share_lanes() {
    for level in Level::available() {
        let bodies: Vec<_> = (0..40)
            .map(|i| (50_000 * i + i, vec![65_536, 10_000 + i, 100 * i + 1]))
            .collect();
        // Whether two bodies are open at the same moment is up to the scheduler: one run in a few is enough.
        let shares = (0..20).any(|_| check(level, &bodies).hashed_bytes().1 > 0);
        assert!(shares, "{level:?}: no bytes in shared lanes");
    }
}

#[test]
fn a_piece_larger_than_the_window_is_taken() {
    check(
        Level::best(),
        &[
            (5 * WINDOW_BYTES, vec![4 * WINDOW_BYTES]),
            (WINDOW_BYTES, vec![7]),
        ],
    );
}

#[test]
fn a_stalled_body_holds_nobody_up() {
    let lanes = Md5Lanes::new().expect("worker");
    runtime().block_on(async {
        let mut stalled = Md5Stream::new(&lanes);
        stalled.update(body(1, INLINE_BYTES + 100)).await;
        let data = body(2, 4 * WINDOW_BYTES);
        let expected = Md5::digest(&data);
        assert_eq!(hash(lanes.clone(), data, vec![30_000]).await, expected);
        let expected = Md5::digest(&body(1, INLINE_BYTES + 100));
        assert_eq!(stalled.finish().await, expected);
    });
}

#[test]
fn a_dropped_body_holds_nobody_up_and_the_worker_ends() {
    let lanes = Md5Lanes::new().expect("worker");
    let shared = Arc::downgrade(&lanes.0.0);
    runtime().block_on(async {
        for _ in 0..20 {
            let mut dropped = Md5Stream::new(&lanes);
            dropped.update(body(1, INLINE_BYTES + 100)).await;
            dropped.update(body(1, WINDOW_BYTES)).await;
        }
        let data = body(2, WINDOW_BYTES);
        let expected = Md5::digest(&data);
        assert_eq!(hash(lanes.clone(), data, vec![30_000]).await, expected);
    });
    drop(lanes);
    while shared.strong_count() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_full_window_makes_its_owner_wait() {
    let mut queue = Queue {
        open: 2,
        ..Queue::default()
    };
    assert!(!queue.should_start());
    queue.ready.push_back(Arc::default());
    assert!(
        !queue.should_start(),
        "another open body may still fill a lane"
    );
    queue.urgent = 1;
    assert!(queue.should_start(), "someone waits");
    queue.urgent = 0;
    queue.open = 1;
    assert!(queue.should_start(), "it is the only one");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn random_bodies_in_random_pieces_hash_right(bodies in proptest::collection::vec(
        (0_usize..600_000, proptest::collection::vec(1_usize..150_000, 1..5)), 1..24,
    )) {
        check(Level::best(), &bodies);
    }
}
