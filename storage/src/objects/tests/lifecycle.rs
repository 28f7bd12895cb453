//! Lifecycle rules applied to a store in memory.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    objects::{testing::*, *},
    upkeep::Lifecycles,
};

pub(super) const DAY: Duration = Duration::from_hours(24);

pub(super) fn rule(id: &str) -> LifecycleRule {
    LifecycleRule {
        id: id.to_owned(),
        is_enabled: true,
        ..LifecycleRule::default()
    }
}

pub(super) fn expires_after(days: u32) -> LifecycleRule {
    LifecycleRule {
        expiration: Some(Expiration::AfterDays(days)),
        ..rule("expires")
    }
}

fn noncurrent_after(days: u32, newer_versions: Option<u32>) -> LifecycleRule {
    LifecycleRule {
        noncurrent: Some(NoncurrentExpiration {
            days,
            newer_versions,
        }),
        ..rule("noncurrent")
    }
}

impl Fixture {
    pub(super) fn lifecycles(&self) -> Arc<Lifecycles> {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Lifecycles::new(Arc::clone(&self.meta), self.store.clone(), clock)
    }

    pub(super) async fn set_rules(&self, rules: Vec<LifecycleRule>) {
        let lifecycle = Lifecycle { rules };
        let bucket = bucket("bucket");
        let set = self.store.set_lifecycle(&bucket, Some(&lifecycle)).await;
        set.unwrap();
    }

    /// Names, versions (`None` for null) and whether they are delete markers, the newest first.
    pub(super) async fn versions(&self) -> Vec<(String, VersionId, bool)> {
        let all = ListVersions {
            bucket: bucket("bucket"),
            prefix: String::new(),
            delimiter: String::new(),
            after: String::new(),
            after_version: None,
            limit: 100_000,
        };
        let page = self.store.list_versions(all).await.unwrap();
        let version = |entry| match entry {
            VersionEntry::Version(version) => version,
            VersionEntry::CommonPrefix(_) => panic!("there is no delimiter"),
        };
        let versions = page.entries.into_iter().map(version);
        versions
            .map(|v| (v.object.key.as_str().to_owned(), v.id, v.is_delete_marker))
            .collect()
    }

    async fn version_it(&self, versioning: Versioning) {
        let bucket = bucket("bucket");
        let set = self.store.set_versioning(&bucket, versioning).await;
        set.unwrap();
    }
}

#[tokio::test]
async fn objects_expire_at_the_midnight_after_their_days_and_their_bytes_go() {
    let fixture = Fixture::with_bucket().await;
    let lifecycles = fixture.lifecycles();
    for i in 0..100 {
        fixture.put(&format!("old/{i}"), &[7; 300]).await.unwrap();
    }
    fixture.put("kept", b"body").await.unwrap();
    let filter = LifecycleFilter {
        prefix: Some("old/".to_owned()),
        ..LifecycleFilter::default()
    };
    let rule = LifecycleRule {
        filter,
        ..expires_after(2)
    };
    fixture.set_rules(vec![rule]).await;
    fixture.clock.advance(2 * DAY);
    lifecycles.look_for_work().await.unwrap();
    assert_eq!(fixture.count(b'o').await, 101, "midnight is still to come");
    fixture.clock.advance(DAY);
    fixture.put("old/new", b"body").await.unwrap();
    lifecycles.look_for_work().await.unwrap();
    let left: Vec<_> = fixture.versions().await;
    let left: Vec<_> = left.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(left, ["kept", "old/new"]);
    fixture.sweep().await;
    assert_eq!(extents(&fixture.pool), 0);
    let status = lifecycles.status();
    assert_eq!((status.totals.objects, status.passes), (100, 2));
    assert_eq!(status.last.looked_at, 101, "only what the rule is about");
}

