//! Healing on disks in memory: after each round all is looked at physically.

mod levelling;
mod old;
mod room;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use larder_erasure::Profile;
use tokio::sync::Notify;

use super::{Audit, HealState, Healer};
use crate::{
    clock::{Clock, SystemClock},
    disk::{DiskOptions, MemoryVolume, OpenOptions, Volume, open_volumes},
    meta::{
        Meta,
        embedded::{Embedded, RecoveryReport},
        view::{MemoryView, View, ViewError, ViewSource},
    },
    objects::{
        BucketName, CreateBucket, ETag, Headers, ObjectAcl, ObjectKey, ObjectLock, PutObject,
        Store, Tags, WriteConditions,
    },
    rng::{Rng, SeededRng},
    stripes::{Pool, PoolDisk, PoolOptions, Role},
    upkeep::PaceSettings,
};

#[derive(Debug, Default)]
struct Views(parking_lot::Mutex<MemoryView>);

impl ViewSource for Views {
    fn open(&self) -> Result<Arc<dyn View>, ViewError> {
        Ok(Arc::new(self.0.lock().clone()))
    }

    fn wipe(&self) -> Result<(), ViewError> {
        *self.0.lock() = MemoryView::default();
        Ok(())
    }
}

/// Disks and a view that outlive the stores on them.
struct World {
    volumes: Vec<MemoryVolume>,
    views: Arc<Views>,
    profile: Profile,
    rng: Arc<SeededRng>,
}

struct Running {
    store: Store,
    engine: Arc<Embedded>,
    pool: Arc<Pool>,
    healer: Arc<Healer>,
}

fn volume(name: usize) -> MemoryVolume {
    MemoryVolume::new(format!("disk-{name}"), 1 << 30)
}

fn small_segments() -> OpenOptions {
    OpenOptions {
        disk: DiskOptions {
            segment_bytes: 64 << 10,
            ..DiskOptions::default()
        },
        ..OpenOptions::default()
    }
}

impl World {
    fn new(disks: usize, data: u8, parity: u8) -> Self {
        Self {
            volumes: (0..disks).map(volume).collect(),
            views: Arc::default(),
            profile: Profile::new(data, parity).unwrap(),
            rng: Arc::new(SeededRng::new(1)),
        }
    }

    async fn open(&self) -> Running {
        self.open_without(&[]).await
    }

    /// With the disks in some slots away.
    async fn open_without(&self, away: &[usize]) -> Running {
        let options = small_segments();
        let volumes = self.volumes.iter().cloned();
        let volumes = volumes.map(|volume| Arc::new(volume) as Arc<dyn Volume>);
        self.open_volumes(volumes.collect(), &options, away).await
    }

    async fn open_volumes(
        &self,
        volumes: Vec<Arc<dyn Volume>>,
        options: &OpenOptions,
        away: &[usize],
    ) -> Running {
        self.try_open(volumes, options, away).await.unwrap().0
    }

    async fn open_and_report(&self, away: &[usize]) -> (Running, RecoveryReport) {
        let volumes = self.volumes.iter().cloned();
        let volumes = volumes.map(|volume| Arc::new(volume) as Arc<dyn Volume>);
        let options = small_segments();
        let opened = self.try_open(volumes.collect(), &options, away).await;
        opened.unwrap()
    }

