use larder_fake_kube::FakeKube;
use serde_json::json;

use super::{doctor::Verdict, *};
use crate::provision::testing::{grant, memory, parameters};

const DRIVER: &str = "cosi.larder.dev";

async fn world(provisioner: &Provisioner) -> (FakeKube, Client) {
    let server = FakeKube::start(larder_fake_kube::Options::default())
        .await
        .unwrap();
    let client = server.client().unwrap();
    let bucket = "bucket-c1";
    provisioner
        .create_bucket(bucket, &parameters(&[]))
        .await
        .unwrap();
    apply(&client, json!({"kind": "BucketClass", "metadata": {"name": "c"}, "driverName": DRIVER, "deletionPolicy": "Delete", "parameters": {"versioning": "Enabled"}})).await;
    apply(&client, json!({"kind": "BucketAccessClass", "metadata": {"name": "a"}, "driverName": DRIVER, "authenticationType": "Key", "parameters": {"accessMode": "ReadOnly"}})).await;
    apply(&client, json!({"kind": "Bucket", "metadata": {"name": bucket}, "spec": {"driverName": DRIVER, "bucketClassName": "c", "protocols": ["S3"],
        "bucketClaim": {"name": "claim", "namespace": "default"}}, "status": {"bucketReady": true, "bucketID": bucket}})).await;
    apply(&client, json!({"kind": "BucketClaim", "metadata": {"name": "claim", "namespace": "default"}, "spec": {"bucketClassName": "c", "protocols": ["S3"]}})).await;
    apply(&client, json!({"kind": "BucketAccess", "metadata": {"name": "access", "namespace": "default"}, "spec": {"bucketClaimName": "claim",
        "bucketAccessClassName": "a", "credentialsSecretName": "s"}})).await;
    (server, client)
}

async fn apply(client: &Client, mut object: serde_json::Value) {
    object["apiVersion"] = json!(crate::kube::API_VERSION);
    let kind = object["kind"].as_str().unwrap().to_owned();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let plural = format!(
        "{}{}",
        kind.to_lowercase(),
        if kind.ends_with('s') { "es" } else { "s" }
    );
    let space = object["metadata"]
        .get("namespace")
        .map_or_else(String::new, |space| {
            format!("/namespaces/{}", space.as_str().unwrap())
        });
    for sub in ["", "/status"] {
        if sub.is_empty() || object.get("status").is_some() {
            let path = format!(
                "/apis/{}{space}/{plural}/{name}{sub}?fieldManager=test&force=true",
                crate::kube::API_VERSION
            );
            let request = http::Request::patch(path)
                .header("content-type", "application/apply-patch+yaml")
                .body(object.to_string().into_bytes())
                .unwrap();
            let _applied: serde_json::Value = client.request(request).await.unwrap();
        }
    }
}

/// Grants the access that there is, as a controller does, but for its Secret.
async fn granted(client: &Client, provisioner: &Provisioner) -> String {
    let api: Api<BucketAccess> = Api::namespaced(client.clone(), "default");
    let account = crate::kube::account_name(
        api.get("access")
            .await
            .unwrap()
            .metadata
            .uid
            .as_deref()
            .unwrap(),
    );
    provisioner
        .grant(&grant(&account, &["bucket-c1"]))
        .await
        .unwrap();
    let status = json!({"kind": "BucketAccess", "metadata": {"name": "access", "namespace": "default"}, "status": {"accessGranted": true, "accountID": account},
        "spec": {"bucketClaimName": "claim", "bucketAccessClassName": "a", "credentialsSecretName": "s"}});
    apply(client, status).await;
    account
}

async fn deleted(
    found: &orphans::Orphans,
    provisioner: &Provisioner,
    insist: bool,
) -> Result<Vec<String>, OperateError> {
    let mut told = Vec::new();
    let tell = |account: &str| told.push(account.to_owned());
    orphans::delete(found, provisioner, insist, tell).await?;
    Ok(told)
}

#[tokio::test]
async fn orphans_are_what_has_no_object() {
    let (_backend, provisioner) = memory();
    let (_server, client) = world(&provisioner).await;
    let kept = granted(&client, &provisioner).await;
    provisioner
        .grant(&grant("ba-gone", &["bucket-c1"]))
        .await
        .unwrap();
    provisioner
        .create_bucket("bucket-gone", &parameters(&[]))
        .await
        .unwrap();
    let found = orphans::find(&World::load(&client, &provisioner).await.unwrap());
    let names: Vec<&str> = found
        .accounts
        .iter()
        .map(|account| account.account.as_str())
        .collect();
    assert_eq!((names, found.doubt.as_ref()), (vec!["ba-gone"], None));
    assert_eq!(
        found
            .buckets
            .iter()
            .map(|bucket| bucket.id.as_str())
            .collect::<Vec<_>>(),
        ["bucket-gone"]
    );
    assert!(
        found.text().contains("account ba-gone: to bucket-c1"),
        "{}",
        found.text()
    );
    assert_eq!(
        deleted(&found, &provisioner, false).await.unwrap(),
        ["ba-gone"]
    );
    let left: Vec<String> = provisioner
        .accounts()
        .await
        .unwrap()
        .into_iter()
        .map(|account| account.account)
        .collect();
    assert_eq!(left, [kept]);
    assert!(
        provisioner.existing_bucket("bucket-gone").await.is_ok(),
        "no bucket is deleted"
    );
}

