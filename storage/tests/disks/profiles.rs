//! Buckets with profiles of their own.

use larder_erasure::Profile;
use larder_storage::objects::{BucketName, CreateBucket, StoreError};

use super::{
    counts::{close, dirs_of, lose_and_heal},
    *,
};

const DISKS_HERE: usize = 6;
/// What the cluster has with so many disks.
const CLUSTER: &str = "4+2";

fn profile(text: &str) -> Profile {
    text.parse().unwrap()
}

fn extents_of(dirs: &[PathBuf]) -> usize {
    dirs.iter().map(|dir| extents(dir)).sum()
}

async fn used(storage: &Storage) -> String {
    let found = storage.store().profile(&bucket()).await.unwrap();
    found.used.to_string()
}

async fn set(storage: &Storage, asked: Option<&str>) -> Result<(), StoreError> {
    let profile = asked.map(profile);
    storage.store().set_profile(&bucket(), profile).await
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_disks_may_be_lost_as_the_buckets_profile_spares() {
    let mut blobs = 0;
    for text in [CLUSTER, "1+0", "2+1", "5+1", "1+2", "3+2"] {
        let own = profile(text);
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs_of(root.path(), DISKS_HERE);
        let storage = open_with(&dirs, None).await.unwrap();
        assert_eq!(storage.profile().to_string(), CLUSTER);
        fixture::fill_with(storage.store(), Some(own)).await;
        assert_eq!(used(&storage).await, text);
        let expected = dump(storage.store()).await;
        close(storage).await;
        if text == CLUSTER {
            blobs = extents_of(&dirs) / own.total();
        }
        assert_eq!(extents_of(&dirs), blobs * own.total(), "{text}");
        lose_and_heal(text, &dirs, own.parity(), &expected).await;
        let storage = open_with(&dirs, None).await.unwrap();
        assert_eq!(used(&storage).await, text);
        close(storage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_promised_must_be_possible() {
    let root = tempfile::tempdir().unwrap();
    let dirs = dirs_of(root.path(), DISKS_HERE);
    let storage = open_with(&dirs, None).await.unwrap();
    fill(storage.store()).await;
    for (asked, why) in [
        ("7+0", "profile 7+0 needs 7 disks, and there are 6"),
        (
            "3+3",
            "with profile 3+3 any 3 disks may be lost, but only 2 of this cluster's, whose profile is 4+2",
        ),
    ] {
        let create = CreateBucket {
            profile: Some(profile(asked)),
            ..CreateBucket::new(BucketName::parse("other-bucket").unwrap())
        };
        let refused = storage.store().create_bucket(create).await.unwrap_err();
        assert!(matches!(refused, StoreError::UnsuitableProfile(_)));
        assert_eq!(refused.to_string(), why);
        let refused = set(&storage, Some(asked)).await.unwrap_err();
        assert_eq!(refused.to_string(), why);
    }
    assert_eq!(
        storage
            .store()
            .list_buckets(None, "", None, 9)
            .await
            .unwrap()
            .len(),
        1
    );
    close(storage).await;
}

/// A cluster that spares fewer disks than the bucket asks for can't keep its promise: what is written is as safe as anything else in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_can_not_be_had_waits_for_better_times() {
    let root = tempfile::tempdir().unwrap();
    let dirs = dirs_of(root.path(), DISKS_HERE);
    let storage = open_with(&dirs, None).await.unwrap();
    fill(storage.store()).await;
    set(&storage, Some("2+2")).await.unwrap();
    assert_eq!(used(&storage).await, "2+2");
    close(storage).await;
    let storage = open_with(&dirs, Some("5+1")).await.unwrap();
    assert_eq!(used(&storage).await, "5+1");
    let before = extents_of(&dirs);
    fixture::put(
        storage.store(),
        "large",
        600_000,
        Headers::default(),
        Tags::default(),
    )
    .await;
    assert_eq!(extents_of(&dirs), before + 6);
    close(storage).await;
    let storage = open_with(&dirs, None).await.unwrap();
    assert_eq!(used(&storage).await, "2+2");
    fixture::put(
        storage.store(),
        "large too",
        600_000,
        Headers::default(),
        Tags::default(),
    )
    .await;
    assert_eq!(extents_of(&dirs), before + 6 + 4);
    set(&storage, None).await.unwrap();
    assert_eq!(used(&storage).await, CLUSTER);
    close(storage).await;
}