    /// `None` if the power goes out meanwhile.
    async fn try_open(
        &self,
        volumes: Vec<Arc<dyn Volume>>,
        options: &OpenOptions,
        away: &[usize],
    ) -> Option<(Running, RecoveryReport)> {
        let opened = open_volumes(volumes, options, &*self.rng).ok()?;
        let disks = opened.disks.into_iter().map(|slot| {
            let mut disk = PoolDisk::from(slot);
            if away.contains(&disk.slot) {
                disk.here().unwrap().close();
                disk.disk = Err("away".to_owned());
            }
            disk
        });
        let pool_options = PoolOptions {
            profile: self.profile,
            blocking_threads: true,
        };
        let pool = Pool::new(disks.collect(), pool_options);
        pool.set_inline_max(20_000);
        let views = Arc::clone(&self.views) as Arc<dyn ViewSource>;
        let opened = Embedded::open(
            Arc::clone(&pool),
            views,
            "c",
            crate::objects::weigh,
            Arc::new(|_| ()),
        )
        .await;
        let Ok((engine, report)) = opened else {
            pool.disks().here().for_each(|disk| disk.close());
            return None;
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rng: Arc<dyn Rng> = Arc::<SeededRng>::clone(&self.rng);
        let meta: Arc<dyn Meta> = Arc::new(Arc::clone(&engine));
        let store = Store::new(meta, Arc::clone(&pool), Arc::clone(&clock), rng, |_| {
            [0; 16]
        });
        let healer = Healer::new(Arc::clone(&engine), store.clone(), clock);
        let running = Running {
            store,
            engine,
            pool,
            healer,
        };
        Some((running, report))
    }

    fn empty(&mut self, slot: usize) {
        let name = self.volumes.len() + usize::try_from(self.rng.next_u64() % 1000).unwrap();
        self.volumes[slot] = volume(name);
    }

    fn lose_view(&mut self) {
        self.views = Arc::default();
    }
}

fn bucket() -> BucketName {
    BucketName::parse("bucket").unwrap()
}

fn body(seed: usize) -> Bytes {
    let rng = SeededRng::new(seed as u64);
    // Every fifth one is large: an extent.
    let size = if seed.is_multiple_of(5) {
        400_000
    } else {
        3000
    } + seed;
    (0..size).map(|_| rng.next_u64().to_le_bytes()[0]).collect()
}

impl Running {
    async fn create_bucket(&self) {
        let request = CreateBucket {
            region: "here".into(),
            ..CreateBucket::new(bucket())
        };
        self.store.create_bucket(request).await.unwrap();
    }

    async fn put(&self, key: &str, seed: usize) {
        let bytes = body(seed);
        let size = Some(bytes.len() as u64);
        let mut writer = self.store.blob_writer(&bucket(), size).await.unwrap();
        writer.write(bytes).await.unwrap();
        let request = PutObject {
            bucket: bucket(),
            key: ObjectKey::parse(key).unwrap(),
            blob: writer.finish().await.unwrap(),
            etag: ETag {
                md5: [0; 16],
                parts: 0,
            },
            checksum: None,
            headers: Headers::default(),
            tags: Tags::default(),
            conditions: WriteConditions::default(),
            lock: ObjectLock::default(),
            acl: ObjectAcl::default(),
        };
        self.store.put_object(request).await.unwrap();
    }

    async fn put_all(&self, count: usize) {
        for seed in 0..count {
            self.put(&format!("k{seed:03}"), seed).await;
        }
    }

    async fn delete(&self, key: &str) {
        let key = ObjectKey::parse(key).unwrap();
        let conditions = WriteConditions::default();
        self.store
            .delete_object(&bucket(), &key, conditions)
            .await
            .unwrap();
    }

    async fn read(&self, key: &str) -> Option<Bytes> {
        let key = ObjectKey::parse(key).unwrap();
        let handle = self.store.object(&bucket(), &key).await.ok()?;
        let mut reader = handle.read(0..handle.info().size).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = reader.next().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        Some(bytes.into())
    }

    async fn check_all(&self, count: usize) {
        for seed in 0..count {
            let key = format!("k{seed:03}");
            assert_eq!(self.read(&key).await, Some(body(seed)), "{key}");
        }
    }

    async fn heal(&self) {
        for _ in 0..20 {
            let round = self.healer.round().await.unwrap();
            if round.healed == 0 && round.restored_frames == 0 {
                assert_eq!(round.failed, 0, "{round:?}");
                return;
            }
        }
        panic!("healing does not come to an end");
    }

    async fn sweep(&self) {
        self.store.sweep_once(1000).await.unwrap();
    }

    async fn heal_and_audit(&self) {
        self.heal().await;
        self.sweep().await;
        assert_eq!(self.healer.audit().await.unwrap(), Audit::default());
    }

