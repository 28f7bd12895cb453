use crate::{
    backend::{Backend as _, NewBucket, Setting, Tags},
    provision::{
        ProvisionError, ProvisionSettings, Provisioner,
        testing::{memory, parameters, refusal, settings},
    },
};

const ALL: [(&str, &str); 8] = [
    ("quotaBytes", "10Gi"),
    ("objectLock", "Governance"),
    ("objectLockDays", "3"),
    ("lifecycleExpireDays", "30"),
    ("encryption", "AES256"),
    ("erasureProfile", "1+0"),
    ("tags", "team=db"),
    ("onDelete", "Trash"),
];

#[tokio::test]
async fn a_bucket_is_as_its_class_says() {
    let (backend, provisioner) = memory();
    let made = provisioner
        .create_bucket("bucket-1", &parameters(&ALL))
        .await;
    assert_eq!(made.unwrap().id, "bucket-1");
    let configuration = backend.configuration("bucket-1").await.unwrap();
    assert!(configuration.versioning);
    assert_eq!(configuration.quota.bytes, Some(10 << 30));
    assert_eq!(configuration.object_lock.unwrap().days, 3);
    assert_eq!(configuration.lifecycle.expire_days, Some(30));
    let tags = backend.bucket_tags("bucket-1").await.unwrap();
    assert_eq!(tags["team"], "db");
    assert_eq!(tags["cosi.larder.dev/driver"], "cosi.larder.dev");
    let listed = provisioner.buckets().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].parameters["quotaBytes"], "10737418240");
}

#[tokio::test]
async fn the_same_bucket_is_the_same_answer_and_another_is_a_conflict() {
    let (_, provisioner) = memory();
    let create = async |pairs: &[_]| {
        provisioner
            .create_bucket("bucket-1", &parameters(pairs))
            .await
    };
    let first = create(&[("quotaBytes", "1Ki"), ("versioning", "Enabled")]).await;
    let again = create(&[("quotaBytes", "1024"), ("versioning", "Enabled")]).await;
    assert_eq!(first.unwrap(), again.unwrap());
    let other = create(&[("quotaBytes", "2Ki")]).await;
    assert_eq!(
        refusal(ProvisionError::Conflict, other),
        "there is a bucket bucket-1 already, made with other parameters: quotaBytes is 1024, asked for is 2048; versioning is Enabled, asked for is not set"
    );
}

#[tokio::test]
async fn what_was_set_up_stays_as_somebody_changed_it() {
    let (backend, provisioner) = memory();
    let asked = parameters(&[("quotaBytes", "1Ki"), ("quotaObjects", "5")]);
    provisioner.create_bucket("bucket-1", &asked).await.unwrap();
    let none = Setting::Quota(crate::backend::Quota::default());
    backend.configure("bucket-1", &none).await.unwrap();
    provisioner.create_bucket("bucket-1", &asked).await.unwrap();
    let configuration = backend.configuration("bucket-1").await.unwrap();
    assert_eq!(configuration.quota.bytes, None);
}

#[tokio::test]
async fn names_that_are_none_are_refused_with_advice() {
    let (_, provisioner) = memory();
    let long = "a".repeat(64);
    for name in [
        "", "ab", "Upper", "a..b", "-ab", "ab-", "1.2.3.4", "a_b", "ü-b", &long,
    ] {
        let made = provisioner.create_bucket(name, &parameters(&[])).await;
        assert!(
            refusal(ProvisionError::Invalid, made).contains("3 to 63"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_somebody_else_has_made_is_a_conflict() {
    let (backend, provisioner) = memory();
    backend.add_foreign_bucket("bucket-1");
    backend
        .create_bucket("bucket-2", &NewBucket::default())
        .await
        .unwrap();
    backend.put_object("bucket-2", "k").unwrap();
    backend
        .create_bucket("bucket-3", &NewBucket::default())
        .await
        .unwrap();
    let tags: Tags = [("team".to_owned(), "x".to_owned())].into();
    backend.put_bucket_tags("bucket-3", &tags).await.unwrap();
    for (name, word) in [
        ("bucket-1", "another account"),
        ("bucket-2", "has not made"),
        ("bucket-3", "has not made"),
    ] {
        let made = provisioner.create_bucket(name, &parameters(&[])).await;
        let message = refusal(ProvisionError::Conflict, made);
        assert!(message.contains(word), "{message}");
    }
    let other = ProvisionSettings {
        driver: "other.example".to_owned(),
        ..settings()
    };
    provisioner
        .create_bucket("bucket-4", &parameters(&[]))
        .await
        .unwrap();
    let other = Provisioner::new(backend, other);
    let made = other.create_bucket("bucket-4", &parameters(&[])).await;
    refusal(ProvisionError::Conflict, made);
    assert_eq!(other.buckets().await.unwrap(), []);
}

#[tokio::test]
async fn the_server_has_to_be_as_the_class_promises() {
    let (backend, provisioner) = memory();
    for (pair, word) in [
        (("erasureProfile", "4+2"), "profile 4+2 is too much"),
        (("region", "eu-west-1"), "us-east-1"),
    ] {
        let made = provisioner
            .create_bucket("bucket-1", &parameters(&[pair]))
            .await;
        let message = refusal(ProvisionError::Invalid, made);
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(backend.list_buckets("").await.unwrap(), []);
}

#[tokio::test]
async fn a_bucket_that_there_is_can_be_taken_whoever_made_it() {
    let (backend, provisioner) = memory();
    backend
        .create_bucket("own", &NewBucket::default())
        .await
        .unwrap();
    assert_eq!(provisioner.existing_bucket("own").await.unwrap().id, "own");
    for id in ["none", "?"] {
        refusal(
            ProvisionError::NotFound,
            provisioner.existing_bucket(id).await,
        );
    }
    assert_eq!(backend.bucket_tags("own").await.unwrap(), Tags::new());
}
