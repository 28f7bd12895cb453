//! The unreleased version, in three revisions that have the package's name in common and little else. Each has a module that puts its messages into
//! the terms of this one; what is asked is checked and done here.
//!
//! Its sidecar takes `INVALID_ARGUMENT`, `ALREADY_EXISTS` and a few more for final: none of them is answered to what may pass.
//! Identifiers are names: what a bucket or account will be called is known before it is made.

mod modes;
mod r1;
mod r2;
mod r3;

use std::future::Future;

use tonic::{Request, Response, Status, async_trait, metadata::MetadataMap};

pub use self::{r1::R1, r2::R2, r3::R3};
use super::{
    calls::Call,
    checks,
    driver::Driver,
    pb::v1alpha2::{
        AuthenticationType, CredentialInfo, DriverDeleteBucketRequest, DriverDeleteBucketResponse,
        DriverGetInfoRequest, DriverGetInfoResponse, DriverRevokeBucketAccessRequest,
        DriverRevokeBucketAccessResponse, ObjectProtocol, ObjectProtocolAndBucketInfo,
        S3AddressingStyle, S3BucketInfo, S3CredentialInfo, authentication_type,
        identity_server::Identity, object_protocol, s3_addressing_style,
    },
    status,
};
use crate::provision::{
    AccessMode, Authentication, BucketInfo, Credentials, Grant, Granted, Parameters,
};

const NO_SERVICE_ACCOUNT: &str = "authenticationType ServiceAccount can't be had through the sidecar, which does not say in which namespace the account is: set \
     authenticationType: Key in the BucketAccessClass, or let Larder's own controllers do it";

/// Which revision a sidecar speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Revision {
    /// Upstream's main branch of March 2026.
    R1,
    /// September 2026.
    R2,
    /// The enhancement proposal of autumn 2026.
    R3,
}

/// What the revisions have in common.
#[derive(Clone, Debug)]
pub struct Shared(pub Driver);

/// A bucket as it is asked for.
#[derive(Debug)]
struct BucketAsked {
    /// The name of the field that holds `id`.
    field: &'static str,
    id: String,
    protocols: Vec<ObjectProtocol>,
    parameters: Parameters,
}

/// A bucket that access is asked to, and how.
type Accessed = (String, Result<Option<AccessMode>, Status>);

/// An access as it is asked for.
#[derive(Debug)]
struct AccessAsked {
    field: &'static str,
    account: String,
    protocol: Option<ObjectProtocol>,
    authentication: Option<AuthenticationType>,
    parameters: Parameters,
    buckets: Vec<Accessed>,
}

#[async_trait]
impl Identity for Shared {
    async fn driver_get_info(
        &self,
        request: Request<DriverGetInfoRequest>,
    ) -> Result<Response<DriverGetInfoResponse>, Status> {
        let name = self.0.name.to_string();
        let call = Call {
            method: "v1alpha2/DriverGetInfo",
            subject: ("driver", &name.clone()),
        };
        let info = DriverGetInfoResponse {
            name,
            supported_protocols: vec![ObjectProtocol {
                r#type: object_protocol::Type::S3.into(),
            }],
        };
        let work = async { Ok(info) };
        self.0
            .calls
            .run(call, request.metadata(), Ok(()), work)
            .await
    }
}

impl Shared {
    /// The identifier that a bucket of this name will have.
    async fn bucket_id(
        &self,
        metadata: &MetadataMap,
        asked: BucketAsked,
    ) -> Result<String, Status> {
        let checked = asked.check();
        let id = asked.id.clone();
        let work = async move { Ok(asked.id) };
        self.run(
            "v1alpha2/DriverGenerateBucketId",
            ("bucket", &id),
            metadata,
            checked,
            work,
        )
        .await
    }

    async fn create(
        &self,
        metadata: &MetadataMap,
        asked: BucketAsked,
    ) -> Result<BucketInfo, Status> {
        let checked = asked.check();
        let id = asked.id.clone();
        let provisioner = self.0.provisioner.clone();
        let work = async move {
            let made = provisioner.create_bucket(&asked.id, &asked.parameters);
            made.await.map_err(status::of)
        };
        self.run(
            "v1alpha2/DriverCreateBucket",
            ("bucket", &id),
            metadata,
            checked,
            work,
        )
        .await
    }

    async fn existing(
        &self,
        method: &'static str,
        metadata: &MetadataMap,
        asked: BucketAsked,
    ) -> Result<BucketInfo, Status> {
        let checked = asked.check();
        let id = asked.id.clone();
        let provisioner = self.0.provisioner.clone();
        let work = async move {
            let found = provisioner.existing_bucket(&asked.id);
            found.await.map_err(status::of)
        };
        self.run(method, ("bucket", &id), metadata, checked, work)
            .await
    }

