//! Which of the two sets runs.

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::Api;
use larder_cosi::{
    controllers::Mode,
    kube::{Bucket, BucketClaim},
};
use serde_json::json;

use crate::world::{DRIVER, World, create, merge, set_status, until};

/// The lease of upstream's controller.
const CONTROLLER: &str = "leader-lock-cosi-controller-manager";

fn upstreams(world: &World) -> Api<Lease> {
    Api::namespaced(world.client.clone(), "upstream")
}

async fn take(leases: &Api<Lease>, name: &str) {
    let mut lease = Lease::default();
    lease.metadata.name = Some(name.to_owned());
    lease.spec = Some(LeaseSpec {
        holder_identity: Some("objectstorage-controller-1".to_owned()),
        lease_duration_seconds: Some(150),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..LeaseSpec::default()
    });
    create(leases, &lease).await;
}

/// Upstream's controller alone makes objects, and nobody buckets.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waits_for_a_sidecar_that_is_not_there_says_so() {
    let world = World::new(Mode::Auto).await;
    take(&upstreams(&world), CONTROLLER).await;
    let _running = world.start();
    let claim = world.claim("one", "fast").await;
    let mut bucket = Bucket::named("bucket-one");
    DRIVER.clone_into(&mut bucket.spec.driver_name);
    bucket.spec.bucket_claim = kube::Resource::object_ref(&claim, &());
    create(&world.all(), &bucket).await;
    let unready = json!({ "bucketReady": false, "bucketName": "bucket-one" });
    set_status(&world.here::<BucketClaim>(), "one", unready).await;
    let told = world.told("one", "NoSidecar").await;
    assert!(told.contains("cosi.sidecar.enabled=true"), "{told}");

    let leases = Api::namespaced(world.client.clone(), "larder");
    take(&leases, "cosi-larder-dev-cosi").await;
    let ready = json!({ "bucketReady": true, "bucketID": "bucket-one" });
    set_status(&world.all::<Bucket>(), "bucket-one", ready).await;
    world.ready("one").await;
}

async fn holder(world: &World, name: &str) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), "larder");
    let lease = leases.get_opt(name).await.unwrap()?;
    lease
        .spec?
        .holder_identity
        .filter(|holder| !holder.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn standalone_gives_way_to_upstream_and_takes_over_when_that_is_gone() {
    let world = World::new(Mode::Auto).await;
    let _running = world.start();
    world.claim("one", "fast").await;
    world.ready("one").await;
    assert!(holder(&world, "cosi-larder-dev-cosi").await.is_some());

    take(&upstreams(&world), CONTROLLER).await;
    until("repair runs", || holder_of_repair(&world)).await;
    assert_eq!(holder(&world, "cosi-larder-dev-cosi").await, None);
    world.claim("two", "fast").await;

    let gone = json!({ "spec": { "holderIdentity": "" } });
    merge(&upstreams(&world), CONTROLLER, gone).await;
    world.ready("two").await;
    assert_eq!(holder_of_repair(&world).await, None);
}

async fn holder_of_repair(world: &World) -> Option<String> {
    holder(world, "cosi-larder-dev-cosi-repair").await
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_upstream_no_bucket_is_made() {
    let world = World::new(Mode::Auto).await;
    take(&upstreams(&world), CONTROLLER).await;
    let _running = world.start();
    until("repair runs", || holder_of_repair(&world)).await;
    world.claim("one", "fast").await;
    // A claim that is half bound comes after it and is bound: this one was seen.
    world.claim_existing("half", "archive").await;
    let half = json!({ "bucketReady": true });
    set_status(&world.here::<BucketClaim>(), "half", half).await;
    world.static_bucket("archive", "archive", DRIVER).await;
    let ready = json!({ "bucketReady": true, "bucketID": "archive" });
    set_status(&world.all::<Bucket>(), "archive", ready).await;
    world.ready("half").await;
    let claims: Api<BucketClaim> = world.here();
    assert_eq!(claims.get("one").await.unwrap().status, None);
    assert!(!world.has("archive").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_upstream_cant_be_told_nothing_runs() {
    let world = World::new(Mode::Auto).await;
    let Some(kube) = world.kube.fake() else {
        return;
    };
    kube.fail_next("GET", "/leases/", 403, 20);
    let _running = world.start();
    world.claim("one", "fast").await;
    world.ready("one").await;
    // It was made only after the leases could be read, when all refusals were used up.
    let name = CONTROLLER;
    assert!(upstreams(&world).get_opt(name).await.unwrap().is_none());
}
