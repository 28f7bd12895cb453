//! Interleavings: what must hold whatever comes between two steps of a request.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    meta::{Committed, Entry, Meta, MetaError, Transaction, Versioned},
    objects::{testing::*, *},
};

const LARGE: &[u8] = &[7; INLINE_MAX * 2];

/// Holds up the first commit that a test names, until it is let go.
#[derive(Debug)]
struct Paused {
    meta: Arc<dyn Meta>,
    /// First byte of the first changed key of the commit to hold up, and how many such to let pass first.
    hold: Mutex<Option<(u8, usize)>>,
    held: Notify,
    go: Notify,
}

impl Paused {
    fn hold(&self, space: u8, after: usize) {
        *self.hold.lock() = Some((space, after));
    }

    fn is_to_be_held(&self, transaction: &Transaction) -> bool {
        let mut hold = self.hold.lock();
        let first = transaction.changes.first().map(|change| change.key[0]);
        match &mut *hold {
            Some((space, 0)) if first == Some(*space) => {
                *hold = None;
                true
            }
            Some((space, after)) if first == Some(*space) => {
                *after -= 1;
                false
            }
            _ => false,
        }
    }
}

#[async_trait]
impl Meta for Paused {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, MetaError> {
        tokio::task::yield_now().await;
        self.meta.get(key).await
    }

