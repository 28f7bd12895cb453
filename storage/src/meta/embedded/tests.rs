//! The engine on disks in memory that lose what was not synced.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use larder_erasure::Profile;
use parking_lot::Mutex;

use super::{Caller, Embedded, RecoveryReport, body::ViewValue};
use crate::{
    disk::{DiskOptions, MemoryVolume, OpenOptions, Volume, open_volumes},
    meta::{
        Change, Entry, Meta, MetaError, Precondition, Transaction,
        keys::HEAL,
        view::{MemoryView, View, ViewChange, ViewError, ViewSource},
    },
    rng::{Rng, SeededRng},
    stripes::{BlobPlacement, BlobReader, BlobWriter, FinishedBlob, Pool, PoolDisk, PoolOptions},
};

mod damage;
mod disks;
mod faults;
mod records;
mod tallies;

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

/// Four disks and a view that outlive the engines on them.
struct World {
    volumes: Vec<MemoryVolume>,
    views: Arc<Views>,
    options: OpenOptions,
    rng: SeededRng,
}

struct Running {
    engine: Arc<Embedded>,
    pool: Arc<Pool>,
    report: RecoveryReport,
}

impl World {
    fn new(seed: u64) -> Self {
        let volumes = (0..4)
            .map(|slot| MemoryVolume::new(format!("disk-{slot}"), 1 << 30))
            .collect();
        let disk = DiskOptions {
            segment_bytes: 64 << 10,
            ..DiskOptions::default()
        };
        let options = OpenOptions {
            disk,
            ..OpenOptions::default()
        };
        Self {
            volumes,
            views: Arc::default(),
            options,
            rng: SeededRng::new(seed),
        }
    }

    async fn open(&self) -> Running {
        let views = Arc::clone(&self.views) as Arc<dyn ViewSource>;
        self.open_with(self.dyn_volumes(), views).await
    }

    async fn open_on(&self, volumes: Vec<Arc<dyn Volume>>) -> Running {
        let views = Arc::clone(&self.views) as Arc<dyn ViewSource>;
        self.open_with(volumes, views).await
    }

    fn dyn_volumes(&self) -> Vec<Arc<dyn Volume>> {
        let volumes = self.volumes.iter().cloned();
        volumes
            .map(|volume| Arc::new(volume) as Arc<dyn Volume>)
            .collect()
    }

    async fn open_with(
        &self,
        volumes: Vec<Arc<dyn Volume>>,
        views: Arc<dyn ViewSource>,
    ) -> Running {
        let opened = open_volumes(volumes, &self.options, &self.rng).unwrap();
        let disks = opened.disks.into_iter().map(PoolDisk::from);
        let options = PoolOptions {
            profile: Profile::new(2, 2).unwrap(),
            blocking_threads: true,
        };
        let pool = Pool::new(disks.collect(), options);
        let (engine, report) = Embedded::open(
            Arc::clone(&pool),
            views,
            "cluster",
            tallies::weigh,
            Arc::new(|_| ()),
        )
        .await
        .unwrap();
        Running {
            engine,
            pool,
            report,
        }
    }

    /// What a power cut of the whole machine leaves.
    fn crash(&mut self) {
        self.volumes = self
            .volumes
            .iter()
            .map(|volume| volume.crash(&self.rng))
            .collect();
        let survivor = self.views.0.lock().after_power_cut();
        self.views = Arc::new(Views(Mutex::new(survivor)));
    }

    fn lose_view(&mut self) {
        self.views = Arc::default();
    }

    fn lose_disk(&mut self, slot: usize) {
        self.volumes[slot] = MemoryVolume::new(format!("new-{slot}"), 1 << 30);
    }
}

impl Running {
    fn close(self) {
        for disk in &self.pool.disks() {
            disk.disk.as_ref().unwrap().close();
        }
    }

