//! What every metadata engine promises, as tests. An engine's own tests call [`run`] with a way to make an empty engine.
//! Durability and inline blobs are each engine's own matter.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;

use super::{
    Change, MAX_COMMIT_KEYS, MAX_KEY_BYTES, MAX_VALUE_BYTES, Meta, MetaError, Precondition,
    Revision, Transaction,
};

type Engine = Arc<dyn Meta>;

/// Runs the whole suite, each test on an engine of its own.
pub(crate) async fn run<F: Future<Output = Engine>>(make: impl Fn() -> F) {
    gets_what_was_committed(make().await).await;
    deletes_are_final_and_repeatable(make().await).await;
    scans_are_ordered_bounded_and_half_open(make().await).await;
    scans_in_pages_see_each_key_once(make().await).await;
    preconditions_guard_all_changes(make().await).await;
    a_recreated_key_has_another_revision(make().await).await;
    revisions_are_unique_and_grow(make().await).await;
    limits_are_enforced_without_effect(make().await).await;
    the_largest_transaction_is_accepted(make().await).await;
    conditional_increments_lose_nothing(make().await).await;
    one_of_many_concurrent_creations_wins(make().await).await;
    commits_are_atomic_to_scans(make().await).await;
}

fn bytes(text: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(text.as_ref())
}

fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Change {
    Change {
        key: bytes(key),
        value: Some(bytes(value)),
    }
}

fn delete(key: impl AsRef<[u8]>) -> Change {
    Change {
        key: bytes(key),
        value: None,
    }
}

fn at(key: impl AsRef<[u8]>, revision: Option<Revision>) -> Precondition {
    Precondition {
        key: bytes(key),
        revision,
    }
}

fn of(changes: Vec<Change>, preconditions: Vec<Precondition>) -> Transaction {
    Transaction {
        changes,
        preconditions,
        ..Transaction::default()
    }
}

async fn commit(meta: &Engine, changes: Vec<Change>) -> Revision {
    meta.commit(of(changes, vec![])).await.unwrap().revision
}

async fn value(meta: &Engine, key: impl AsRef<[u8]>) -> Option<Bytes> {
    meta.get(key.as_ref())
        .await
        .unwrap()
        .map(|found| found.value)
}

async fn keys(meta: &Engine, from: &str, to: &str, limit: usize) -> Vec<Bytes> {
    let entries = meta
        .scan(from.as_bytes(), to.as_bytes(), limit)
        .await
        .unwrap();
    entries.into_iter().map(|entry| entry.key).collect()
}

async fn gets_what_was_committed(meta: Engine) {
    assert_eq!(value(&meta, "a").await, None);
    let revision = commit(
        &meta,
        vec![put("a", "1"), put("b", ""), put(b"c\0\xff", b"\0\xff")],
    )
    .await;
    let found = meta.get(b"a").await.unwrap().unwrap();
    assert_eq!((found.revision, found.value), (revision, bytes("1")));
    assert_eq!(value(&meta, "b").await, Some(bytes("")));
    assert_eq!(value(&meta, b"c\0\xff").await, Some(bytes(b"\0\xff")));
    assert_eq!(value(&meta, "c").await, None);
    commit(&meta, vec![put("a", "2")]).await;
    assert_eq!(value(&meta, "a").await, Some(bytes("2")));
}

async fn deletes_are_final_and_repeatable(meta: Engine) {
    commit(&meta, vec![put("a", "1"), put("b", "1")]).await;
    commit(&meta, vec![delete("a")]).await;
    commit(&meta, vec![delete("a"), delete("never")]).await;
    assert_eq!(value(&meta, "a").await, None);
    assert_eq!(keys(&meta, "a", "z", 10).await, [bytes("b")]);
}

