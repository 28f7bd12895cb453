//! Usage and quotas of buckets.

use futures_util::future::join_all;

use super::super::{testing::*, *};

async fn usage(fixture: &Fixture) -> (u64, u64, u64) {
    let tally = fixture.store.usage(&bucket("bucket")).await.unwrap();
    (tally.objects, tally.bytes, tally.delete_markers)
}

async fn set(fixture: &Fixture, max_bytes: Option<u64>, max_objects: Option<u64>) {
    let quota = Quota {
        max_bytes,
        max_objects,
    };
    let name = bucket("bucket");
    fixture.store.set_quota(&name, quota).await.unwrap();
    assert_eq!(fixture.store.quota(&name).await.unwrap(), quota);
}

fn is_over<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::QuotaExceeded(_)))
}

#[tokio::test]
async fn all_versions_count_and_delete_markers_beside_them() {
    let fixture = Fixture::with_bucket().await;
    let name = bucket("bucket");
    assert_eq!(usage(&fixture).await, (0, 0, 0));
    fixture.put("a", &[1; 100]).await.unwrap();
    fixture.put("a", &[1; 5000]).await.unwrap();
    fixture.put("empty", b"").await.unwrap();
    assert_eq!(usage(&fixture).await, (2, 5000, 0));
    let versioning = Versioning::Enabled;
    fixture
        .store
        .set_versioning(&name, versioning)
        .await
        .unwrap();
    fixture.put("a", &[1; 7]).await.unwrap();
    fixture.delete("a").await.unwrap();
    assert_eq!(usage(&fixture).await, (3, 5007, 1));
    let versioning = Versioning::Suspended;
    fixture
        .store
        .set_versioning(&name, versioning)
        .await
        .unwrap();
    fixture.put("a", &[1; 2]).await.unwrap();
    assert_eq!(
        usage(&fixture).await,
        (3, 9, 1),
        "the null version was replaced"
    );
    fixture.upload_whole("b", &[1; 3000]).await.unwrap();
    assert_eq!(usage(&fixture).await, (4, 3009, 1));
}

