//! What has to wait for room, and goes on by itself when there is some.

use super::*;
use crate::{
    disk::{DiskNo, Health},
    stripes::Role,
};

const OBJECTS: usize = 12;
/// With so many large ones that a drain does not fit into what is left.
const MANY: usize = 100;
const LARGE_BYTES: u64 = 1 << 30;
const RESERVE_BYTES: u64 = 1 << 20;

impl World {
    async fn open_with_reserve(&self) -> Running {
        let mut options = small_segments();
        options.disk.reserve_bytes = Some(RESERVE_BYTES);
        let volumes = self.volumes.iter().cloned();
        let volumes = volumes.map(|volume| Arc::new(volume) as Arc<dyn Volume>);
        self.open_volumes(volumes.collect(), &options, &[]).await
    }
}

/// Shrinks a disk to what is on it and so many bytes more.
pub(super) fn leave_free(volume: &MemoryVolume, bytes: u64) {
    let used: usize = volume.files().values().map(Vec::len).sum();
    volume.set_total_bytes(used as u64 + bytes);
}

/// Resolves when the loop says so.
async fn until(running: &Running, what: &str, is_so: impl Fn(&HealState) -> bool) {
    let seen = async {
        while !is_so(&running.healer.status().state) {
            tokio::task::yield_now().await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(30), seen).await;
    assert!(seen.is_ok(), "{what}: {:?}", running.healer.status());
}

fn is_full(running: &Running, slot: usize) -> bool {
    running.pool.disks()[slot].health() == Health::Full
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_room_is_healed_as_soon_as_the_disk_has_some() {
    let world = World::new(4, 2, 2);
    let running = world.open_with_reserve().await;
    running.create_bucket().await;
    leave_free(&world.volumes[3], RESERVE_BYTES / 2);
    running.close();
    let running = world.open_with_reserve().await;
    assert!(is_full(&running, 3));
    running.put_all(OBJECTS).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let healing = tokio::spawn(Arc::clone(&running.healer).run(stopped));
    let waits = |state: &HealState| matches!(state, HealState::Waiting(why) if why.contains("room on disk 3"));
    until(&running, "waiting", waits).await;
    running.check_all(OBJECTS).await;
    world.volumes[3].set_total_bytes(LARGE_BYTES);
    until(&running, "healed", |state| *state == HealState::Idle).await;
    stop.send_replace(true);
    healing.await.unwrap();
    assert_eq!(running.healer.audit().await.unwrap(), Audit::default());
    running.check_all(OBJECTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_runs_out_of_room_says_so_and_goes_on_when_there_is_some() {
    let world = World::new(5, 2, 2);
    let running = world.open_with_reserve().await;
    running.create_bucket().await;
    running.put_all(MANY).await;
    for volume in &world.volumes[1..] {
        leave_free(volume, RESERVE_BYTES + 100_000);
    }
    running.close();
    let running = world.open_with_reserve().await;
    running.pool.change_disks(|disks| {
        for disk in disks.iter_mut().filter(|disk| disk.number == DiskNo(0)) {
            disk.role = Role::Draining;
        }
    });
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let healing = tokio::spawn(Arc::clone(&running.healer).run(stopped));
    let waits = |state: &HealState| matches!(state, HealState::Waiting(why) if why.contains("room on disk"));
    until(&running, "waiting", waits).await;
    running.check_all(MANY).await;
    for volume in &world.volumes[1..] {
        volume.set_total_bytes(LARGE_BYTES);
    }
    until(&running, "drained", |state| *state == HealState::Idle).await;
    stop.send_replace(true);
    healing.await.unwrap();
    running.sweep().await;
    let left = world.volumes[0].files().into_keys();
    let left: Vec<_> = left.filter(|path| path.starts_with("extents/")).collect();
    assert_eq!(left, Vec::<String>::new());
    running.check_all(MANY).await;
}
