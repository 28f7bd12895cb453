//! What the layer costs over its metadata engine. Prints, so it is run by hand:
//! `cargo test -p larder-storage --release costs -- --ignored --nocapture`.

use std::time::Duration;

use crate::{
    clock::{Clock, SystemClock},
    objects::{testing::*, *},
};

const OBJECTS: u32 = 20_000;

#[tokio::test]
#[ignore = "prints figures"]
async fn costs_of_listing_looking_and_putting() {
    let fixture = Fixture::with_bucket().await;
    let blobs = futures_util::future::join_all((0..OBJECTS).map(|_| fixture.blob(b"body"))).await;
    let mut requests = Vec::new();
    for (i, blob) in blobs.into_iter().enumerate() {
        let name = format!("some/directory/with/a/long/name/{i:08}");
        requests.push(PutObject {
            blob,
            ..fixture.request(&name, b"").await
        });
    }
    let clock = SystemClock;
    let report = |what: &str, since: Duration| {
        println!(
            "{what}: {} ns each",
            clock.monotonic().saturating_sub(since).as_nanos() / u128::from(OBJECTS)
        );
    };
    let start = clock.monotonic();
    for request in requests {
        fixture.store.put_object(request).await.unwrap();
    }
    report("put", start);
    let start = clock.monotonic();
    fixture.meta.scan(b"o", b"p", usize::MAX).await.unwrap();
    report("scan alone", start);
    let mut request = ListObjects {
        bucket: bucket("bucket"),
        prefix: String::new(),
        delimiter: String::new(),
        after: String::new(),
        limit: 1000,
    };
    let start = clock.monotonic();
    while let Some(next) = fixture
        .store
        .list_objects(request.clone())
        .await
        .unwrap()
        .next
    {
        request.after = next;
    }
    report("list", start);
    let keys: Vec<_> = (0..OBJECTS)
        .map(|i| key(&format!("some/directory/with/a/long/name/{i:08}")))
        .collect();
    let start = clock.monotonic();
    for key in &keys {
        fixture.store.object(&request.bucket, key).await.unwrap();
    }
    report("object", start);
}
