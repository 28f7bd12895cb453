//! Claims and buckets in standalone mode.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, ResourceExt, api::ListParams};
use larder_cosi::{
    controllers::Mode,
    kube::{
        ACCESS_FINALIZER, BUCKET_ACCESS_FINALIZER, BUCKET_FINALIZER, Bucket, BucketAccess,
        BucketClaim, BucketClass, CLAIM_FINALIZER,
    },
};
use serde_json::json;

use crate::world::{DRIVER, NAMESPACE, World, claim, create, delete, finalizers, merge, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_gets_a_bucket_and_an_access_credentials_that_count() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    let uid = world.claim("photos", "fast").await.uid().unwrap();
    let access = world.access("app", "photos", "key").await;
    let name = format!("bucket-{uid}");

    let claim = world.ready("photos").await;
    assert_eq!(claim.bound(), Some(name.as_str()));
    assert_eq!(finalizers(&claim), [CLAIM_FINALIZER]);
    let granted = world.granted("app").await;
    let account = format!("ba-{}", access.uid().unwrap());
    assert_eq!(granted.account(), Some(account.as_str()));
    assert_eq!(finalizers(&granted), [ACCESS_FINALIZER]);

    let bucket = world.all::<Bucket>().get(&name).await.unwrap();
    assert_eq!(bucket.id(), Some(name.as_str()));
    assert_eq!(bucket.claim(), Some((NAMESPACE, "photos")));
    assert_eq!(bucket.claim_uid(), Some(uid.as_str()));
    assert!(bucket.deletes());
    assert_eq!(
        finalizers(&bucket),
        [BUCKET_FINALIZER, BUCKET_ACCESS_FINALIZER]
    );
    assert!(world.has(&name).await);

    let info = world.info("app").await;
    assert_eq!(info["spec"]["bucketName"], name);
    assert_eq!(info["spec"]["protocols"], json!(["S3"]));
    let key = world.key("app").await;
    assert_eq!(world.backend.user_of_key(&key), Some(account));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_goes_in_order() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    let uid = world.claim("photos", "fast").await.uid().unwrap();
    world.access("app", "photos", "key").await;
    world.granted("app").await;
    let key = world.key("app").await;

    delete(&world.here::<BucketAccess>(), "app").await;
    world.gone(&world.here::<BucketAccess>(), "app").await;
    assert_eq!(world.backend.user_of_key(&key), None);
    assert!(
        world
            .here::<Secret>()
            .get_opt("app")
            .await
            .unwrap()
            .is_none()
    );

    delete(&world.here::<BucketClaim>(), "photos").await;
    world.gone(&world.here::<BucketClaim>(), "photos").await;
    let name = format!("bucket-{uid}");
    assert!(
        world
            .all::<Bucket>()
            .get_opt(&name)
            .await
            .unwrap()
            .is_none()
    );
    assert!(!world.has(&name).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_claims_at_once_are_all_ready() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    for number in 0..50 {
        world.claim(&format!("c{number}"), "fast").await;
        world
            .access(&format!("a{number}"), &format!("c{number}"), "key")
            .await;
    }
    for number in 0..50 {
        world.ready(&format!("c{number}")).await;
        world.granted(&format!("a{number}")).await;
    }
    assert_eq!(world.accounts().await.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_use_stays_until_its_access_is_gone() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    let uid = world.claim("photos", "fast").await.uid().unwrap();
    world.access("app", "photos", "key").await;
    world.granted("app").await;
    let key = world.key("app").await;

    delete(&world.here::<BucketClaim>(), "photos").await;
    let note = world.told("photos", "WaitingForAccesses").await;
    assert!(note.contains("app"), "{note}");
    assert!(world.has(&format!("bucket-{uid}")).await);
    assert!(world.backend.user_of_key(&key).is_some());

    delete(&world.here::<BucketAccess>(), "app").await;
    world.gone(&world.here::<BucketClaim>(), "photos").await;
    world.gone(&world.here::<BucketAccess>(), "app").await;
    assert!(!world.has(&format!("bucket-{uid}")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_that_was_never_granted_does_not_hold_its_claim() {
    let world = World::new(Mode::Standalone).await;
    world
        .access_class("wrong", DRIVER, "Key", &[("accessmode", "ReadOnly")])
        .await;
    let _running = world.start();
    world.claim("photos", "fast").await;
    world.access("app", "photos", "wrong").await;
    world.ready("photos").await;
    let note = world.told("app", "FailedGrantAccess").await;
    assert!(note.contains("accessMode"), "{note}");
    delete(&world.here::<BucketClaim>(), "photos").await;
    world.gone(&world.here::<BucketClaim>(), "photos").await;
    delete(&world.here::<BucketAccess>(), "app").await;
    world.gone(&world.here::<BucketAccess>(), "app").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_other_drivers_are_never_written_to() {
    let world = World::new(Mode::Standalone).await;
    world.class("theirs", "other.example", "Delete", &[]).await;
    world
        .access_class("theirs", "other.example", "Key", &[])
        .await;
    let bucket = world.static_bucket("b", "b", "other.example").await;
    let claim = world.claim("c", "theirs").await;
    let existing = world.claim_existing("e", "b").await;
    let access = world.access("a", "c", "theirs").await;
    let doomed = create(&world.here(), &held(claim_named("d", "theirs"))).await;
    delete(&world.here::<BucketClaim>(), "d").await;
    let doomed = world
        .here::<BucketClaim>()
        .get(&doomed.name_any())
        .await
        .unwrap();

    let _running = world.start();
    // Whatever comes after them has been seen to: so have they.
    world.claim("ours", "fast").await;
    world.ready("ours").await;
    world.access("ours", "ours", "key").await;
    world.granted("ours").await;
    let claims: Api<BucketClaim> = world.here();
    for before in [claim, existing, doomed] {
        let after = claims.get(&before.name_any()).await.unwrap();
        assert_eq!(after.resource_version(), before.resource_version());
    }
    let after = world.all::<Bucket>().get("b").await.unwrap();
    assert_eq!(after.resource_version(), bucket.resource_version());
    let after = world.here::<BucketAccess>().get("a").await.unwrap();
    assert_eq!(after.resource_version(), access.resource_version());
}

fn claim_named(name: &str, class: &str) -> BucketClaim {
    claim(name, class)
}

fn held(mut claim: BucketClaim) -> BucketClaim {
    claim.metadata.finalizers = Some(vec![CLAIM_FINALIZER.to_owned()]);
    claim
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_parameter_is_told_with_its_cure_and_mending_the_class_is_enough() {
    let world = World::new(Mode::Standalone).await;
    world
        .class("typo", DRIVER, "Delete", &[("quotabyte", "1Gi")])
        .await;
    let _running = world.start();
    world.claim("photos", "typo").await;
    let note = world.told("photos", "FailedCreateBucket").await;
    assert!(note.contains("quotaBytes"), "{note}");
    let mended = json!({ "parameters": { "quotabyte": null, "quotaBytes": "1Gi" } });
    merge(&world.all::<BucketClass>(), "typo", mended).await;
    world.ready("photos").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_waits_for_its_class() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    world.claim("photos", "later").await;
    world.told("photos", "ClassNotFound").await;
    world.class("later", DRIVER, "Delete", &[]).await;
    world.ready("photos").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_an_administrator_names_is_looked_for_before_it_is_ready() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    world.static_bucket("archive", "old-archive", DRIVER).await;
    world.claim_existing("mine", "archive").await;
    let note = world.told("mine", "BucketMissing").await;
    assert!(note.contains("old-archive"), "{note}");
    assert!(
        !world
            .here::<BucketClaim>()
            .get("mine")
            .await
            .unwrap()
            .ready()
    );

    let parameters = larder_cosi::provision::Parameters::new();
    world
        .provisioner
        .create_bucket("old-archive", &parameters)
        .await
        .unwrap();
    let claim = world.ready("mine").await;
    assert_eq!(claim.bound(), Some("archive"));
    world.access("app", "mine", "key").await;
    world.granted("app").await;
    let info = world.info("app").await;
    assert_eq!(info["spec"]["bucketName"], "old-archive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_claim_may_come_before_its_bucket() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    let parameters = larder_cosi::provision::Parameters::new();
    world
        .provisioner
        .create_bucket("old-archive", &parameters)
        .await
        .unwrap();
    world.claim_existing("mine", "archive").await;
    world.told("mine", "BucketNotFound").await;
    world.static_bucket("archive", "old-archive", DRIVER).await;
    world.ready("mine").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_class_retain_outlives_its_namespace_and_is_adopted() {
    let world = World::new(Mode::Standalone).await;
    if !world.kube.collects_garbage() {
        return;
    }
    let _running = world.start();
    let uid = world.claim("photos", "kept").await.uid().unwrap();
    world.access("app", "photos", "key").await;
    world.granted("app").await;
    let (name, key) = (format!("bucket-{uid}"), world.key("app").await);
    world.backend.put_object(&name, "precious").unwrap();

    delete(&world.all::<Namespace>(), NAMESPACE).await;
    world.gone(&world.all::<Namespace>(), NAMESPACE).await;
    assert!(world.has(&name).await);
    assert_eq!(world.backend.user_of_key(&key), None);

    // Nobody else can take it.
    let mut stolen = claim("photos", "");
    stolen.spec.bucket_class_name = None;
    stolen.spec.existing_bucket_name = Some(name.clone());
    create(&Api::namespaced(world.client.clone(), "thief"), &stolen).await;
    let note = world.told("photos", "BucketTaken").await;
    assert!(note.contains("shop/photos"), "{note}");

    world.namespace(NAMESPACE).await;
    world.claim_existing("photos", &name).await;
    world.ready("photos").await;
    world.access("app", "photos", "key").await;
    world.granted("app").await;
    assert_eq!(world.info("app").await["spec"]["bucketName"], name);
    assert_ne!(world.key("app").await, key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freed_bucket_is_anybodys() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    let uid = world.claim("photos", "kept").await.uid().unwrap();
    world.ready("photos").await;
    delete(&world.here::<BucketClaim>(), "photos").await;
    world.gone(&world.here::<BucketClaim>(), "photos").await;
    let name = format!("bucket-{uid}");
    world.claim_existing("pictures", &name).await;
    world.told("pictures", "BucketTaken").await;
    let freed =
        json!({ "spec": { "bucketClaim": { "name": null, "namespace": null, "uid": null } } });
    merge(&world.all::<Bucket>(), &name, freed).await;
    world.ready("pictures").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_empty_stays_until_it_is() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    let uid = world.claim("photos", "fast").await.uid().unwrap();
    world.ready("photos").await;
    let name = format!("bucket-{uid}");
    world.backend.put_object(&name, "precious").unwrap();
    delete(&world.here::<BucketClaim>(), "photos").await;
    let note = world.told("photos", "FailedDeleteBucket").await;
    assert!(note.contains("empty"), "{note}");
    assert!(world.has(&name).await);
    world.backend.delete_object(&name, "precious").unwrap();
    world.gone(&world.here::<BucketClaim>(), "photos").await;
    assert!(!world.has(&name).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_object_that_is_deleted_waits_for_its_claim() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    let uid = world.claim("photos", "fast").await.uid().unwrap();
    world.ready("photos").await;
    let name = format!("bucket-{uid}");
    delete(&world.all::<Bucket>(), &name).await;
    world.told("photos", "BucketInUse").await;
    assert!(world.has(&name).await);
    delete(&world.here::<BucketClaim>(), "photos").await;
    world.gone(&world.here::<BucketClaim>(), "photos").await;
    assert!(!world.has(&name).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_another_object_names_is_not_deleted() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    let uid = world.claim("photos", "fast").await.uid().unwrap();
    world.ready("photos").await;
    let name = format!("bucket-{uid}");
    world.static_bucket("second", &name, DRIVER).await;
    world.claim_existing("second", "second").await;
    world.ready("second").await;
    delete(&world.here::<BucketClaim>(), "photos").await;
    world.gone(&world.here::<BucketClaim>(), "photos").await;
    assert!(world.has(&name).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_work_one_after_the_other() {
    let world = World::new(Mode::Standalone).await;
    let first = world.start();
    world.claim("one", "fast").await;
    world.ready("one").await;
    let mut settings = world.settings.clone();
    "larder-cosi_test_2".clone_into(&mut settings.identity);
    let second = world.start_with(
        world.client.clone(),
        std::sync::Arc::clone(&world.provisioner),
        settings,
    );
    world.claim("two", "fast").await;
    world.ready("two").await;
    assert_eq!(holder(&world).await, "larder-cosi_test_1");
    first.stop().await;
    world.claim("three", "fast").await;
    world.ready("three").await;
    assert_eq!(holder(&world).await, "larder-cosi_test_2");
    // One that dies without a word is followed too.
    drop(second);
    let _third = world.start();
    world.claim("four", "fast").await;
    world.ready("four").await;
    assert_eq!(holder(&world).await, "larder-cosi_test_1");
}

async fn holder(world: &World) -> String {
    use k8s_openapi::api::coordination::v1::Lease;
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), "larder");
    let all = leases.list(&ListParams::default()).await.unwrap();
    let lease = all.items.into_iter().next().unwrap();
    assert_eq!(lease.name_any(), "cosi-larder-dev-cosi");
    lease.spec.unwrap().holder_identity.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_end_and_requests_that_fail_are_survived() {
    let world = World::new(Mode::Standalone).await;
    let Some(kube) = world.kube.fake() else {
        return;
    };
    let _running = world.start();
    world.claim("one", "fast").await;
    world.ready("one").await;
    kube.compact();
    kube.disconnect_watches();
    kube.fail_next("PATCH", "/status", 409, 2);
    kube.fail_next("POST", "/buckets", 500, 2);
    world.claim("two", "fast").await;
    world.ready("two").await;
    let buckets = world
        .all::<Bucket>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(buckets.items.len(), 2);
    let counted = || {
        let text = world.metrics.exposition();
        let lines = text.lines();
        let mut counts =
            lines.filter_map(|line| line.strip_prefix("larder_cosi_claim_ready_seconds_count "));
        counts.next().unwrap().parse::<u64>().unwrap()
    };
    let both = || async { (counted() >= 2).then_some(()) };
    until("both are on the metrics", both).await;
    assert_eq!(counted(), 2, "each is counted once");
}
