use serde_json::{Value, json};

use super::*;

#[test]
fn objects_of_later_versions_are_read() {
    let claim: BucketClaim = serde_json::from_value(json!({
        "apiVersion": API_VERSION, "kind": "BucketClaim",
        "metadata": { "name": "photos", "namespace": "shop", "uid": "u" },
        "spec": { "bucketClassName": "fast", "protocols": ["S3", "Carrier-Pigeon"], "fromTheFuture": { "a": 1 } },
        "status": { "bucketReady": true, "bucketName": "bucket-u", "conditions": [] },
    }))
    .unwrap();
    assert_eq!(claim.class(), Some("fast"));
    assert_eq!(claim.bound(), Some("bucket-u"));
    assert!(claim.ready());
}

#[test]
fn objects_that_say_nothing_are_read() {
    let empty = json!({});
    serde_json::from_value::<BucketClaim>(empty.clone()).unwrap();
    serde_json::from_value::<BucketClass>(empty.clone()).unwrap();
    serde_json::from_value::<BucketAccessClass>(empty.clone()).unwrap();
    let access: BucketAccess = serde_json::from_value(empty.clone()).unwrap();
    let bucket: Bucket = serde_json::from_value(empty).unwrap();
    assert!(!access.granted());
    assert!(!bucket.ready());
    assert_eq!(bucket.claim(), None);
}

#[test]
fn classes_have_their_fields_at_the_top() {
    let class: BucketClass = serde_json::from_value(json!({
        "metadata": { "name": "fast" },
        "driverName": "cosi.larder.dev", "deletionPolicy": "Delete", "parameters": { "versioning": "Enabled" },
    }))
    .unwrap();
    assert_eq!(class.driver_name, "cosi.larder.dev");
    assert_eq!(
        class.parameters.unwrap().get("versioning").unwrap(),
        "Enabled"
    );
}

#[test]
fn an_object_that_is_made_says_its_kind_and_the_ids_as_the_crds_spell_them() {
    let mut bucket = Bucket::named("bucket-u");
    bucket.spec.existing_bucket_id = Some("old".to_owned());
    bucket.status = Some(BucketStatus {
        bucket_ready: true,
        bucket_id: Some("old".to_owned()),
    });
    let sent = serde_json::to_value(&bucket).unwrap();
    assert_eq!(sent["apiVersion"], API_VERSION);
    assert_eq!(sent["kind"], "Bucket");
    assert_eq!(sent["spec"]["existingBucketID"], "old");
    assert_eq!(sent["spec"]["bucketClaim"], json!({}));
    assert_eq!(sent["status"]["bucketID"], "old");
    let mut access = BucketAccess::named("a");
    access.status = Some(BucketAccessStatus {
        account_id: Some("ba-u".to_owned()),
        access_granted: true,
    });
    let sent: Value = serde_json::to_value(&access).unwrap();
    assert_eq!(sent["status"]["accountID"], "ba-u");
}

#[test]
fn only_a_plain_delete_deletes() {
    let mut bucket = Bucket::default();
    assert!(!bucket.deletes());
    for (policy, deletes) in [
        ("Delete", true),
        ("delete", true),
        ("Retain", false),
        ("", false),
        ("Deleted", false),
    ] {
        bucket.spec.deletion_policy = Some(policy.to_owned());
        assert_eq!(bucket.deletes(), deletes, "{policy:?}");
    }
}

#[test]
fn drivers_are_told_apart_without_regard_to_case() {
    assert!(same_driver("cosi.larder.dev", "COSI.larder.dev"));
    assert!(!same_driver("cosi.larder.dev", "cosi.larder.dev.other"));
}