#[tokio::test]
async fn a_cluster_without_any_access_is_doubted() {
    let (_backend, provisioner) = memory();
    let server = FakeKube::start(larder_fake_kube::Options::default())
        .await
        .unwrap();
    provisioner
        .create_bucket("bucket-c1", &parameters(&[]))
        .await
        .unwrap();
    provisioner
        .grant(&grant("ba-1", &["bucket-c1"]))
        .await
        .unwrap();
    let found = orphans::find(
        &World::load(&server.client().unwrap(), &provisioner)
            .await
            .unwrap(),
    );
    let refused = deleted(&found, &provisioner, false)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("right cluster"), "{refused}");
    assert_eq!(provisioner.accounts().await.unwrap().len(), 1);
    assert_eq!(deleted(&found, &provisioner, true).await.unwrap(), ["ba-1"]);
}

#[tokio::test]
async fn everything_becomes_a_static_bucket() {
    let (_backend, provisioner) = memory();
    let (_server, client) = world(&provisioner).await;
    let world = World::load(&client, &provisioner).await.unwrap();
    let text = migrate::manifests(&world, DRIVER, migrate::Modes::Several);
    let objects: Vec<serde_json::Value> = text
        .split("---\n")
        .skip(1)
        .map(|one| serde_json::from_str(one).unwrap())
        .collect();
    let kinds: Vec<&str> = objects
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "BucketClass",
            "BucketAccessClass",
            "Bucket",
            "BucketClaim",
            "BucketAccess"
        ]
    );
    assert_eq!(
        objects[0]["spec"],
        json!({"driverName": DRIVER, "deletionPolicy": "Delete", "parameters": {"versioning": "Enabled"}})
    );
    assert_eq!(
        objects[2]["spec"],
        json!({"driverName": DRIVER, "deletionPolicy": "Retain", "protocols": ["S3"], "existingBucketID": "bucket-c1", "bucketClaimRef": {"name": "claim", "namespace": "default"}})
    );
    assert_eq!(
        objects[3]["spec"],
        json!({"existingBucketName": "bucket-c1", "protocols": ["S3"]})
    );
    let claims = json!([{"bucketClaimName": "claim", "accessSecretName": "s", "accessModes": {"objectData": "ReadOnly"}}]);
    assert_eq!(
        objects[4]["spec"],
        json!({"bucketClaims": claims, "bucketAccessClassName": "a", "protocol": "S3"})
    );
    let one = migrate::manifests(&world, DRIVER, migrate::Modes::One);
    assert!(one.contains("\"accessMode\": \"ReadOnly\""), "{one}");
    assert!(!migrate::manifests(&world, "another.driver", migrate::Modes::One).contains("---"));
}

fn places(driver: &str) -> crate::controllers::Places {
    crate::controllers::Places {
        upstream_namespace: "upstream".to_owned(),
        namespace: "larder".to_owned(),
        driver: driver.to_owned(),
    }
}

fn wrong(checks: &[doctor::Check]) -> Vec<&str> {
    checks
        .iter()
        .filter(|check| check.verdict == Verdict::Wrong)
        .map(|check| check.found.as_str())
        .collect()
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let (_backend, provisioner) = memory();
    let (server, client) = world(&provisioner).await;
    let account = granted(&client, &provisioner).await;
    let checks = doctor::examine(&client, &provisioner, &places(DRIVER)).await;
    assert_eq!(
        wrong(&checks),
        ["BucketAccess default/access: there is no Secret s"]
    );
    assert!(
        doctor::text(&checks).contains("-> the controllers make it anew"),
        "{}",
        doctor::text(&checks)
    );

    provisioner.revoke(&account).await.unwrap();
    apply(&client, json!({"kind": "BucketClass", "metadata": {"name": "c"}, "driverName": DRIVER, "deletionPolicy": "Delete", "parameters": {"versionning": "Enabled"}})).await;
    let checks = doctor::examine(&client, &provisioner, &places(DRIVER)).await;
    assert_eq!(wrong(&checks).len(), 2, "{checks:?}");
    assert!(
        wrong(&checks)[0].contains("versionning")
            && wrong(&checks)[1].contains("is not in the store"),
        "{checks:?}"
    );

    let checks = doctor::examine(&client, &provisioner, &places("another.driver")).await;
    assert!(
        wrong(&checks)[0].contains("those of cosi.larder.dev"),
        "{checks:?}"
    );
    drop(server);
    let checks = doctor::examine(&client, &provisioner, &places(DRIVER)).await;
    assert!(
        !doctor::is_well(&checks) && wrong(&checks)[0].contains("does not answer"),
        "{checks:?}"
    );
}

#[tokio::test]
async fn the_doctor_finds_definitions_that_are_not_there() {
    let (_backend, provisioner) = memory();
    let options = larder_fake_kube::Options {
        cosi: false,
        ..larder_fake_kube::Options::default()
    };
    let server = FakeKube::start(options).await.unwrap();
    let checks = doctor::examine(&server.client().unwrap(), &provisioner, &places(DRIVER)).await;
    assert_eq!(
        wrong(&checks)
            .iter()
            .filter(|found| found.contains("there is no CRD"))
            .count(),
        5,
        "{checks:?}"
    );
}
