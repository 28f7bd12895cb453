use std::sync::Arc;

use crate::{
    backend::{Backend, IdentityKind, MemoryBackend, NewBucket, NewIdentity, Tags},
    provision::{
        AccessMode, Credentials, Grant, Granted, Parameters, ProvisionError, ProvisionSettings,
        Provisioner,
        testing::{
            grant, key, memory, of_service_account, on, parameters, refusal, settings, with_mode,
            yielding,
        },
    },
};

const NONE: Parameters = Parameters::new();

async fn with_bucket() -> (Arc<MemoryBackend>, Provisioner) {
    let (backend, provisioner) = memory();
    provisioner.create_bucket("bucket-1", &NONE).await.unwrap();
    (backend, provisioner)
}

fn first() -> Grant {
    grant("ba-1", &["bucket-1"])
}

async fn key_count(backend: &MemoryBackend) -> usize {
    backend.access_keys("ba-1").await.unwrap().len()
}

#[tokio::test]
async fn an_access_is_the_same_every_time() {
    let (backend, provisioner) = with_bucket().await;
    let granted = provisioner.grant(&first()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(provisioner.grant(&first()).await.unwrap(), granted);
    }
    assert_eq!(on(&backend).grant(&first()).await.unwrap(), granted);
    assert_eq!(key_count(&backend).await, 1);
    assert_eq!(
        backend.user_of_key(&key(&granted).access_key).as_deref(),
        Some("ba-1")
    );
    assert_eq!(granted.buckets[0].id, "bucket-1");
    let secret = &key(&granted).secret_key;
    assert!(!format!("{granted:?}").contains(secret.as_str()));
    assert!(!format!("{backend:?}").contains(secret.as_str()));
}

#[tokio::test]
async fn another_access_of_the_same_name_is_a_conflict() {
    let (_, provisioner) = with_bucket().await;
    provisioner.create_bucket("bucket-2", &NONE).await.unwrap();
    provisioner.grant(&first()).await.unwrap();
    let narrower = Grant {
        parameters: parameters(&[("prefix", "a/"), ("accessMode", "ReadOnly")]),
        ..first()
    };
    for (asked, word) in [
        (grant("ba-1", &["bucket-2"]), "bucket/bucket-2 is not set"),
        (narrower, "prefix is not set, asked for is a/"),
        (
            of_service_account("ba-1", "bucket-1"),
            "ServiceAccount db/backup",
        ),
        (
            with_mode("ba-1", "bucket-1", AccessMode::ReadOnly),
            "bucket/bucket-1 is ReadWrite, asked for is ReadOnly",
        ),
    ] {
        let message = refusal(ProvisionError::Conflict, provisioner.grant(&asked).await);
        assert!(message.contains(word), "{message}");
    }
    // What the Secret looks like and how keys rotate may change.
    let cosmetic = Grant {
        parameters: parameters(&[("secretFormats", "rclone"), ("rotateEvery", "90d")]),
        ..first()
    };
    provisioner.grant(&cosmetic).await.unwrap();
}

#[tokio::test]
async fn an_access_needs_a_bucket_that_there_is() {
    let (backend, provisioner) = memory();
    let granted = provisioner.grant(&first()).await;
    refusal(ProvisionError::NotFound, granted);
    refusal(
        ProvisionError::Invalid,
        provisioner.grant(&grant("ba-1", &[])).await,
    );
    refusal(
        ProvisionError::Invalid,
        provisioner.grant(&grant("a/b", &["bucket-1"])).await,
    );
    let twice = grant("ba-1", &["bucket-1", "bucket-1"]);
    refusal(ProvisionError::Invalid, provisioner.grant(&twice).await);
    assert_eq!(provisioner.accounts().await.unwrap(), []);
    // One that somebody else has made is as good.
    backend
        .create_bucket("bucket-1", &NewBucket::default())
        .await
        .unwrap();
    provisioner.grant(&first()).await.unwrap();
}

