//! Disks that come and go while a store serves, on real directories.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "test; the fixture has what other tests use"
)]

#[path = "../fixture/mod.rs"]
mod fixture;

mod counts;
mod levelling;
mod old;
mod profiles;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use fixture::{DISKS, bucket, data_dirs, digest, dump, fill, key};
use larder_storage::{
    clock::SystemClock,
    disk::{DiskNo, DiskOptions, Health, OpenOptions, Role},
    disk_set::ChangeError,
    meta::view::Engine,
    objects::{Headers, Tags, WriteConditions},
    open::{OpenError, OpenSettings, Storage, open},
    rng::SystemRng,
    upkeep::UpkeepSettings,
};

async fn open_on(data: &[PathBuf]) -> Result<Storage, OpenError> {
    open_with(data, Some("2+2")).await
}

async fn open_with(data: &[PathBuf], profile: Option<&str>) -> Result<Storage, OpenError> {
    let disk = DiskOptions {
        segment_bytes: 64 << 10,
        reserve_bytes: Some(0),
    };
    let settings = OpenSettings {
        data: data.to_vec(),
        profile: profile.map(|profile| profile.parse().unwrap()),
        engine: Engine::Fjall,
        view_dir: None,
        disk_timeout: std::time::Duration::from_secs(30),
        disks: OpenOptions {
            disk,
            ..OpenOptions::default()
        },
        md5: digest,
    };
    let (clock, rng) = (Arc::new(SystemClock), Arc::new(SystemRng));
    open(settings, clock, rng, Arc::new(|_| ())).await
}

