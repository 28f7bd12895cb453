//! Multipart uploads.

use std::time::Duration;

use crate::objects::{testing::*, *};

const A: &[u8] = &[1; 60];
const B: &[u8] = &[2; 250];
const C: &[u8] = b"c";

#[tokio::test]
async fn parts_become_an_object_in_their_order() {
    let fixture = Fixture::with_bucket().await;
    let id = fixture.start("a").await;
    for (n, body) in [(7, C), (2, B), (1, A), (3, B)] {
        fixture.part("a", id, n, body).await.unwrap();
    }
    assert!(matches!(
        fixture.handle("a").await,
        Err(StoreError::NoSuchKey)
    ));
    let parts = [(1, A), (2, B), (7, C)];
    let written = fixture.complete("a", id, &parts).await.unwrap();
    assert_eq!((written.size, written.etag.parts), (311, 3));
    let digests: Vec<u8> = parts.iter().flat_map(|(_, body)| digest(body)).collect();
    assert_eq!(written.etag.md5, digest(&digests));
    let whole = [A, B, C].concat();
    assert_eq!(fixture.get("a").await.unwrap(), whole);

    let handle = fixture.handle("a").await.unwrap();
    let sizes: Vec<_> = handle
        .info()
        .parts
        .iter()
        .map(|p| (p.number.get(), p.size))
        .collect();
    assert_eq!(sizes, [(1, 60), (2, 250), (7, 1)]);
    assert_eq!(handle.parts().await.unwrap(), handle.info().parts);
    for (from, to) in [
        (0, 1),
        (59, 61),
        (309, 311),
        (310, 311),
        (60, 310),
        (100, 100),
    ] {
        let read = read_all(handle.read(from..to).await.unwrap())
            .await
            .unwrap();
        assert_eq!(
            read,
            whole[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()]
        );
    }
    drop(handle);
    let swept = fixture.sweep().await;
    assert_eq!(
        (swept.parts, swept.blobs),
        (1, 1),
        "the part that was not named goes"
    );
    assert_eq!(fixture.get("a").await.unwrap(), whole);
}

#[tokio::test]
async fn completing_again_answers_the_same_until_the_object_changes() {
    let fixture = Fixture::with_bucket().await;
    let id = fixture.start("a").await;
    fixture.part("a", id, 1, A).await.unwrap();
    let first = fixture.complete("a", id, &[(1, A)]).await.unwrap();
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.complete("a", id, &[(1, A)]).await.unwrap(), first);
    assert!(matches!(
        fixture.part("a", id, 2, B).await,
        Err(StoreError::NoSuchUpload)
    ));
    fixture.put("a", C).await.unwrap();
    let gone = fixture.complete("a", id, &[(1, A)]).await;
    assert!(matches!(gone, Err(StoreError::NoSuchUpload)));
}

#[tokio::test]
async fn a_completion_that_is_wrong_leaves_the_upload_going() {
    let fixture = Fixture::with_bucket().await;
    fixture.put("a", C).await.unwrap();
    let id = fixture.start("a").await;
    fixture.part("a", id, 1, b"tiny").await.unwrap();
    fixture.part("a", id, 2, B).await.unwrap();
    fixture.part("a", id, 3, C).await.unwrap();
    let complete = async |parts: &[(u32, &[u8])]| fixture.complete("a", id, parts).await;
    assert!(matches!(complete(&[]).await, Err(StoreError::NoParts)));
    assert!(matches!(
        complete(&[(3, C), (2, B)]).await,
        Err(StoreError::InvalidPartOrder)
    ));
    assert!(matches!(
        complete(&[(2, B), (2, B)]).await,
        Err(StoreError::InvalidPartOrder)
    ));
    assert!(matches!(
        complete(&[(2, A)]).await,
        Err(StoreError::InvalidPart { number: 2 })
    ));
    assert!(matches!(
        complete(&[(2, B), (9, C)]).await,
        Err(StoreError::InvalidPart { number: 9 })
    ));
    let small = complete(&[(1, b"tiny"), (2, B)]).await;
    assert!(matches!(
        small,
        Err(StoreError::PartTooSmall { number: 1, size: 4 })
    ));

    let request = completion("a", id, &[(2, B), (3, C)]);
    let sized = CompleteUpload {
        expected_size: Some(250),
        ..request.clone()
    };
    let refused = fixture.store.complete_upload(sized, &|_, _| None).await;
    assert!(matches!(
        refused,
        Err(StoreError::SizeMismatch {
            expected_bytes: 250,
            got_bytes: 251
        })
    ));
    let conditions = WriteConditions {
        if_none_match_any: true,
        ..Default::default()
    };
    let conditional = CompleteUpload {
        conditions,
        ..request
    };
    let refused = fixture
        .store
        .complete_upload(conditional, &|_, _| None)
        .await;
    assert!(matches!(
        refused,
        Err(StoreError::PreconditionFailed { .. })
    ));

    assert_eq!(fixture.get("a").await.unwrap(), C);
    complete(&[(2, B), (3, C)]).await.unwrap();
    assert_eq!(fixture.get("a").await.unwrap(), [B, C].concat());
}

