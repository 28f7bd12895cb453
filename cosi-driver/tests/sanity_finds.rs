//! `cosi-sanity` finds what is wrong with drivers: each fault that was met in the wild is put into a driver that is right, and the check that is for it fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "sanity_finds/v1alpha2.rs"]
mod v1alpha2;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use clap::Parser as _;
use larder_cosi::{
    backend::MemoryBackend,
    grpc::{
        calls::{Calls, DEFAULT_TIME},
        driver::Driver,
        pb::v1alpha1::{
            DriverCreateBucketRequest, DriverCreateBucketResponse, DriverDeleteBucketRequest,
            DriverDeleteBucketResponse, DriverGetInfoRequest, DriverGetInfoResponse,
            DriverGrantBucketAccessRequest, DriverGrantBucketAccessResponse,
            DriverRevokeBucketAccessRequest, DriverRevokeBucketAccessResponse,
            identity_server::{Identity, IdentityServer},
            provisioner_server::{Provisioner, ProvisionerServer},
        },
        v1alpha1::V1Alpha1,
    },
    metrics::Metrics,
    provision::{ProvisionSettings, Provisioner as Provisioning},
    sanity::{args::Cli, checks, report::NotOk, world::World},
    socket,
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{
    Code, Request, Response, Status, async_trait,
    transport::{Server, server::Router},
};

/// What is wrong, and who does or did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// None.
    Right,
    /// A new key for each Grant: `SeaweedFS`, Linode, Dell.
    NewKeys,
    /// `ALREADY_EXISTS` for a Grant that is repeated: Scality.
    GrantExists,
    /// `ALREADY_EXISTS` for one's own bucket: ceph-cosi.
    BucketExists,
    /// `NOT_FOUND` for a Revoke that is repeated: HPE.
    RevokeNotFound,
    /// A bucket with live accounts is not deleted.
    DeleteWaits,
    /// Access to what is not there.
    GrantsAbsent,
    /// Empty fields are taken.
    TakesEmpty,
    /// Everything is one account.
    OneAccount,
    /// A conflict of parameters is not seen.
    NoConflict,
    /// The endpoint is a bare host: Linode.
    BareHost,
    /// A field is missing.
    NoRegion,
    /// A secret in an error.
    Talks,
    /// Something that nobody thought of.
    Panics,
    /// Details that upstream wants empty.
    Details,
    /// A name that is none.
    Name,
    /// Another name each time.
    Names,
}

#[derive(Clone, Debug)]
struct Wrong {
    right: V1Alpha1,
    fault: Fault,
    count: Arc<AtomicU32>,
}

