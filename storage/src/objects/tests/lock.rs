//! Object lock: what protects a version, and what a clock that is set back can't do.

use std::time::Duration;

use crate::{
    meta::Revision,
    objects::{testing::*, *},
};

const DAY: Duration = Duration::from_hours(24);
const HELD: ObjectLock = ObjectLock {
    retention: None,
    legal_hold: Some(true),
};

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

fn retained(mode: RetentionMode, until_unix_millis: u64) -> ObjectLock {
    let retention = Some(Retention {
        mode,
        until_unix_millis,
    });
    ObjectLock {
        retention,
        legal_hold: None,
    }
}

impl Fixture {
    pub(super) async fn put_locked(
        &self,
        name: &str,
        body: &[u8],
        lock: ObjectLock,
    ) -> Result<VersionId, StoreError> {
        let request = PutObject {
            lock,
            ..self.request(name, body).await
        };
        let written = self.store.put_object(request).await?;
        Ok(written.version.unwrap())
    }

    pub(super) async fn remove(
        &self,
        name: &str,
        version: VersionId,
        governance: Governance,
    ) -> Result<Deleted, StoreError> {
        let (key, none) = (key(name), WriteConditions::default());
        let bucket = bucket("bucket");
        let removed = self
            .store
            .delete_version(&bucket, &key, Some(version), none, governance);
        removed.await
    }

    async fn lock_of(&self, name: &str, version: VersionId) -> ObjectLock {
        let (bucket, key) = (bucket("bucket"), key(name));
        let handle = self.store.object_version(&bucket, &key, Some(version));
        handle.await.unwrap().info().lock
    }

    async fn retain(
        &self,
        name: &str,
        version: VersionId,
        retention: Option<Retention>,
        governance: Governance,
    ) -> Result<(), StoreError> {
        let (bucket, key) = (bucket("bucket"), key(name));
        let store = &self.store;
        store
            .set_retention(&bucket, &key, Some(version), retention, governance)
            .await
    }

    async fn hold(&self, name: &str, version: VersionId, is_held: bool) {
        let (bucket, key) = (bucket("bucket"), key(name));
        let store = &self.store;
        let held = store.set_legal_hold(&bucket, &key, Some(version), is_held);
        held.await.unwrap();
    }

    pub(super) async fn set_default(&self, default_retention: Option<DefaultRetention>) {
        let lock = BucketLock { default_retention };
        let bucket = bucket("bucket");
        self.store.set_bucket_lock(&bucket, lock).await.unwrap();
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is called with what a call returned"
)]
fn is_locked<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Locked)), "{result:?}");
}

fn days(days: u32) -> DefaultRetention {
    DefaultRetention {
        mode: RetentionMode::Compliance,
        period: RetentionPeriod::Days(days),
    }
}

#[tokio::test]
async fn a_retained_version_stays_until_its_time_and_a_delete_marker_hides_it() {
    let fixture = Fixture::with_locked_bucket().await;
    let until = fixture.clock.true_millis() + millis(DAY);
    let body = [7; INLINE_MAX * 2];
    for (mode, bypassed) in [
        (RetentionMode::Governance, false),
        (RetentionMode::Compliance, true),
    ] {
        let id = fixture.put_locked("a", &body, retained(mode, until)).await;
        let id = id.unwrap();
        let governance = if bypassed {
            Governance::Bypassed
        } else {
            Governance::Heeded
        };
        is_locked(fixture.remove("a", id, governance).await);
        assert!(fixture.delete("a").await.unwrap());
        assert_eq!(fixture.lock_of("a", id).await, retained(mode, until));
    }
    fixture.sweep().await;
    assert_eq!(extents(&fixture.pool), 2, "both bodies are there");
    fixture.clock.advance(DAY);
    let versions = fixture.count(b'v').await;
    let bucket = bucket("bucket");
    let all = ListVersions {
        bucket: bucket.clone(),
        prefix: String::new(),
        delimiter: String::new(),
        after: String::new(),
        after_version: None,
        limit: 100,
    };
    let page = fixture.store.list_versions(all).await.unwrap();
    assert_eq!(page.entries.len(), versions);
    for entry in page.entries {
        let VersionEntry::Version(version) = entry else {
            panic!("no prefix was asked for");
        };
        let removed = fixture.remove("a", version.id, Governance::Heeded).await;
        assert!(removed.unwrap().changed);
    }
    fixture.store.delete_bucket(&bucket).await.unwrap();
}