    async fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, MetaError> {
        tokio::task::yield_now().await;
        self.meta.scan(from, to, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, MetaError> {
        tokio::task::yield_now().await;
        if self.is_to_be_held(&transaction) {
            self.held.notify_one();
            self.go.notified().await;
        }
        self.meta.commit(transaction).await
    }

    fn tally(&self, group: u64) -> Tally {
        self.meta.tally(group)
    }
}

/// A fixture whose commits can be held up.
async fn paused() -> (Arc<Fixture>, Arc<Paused>) {
    let mut paused = None;
    let fixture = Fixture::with_meta(|meta| {
        let wrapper = Paused {
            meta,
            hold: Mutex::default(),
            held: Notify::default(),
            go: Notify::default(),
        };
        let wrapper = Arc::new(wrapper);
        paused = Some(Arc::clone(&wrapper));
        wrapper
    });
    fixture.create("bucket").await.unwrap();
    (Arc::new(fixture), paused.unwrap())
}

/// Runs `first` up to its commit of a key of `space`, then all of `second`, then the rest of `first`.
async fn between<A: Send + 'static, B>(
    paused: &Paused,
    space: u8,
    first: impl Future<Output = A> + Send + 'static,
    second: impl Future<Output = B>,
) -> (A, B) {
    paused.hold(space, 0);
    let task = tokio::spawn(first);
    paused.held.notified().await;
    let second = second.await;
    paused.go.notify_one();
    (task.await.unwrap(), second)
}

#[tokio::test]
async fn one_of_many_if_none_match_puts_wins() {
    let (fixture, _) = paused().await;
    let created = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..32_u8)
        .map(|i| {
            let (fixture, created) = (Arc::clone(&fixture), Arc::clone(&created));
            tokio::spawn(async move {
                let if_absent = WriteConditions {
                    if_none_match_any: true,
                    ..Default::default()
                };
                match fixture.put_if("a", &[i; 300], if_absent).await {
                    Ok(_) => created.fetch_add(1, Ordering::SeqCst),
                    Err(StoreError::PreconditionFailed { .. }) => 0,
                    Err(error) => panic!("{error}"),
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(created.load(Ordering::SeqCst), 1);
    assert_eq!(extents(&fixture.pool), 1, "bodies of the losers stay");
}

#[tokio::test]
async fn unconditional_puts_of_one_key_all_succeed() {
    let (fixture, _) = paused().await;
    let tasks: Vec<_> = (0..100_u8)
        .map(|i| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move { fixture.put("a", &[i; 300]).await.map(drop) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    fixture.sweep().await;
    assert_eq!((extents(&fixture.pool), fixture.count(b'g').await), (1, 0));
    assert_eq!(fixture.get("a").await.unwrap().len(), 300);
}

#[tokio::test]
async fn compare_and_swap_loses_no_update() {
    let (fixture, _) = paused().await;
    fixture.put("n", b"0").await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move {
                loop {
                    let body = fixture.get("n").await.unwrap();
                    let number: u32 = String::from_utf8(body.clone()).unwrap().parse().unwrap();
                    let unchanged = WriteConditions {
                        if_match: Some(etag(&body).into()),
                        ..Default::default()
                    };
                    let next = (number + 1).to_string();
                    match fixture.put_if("n", next.as_bytes(), unchanged).await {
                        Ok(_) => return,
                        Err(StoreError::PreconditionFailed { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(fixture.get("n").await.unwrap(), b"8");
}

/// The deletion has found the bucket empty and marked it; then an object comes in.
#[tokio::test]
async fn a_put_during_the_deletion_of_its_bucket_stops_it() {
    let (fixture, paused) = paused().await;
    paused.hold(b'b', 1);
    let deletion = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.store.delete_bucket(&bucket("bucket")).await }
    });
    paused.held.notified().await;
    fixture.put("a", LARGE).await.unwrap();
    paused.go.notify_one();
    assert!(matches!(
        deletion.await.unwrap(),
        Err(StoreError::BucketNotEmpty)
    ));
    assert_eq!(fixture.get("a").await.unwrap(), LARGE);
    fixture.delete("a").await.unwrap();
    fixture
        .store
        .delete_bucket(&bucket("bucket"))
        .await
        .unwrap();
}

/// The put has read the bucket; then the bucket is deleted.
#[tokio::test]
async fn a_put_after_the_deletion_of_its_bucket_leaves_nothing() {
    let (fixture, paused) = paused().await;
    let put = {
        let fixture = Arc::clone(&fixture);
        async move { fixture.put("a", LARGE).await }
    };
    let (put, deleted) = between(
        &paused,
        b'o',
        put,
        fixture.store.delete_bucket(&bucket("bucket")),
    )
    .await;
    deleted.unwrap();
    assert!(matches!(put, Err(StoreError::NoSuchBucket)));
    assert_eq!((fixture.count(b'o').await, extents(&fixture.pool)), (0, 0));
}

/// As above, but there is another bucket of the name already.
#[tokio::test]
async fn a_put_meant_for_a_deleted_bucket_goes_to_the_new_one_of_its_name() {
    let (fixture, paused) = paused().await;
    let put = {
        let fixture = Arc::clone(&fixture);
        async move { fixture.put("a", LARGE).await }
    };
    let recreate = async {
        fixture
            .store
            .delete_bucket(&bucket("bucket"))
            .await
            .unwrap();
        fixture.create("bucket").await.unwrap();
    };
    let (put, ()) = between(&paused, b'o', put, recreate).await;
    put.unwrap();
    assert_eq!(fixture.get("a").await.unwrap(), LARGE);
    assert_eq!(fixture.count(b'o').await, 1);
}

/// Completions of few parts and of many, each with a part that is put again between reading and commit.
#[tokio::test]
async fn a_part_put_during_completion_is_either_in_it_or_fails_it() {
    for count in [3_u32, 60] {
        let (fixture, paused) = paused().await;
        let id = fixture.start("a").await;
        for n in 1..=count {
            fixture.part("a", id, n, LARGE).await.unwrap();
        }
        let parts: Vec<_> = (1..=count).map(|n| (n, LARGE)).collect();
        let complete = {
            let fixture = Arc::clone(&fixture);
            async move { fixture.complete("a", id, &parts).await }
        };
        let other = [9; 300];
        let (completed, put) =
            between(&paused, b'o', complete, fixture.part("a", id, 2, &other)).await;
        put.unwrap();
        assert!(
            matches!(completed, Err(StoreError::InvalidPart { number: 2 })),
            "{completed:?}"
        );
        let parts: Vec<_> = (1..=count)
            .map(|n| (n, if n == 2 { &other[..] } else { LARGE }))
            .collect();
        fixture.complete("a", id, &parts).await.unwrap();
        let expected = parts
            .iter()
            .flat_map(|(_, body)| body.to_vec())
            .collect::<Vec<_>>();
        assert_eq!(fixture.get("a").await.unwrap(), expected);
        fixture.sweep().await;
        assert_eq!(extents(&fixture.pool), count as usize);
    }
}

/// A part that the completion does not name comes in just before its commit.
#[tokio::test]
async fn an_unnamed_part_put_during_completion_leaves_nothing() {
    for count in [3_u32, 60] {
        let (fixture, paused) = paused().await;
        let id = fixture.start("a").await;
        for n in 1..=count {
            fixture.part("a", id, n, LARGE).await.unwrap();
        }
        let parts: Vec<_> = (1..=count).map(|n| (n, LARGE)).collect();
        let complete = {
            let fixture = Arc::clone(&fixture);
            async move { fixture.complete("a", id, &parts).await }
        };
        let (completed, put) =
            between(&paused, b'o', complete, fixture.part("a", id, 999, LARGE)).await;
        put.unwrap();
        completed.unwrap();
        fixture.sweep().await;
        assert_eq!(
            fixture.get("a").await.unwrap().len(),
            LARGE.len() * count as usize
        );
        assert_eq!(extents(&fixture.pool), count as usize);
        assert_eq!(fixture.count(b'p').await, count as usize);
    }
}

/// The part has read its upload; then the upload is completed.
#[tokio::test]
async fn a_part_after_completion_leaves_nothing() {
    let (fixture, paused) = paused().await;
    let id = fixture.start("a").await;
    fixture.part("a", id, 1, LARGE).await.unwrap();
    let part = {
        let fixture = Arc::clone(&fixture);
        async move { fixture.part("a", id, 2, LARGE).await }
    };
    let (put, completed) = between(
        &paused,
        b'p',
        part,
        fixture.complete("a", id, &[(1, LARGE)]),
    )
    .await;
    completed.unwrap();
    assert!(matches!(put, Err(StoreError::NoSuchUpload)));
    fixture.sweep().await;
    assert_eq!((extents(&fixture.pool), fixture.count(b'p').await), (1, 1));
}

#[tokio::test]
async fn concurrent_completions_answer_the_same() {
    let (fixture, paused) = paused().await;
    let id = fixture.start("a").await;
    fixture.part("a", id, 1, LARGE).await.unwrap();
    let complete = {
        let fixture = Arc::clone(&fixture);
        async move { fixture.complete("a", id, &[(1, LARGE)]).await }
    };
    let (first, second) = between(
        &paused,
        b'o',
        complete,
        fixture.complete("a", id, &[(1, LARGE)]),
    )
    .await;
    assert_eq!(first.unwrap(), second.unwrap());
    fixture.sweep().await;
    assert_eq!(fixture.get("a").await.unwrap(), LARGE);
}

/// The caller of a put goes away while the commit is under way: what the commit names stays.
#[tokio::test]
async fn a_cancelled_put_keeps_what_its_commit_names() {
    let (fixture, paused) = paused().await;
    paused.hold(b'o', 0);
    let put = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.put("a", LARGE).await }
    });
    paused.held.notified().await;
    put.abort();
    assert!(put.await.unwrap_err().is_cancelled());
    paused.go.notify_one();
    while fixture.count(b'o').await == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.get("a").await.unwrap(), LARGE);
}

/// Fails one commit with an unknown outcome although it happens.
#[derive(Debug)]
struct Uncertain {
    meta: Arc<dyn Meta>,
    left: AtomicUsize,
}

#[async_trait]
impl Meta for Uncertain {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, MetaError> {
        self.meta.get(key).await
    }

    async fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, MetaError> {
        self.meta.scan(from, to, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, MetaError> {
        let committed = self.meta.commit(transaction).await?;
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            return Err(MetaError::Unavailable("no answer".into()));
        }
        Ok(committed)
    }

    fn tally(&self, group: u64) -> Tally {
        self.meta.tally(group)
    }
}

#[tokio::test]
async fn a_put_of_unknown_outcome_keeps_its_extents() {
    let fixture = Fixture::with_meta(|meta| {
        Arc::new(Uncertain {
            meta,
            left: AtomicUsize::new(2),
        })
    });
    fixture.create("bucket").await.unwrap();
    assert!(matches!(
        fixture.put("a", LARGE).await,
        Err(StoreError::Unavailable(_))
    ));
    assert_eq!(fixture.get("a").await.unwrap(), LARGE);
}

#[tokio::test]
async fn a_reader_of_a_document_sees_one_that_was_set() {
    let fixture = Fixture::with_meta(|meta| {
        Arc::new(Paused {
            meta,
            hold: Mutex::default(),
            held: Notify::new(),
            go: Notify::new(),
        })
    });
    fixture.create("bucket").await.unwrap();
    let name = bucket("bucket");
    let write = async || {
        for round in 1..=100_u8 {
            let document = vec![round; 50_000 * usize::from(round % 4 + 1)];
            let set = fixture
                .store
                .set_document(&name, DocumentKind::Cors, Some(&document));
            set.await.unwrap();
        }
    };
    let read = async || {
        let mut seen = 0;
        while seen < 100 {
            tokio::task::yield_now().await;
            let found = fixture.store.document(&name, DocumentKind::Cors).await;
            if let Some(document) = found.unwrap() {
                let round = document.bytes()[0];
                assert!(round >= seen, "never an older one");
                assert_eq!(
                    *document.bytes(),
                    vec![round; 50_000 * usize::from(round % 4 + 1)]
                );
                seen = round;
            }
        }
    };
    tokio::join!(write(), read(), read());
}

/// A fixture whose bucket has object lock, with a version of `a`.
async fn lockable() -> (Arc<Fixture>, Arc<Paused>, VersionId) {
    let (fixture, paused) = paused().await;
    let bucket = bucket("bucket");
    let enabled = Versioning::Enabled;
    fixture
        .store
        .set_versioning(&bucket, enabled)
        .await
        .unwrap();
    fixture.set_default(None).await;
    let id = fixture.put_locked("a", LARGE, ObjectLock::default()).await;
    let id = id.unwrap();
    (fixture, paused, id)
}

async fn retain(fixture: &Fixture, id: VersionId) -> Result<(), StoreError> {
    let retention = Some(Retention {
        mode: RetentionMode::Compliance,
        until_unix_millis: u64::MAX,
    });
    let (bucket, key, heed) = (bucket("bucket"), key("a"), Governance::Heeded);
    let store = &fixture.store;
    store
        .set_retention(&bucket, &key, Some(id), retention, heed)
        .await
}

#[tokio::test]
async fn a_version_that_is_locked_before_its_deletion_is_committed_stays() {
    let (fixture, paused, id) = lockable().await;
    let deleting = Arc::clone(&fixture);
    let delete = async move { deleting.remove("a", id, Governance::Bypassed).await };
    let (deleted, locked) = between(&paused, b'v', delete, retain(&fixture, id)).await;
    locked.unwrap();
    assert!(matches!(deleted, Err(StoreError::Locked)), "{deleted:?}");
    fixture.sweep().await;
    assert_eq!(fixture.get("a").await.unwrap(), LARGE);
}

#[tokio::test]
async fn so_it_does_where_it_is_one_of_many_to_delete() {
    let (fixture, paused, id) = lockable().await;
    let deleting = Arc::clone(&fixture);
    let delete = async move {
        let item = DeleteItem {
            key: key("a"),
            version: Some(id),
            if_match: None,
        };
        let (bucket, heed) = (bucket("bucket"), Governance::Heeded);
        deleting
            .store
            .delete_objects(&bucket, vec![item], heed)
            .await
    };
    let (deleted, locked) = between(&paused, b'v', delete, retain(&fixture, id)).await;
    locked.unwrap();
    let deleted = &deleted.unwrap()[0];
    assert!(matches!(deleted, Err(StoreError::Locked)), "{deleted:?}");
    assert_eq!(fixture.get("a").await.unwrap(), LARGE);
}

#[tokio::test]
async fn a_version_that_is_deleted_before_its_lock_is_committed_is_not_locked() {
    let (fixture, paused, id) = lockable().await;
    let locking = Arc::clone(&fixture);
    let lock = async move { retain(&locking, id).await };
    let delete = fixture.remove("a", id, Governance::Heeded);
    let (locked, deleted) = between(&paused, b'v', lock, delete).await;
    assert!(deleted.unwrap().changed);
    assert!(matches!(locked, Err(StoreError::NoSuchVersion)));
    assert_eq!(fixture.count(b'v').await, 0, "it does not come back");
}

#[tokio::test]
async fn a_null_version_that_is_locked_is_not_replaced_by_a_write_that_saw_it_unlocked() {
    let (fixture, paused) = paused().await;
    let bucket = bucket("bucket");
    let set = async |versioning| {
        let set = fixture.store.set_versioning(&bucket, versioning);
        set.await.unwrap();
    };
    set(Versioning::Suspended).await;
    fixture.put("a", LARGE).await.unwrap();
    let putting = Arc::clone(&fixture);
    let put = async move { putting.put("a", &[1; 300]).await };
    let lock = async {
        set(Versioning::Enabled).await;
        fixture.set_default(None).await;
        retain(&fixture, VersionId::Null).await
    };
    // The commit begins with the garbage task for the body that it would replace.
    let (put, locked) = between(&paused, b'g', put, lock).await;
    locked.unwrap();
    assert_ne!(put.unwrap().version, Some(VersionId::Null));
    let null = fixture
        .store
        .object_version(&bucket, &key("a"), Some(VersionId::Null))
        .await;
    let null = null.unwrap();
    assert_eq!(null.info().size, LARGE.len() as u64);
}