#[tokio::test]
async fn where_there_are_versions_a_delete_marker_comes_first_and_then_all_goes() {
    let fixture = Fixture::with_bucket().await;
    let lifecycles = fixture.lifecycles();
    fixture.put("plain", b"null").await.unwrap();
    fixture.version_it(Versioning::Enabled).await;
    for body in [b"one", b"two"] {
        fixture.put("a", body).await.unwrap();
    }
    let rules = vec![expires_after(1), noncurrent_after(3, None)];
    fixture.set_rules(rules).await;
    let mut counts = Vec::new();
    for _ in 0..8 {
        fixture.clock.advance(DAY);
        lifecycles.look_for_work().await.unwrap();
        let versions = fixture.versions().await;
        let markers = versions.iter().filter(|(_, _, is_marker)| *is_marker);
        counts.push((versions.len(), markers.count()));
    }
    // Expired on the second day; the older version of `a` on the fourth, what the markers hid on the fifth or sixth, then the markers.
    assert_eq!(counts[0], (3, 0));
    assert_eq!(counts[1], (5, 2));
    assert_eq!(counts[7], (0, 0));
    assert_eq!(fixture.count(b'v').await + fixture.count(b'o').await, 0);
    let totals = lifecycles.status().totals;
    assert_eq!(
        (totals.objects, totals.versions, totals.delete_markers),
        (2, 3, 2)
    );
}

#[tokio::test]
async fn noncurrent_versions_beyond_a_number_go_and_the_current_one_stays() {
    let fixture = Fixture::with_bucket().await;
    fixture.version_it(Versioning::Enabled).await;
    let mut ids = Vec::new();
    for i in 0..60_u8 {
        let written = fixture.put("a", &[i; 200]).await.unwrap();
        ids.push(written.version.unwrap());
    }
    fixture.set_rules(vec![noncurrent_after(1, Some(5))]).await;
    fixture.clock.advance(3 * DAY);
    fixture.lifecycles().look_for_work().await.unwrap();
    let left: Vec<_> = fixture.versions().await;
    let left: Vec<_> = left.into_iter().map(|(_, id, _)| id).collect();
    let expected: Vec<_> = ids.into_iter().rev().take(6).collect();
    assert_eq!(left, expected);
    fixture.sweep().await;
    assert_eq!(extents(&fixture.pool), 6);
}

#[tokio::test]
async fn locked_versions_do_not_expire() {
    let fixture = Fixture::with_locked_bucket().await;
    let held = ObjectLock {
        legal_hold: Some(true),
        ..ObjectLock::default()
    };
    for lock in [held, ObjectLock::default()] {
        fixture.put_locked("a", b"1", lock).await.unwrap();
    }
    fixture.put("a", b"current").await.unwrap();
    fixture.set_rules(vec![noncurrent_after(1, None)]).await;
    fixture.clock.advance(3 * DAY);
    let lifecycles = fixture.lifecycles();
    lifecycles.look_for_work().await.unwrap();
    assert_eq!(fixture.versions().await.len(), 2);
    let last = lifecycles.status().last;
    assert_eq!((last.versions, last.locked), (1, 1));
}

#[tokio::test]
async fn uploads_that_nobody_completes_are_given_up() {
    let fixture = Fixture::with_bucket().await;
    let uploads: Vec<_> = ["a/1", "a/2", "b"].into();
    for name in &uploads {
        let upload = fixture.start(name).await;
        fixture.part(name, upload, 1, &[1; 300]).await.unwrap();
    }
    let filter = LifecycleFilter {
        prefix: Some("a/".to_owned()),
        ..LifecycleFilter::default()
    };
    let rule = LifecycleRule {
        filter,
        abort_uploads_after_days: Some(1),
        ..rule("uploads")
    };
    fixture.set_rules(vec![rule]).await;
    let lifecycles = fixture.lifecycles();
    lifecycles.look_for_work().await.unwrap();
    assert_eq!(fixture.count(b'u').await, 3);
    fixture.clock.advance(2 * DAY);
    lifecycles.look_for_work().await.unwrap();
    assert_eq!(fixture.count(b'u').await, 1);
    assert_eq!(lifecycles.status().totals.uploads, 2);
    fixture.sweep().await;
    assert_eq!(extents(&fixture.pool), 1);
}