fn new_dir(root: &Path, name: &str) -> PathBuf {
    let dir = root.join(name);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn directories(root: &Path) -> Vec<PathBuf> {
    let dirs = data_dirs(root);
    for dir in &dirs {
        std::fs::create_dir_all(dir).unwrap();
    }
    dirs
}

/// Number and role of each disk, in order of slot.
async fn table(storage: &Storage) -> Vec<(u16, Role, bool)> {
    let status = storage.status().await.unwrap();
    let disks = status.disks.iter().enumerate();
    disks
        .map(|(slot, disk)| {
            assert_eq!(disk.slot, slot);
            (disk.number.0, disk.role, disk.health == Health::Good)
        })
        .collect()
}

/// Bytes in the extents of a directory.
fn extents(dir: &Path) -> usize {
    let below = std::fs::read_dir(dir.join("extents")).unwrap();
    let files = below.flat_map(|entry| std::fs::read_dir(entry.unwrap().path()).unwrap());
    files.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_added_used_drained_and_remembered() {
    let root = tempfile::tempdir().unwrap();
    let mut dirs = directories(root.path());
    let storage = open_on(&dirs).await.unwrap();
    fill(storage.store()).await;
    let new = new_dir(root.path(), "new");
    assert_eq!(storage.add_disk(&new).await.unwrap(), DiskNo(4));
    assert!(matches!(
        storage.add_disk(&new).await,
        Err(ChangeError::Directory(_))
    ));
    for id in 0..5 {
        let (headers, tags) = (Headers::default(), Tags::default());
        fixture::put(
            storage.store(),
            &format!("new {id}"),
            600_000,
            headers,
            tags,
        )
        .await;
    }
    assert!(extents(&new) > 0, "used at once");
    storage.disk_set().drain(DiskNo(1)).await.unwrap();
    let refused = storage.disk_set().drain(DiskNo(2)).await.unwrap_err();
    assert!(
        refused.to_string().contains("add a disk first"),
        "{refused}"
    );
    let draining = extents(&dirs[1]);
    for id in 5..10 {
        let (headers, tags) = (Headers::default(), Tags::default());
        fixture::put(
            storage.store(),
            &format!("new {id}"),
            600_000,
            headers,
            tags,
        )
        .await;
    }
    assert_eq!(extents(&dirs[1]), draining, "nothing new goes there");
    let expected = dump(storage.store()).await;
    storage.close().await;
    drop(storage);

    let refused = open_on(&dirs).await.unwrap_err().to_string();
    assert!(
        refused.contains("disk 4 (place 4, counted from 0, put in at"),
        "{refused}"
    );
    dirs.push(new);
    let storage = open_on(&dirs).await.unwrap();
    let (member, draining) = (Role::Member, Role::Draining);
    let roles = [member, draining, member, member, member];
    let expected_table: Vec<_> = (0..5)
        .map(|slot| (slot, roles[usize::from(slot)], true))
        .collect();
    assert_eq!(table(&storage).await, expected_table);
    assert_eq!(dump(storage.store()).await, expected);
    storage.disk_set().cancel_drain(DiskNo(1)).await.unwrap();
    assert!(
        table(&storage)
            .await
            .iter()
            .all(|(_, role, _)| *role == member)
    );
    storage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_emptied_is_replaced_in_its_place_or_elsewhere_while_the_store_serves() {
    for elsewhere in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let mut dirs = directories(root.path());
        let storage = open_on(&dirs).await.unwrap();
        fill(storage.store()).await;
        let before = dump(storage.store()).await;
        let refused = storage.replace_disk(DiskNo(3), &dirs[3]).await.unwrap_err();
        assert!(
            matches!(refused, ChangeError::Works { number: 3, .. }),
            "{refused}"
        );
        std::fs::remove_dir_all(&dirs[3]).unwrap();
        std::fs::create_dir(&dirs[3]).unwrap();
        // A write meets the disk that is gone.
        while table(&storage).await[3].2 {
            let (headers, tags) = (Headers::default(), Tags::default());
            fixture::put(storage.store(), "notices", 600_000, headers, tags).await;
        }
        storage
            .store()
            .delete_object(&bucket(), &key("notices"), WriteConditions::default())
            .await
            .unwrap();
        if elsewhere {
            dirs[3] = new_dir(root.path(), "elsewhere");
        }
        let number = storage.replace_disk(DiskNo(3), &dirs[3]).await.unwrap();
        assert_eq!(number, DiskNo(4));
        assert_eq!(table(&storage).await[3], (4, Role::Member, true));
        let gone = storage.replace_disk(DiskNo(3), &dirs[3]).await.unwrap_err();
        assert!(
            matches!(gone, ChangeError::NoSuchDisk { number: 3, .. }),
            "{gone}"
        );
        let (headers, tags) = (Headers::default(), Tags::default());
        fixture::put(storage.store(), "notices", 600_000, headers, tags).await;
        assert!(extents(&dirs[3]) > 0, "used at once");
        storage
            .store()
            .delete_object(&bucket(), &key("notices"), WriteConditions::default())
            .await
            .unwrap();
        assert_eq!(dump(storage.store()).await, before);
        storage.close().await;
        drop(storage);
        let storage = open_on(&dirs).await.unwrap();
        assert_eq!(table(&storage).await[3], (4, Role::Member, true));
        assert_eq!(dump(storage.store()).await, before);
        assert_eq!(table(&storage).await.len(), DISKS);
        storage.close().await;
    }
}

/// Waits until upkeep has moved everything off a disk.
async fn wait_until_drained(storage: &Storage, number: DiskNo) {
    loop {
        let usage = storage.disk_set().usage().await.unwrap();
        if storage.disk_set().drained(&usage).await.contains(&number) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// It may have been on a disk that was removed.
async fn wait_for_the_view(storage: &Storage) {
    while storage
        .store()
        .list_buckets(None, "", None, 1)
        .await
        .is_err()
    {
        tokio::task::yield_now().await;
    }
}

fn upkeep(storage: &Storage) -> tokio::task::JoinHandle<()> {
    tokio::spawn(storage.upkeep(UpkeepSettings::default()))
}

/// Everything is read back although two of the disks are emptied.
async fn check_without_two(dirs: &[PathBuf], lost: [usize; 2], expected: &serde_json::Value) {
    for at in lost {
        std::fs::remove_dir_all(&dirs[at]).unwrap();
        std::fs::create_dir(&dirs[at]).unwrap();
    }
    let storage = open_on(dirs).await.unwrap();
    assert_eq!(dump(storage.store()).await, *expected, "without {lost:?}");
    storage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_disk_is_swapped_out_while_the_store_serves_and_redundancy_is_whole_after() {
    let root = tempfile::tempdir().unwrap();
    let mut dirs = directories(root.path());
    let storage = open_on(&dirs).await.unwrap();
    let upkeep = upkeep(&storage);
    fill(storage.store()).await;
    let expected = dump(storage.store()).await;
    for number in 0..4 {
        let new = new_dir(root.path(), &format!("new{number}"));
        storage.add_disk(&new).await.unwrap();
        let refused = storage
            .remove_disk(DiskNo(number), false)
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("Drain it first"), "{refused}");
        storage.disk_set().drain(DiskNo(number)).await.unwrap();
        assert_eq!(dump(storage.store()).await, expected);
        wait_until_drained(&storage, DiskNo(number)).await;
        storage.remove_disk(DiskNo(number), false).await.unwrap();
        std::fs::remove_dir_all(dirs.remove(0)).unwrap();
        dirs.push(new);
        wait_for_the_view(&storage).await;
        assert_eq!(
            dump(storage.store()).await,
            expected,
            "without disk {number}"
        );
    }
    let numbers: Vec<u16> = table(&storage).await.iter().map(|disk| disk.0).collect();
    assert_eq!(numbers, [4, 5, 6, 7]);
    upkeep.abort();
    storage.close().await;
    drop(storage);
    check_without_two(&dirs, [0, 2], &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_disk_held_is_made_anew_on_the_others_so_that_it_can_be_removed() {
    let root = tempfile::tempdir().unwrap();
    let mut dirs = directories(root.path());
    dirs.push(new_dir(root.path(), "fifth"));
    let storage = open_on(&dirs).await.unwrap();
    let upkeep = upkeep(&storage);
    fill(storage.store()).await;
    let expected = dump(storage.store()).await;
    std::fs::remove_dir_all(&dirs[1]).unwrap();
    while table(&storage).await[1].2 {
        let (headers, tags) = (Headers::default(), Tags::default());
        fixture::put(storage.store(), "notices", 600_000, headers, tags).await;
    }
    let none = WriteConditions::default();
    storage
        .store()
        .delete_object(&bucket(), &key("notices"), none)
        .await
        .unwrap();
    storage.disk_set().drain(DiskNo(1)).await.unwrap();
    wait_until_drained(&storage, DiskNo(1)).await;
    storage.remove_disk(DiskNo(1), false).await.unwrap();
    assert_eq!(dump(storage.store()).await, expected);
    dirs.remove(1);
    upkeep.abort();
    storage.close().await;
    drop(storage);
    check_without_two(&dirs, [1, 3], &expected).await;
}