    async fn delete(
        &self,
        request: Request<DriverDeleteBucketRequest>,
    ) -> Result<Response<DriverDeleteBucketResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let id = asked.bucket_id;
        let subject = ("bucket", id.clone());
        let checked = checks::id("bucket_id", &id)
            .and_then(|()| checks::map("parameters", &asked.parameters));
        let provisioner = self.0.provisioner.clone();
        let work = async move {
            let deleted = provisioner.delete_bucket(&id, &asked.parameters);
            deleted.await.map_err(status::of)
        };
        let subject = (subject.0, subject.1.as_str());
        self.run(
            "v1alpha2/DriverDeleteBucket",
            subject,
            &metadata,
            checked,
            work,
        )
        .await?;
        Ok(Response::new(DriverDeleteBucketResponse {}))
    }

    /// The identifier that an account of this name will have.
    async fn account_id(
        &self,
        metadata: &MetadataMap,
        asked: AccessAsked,
    ) -> Result<String, Status> {
        let account = asked.account.clone();
        let subject = ("account", account.as_str());
        let grant = asked.check();
        let (grant, checked) = split(grant);
        let work = async move { grant.map(|it| it.account).ok_or_else(unchecked) };
        self.run(
            "v1alpha2/DriverGenerateBucketAccessId",
            subject,
            metadata,
            checked,
            work,
        )
        .await
    }

    async fn grant(&self, metadata: &MetadataMap, asked: AccessAsked) -> Result<Granted, Status> {
        let account = asked.account.clone();
        let subject = ("account", account.as_str());
        let (grant, checked) = split(asked.check());
        let provisioner = self.0.provisioner.clone();
        let work = async move {
            let grant = grant.ok_or_else(unchecked)?;
            provisioner.grant(&grant).await.map_err(status::of)
        };
        self.run(
            "v1alpha2/DriverGrantBucketAccess",
            subject,
            metadata,
            checked,
            work,
        )
        .await
    }

    async fn revoke(
        &self,
        request: Request<DriverRevokeBucketAccessRequest>,
    ) -> Result<Response<DriverRevokeBucketAccessResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let account = asked.account_id.clone();
        let checked = checks::id("account_id", &account);
        let provisioner = self.0.provisioner.clone();
        let work = async move {
            let revoked = provisioner.revoke(&asked.account_id);
            revoked.await.map_err(status::of)
        };
        let subject = ("account", account.as_str());
        self.run(
            "v1alpha2/DriverRevokeBucketAccess",
            subject,
            &metadata,
            checked,
            work,
        )
        .await?;
        Ok(Response::new(DriverRevokeBucketAccessResponse {}))
    }

    async fn run<T: Send + 'static>(
        &self,
        method: &'static str,
        subject: (&'static str, &str),
        metadata: &MetadataMap,
        checked: Result<(), Status>,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        let call = Call { method, subject };
        let done = self.0.calls.run(call, metadata, checked, work).await;
        done.map(Response::into_inner)
    }
}

impl BucketAsked {
    fn check(&self) -> Result<(), Status> {
        checks::id(self.field, &self.id)?;
        self.protocols
            .iter()
            .copied()
            .try_for_each(check_protocol)?;
        checks::map("parameters", &self.parameters)
    }
}

impl AccessAsked {
    fn check(self) -> Result<Grant, Status> {
        checks::id(self.field, &self.account)?;
        check_protocol(self.protocol.unwrap_or_default())?;
        check_authentication(self.authentication.unwrap_or_default())?;
        checks::map("parameters", &self.parameters)?;
        checks::bucket_count(self.buckets.len())?;
        let buckets = self.buckets.into_iter().map(|(id, mode)| {
            checks::id("buckets.bucket_id", &id)?;
            Ok((id, mode?))
        });
        Ok(Grant {
            account: self.account,
            buckets: buckets.collect::<Result<_, Status>>()?,
            authentication: Authentication::Key,
            parameters: self.parameters,
        })
    }
}

/// What was made of a request, or why nothing was.
fn split<T>(checked: Result<T, Status>) -> (Option<T>, Result<(), Status>) {
    match checked {
        Ok(value) => (Some(value), Ok(())),
        Err(refused) => (None, Err(refused)),
    }
}

/// Work is begun only for what was checked.
fn unchecked() -> Status {
    Status::internal("the driver has lost the request")
}

fn check_protocol(protocol: ObjectProtocol) -> Result<(), Status> {
    match protocol.r#type() {
        object_protocol::Type::S3 => Ok(()),
        object_protocol::Type::Unknown => Err(Status::invalid_argument(
            "protocol is not set: only S3 is supported",
        )),
        other => Err(Status::invalid_argument(format!(
            "protocol {} is not supported: only S3 is",
            other.as_str_name()
        ))),
    }
}

fn check_authentication(authentication: AuthenticationType) -> Result<(), Status> {
    match authentication.r#type() {
        authentication_type::Type::Key => Ok(()),
        authentication_type::Type::ServiceAccount => {
            Err(Status::invalid_argument(NO_SERVICE_ACCOUNT))
        }
        authentication_type::Type::Unknown => Err(Status::invalid_argument(
            "authentication_type is not set: only KEY is supported",
        )),
    }
}

fn info(bucket: BucketInfo) -> ObjectProtocolAndBucketInfo {
    let s3 = S3BucketInfo {
        bucket_id: bucket.id,
        endpoint: bucket.endpoint,
        region: bucket.region,
        addressing_style: Some(S3AddressingStyle {
            style: s3_addressing_style::Style::Path.into(),
        }),
    };
    ObjectProtocolAndBucketInfo {
        s3: Some(s3),
        ..Default::default()
    }
}

fn credentials(credentials: &Credentials) -> Result<CredentialInfo, Status> {
    let Credentials::Key(key) = credentials else {
        return Err(Status::internal(
            "the driver granted something else than was asked for",
        ));
    };
    let s3 = S3CredentialInfo {
        access_key_id: key.access_key.clone(),
        access_secret_key: key.secret_key.to_string(),
    };
    Ok(CredentialInfo {
        s3: Some(s3),
        ..Default::default()
    })
}
