//! Object lock on real directories: through crashes, the loss of as many disks as may be, and a clock that is set back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "test; the fixture has what other tests use"
)]

#[path = "fixture/mod.rs"]
mod fixture;

use std::{
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fixture::{bucket, data_dirs, digest, key};
use larder_storage::{
    clock::{Clock, SystemClock},
    disk::{DiskOptions, OpenOptions},
    meta::view::Engine,
    objects::{
        BucketLock, CreateBucket, DefaultRetention, Governance, Headers, Retention, RetentionMode,
        RetentionPeriod, StoreError, Tags, VersionId, WriteConditions,
    },
    open::{DEFAULT_DISK_TIMEOUT, OpenSettings, Storage, open},
    rng::SystemRng,
};

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// The machine's clock, but for a wall clock that is as far behind as it is told.
#[derive(Debug, Default)]
struct SkewedClock {
    behind_millis: AtomicU64,
}

impl Clock for SkewedClock {
    fn unix_millis(&self) -> u64 {
        SystemClock.unix_millis() - self.behind_millis.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move { SystemClock.sleep(duration).await })
    }
}

async fn open_at(root: &Path, behind_millis: u64) -> Storage {
    let disk = DiskOptions {
        segment_bytes: 64 << 10,
        reserve_bytes: Some(0),
    };
    let settings = OpenSettings {
        data: data_dirs(root),
        profile: None,
        engine: Engine::Fjall,
        view_dir: Some(root.join("view")),
        disks: OpenOptions {
            disk,
            ..OpenOptions::default()
        },
        disk_timeout: DEFAULT_DISK_TIMEOUT,
        md5: digest,
    };
    let clock = Arc::new(SkewedClock {
        behind_millis: AtomicU64::new(behind_millis),
    });
    open(settings, clock, Arc::new(SystemRng), Arc::new(|_| ()))
        .await
        .unwrap()
}

async fn put(storage: &Storage, name: &str) {
    let (headers, tags) = (Headers::default(), Tags::default());
    fixture::put(storage.store(), name, 700_000, headers, tags).await;
}

/// The only version of `name`.
async fn retention(storage: &Storage, name: &str) -> (VersionId, Retention) {
    let found = storage.store().object(&bucket(), &key(name)).await.unwrap();
    let info = found.info();
    (info.version.unwrap(), info.lock.retention.unwrap())
}

async fn is_locked(storage: &Storage, name: &str) {
    let (id, _) = retention(storage, name).await;
    let (bucket, key, none) = (bucket(), key(name), WriteConditions::default());
    let deleted = storage
        .store()
        .delete_version(&bucket, &key, Some(id), none, Governance::Bypassed)
        .await;
    assert!(matches!(deleted, Err(StoreError::Locked)), "{deleted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_and_the_time_they_are_counted_from_outlive_a_crash_two_disks_and_the_clock() {
    let root = tempfile::tempdir().unwrap();
    for dir in data_dirs(root.path()) {
        std::fs::create_dir_all(dir).unwrap();
    }
    let storage = open_at(root.path(), 0).await;
    let rule = DefaultRetention {
        mode: RetentionMode::Compliance,
        period: RetentionPeriod::Days(1),
    };
    let create = CreateBucket {
        lock: Some(BucketLock {
            default_retention: Some(rule),
        }),
        ..CreateBucket::new(bucket())
    };
    let created = SystemClock.unix_millis();
    storage.store().create_bucket(create).await.unwrap();
    put(&storage, "before").await;
    let (_, before) = retention(&storage, "before").await;
    assert!(before.until_unix_millis >= created + DAY_MILLIS);
    // A crash: nothing is closed. Two of four disks are gone, and the view; the clock is a year behind.
    drop(storage);
    for lost in &data_dirs(root.path())[..2] {
        std::fs::remove_dir_all(lost).unwrap();
        std::fs::create_dir_all(lost).unwrap();
    }
    std::fs::remove_dir_all(root.path().join("view")).unwrap();
    let storage = open_at(root.path(), 365 * DAY_MILLIS).await;
    assert_eq!(retention(&storage, "before").await.1, before);
    is_locked(&storage, "before").await;
    put(&storage, "after").await;
    let (_, after) = retention(&storage, "after").await;
    assert!(after.until_unix_millis >= created + DAY_MILLIS);
    is_locked(&storage, "after").await;
    let lock = storage.store().bucket(&bucket()).await.unwrap().lock;
    assert_eq!(lock.unwrap().default_retention, Some(rule));
    storage.close().await;
}
