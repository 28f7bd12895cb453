//! Accesses and their Secrets in standalone mode.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use larder_cosi::{
    controllers::Mode,
    kube::{BucketAccess, BucketAccessClass},
};
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

/// What is in a Secret, once these keys are in it and no others.
async fn keys(secrets: &Api<Secret>, wanted: &str) -> BTreeMap<String, ByteString> {
    until(&format!("{wanted} is in the Secret"), || async {
        let data = secrets.get("app").await.unwrap().data.unwrap();
        let keys: Vec<_> = data.keys().map(String::as_str).collect();
        (keys.join(" ") == wanted).then_some(data)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_format_that_a_class_has_no_more_go_and_what_others_added_stays() {
    let world = World::new(Mode::Standalone).await;
    let formats = [("secretFormats", "aws,velero,rclone")];
    world.access_class("many", DRIVER, "Key", &formats).await;
    let _running = world.start();
    world.claim("photos", "fast").await;
    world.access("app", "photos", "many").await;
    world.granted("app").await;
    let secrets: Api<Secret> = world.here();
    let added = json!({ "stringData": { "extra": "mine" } });
    merge(&secrets, "app", added).await;
    let change = |formats: &'static str| {
        let classes = world.all::<BucketAccessClass>();
        async move {
            let body = json!({ "parameters": { "secretFormats": formats } });
            merge(&classes, "many", body).await;
        }
    };
    // As the Secret was made, and then as it was changed: neither leaves anything behind.
    change("velero,s3cfg").await;
    let data = keys(&secrets, ".s3cfg BucketInfo cloud extra").await;
    assert_eq!(data["extra"].0, b"mine");
    change("rclone").await;
    keys(&secrets, "BucketInfo extra rclone.conf").await;

    // A key of that name that is somebody else's is theirs.
    let how = PatchParams::apply("somebody").force();
    let body = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "app" }, "data": { "rclone.conf": ByteString(b"theirs".to_vec()) } });
    change("velero").await;
    keys(&secrets, "BucketInfo cloud extra").await;
    secrets
        .patch("app", &how, &Patch::Apply(body))
        .await
        .unwrap();
    change("s3cfg").await;
    let data = keys(&secrets, ".s3cfg BucketInfo extra rclone.conf").await;
    assert_eq!(data["rclone.conf"].0, b"theirs");
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