    async fn put(&self, key: &str, value: &str) -> Result<(), MetaError> {
        let value = Some(Bytes::copy_from_slice(value.as_bytes()));
        let change = Change {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value,
        };
        self.engine
            .commit(Transaction {
                changes: vec![change],
                ..Transaction::default()
            })
            .await
            .map(|_| ())
    }

    async fn delete(&self, key: &str) {
        let change = Change {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: None,
        };
        self.engine
            .commit(Transaction {
                changes: vec![change],
                ..Transaction::default()
            })
            .await
            .unwrap();
    }

    /// Writes `body` as an inline blob under `key`, whose value is the placement alone.
    async fn put_blob(&self, key: &str, body: &[u8]) -> Result<(), MetaError> {
        let transaction = self.blob(key, body, self.pool.profile()).await?;
        self.engine.commit(transaction).await.map(|_| ())
    }

    async fn blob(
        &self,
        key: &str,
        body: &[u8],
        profile: Profile,
    ) -> Result<Transaction, MetaError> {
        let mut writer = BlobWriter::new(&self.pool, profile, Some(body.len() as u64))
            .map_err(|error| MetaError::Unavailable(error.to_string()))?;
        writer.write(Bytes::copy_from_slice(body)).await.unwrap();
        let FinishedBlob::Inline(inline) = writer.finish().await.unwrap() else {
            panic!("not inline")
        };
        let change = Change {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Some(Bytes::new()),
        };
        Ok(Transaction {
            changes: vec![change],
            inline: Some(inline),
            ..Transaction::default()
        })
    }

    async fn read_blob(&self, key: &str) -> Option<Vec<u8>> {
        let value = self.engine.get(key.as_bytes()).await.unwrap()?.value;
        let (placement, _) = BlobPlacement::decode(&value).unwrap();
        let size = placement.size;
        let mut reader = BlobReader::open(&self.pool, placement, 0..size).unwrap();
        let mut body = Vec::new();
        while let Some(bytes) = reader.next().await {
            body.extend_from_slice(&bytes.unwrap());
        }
        Some(body)
    }

    async fn contents(&self) -> BTreeMap<Bytes, Bytes> {
        let entries = self.engine.scan(b"a", b"z", usize::MAX).await.unwrap();
        entries
            .into_iter()
            .map(|Entry { key, value, .. }| (key, value))
            .collect()
    }
}

