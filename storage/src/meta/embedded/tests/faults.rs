//! Commits on disks that hang, fill up or fall behind.

use std::time::Duration;

use super::*;
use crate::disk::{
    Health,
    fault::{FaultVolume, Hang, ManualClock},
};

struct Faulty {
    world: World,
    faults: Vec<FaultVolume<MemoryVolume>>,
}

impl Faulty {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let faults = world.volumes.iter().cloned().map(FaultVolume::new);
        Self {
            faults: faults.collect(),
            world,
        }
    }

    /// Opens the disks once nothing of an earlier life may land on them any more.
    async fn open(&self) -> Arc<Running> {
        for volume in &self.faults {
            while volume.lock().is_err() {
                tokio::task::yield_now().await;
            }
        }
        let volumes = self.faults.iter();
        let volumes = volumes.map(|volume| Arc::new(volume.clone()) as Arc<dyn Volume>);
        Arc::new(self.world.open_on(volumes.collect()).await)
    }
}

/// Gives the disks in `slots` up once they hang.
async fn give_up(running: &Running, slots: &[usize], hangs: &[Hang]) {
    for hang in hangs {
        let hang = hang.clone();
        tokio::task::spawn_blocking(move || hang.wait_for(1))
            .await
            .unwrap();
    }
    for slot in slots {
        running.pool.disks()[*slot]
            .disk
            .as_ref()
            .unwrap()
            .give_up("test");
    }
    running.pool.look_after(Duration::MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_go_on_without_a_disk_that_hangs_and_it_comes_back_whole() {
    for slot in 0..4 {
        let mut faulty = Faulty::new(20 + slot as u64);
        let running = faulty.open().await;
        running.put_blob("kbefore", &body(1)).await.unwrap();
        let hang = faulty.faults[slot].hang();
        let commits: Vec<_> = (0..20_u64)
            .map(|id| {
                let running = Arc::clone(&running);
                tokio::spawn(async move { running.put_blob(&format!("k{id}"), &body(id)).await })
            })
            .collect();
        give_up(&running, &[slot], std::slice::from_ref(&hang)).await;
        for commit in commits {
            commit.await.unwrap().unwrap();
        }
        running.put_blob("kafter", &body(2)).await.unwrap();
        running.delete("kbefore").await;
        let degraded = running
            .engine
            .scan(&[HEAL], &[HEAL + 1], 100)
            .await
            .unwrap();
        assert_eq!(degraded.len(), 21, "all but the first lack a shard");
        running.engine.checkpoint().await.unwrap();
        running.pool.close().await;
        drop(running);
        hang.release();
        faulty.faults[slot].heal();
        for lose_view in [false, true] {
            if lose_view {
                faulty.world.lose_view();
            }
            let running = faulty.open().await;
            for id in 0..20 {
                assert_eq!(
                    running.read_blob(&format!("k{id}")).await,
                    Some(body(id)),
                    "slot {slot}"
                );
            }
            assert_eq!(running.read_blob("kafter").await, Some(body(2)));
            assert_eq!(
                running.read_blob("kbefore").await,
                None,
                "its deletion was acknowledged"
            );
            running.pool.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_hanging_disks_commits_are_refused_at_once_and_stay_whole_or_absent() {
    let mut faulty = Faulty::new(30);
    let running = faulty.open().await;
    running.put_blob("kold", &body(1)).await.unwrap();
    let hangs = [faulty.faults[0].hang(), faulty.faults[3].hang()];
    let commit = {
        let running = Arc::clone(&running);
        tokio::spawn(async move { running.put_blob("kold", &body(2)).await })
    };
    give_up(&running, &[0, 3], &hangs).await;
    let refused = commit.await.unwrap();
    assert!(
        matches!(refused, Err(MetaError::Unavailable(_))),
        "{refused:?}"
    );
    assert_eq!(running.read_blob("kold").await, Some(body(1)));
    running.pool.close().await;
    drop(running);
    hangs.iter().for_each(Hang::release);
    faulty.faults.iter().for_each(FaultVolume::heal);
    let running = faulty.open().await;
    let found = running.read_blob("kold").await;
    assert!(found == Some(body(1)) || found == Some(body(2)));
    running.pool.close().await;
    drop(running);
    faulty.world.lose_view();
    let running = faulty.open().await;
    assert_eq!(
        running.read_blob("kold").await,
        found,
        "what was settled stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_holds_commits_back_and_memory_stays_bounded() {
    const LIMIT: u64 = 20_000;
    let faulty = Faulty::new(40);
    let running = faulty.open().await;
    running.engine.set_max_pending(LIMIT);
    let hang = faulty.faults[1].hang();
    let slow = Arc::clone(running.pool.disks()[1].disk.as_ref().unwrap());
    // Clients that go away leave commits behind that nobody counts: the queue alone bounds them.
    let mut largest = 0;
    for id in 0..200_u64 {
        let running = Arc::clone(&running);
        let commit =
            tokio::spawn(async move { running.put_blob(&format!("k{id}"), &[7; 4000]).await });
        tokio::task::yield_now().await;
        if id % 2 == 0 {
            commit.abort();
        }
        largest = largest.max(slow.pending_bytes());
    }
    let waiting = hang.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for(1))
        .await
        .unwrap();
    while slow.pending_bytes() <= LIMIT {
        tokio::task::yield_now().await;
    }
    // As many as were on their way past the check may overshoot: one for each thread.
    assert!(
        slow.pending_bytes() < LIMIT + 32 * 3000,
        "{} bytes",
        slow.pending_bytes()
    );
    let late = {
        let running = Arc::clone(&running);
        tokio::spawn(async move { running.put("klate", "waits").await })
    };
    tokio::task::yield_now().await;
    assert!(!late.is_finished(), "it waits");
    hang.release();
    late.await.unwrap().unwrap();
    while slow.pending_bytes() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_silent_disk_commits_are_turned_away() {
    let mut faulty = Faulty::new(41);
    let clock = Arc::new(ManualClock::default());
    faulty.world.options.clock = Arc::clone(&clock) as _;
    let running = faulty.open().await;
    running.engine.set_max_pending(0);
    let hang = faulty.faults[1].hang();
    let first = {
        let running = Arc::clone(&running);
        tokio::spawn(async move { running.put_blob("kfirst", &body(1)).await })
    };
    let waiting = hang.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for(1))
        .await
        .unwrap();
    let second = {
        let running = Arc::clone(&running);
        tokio::spawn(async move { running.put("ksecond", "turned away").await })
    };
    clock.advance(Duration::from_secs(2));
    while !second.is_finished() {
        running.pool.look_after(Duration::from_secs(30));
        tokio::task::yield_now().await;
    }
    let refused = second.await.unwrap();
    assert!(
        matches!(refused, Err(MetaError::Overloaded(_))),
        "{refused:?}"
    );
    hang.release();
    first.await.unwrap().unwrap();
    assert!(running.engine.get(b"ksecond").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_turns_full_gets_no_shard_and_none_is_claimed_to_be_there() {
    let mut faulty = Faulty::new(42);
    let clock = Arc::new(ManualClock::default());
    faulty.world.options.disk.reserve_bytes = Some(1 << 20);
    faulty.world.options.clock = Arc::clone(&clock) as _;
    let running = faulty.open().await;
    running.put_blob("kbefore", &body(1)).await.unwrap();
    faulty.world.volumes[2].set_total_bytes(1 << 20);
    let full = running.pool.disks()[2].clone();
    let disk = full.disk.as_ref().unwrap();
    // The free space is looked at once a second.
    clock.advance(Duration::from_secs(2));
    disk.space();
    assert_eq!(disk.health(), Health::Full);
    running.put_blob("kafter", &body(2)).await.unwrap();
    let value = running.engine.get(b"kafter").await.unwrap().unwrap().value;
    let (placement, _) = BlobPlacement::decode(&value).unwrap();
    assert_eq!(placement.missing_shards(), 1);
    assert!(
        placement
            .shards
            .iter()
            .all(|place| place.disk() != Some(full.number))
    );
    let queued = running.engine.scan(&[HEAL], &[HEAL + 1], 10).await.unwrap();
    assert_eq!(queued.len(), 1);
    assert_eq!(running.read_blob("kafter").await, Some(body(2)));
    running.delete("kbefore").await;
    faulty.world.volumes[3].set_total_bytes(1 << 20);
    let disk = running.pool.disks()[3].clone().disk.unwrap();
    // The free space is looked at once a second.
    clock.advance(Duration::from_secs(2));
    disk.space();
    assert_eq!(disk.health(), Health::Full);
    let refused = running.put_blob("knone", &body(3)).await;
    assert!(refused.is_err(), "{refused:?}");
    running.delete("kafter").await;
    assert_eq!(running.read_blob("kafter").await, None);
}

/// A commit whose frame is in a sealed segment, and which has not come into the view yet: one disk is slow with its own.
#[tokio::test(flavor = "multi_thread")]
async fn reclaim_takes_nothing_away_from_a_commit_under_way() {
    let faulty = Faulty::new(43);
    let running = faulty.open().await;
    let churn = |count: u64| {
        let running = Arc::clone(&running);
        async move {
            for id in 0..count {
                running.put_blob("kchurned", &body(id)).await.unwrap();
            }
        }
    };
    // Most of the segment that is written now is dead.
    churn(30).await;
    let hang = faulty.faults[3].hang();
    let under_way = |key: String, body: Vec<u8>| {
        let running = Arc::clone(&running);
        tokio::spawn(async move { running.put_blob(&key, &body).await })
    };
    let late = under_way("klate".into(), body(77));
    let sealed = |slot: usize| {
        let disks = running.pool.disks();
        let disk = disks[slot].disk.as_ref().unwrap();
        disk.segments()
            .unwrap()
            .iter()
            .filter(|s| !s.active)
            .count()
    };
    let before = sealed(0);
    let mut filling = Vec::new();
    while sealed(0) == before {
        filling.push(under_way(format!("kfill{}", filling.len()), body(2999)));
        tokio::task::yield_now().await;
    }
    let slow = Arc::clone(running.pool.disks()[3].disk.as_ref().unwrap());
    let queued = slow.pending_bytes();
    let engine = Arc::clone(&running.engine);
    let reclaim = tokio::spawn(async move { engine.reclaim_once().await });
    // Where reclaim does not wait for the commits under way it moves what it takes for all that is alive.
    for _ in 0..20_000 {
        if slow.pending_bytes() > queued {
            break;
        }
        tokio::task::yield_now().await;
    }
    hang.release();
    late.await.unwrap().unwrap();
    for filled in filling {
        filled.await.unwrap().unwrap();
    }
    reclaim.await.unwrap().unwrap();
    while running.engine.reclaim_once().await.unwrap().is_some() {}
    assert_eq!(running.read_blob("klate").await, Some(body(77)));
    assert_eq!(
        running.pool.damaged_reads(),
        0,
        "each of its shards is where its record says"
    );
}