async fn scans_are_ordered_bounded_and_half_open(meta: Engine) {
    for key in ["c", "a", "ab", "b", "a\0"] {
        commit(&meta, vec![put(key, key)]).await;
    }
    assert_eq!(
        keys(&meta, "a", "c", 10).await,
        ["a", "a\0", "ab", "b"].map(bytes)
    );
    assert_eq!(keys(&meta, "a\0", "b", 10).await, ["a\0", "ab"].map(bytes));
    assert_eq!(keys(&meta, "a", "z", 2).await, ["a", "a\0"].map(bytes));
    for (from, to, limit) in [("a", "a", 9), ("b", "a", 9), ("d", "z", 9), ("a", "z", 0)] {
        assert_eq!(
            keys(&meta, from, to, limit).await,
            [] as [Bytes; 0],
            "{from}..{to}"
        );
    }
    let entries = meta.scan(b"ab", b"b", 1).await.unwrap();
    let found = meta.get(b"ab").await.unwrap().unwrap();
    assert_eq!(
        (entries[0].revision, &entries[0].value),
        (found.revision, &found.value)
    );
}

async fn scans_in_pages_see_each_key_once(meta: Engine) {
    for chunk in 0..10 {
        commit(
            &meta,
            (0..50)
                .map(|i| put(format!("k{:04}", i * 10 + chunk), "v"))
                .collect(),
        )
        .await;
    }
    let (mut from, mut seen) = (b"k".to_vec(), Vec::new());
    loop {
        let page = meta.scan(&from, b"l", 7).await.unwrap();
        seen.extend(page.iter().map(|entry| entry.key.clone()));
        let Some(last) = page.last().filter(|_| page.len() == 7) else {
            break;
        };
        from = [&last.key[..], &[0]].concat();
    }
    let expected: Vec<_> = (0..500).map(|i| bytes(format!("k{i:04}"))).collect();
    assert_eq!(seen, expected);
}

async fn preconditions_guard_all_changes(meta: Engine) {
    let first = commit(&meta, vec![put("a", "1")]).await;
    let refused = [
        vec![at("a", None)],
        vec![at("a", Some(Revision(first.0 + 1)))],
        vec![at("b", Some(first))],
        vec![at("b", None), at("a", None)],
    ];
    for preconditions in refused {
        let failed = meta
            .commit(of(vec![put("a", "2"), put("c", "2")], preconditions))
            .await;
        assert!(
            matches!(failed, Err(MetaError::Conflict { .. })),
            "{failed:?}"
        );
    }
    let Err(MetaError::Conflict { key }) = meta
        .commit(of(vec![delete("z")], vec![at("a", None)]))
        .await
    else {
        panic!("no conflict");
    };
    assert_eq!(key, "a");
    assert_eq!(
        (value(&meta, "a").await, value(&meta, "c").await),
        (Some(bytes("1")), None)
    );
    let holds = vec![at("a", Some(first)), at("b", None)];
    meta.commit(of(vec![put("a", "2"), put("b", "2")], holds))
        .await
        .unwrap();
    assert_eq!(value(&meta, "b").await, Some(bytes("2")));
}

async fn a_recreated_key_has_another_revision(meta: Engine) {
    let first = commit(&meta, vec![put("a", "1")]).await;
    commit(&meta, vec![delete("a")]).await;
    meta.commit(of(vec![put("b", "1")], vec![at("a", None)]))
        .await
        .unwrap();
    commit(&meta, vec![put("a", "1")]).await;
    let stale = meta
        .commit(of(vec![delete("a")], vec![at("a", Some(first))]))
        .await;
    assert!(matches!(stale, Err(MetaError::Conflict { .. })));
}

async fn revisions_are_unique_and_grow(meta: Engine) {
    let mut last = Revision(0);
    for i in 0..100 {
        let revision = commit(&meta, vec![put(format!("k{}", i % 7), "v")]).await;
        assert!(revision > last);
        last = revision;
    }
    let commits = (0..64).map(|i| {
        let meta = Arc::clone(&meta);
        tokio::spawn(async move { commit(&meta, vec![put(format!("c{i}"), "v")]).await })
    });
    let mut seen = HashSet::new();
    for task in commits.collect::<Vec<_>>() {
        let revision = task.await.unwrap();
        assert!(revision > last && seen.insert(revision));
    }
}

