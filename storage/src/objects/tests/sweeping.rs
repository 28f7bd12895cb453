//! What is no longer needed goes, and only that.

use std::time::Duration;

use crate::objects::{testing::*, *};

const LARGE: &[u8] = &[7; INLINE_MAX * 2];

#[tokio::test]
async fn replaced_and_deleted_data_goes() {
    let fixture = Fixture::with_bucket().await;
    for i in 0..10_u8 {
        fixture.put("a", &[i; 500]).await.unwrap();
    }
    assert_eq!(extents(&fixture.pool), 10);
    fixture.sweep().await;
    assert_eq!((extents(&fixture.pool), fixture.count(b'g').await), (1, 0));
    fixture.put("a", b"small").await.unwrap();
    fixture.sweep().await;
    assert_eq!(extents(&fixture.pool), 0);
    assert_eq!(fixture.get("a").await.unwrap(), b"small");
}

#[tokio::test]
async fn replacing_a_multipart_object_frees_its_parts() {
    let fixture = Fixture::with_bucket().await;
    let id = fixture.start("a").await;
    fixture.part("a", id, 1, LARGE).await.unwrap();
    fixture.complete("a", id, &[(1, LARGE)]).await.unwrap();
    let handle = fixture.handle("a").await.unwrap();
    fixture.put("a", b"small").await.unwrap();
    assert_eq!(fixture.sweep().await.waiting, 1);
    let body = read_all(handle.read(0..LARGE.len() as u64).await.unwrap())
        .await
        .unwrap();
    assert_eq!(body, LARGE);
    drop(handle);
    fixture.sweep().await;
    assert_eq!((fixture.count(b'p').await, extents(&fixture.pool)), (0, 0));
}

#[tokio::test]
async fn abandoned_uploads_go_when_their_time_has_come() {
    let fixture = Fixture::with_bucket().await;
    let old = fixture.start("a").await;
    fixture.part("a", old, 1, LARGE).await.unwrap();
    fixture.clock.advance(Duration::from_hours(6 * 24));
    let young = fixture.start("a").await;
    fixture.part("a", young, 1, LARGE).await.unwrap();
    assert_eq!(fixture.sweep().await.uploads, 0);
    fixture.clock.advance(Duration::from_hours(24));
    assert_eq!(fixture.sweep().await.uploads, 1);
    assert_eq!(extents(&fixture.pool), 1);
    assert!(matches!(
        fixture.part("a", old, 2, LARGE).await,
        Err(StoreError::NoSuchUpload)
    ));
    fixture.complete("a", young, &[(1, LARGE)]).await.unwrap();
    fixture.clock.advance(Duration::from_hours(1000));
    fixture.sweep().await;
    assert_eq!(fixture.get("a").await.unwrap(), LARGE);
}

#[tokio::test]
async fn uploads_go_with_their_bucket() {
    let fixture = Fixture::with_bucket().await;
    let id = fixture.start("a").await;
    fixture.part("a", id, 1, LARGE).await.unwrap();
    fixture
        .store
        .delete_bucket(&bucket("bucket"))
        .await
        .unwrap();
    assert!(matches!(
        fixture.complete("a", id, &[(1, LARGE)]).await,
        Err(StoreError::NoSuchBucket)
    ));
    fixture.create("bucket").await.unwrap();
    assert!(matches!(
        fixture.complete("a", id, &[(1, LARGE)]).await,
        Err(StoreError::NoSuchUpload)
    ));
    assert_eq!(fixture.sweep().await.uploads, 1);
    let left = (
        fixture.count(b'u').await,
        fixture.count(b'p').await,
        fixture.count(b'g').await,
    );
    assert_eq!((left, extents(&fixture.pool)), ((0, 0, 0), 0));
}

#[tokio::test]
async fn pinned_tasks_do_not_hold_up_the_others() {
    let fixture = Fixture::with_bucket().await;
    fixture.put("pinned", LARGE).await.unwrap();
    let handle = fixture.handle("pinned").await.unwrap();
    fixture.delete("pinned").await.unwrap();
    for i in 0..10 {
        fixture.put(&format!("{i}"), LARGE).await.unwrap();
        fixture.delete(&format!("{i}")).await.unwrap();
    }
    let swept = fixture.sweep().await;
    assert_eq!((swept.tasks, swept.waiting), (10, 1));
    drop(handle);
    assert_eq!(fixture.sweep().await.tasks, 1);
}

#[tokio::test]
async fn a_part_that_is_being_healed_goes_later() {
    let fixture = Fixture::with_bucket().await;
    let id = fixture.start("a").await;
    for part in 1..=2 {
        fixture.part("a", id, part, LARGE).await.unwrap();
    }
    let disks = fixture.pool.disks();
    let found = disks.here().flat_map(|disk| disk.extents().unwrap());
    let (blob, _) = found.min().unwrap();
    let of_one = extents(&fixture.pool) / 2;
    let healing = fixture.store.begin_healing(blob).unwrap();
    fixture
        .store
        .abort_upload(&bucket("bucket"), &key("a"), &id)
        .await
        .unwrap();
    assert_eq!(fixture.sweep().await.waiting, 1);
    let left = (extents(&fixture.pool), fixture.count(b'p').await);
    assert_eq!(left, (of_one, 1), "the other one is gone");
    drop(healing);
    assert_eq!(fixture.sweep().await.waiting, 0);
    let left = (extents(&fixture.pool), fixture.count(b'p').await);
    assert_eq!(left, (0, 0));
}
