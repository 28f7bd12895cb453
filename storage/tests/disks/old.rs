//! A disk whose directory is put back from an old copy.

use super::*;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn put(storage: &Storage, name: &str, size: usize) {
    let (headers, tags) = (Headers::default(), Tags::default());
    fixture::put(storage.store(), name, size, headers, tags).await;
}

/// The view lies on the first disk: as old as the rest of it where that one comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_put_back_from_an_old_copy_is_named_and_brought_up_to_date() {
    for slot in [0, 2] {
        let root = tempfile::tempdir().unwrap();
        let dirs = directories(root.path());
        let storage = open_on(&dirs).await.unwrap();
        fill(storage.store()).await;
        storage.close().await;
        drop(storage);
        let backup = root.path().join("backup");
        copy(&dirs[slot], &backup);
        let storage = open_on(&dirs).await.unwrap();
        for name in ["inline", "extent"] {
            let none = WriteConditions::default();
            let (bucket, key) = (bucket(), key(name));
            storage
                .store()
                .delete_object(&bucket, &key, none)
                .await
                .unwrap();
        }
        for id in 0..8 {
            put(&storage, &format!("new {id}"), 90_000 * id).await;
        }
        let expected = dump(storage.store()).await;
        storage.close().await;
        drop(storage);
        std::fs::remove_dir_all(&dirs[slot]).unwrap();
        copy(&backup, &dirs[slot]);

        let storage = open_on(&dirs).await.unwrap();
        let old = &storage.recovery().old_disks;
        assert_eq!(old.len(), 1, "{old:?}");
        assert_eq!(old[0].location, dirs[slot].display().to_string());
        let is_outdated = |status: &larder_storage::open::Status| status.disks[slot].is_outdated;
        assert!(is_outdated(&storage.status().await.unwrap()));
        assert_eq!(dump(storage.store()).await, expected);
        let upkeep = upkeep(&storage);
        while is_outdated(&storage.status().await.unwrap()) {
            tokio::task::yield_now().await;
        }
        upkeep.abort();
        drop(upkeep.await);
        storage.close().await;
        drop(storage);
        let storage = open_on(&dirs).await.unwrap();
        assert_eq!(storage.recovery().old_disks, []);
        storage.close().await;
        drop(storage);
        let others = if slot == 0 { [1, 3] } else { [0, 1] };
        check_without_two(&dirs, others, &expected).await;
    }
}
