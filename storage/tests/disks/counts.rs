//! 1, 2, 3, 6 and 9 disks, each with the profile that it has by default.

use serde_json::Value;

use super::*;

const COUNTS: [(usize, &str); 5] = [(1, "1+0"), (2, "1+1"), (3, "2+1"), (6, "4+2"), (9, "6+3")];

pub(super) fn dirs_of(root: &Path, count: usize) -> Vec<PathBuf> {
    (0..count)
        .map(|disk| new_dir(root, &format!("disk{disk}")))
        .collect()
}

fn parity(profile: &str) -> usize {
    profile.split_once('+').unwrap().1.parse().unwrap()
}

async fn heal(storage: &Storage) {
    loop {
        let round = storage.healer().round().await.unwrap();
        assert_eq!((round.failed, round.lost), (0, 0), "{round:?}");
        if round.healed == 0 && round.restored_frames == 0 {
            return;
        }
    }
}

async fn delete(storage: &Storage, name: &str) {
    let none = WriteConditions::default();
    let (bucket, key) = (bucket(), key(name));
    let deleted = storage.store().delete_object(&bucket, &key, none).await;
    deleted.unwrap();
}

pub(super) async fn close(storage: Storage) {
    storage.close().await;
    drop(storage);
}

/// Empties as many disks as may be lost, the first of them at `from`.
fn lose(dirs: &[PathBuf], from: usize, count: usize) {
    for loss in 0..count {
        let dir = &dirs[(from + loss) % dirs.len()];
        std::fs::remove_dir_all(dir).unwrap();
        std::fs::create_dir(dir).unwrap();
    }
}

/// Empties disks three times, others each time, and the view too; each time all that is expected is there, and is healed.
pub(super) async fn lose_and_heal(what: &str, dirs: &[PathBuf], count: usize, expected: &Value) {
    for round in 0..3 {
        for dir in dirs {
            if round > 0 && dir.join("view").exists() {
                std::fs::remove_dir_all(dir.join("view")).unwrap();
            }
        }
        lose(dirs, round * 2, count);
        let storage = open_with(dirs, None).await.unwrap();
        let found = dump(storage.store()).await;
        assert_eq!(found, *expected, "{what}, round {round}");
        heal(&storage).await;
        let status = storage.healer().status();
        assert!(status.degraded.is_empty(), "{what}: {status:?}");
        close(storage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_m_disks_may_be_lost_again_and_again_and_the_view_too() {
    for (count, profile) in COUNTS {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs_of(root.path(), count);
        let storage = open_with(&dirs, None).await.unwrap();
        assert_eq!(storage.profile().to_string(), profile);
        fill(storage.store()).await;
        delete(&storage, "inline").await;
        let expected = dump(storage.store()).await;
        close(storage).await;
        lose_and_heal(profile, &dirs, parity(profile), &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_added_and_another_drained_whatever_their_number() {
    for (count, profile) in COUNTS {
        let root = tempfile::tempdir().unwrap();
        let mut dirs = dirs_of(root.path(), count);
        let storage = open_with(&dirs, None).await.unwrap();
        fill(storage.store()).await;
        let expected = dump(storage.store()).await;
        let refused = storage.disk_set().drain(DiskNo(0)).await.unwrap_err();
        assert!(
            refused.to_string().contains("add a disk first"),
            "{refused}"
        );
        let new = new_dir(root.path(), "new");
        storage.add_disk(&new).await.unwrap();
        let upkeep = upkeep(&storage);
        storage.disk_set().drain(DiskNo(0)).await.unwrap();
        wait_until_drained(&storage, DiskNo(0)).await;
        storage.remove_disk(DiskNo(0), false).await.unwrap();
        wait_for_the_view(&storage).await;
        assert_eq!(dump(storage.store()).await, expected, "{count} disks");
        upkeep.abort();
        drop(upkeep.await);
        std::fs::remove_dir_all(dirs.remove(0)).unwrap();
        dirs.push(new);
        close(storage).await;
        lose(&dirs, 1, parity(profile));
        let storage = open_with(&dirs, None).await.unwrap();
        assert_eq!(storage.profile().to_string(), profile);
        assert_eq!(dump(storage.store()).await, expected, "{count} disks");
        close(storage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_profile_of_the_beginning_stays_whatever_disks_come_unless_another_is_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let mut dirs = dirs_of(root.path(), 4);
    close(open_with(&dirs, None).await.unwrap()).await;
    dirs.push(new_dir(root.path(), "put in at a start"));
    let storage = open_with(&dirs, None).await.unwrap();
    assert_eq!(storage.profile().to_string(), "2+2");
    let told = storage.reports().join("\n");
    assert!(told.contains("--profile 3+2"), "{told}");
    let new = new_dir(root.path(), "added");
    storage.add_disk(&new).await.unwrap();
    dirs.push(new);
    close(storage).await;
    let storage = open_with(&dirs, None).await.unwrap();
    assert_eq!(storage.profile().to_string(), "2+2");
    close(storage).await;
    let storage = open_with(&dirs, Some("4+2")).await.unwrap();
    assert_eq!(storage.profile().to_string(), "4+2");
    close(storage).await;
    let storage = open_with(&dirs, None).await.unwrap();
    assert_eq!(storage.profile().to_string(), "2+2");
    // Its own profile needs four.
    let upkeep = upkeep(&storage);
    for number in 0..2 {
        storage.disk_set().drain(DiskNo(number)).await.unwrap();
        wait_until_drained(&storage, DiskNo(number)).await;
        storage.remove_disk(DiskNo(number), false).await.unwrap();
        dirs.remove(0);
        wait_for_the_view(&storage).await;
    }
    let refused = storage.disk_set().drain(DiskNo(2)).await.unwrap_err();
    assert!(refused.to_string().contains("2+2"), "{refused}");
    upkeep.abort();
    close(storage).await;
}