#[tokio::test]
async fn governance_can_be_bypassed_and_compliance_only_extended() {
    let fixture = Fixture::with_locked_bucket().await;
    let now = fixture.clock.true_millis();
    let soon = now + millis(DAY);
    let (governed, strict) = (
        |until| retained(RetentionMode::Governance, until),
        |until| retained(RetentionMode::Compliance, until),
    );
    let id = fixture.put_locked("a", b"1", governed(soon)).await.unwrap();
    let (heed, bypass) = (Governance::Heeded, Governance::Bypassed);
    for less in [
        governed(soon - 1).retention,
        strict(soon + 9).retention,
        None,
    ] {
        is_locked(fixture.retain("a", id, less, heed).await);
    }
    let longer = governed(soon + 1);
    fixture
        .retain("a", id, longer.retention, heed)
        .await
        .unwrap();
    assert_eq!(fixture.lock_of("a", id).await, longer);
    fixture.retain("a", id, None, bypass).await.unwrap();
    assert!(fixture.lock_of("a", id).await.is_none());
    let now_strict = strict(soon).retention;
    fixture.retain("a", id, now_strict, heed).await.unwrap();
    for less in [
        strict(soon - 1).retention,
        governed(u64::MAX).retention,
        None,
    ] {
        is_locked(fixture.retain("a", id, less, bypass).await);
    }
    let longer = strict(soon + 1).retention;
    fixture.retain("a", id, longer, heed).await.unwrap();
    is_locked(fixture.remove("a", id, bypass).await);
    // Once it is over, it is as if there were none.
    fixture.clock.advance(DAY + Duration::from_millis(1));
    let again = governed(soon + 2).retention;
    fixture.retain("a", id, again, heed).await.unwrap();
    is_locked(fixture.remove("a", id, heed).await);
    fixture.remove("a", id, bypass).await.unwrap();
}

#[tokio::test]
async fn a_legal_hold_is_nobodys_to_bypass() {
    let fixture = Fixture::with_locked_bucket().await;
    let id = fixture.put_locked("a", b"1", HELD).await.unwrap();
    is_locked(fixture.remove("a", id, Governance::Bypassed).await);
    fixture.hold("a", id, false).await;
    assert_eq!(fixture.lock_of("a", id).await.legal_hold, Some(false));
    fixture.hold("a", id, true).await;
    is_locked(fixture.remove("a", id, Governance::Bypassed).await);
    fixture.hold("a", id, false).await;
    fixture.remove("a", id, Governance::Heeded).await.unwrap();
}

#[tokio::test]
async fn of_many_deletions_those_of_locked_versions_fail() {
    let fixture = Fixture::with_locked_bucket().await;
    let mut items = Vec::new();
    for i in 0..30 {
        let name = format!("k{i}");
        let lock = if i % 3 == 0 {
            HELD
        } else {
            ObjectLock::default()
        };
        let version = Some(fixture.put_locked(&name, b"1", lock).await.unwrap());
        items.push(DeleteItem {
            key: key(&name),
            version,
            if_match: None,
        });
    }
    let bucket = bucket("bucket");
    let deleted = fixture
        .store
        .delete_objects(&bucket, items, Governance::Bypassed);
    for (i, deleted) in deleted.await.unwrap().into_iter().enumerate() {
        if i % 3 == 0 {
            is_locked(deleted);
        } else {
            assert!(deleted.unwrap().changed);
        }
    }
    assert_eq!(fixture.count(b'v').await, 10);
}

#[tokio::test]
async fn object_lock_needs_versions_and_keeps_them() {
    let fixture = Fixture::with_bucket().await;
    let (store, bucket) = (&fixture.store, bucket("bucket"));
    let set = store.set_bucket_lock(&bucket, BucketLock::default()).await;
    assert!(matches!(set, Err(StoreError::LockWithoutVersioning)));
    fixture.put("old", b"body").await.unwrap();
    let put = fixture.put_locked("a", b"1", HELD).await;
    assert!(matches!(put, Err(StoreError::NoObjectLock)));
    let lock = retained(RetentionMode::Governance, u64::MAX);
    for (held, retained) in [(HELD, None), (ObjectLock::default(), lock.retention)] {
        let lock = ObjectLock {
            retention: retained,
            ..held
        };
        let checked = store.check_lock(&bucket, &lock).await;
        assert!(matches!(checked, Err(StoreError::NoObjectLock)));
    }
    for versioning in [Versioning::Suspended, Versioning::Enabled] {
        store.set_versioning(&bucket, versioning).await.unwrap();
    }
    fixture.set_default(None).await;
    let suspended = store.set_versioning(&bucket, Versioning::Suspended).await;
    assert!(matches!(suspended, Err(StoreError::LockKeepsVersioning)));
    // What was there before can be locked as well, and stays where a new version comes.
    fixture.hold("old", VersionId::Null, true).await;
    is_locked(
        fixture
            .remove("old", VersionId::Null, Governance::Bypassed)
            .await,
    );
    fixture.put("old", b"new").await.unwrap();
    is_locked(
        fixture
            .remove("old", VersionId::Null, Governance::Bypassed)
            .await,
    );
    assert_eq!(fixture.lock_of("old", VersionId::Null).await, HELD);
}

