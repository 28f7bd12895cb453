//! Beside upstream's controller and sidecar, whose writes the tests do themselves.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use larder_cosi::{
    controllers::Mode,
    kube::{ACCESS_FINALIZER, Bucket, BucketAccess, BucketClaim, SECRET_FINALIZER},
    provision::{Authentication, Grant, Parameters},
};
use serde_json::json;

use crate::world::{DRIVER, World, create, delete, merge, set_finalizers, set_status, until};

/// What upstream makes of a claim: its bucket object, and the bucket by gRPC.
async fn provide(world: &World, claim: &BucketClaim) -> String {
    let name = format!("bucket-{}", claim.uid().unwrap());
    let mut bucket = Bucket::named(&name);
    DRIVER.clone_into(&mut bucket.spec.driver_name);
    "fast".clone_into(&mut bucket.spec.bucket_class_name);
    bucket.spec.protocols = vec!["S3".to_owned()];
    bucket.spec.bucket_claim = kube::Resource::object_ref(claim, &());
    create(&world.all(), &bucket).await;
    let none = Parameters::new();
    world.provisioner.create_bucket(&name, &none).await.unwrap();
    let ready = json!({ "bucketReady": true, "bucketID": name });
    set_status(&world.all::<Bucket>(), &name, ready).await;
    name
}