#[tokio::test]
async fn a_part_put_again_replaces_the_first() {
    let fixture = Fixture::with_bucket().await;
    let id = fixture.start("a").await;
    fixture.part("a", id, 1, A).await.unwrap();
    fixture.part("a", id, 1, B).await.unwrap();
    fixture.part("a", id, 1, &[9; 300]).await.unwrap();
    assert_eq!(fixture.sweep().await.blobs, 1);
    assert_eq!(extents(&fixture.pool), 1);
    assert!(fixture.complete("a", id, &[(1, B)]).await.is_err());
    fixture.complete("a", id, &[(1, &[9; 300])]).await.unwrap();
}

#[tokio::test]
async fn more_parts_than_a_commit_can_test_go_through_the_fence() {
    let fixture = Fixture::with_bucket().await;
    let id = fixture.start("a").await;
    let bodies: Vec<Vec<u8>> = (0..150_u8).map(|i| vec![i; 5 + usize::from(i)]).collect();
    for (n, body) in (1..).zip(&bodies) {
        fixture.part("a", id, n, body).await.unwrap();
    }
    let parts: Vec<_> = (1..).zip(bodies.iter().map(Vec::as_slice)).collect();
    let wrong = [&parts[..100], &[(200, A)]].concat();
    assert!(matches!(
        fixture.complete("a", id, &wrong).await,
        Err(StoreError::InvalidPart { .. })
    ));
    fixture.part("a", id, 1, &bodies[0]).await.unwrap();
    fixture.complete("a", id, &parts[..140]).await.unwrap();
    assert_eq!(fixture.get("a").await.unwrap(), bodies[..140].concat());
    assert_eq!(fixture.sweep().await.parts, 10);
    assert_eq!(fixture.count(b'p').await, 140);
    fixture.delete("a").await.unwrap();
    assert_eq!(fixture.sweep().await.parts, 140);
    assert_eq!(
        (fixture.count(b'p').await, fixture.count(b'g').await),
        (0, 0)
    );
    assert_eq!(extents(&fixture.pool), 0);
}

fn crc(value: u8) -> Checksum {
    Checksum {
        algorithm: ChecksumAlgorithm::Crc32,
        kind: ChecksumKind::FullObject,
        value: vec![value; 4],
        parts: 0,
    }
}

