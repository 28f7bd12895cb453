//! Commits on disks that hang, fill up or fall behind.

use std::time::Duration;

use super::*;
use crate::disk::fault::{FaultVolume, Hang};

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
    for hang in hangs.iter().cloned() {
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
