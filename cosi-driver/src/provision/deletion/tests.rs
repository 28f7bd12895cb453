use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;

use crate::{
    backend::{Backend, BackendError, MemoryBackend, NewBucket},
    provision::{
        Parameters, ProvisionError, ProvisionSettings, Provisioner, Purged,
        testing::{grant, memory, on, parameters, refusal, settings},
    },
};

/// A bucket of a class with an object, an older version or a delete marker of another, and an upload.
async fn filled(backend: &Arc<MemoryBackend>, pairs: &[(&str, &str)]) {
    let asked = parameters(pairs);
    on(backend).create_bucket("bucket-1", &asked).await.unwrap();
    backend.put_object("bucket-1", "a").unwrap();
    backend.put_object("bucket-1", "b").unwrap();
    backend.delete_object("bucket-1", "b").unwrap();
    backend.begin_upload("bucket-1", "c").unwrap();
}

async fn is_gone(backend: &MemoryBackend) -> bool {
    let asked = backend.bucket_tags("bucket-1").await;
    matches!(asked, Err(BackendError::NoSuchBucket(_)))
}

const NONE: Parameters = Parameters::new();

#[tokio::test]
async fn an_empty_bucket_goes_and_one_that_is_not_ours_stays() {
    let (backend, provisioner) = memory();
    provisioner.create_bucket("bucket-1", &NONE).await.unwrap();
    for _ in 0..2 {
        provisioner.delete_bucket("bucket-1", &NONE).await.unwrap();
        assert!(is_gone(&backend).await);
    }
    let static_one = NewBucket::default();
    backend.create_bucket("own", &static_one).await.unwrap();
    backend.add_foreign_bucket("foreign");
    let empty = parameters(&[("onDelete", "Empty")]);
    for id in ["own", "foreign", "none", "", "?"] {
        provisioner.delete_bucket(id, &empty).await.unwrap();
    }
    backend.bucket_tags("own").await.unwrap();
}

#[tokio::test]
async fn a_bucket_that_is_not_empty_is_refused_with_what_is_in_it() {
    let (backend, provisioner) = memory();
    filled(&backend, &[("versioning", "Enabled")]).await;
    let deleted = provisioner.delete_bucket("bucket-1", &NONE).await;
    let message = refusal(ProvisionError::Precondition, deleted);
    assert!(
        message.contains("1 object, 2 older versions or delete markers, 1 unfinished upload"),
        "{message}"
    );
    // The class may have been changed since.
    let empty = parameters(&[("onDelete", "Empty")]);
    provisioner.delete_bucket("bucket-1", &empty).await.unwrap();
    assert!(is_gone(&backend).await);
}

#[tokio::test]
async fn emptying_takes_everything_in_pages() {
    let (backend, provisioner) = memory();
    filled(
        &backend,
        &[("versioning", "Enabled"), ("onDelete", "Empty")],
    )
    .await;
    for i in 0..2500 {
        backend
            .put_object("bucket-1", &format!("k{}", i % 1700))
            .unwrap();
    }
    provisioner.delete_bucket("bucket-1", &NONE).await.unwrap();
    assert!(is_gone(&backend).await);
}

#[tokio::test]
async fn emptying_ends_in_time_and_goes_on_the_next_time() {
    let backend = Arc::new(MemoryBackend::new());
    filled(&backend, &[("onDelete", "Empty")]).await;
    let impatient = ProvisionSettings {
        patience: Duration::ZERO,
        ..settings()
    };
    let impatient = Provisioner::new(Arc::<MemoryBackend>::clone(&backend), impatient);
    let deleted = impatient.delete_bucket("bucket-1", &NONE).await;
    let message = refusal(ProvisionError::Unavailable, deleted);
    assert!(message.contains("still deleting"), "{message}");
    on(&backend).delete_bucket("bucket-1", &NONE).await.unwrap();
}

#[tokio::test]
async fn emptying_stops_at_what_is_locked() {
    let (backend, provisioner) = memory();
    let class = [
        ("objectLock", "Compliance"),
        ("objectLockDays", "10"),
        ("onDelete", "Empty"),
    ];
    filled(&backend, &class).await;
    let delete = async || {
        let deleted = provisioner.delete_bucket("bucket-1", &NONE).await;
        refusal(ProvisionError::Precondition, deleted)
    };
    let message = delete().await;
    assert!(
        message.contains("is locked until then (mode Compliance)"),
        "{message}"
    );
    backend.hold_object("bucket-1", "a", true).unwrap();
    let message = delete().await;
    assert!(message.contains("legal hold on \"a\""), "{message}");
}

