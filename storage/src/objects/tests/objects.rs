//! Buckets, objects, conditions, tags, listing.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    meta::{Change, Transaction},
    objects::{
        record::{Body, ObjectRecord},
        testing::*,
        *,
    },
};

const SMALL: &[u8] = b"small";
const LARGE: &[u8] = &[7; INLINE_MAX * 3];

fn if_match(etag: ETag) -> WriteConditions {
    WriteConditions {
        if_match: Some(etag.into()),
        ..Default::default()
    }
}

const IF_ABSENT: WriteConditions = WriteConditions {
    if_match: None,
    if_none_match_any: true,
    if_unchanged: None,
};

#[tokio::test]
async fn what_was_put_is_read_back() {
    let fixture = Fixture::with_bucket().await;
    for body in [b"", SMALL, LARGE] {
        let written = fixture.put("a", body).await.unwrap();
        assert_eq!(
            (written.size, written.etag),
            (body.len() as u64, etag(body))
        );
        assert_eq!(fixture.get("a").await.unwrap(), body);
    }
    for name in ["a/", "a//b", "a/b", "\0", "\u{10ffff}"] {
        fixture.put(name, name.as_bytes()).await.unwrap();
    }
    for name in ["a/", "a//b", "a/b", "\0", "\u{10ffff}"] {
        assert_eq!(fixture.get(name).await.unwrap(), name.as_bytes());
    }
    assert_eq!(fixture.get("a").await.unwrap(), LARGE);
}

#[tokio::test]
async fn a_range_gives_its_bytes_and_no_others() {
    let fixture = Fixture::with_bucket().await;
    let body: Vec<u8> = (0..=255).cycle().take(3000).collect();
    fixture.put("a", &body).await.unwrap();
    let handle = fixture.handle("a").await.unwrap();
    for (start, end) in [(0, 3000), (0, 0), (3000, 3000), (17, 18), (999, 2001)] {
        let read = read_all(handle.read(start..end).await.unwrap())
            .await
            .unwrap();
        assert_eq!(
            read,
            body[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]
        );
    }
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    for range in [0..3001, 3001..3001, 5..4] {
        assert!(matches!(
            handle.read(range).await,
            Err(StoreError::InvalidRange { .. })
        ));
    }
}

#[tokio::test]
async fn headers_tags_and_checksum_are_kept() {
    let fixture = Fixture::with_bucket().await;
    let checksum = Checksum {
        algorithm: ChecksumAlgorithm::Crc32c,
        kind: ChecksumKind::FullObject,
        value: vec![1, 2, 3, 4],
        parts: 0,
    };
    let headers = Headers {
        system: vec![("content-type".into(), "text/plain".into())],
        user: vec![("name".into(), "välue".into())],
    };
    let tags = Tags(vec![("k".into(), "v".into())]);
    let request = PutObject {
        headers: headers.clone(),
        tags: tags.clone(),
        checksum: Some(checksum.clone()),
        ..fixture.request("a", SMALL).await
    };
    fixture.store.put_object(request).await.unwrap();
    let handle = fixture.handle("a").await.unwrap();
    let info = handle.info();
    assert_eq!(
        (&info.headers, &info.tags, &info.checksum),
        (&headers, &tags, &Some(checksum))
    );
    assert_eq!(
        (info.parts.len(), info.modified_unix_millis),
        (0, 1_000_000)
    );
}

#[tokio::test]
async fn absence_has_its_own_errors() {
    let fixture = Fixture::with_bucket().await;
    let (other, name) = (bucket("other"), key("a"));
    assert!(matches!(
        fixture.handle("a").await,
        Err(StoreError::NoSuchKey)
    ));
    assert!(!fixture.delete("a").await.unwrap());
    assert!(matches!(
        fixture.store.object(&other, &name).await,
        Err(StoreError::NoSuchBucket)
    ));
    assert!(matches!(
        fixture.store.bucket(&other).await,
        Err(StoreError::NoSuchBucket)
    ));
    assert!(matches!(
        fixture.store.delete_bucket(&other).await,
        Err(StoreError::NoSuchBucket)
    ));
    assert!(matches!(
        fixture.store.blob_writer(&other, None).await,
        Err(StoreError::NoSuchBucket)
    ));
    let put = PutObject {
        bucket: other.clone(),
        ..fixture.request("a", LARGE).await
    };
    assert!(matches!(
        fixture.store.put_object(put).await,
        Err(StoreError::NoSuchBucket)
    ));
    assert_eq!(extents(&fixture.pool), 0, "the body of a refused put stays");
    let delete = fixture
        .store
        .delete_object(&other, &name, WriteConditions::default())
        .await;
    assert!(matches!(delete, Err(StoreError::NoSuchBucket)));
}