impl Wrong {
    fn next(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

#[async_trait]
impl Identity for Wrong {
    async fn driver_get_info(
        &self,
        request: Request<DriverGetInfoRequest>,
    ) -> Result<Response<DriverGetInfoResponse>, Status> {
        let mut answer = self.right.driver_get_info(request).await?;
        match self.fault {
            Fault::Name => answer.get_mut().name = "Not A Name".into(),
            Fault::Names => answer.get_mut().name = format!("a{}.larder.dev", self.next()),
            _ => {}
        }
        Ok(answer)
    }
}

#[async_trait]
impl Provisioner for Wrong {
    async fn driver_create_bucket(
        &self,
        request: Request<DriverCreateBucketRequest>,
    ) -> Result<Response<DriverCreateBucketResponse>, Status> {
        let name = request.get_ref().name.clone();
        match self.fault {
            Fault::TakesEmpty if name.is_empty() => Ok(Response::new(DriverCreateBucketResponse {
                bucket_id: "b".to_owned(),
                bucket_info: None,
            })),
            Fault::BucketExists if self.next() > 0 => Err(Status::already_exists("there is one")),
            Fault::NoConflict => match self.right.driver_create_bucket(request).await {
                Err(status) if status.code() == Code::AlreadyExists => {
                    Ok(Response::new(DriverCreateBucketResponse {
                        bucket_id: name,
                        bucket_info: None,
                    }))
                }
                answer => answer,
            },
            Fault::Details => {
                let answer = self.right.driver_create_bucket(request).await;
                answer.map_err(|it| {
                    Status::with_details(it.code(), it.message(), vec![1, 2, 3].into())
                })
            }
            _ => self.right.driver_create_bucket(request).await,
        }
    }

    async fn driver_delete_bucket(
        &self,
        request: Request<DriverDeleteBucketRequest>,
    ) -> Result<Response<DriverDeleteBucketResponse>, Status> {
        if self.has(Fault::DeleteWaits) {
            return Err(Status::failed_precondition("there are accounts"));
        }
        if self.has(Fault::TakesEmpty) && request.get_ref().bucket_id.is_empty() {
            return Ok(Response::new(DriverDeleteBucketResponse {}));
        }
        self.right.driver_delete_bucket(request).await
    }

    async fn driver_grant_bucket_access(
        &self,
        request: Request<DriverGrantBucketAccessRequest>,
    ) -> Result<Response<DriverGrantBucketAccessResponse>, Status> {
        let granted = self.right.driver_grant_bucket_access(request).await;
        let mut answer = match (self.fault, granted) {
            (Fault::GrantExists, Ok(_)) if self.next() > 0 => {
                return Err(Status::already_exists("there is one"));
            }
            (Fault::GrantExists, Err(it)) if it.code() == Code::InvalidArgument => {
                return Err(Status::already_exists(it.message()));
            }
            (Fault::GrantsAbsent, Err(it)) if it.code() == Code::NotFound => {
                return Ok(Response::new(DriverGrantBucketAccessResponse::default()));
            }
            (Fault::Panics, Err(_)) => return Err(Status::unknown("it broke")),
            (_, granted) => granted?,
        };
        let number = self.next();
        let granted = answer.get_mut();
        if self.has(Fault::OneAccount) {
            granted.account_id = "everybody".into();
        }
        let details = granted.credentials.get_mut("s3").unwrap();
        let secrets = &mut details.secrets;
        match self.fault {
            Fault::NewKeys => drop(secrets.insert("accessKeyID".into(), format!("AK{number}"))),
            Fault::BareHost => drop(secrets.insert("endpoint".into(), "s3.larder.dev".into())),
            Fault::NoRegion => drop(secrets.remove("region")),
            _ => {}
        }
        if self.has(Fault::Talks) && number % 2 == 1 {
            let secret = secrets["accessSecretKey"].clone();
            return Err(Status::permission_denied(format!("{secret} is not right")));
        }
        Ok(answer)
    }

    async fn driver_revoke_bucket_access(
        &self,
        request: Request<DriverRevokeBucketAccessRequest>,
    ) -> Result<Response<DriverRevokeBucketAccessResponse>, Status> {
        if self.has(Fault::RevokeNotFound) && self.next() > 2 {
            return Err(Status::not_found("there is none"));
        }
        self.right.driver_revoke_bucket_access(request).await
    }
}

/// What fails of the checks whose names contain one of `only`, with a driver that has a fault.
async fn found(fault: Fault, only: &[&str]) -> Vec<&'static str> {
    let wrong = Wrong {
        right: V1Alpha1(right()),
        fault,
        count: Arc::default(),
    };
    let router = Server::builder()
        .add_service(IdentityServer::new(wrong.clone()))
        .add_service(ProvisionerServer::new(wrong));
    failures(router, &[], only).await
}

/// A driver on a store in memory, where nothing can be written.
fn right() -> Driver {
    let settings = ProvisionSettings {
        endpoint: "http://127.0.0.1:1".to_owned(),
        ..ProvisionSettings::default()
    };
    Driver {
        name: "cosi.larder.dev".into(),
        provisioner: Provisioning::new(Arc::new(MemoryBackend::new()), settings),
        calls: Calls::new(DEFAULT_TIME, Arc::new(Metrics::default())),
    }
}

/// What fails of these checks where this is served.
async fn failures(router: Router, more: &[&str], only: &[&str]) -> Vec<&'static str> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cosi.sock");
    let (listener, _bound) = socket::bind(&path).unwrap();
    let serving = router.serve_with_incoming(UnixListenerStream::new(listener));
    let endpoint = format!("unix://{}", path.display());
    let mut flags = vec![
        "cosi-sanity",
        "--endpoint",
        &endpoint,
        "--patience",
        "200ms",
    ];
    flags.extend(more);
    flags.extend(["--other-parameters", "quotaBytes=2Gi"]);
    flags.extend(["--other-access-parameters", "accessMode=ReadOnly"]);
    for name in only {
        flags.extend(["--only", name]);
    }
    let args = Cli::try_parse_from(flags).unwrap().run;
    let checking = async {
        let world = World::open(&args).await.unwrap();
        let mut failed = Vec::new();
        for check in checks::of(args.api).filter(|it| args.wants(it.name)) {
            if let Err(NotOk::Failed(_)) = (check.run)(&world).await {
                failed.push(check.name);
            }
        }
        failed
    };
    tokio::select! {
        failed = checking => failed,
        ended = serving => panic!("{ended:?}"),
        () = larder_cosi::pause::pause(Duration::from_mins(1)) => panic!("{more:?} {only:?}: too slow"),
    }
}

#[tokio::test]
async fn a_driver_that_is_right_passes() {
    assert_eq!(found(Fault::Right, &[]).await, Vec::<&str>::new());
}

#[tokio::test]
async fn each_fault_is_found_by_its_check() {
    let all: &[(Fault, &[&str])] = &[
        (Fault::NewKeys, &["grant-idempotent", "grant-concurrent"]),
        (
            Fault::GrantExists,
            &["grant-idempotent", "grant-never-already-exists"],
        ),
        (
            Fault::BucketExists,
            &["create-idempotent", "create-concurrent"],
        ),
        (
            Fault::RevokeNotFound,
            &["revoke-idempotent", "revoke-unknown", "revoke-concurrent"],
        ),
        (
            Fault::DeleteWaits,
            &["delete-idempotent", "order-delete-before-revoke"],
        ),
        (Fault::GrantsAbsent, &["grant-absent-bucket"]),
        (Fault::TakesEmpty, &["fields-empty"]),
        (Fault::OneAccount, &["grant-several-accounts"]),
        (Fault::NoConflict, &["create-other-parameters"]),
        (Fault::BareHost, &["grant-credentials"]),
        (Fault::NoRegion, &["grant-idempotent", "grant-credentials"]),
        (Fault::Name, &["identity-name"]),
        (Fault::Names, &["identity-stable"]),
    ];
    for (fault, checks) in all {
        assert_eq!(found(*fault, checks).await, *checks, "{fault:?}");
    }
}

/// What was refused has to be seen before it is judged.
#[tokio::test]
async fn faults_of_refusals_are_found_in_all_of_them() {
    let all: &[(Fault, &str, &str)] = &[
        (Fault::Talks, "grant-idempotent", "secrets-in-errors"),
        (Fault::Panics, "grant-absent-bucket", "errors-proper"),
        (Fault::Details, "fields-empty", "errors-human"),
    ];
    for (fault, cause, check) in all {
        let failed = found(*fault, &[cause, check]).await;
        assert!(failed.contains(check), "{fault:?}: {failed:?}");
    }
}
