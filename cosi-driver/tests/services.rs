//! COSI's services over a real socket, with the clients that are generated, on a backend in memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{sync::Arc, time::Duration};

use clap::Parser as _;
use larder_cosi::{
    backend::MemoryBackend,
    grpc::{
        calls::Calls,
        driver::Driver,
        pb::{r1, r2, r3, v1alpha1, v1alpha2},
        server,
        v1alpha2::Revision,
    },
    metrics::Metrics,
    provision::{Parameters, ProvisionSettings, Provisioner},
    sanity::{
        args::Cli,
        checks,
        driver::{Api, Driver as Client},
        report::NotOk,
        world::World,
    },
    serve::stop::Stop,
    socket,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::{Code, Request, transport::Channel};

/// A driver that serves, on what a test may look into.
struct Serving {
    directory: TempDir,
    backend: Arc<MemoryBackend>,
    metrics: Arc<Metrics>,
    stop: Stop,
    server: JoinHandle<()>,
}

impl Serving {
    fn start(revision: Option<Revision>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let backend = Arc::new(MemoryBackend::new());
        let memory = Arc::clone(&backend);
        let metrics = Arc::new(Metrics::default());
        let settings = ProvisionSettings {
            endpoint: "http://127.0.0.1:1".to_owned(),
            ..ProvisionSettings::default()
        };
        let driver = Driver {
            name: "cosi.larder.dev".into(),
            provisioner: Provisioner::new(memory, settings),
            calls: Calls::new(Duration::from_secs(30), Arc::clone(&metrics)),
        };
        let (listener, bound) = socket::bind(&directory.path().join("cosi.sock")).unwrap();
        let stop = Stop::default();
        let stopped = stop.clone().wait();
        let server = tokio::spawn(async move {
            server::serve(listener, driver, revision, stopped)
                .await
                .unwrap();
            drop(bound);
        });
        Self {
            directory,
            backend,
            metrics,
            stop,
            server,
        }
    }

    fn endpoint(&self) -> String {
        format!("unix://{}/cosi.sock", self.directory.path().display())
    }

    fn client(&self) -> Client {
        Client::new(socket::path_of(&self.endpoint()).unwrap(), Api::V1alpha1)
    }

    fn channel(&self) -> Channel {
        self.client().channel()
    }

    /// A `World` for checks, with these flags.
    async fn world(&self, flags: &[&str]) -> World {
        let endpoint = self.endpoint();
        let all = [&["cosi-sanity", "--endpoint", &endpoint], flags].concat();
        World::open(&Cli::try_parse_from(all).unwrap().run)
            .await
            .unwrap()
    }
}

/// What can be checked without S3 and without a process to kill is, and nothing of it fails.
#[tokio::test]
async fn the_driver_is_sane() {
    is_sane(&Serving::start(None), "v1alpha1").await;
}

#[tokio::test]
async fn the_driver_is_sane_in_v1alpha2() {
    is_sane(&Serving::start(Some(Revision::R3)), "v1alpha2").await;
}

async fn is_sane(serving: &Serving, api: &str) {
    let world = serving
        .world(&[
            "--api",
            api,
            "--parameters",
            "quotaBytes=1Gi",
            "--other-parameters",
            "quotaBytes=2Gi",
            "--other-access-parameters",
            // Of v1alpha2 the mode counts that the access names.
            "prefix=other/",
        ])
        .await;
    let mut skipped = Vec::new();
    for check in checks::of(world.args.api) {
        match (check.run)(&world).await {
            Ok(()) => {}
            Err(NotOk::Skipped(_)) => skipped.push(check.name),
            Err(NotOk::Failed(why)) => panic!("{}: {why}", check.name),
        }
    }
    let outside = ["storage-", "crash-", "transient-faults", "secrets-in-logs"];
    for name in skipped {
        assert!(
            outside.iter().any(|it| name.starts_with(it)),
            "{name} is skipped"
        );
    }
    assert_eq!(world.clean_up().await, Vec::<String>::new());
    let text = serving.metrics.exposition();
    for secret in world.driver.secrets() {
        assert!(!text.contains(&secret));
    }
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let serving = Serving::start(None);
    let world = serving.world(&[]).await;
    let driver = serving.client();
    let none = Parameters::new();
    let empty = driver.create("", &none).await.unwrap_err();
    assert_eq!(empty.message(), "name is empty");
    let unknown = [("quotaByte".to_owned(), "1".to_owned())].into();
    let unknown = driver.create("b-1", &unknown).await.unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidArgument);
    assert!(unknown.message().contains("quotaBytes"), "{unknown}");
    driver.create("b-1", &none).await.unwrap();
    let mut iam = world.access("b-1", "ba-1");
    iam.authentication = v1alpha1::AuthenticationType::Iam.into();
    let iam = driver.grant(&iam).await.unwrap_err();
    assert!(iam.message().contains("authenticationType: Key"), "{iam}");
}