    fn close(self) {
        for disk in self.pool.disks().here() {
            disk.close();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_store_has_nothing_to_heal() {
    let world = World::new(4, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(12).await;
    let round = running.healer.round().await.unwrap();
    assert_eq!((round.healed, round.failed, round.waiting), (0, 0, 0));
    assert_eq!(running.healer.audit().await.unwrap(), Audit::default());
    assert_eq!(running.healer.status().state, HealState::Idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_disks_get_all_back_again_and_again() {
    for (disks, data, parity) in [(4, 2, 2), (6, 3, 2), (3, 2, 1)] {
        let mut world = World::new(disks, data, parity);
        let running = world.open().await;
        running.create_bucket().await;
        running.put_all(25).await;
        running.close();
        let losses = usize::from(parity);
        for round in 0..disks {
            for loss in 0..losses {
                world.empty((round + loss) % disks);
            }
            if round % 2 == 1 {
                world.lose_view();
            }
            let running = world.open().await;
            running.heal_and_audit().await;
            running.check_all(25).await;
            assert!(running.healer.status().degraded.is_empty());
            running.close();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_stays_so_whichever_disks_are_lost_later() {
    let mut world = World::new(4, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(20).await;
    running.engine.checkpoint().await.unwrap();
    for seed in 0..20 {
        running.delete(&format!("k{seed:03}")).await;
    }
    running.close();
    // Disk 3 alone keeps its log; all others are replaced, one after the other.
    for slot in 0..3 {
        world.empty(slot);
        let running = world.open().await;
        running.heal_and_audit().await;
        running.close();
    }
    world.lose_view();
    let running = world.open().await;
    for seed in 0..20 {
        assert_eq!(running.read(&format!("k{seed:03}")).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_away_is_brought_up_to_date() {
    let world = World::new(4, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(3).await;
    running.close();
    let running = world.open_without(&[1]).await;
    running.put_all(15).await;
    let round = running.healer.round().await.unwrap();
    assert!(round.failed == 0 && round.waiting >= 15, "{round:?}");
    let again = running.healer.round().await.unwrap();
    assert_eq!((again.healed, again.failed), (0, 0), "no disk is free");
    assert!(matches!(
        running.healer.status().state,
        HealState::Waiting(_)
    ));
    running.close();
    let running = world.open().await;
    running.heal_and_audit().await;
    let queue = running.engine.scan(b"h", b"i", 100).await.unwrap();
    assert_eq!(queue, [], "nothing is queued any more");
    running.check_all(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_disk_to_spare_shards_go_there_at_once() {
    let mut world = World::new(5, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(20).await;
    running.close();
    world.empty(2);
    let running = world.open().await;
    running.heal_and_audit().await;
    running.check_all(20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_reader_meets_is_healed() {
    let world = World::new(4, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(6).await;
    // Both extents: one loses a shard, of the other a byte is flipped.
    let mut extents = Vec::new();
    for volume in &world.volumes {
        let files = volume.files().into_keys();
        let mut files: Vec<_> = files.filter(|path| path.starts_with("extents/")).collect();
        files.sort();
        extents.push(files);
    }
    // Of any two neighbours one is hit, so that a data shard is.
    for (slot, files) in extents.iter().enumerate().step_by(2) {
        let disk = world.volumes[slot].clone();
        disk.tamper(&files[0], |bytes| bytes[70_000] ^= 1).unwrap();
        disk.tamper(&files[1], |bytes| bytes.truncate(1000))
            .unwrap();
    }
    assert!(!running.healer.audit().await.unwrap().is_clean());
    running.check_all(6).await;
    assert!(running.healer.queue_damaged().await);
    running.heal_and_audit().await;
    assert_eq!(running.engine.scan(b"h", b"i", 9).await.unwrap(), []);
    running.check_all(6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_told_and_holds_up_nothing() {
    let mut world = World::new(4, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(10).await;
    running.close();
    // Of blob 0 three shards are gone, and disk 3 is replaced.
    let mut removed = 0;
    for volume in world.volumes.iter().take(3) {
        let mut files: Vec<_> = volume.files().into_keys().collect();
        files.retain(|path| path.starts_with("extents/"));
        files.sort();
        volume.remove(&files[0]).unwrap();
        removed += 1;
    }
    assert_eq!(removed, 3);
    world.empty(3);
    let running = world.open().await;
    let round = running.healer.round().await.unwrap();
    assert!(round.healed > 0 && round.lost > 0, "{round:?}");
    let again = running.healer.round().await.unwrap();
    assert_eq!(again.healed, 0, "{again:?}");
    for seed in 1..10 {
        assert_eq!(running.read(&format!("k{seed:03}")).await, Some(body(seed)));
    }
    let status = running.healer.status();
    assert!(status.last_error.is_some());
    assert_eq!(status.lost.objects, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_and_pace_survive_a_restart() {
    let mut world = World::new(4, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(5).await;
    let pace = PaceSettings {
        share_percent: 7,
        max_bytes_per_second: Some(1 << 20),
    };
    running.healer.set_pace(pace).await.unwrap();
    running.healer.pause().await.unwrap();
    running.close();
    world.empty(0);
    let running = world.open().await;
    let round = running.healer.round().await.unwrap();
    assert!(round.paused && round.healed == 0, "{round:?}");
    assert_eq!(running.healer.pace(), pace);
    let fast = PaceSettings::default();
    running.healer.set_pace(fast).await.unwrap();
    running.healer.start().await.unwrap();
    running.heal_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_heals_by_itself_and_stops_when_told() {
    let mut world = World::new(4, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(10).await;
    running.close();
    world.empty(1);
    let running = world.open().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let healing = tokio::spawn(Arc::clone(&running.healer).run(stopped));
    running.healer.wake();
    let deadline = Duration::from_mins(1);
    let done = async {
        while running.healer.status().surveys < 2
            || running.healer.status().state != HealState::Idle
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(deadline, done).await.unwrap();
    stop.send_replace(true);
    healing.await.unwrap();
    let status = running.healer.status();
    assert!(status.healed_objects > 0, "{status:?}");
    assert_eq!(status.left, None::<Duration>);
    assert_eq!(running.healer.audit().await.unwrap(), Audit::default());
}

/// Whoever sleeps while it is shut sleeps until it is opened.
#[derive(Debug, Default)]
struct Gate {
    now: parking_lot::Mutex<Duration>,
    is_shut: AtomicBool,
    reached: Notify,
    opened: Notify,
}

impl Clock for Gate {
    fn unix_millis(&self) -> u64 {
        0
    }

    fn monotonic(&self) -> Duration {
        *self.now.lock()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if self.is_shut.load(Ordering::Relaxed) {
                self.reached.notify_one();
                self.opened.notified().await;
            }
            *self.now.lock() += duration;
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_through_the_logs_that_began_before_they_were_distrusted_proves_nothing() {
    let world = World::new(4, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(20).await;
    let gate = Arc::new(Gate::default());
    let clock = Arc::clone(&gate) as Arc<dyn Clock>;
    let healer = Healer::new(Arc::clone(&running.engine), running.store.clone(), clock);
    let slow = PaceSettings {
        max_bytes_per_second: Some(1),
        ..PaceSettings::default()
    };
    healer.set_pace(slow).await.unwrap();
    let disks: Vec<_> = running.pool.disks().iter().map(|d| d.number).collect();
    healer.distrust(&disks).await.unwrap();
    gate.is_shut.store(true, Ordering::Relaxed);
    let working = Arc::clone(&healer);
    let round = tokio::spawn(async move { working.round().await });
    gate.reached.notified().await;
    healer.distrust(&disks).await.unwrap();
    gate.is_shut.store(false, Ordering::Relaxed);
    gate.opened.notify_one();
    round.await.unwrap().unwrap();
    assert!(!healer.knows_all().await);
    healer.round().await.unwrap();
    assert!(healer.knows_all().await);
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_that_only_a_draining_disk_took_are_made_up_for_before_it_is_drained() {
    let world = World::new(5, 2, 2);
    let running = world.open().await;
    running.create_bucket().await;
    running.put_all(6).await;
    running
        .pool
        .change_disks(|disks| disks[3].role = Role::Draining);
    running.heal_and_audit().await;
    assert!(running.healer.knows_all().await);
    for slot in [0, 1] {
        running.pool.disks()[slot].here().unwrap().give_up("test");
    }
    running.delete("k001").await;
    assert!(!running.healer.knows_all().await, "on two disks that stay");
    running.healer.round().await.unwrap();
    assert!(!running.healer.knows_all().await, "there is no third");
    running.close();
    let running = world.open().await;
    running
        .pool
        .change_disks(|disks| disks[3].role = Role::Draining);
    assert!(
        !running.healer.knows_all().await,
        "of earlier processes nobody knows"
    );
    running.heal_and_audit().await;
    assert!(running.healer.knows_all().await);
    running.close();
}
