//! What the old disks hold moves to one that was added, until all hold about as much.

use super::*;

const FILLERS: usize = 60;

async fn put(storage: &Storage, name: &str, size: usize) {
    let (headers, tags) = (Headers::default(), Tags::default());
    fixture::put(storage.store(), name, size, headers, tags).await;
}

/// Large and small blobs, 36 MB on each of four disks.
async fn fill_more(storage: &Storage) {
    for id in 0..FILLERS {
        let size = if id % 2 == 0 { 1_500_000 } else { 400_000 };
        put(storage, &format!("filler {id}"), size).await;
    }
}

/// Bytes of shards on each disk.
async fn held(storage: &Storage) -> Vec<u64> {
    let usage = storage.disk_set().usage().await.unwrap();
    let disks = table(storage).await;
    disks
        .iter()
        .map(|disk| usage.on(DiskNo(disk.0)).bytes)
        .collect()
}

fn is_level(held: &[u64]) -> bool {
    let due = held.iter().sum::<u64>() / held.len() as u64;
    held.iter().all(|held| held.abs_diff(due) <= due / 12)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_disk_takes_its_share_of_what_the_others_hold() {
    let root = tempfile::tempdir().unwrap();
    let mut dirs = directories(root.path());
    let storage = open_on(&dirs).await.unwrap();
    storage.healer().set_level_bytes(1 << 20);
    fill(storage.store()).await;
    fill_more(&storage).await;
    let expected = dump(storage.store()).await;
    let new = new_dir(root.path(), "new");
    storage.add_disk(&new).await.unwrap();
    let before: usize = dirs.iter().map(|dir| extents(dir)).sum();
    let upkeep = upkeep(&storage);
    while !is_level(&held(&storage).await) {
        tokio::task::yield_now().await;
    }
    assert_eq!(dump(storage.store()).await, expected);
    // What has moved goes from where it was.
    let moved = extents(&new);
    assert!(moved > 0);
    while dirs.iter().map(|dir| extents(dir)).sum::<usize>() + extents(&new) > before {
        tokio::task::yield_now().await;
    }
    upkeep.abort();
    drop(upkeep.await);
    let status = storage.healer().status();
    assert!(status.moved.objects > 0, "{status:?}");
    let again = storage.healer().round().await.unwrap();
    assert_eq!((again.moved, again.healed, again.failed), (0, 0, 0));
    assert_eq!(storage.healer().status().left_to_move_bytes, 0);
    dirs.push(new);
    storage.close().await;
    drop(storage);
    check_without_two(&dirs, [0, 4], &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_objects_level_the_disks_as_well_and_levelling_goes_on_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let mut dirs = directories(root.path());
    let storage = open_on(&dirs).await.unwrap();
    fill(storage.store()).await;
    fill_more(&storage).await;
    let new = new_dir(root.path(), "new");
    storage.add_disk(&new).await.unwrap();
    dirs.push(new);
    storage.healer().pause().await.unwrap();
    let round = storage.healer().round().await.unwrap();
    assert!(round.paused && round.moved == 0, "{round:?}");
    for id in 0..10 {
        put(&storage, &format!("new {id}"), 600_000).await;
    }
    assert_eq!(extents(&dirs[4]), 10, "one shard of each");
    let before = held(&storage).await;
    storage.close().await;
    drop(storage);
    let storage = open_on(&dirs).await.unwrap();
    storage.healer().set_level_bytes(1 << 20);
    let expected = dump(storage.store()).await;
    let round = storage.healer().round().await.unwrap();
    assert!(round.paused && round.moved == 0, "{round:?}");
    storage.healer().start().await.unwrap();
    while storage.healer().round().await.unwrap().healed > 0 {}
    let after = held(&storage).await;
    assert!(
        !is_level(&before) && is_level(&after),
        "{before:?} {after:?}"
    );
    assert_eq!(dump(storage.store()).await, expected);
    storage.close().await;
}
