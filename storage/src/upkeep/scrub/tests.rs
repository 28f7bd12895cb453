//! Passes over disks in memory that rot.

use bytes::Bytes;
use larder_erasure::Profile;

use super::*;
use crate::{
    disk::{
        BlobId, Disk, DiskOptions, MemoryVolume, OpenOptions, Volume, extent_path,
        fault::ManualClock, open_volumes,
    },
    meta::{
        keys::HEAL,
        view::{MemoryView, View, ViewError, ViewSource},
    },
    objects::{
        BucketName, CompletePart, CompleteUpload, CreateBucket, CreateUpload, ETag, FinishedBody,
        Headers, ObjectAcl, ObjectKey, ObjectLock, PartNumber, PutObject, PutPart, StoreOptions,
        Tags, UploadId, WriteConditions,
    },
    rng::SeededRng,
    stripes::{PoolDisk, PoolOptions},
    upkeep::{VerifyOutcome, VerifyStep, heal::Healer},
};

const SMALL: usize = 3000;
const LARGE: usize = 300_000;

#[derive(Debug, Default)]
struct Views(Mutex<MemoryView>);

impl ViewSource for Views {
    fn open(&self) -> Result<Arc<dyn View>, ViewError> {
        Ok(Arc::new(self.0.lock().clone()))
    }

    fn wipe(&self) -> Result<(), ViewError> {
        *self.0.lock() = MemoryView::default();
        Ok(())
    }
}

struct World {
    volumes: Vec<MemoryVolume>,
    views: Arc<Views>,
    clock: Arc<ManualClock>,
}

struct Running {
    store: Store,
    engine: Arc<Embedded>,
    pool: Arc<Pool>,
    scrub: Arc<Scrub>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        clock.advance(Duration::from_hours(1000));
        let volume = |slot| MemoryVolume::new(format!("disk-{slot}"), 1 << 30);
        Self {
            volumes: (0..4).map(volume).collect(),
            views: Arc::default(),
            clock,
        }
    }

    async fn open(&self) -> Running {
        let volumes = self.volumes.iter().cloned();
        let volumes: Vec<_> = volumes.map(|v| Arc::new(v) as Arc<dyn Volume>).collect();
        let options = OpenOptions {
            disk: DiskOptions {
                segment_bytes: 64 << 10,
                ..DiskOptions::default()
            },
            ..OpenOptions::default()
        };
        let rng = Arc::new(SeededRng::new(1));
        let opened = open_volumes(volumes, &options, &*rng).unwrap();
        let disks = opened.disks.into_iter().map(PoolDisk::from);
        let options = PoolOptions {
            profile: Profile::new(2, 2).unwrap(),
            blocking_threads: true,
        };
        let pool = Pool::new(disks.collect(), options);
        pool.set_inline_max(10_000);
        let views = Arc::clone(&self.views) as Arc<dyn ViewSource>;
        let opened = Embedded::open(
            Arc::clone(&pool),
            views,
            "c",
            crate::objects::weigh,
            Arc::new(|_| ()),
        )
        .await;
        let (engine, _) = opened.unwrap();
        let meta: Arc<dyn Meta> = Arc::new(Arc::clone(&engine));
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let store = Store::new(meta, Arc::clone(&pool), Arc::clone(&clock), rng, |_| {
            [0; 16]
        });
        let store = store.with_options(StoreOptions {
            min_part_bytes: 1,
            ..StoreOptions::default()
        });
        let scrub = Scrub::new(
            Arc::clone(&engine),
            store.clone(),
            Arc::clone(&pool),
            clock,
            ScrubSettings::default(),
        );
        Running {
            store,
            engine,
            pool,
            scrub,
        }
    }

    /// Flips a bit in the middle of the first place where `what` is on a disk; false if it is not there.
    fn rot(&self, slot: usize, what: &[u8]) -> bool {
        let volume = &self.volumes[slot];
        for (path, content) in volume.files() {
            let at = content.windows(what.len()).position(|bytes| bytes == what);
            if let Some(at) = at {
                volume
                    .tamper(&path, |bytes| bytes[at + what.len() / 2] ^= 4)
                    .unwrap();
                return true;
            }
        }
        false
    }
}