async fn limits_are_enforced_without_effect(meta: Engine) {
    let many = (0..=MAX_COMMIT_KEYS)
        .map(|i| put(format!("m{i:03}"), "v"))
        .collect();
    let large = (0..20)
        .map(|i| put(format!("m{i:03}"), vec![0; 60 << 10]))
        .collect();
    let refused = [
        many,
        large,
        vec![put("m", "v"), put("n", vec![0; MAX_VALUE_BYTES + 1])],
        vec![put("m", "v"), put(vec![b'n'; MAX_KEY_BYTES + 1], "v")],
        vec![put("m", "v"), put("m", "w")],
    ];
    for changes in refused {
        let failed = meta.commit(of(changes, vec![])).await;
        assert!(matches!(failed, Err(MetaError::TooLarge(_))), "{failed:?}");
    }
    assert_eq!(keys(&meta, "m", "o", 10).await, [] as [Bytes; 0]);
}

async fn the_largest_transaction_is_accepted(meta: Engine) {
    let mut changes: Vec<_> = (0..MAX_COMMIT_KEYS / 2)
        .map(|i| put(format!("{i:02}{}", "k".repeat(1000)), "v"))
        .collect();
    changes[0] = put("large", vec![7; MAX_VALUE_BYTES]);
    let preconditions = changes.iter().map(|change| at(&change.key, None)).collect();
    meta.commit(of(changes, preconditions)).await.unwrap();
    assert_eq!(value(&meta, "large").await.unwrap().len(), MAX_VALUE_BYTES);
    assert_eq!(keys(&meta, "0", "z", 1000).await.len(), MAX_COMMIT_KEYS / 2);
}

/// Adds one to a counter, as often as it takes.
async fn increment(meta: Engine) {
    loop {
        let found = meta.get(b"n").await.unwrap();
        let number = found.as_ref().map_or(0, |found| {
            u64::from_be_bytes(found.value.as_ref().try_into().unwrap())
        });
        let revision = found.map(|found| found.revision);
        let change = put("n", (number + 1).to_be_bytes());
        match meta.commit(of(vec![change], vec![at("n", revision)])).await {
            Ok(_) => return,
            Err(MetaError::Conflict { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn conditional_increments_lose_nothing(meta: Engine) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let meta = Arc::clone(&meta);
            tokio::spawn(async move {
                for _ in 0..125 {
                    increment(Arc::clone(&meta)).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(value(&meta, "n").await, Some(bytes(1000_u64.to_be_bytes())));
}

async fn one_of_many_concurrent_creations_wins(meta: Engine) {
    let tasks: Vec<_> = (0..32)
        .map(|i| {
            let meta = Arc::clone(&meta);
            let create = of(vec![put("one", format!("{i}"))], vec![at("one", None)]);
            tokio::spawn(async move { meta.commit(create).await.is_ok().then_some(i) })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        winners.extend(task.await.unwrap());
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(
        value(&meta, "one").await,
        Some(bytes(format!("{}", winners[0])))
    );
}

async fn commits_are_atomic_to_scans(meta: Engine) {
    let writer = tokio::spawn({
        let meta = Arc::clone(&meta);
        async move {
            for i in 0..200 {
                commit(
                    &meta,
                    vec![put("x1", format!("{i}")), put("x2", format!("{i}"))],
                )
                .await;
            }
        }
    });
    while !writer.is_finished() {
        let entries = meta.scan(b"x", b"y", 9).await.unwrap();
        let values: Vec<_> = entries.into_iter().map(|entry| entry.value).collect();
        assert!(
            values.is_empty() || (values.len() == 2 && values[0] == values[1]),
            "{values:?}"
        );
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}