#[tokio::test]
async fn tags_and_sizes_choose() {
    let fixture = Fixture::with_bucket().await;
    let tags = Tags(vec![("k".into(), "v".into()), ("x".into(), "y".into())]);
    for (name, size, is_tagged) in [("fits", 20, true), ("small", 10, true), ("bare", 20, false)] {
        let request = PutObject {
            tags: if is_tagged {
                tags.clone()
            } else {
                Tags::default()
            },
            ..fixture.request(name, &vec![1; size]).await
        };
        fixture.store.put_object(request).await.unwrap();
    }
    let filter = LifecycleFilter {
        form: FilterForm::All,
        tags: vec![("k".into(), "v".into())],
        larger_than: Some(10),
        ..LifecycleFilter::default()
    };
    let rule = LifecycleRule {
        filter,
        ..expires_after(1)
    };
    fixture.set_rules(vec![rule]).await;
    let (bucket, now) = (bucket("bucket"), fixture.clock.unix_millis());
    let (key, what) = (key("fits"), (20, now));
    let expiry = fixture.store.expiry(&bucket, &key, what, &tags);
    let day = u64::try_from(DAY.as_millis()).unwrap();
    let expected = Expiry {
        unix_millis: 2 * day,
        rule: "expires".to_owned(),
    };
    assert_eq!(expiry.await.unwrap(), Some(expected));
    fixture.clock.advance(2 * DAY);
    fixture.lifecycles().look_for_work().await.unwrap();
    let left: Vec<_> = fixture.versions().await;
    let left: Vec<_> = left.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(left, ["bare", "small"]);
}

#[tokio::test]
async fn a_pass_goes_on_after_a_restart_where_it_was_and_only_the_next_day_begins_another() {
    let mut fixture = Fixture::with_bucket().await;
    for i in 0..2500 {
        fixture.put(&format!("{i:05}"), b"").await.unwrap();
    }
    fixture.set_rules(vec![expires_after(1)]).await;
    fixture.clock.advance(2 * DAY);
    let first = fixture.lifecycles();
    first.begin_pass().await.unwrap();
    for _ in 0..2 {
        first.one_step().await.unwrap();
    }
    let gone = 2500 - fixture.count(b'o').await;
    assert_eq!(gone, 1000, "a page; the step before it finds the bucket");
    first.remember().await.unwrap();
    fixture.restart();
    let second = fixture.lifecycles();
    second.look_for_work().await.unwrap();
    assert_eq!(fixture.count(b'o').await, 0);
    let status = second.status();
    assert_eq!((status.last.objects, status.totals.objects), (2500, 1500));
    second.look_for_work().await.unwrap();
    assert_eq!(second.status().passes, 1);
    fixture.clock.advance(DAY);
    second.look_for_work().await.unwrap();
    assert_eq!(second.status().passes, 2);
}

#[tokio::test]
async fn a_pass_that_found_nothing_is_not_made_again_after_a_restart() {
    let mut fixture = Fixture::with_bucket().await;
    let expired = LifecycleRule {
        expiration: Some(Expiration::OnDate(0)),
        ..rule("at once")
    };
    fixture.set_rules(vec![expired]).await;
    fixture.lifecycles().look_for_work().await.unwrap();
    fixture.restart();
    fixture.put("a", b"1").await.unwrap();
    let second = fixture.lifecycles();
    second.look_for_work().await.unwrap();
    assert_eq!((second.status().passes, fixture.count(b'o').await), (0, 1));
    fixture.clock.advance(DAY);
    second.look_for_work().await.unwrap();
    assert_eq!((second.status().passes, fixture.count(b'o').await), (1, 0));
}

#[tokio::test]
async fn rules_that_are_set_apply_soon_and_removed_ones_no_more() {
    let fixture = Fixture::with_bucket().await;
    let lifecycles = fixture.lifecycles();
    lifecycles.look_for_work().await.unwrap();
    fixture.put("a", b"1").await.unwrap();
    let rule = LifecycleRule {
        expiration: Some(Expiration::OnDate(0)),
        ..rule("at once")
    };
    fixture.set_rules(vec![rule]).await;
    lifecycles.look_for_work().await.unwrap();
    assert_eq!(fixture.count(b'o').await, 0, "the day has not changed");
    let (store, bucket) = (&fixture.store, bucket("bucket"));
    store.set_lifecycle(&bucket, None).await.unwrap();
    assert_eq!(store.lifecycle(&bucket).await.unwrap(), None);
    fixture.put("a", b"1").await.unwrap();
    fixture.clock.advance(3 * DAY);
    lifecycles.look_for_work().await.unwrap();
    assert_eq!(fixture.count(b'o').await, 1);
}