#[tokio::test]
async fn a_bucket_with_objects_stays_by_default() {
    let serving = Serving::start(None);
    let driver = serving.client();
    let none = Parameters::new();
    driver.create("b-1", &none).await.unwrap();
    serving.backend.put_object("b-1", "kept").unwrap();
    let refused = driver.delete("b-1", &none).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

/// The bucket and the account are the same by both versions: one driver serves both on one socket.
#[tokio::test]
async fn versions_share_what_there_is() {
    let serving = Serving::start(Some(Revision::R3));
    let released = serving.client();
    let world = serving.world(&[]).await;
    released.create("b-1", &Parameters::new()).await.unwrap();
    let access = world.access("b-1", "ba-1");
    let before = released.grant_v1alpha1(&access).await.unwrap();
    let mut identity = v1alpha2::identity_client::IdentityClient::new(serving.channel());
    let info = identity
        .driver_get_info(v1alpha2::DriverGetInfoRequest {})
        .await
        .unwrap();
    let info = info.into_inner();
    assert_eq!(info.name, released.name().await.unwrap());
    assert_eq!(info.supported_protocols, [s3()]);
    let mut client = r3::provisioner_client::ProvisionerClient::new(serving.channel());
    let got = client
        .driver_get_bucket(r3::DriverGetBucketRequest {
            bucket_id: "b-1".into(),
            protocols: vec![s3()],
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(s3_of(got.into_inner().protocols).bucket_id, "b-1");
    let revoke = v1alpha2::DriverRevokeBucketAccessRequest {
        account_id: before.account_id.clone(),
        ..Default::default()
    };
    client.driver_revoke_bucket_access(revoke).await.unwrap();
    let key = &before.credentials["s3"].secrets["accessKeyID"];
    assert_eq!(serving.backend.user_of_key(key), None);
}

fn s3() -> v1alpha2::ObjectProtocol {
    v1alpha2::ObjectProtocol {
        r#type: v1alpha2::object_protocol::Type::S3.into(),
    }
}

fn by_key() -> v1alpha2::AuthenticationType {
    v1alpha2::AuthenticationType {
        r#type: v1alpha2::authentication_type::Type::Key.into(),
    }
}

fn s3_of(info: Option<v1alpha2::ObjectProtocolAndBucketInfo>) -> v1alpha2::S3BucketInfo {
    let info = info.unwrap();
    assert_eq!((info.azure, info.gcs), (None, None));
    let s3 = info.s3.unwrap();
    assert_eq!(s3.endpoint, "http://127.0.0.1:1");
    assert_eq!(s3.region, "us-east-1");
    let style = s3.addressing_style.unwrap().style();
    assert_eq!(style, v1alpha2::s3_addressing_style::Style::Path);
    s3
}

fn keys_of(credentials: Option<v1alpha2::CredentialInfo>) -> v1alpha2::S3CredentialInfo {
    let credentials = credentials.unwrap();
    assert_eq!((credentials.azure, credentials.gcs), (None, None));
    let keys = credentials.s3.unwrap();
    assert!(!keys.access_key_id.is_empty() && !keys.access_secret_key.is_empty());
    keys
}

#[tokio::test]
async fn the_first_revision_makes_grants_and_removes() {
    use r1::*;
    let serving = Serving::start(Some(Revision::R1));
    let mut client = provisioner_client::ProvisionerClient::new(serving.channel());
    let create = DriverCreateBucketRequest {
        name: "b-1".into(),
        protocols: vec![s3()],
        ..Default::default()
    };
    let made = client
        .driver_create_bucket(create)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(made.bucket_id, "b-1");
    assert_eq!(s3_of(made.protocols).bucket_id, "b-1");
    let get = |id: &str| DriverGetExistingBucketRequest {
        existing_bucket_id: id.into(),
        ..Default::default()
    };
    let got = client.driver_get_existing_bucket(get("b-1")).await.unwrap();
    assert_eq!(got.into_inner().bucket_id, "b-1");
    let absent = client
        .driver_get_existing_bucket(get("b-2"))
        .await
        .unwrap_err();
    assert_eq!(absent.code(), Code::NotFound);
    let grant = DriverGrantBucketAccessRequest {
        account_name: "ba-1".into(),
        protocol: Some(s3()),
        authentication_type: Some(by_key()),
        buckets: vec![driver_grant_bucket_access_request::AccessedBucket {
            bucket_id: "b-1".into(),
            access_mode: Some(AccessMode {
                mode: access_mode::Mode::ReadOnly.into(),
            }),
        }],
        ..Default::default()
    };
    let granted = client
        .driver_grant_bucket_access(grant.clone())
        .await
        .unwrap();
    let granted = granted.into_inner();
    let again = client.driver_grant_bucket_access(grant).await.unwrap();
    assert_eq!(granted, again.into_inner());
    assert_eq!(granted.account_id, "ba-1");
    assert_eq!(granted.buckets.len(), 1);
    let key = keys_of(granted.credentials).access_key_id;
    assert_eq!(serving.backend.user_of_key(&key).as_deref(), Some("ba-1"));
    let delete = v1alpha2::DriverDeleteBucketRequest {
        bucket_id: "b-1".into(),
        ..Default::default()
    };
    client.driver_delete_bucket(delete.clone()).await.unwrap();
    client.driver_delete_bucket(delete).await.unwrap();
}

/// What R2 and R3 have in common, but for the names of one field.
macro_rules! asks_for_identifiers_first {
    ($test:ident, $revision:ident, $module:ident, $account:ident) => {
        #[tokio::test]
        async fn $test() {
            use $module::*;
            let serving = Serving::start(Some(Revision::$revision));
            let mut client = provisioner_client::ProvisionerClient::new(serving.channel());
            let generate = DriverGenerateBucketIdRequest {
                name: "b-1".into(),
                ..Default::default()
            };
            let id = client.driver_generate_bucket_id(generate).await.unwrap();
            let bucket_id = id.into_inner().bucket_id;
            assert_eq!(bucket_id, "b-1");
            let get = DriverGetBucketRequest {
                bucket_id: bucket_id.clone(),
                ..Default::default()
            };
            let absent = client.driver_get_bucket(get).await.unwrap_err();
            assert_eq!(absent.code(), Code::NotFound);
            let create = DriverCreateBucketRequest {
                bucket_id: bucket_id.clone(),
                protocols: vec![s3()],
                ..Default::default()
            };
            let made = client.driver_create_bucket(create).await.unwrap();
            assert_eq!(s3_of(made.into_inner().protocols).bucket_id, "b-1");
            let mode = |mode: access_mode::Mode| Some(AccessMode { mode: mode.into() });
            let mut grant = DriverGrantBucketAccessRequest {
                $account: "ba-1".into(),
                protocol: Some(s3()),
                authentication_type: Some(by_key()),
                buckets: vec![driver_grant_bucket_access_request::AccessedBucket {
                    bucket_id,
                    object_data_access_mode: mode(access_mode::Mode::WriteOnly),
                    object_metadata_access_mode: mode(access_mode::Mode::Any),
                    bucket_metadata_access_mode: mode(access_mode::Mode::Any),
                }],
                ..Default::default()
            };
            let granted = client
                .driver_grant_bucket_access(grant.clone())
                .await
                .unwrap();
            let granted = granted.into_inner();
            let again = client
                .driver_grant_bucket_access(grant.clone())
                .await
                .unwrap();
            assert_eq!(granted, again.into_inner());
            let key = keys_of(granted.credentials).access_key_id;
            assert_eq!(serving.backend.user_of_key(&key).as_deref(), Some("ba-1"));
            grant.buckets[0].object_data_access_mode = mode(access_mode::Mode::ReadWrite);
            let other = client.driver_grant_bucket_access(grant).await.unwrap_err();
            assert_eq!(other.code(), Code::AlreadyExists, "{other}");
        }
    };
}

asks_for_identifiers_first!(
    the_second_revision_asks_for_identifiers_first,
    R2,
    r2,
    account_name
);
asks_for_identifiers_first!(
    the_third_revision_asks_for_identifiers_first,
    R3,
    r3,
    account_id
);

#[tokio::test]
async fn the_third_revision_has_identifiers_of_accounts() {
    use r3::*;
    let serving = Serving::start(Some(Revision::R3));
    let mut client = provisioner_client::ProvisionerClient::new(serving.channel());
    let generate = DriverGenerateBucketAccessIdRequest {
        account_name: "ba-1".into(),
        protocol: Some(s3()),
        authentication_type: Some(by_key()),
        buckets: vec![driver_grant_bucket_access_request::AccessedBucket {
            bucket_id: "b-1".into(),
            object_data_access_mode: Some(AccessMode { mode: 1 }),
            ..Default::default()
        }],
        ..Default::default()
    };
    let id = client
        .driver_generate_bucket_access_id(generate)
        .await
        .unwrap();
    assert_eq!(id.into_inner().account_id, "ba-1");
}

#[tokio::test]
async fn what_v1alpha2_can_not_have_is_refused_for_good() {
    use r3::*;
    let serving = Serving::start(Some(Revision::R3));
    let mut client = provisioner_client::ProvisionerClient::new(serving.channel());
    let bucket = driver_grant_bucket_access_request::AccessedBucket {
        bucket_id: "b-1".into(),
        object_data_access_mode: Some(AccessMode { mode: 2 }),
        ..Default::default()
    };
    let good = DriverGrantBucketAccessRequest {
        account_id: "ba-1".into(),
        protocol: Some(s3()),
        authentication_type: Some(by_key()),
        buckets: vec![bucket.clone()],
        ..Default::default()
    };
    let with = |change: &dyn Fn(&mut DriverGrantBucketAccessRequest)| {
        let mut asked = good.clone();
        change(&mut asked);
        asked
    };
    let azure = v1alpha2::ObjectProtocol { r#type: 2 };
    let service_account = v1alpha2::AuthenticationType { r#type: 2 };
    let all = [
        (with(&|it| it.account_id.clear()), "account_id is empty"),
        (with(&|it| it.protocol = None), "protocol is not set"),
        (
            with(&|it| it.protocol = Some(azure)),
            "AZURE is not supported",
        ),
        (
            with(&|it| it.authentication_type = None),
            "authentication_type is not set",
        ),
        (
            with(&|it| it.authentication_type = Some(service_account)),
            "ServiceAccount",
        ),
        (with(&|it| it.buckets.clear()), "buckets has 0 entries"),
        (
            with(&|it| it.buckets = vec![bucket.clone(); 129]),
            "buckets has 129 entries",
        ),
        (
            with(&|it| it.buckets[0].bucket_id.clear()),
            "buckets.bucket_id is empty",
        ),
        (
            with(&|it| it.buckets[0].object_data_access_mode = None),
            "object_data_access_mode is not set",
        ),
    ];
    for (asked, why) in all {
        let refused = client.driver_grant_bucket_access(asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(why), "{refused}");
        assert!(refused.details().is_empty());
    }
    let absent = client.driver_grant_bucket_access(good).await.unwrap_err();
    assert_eq!(absent.code(), Code::NotFound);
}

#[tokio::test]
async fn v1alpha2_is_served_in_the_revision_that_was_asked_for_alone() {
    let serving = Serving::start(None);
    let mut identity = v1alpha2::identity_client::IdentityClient::new(serving.channel());
    let absent = identity
        .driver_get_info(v1alpha2::DriverGetInfoRequest {})
        .await;
    assert_eq!(absent.unwrap_err().code(), Code::Unimplemented);
    let serving = Serving::start(Some(Revision::R1));
    let mut client = r3::provisioner_client::ProvisionerClient::new(serving.channel());
    let absent = client
        .driver_get_bucket(r3::DriverGetBucketRequest::default())
        .await;
    assert_eq!(absent.unwrap_err().code(), Code::Unimplemented);
}

/// A message that is too large is refused before it is read.
#[tokio::test]
async fn messages_are_bounded() {
    let serving = Serving::start(None);
    let huge = [("k".to_owned(), "v".repeat(2 << 20))].into();
    let refused = serving.client().create("b-1", &huge).await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{refused}"
    );
}

#[tokio::test]
async fn reflection_names_the_services() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let serving = Serving::start(Some(Revision::R2));
    let mut client = ServerReflectionClient::new(serving.channel());
    let ask = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut answers = client
        .server_reflection_info(Request::new(tokio_stream::iter([ask])))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.into_iter().map(|it| it.name).collect();
    for name in [
        "cosi.v1alpha1.Identity",
        "cosi.v1alpha1.Provisioner",
        "sigs.k8s.io.cosi.v1alpha2.Identity",
        "sigs.k8s.io.cosi.v1alpha2.Provisioner",
        "grpc.health.v1.Health",
    ] {
        assert!(
            names.iter().any(|it| it == name),
            "{name} is not in {names:?}"
        );
    }
}

#[tokio::test]
async fn a_stop_removes_the_socket() {
    let serving = Serving::start(None);
    serving.client().name().await.unwrap();
    let path = serving.directory.path().join("cosi.sock");
    assert!(path.exists());
    serving.stop.now();
    serving.server.await.unwrap();
    assert!(!path.exists());
}
