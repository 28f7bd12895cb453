//! Records that name inline blobs are rewritten (tags, headers) while their segments are reclaimed.

use super::*;
use crate::{
    clock::SystemClock,
    objects::{
        BucketName, CreateBucket, ETag, Headers, ObjectAcl, ObjectKey, ObjectLock, PutObject,
        Store, Tags, UpdateObject, WriteConditions,
    },
};

const OBJECTS: u64 = 24;

fn store(running: &Running) -> Store {
    let meta: Arc<dyn Meta> = Arc::new(Arc::clone(&running.engine));
    Store::new(
        meta,
        Arc::clone(&running.pool),
        Arc::new(SystemClock),
        Arc::new(SeededRng::new(9)),
        |_| [0; 16],
    )
}

fn bucket() -> BucketName {
    BucketName::parse("bucket").unwrap()
}

fn key(id: u64) -> ObjectKey {
    ObjectKey::parse(&format!("k{id}")).unwrap()
}

async fn put(store: &Store, id: u64, body: Vec<u8>) {
    let mut writer = store
        .blob_writer(&bucket(), Some(body.len() as u64))
        .await
        .unwrap();
    writer.write(body.into()).await.unwrap();
    let request = PutObject {
        bucket: bucket(),
        key: key(id),
        blob: writer.finish().await.unwrap(),
        etag: ETag {
            md5: [0; 16],
            parts: 0,
        },
        checksum: None,
        headers: Headers::default(),
        tags: Tags::default(),
        conditions: WriteConditions::default(),
        lock: ObjectLock::default(),
        acl: ObjectAcl::default(),
    };
    store.put_object(request).await.unwrap();
}

async fn read(store: &Store, id: u64) -> Vec<u8> {
    let handle = store.object(&bucket(), &key(id)).await.unwrap();
    let mut reader = handle.read(0..handle.info().size).await.unwrap();
    let mut body = Vec::new();
    while let Some(bytes) = reader.next().await {
        body.extend_from_slice(&bytes.unwrap());
    }
    body
}

async fn retag(store: &Store, id: u64, round: u64) {
    let tags = Tags(vec![("round".into(), round.to_string())]);
    if round.is_multiple_of(2) {
        return store.set_tags(&bucket(), &key(id), tags).await.unwrap();
    }
    let request = UpdateObject {
        bucket: bucket(),
        key: key(id),
        headers: Headers::default(),
        tags: Some(tags),
        conditions: WriteConditions::default(),
        acl: ObjectAcl::default(),
    };
    store.update_headers(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rewritten_records_keep_their_blobs_through_reclaim() {
    let mut world = World::new(50);
    let running = world.open().await;
    let store = store(&running);
    let request = CreateBucket {
        region: "here".into(),
        ..CreateBucket::new(bucket())
    };
    store.create_bucket(request).await.unwrap();
    for id in 0..OBJECTS {
        put(&store, id, body(id)).await;
    }
    let mut reclaimed = 0;
    for round in 0..12 {
        let retags = (0..OBJECTS).map(|id| retag(&store, id, round));
        let retags = futures_util::future::join_all(retags);
        // Overwritten all the time, so that there is something to reclaim.
        let churn =
            futures_util::future::join_all((100..140).map(|id| put(&store, id, body(id + round))));
        let reclaim = async {
            let mut count = 0;
            while running.engine.reclaim_once().await.unwrap().is_some() {
                count += 1;
            }
            count
        };
        let (_, _, count) = tokio::join!(retags, churn, reclaim);
        reclaimed += count;
        // A rewrite may have met a segment that reclaim was taking away; now that nothing moves, each shard is in its place.
        let damaged_reads = running.pool.damaged_reads();
        for id in 0..OBJECTS {
            assert_eq!(read(&store, id).await, body(id), "round {round}");
        }
        assert_eq!(
            running.pool.damaged_reads(),
            damaged_reads,
            "no record names a place without its blob"
        );
    }
    assert!(reclaimed > 4, "{reclaimed} segments: the test says nothing");
    running.close();
    for lose_view in [false, true] {
        if lose_view {
            world.lose_view();
        }
        let running = world.open().await;
        let store = self::store(&running);
        for id in 0..OBJECTS {
            assert_eq!(read(&store, id).await, body(id));
            let info = store
                .object(&bucket(), &key(id))
                .await
                .unwrap()
                .info()
                .clone();
            assert_eq!(info.tags, Tags(vec![("round".into(), "11".into())]));
        }
        assert_eq!(running.pool.damaged_reads(), 0);
        running.close();
    }
}