fn body(seed: u64) -> Vec<u8> {
    let rng = SeededRng::new(seed);
    (0..200 + seed % 3000)
        .map(|_| rng.next_u64().to_le_bytes()[0])
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_commits_survive_power_cuts() {
    for seed in 0..12 {
        let mut world = World::new(seed);
        let mut model = BTreeMap::new();
        for round in 0..4 {
            let running = world.open().await;
            let ids: Vec<u64> = (0..40).map(|_| world.rng.next_u64()).collect();
            let running_ref = &running;
            let put = |id: u64| async move {
                running_ref
                    .put_blob(&format!("k{}", id % 60), &body(id))
                    .await
            };
            let puts = ids.iter().map(|id| put(*id));
            // Concurrent puts of one key may land in any order: only distinct keys are modelled.
            for result in futures_util::future::join_all(puts).await {
                result.unwrap();
            }
            for id in &ids {
                let key = format!("k{}", id % 60);
                let found = running.read_blob(&key).await.unwrap();
                assert!(
                    ids.iter()
                        .any(|id| format!("k{}", id % 60) == key && body(*id) == found)
                );
                model.insert(key, found);
            }
            if round % 2 == 1 {
                running.engine.checkpoint().await.unwrap();
            }
            world.crash();
            if world.rng.next_u64().is_multiple_of(3) {
                world.lose_view();
            }
            let running = world.open().await;
            for (key, body) in &model {
                assert_eq!(
                    running.read_blob(key).await.as_ref(),
                    Some(body),
                    "seed {seed} key {key}"
                );
            }
            running.close();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_under_way_at_a_power_cut_are_whole_or_absent_and_stay_so() {
    for seed in 0..20 {
        let mut world = World::new(100 + seed);
        let running = world.open().await;
        let engine = Arc::new(running);
        let mut tasks = Vec::new();
        for id in 0..30_u64 {
            let running = Arc::clone(&engine);
            tasks.push(tokio::spawn(async move {
                running.put_blob(&format!("k{id}"), &body(id)).await
            }));
        }
        for _ in 0..world.rng.next_u64() % 40 {
            tokio::task::yield_now().await;
        }
        world.crash();
        let running = world.open().await;
        let mut seen = Vec::new();
        for id in 0..30 {
            let found = running.read_blob(&format!("k{id}")).await;
            assert!(
                found.is_none() || found == Some(body(id)),
                "seed {seed} k{id} is torn"
            );
            seen.push(found.is_some());
        }
        running.close();
        // What was seen is never lost, what was void never comes back, not even from the logs alone.
        world.crash();
        world.lose_view();
        let running = world.open().await;
        for id in 0..30 {
            let found = running.read_blob(&format!("k{id}")).await;
            assert_eq!(
                found.is_some(),
                seen[usize::try_from(id).unwrap()],
                "seed {seed} k{id}"
            );
        }
        for task in tasks {
            drop(task.await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_is_rebuilt_from_the_logs_with_the_same_contents() {
    let mut world = World::new(1);
    let running = world.open().await;
    for id in 0..300 {
        running
            .put(&format!("k{}", id % 90), &format!("value {id}"))
            .await
            .unwrap();
        if id % 7 == 0 {
            running.delete(&format!("k{}", (id * 13) % 90)).await;
        }
    }
    let before = running.contents().await;
    running.close();
    world.lose_view();
    let running = world.open().await;
    assert!(running.report.rebuilt);
    assert_eq!(running.contents().await, before);
    assert_eq!(running.report.void, 0);
}

/// Views that work until they are told to break; each that is opened is a new one.
#[derive(Debug, Default)]
struct BreakingViews(Mutex<Vec<Arc<BreakingView>>>);

#[derive(Debug, Default)]
struct BreakingView {
    view: MemoryView,
    is_broken: AtomicBool,
}

impl BreakingView {
    fn check(&self) -> Result<(), ViewError> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(ViewError("broken on purpose".to_owned()));
        }
        Ok(())
    }
}

impl View for BreakingView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        self.check().and_then(|()| self.view.get(key))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), ViewError> {
        self.check().and_then(|()| self.view.scan(from, to, visit))
    }

    fn apply(&self, changes: &[ViewChange]) -> Result<(), ViewError> {
        self.check().and_then(|()| self.view.apply(changes))
    }

    fn persist(&self) -> Result<(), ViewError> {
        self.check().and_then(|()| self.view.persist())
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}

impl ViewSource for BreakingViews {
    fn open(&self) -> Result<Arc<dyn View>, ViewError> {
        let view = Arc::new(BreakingView::default());
        self.0.lock().push(Arc::clone(&view));
        Ok(view)
    }

    fn wipe(&self) -> Result<(), ViewError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_fails_is_rebuilt_while_the_store_serves() {
    let world = World::new(31);
    let views = Arc::new(BreakingViews::default());
    let running = world
        .open_with(
            world.dyn_volumes(),
            Arc::clone(&views) as Arc<dyn ViewSource>,
        )
        .await;
    for id in 0..20 {
        running
            .put_blob(&format!("k{id}"), &body(id))
            .await
            .unwrap();
    }
    running.delete("k3").await;
    let before = running.contents().await;
    let last = Arc::clone(views.0.lock().last().unwrap());
    last.is_broken.store(true, Ordering::SeqCst);
    let refused = running.put("k20", "while it is broken").await;
    assert!(
        matches!(refused, Err(MetaError::Unavailable(_))),
        "{refused:?}"
    );
    running.engine.view_failed().await;
    let held = running.put("k21", "still").await;
    assert!(matches!(held, Err(MetaError::Unavailable(_))), "{held:?}");
    let source = Arc::clone(&views) as Arc<dyn ViewSource>;
    let report = running
        .engine
        .rebuild_view(source, Arc::new(|_| ()))
        .await
        .unwrap();
    assert!(report.rebuilt);
    let mut after = running.contents().await;
    // The outcome of what met the failure is open.
    after.remove(&b"k20"[..]);
    assert_eq!(after, before);
    running.put_blob("k1", &body(77)).await.unwrap();
    assert_eq!(running.read_blob("k1").await, Some(body(77)));
    running.close();
    let running = world.open().await;
    assert_eq!(running.read_blob("k1").await, Some(body(77)));
    assert_eq!(running.read_blob("k3").await, None);
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn any_two_of_four_disks_and_the_view_may_be_lost() {
    for (first, second) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
        let mut world = World::new(7);
        let running = world.open().await;
        for id in 0..25 {
            running
                .put_blob(&format!("k{id}"), &body(id))
                .await
                .unwrap();
        }
        running.close();
        world.lose_disk(first);
        world.lose_disk(second);
        world.lose_view();
        let running = world.open().await;
        for id in 0..25 {
            assert_eq!(
                running.read_blob(&format!("k{id}")).await,
                Some(body(id)),
                "without {first} and {second}"
            );
        }
        running.put_blob("knew", b"written after").await.unwrap();
        assert_eq!(running.read_blob("knew").await.unwrap(), b"written after");
    }
}

/// A placement whose form a later version brought: nothing here can move its shards.
#[tokio::test(flavor = "multi_thread")]
async fn reclaim_leaves_the_segments_of_what_it_can_not_read() {
    let world = World::new(5);
    let running = world.open().await;
    running.put_blob("later", &body(1)).await.unwrap();
    let view = running.engine.view.current().unwrap();
    let stored = view.get(b"later").unwrap().unwrap();
    let mut value = ViewValue::decode(&stored).unwrap();
    let mut record = value.value.take().unwrap().to_vec();
    let form_at = record.len() - value.placement_bytes;
    record[form_at] = 9;
    value.value = Some(record.clone().into());
    let change = ViewChange {
        key: Bytes::from_static(b"later"),
        value: Some(value.encode()),
    };
    view.apply(&[change]).unwrap();
    let mut refused = 0;
    for id in 0..400_u64 {
        running.put_blob("churned", &body(id)).await.unwrap();
        match running.engine.reclaim_once().await {
            Ok(_) => {}
            Err(MetaError::Corrupt(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0, "its segments are among the deadest");
    let segments = world.volumes.iter().flat_map(MemoryVolume::files);
    let first = segments.filter(|(path, _)| path == "log/00000001.seg");
    assert_eq!(first.count(), 4, "all its shards are still there");
    let segments = world.volumes.iter().flat_map(MemoryVolume::files);
    assert!(segments.count() < 60, "other segments got their turn");
    let found = running.engine.get(b"later").await.unwrap().unwrap();
    assert_eq!(found.value, record);
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn churn_levels_off_and_reclaim_loses_nothing() {
    let mut world = World::new(3);
    let running = world.open().await;
    let mut model = BTreeMap::new();
    let mut sizes = Vec::new();
    for id in 0..1500_u64 {
        let key = format!("k{}", id % 40);
        if id % 5 == 4 {
            running.delete(&key).await;
            model.remove(&key);
        } else {
            running.put_blob(&key, &body(id)).await.unwrap();
            model.insert(key, body(id));
        }
        if id % 100 == 99 {
            while running.engine.reclaim_once().await.unwrap().is_some() {}
            let files: usize = world
                .volumes
                .iter()
                .flat_map(|volume| volume.files().into_values())
                .map(|f| f.len())
                .sum();
            sizes.push(files);
        }
    }
    let live: usize = model.values().map(|body| body.len() * 2).sum();
    let limit = live * 3 / 2 + 4 * 3 * (64 << 10);
    assert!(
        *sizes.last().unwrap() <= limit,
        "{sizes:?} for {live} live bytes"
    );
    running.close();
    for lose_view in [false, true] {
        if lose_view {
            world.lose_view();
        }
        let running = world.open().await;
        for id in 0..40 {
            let key = format!("k{id}");
            assert_eq!(
                running.read_blob(&key).await.as_ref(),
                model.get(&key),
                "{key}"
            );
        }
        running.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_creations_one_wins() {
    let world = World::new(4);
    let running = Arc::new(world.open().await);
    let mut tasks = Vec::new();
    for id in 0..50 {
        let engine = Arc::clone(&running.engine);
        tasks.push(tokio::spawn(async move {
            let key = Bytes::from_static(b"only");
            let change = Change {
                key: key.clone(),
                value: Some(Bytes::from(format!("{id}"))),
            };
            let preconditions = vec![Precondition {
                key,
                revision: None,
            }];
            engine
                .commit(Transaction {
                    changes: vec![change],
                    preconditions,
                    ..Transaction::default()
                })
                .await
        }));
    }
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(MetaError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won, 1);
}

/// Else they would be made up for after the first sync, with a second one.
#[tokio::test(flavor = "multi_thread")]
async fn a_blob_on_fewer_disks_than_its_record_takes_the_further_copies_along() {
    let world = World::new(43);
    let running = world.open().await;
    for (data, parity) in [(1, 0), (2, 0), (1, 1), (2, 2)] {
        let profile = Profile::new(data, parity).unwrap();
        let transaction = running.blob("a", &body(7), profile).await.unwrap();
        let held = running.engine.lock(&transaction).await.unwrap();
        let appended = running.engine.append(transaction, held, Caller::Client);
        let mut pending = appended.unwrap();
        let on: BTreeSet<_> = pending.copies.iter().map(|(disk, _)| *disk).collect();
        assert_eq!((on.len(), pending.copies.len()), (3, 3), "{profile}");
        assert_eq!(pending.shards.len(), profile.total());
        pending.finish().await.unwrap();
        drop(pending);
        assert_eq!(running.read_blob("a").await, Some(body(7)), "{profile}");
    }
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_disk_missing_writes_are_queued_for_healing_and_with_two_refused() {
    let world = World::new(5);
    let running = world.open().await;
    running.put_blob("kfull", b"on all four").await.unwrap();
    running.pool.disks()[1].disk.as_ref().unwrap().close();
    // A closed disk refuses; the first commit that notices still succeeds.
    running.put_blob("kless", b"on three").await.unwrap();
    running.put_blob("kmore", b"on three, too").await.unwrap();
    assert_eq!(running.read_blob("kless").await.unwrap(), b"on three");
    assert_eq!(running.read_blob("kfull").await.unwrap(), b"on all four");
    let degraded = running.engine.scan(&[HEAL], &[HEAL + 1], 10).await.unwrap();
    assert!(
        degraded.iter().any(|entry| &entry.key[1..] == b"kmore"),
        "{degraded:?}"
    );
    running.pool.disks()[3].disk.as_ref().unwrap().close();
    assert!(matches!(
        running.put_blob("knone", b"on two").await,
        Err(MetaError::Unavailable(_))
    ));
    assert!(matches!(
        running.put("kmeta", "on two").await,
        Err(MetaError::Unavailable(_))
    ));
    assert_eq!(running.read_blob("kmore").await.unwrap(), b"on three, too");
    assert!(running.engine.get(b"knone").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_what_every_metadata_engine_promises() {
    crate::meta::conformance::run(|| async {
        let world = World::new(6);
        Arc::new(world.open().await.engine) as Arc<dyn Meta>
    })
    .await;
}