#[tokio::test]
async fn checksums_of_parts_yield_that_of_the_whole() {
    let fixture = Fixture::with_bucket().await;
    let request = CreateUpload {
        encryption: None,
        bucket: bucket("bucket"),
        key: key("a"),
        headers: Headers {
            system: vec![],
            user: vec![("u".into(), "v".into())],
        },
        tags: Tags(vec![("t".into(), "w".into())]),
        checksum: Some((ChecksumAlgorithm::Crc32, ChecksumKind::Composite)),
        lock: ObjectLock::default(),
        acl: ObjectAcl::default(),
    };
    let id = fixture.store.create_upload(request).await.unwrap();
    for (n, body, value) in [(1, A, 10), (2, B, 20)] {
        let part = PutPart {
            bucket: bucket("bucket"),
            key: key("a"),
            upload: id,
            number: number(n),
            blob: fixture.blob(body).await,
            etag: etag(body),
            checksum: Some(crc(value)),
            default_checksum: None,
        };
        fixture.store.put_part(part).await.unwrap();
    }
    let combine = |parts: &[Checksum], sizes: &[u64]| {
        assert!(
            parts
                .iter()
                .all(|part| part.kind == ChecksumKind::Composite)
        );
        assert_eq!(sizes, [60, 250]);
        let value = vec![parts[0].value[0] + parts[1].value[0]; 4];
        Some(Checksum {
            value,
            parts: 2,
            ..parts[0].clone()
        })
    };
    let mut request = completion("a", id, &[(1, A), (2, B)]);
    request.parts[1].checksum = Some(crc(99));
    let refused = fixture
        .store
        .complete_upload(request.clone(), &combine)
        .await;
    assert!(matches!(
        refused,
        Err(StoreError::InvalidPart { number: 2 })
    ));
    request.parts[1].checksum = Some(crc(20));
    request.checksum = Some(crc(31));
    let refused = fixture
        .store
        .complete_upload(request.clone(), &combine)
        .await;
    assert!(matches!(refused, Err(StoreError::ChecksumMismatch { .. })));
    request.checksum = None;
    let written = fixture
        .store
        .complete_upload(request, &combine)
        .await
        .unwrap();
    let expected = Checksum {
        kind: ChecksumKind::Composite,
        parts: 2,
        ..crc(30)
    };
    assert_eq!(written.checksum, Some(expected));

    let handle = fixture.handle("a").await.unwrap();
    assert_eq!(
        (handle.info().headers.user.len(), handle.info().tags.0.len()),
        (1, 1)
    );
    let of_parts: Vec<_> = handle
        .parts()
        .await
        .unwrap()
        .into_iter()
        .map(|p| p.checksum)
        .collect();
    assert_eq!(of_parts, [Some(crc(10)), Some(crc(20))]);
}

/// Nobody chose an algorithm: clients may send their own with a part, and the whole has the default.
#[tokio::test]
async fn default_checksums_of_parts_yield_that_of_the_whole() {
    let fixture = Fixture::with_bucket().await;
    let default = |value| Checksum {
        algorithm: ChecksumAlgorithm::Crc64Nvme,
        value: vec![value; 8],
        ..crc(0)
    };
    let combine = |parts: &[Checksum], _: &[u64]| {
        let value = vec![parts.iter().map(|part| part.value[0]).sum(); 8];
        Some(Checksum {
            value,
            ..parts[0].clone()
        })
    };
    let id = fixture.start("a").await;
    for (n, body, checksum) in [(1_u8, A, None), (2, B, Some(crc(9)))] {
        let part = PutPart {
            bucket: bucket("bucket"),
            key: key("a"),
            upload: id,
            number: number(n.into()),
            blob: fixture.blob(body).await,
            etag: etag(body),
            checksum: checksum.clone(),
            default_checksum: Some(default(n)),
        };
        let written = fixture.store.put_part(part).await.unwrap();
        assert_eq!(written.checksum, checksum.or(Some(default(1))));
    }
    let list = ListParts {
        bucket: bucket("bucket"),
        key: key("a"),
        upload: id,
        after: 0,
        limit: 9,
    };
    let listed = fixture.store.list_parts(list).await.unwrap().parts;
    let listed: Vec<_> = listed.into_iter().map(|part| part.checksum).collect();
    assert_eq!(listed, [None, Some(crc(9))]);

    let mut request = completion("a", id, &[(1, A), (2, B)]);
    request.checksum = Some(crc(9));
    let unknown = fixture
        .store
        .complete_upload(request.clone(), &combine)
        .await;
    assert!(matches!(unknown, Err(StoreError::ChecksumUnknown)));
    request.checksum = None;
    request.parts[0].checksum = Some(default(1));
    request.parts[1].checksum = Some(crc(9));
    let written = fixture
        .store
        .complete_upload(request, &combine)
        .await
        .unwrap();
    assert_eq!(written.checksum, Some(default(3)));
}