#[tokio::test]
async fn buckets_are_created_listed_and_deleted() {
    let fixture = Fixture::with_bucket().await;
    assert!(matches!(
        fixture.create("bucket").await,
        Err(StoreError::BucketExists)
    ));
    for name in ["abc", "abd", "zzz"] {
        fixture.create(name).await.unwrap();
    }
    let names = async |prefix, after, limit| {
        let found = fixture
            .store
            .list_buckets(None, prefix, after, limit)
            .await
            .unwrap();
        found
            .iter()
            .map(|bucket| bucket.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("", None, 9).await, ["abc", "abd", "bucket", "zzz"]);
    assert_eq!(names("ab", None, 9).await, ["abc", "abd"]);
    assert_eq!(names("", Some("abd"), 1).await, ["bucket"]);
    assert_eq!(
        fixture.store.bucket(&bucket("abc")).await.unwrap().region,
        "here"
    );

    fixture.put("a", SMALL).await.unwrap();
    let delete = async || fixture.store.delete_bucket(&bucket("bucket")).await;
    assert!(matches!(delete().await, Err(StoreError::BucketNotEmpty)));
    assert_eq!(fixture.get("a").await.unwrap(), SMALL);
    fixture.delete("a").await.unwrap();
    delete().await.unwrap();
    assert!(matches!(
        fixture.handle("a").await,
        Err(StoreError::NoSuchBucket)
    ));
    fixture.create("bucket").await.unwrap();
    assert!(matches!(
        fixture.handle("a").await,
        Err(StoreError::NoSuchKey)
    ));
}

#[tokio::test]
async fn conditional_writes_decide_on_what_is_there() {
    let fixture = Fixture::with_bucket().await;
    let refused = fixture.put_if("a", LARGE, if_match(etag(SMALL))).await;
    assert!(matches!(refused, Err(StoreError::NoSuchKey)));
    fixture.put_if("a", SMALL, IF_ABSENT).await.unwrap();
    let refused = fixture.put_if("a", LARGE, IF_ABSENT).await;
    assert!(matches!(
        refused,
        Err(StoreError::PreconditionFailed {
            which: "If-None-Match"
        })
    ));
    let refused = fixture.put_if("a", LARGE, if_match(etag(b"other"))).await;
    assert!(matches!(
        refused,
        Err(StoreError::PreconditionFailed { which: "If-Match" })
    ));
    assert_eq!(fixture.get("a").await.unwrap(), SMALL);
    assert_eq!(extents(&fixture.pool), 0, "the body of a refused put stays");
    fixture
        .put_if("a", LARGE, if_match(etag(SMALL)))
        .await
        .unwrap();
    assert_eq!(fixture.get("a").await.unwrap(), LARGE);

    let delete = async |conditions| {
        fixture
            .store
            .delete_object(&bucket("bucket"), &key("a"), conditions)
            .await
    };
    let refused = delete(if_match(etag(SMALL))).await;
    assert!(matches!(
        refused,
        Err(StoreError::PreconditionFailed { which: "If-Match" })
    ));
    assert!(delete(if_match(etag(LARGE))).await.unwrap().changed);
    assert!(matches!(
        delete(if_match(etag(LARGE))).await,
        Err(StoreError::NoSuchKey)
    ));
}

#[tokio::test]
async fn many_objects_are_deleted_each_for_itself() {
    let fixture = Fixture::with_bucket().await;
    for i in 0..100 {
        fixture
            .put(&format!("k{i:03}"), if i % 2 == 0 { SMALL } else { LARGE })
            .await
            .unwrap();
    }
    let mut items: Vec<_> = (0..100)
        .map(|i| DeleteItem {
            version: None,
            key: key(&format!("k{i:03}")),
            if_match: None,
        })
        .collect();
    items[5].if_match = Some(etag(SMALL));
    items.push(DeleteItem {
        version: None,
        key: key("absent"),
        if_match: None,
    });
    items.push(DeleteItem {
        version: None,
        key: key("absent"),
        if_match: Some(etag(SMALL)),
    });
    items.push(DeleteItem {
        version: None,
        key: key("k000"),
        if_match: None,
    });
    let results = fixture
        .store
        .delete_objects(&bucket("bucket"), items, Governance::Heeded)
        .await
        .unwrap();
    assert_eq!(results.len(), 103);
    for (i, result) in results[..100].iter().enumerate() {
        match result {
            Err(StoreError::PreconditionFailed { .. }) if i == 5 => {}
            Ok(deleted) if i != 5 && deleted.changed => {}
            other => panic!("{i}: {other:?}"),
        }
    }
    assert!(matches!(
        results[100..102],
        [
            Ok(Deleted { changed: false, .. }),
            Err(StoreError::NoSuchKey)
        ]
    ));
    assert!(results[102].is_ok());
    assert_eq!(fixture.count(b'o').await, 1);
    assert_eq!(fixture.get("k005").await.unwrap(), LARGE);
    fixture.sweep().await;
    assert_eq!(extents(&fixture.pool), 1);
}

#[tokio::test]
async fn tags_and_headers_change_without_the_data() {
    let fixture = Fixture::with_bucket().await;
    let tags = Tags(vec![("k".into(), "v".into())]);
    let set = async |tags: &Tags| {
        fixture
            .store
            .set_tags(&bucket("bucket"), &key("a"), tags.clone())
            .await
    };
    assert!(matches!(set(&tags).await, Err(StoreError::NoSuchKey)));
    for body in [b"", SMALL, LARGE] {
        fixture.put("a", body).await.unwrap();
        fixture.clock.advance(Duration::from_secs(5));
        set(&tags).await.unwrap();
        let was = fixture.handle("a").await.unwrap().info().clone();
        assert_eq!((&was.tags, was.etag), (&tags, etag(body)));
        assert_eq!(was.modified_unix_millis + 5000, fixture.clock.unix_millis());

        let headers = Headers {
            system: vec![("expires".into(), "x".into())],
            user: vec![],
        };
        let update = UpdateObject {
            bucket: bucket("bucket"),
            key: key("a"),
            headers: headers.clone(),
            tags: None,
            conditions: if_match(etag(body)),
            acl: ObjectAcl::default(),
        };
        let written = fixture.store.update_headers(update.clone()).await.unwrap();
        assert_eq!(written.modified_unix_millis, fixture.clock.unix_millis());
        let now = fixture.handle("a").await.unwrap().info().clone();
        assert_eq!(
            (now.headers, now.tags, now.etag),
            (headers, was.tags, was.etag)
        );
        assert_eq!(fixture.get("a").await.unwrap(), body);
        let refused = UpdateObject {
            conditions: if_match(etag(b"other")),
            ..update
        };
        let refused = fixture.store.update_headers(refused).await;
        assert!(matches!(
            refused,
            Err(StoreError::PreconditionFailed { .. })
        ));
    }
    let too_many = Tags((0..11).map(|i| (i.to_string(), String::new())).collect());
    assert!(matches!(
        set(&too_many).await,
        Err(StoreError::InvalidTags(_))
    ));
}

/// A copy of an object onto itself depends on what it has read: its tags, and what its conditions were checked on.
#[tokio::test]
async fn what_depends_on_an_object_as_read_fails_once_it_has_changed() {
    for body in [SMALL, LARGE] {
        let fixture = Fixture::with_bucket().await;
        fixture.put("a", body).await.unwrap();
        let read = fixture.handle("a").await.unwrap().revision();
        let update = UpdateObject {
            bucket: bucket("bucket"),
            key: key("a"),
            headers: Headers::default(),
            tags: Some(Tags::default()),
            conditions: WriteConditions {
                if_unchanged: Some(read),
                ..WriteConditions::default()
            },
            acl: ObjectAcl::default(),
        };
        let tags = Tags(vec![("t".to_owned(), "new".to_owned())]);
        let (bucket, key) = (bucket("bucket"), key("a"));
        fixture
            .store
            .set_tags(&bucket, &key, tags.clone())
            .await
            .unwrap();
        let updated = fixture.store.update_headers(update.clone()).await;
        assert!(matches!(updated, Err(StoreError::Replaced)), "{updated:?}");
        let put = fixture
            .put_if("a", b"copied", update.conditions.clone())
            .await;
        assert!(matches!(put, Err(StoreError::Replaced)), "{put:?}");
        let handle = fixture.handle("a").await.unwrap();
        assert_eq!(
            (&handle.info().tags, handle.info().etag),
            (&tags, etag(body))
        );
        let conditions = WriteConditions {
            if_unchanged: Some(handle.revision()),
            ..WriteConditions::default()
        };
        let update = UpdateObject {
            conditions,
            ..update
        };
        fixture.store.update_headers(update).await.unwrap();
        assert_eq!(
            fixture.handle("a").await.unwrap().info().tags,
            Tags::default()
        );
    }
}

#[tokio::test]
async fn conditions_can_be_asked_before_the_write() {
    let fixture = Fixture::with_bucket().await;
    fixture.put("a", SMALL).await.unwrap();
    let store = &fixture.store;
    let ask = async |name: &str, conditions| {
        let key = key(name);
        store
            .check_conditions(&bucket("bucket"), &key, &conditions)
            .await
    };
    assert!(ask("a", WriteConditions::default()).await.is_ok());
    assert!(ask("a", if_match(etag(SMALL))).await.is_ok());
    assert!(ask("b", IF_ABSENT).await.is_ok());
    let failed = ask("a", IF_ABSENT).await;
    assert!(matches!(failed, Err(StoreError::PreconditionFailed { .. })));
    let failed = ask("a", if_match(etag(b"other"))).await;
    assert!(matches!(failed, Err(StoreError::PreconditionFailed { .. })));
    let failed = ask("b", if_match(etag(SMALL))).await;
    assert!(matches!(failed, Err(StoreError::NoSuchKey)));
}

#[tokio::test]
async fn metadata_that_fits_no_record_is_refused() {
    let fixture = Fixture::with_bucket().await;
    let headers = Headers {
        system: vec![],
        user: vec![("a".into(), "v".repeat(64 << 10))],
    };
    let request = PutObject {
        headers,
        ..fixture.request("a", LARGE).await
    };
    let refused = fixture.store.put_object(request).await;
    assert!(matches!(refused, Err(StoreError::MetadataTooLarge { .. })));
    assert_eq!(extents(&fixture.pool), 0);
}

#[tokio::test]
async fn a_reader_outlives_overwrite_and_delete() {
    let fixture = Fixture::with_bucket().await;
    fixture.put("a", LARGE).await.unwrap();
    let handle = fixture.handle("a").await.unwrap();
    fixture.put("a", SMALL).await.unwrap();
    fixture.delete("a").await.unwrap();
    assert_eq!(fixture.sweep().await.waiting, 1);
    let reader = handle.read(0..LARGE.len() as u64).await.unwrap();
    drop(handle);
    assert_eq!(fixture.sweep().await.waiting, 1);
    assert_eq!(read_all(reader).await.unwrap(), LARGE);
    assert_eq!(fixture.sweep().await.blobs, 1);
    assert_eq!((extents(&fixture.pool), fixture.count(b'g').await), (0, 0));
}

/// The blob that an object's record names, and whether it is in the log.
async fn blob_of(fixture: &Fixture, name: &str) -> Option<(u64, bool)> {
    let entries = fixture.meta.scan(b"o", b"p", usize::MAX).await.unwrap();
    let entry = entries
        .iter()
        .find(|entry| entry.key.ends_with(name.as_bytes()))
        .unwrap();
    match ObjectRecord::decode(&entry.value).unwrap().body {
        Body::Blob(placement) => Some((placement.blob.0, !placement.is_extents())),
        Body::Empty | Body::Parts(_) | Body::Elsewhere(_) => None,
    }
}

/// Otherwise reclaim would take the shards for dead: their commit is no longer the key's last.
#[tokio::test]
async fn a_changed_record_carries_its_blob_in_the_log_anew() {
    let fixture = Fixture::with_bucket().await;
    let tags = Tags(vec![("k".into(), "v".into())]);
    for (body, in_log) in [(SMALL, true), (LARGE, false)] {
        fixture.put("a", body).await.unwrap();
        let (before, was_in_log) = blob_of(&fixture, "a").await.unwrap();
        fixture
            .store
            .set_tags(&bucket("bucket"), &key("a"), tags.clone())
            .await
            .unwrap();
        let (after, is_in_log) = blob_of(&fixture, "a").await.unwrap();
        assert_eq!(
            (was_in_log, is_in_log, before != after),
            (in_log, in_log, in_log)
        );
        assert_eq!(fixture.get("a").await.unwrap(), body);
    }
}

/// Names of a page and where the next starts.
async fn page(
    fixture: &Fixture,
    prefix: &str,
    delimiter: &str,
    after: &str,
    limit: usize,
) -> (Vec<String>, Option<String>) {
    let request = ListObjects {
        bucket: bucket("bucket"),
        prefix: prefix.into(),
        delimiter: delimiter.into(),
        after: after.into(),
        limit,
    };
    let Listing { entries, next } = fixture.store.list_objects(request).await.unwrap();
    (
        entries
            .iter()
            .map(|entry| entry.name().to_owned())
            .collect(),
        next,
    )
}

#[tokio::test]
async fn listings_roll_up_seek_and_page() {
    let fixture = Fixture::with_bucket().await;
    for name in [
        "a", "a/1", "a/2", "b/x/1", "b/x/2", "b/y", "c", "c-", "d//", "e",
    ] {
        fixture.put(name, SMALL).await.unwrap();
    }
    let all = [
        "a", "a/1", "a/2", "b/x/1", "b/x/2", "b/y", "c", "c-", "d//", "e",
    ];
    let (names, next) = page(&fixture, "", "", "", 100).await;
    assert_eq!((names, next), (all.map(String::from).to_vec(), None));
    let (names, next) = page(&fixture, "", "", "", 10).await;
    assert_eq!((names.len(), next), (10, None));
    let (names, next) = page(&fixture, "", "/", "", 100).await;
    assert_eq!(
        (names, next),
        (
            ["a", "a/", "b/", "c", "c-", "d/", "e"]
                .map(String::from)
                .to_vec(),
            None
        )
    );
    let (names, next) = page(&fixture, "", "/", "", 2).await;
    assert_eq!(
        (names, next),
        (["a", "a/"].map(String::from).to_vec(), Some("a/".into()))
    );
    let (names, next) = page(&fixture, "", "/", "a/", 2).await;
    assert_eq!(
        (names, next),
        (["b/", "c"].map(String::from).to_vec(), Some("c".into()))
    );
    let (names, _) = page(&fixture, "", "/", "b/x/1", 1).await;
    assert_eq!(names, ["c"]);
    let (names, _) = page(&fixture, "b/", "/", "", 9).await;
    assert_eq!(names, ["b/x/", "b/y"]);
    let (names, _) = page(&fixture, "b", "x/", "", 9).await;
    assert_eq!(names, ["b/x/", "b/y"]);
    let (names, next) = page(&fixture, "d", "//", "", 1).await;
    assert_eq!((names, next), (vec!["d//".into()], None));
    assert_eq!(page(&fixture, "nope", "/", "", 9).await, (vec![], None));
    assert_eq!(page(&fixture, "a", "", "zzz", 9).await, (vec![], None));
    assert_eq!(page(&fixture, "", "", "", 0).await, (vec![], None));
}

#[tokio::test]
async fn a_listing_of_many_common_prefixes_finds_each() {
    let fixture = Fixture::with_bucket().await;
    for i in 0..300 {
        fixture
            .put(&format!("dir{:02}/{:02}", i / 10, i % 10), b"")
            .await
            .unwrap();
    }
    let (names, next) = page(&fixture, "", "/", "", 1000).await;
    let expected: Vec<_> = (0..30).map(|i| format!("dir{i:02}/")).collect();
    assert_eq!((names, next), (expected, None));
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_is_refused() {
    let fixture = Fixture::with_bucket().await;
    let mut writer = fixture
        .store
        .blob_writer(&bucket("bucket"), Some(9))
        .await
        .unwrap();
    writer.write(Bytes::from_static(b"short")).await.unwrap();
    let error = writer.finish().await.unwrap_err();
    assert!(matches!(
        error,
        StoreError::SizeMismatch {
            expected_bytes: 9,
            got_bytes: 5
        }
    ));
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn what_is_done_for_clients_is_seen_by_background_work_for_a_moment() {
    let fixture = Fixture::with_bucket().await;
    let load = Arc::clone(fixture.store.load());
    let rest = || fixture.clock.advance(Duration::from_secs(1));
    assert!(!load.is_active());
    let mut writer = BlobWriter::new(&fixture.pool, fixture.pool.profile(), None).unwrap();
    writer.write(Bytes::from_static(LARGE)).await.unwrap();
    assert!(!load.is_active(), "a blob of upkeep's own");
    let mut writer = writer.for_client(Arc::clone(&load));
    writer.write(Bytes::from_static(LARGE)).await.unwrap();
    assert!(load.is_active(), "bytes of a client");
    rest();
    fixture.put("a", LARGE).await.unwrap();
    assert!(load.is_active(), "a PUT");
    rest();
    let handle = fixture.handle("a").await.unwrap();
    assert!(load.is_active(), "a HEAD");
    rest();
    let mut reader = handle.read(0..LARGE.len() as u64).await.unwrap();
    assert!(!load.is_active(), "nobody reads yet");
    reader.next().await.unwrap().unwrap();
    assert!(load.is_active(), "a GET");
    rest();
    fixture.store.sweep_once(10).await.unwrap();
    assert!(!load.is_active(), "upkeep is no client");
    assert_eq!(load.in_flight(), 0);
}

/// Records that a later version wrote, or that are damaged, beside good ones.
#[tokio::test]
async fn what_can_not_be_read_hides_nothing_else_and_is_neither_read_nor_written() {
    let fixture = Fixture::with_bucket().await;
    for name in ["a", "b", "c", "d", "e"] {
        fixture.put(name, SMALL).await.unwrap();
    }
    let entries = fixture.meta.scan(b"o", b"p", usize::MAX).await.unwrap();
    let encoded = |change: fn(&mut ObjectRecord)| {
        let mut record = ObjectRecord::new(0, 1, etag(b""));
        change(&mut record);
        record.encode()
    };
    let later = [&[2][..], &entries[1].value[1..]].concat();
    let bad = [
        ("b", later),
        ("c", encoded(|record| record.unknown = vec![(201, vec![])])),
        ("d", encoded(|record| record.unknown = vec![(25, vec![2])])),
    ];
    for ((name, value), entry) in bad.iter().zip(&entries[1..]) {
        assert!(entry.key.ends_with(name.as_bytes()));
        let change = Change {
            key: entry.key.clone(),
            value: Some(Bytes::copy_from_slice(value)),
        };
        let transaction = Transaction {
            changes: vec![change],
            ..Transaction::default()
        };
        fixture.meta.commit(transaction).await.unwrap();
    }
    let request = ListObjects {
        bucket: bucket("bucket"),
        prefix: String::new(),
        delimiter: String::new(),
        after: String::new(),
        limit: 2,
    };
    let listing = fixture.store.list_objects(request).await.unwrap();
    let names: Vec<_> = listing.entries.iter().map(ListedEntry::name).collect();
    assert_eq!((names, listing.next), (vec!["a", "e"], None));
    for (name, value) in &bad {
        let read = fixture.get(name).await;
        assert!(
            matches!(read, Err(StoreError::Record(_))),
            "{name}: {read:?}"
        );
        let written = fixture.put(name, LARGE).await;
        assert!(
            matches!(written, Err(StoreError::Record(_))),
            "{name}: {written:?}"
        );
        let entries = fixture.meta.scan(b"o", b"p", usize::MAX).await.unwrap();
        assert!(
            entries.iter().any(|entry| entry.value == value),
            "{name} is as it was"
        );
    }
    assert_eq!(fixture.get("e").await.unwrap(), SMALL);
}
