//! Levelling, beside disks that can't take part, and with a power cut at every sync.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::disk::{
    DiskNo, Health,
    fault::{Effect, Fault, FaultVolume, Operation},
};
use crate::stripes::Role;

/// Small enough for what these disks hold.
const LEAST_BYTES: u64 = 100_000;
const OBJECTS: usize = 30;
/// Two large ones and some small ones.
const FEW: usize = 9;

/// Disks of which the last came when the others had all the objects.
async fn uneven(disks: usize, objects: usize) -> World {
    let world = World::new(disks, 2, 2);
    let running = world.open_without(&[disks - 1]).await;
    running.create_bucket().await;
    running.put_all(objects).await;
    running.close();
    let running = world.open().await;
    running.healer.set_level_bytes(u64::MAX);
    running.heal_and_audit().await;
    running.close();
    world
}

/// Bytes of extents on each disk.
fn extents(volumes: &[MemoryVolume]) -> Vec<usize> {
    let of = |volume: &MemoryVolume| {
        let files = volume.files().into_iter();
        let files = files.filter(|(path, _)| path.starts_with("extents/"));
        files.map(|(_, bytes)| bytes.len()).sum()
    };
    volumes.iter().map(of).collect()
}

impl Running {
    async fn level(&self) -> u64 {
        self.healer.set_level_bytes(LEAST_BYTES);
        let mut moved = 0;
        for _ in 0..20 {
            let round = self.healer.round().await.unwrap();
            assert_eq!((round.failed, round.lost), (0, 0), "{round:?}");
            if round.moved == 0 && round.healed == 0 {
                return moved;
            }
            moved += round.moved;
        }
        panic!("levelling does not come to an end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_whole_after_levelling_and_it_comes_to_an_end() {
    let world = uneven(5, OBJECTS).await;
    let before = extents(&world.volumes);
    let running = world.open().await;
    assert!(running.level().await > 0);
    running.heal_and_audit().await;
    running.check_all(OBJECTS).await;
    assert_eq!(running.healer.status().left_to_move_bytes, 0);
    assert_eq!(running.healer.status().state, HealState::Idle);
    assert_eq!(running.level().await, 0);
    let after = extents(&world.volumes);
    assert!(before[4] == 0 && after[4] > 0, "{before:?} {after:?}");
    assert_eq!(before.iter().sum::<usize>(), after.iter().sum::<usize>());
}

#[tokio::test(flavor = "multi_thread")]
async fn disks_that_are_drained_away_or_full_get_nothing_and_hold_up_nothing() {
    let world = uneven(7, OBJECTS).await;
    room::leave_free(&world.volumes[2], 50_000);
    let running = world.open_without(&[1]).await;
    assert_eq!(running.pool.disks()[2].health(), Health::Full);
    running.pool.change_disks(|disks| {
        for disk in disks.iter_mut().filter(|disk| disk.number == DiskNo(0)) {
            disk.role = Role::Draining;
        }
    });
    let before = extents(&world.volumes);
    running.level().await;
    running.check_all(OBJECTS).await;
    running.sweep().await;
    let after = extents(&world.volumes);
    assert!(after[6] > 0, "{before:?} {after:?}");
    assert_eq!(after[0], 0, "drained: {before:?} {after:?}");
    assert!(
        after[1] == before[1] && after[2] <= before[2],
        "{before:?} {after:?}"
    );
    running.close();
    let running = world.open().await;
    running.heal_and_audit().await;
    running.check_all(OBJECTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_at_any_sync_of_a_move_loses_and_leaks_nothing() {
    let base = uneven(5, FEW).await;
    let (mut cut, mut is_over) = (0, false);
    while !is_over {
        let volumes: Vec<_> = base.volumes.iter().map(MemoryVolume::after_kill).collect();
        let mut world = World {
            volumes,
            views: Arc::default(),
            profile: base.profile,
            rng: Arc::new(SeededRng::new(cut)),
        };
        let faulty: Vec<_> = world
            .volumes
            .iter()
            .cloned()
            .map(FaultVolume::new)
            .collect();
        let shared = faulty
            .iter()
            .map(|volume| Arc::new(volume.clone()) as Arc<dyn Volume>);
        let running = world
            .open_volumes(shared.collect(), &small_segments(), &[])
            .await;
        running.healer.set_level_bytes(LEAST_BYTES);
        let syncs = cut_at_sync(&faulty, cut);
        let round = tokio::time::timeout(Duration::from_mins(1), running.healer.round()).await;
        let round = round.expect("no round outlives its disks");
        is_over = syncs.load(Ordering::SeqCst) <= cut;
        assert!(!is_over || round.unwrap().moved > 1);
        running.close();
        world.volumes = world
            .volumes
            .iter()
            .map(|volume| volume.crash(&*world.rng))
            .collect();
        let running = world.open().await;
        running.check_all(FEW).await;
        running.level().await;
        running.heal_and_audit().await;
        running.check_all(FEW).await;
        running.close();
        for slot in [cut % 5, (cut + 2) % 5] {
            world.empty(usize::try_from(slot).unwrap());
        }
        let running = world.open().await;
        running.check_all(FEW).await;
        running.close();
        cut += 1;
    }
    assert!(cut > 20, "{cut} syncs are no moves");
}

/// After `cut` more syncs of any of the disks, all of them lose power. The syncs so far.
pub(super) fn cut_at_sync(volumes: &[FaultVolume<MemoryVolume>], cut: u64) -> Arc<AtomicU64> {
    let syncs = Arc::new(AtomicU64::new(0));
    for volume in volumes {
        let (all, count) = (volumes.to_vec(), Arc::clone(&syncs));
        let hook = move || {
            if count.fetch_add(1, Ordering::SeqCst) == cut {
                for volume in &all {
                    volume.stop();
                }
            }
        };
        volume.inject(Fault {
            operation: Operation::Sync,
            path: "",
            after: 0,
            times: u64::MAX,
            effect: Effect::Hook(Arc::new(hook)),
        });
    }
    syncs
}