#[tokio::test]
async fn a_bucket_goes_while_accounts_live() {
    let (_, provisioner) = memory();
    provisioner.create_bucket("bucket-1", &NONE).await.unwrap();
    provisioner
        .grant(&grant("ba-1", &["bucket-1"]))
        .await
        .unwrap();
    provisioner.delete_bucket("bucket-1", &NONE).await.unwrap();
    provisioner.revoke("ba-1").await.unwrap();
}

const TRASH: [(&str, &str); 3] = [
    ("versioning", "Enabled"),
    ("onDelete", "Trash"),
    ("trashDays", "2"),
];
const OWN_POLICY: &str = r#"{"Statement":[{"Sid":"own"}],"Version":"2012-10-17"}"#;

async fn is_shut(backend: &MemoryBackend) -> bool {
    let policy = backend.bucket_policy("bucket-1").await.unwrap();
    policy.is_some_and(|policy| policy.contains("\"Deny\""))
}

#[tokio::test]
async fn what_is_in_the_trash_can_be_had_back() {
    let (backend, provisioner) = memory();
    filled(&backend, &TRASH).await;
    let policy = Some(OWN_POLICY);
    backend.put_bucket_policy("bucket-1", policy).await.unwrap();
    for _ in 0..2 {
        provisioner.delete_bucket("bucket-1", &NONE).await.unwrap();
        assert!(is_shut(&backend).await);
    }
    let listed = provisioner.buckets().await.unwrap();
    let days = listed[0].trashed_until.unwrap() - OffsetDateTime::now_utc();
    assert!((1..=2).contains(&days.whole_days()), "{days}");
    let granted = provisioner.grant(&grant("ba-1", &["bucket-1"])).await;
    assert!(refusal(ProvisionError::Precondition, granted).contains("in the trash until"));
    assert_eq!(provisioner.purge_trash().await.unwrap(), Purged::default());

    provisioner.existing_bucket("bucket-1").await.unwrap();
    assert_eq!(
        backend.bucket_policy("bucket-1").await.unwrap().as_deref(),
        policy
    );
    let versions = backend.list_versions("bucket-1").await.unwrap().versions;
    assert_eq!(versions.len(), 3);
    assert_eq!(provisioner.buckets().await.unwrap()[0].trashed_until, None);
    provisioner
        .grant(&grant("ba-1", &["bucket-1"]))
        .await
        .unwrap();
}

fn in_three_days() -> OffsetDateTime {
    OffsetDateTime::now_utc() + time::Duration::days(3)
}

fn later(backend: &Arc<MemoryBackend>) -> Provisioner {
    let settings = ProvisionSettings {
        now: in_three_days,
        ..settings()
    };
    Provisioner::new(Arc::<MemoryBackend>::clone(backend), settings)
}

#[tokio::test]
async fn what_was_in_the_trash_long_enough_goes() {
    let (backend, provisioner) = memory();
    filled(&backend, &TRASH).await;
    provisioner.delete_bucket("bucket-1", &NONE).await.unwrap();
    let purged = later(&backend).purge_trash().await.unwrap();
    assert_eq!(purged.deleted, ["bucket-1"]);
    assert!(is_gone(&backend).await);
}

#[tokio::test]
async fn what_is_locked_stays_in_the_trash() {
    let (backend, provisioner) = memory();
    let lock = [("objectLock", "Governance"), ("objectLockDays", "30")];
    filled(&backend, &[TRASH.as_slice(), &lock].concat()).await;
    provisioner.delete_bucket("bucket-1", &NONE).await.unwrap();
    let purged = later(&backend).purge_trash().await.unwrap();
    assert_eq!(purged.deleted, [""; 0]);
    let (id, error) = &purged.kept[0];
    assert_eq!(id, "bucket-1");
    assert!(error.to_string().contains("mode Governance"), "{error}");
    provisioner.existing_bucket("bucket-1").await.unwrap();
}