#[tokio::test]
async fn too_much_for_one_account_leaves_none_behind() {
    let (backend, provisioner) = memory();
    let names: Vec<_> = (0..40).map(|i| format!("bucket-{i:050}")).collect();
    for name in &names {
        backend
            .create_bucket(name, &NewBucket::default())
            .await
            .unwrap();
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let message = refusal(
        ProvisionError::Invalid,
        provisioner.grant(&grant("ba-1", &names)).await,
    );
    assert!(message.contains("fewer buckets"), "{message}");
    assert_eq!(provisioner.accounts().await.unwrap(), []);
}

#[tokio::test]
async fn revoking_takes_everything_away_and_unknown_ones_are_fine() {
    let (backend, provisioner) = with_bucket().await;
    let granted = provisioner.grant(&first()).await.unwrap();
    for _ in 0..2 {
        provisioner.revoke("ba-1").await.unwrap();
        assert_eq!(backend.user_of_key(&key(&granted).access_key), None);
        assert_eq!(provisioner.accounts().await.unwrap(), []);
    }
    for name in ["", "a/b", "none"] {
        provisioner.revoke(name).await.unwrap();
    }
    let again = provisioner.grant(&first()).await.unwrap();
    assert_ne!(key(&again), key(&granted));
}

#[tokio::test]
async fn users_that_somebody_else_made_are_left_alone() {
    let (backend, provisioner) = with_bucket().await;
    let new = |name: &str, path: &str, tags: Tags| NewIdentity {
        name: name.to_owned(),
        path: path.to_owned(),
        tags,
        trust: None,
    };
    let user = IdentityKind::User;
    let own = new("ba-1", "/", Tags::new());
    backend.create_identity(user, &own).await.unwrap();
    let below = new("ba-2", "/cosi/cosi.larder.dev/", Tags::new());
    backend.create_identity(user, &below).await.unwrap();
    for name in ["ba-1", "ba-2"] {
        provisioner.revoke(name).await.unwrap();
        provisioner.disable(name).await.unwrap();
        provisioner.retire(name, 1).await.unwrap();
        let granted = provisioner.grant(&grant(name, &["bucket-1"])).await;
        assert!(refusal(ProvisionError::Conflict, granted).contains("has not made"));
        assert!(backend.identity(user, name).await.unwrap().is_some());
    }
    assert_eq!(provisioner.accounts().await.unwrap(), []);
}

#[tokio::test]
async fn keys_rotate_with_an_overlap() {
    let (backend, provisioner) = with_bucket().await;
    let counts = |granted: &Granted| backend.user_of_key(&key(granted).access_key).is_some();
    let one = provisioner.grant(&first()).await.unwrap();
    let two = provisioner.rotate(&first(), 2).await.unwrap();
    assert_ne!(key(&one), key(&two));
    assert!(counts(&one) && counts(&two));
    assert_eq!(provisioner.rotate(&first(), 2).await.unwrap(), two);
    assert_eq!(provisioner.grant(&first()).await.unwrap(), two);
    refusal(
        ProvisionError::Precondition,
        provisioner.retire("ba-1", 3).await,
    );
    refusal(
        ProvisionError::Precondition,
        provisioner.rotate(&first(), 1).await,
    );
    provisioner.retire("ba-1", 1).await.unwrap();
    assert!(counts(&one));
    for _ in 0..2 {
        provisioner.retire("ba-1", 2).await.unwrap();
        assert!(!counts(&one) && counts(&two));
    }
    assert_eq!(provisioner.accounts().await.unwrap()[0].generation, 2);
}

#[tokio::test]
async fn the_key_before_the_last_makes_room() {
    let (backend, provisioner) = with_bucket().await;
    let counts = |granted: &Granted| backend.user_of_key(&key(granted).access_key).is_some();
    let one = provisioner.grant(&first()).await.unwrap();
    let two = provisioner.rotate(&first(), 2).await.unwrap();
    let five = provisioner.rotate(&first(), 5).await.unwrap();
    assert!(!counts(&one) && counts(&two) && counts(&five));
    // Generation 2 is not before 2, and it is before 3.
    provisioner.retire("ba-1", 2).await.unwrap();
    assert!(counts(&two));
    provisioner.retire("ba-1", 3).await.unwrap();
    assert!(!counts(&two) && counts(&five));
    assert_eq!(key_count(&backend).await, 1);
}

#[tokio::test]
async fn what_was_disabled_works_again_once_it_is_granted() {
    let (backend, provisioner) = with_bucket().await;
    let granted = provisioner.grant(&first()).await.unwrap();
    for _ in 0..2 {
        provisioner.disable("ba-1").await.unwrap();
        assert_eq!(backend.user_of_key(&key(&granted).access_key), None);
        assert!(provisioner.accounts().await.unwrap()[0].disabled.is_some());
    }
    assert_eq!(provisioner.grant(&first()).await.unwrap(), granted);
    assert!(backend.user_of_key(&key(&granted).access_key).is_some());
    assert_eq!(provisioner.accounts().await.unwrap()[0].disabled, None);
}

#[tokio::test]
async fn a_service_account_has_a_role() {
    let (backend, provisioner) = with_bucket().await;
    let asked = of_service_account("ba-1", "bucket-1");
    let granted = provisioner.grant(&asked).await.unwrap();
    let role = Credentials::Role {
        arn: "arn:aws:iam::000000000001:role/cosi/cosi.larder.dev/ba-1".to_owned(),
        audience: "larder".to_owned(),
    };
    assert_eq!(granted.credentials, role);
    assert_eq!(provisioner.rotate(&asked, 2).await.unwrap(), granted);
    provisioner.retire("ba-1", 2).await.unwrap();
    let policy = async || {
        let role = IdentityKind::Role;
        let policy = backend.identity_policy(role, "ba-1", "larder-cosi").await;
        policy.unwrap()
    };
    provisioner.disable("ba-1").await.unwrap();
    assert_eq!(policy().await, None);
    provisioner.grant(&asked).await.unwrap();
    assert!(policy().await.unwrap().contains("bucket-1/*"));
    provisioner.revoke("ba-1").await.unwrap();
    assert_eq!(provisioner.accounts().await.unwrap(), []);

    let without = ProvisionSettings {
        oidc: None,
        ..settings()
    };
    let without = Provisioner::new(backend, without);
    let message = refusal(ProvisionError::Invalid, without.grant(&asked).await);
    assert!(message.contains("--oidc-provider"), "{message}");
}

#[tokio::test]
async fn the_external_address_is_given_where_the_class_says_so() {
    let (backend, provisioner) = with_bucket().await;
    let external = Grant {
        parameters: parameters(&[("endpoint", "external")]),
        ..first()
    };
    let message = refusal(ProvisionError::Invalid, provisioner.grant(&external).await);
    assert!(message.contains("--external-endpoint"), "{message}");
    assert_eq!(provisioner.accounts().await.unwrap(), []);
    let settings = ProvisionSettings {
        external_endpoint: Some("https://s3.example".to_owned()),
        ..settings()
    };
    let granted = Provisioner::new(backend, settings).grant(&external).await;
    assert_eq!(granted.unwrap().buckets[0].endpoint, "https://s3.example");
}

#[tokio::test]
async fn accounts_are_listed_with_their_buckets() {
    let (_, provisioner) = with_bucket().await;
    provisioner
        .grant(&with_mode("ba-1", "bucket-1", AccessMode::Admin))
        .await
        .unwrap();
    provisioner
        .grant(&of_service_account("ba-2", "bucket-1"))
        .await
        .unwrap();
    let all = provisioner.accounts().await.unwrap();
    let shown: Vec<_> = all
        .iter()
        .map(|a| (a.account.as_str(), a.buckets.clone()))
        .collect();
    assert_eq!(
        shown,
        [
            ("ba-1", vec![("bucket-1".to_owned(), AccessMode::Admin)]),
            ("ba-2", vec![("bucket-1".to_owned(), AccessMode::ReadWrite)]),
        ]
    );
}

#[tokio::test]
async fn sixteen_at_once_are_given_one_key() {
    let backend = with_bucket().await.0;
    let provisioner = on(&yielding(Arc::<MemoryBackend>::clone(&backend)));
    let asked = first();
    let all = (0..16).map(|_| provisioner.grant(&asked));
    let answers = futures_util::future::join_all(all).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer == &answers[0] && answer.is_ok())
    );
    assert_eq!(key_count(&backend).await, 1);
}
