//! Accounts without an access.

use std::time::Duration;

use kube::api::{DeleteParams, ListParams};
use larder_cosi::{controllers::Mode, kube::BucketAccess};

use crate::world::{World, delete, set_finalizers, until};

/// A world with an access that is there and one whose object was taken away behind everybody's back.
async fn with_an_orphan(grace: Duration, delete_after: Duration) -> (World, String, String) {
    let mut world = World::new(Mode::Standalone).await;
    let running = world.start();
    world.claim("photos", "fast").await;
    for name in ["stays", "goes"] {
        world.access(name, "photos", "key").await;
        world.granted(name).await;
    }
    let (stays, goes) = (world.key("stays").await, world.key("goes").await);
    running.stop().await;
    set_finalizers::<BucketAccess>(&world.here(), "goes", &[]).await;
    delete(&world.here::<BucketAccess>(), "goes").await;
    world.settings.orphans.grace = grace;
    world.settings.orphans.delete_after = delete_after;
    (world, stays, goes)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_disabled_and_then_deleted_and_nobody_else_is() {
    let none = Duration::ZERO;
    let (world, stays, goes) = with_an_orphan(none, none).await;
    let _running = world.start();
    until("the orphan is deleted", || async {
        (world.accounts().await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(world.backend.user_of_key(&goes), None);
    assert!(world.backend.user_of_key(&stays).is_some());
    let text = world.metrics.exposition();
    for done in ["disabled", "deleted"] {
        let line = format!("larder_cosi_orphans_total{{action=\"{done}\"}} 1");
        assert!(text.contains(&line), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_account_is_kept_for_long() {
    let (world, _, goes) = with_an_orphan(Duration::ZERO, Duration::from_hours(1)).await;
    let _running = world.start();
    until("the orphan is disabled", || async {
        world.backend.user_of_key(&goes).is_none().then_some(())
    })
    .await;
    assert_eq!(world.accounts().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_fails_or_is_empty_costs_nobody_their_account() {
    let none = Duration::ZERO;
    let (world, stays, _) = with_an_orphan(none, none).await;
    // All of them, by an administrator who meant another cluster.
    set_finalizers::<BucketAccess>(&world.here(), "stays", &[]).await;
    let accesses = world.here::<BucketAccess>();
    accesses
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await
        .unwrap();
    let _running = world.start();
    until("the list is doubted", || async {
        let text = world.metrics.exposition();
        text.contains("larder_cosi_orphans_doubtful 1")
            .then_some(())
    })
    .await;
    assert_eq!(world.accounts().await.len(), 2);
    assert!(world.backend.user_of_key(&stays).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_without_an_object_are_counted_and_kept() {
    let world = World::new(Mode::Standalone).await;
    let none = larder_cosi::provision::Parameters::new();
    world
        .provisioner
        .create_bucket("bucket-lost", &none)
        .await
        .unwrap();
    let _running = world.start();
    until("the bucket is counted", || async {
        let text = world.metrics.exposition();
        text.contains("larder_cosi_orphan_buckets 1").then_some(())
    })
    .await;
    assert!(world.has("bucket-lost").await);
}