#[tokio::test]
async fn uploads_count_once_they_are_complete() {
    let fixture = Fixture::with_bucket().await;
    let id = fixture.start("a").await;
    fixture.part("a", id, 1, &[1; 6000]).await.unwrap();
    assert_eq!(usage(&fixture).await, (0, 0, 0));
    set(&fixture, Some(5999), None).await;
    let refused = fixture.complete("a", id, &[(1, &[1; 6000])]).await;
    assert!(is_over(&refused), "{refused:?}");
    assert!(matches!(
        fixture.handle("a").await,
        Err(StoreError::NoSuchKey)
    ));
    set(&fixture, Some(6000), None).await;
    fixture.complete("a", id, &[(1, &[1; 6000])]).await.unwrap();
    assert_eq!(usage(&fixture).await, (1, 6000, 0));
    assert_eq!(fixture.get("a").await.unwrap(), [1; 6000]);
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_and_what_frees_room_goes() {
    let fixture = Fixture::with_bucket().await;
    set(&fixture, Some(10_000), Some(2)).await;
    fixture.put("a", &[1; 5000]).await.unwrap();
    let refused = fixture.put("b", &[2; 5001]).await;
    assert!(is_over(&refused), "{refused:?}");
    fixture.put("b", &[2; 5000]).await.unwrap();
    assert!(
        is_over(&fixture.put("c", b"").await),
        "two objects are there"
    );
    assert!(is_over(&fixture.put("a", &[1; 5001]).await));
    assert_eq!(fixture.get("a").await.unwrap(), [1; 5000]);
    fixture.put("a", &[3; 5000]).await.unwrap();
    fixture.put("a", &[3; 10]).await.unwrap();
    set(&fixture, Some(1), Some(1)).await;
    fixture.put("b", &[2; 4000]).await.unwrap();
    assert!(is_over(&fixture.put("b", &[2; 4001]).await));
    fixture.delete("a").await.unwrap();
    fixture.sweep().await;
    assert_eq!(usage(&fixture).await, (1, 4000, 0));
    assert_eq!(
        extents(&fixture.pool),
        1,
        "the refused ones are gone from the disks"
    );
    set(&fixture, None, None).await;
    fixture.put("d", &[1; 9000]).await.unwrap();
}

#[tokio::test]
async fn however_many_write_at_once_a_quota_is_used_up_and_not_passed() {
    let fixture = Fixture::with_bucket().await;
    set(&fixture, Some(1000), None).await;
    let puts: Vec<_> = (0..30).map(|at| format!("key-{at}")).collect();
    let puts = puts.iter().map(|name| fixture.put(name, &[1; 90]));
    let done = join_all(puts).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 11);
    assert_eq!(usage(&fixture).await, (11, 990, 0));
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_refused_before_it_is_sent() {
    let fixture = Fixture::with_bucket().await;
    let name = bucket("bucket");
    let check = |key: ObjectKey, bytes| {
        let (store, name) = (fixture.store.clone(), name.clone());
        async move { store.check_quota(&name, Some(&key), bytes).await }
    };
    check(key("a"), u64::MAX).await.unwrap();
    set(&fixture, Some(100), Some(1)).await;
    fixture.put("a", &[1; 60]).await.unwrap();
    check(key("a"), 100).await.unwrap();
    assert!(is_over(&check(key("a"), 101).await));
    assert!(
        is_over(&check(key("b"), 0).await),
        "one object may be there"
    );
    set(&fixture, Some(100), None).await;
    check(key("b"), 40).await.unwrap();
    assert!(is_over(&check(key("b"), 41).await));
    let part = |bytes| fixture.store.check_quota(&name, None, bytes);
    part(40).await.unwrap();
    assert!(is_over(&part(41).await));
    let versioning = Versioning::Enabled;
    fixture
        .store
        .set_versioning(&name, versioning)
        .await
        .unwrap();
    assert!(is_over(&check(key("a"), 41).await), "the old one stays");
}

/// Metrics are asked for all the time: they must not slow down healing or lifecycles.
#[tokio::test]
async fn asking_for_usage_is_nothing_that_upkeep_steps_back_for() {
    let fixture = Fixture::with_bucket().await;
    fixture.clock.advance(Duration::from_secs(1));
    let load = fixture.store.load();
    assert!(!load.is_active());
    usage(&fixture).await;
    fixture.store.quota(&bucket("bucket")).await.unwrap();
    assert!(!load.is_active(), "nobody waits for an object");
    fixture.put("a", b"body").await.unwrap();
    assert!(load.is_active());
}

/// Two accounts with two buckets each.
async fn with_accounts() -> (Fixture, AccountId, AccountId) {
    let fixture = Fixture::with_bucket().await;
    let [mine, other] = [7, 8].map(|number| AccountId::from_number(number).unwrap());
    for (name, owner) in [("a-1", mine), ("a-2", mine), ("b-1", other), ("b-2", other)] {
        create(&fixture, name, owner).await;
    }
    (fixture, mine, other)
}

async fn create(fixture: &Fixture, name: &str, owner: AccountId) {
    let request = CreateBucket {
        owner,
        ..CreateBucket::new(bucket(name))
    };
    fixture.store.create_bucket(request).await.unwrap();
}

async fn set_for(
    fixture: &Fixture,
    owner: AccountId,
    max_bytes: Option<u64>,
    max_objects: Option<u64>,
) {
    let quota = Quota {
        max_bytes,
        max_objects,
    };
    let store = &fixture.store;
    store.set_account_quota(owner, quota).await.unwrap();
    assert_eq!(store.account_quota(owner).await.unwrap(), quota);
}

#[tokio::test]
async fn an_accounts_quota_is_for_all_its_buckets_together() {
    let (fixture, mine, other) = with_accounts().await;
    set_for(&fixture, mine, Some(100), None).await;
    fixture.put_in("a-1", "k", &[1; 60]).await.unwrap();
    let refused = fixture.put_in("a-2", "k", &[1; 41]).await;
    assert!(is_over(&refused), "{refused:?}");
    let early = fixture.store.check_quota(&bucket("a-2"), None, 41).await;
    assert!(is_over(&early), "{early:?}");
    fixture.put_in("a-2", "k", &[1; 40]).await.unwrap();
    fixture.put_in("b-1", "k", &[1; 1000]).await.unwrap();
    let usage = fixture.store.usage_by_account().await.unwrap();
    let of = |owner| (usage[&owner].0, usage[&owner].1.bytes);
    assert_eq!((of(mine), of(other)), ((2, 100), (2, 1000)));
    fixture.put_in("a-1", "k", &[1; 10]).await.unwrap();
    fixture.put_in("a-2", "k", &[1; 90]).await.unwrap();
    set_for(&fixture, mine, None, None).await;
    fixture.put_in("a-2", "more", &[1; 1000]).await.unwrap();
}

#[tokio::test]
async fn a_bucket_made_later_counts_for_its_account_too() {
    let (fixture, mine, _) = with_accounts().await;
    set_for(&fixture, mine, None, Some(2)).await;
    fixture.put_in("a-1", "k", b"x").await.unwrap();
    create(&fixture, "a-3", mine).await;
    fixture.put_in("a-3", "k", b"x").await.unwrap();
    for name in ["a-1", "a-2", "a-3"] {
        let refused = fixture.put_in(name, "new", b"x").await;
        assert!(is_over(&refused), "{name}: {refused:?}");
    }
}

/// A write that began when there was no quota is as any other once it is set.
#[tokio::test]
async fn a_write_that_began_before_the_quota_keeps_to_it() {
    let (fixture, mine, _) = with_accounts().await;
    fixture.put_in("a-1", "k", b"x").await.unwrap();
    let stale = fixture.store.open_bucket(&bucket("a-1")).await.unwrap();
    set_for(&fixture, mine, Some(1), None).await;
    let now = fixture.store.open_bucket(&bucket("a-1")).await.unwrap();
    assert_ne!(
        stale.revision, now.revision,
        "what relied on it is begun anew"
    );
    set_for(&fixture, mine, Some(2), None).await;
    create(&fixture, "a-3", mine).await;
    let refused = fixture.put_in("a-3", "k", b"xx").await;
    assert!(is_over(&refused), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn however_many_write_into_however_many_buckets_an_accounts_quota_is_used_up_and_not_passed()
{
    let (fixture, mine, _) = with_accounts().await;
    set_for(&fixture, mine, None, Some(20)).await;
    let (fixture, fresh) = (&fixture, &bucket("fresh"));
    let writes = (0..40).map(|number| async move {
        if number == 10 {
            let request = CreateBucket {
                owner: mine,
                ..CreateBucket::new(fresh.clone())
            };
            fixture.store.create_bucket(request).await.unwrap();
        }
        let name = ["a-1", "a-2", "fresh"][number % 3];
        match fixture.put_in(name, &format!("k{number}"), b"x").await {
            Ok(_) => 1,
            Err(StoreError::QuotaExceeded(_) | StoreError::NoSuchBucket) => 0,
            Err(error) => panic!("{error}"),
        }
    });
    let put: u64 = join_all(writes).await.into_iter().sum();
    let usage = fixture.store.usage_by_account().await.unwrap();
    assert_eq!(put, usage[&mine].1.objects);
    assert!((14..=20).contains(&put), "{put}");
}
