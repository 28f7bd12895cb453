//! Rotation of keys.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use larder_cosi::{
    controllers::{Mode, ROTATE},
    kube::BucketAccess,
};
use serde_json::json;

use crate::world::{DRIVER, World, merge, until};

const UNTIL: &str = "cosi.larder.dev/old-key-until";

async fn ask(world: &World, text: &str) {
    let asked = json!({ "metadata": { "annotations": { ROTATE: text } } });
    merge(&world.here::<BucketAccess>(), "app", asked).await;
}

/// Another key than this one, once the Secret has one.
async fn other_key(world: &World, old: &str) -> String {
    until("the Secret has a new key", || async {
        Some(world.key("app").await).filter(|key| key != old)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_made_and_the_old_one_counts_until_the_overlap_is_over() {
    let world = World::new(Mode::Standalone).await;
    let running = world.start();
    world.claim("photos", "fast").await;
    world.access("app", "photos", "key").await;
    let account = world.granted("app").await.account().unwrap().to_owned();
    let old = world.key("app").await;
    ask(&world, "1").await;
    let new = other_key(&world, &old).await;
    for key in [&old, &new] {
        assert_eq!(world.backend.user_of_key(key).as_ref(), Some(&account));
    }
    let accesses: Api<BucketAccess> = world.here();
    until("the overlap is noted", || async {
        let access = accesses.get("app").await.unwrap();
        access.annotations().contains_key(UNTIL).then_some(())
    })
    .await;

    // Asked for once more while the two overlap: not before that is over. A restart changes nothing.
    running.stop().await;
    ask(&world, "2").await;
    let _running = world.start();
    world.claim("later", "fast").await;
    world.ready("later").await;
    assert_eq!(world.key("app").await, new);

    let over = json!({ "metadata": { "annotations": { UNTIL: "1970-01-01T00:00:00Z" } } });
    merge(&accesses, "app", over).await;
    let third = other_key(&world, &new).await;
    assert_eq!(world.backend.user_of_key(&old), None);
    assert_eq!(world.backend.user_of_key(&third), Some(account));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_class_with_an_interval_are_rotated_by_themselves() {
    let world = World::new(Mode::Standalone).await;
    let often = [("rotateEvery", "1h"), ("rotateOverlap", "1m")];
    world.access_class("often", DRIVER, "Key", &often).await;
    let _running = world.start();
    world.claim("photos", "fast").await;
    world.access("app", "photos", "often").await;
    world.granted("app").await;
    let old = world.key("app").await;
    let long_ago = json!({ "metadata": { "annotations": { "cosi.larder.dev/rotated-at": "2020-01-01T00:00:00Z" } } });
    merge(&world.here::<BucketAccess>(), "app", long_ago).await;
    let new = other_key(&world, &old).await;
    assert!(world.backend.user_of_key(&new).is_some());
    world.told("app", "KeyRotated").await;
}

/// How often an access was seen to.
fn looks(world: &World) -> u64 {
    let text = world.metrics.exposition();
    let row = "larder_cosi_reconciles_total{kind=\"BucketAccess\",outcome=\"done\"} ";
    let mut rows = text.lines().filter_map(|line| line.strip_prefix(row));
    rows.next().map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_that_forgot_its_generation_goes_on_from_its_secret() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    world.claim("photos", "fast").await;
    world.access("app", "photos", "key").await;
    world.granted("app").await;
    let mut key = world.key("app").await;
    for text in ["1", "2"] {
        ask(&world, text).await;
        key = other_key(&world, &key).await;
        let over = json!({ "metadata": { "annotations": { UNTIL: "1970-01-01T00:00:00Z" } } });
        until("the overlap is noted", || async {
            let access = world.here::<BucketAccess>().get("app").await.unwrap();
            access.annotations().contains_key(UNTIL).then_some(())
        })
        .await;
        merge(&world.here::<BucketAccess>(), "app", over).await;
    }
    let forgotten = json!({ "metadata": { "annotations": null } });
    let before = looks(&world);
    merge(&world.here::<BucketAccess>(), "app", forgotten).await;
    // Nobody asks yet: what is known of the key must not be lost by a look at it.
    until("it was looked at", || async {
        (looks(&world) > before).then_some(())
    })
    .await;
    ask(&world, "3").await;
    let new = other_key(&world, &key).await;
    assert!(world.backend.user_of_key(&new).is_some());
    let secret = world.here::<Secret>().get("app").await.unwrap();
    assert_eq!(secret.annotations()["cosi.larder.dev/key-generation"], "4");
}
