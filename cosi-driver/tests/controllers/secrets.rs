//! Accesses and their Secrets in standalone mode.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use larder_cosi::{controllers::Mode, kube::BucketAccess};
use serde_json::{Value, json};

use crate::world::{DRIVER, World, access, create, delete, merge, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_somebody_else_is_never_overwritten() {
    let world = World::new(Mode::Standalone).await;
    let mut theirs = Secret::default();
    theirs.metadata.name = Some("app".to_owned());
    theirs.string_data = Some([("password".to_owned(), "hunter2".to_owned())].into());
    let before = create(&world.here(), &theirs).await;
    let _running = world.start();
    world.claim("photos", "fast").await;
    world.access("app", "photos", "key").await;
    let note = world.told("app", "SecretExists").await;
    assert!(note.contains("credentialsSecretName"), "{note}");
    let after = world.here::<Secret>().get("app").await.unwrap();
    assert_eq!(after.resource_version(), before.resource_version());
    assert!(world.accounts().await.is_empty());

    // Nor is it deleted with the access.
    delete(&world.here::<BucketAccess>(), "app").await;
    world.gone(&world.here::<BucketAccess>(), "app").await;
    let after = world.here::<Secret>().get("app").await.unwrap();
    assert_eq!(after.resource_version(), before.resource_version());

    delete(&world.here::<Secret>(), "app").await;
    world.access("app", "photos", "key").await;
    world.granted("app").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_deleted_is_made_anew_with_the_same_key() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    world.claim("photos", "fast").await;
    world.access("app", "photos", "key").await;
    world.granted("app").await;
    let key = world.key("app").await;
    let secrets: Api<Secret> = world.here();
    let old = secrets.get("app").await.unwrap().uid();
    delete(&secrets, "app").await;
    until("the Secret is there anew", || async {
        let secret = secrets.get_opt("app").await.unwrap()?;
        (secret.uid() != old).then_some(())
    })
    .await;
    assert_eq!(world.key("app").await, key);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_in_a_secret_is_put_right_and_what_is_added_stays() {
    let world = World::new(Mode::Standalone).await;
    let _running = world.start();
    world.claim("photos", "fast").await;
    world.access("app", "photos", "key").await;
    world.granted("app").await;
    let key = world.key("app").await;
    let secrets: Api<Secret> = world.here();
    let changed = json!({ "stringData": { "BucketInfo": "{}", "extra": "mine" } });
    merge(&secrets, "app", changed).await;
    until("BucketInfo is put right", || async {
        let secret = secrets.get("app").await.unwrap();
        let data = secret.data.unwrap();
        let info: Value = serde_json::from_slice(&data["BucketInfo"].0).unwrap();
        let right = info["spec"]["secretS3"]["accessKeyID"] == key.as_str();
        right.then(|| assert_eq!(data["extra"].0, b"mine"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_gets_a_role_and_no_key() {
    let world = World::new(Mode::Standalone).await;
    world.access_class("iam", DRIVER, "IAM", &[]).await;
    let _running = world.start();
    world.claim("photos", "fast").await;
    world.access("nobody", "photos", "iam").await;
    let note = world.told("nobody", "NoServiceAccount").await;
    assert!(note.contains("serviceAccountName"), "{note}");

    let mut access = access("app", "photos", "iam");
    access.spec.service_account_name = Some("backup".to_owned());
    create(&world.here(), &access).await;
    world.granted("app").await;
    let info = world.info("app").await;
    assert_eq!(info["spec"]["authenticationType"], "IAM");
    assert_eq!(info["spec"]["secretS3"]["accessKeyID"], "");
    assert_eq!(info["spec"]["secretS3"]["accessSecretKey"], "");
}