#[tokio::test]
async fn what_comes_new_is_retained_as_the_bucket_says_unless_it_says_otherwise() {
    let fixture = Fixture::with_locked_bucket().await;
    fixture.set_default(Some(days(2))).await;
    let now = fixture.clock.true_millis();
    let default = retained(RetentionMode::Compliance, now + 2 * millis(DAY));
    let put = fixture.put_locked("a", b"1", ObjectLock::default()).await;
    assert_eq!(fixture.lock_of("a", put.unwrap()).await, default);
    let held = fixture.put_locked("a", b"1", HELD).await.unwrap();
    let expected = ObjectLock {
        legal_hold: Some(true),
        ..default
    };
    assert_eq!(fixture.lock_of("a", held).await, expected);
    let own = retained(RetentionMode::Governance, now + 1);
    let put = fixture.put_locked("a", b"1", own).await.unwrap();
    assert_eq!(fixture.lock_of("a", put).await, own);
    // An upload keeps what it was begun with, and else gets the default of its end.
    let plain = fixture.start("b").await;
    let request = CreateUpload {
        encryption: None,
        bucket: bucket("bucket"),
        key: key("c"),
        headers: Headers::default(),
        tags: Tags::default(),
        checksum: None,
        lock: own,
        acl: ObjectAcl::default(),
    };
    let locked = fixture.store.create_upload(request).await.unwrap();
    fixture.clock.advance(DAY);
    for (name, upload, expected) in [
        (
            "b",
            plain,
            retained(RetentionMode::Compliance, now + 3 * millis(DAY)),
        ),
        ("c", locked, own),
    ] {
        fixture.part(name, upload, 1, b"1").await.unwrap();
        let written = fixture.complete(name, upload, &[(1, b"1")]).await.unwrap();
        let id = written.version.unwrap();
        assert_eq!(fixture.lock_of(name, id).await, expected);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_shortens_no_retention() {
    let mut fixture = Fixture::with_locked_bucket().await;
    fixture.set_default(Some(days(1))).await;
    fixture.clock.advance(10 * DAY);
    fixture.store.mark_time(false).await.unwrap();
    let first = fixture.put_locked("a", b"1", ObjectLock::default()).await;
    fixture.clock.set_behind(9 * DAY);
    for restarts in [false, true] {
        if restarts {
            fixture.restart();
        }
        let now = fixture.clock.true_millis();
        let past = retained(RetentionMode::Governance, now);
        let checked = fixture.store.check_lock(&bucket("bucket"), &past).await;
        assert!(matches!(checked, Err(StoreError::RetentionInPast)));
        let put = fixture.put_locked("a", b"2", ObjectLock::default()).await;
        let until = retained(RetentionMode::Compliance, now + millis(DAY));
        assert_eq!(fixture.lock_of("a", put.unwrap()).await, until);
    }
    // What would be over by the right clock is not, as long as nobody knows.
    fixture.clock.advance(2 * DAY);
    is_locked(
        fixture
            .remove("a", first.unwrap(), Governance::Bypassed)
            .await,
    );
}

#[tokio::test]
async fn the_time_is_marked_now_and_then_and_only_where_there_is_object_lock() {
    let fixture = Fixture::with_bucket().await;
    let revision = async || -> Option<Revision> {
        let found = fixture.meta.get(b"stime").await.unwrap();
        found.map(|found| found.revision)
    };
    fixture.clock.advance(DAY);
    fixture.store.mark_time(true).await.unwrap();
    assert_eq!(revision().await, None);
    let store = &fixture.store;
    store
        .set_versioning(&bucket("bucket"), Versioning::Enabled)
        .await
        .unwrap();
    fixture.set_default(None).await;
    let first = revision().await.unwrap();
    for _ in 0..100 {
        fixture.clock.advance(Duration::from_secs(3));
        store.mark_time(false).await.unwrap();
        fixture.put("a", b"1").await.unwrap();
    }
    assert_eq!(revision().await, Some(first), "5 minutes are not over");
    fixture.clock.advance(Duration::from_secs(1));
    store.mark_time(false).await.unwrap();
    assert!(revision().await.unwrap() > first);
}