async fn late_write(world: &World, claim: &str, bucket: &str) {
    let late = json!({ "bucketReady": false, "bucketName": bucket });
    set_status(&world.here::<BucketClaim>(), claim, late).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_upstreams_race_left_not_ready_are_healed_as_often_as_it_takes() {
    let world = World::new(Mode::Repair).await;
    let _running = world.start();
    let mut buckets = Vec::new();
    for number in 0..50 {
        let name = format!("c{number}");
        let claim = world.claim(&name, "fast").await;
        let bucket = provide(&world, &claim).await;
        let sidecars = json!({ "bucketReady": true, "bucketName": bucket });
        set_status(&world.here::<BucketClaim>(), &name, sidecars).await;
        late_write(&world, &name, &bucket).await;
        buckets.push((name, bucket));
    }
    for (name, _) in &buckets {
        world.ready(name).await;
    }
    for (name, bucket) in &buckets {
        late_write(&world, name, bucket).await;
    }
    for (name, _) in &buckets {
        world.ready(name).await;
    }
    let text = world.metrics.exposition();
    assert!(
        text.contains("larder_cosi_repairs_total{kind=\"claim_ready\"}"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ready_for_good_reason_stays_so() {
    let world = World::new(Mode::Repair).await;
    let _running = world.start();
    // Its bucket is bound to another claim.
    let mine = world.claim("mine", "fast").await;
    let bucket = provide(&world, &mine).await;
    world.claim("thief", "fast").await;
    late_write(&world, "thief", &bucket).await;
    // That of another driver.
    world
        .static_bucket("foreign", "foreign", "other.example")
        .await;
    let ready = json!({ "bucketReady": true, "bucketID": "foreign" });
    set_status(&world.all::<Bucket>(), "foreign", ready).await;
    world.claim_existing("other", "foreign").await;
    late_write(&world, "other", "foreign").await;
    late_write(&world, "mine", &bucket).await;
    world.ready("mine").await;
    for name in ["thief", "other"] {
        assert!(!world.here::<BucketClaim>().get(name).await.unwrap().ready());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_claim_that_came_before_its_bucket_is_bound() {
    let world = World::new(Mode::Repair).await;
    let _running = world.start();
    world.claim_existing("mine", "archive").await;
    let half = json!({ "bucketReady": true });
    set_status(&world.here::<BucketClaim>(), "mine", half).await;
    world.static_bucket("archive", "archive", DRIVER).await;
    let none = Parameters::new();
    world
        .provisioner
        .create_bucket("archive", &none)
        .await
        .unwrap();
    let ready = json!({ "bucketReady": true, "bucketID": "archive" });
    set_status(&world.all::<Bucket>(), "archive", ready).await;
    let claim = world.ready("mine").await;
    assert_eq!(claim.bound(), Some("archive"));
    let bucket = world.all::<Bucket>().get("archive").await.unwrap();
    assert_eq!(bucket.claim_uid(), claim.metadata.uid.as_deref());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_bucket_that_is_not_there_is_told() {
    let world = World::new(Mode::Repair).await;
    let _running = world.start();
    world.static_bucket("archive", "never-made", DRIVER).await;
    let ready = json!({ "bucketReady": true, "bucketID": "never-made" });
    set_status(&world.all::<Bucket>(), "archive", ready).await;
    let note = world.told("archive", "BucketMissing").await;
    assert!(note.contains("never-made"), "{note}");
}

/// An access as upstream's sidecar grants it.
async fn grant(world: &World, name: &str, claim: &BucketClaim, bucket: &str) -> String {
    let access = world.access(name, &claim.name_any(), "key").await;
    let account = format!("ba-{}", access.uid().unwrap());
    let grant = Grant {
        account: account.clone(),
        buckets: vec![(bucket.to_owned(), None)],
        authentication: Authentication::Key,
        parameters: Parameters::new(),
    };
    world.provisioner.grant(&grant).await.unwrap();
    set_finalizers(&world.here::<BucketAccess>(), name, &[ACCESS_FINALIZER]).await;
    account
}

async fn make_secret(world: &World, name: &str, info: &str) {
    let mut secret = Secret::default();
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.finalizers = Some(vec![SECRET_FINALIZER.to_owned()]);
    secret.string_data = Some([("BucketInfo".to_owned(), info.to_owned())].into());
    create(&world.here(), &secret).await;
}

async fn say_granted(world: &World, name: &str, account: &str) {
    let granted = json!({ "accessGranted": true, "accountID": account });
    set_status(&world.here::<BucketAccess>(), name, granted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_whose_bucket_went_first_goes_too() {
    let world = World::new(Mode::Repair).await;
    let _running = world.start();
    let claim = world.claim("photos", "fast").await;
    let bucket = provide(&world, &claim).await;
    let account = grant(&world, "app", &claim, &bucket).await;
    let info = json!({ "metadata": { "name": format!("bc-{}", &account[3..]) } });
    make_secret(&world, "app", &info.to_string()).await;
    say_granted(&world, "app", &account).await;
    delete(&world.all::<Bucket>(), &bucket).await;
    delete(&world.here::<BucketAccess>(), "app").await;
    world.gone(&world.here::<BucketAccess>(), "app").await;
    world.gone(&world.here::<Secret>(), "app").await;
    assert!(world.accounts().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_that_upstream_can_see_off_is_left_to_it() {
    let world = World::new(Mode::Repair).await;
    let _running = world.start();
    let claim = world.claim("photos", "fast").await;
    let bucket = provide(&world, &claim).await;
    late_write(&world, "photos", &bucket).await;
    world.ready("photos").await;
    let account = grant(&world, "app", &claim, &bucket).await;
    let info = json!({ "metadata": { "name": format!("bc-{}", &account[3..]) } });
    make_secret(&world, "app", &info.to_string()).await;
    say_granted(&world, "app", &account).await;
    delete(&world.here::<BucketAccess>(), "app").await;
    // Another one comes after it and is seen to; by then this one's time is up several times over.
    for number in 0..3 {
        let name = format!("later{number}");
        let claim = world.claim(&name, "fast").await;
        let bucket = provide(&world, &claim).await;
        let account = grant(&world, &name, &claim, &bucket).await;
        set_status(
            &world.here::<BucketClaim>(),
            &name,
            json!({ "bucketReady": true, "bucketName": bucket }),
        )
        .await;
        say_granted(&world, &name, &account).await;
        until("the Secret is there", || async {
            world.here::<Secret>().get_opt(&name).await.unwrap()
        })
        .await;
        delete(&world.all::<Bucket>(), &bucket).await;
        delete(&world.here::<BucketAccess>(), &name).await;
        world.gone(&world.here::<BucketAccess>(), &name).await;
    }
    assert!(
        world
            .here::<BucketAccess>()
            .get_opt("app")
            .await
            .unwrap()
            .is_some()
    );
    assert!(world.accounts().await.contains(&account));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_there_before_is_told_and_left_alone() {
    let world = World::new(Mode::Repair).await;
    let _running = world.start();
    let claim = world.claim("photos", "fast").await;
    let bucket = provide(&world, &claim).await;
    late_write(&world, "photos", &bucket).await;
    make_secret(&world, "app", "mine").await;
    let account = grant(&world, "app", &claim, &bucket).await;
    say_granted(&world, "app", &account).await;
    let note = world.told("app", "SecretExists").await;
    assert!(note.contains("left alone"), "{note}");
    let secret = world.here::<Secret>().get("app").await.unwrap();
    assert_eq!(secret.data.unwrap()["BucketInfo"].0, b"mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_secret_is_kept_up_and_its_keys_rotate() {
    let world = World::new(Mode::Repair).await;
    let _running = world.start();
    let claim = world.claim("photos", "fast").await;
    let bucket = provide(&world, &claim).await;
    late_write(&world, "photos", &bucket).await;
    world.ready("photos").await;
    let account = grant(&world, "app", &claim, &bucket).await;
    let info = json!({ "metadata": { "name": format!("bc-{}", &account[3..]) } });
    make_secret(&world, "app", &info.to_string()).await;
    say_granted(&world, "app", &account).await;
    let accesses: Api<BucketAccess> = world.here();
    let first = until("the Secret is kept up", || async {
        let info = world.info("app").await;
        info["spec"]["secretS3"]["accessKeyID"]
            .as_str()
            .map(str::to_owned)
    })
    .await;
    let asked = json!({ "metadata": { "annotations": { "cosi.larder.dev/rotate": "now" } } });
    merge(&accesses, "app", asked).await;
    until("there is a new key", || async {
        Some(world.key("app").await).filter(|key| *key != first)
    })
    .await;
}