fn bucket() -> BucketName {
    BucketName::parse("bucket").unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::parse(name).unwrap()
}

fn etag() -> ETag {
    ETag {
        md5: [0; 16],
        parts: 0,
    }
}

/// Bytes of which no run of eight occurs twice.
fn body(seed: u64, length: usize) -> Vec<u8> {
    let rng = SeededRng::new(seed);
    let mut bytes = Vec::new();
    while bytes.len() < length {
        bytes.extend(crate::rng::Rng::next_u64(&rng).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

impl Running {
    async fn create_bucket(&self) {
        let request = CreateBucket::new(bucket());
        self.store.create_bucket(request).await.unwrap();
    }

    async fn blob(&self, body: Vec<u8>) -> FinishedBody {
        let size = Some(body.len() as u64);
        let mut writer = self.store.blob_writer(&bucket(), size).await.unwrap();
        writer.write(body.into()).await.unwrap();
        writer.finish().await.unwrap()
    }

    async fn put(&self, name: &str, body: Vec<u8>) {
        let request = PutObject {
            bucket: bucket(),
            key: key(name),
            blob: self.blob(body).await,
            etag: etag(),
            checksum: None,
            headers: Headers::default(),
            tags: Tags::default(),
            conditions: WriteConditions::default(),
            lock: ObjectLock::default(),
            acl: ObjectAcl::default(),
        };
        self.store.put_object(request).await.unwrap();
    }

    async fn upload(&self, name: &str, parts: Vec<Vec<u8>>) -> UploadId {
        let request = CreateUpload {
            encryption: None,
            bucket: bucket(),
            key: key(name),
            checksum: None,
            headers: Headers::default(),
            tags: Tags::default(),
            lock: ObjectLock::default(),
            acl: ObjectAcl::default(),
        };
        let upload = self.store.create_upload(request).await.unwrap();
        for (number, body) in (1..).zip(parts) {
            let request = PutPart {
                bucket: bucket(),
                key: key(name),
                upload,
                number: PartNumber::new(number).unwrap(),
                blob: self.blob(body).await,
                etag: etag(),
                checksum: None,
                default_checksum: None,
            };
            self.store.put_part(request).await.unwrap();
        }
        upload
    }

    async fn complete(&self, name: &str, upload: UploadId, parts: u32) {
        let part = |number| CompletePart {
            number: PartNumber::new(number).unwrap(),
            etag: etag(),
            checksum: None,
        };
        let request = CompleteUpload {
            bucket: bucket(),
            key: key(name),
            upload,
            parts: (1..=parts).map(part).collect(),
            expected_size: None,
            checksum: None,
            conditions: WriteConditions::default(),
        };
        self.store
            .complete_upload(request, &|_, _| None)
            .await
            .unwrap();
    }

    async fn read(&self, name: &str) -> Vec<u8> {
        let handle = self.store.object(&bucket(), &key(name)).await.unwrap();
        let mut reader = handle.read(0..handle.info().size).await.unwrap();
        let mut body = Vec::new();
        while let Some(bytes) = reader.next().await {
            body.extend_from_slice(&bytes.unwrap());
        }
        body
    }

    /// A pass; what it found, of all disks.
    async fn pass(&self) -> Totals {
        let before = self.scrub.state.lock().totals;
        self.scrub.recall().await.unwrap();
        self.scrub.pass().await.unwrap();
        let after = self.scrub.state.lock().totals;
        Totals {
            bytes: after.bytes - before.bytes,
            damage: after.damage - before.damage,
            leaks: after.leaks - before.leaks,
            passes: after.passes - before.passes,
        }
    }

    /// Keys queued for healing, without the prefix.
    async fn queued(&self) -> Vec<Bytes> {
        let entries = self.engine.scan(&[HEAL], &[HEAL + 1], 100).await.unwrap();
        entries.iter().map(|entry| entry.key.slice(1..)).collect()
    }

    async fn queued_names(&self) -> Vec<String> {
        let queued = self.queued().await;
        let name = |key: &Bytes| String::from_utf8_lossy(&key[9..]).into_owned();
        queued.iter().map(name).collect()
    }

    fn disk(&self, slot: usize) -> Arc<dyn Disk> {
        Arc::clone(self.pool.disks()[slot].here().unwrap())
    }

    fn leave_extent(&self, slot: usize, blob: BlobId) {
        let mut writer = self.disk(slot).create_extent(blob, 1).unwrap();
        writer.append(b"left by a crash").unwrap();
        writer.finish().unwrap();
    }

    async fn fill(&self) {
        self.create_bucket().await;
        for id in 0..20 {
            self.put(&format!("small-{id:02}"), body(id, SMALL)).await;
        }
        self.put("large", body(100, LARGE)).await;
        let parts = vec![body(101, LARGE), body(102, SMALL), body(103, LARGE)];
        let upload = self.upload("parts", parts).await;
        self.complete("parts", upload, 3).await;
        self.upload("open", vec![body(104, LARGE)]).await;
    }

    fn close(self) {
        self.pool
            .disks()
            .iter()
            .for_each(|disk| disk.here().unwrap().close());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_disks_are_read_and_nothing_is_found() {
    let world = World::new();
    let running = world.open().await;
    running.fill().await;
    // Dead frames and dead extents are no damage either.
    running.put("small-00", body(7, LARGE)).await;
    running.put("large", body(8, SMALL)).await;
    let stored: usize = world
        .volumes
        .iter()
        .flat_map(MemoryVolume::files)
        .filter(|(path, _)| path.starts_with("log/") || path.starts_with("extents/"))
        .map(|(_, content)| content.len())
        .sum();
    let found = running.pass().await;
    assert_eq!((found.damage, found.leaks, found.passes), (0, 0, 1));
    let read = usize::try_from(found.bytes).unwrap();
    // The garbage is not read; headers of segments are no frames.
    let dead = 2 * LARGE + 8000;
    assert!(
        read <= stored && read + dead >= stored,
        "{read} of {stored}"
    );
    let status = running.scrub.status().await.unwrap();
    assert_eq!(status.pass, None);
    for disk in status.disks {
        let last = disk.last.unwrap();
        assert!(last.bytes > 0 && last.damage == 0 && last.ended_unix_millis > 0);
    }
    let buckets = running.scrub.buckets(10).await.unwrap();
    let last = buckets[0].last.unwrap();
    let of_objects = 20 * SMALL + LARGE + 2 * LARGE + SMALL;
    assert_eq!((buckets.len(), last.damage), (1, 0));
    assert_eq!(last.bytes, of_objects as u64);
    assert_eq!(running.queued().await, Vec::<Bytes>::new());
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn rot_in_an_extent_queues_its_object_and_is_counted_where_it_is() {
    let world = World::new();
    let running = world.open().await;
    running.fill().await;
    assert!((0..4).any(|slot| world.rot(slot, &body(100, LARGE)[40_000..40_100])));
    let found = running.pass().await;
    assert_eq!((found.damage, found.leaks), (1, 0));
    assert_eq!(running.queued_names().await, ["large"]);
    let status = running.scrub.status().await.unwrap();
    let damage: Vec<u64> = status
        .disks
        .iter()
        .map(|d| d.last.unwrap().damage)
        .collect();
    assert_eq!(damage.iter().sum::<u64>(), 1);
    let buckets = running.scrub.buckets(10).await.unwrap();
    assert_eq!(buckets[0].last.unwrap().damage, 1);
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extent_that_is_gone_queues_its_part() {
    let world = World::new();
    let running = world.open().await;
    running.fill().await;
    let mut removed = 0;
    for slot in 0..4 {
        let disk = running.disk(slot);
        for (blob, shard) in disk.extents().unwrap() {
            let file = &world.volumes[slot].files()[&extent_path(blob, shard)];
            if file.starts_with(&body(101, LARGE)[..1000]) {
                disk.remove_extent(blob, shard).unwrap();
                removed += 1;
            }
        }
    }
    assert_eq!(removed, 1);
    assert_eq!(running.pass().await.damage, 1);
    let queued = running.queued().await;
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0][0], b'p');
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pass_finds_rotten_is_healed_and_the_next_pass_finds_nothing() {
    let world = World::new();
    let running = world.open().await;
    running.fill().await;
    let rotten = [
        &body(100, LARGE)[40_000..40_100],
        &body(5, SMALL)[100..140],
        &body(101, LARGE)[..1000],
    ];
    for what in rotten {
        assert!((0..4).any(|slot| world.rot(slot, what)));
    }
    assert_eq!(running.pass().await.damage, 3);
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let healer = Healer::new(Arc::clone(&running.engine), running.store.clone(), clock);
    let round = healer.round().await.unwrap();
    assert_eq!((round.healed, round.failed, round.lost), (3, 0, 0));
    assert_eq!(running.queued().await, Vec::<Bytes>::new());
    assert_eq!(running.pass().await.damage, 0);
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn rot_in_a_shard_in_the_log_queues_its_object() {
    let world = World::new();
    let running = world.open().await;
    running.fill().await;
    // Data of a shard: in one place on one disk.
    let hit = (0..4).filter(|slot| world.rot(*slot, &body(5, SMALL)[100..140]));
    assert_eq!(hit.count(), 1);
    assert_eq!(running.pass().await.damage, 1);
    assert_eq!(running.queued_names().await, ["small-05"]);
    assert_eq!(running.read("small-05").await, body(5, SMALL));
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotten_copy_of_a_record_is_written_anew() {
    let world = World::new();
    let running = world.open().await;
    running.fill().await;
    let rotten = (0..4).filter(|slot| world.rot(*slot, b"small-07")).count();
    assert!(
        rotten >= 3,
        "copies on m+1 disks, and a key beside the shard"
    );
    assert!(running.pass().await.damage >= 3);
    // With all its copies and keys rotten, nothing but the view knew of it.
    let found = running.pass().await;
    assert_eq!(found.damage, 0, "it was written anew");
    assert_eq!(running.read("small-07").await, body(7, SMALL));
    running.close();
    let again = World {
        views: Arc::default(),
        ..world
    };
    let running = again.open().await;
    assert_eq!(running.read("small-07").await, body(7, SMALL));
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_gone_is_noticed() {
    let world = World::new();
    let running = world.open().await;
    running.fill().await;
    let mut paths = world.volumes[2].files().into_keys();
    let path = paths.find(|path| path.starts_with("log/0")).unwrap();
    Volume::remove(&world.volumes[2], &path).unwrap();
    let found = running.pass().await;
    assert!(found.damage >= 15, "{found:?}");
    let queued = running.queued().await;
    assert!(queued.len() >= 15, "{}", queued.len());
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn extents_that_no_record_names_are_removed_and_no_others() {
    let world = World::new();
    let running = world.open().await;
    running.fill().await;
    running.leave_extent(0, BlobId(5));
    running.leave_extent(3, BlobId(5));
    running.leave_extent(1, BlobId(0xffff));
    // Not yet finished when the pass begins, or of a future process.
    let writing = running.pool.oldest_in_flight();
    running.leave_extent(2, writing);
    let before: Vec<_> = (0..4)
        .map(|slot| running.disk(slot).extents().unwrap().len())
        .collect();
    assert_eq!(running.pass().await.leaks, 3);
    let after: Vec<_> = (0..4)
        .map(|slot| running.disk(slot).extents().unwrap().len())
        .collect();
    let gone: Vec<_> = before.iter().zip(&after).map(|(b, a)| b - a).collect();
    assert_eq!(gone, [1, 1, 0, 1]);
    for (name, wanted) in [("large", body(100, LARGE)), ("small-00", body(0, SMALL))] {
        assert_eq!(running.read(name).await, wanted);
    }
    let parts = [body(101, LARGE), body(102, SMALL), body(103, LARGE)].concat();
    assert_eq!(running.read("parts").await, parts);
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_out_is_not_called_verified_and_not_damaged() {
    let world = World::new();
    let running = world.open().await;
    running.fill().await;
    running.disk(1).give_up("test");
    let found = running.pass().await;
    assert_eq!(found.damage, 0);
    let status = running.scrub.status().await.unwrap();
    let verified: Vec<bool> = status.disks.iter().map(|d| d.last.is_some()).collect();
    assert_eq!(verified, [true, false, true, true]);
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_goes_on_where_it_was_after_a_restart() {
    let world = World::new();
    let running = world.open().await;
    running.fill().await;
    running.scrub.recall().await.unwrap();
    let turn = {
        let mut state = running.scrub.state.lock();
        state.memory.last_started_unix_millis = 77;
        state.memory.pass = Some(Pass {
            started_unix_millis: 77,
            stage: Stage::Objects,
            ..Pass::default()
        });
        let pass = state.memory.pass.as_mut().unwrap();
        tally(pass, DiskNo(0)).bytes = 1 << 40;
        state.turn
    };
    running.scrub.breathe(turn).await.unwrap();
    running.scrub.pause().await.unwrap();
    running.close();
    let running = world.open().await;
    running.scrub.recall().await.unwrap();
    assert!(!running.scrub.is_due(), "it is paused still");
    let status = running.scrub.status().await.unwrap();
    assert_eq!(status.state, ScrubState::Paused);
    running.scrub.start(false).await.unwrap();
    assert!(running.scrub.is_due());
    running.pass().await;
    let status = running.scrub.status().await.unwrap();
    let last = status.disks[0].last.unwrap();
    assert_eq!(last.started_unix_millis, 77);
    assert!(last.bytes > 1 << 40, "what was read before counts");
    let rest = status.disks[1].last.unwrap().bytes;
    assert!(rest < 6 * LARGE as u64, "the logs were not read again");
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_are_due_in_time() {
    let world = World::new();
    let running = world.open().await;
    running.scrub.recall().await.unwrap();
    assert!(running.scrub.is_due(), "never read");
    running.pass().await;
    assert!(!running.scrub.is_due());
    world.clock.advance(Duration::from_hours(10 * 24));
    assert!(!running.scrub.is_due());
    world.clock.advance(Duration::from_hours(24));
    assert!(running.scrub.is_due(), "three quarters of 14 days");
    running.pass().await;
    running.scrub.start(true).await.unwrap();
    assert!(running.scrub.is_due() && !running.scrub.is_idle());
    running.close();
}

/// What a verification says of each object that is not whole, and how many it looked at.
async fn verify(running: &Running, prefix: &str) -> (usize, Vec<(String, VerifyOutcome)>) {
    let begun = running.scrub.verify(&bucket(), prefix, true).await;
    let (mut verification, total) = begun.unwrap();
    let (mut objects, mut bytes, mut found) = (0, 0, Vec::new());
    while let Some(step) = verification.next().await.unwrap() {
        match step {
            VerifyStep::Read { data_bytes, .. } => bytes += data_bytes,
            VerifyStep::Object(object) => {
                objects += 1;
                if object.outcome != VerifyOutcome::Whole {
                    found.push((object.key, object.outcome));
                }
            }
        }
    }
    assert_eq!((total.objects, total.bytes), (objects, bytes));
    (usize::try_from(objects).unwrap(), found)
}

#[tokio::test(flavor = "multi_thread")]
async fn verifying_a_prefix_tells_whole_from_degraded_from_unreadable() {
    let world = World::new();
    let running = world.open().await;
    running.fill().await;
    assert_eq!(verify(&running, "").await, (22, vec![]));
    assert_eq!(verify(&running, "small-1").await, (10, vec![]));
    assert_eq!(verify(&running, "nothing").await, (0, vec![]));
    // One shard of an object in the log, one of a part: both can be read.
    for (seed, length) in [(3, SMALL), (103, LARGE)] {
        assert!((0..4).any(|slot| world.rot(slot, &body(seed, length)[200..240])));
    }
    let one = VerifyOutcome::Degraded { shards: 1 };
    let (objects, found) = verify(&running, "").await;
    let wanted = [
        ("parts".to_owned(), one.clone()),
        ("small-03".to_owned(), one),
    ];
    assert_eq!((objects, &found[..]), (22, &wanted[..]));
    assert_eq!(running.queued().await.len(), 2, "and they are queued");
    // Three of four disks lose their extents.
    for slot in 0..3 {
        for (blob, shard) in running.disk(slot).extents().unwrap() {
            running.disk(slot).remove_extent(blob, shard).unwrap();
        }
    }
    let (_, found) = verify(&running, "").await;
    let lost = |(_, outcome): &&(String, VerifyOutcome)| {
        matches!(outcome, VerifyOutcome::Unreadable { .. })
    };
    let lost: Vec<&str> = found.iter().filter(lost).map(|(key, _)| &key[..]).collect();
    assert_eq!(lost, ["large", "parts"]);
    running.close();
}