#[tokio::test]
async fn an_aborted_upload_is_gone_and_so_are_its_parts() {
    let fixture = Fixture::with_bucket().await;
    let id = fixture.start("a").await;
    fixture.part("a", id, 1, B).await.unwrap();
    let abort = async || {
        fixture
            .store
            .abort_upload(&bucket("bucket"), &key("a"), &id)
            .await
    };
    abort().await.unwrap();
    assert!(matches!(abort().await, Err(StoreError::NoSuchUpload)));
    assert!(matches!(
        fixture.part("a", id, 2, B).await,
        Err(StoreError::NoSuchUpload)
    ));
    assert!(matches!(
        fixture.complete("a", id, &[(1, B)]).await,
        Err(StoreError::NoSuchUpload)
    ));
    fixture.sweep().await;
    assert_eq!((fixture.count(b'p').await, extents(&fixture.pool)), (0, 0));
    let guessed = UploadId {
        secret: id.secret ^ 1,
        ..id
    };
    let found = fixture
        .store
        .upload(&bucket("bucket"), &key("a"), &guessed)
        .await;
    assert!(matches!(found, Err(StoreError::NoSuchUpload)));
}

#[tokio::test]
async fn parts_are_listed_in_pages() {
    let fixture = Fixture::with_bucket().await;
    let id = fixture.start("a").await;
    for n in [1, 2, 300, 10_000] {
        fixture.part("a", id, n, A).await.unwrap();
    }
    let list = async |after, limit| {
        let request = ListParts {
            bucket: bucket("bucket"),
            key: key("a"),
            upload: id,
            after,
            limit,
        };
        let page = fixture.store.list_parts(request).await.unwrap();
        assert_eq!(page.upload.id, id);
        (
            page.parts
                .iter()
                .map(|part| part.number.get())
                .collect::<Vec<_>>(),
            page.next,
        )
    };
    assert_eq!(list(0, 9).await, (vec![1, 2, 300, 10_000], None));
    assert_eq!(list(0, 2).await, (vec![1, 2], Some(2)));
    assert_eq!(list(2, 2).await, (vec![300, 10_000], None));
    assert_eq!(list(10_000, 2).await, (vec![], None));
    assert_eq!(list(0, 0).await, (vec![], None));
}

#[tokio::test]
async fn uploads_are_listed_by_key_and_age() {
    let fixture = Fixture::with_bucket().await;
    let mut ids = Vec::new();
    for name in ["b/2", "a", "b/1", "a", "a\0", "c"] {
        ids.push((name, fixture.start(name).await));
    }
    let list = async |prefix: &str, delimiter: &str, marker: (&str, Option<UploadId>), limit| {
        let request = ListUploads {
            bucket: bucket("bucket"),
            prefix: prefix.into(),
            delimiter: delimiter.into(),
            key_marker: marker.0.into(),
            upload_marker: marker.1,
            limit,
        };
        let page = fixture.store.list_uploads(request).await.unwrap();
        let name = |entry: &UploadEntry| match entry {
            UploadEntry::Upload(upload) => (upload.key.as_str().to_owned(), Some(upload.id)),
            UploadEntry::CommonPrefix(prefix) => (prefix.clone(), None),
        };
        (page.entries.iter().map(name).collect::<Vec<_>>(), page.next)
    };
    let of = |i: usize| (ids[i].0.to_owned(), Some(ids[i].1));
    let all = [1, 3, 4, 2, 0, 5].map(of).to_vec();
    assert_eq!(list("", "", ("", None), 9).await, (all.clone(), None));
    let (mut marker, mut seen) = ((String::new(), None), Vec::new());
    loop {
        let (page, next) = list("", "", (&marker.0, marker.1), 1).await;
        seen.extend(page);
        let Some(next) = next else { break };
        marker = next;
    }
    assert_eq!(seen, all);
    let rolled = vec![of(1), of(3), of(4), ("b/".to_owned(), None), of(5)];
    assert_eq!(list("", "/", ("", None), 9).await, (rolled, None));
    assert_eq!(list("", "/", ("b/1", None), 9).await, (vec![of(5)], None));
    assert_eq!(list("a", "", ("a", None), 9).await, (vec![of(4)], None));
    assert_eq!(list("a\0", "", ("", None), 9).await, (vec![of(4)], None));
}
