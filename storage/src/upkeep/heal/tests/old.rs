//! Disks that come back as they were at an earlier time: restored from a snapshot, or copied back.

use std::sync::atomic::Ordering;

use super::{levelling::cut_at_sync, *};
use crate::disk::{DiskNo, fault::FaultVolume};

const OBJECTS: usize = 15;

impl Running {
    async fn checkpoint_and_close(self) {
        self.engine.checkpoint().await.unwrap();
        self.close();
    }

    /// Rewrites segments until none is worth it.
    async fn reclaim_all(&self) {
        while self.engine.reclaim_once().await.unwrap().is_some() {}
    }

    /// Heals, and rewrites what disks that came back old have of their past.
    async fn bring_up_to_date(&self) {
        self.heal().await;
        self.reclaim_all().await;
        self.heal_and_audit().await;
        self.engine.checkpoint().await.unwrap();
        assert!(self.engine.outdated_disks().is_empty());
    }

    async fn check_gone(&self, seeds: std::ops::Range<usize>) {
        for seed in seeds {
            let key = format!("k{seed:03}");
            assert_eq!(self.read(&key).await, None, "{key} is back");
        }
    }

    async fn check_these(&self, seeds: std::ops::Range<usize>) {
        for seed in seeds {
            let key = format!("k{seed:03}");
            assert_eq!(self.read(&key).await, Some(body(seed)), "{key}");
        }
    }
}

/// A store whose objects below 5 were deleted, and many others written, since the image of disk 1 was taken.
async fn aged() -> (World, MemoryVolume) {
    let world = World::new(4, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(OBJECTS).await;
    running.heal_and_audit().await;
    running.checkpoint_and_close().await;
    let image = world.volumes[1].after_kill();
    let running = world.open().await;
    for seed in 0..5 {
        running.delete(&format!("k{seed:03}")).await;
    }
    for seed in OBJECTS..3 * OBJECTS {
        running.put(&format!("k{seed:03}"), seed).await;
    }
    running.checkpoint_and_close().await;
    (world, image)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_comes_back_old_is_named_and_brought_up_to_date_by_itself() {
    for lose_view in [false, true] {
        let (mut world, image) = aged().await;
        world.volumes[1] = image;
        if lose_view {
            world.lose_view();
        }
        let (running, report) = world.open_and_report(&[]).await;
        let named: Vec<_> = report.old_disks.iter().map(|old| old.disk).collect();
        assert_eq!(named, [DiskNo(1)], "{report:?}");
        let old = &report.old_disks[0];
        assert!(old.found < old.expected, "{old:?}");
        assert_eq!(Vec::from_iter(running.engine.outdated_disks()), [DiskNo(1)]);
        running.check_gone(0..5).await;
        running.check_these(5..3 * OBJECTS).await;
        // Nothing lands in a segment that lost records may name.
        let numbers = running.pool.disk(DiskNo(1)).unwrap().segments().unwrap();
        let numbers: Vec<u32> = numbers.iter().map(|segment| segment.number).collect();
        let is_expected = |number: &u32| *number <= old.found.0 || *number > old.expected.0;
        assert!(numbers.iter().all(is_expected), "{numbers:?} {old:?}");
        running.bring_up_to_date().await;
        running.checkpoint_and_close().await;
        let (running, report) = world.open_and_report(&[]).await;
        assert_eq!(report.old_disks, []);
        running.close();
        // All that it has is as good as what the others have.
        world.empty(0);
        world.empty(2);
        world.lose_view();
        let running = world.open().await;
        running.check_gone(0..5).await;
        running.check_these(5..3 * OBJECTS).await;
        running.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_and_forgotten_does_not_come_back_with_an_old_disk() {
    let (mut world, image) = aged().await;
    let running = world.open().await;
    // Until no log has the deletions any more.
    for round in 0..30 {
        for seed in 5..3 * OBJECTS {
            running.put(&format!("k{seed:03}"), seed).await;
        }
        running.reclaim_all().await;
        let gone = |volume: &MemoryVolume| !volume.files().contains_key("log/00000001.seg");
        if world.volumes.iter().all(gone) && round > 10 {
            break;
        }
    }
    running.checkpoint_and_close().await;
    world.volumes[1] = image;
    world.lose_view();
    let (running, report) = world.open_and_report(&[]).await;
    assert_eq!(report.old_disks.len(), 1);
    running.check_gone(0..5).await;
    running.check_these(5..3 * OBJECTS).await;
    running.bring_up_to_date().await;
    running.checkpoint_and_close().await;
    // Its past is gone for good.
    world.lose_view();
    let (running, report) = world.open_and_report(&[]).await;
    assert_eq!(report.old_disks, []);
    running.check_gone(0..5).await;
    running.check_these(5..3 * OBJECTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_only_away_or_killed_or_crashed_is_none_that_came_back_old() {
    let mut world = World::new(4, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(OBJECTS).await;
    running.checkpoint_and_close().await;
    let (running, report) = world.open_and_report(&[2]).await;
    assert_eq!(report.old_disks, []);
    for seed in OBJECTS..2 * OBJECTS {
        running.put(&format!("k{seed:03}"), seed).await;
    }
    running.checkpoint_and_close().await;
    for round in 0..20 {
        world.rng = Arc::new(SeededRng::new(round));
        let (running, report) = world.open_and_report(&[]).await;
        assert_eq!(report.old_disks, [], "round {round}");
        running.put_all(4).await;
        if round % 3 == 0 {
            running.engine.checkpoint().await.unwrap();
        }
        if round % 4 == 0 {
            running.reclaim_all().await;
        }
        running.put("last", 7).await;
        running.close();
        let crash = |volume: &MemoryVolume| volume.crash(&*world.rng);
        world.volumes = world.volumes.iter().map(crash).collect();
        if round % 2 == 0 {
            world.lose_view();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_at_any_sync_while_an_old_disk_is_taken_back_forgets_nothing() {
    let (base, image) = aged().await;
    let (mut cut, mut is_over) = (0, false);
    while !is_over {
        let mut world = World {
            volumes: base.volumes.iter().map(MemoryVolume::after_kill).collect(),
            views: Arc::default(),
            profile: base.profile,
            rng: Arc::new(SeededRng::new(cut)),
        };
        world.volumes[1] = image.after_kill();
        let faulty: Vec<_> = world
            .volumes
            .iter()
            .cloned()
            .map(FaultVolume::new)
            .collect();
        let shared = faulty
            .iter()
            .map(|volume| Arc::new(volume.clone()) as Arc<dyn Volume>);
        let shared = shared.collect();
        let syncs = cut_at_sync(&faulty, cut);
        if let Some((running, _)) = world.try_open(shared, &small_segments(), &[]).await {
            let round = running.healer.round();
            let round = tokio::time::timeout(Duration::from_mins(1), round).await;
            drop(round.expect("no round outlives its disks"));
            drop(running.engine.reclaim_once().await);
            running.close();
        }
        is_over = syncs.load(Ordering::SeqCst) <= cut;
        world.volumes = world
            .volumes
            .iter()
            .map(|volume| volume.crash(&*world.rng))
            .collect();
        world.lose_view();
        let running = world.open().await;
        running.check_gone(0..5).await;
        running.bring_up_to_date().await;
        running.checkpoint_and_close().await;
        world.empty(0);
        world.empty(3);
        world.lose_view();
        let running = world.open().await;
        running.check_gone(0..5).await;
        running.check_these(5..3 * OBJECTS).await;
        running.close();
        cut += 1 + cut / 8;
    }
    assert!(cut > 20, "{cut}");
}
