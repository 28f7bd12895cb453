//! The released version, as the upstream sidecar v0.2.x speaks it.
//!
//! It takes every error for one that passes, dies of `ALREADY_EXISTS` from Grant, deletes buckets before it revokes access to them, and asks a driver
//! to revoke what another one granted: so Grant never answers that, and removing what is not there, or not ours, is done.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status, async_trait};

use super::{
    calls::Call,
    checks,
    driver::Driver,
    pb::v1alpha1::{
        self as pb, AuthenticationType, CredentialDetails, DriverCreateBucketRequest,
        DriverCreateBucketResponse, DriverDeleteBucketRequest, DriverDeleteBucketResponse,
        DriverGetInfoRequest, DriverGetInfoResponse, DriverGrantBucketAccessRequest,
        DriverGrantBucketAccessResponse, DriverRevokeBucketAccessRequest,
        DriverRevokeBucketAccessResponse, Protocol, identity_server::Identity, protocol,
        provisioner_server::Provisioner,
    },
    status,
};
use crate::provision::{Authentication, BucketInfo, Credentials, Grant, Granted};

const NO_IAM: &str = "authenticationType IAM can't be had through the sidecar, which does not say for which service account: set authenticationType: Key in the \
     BucketAccessClass, or let Larder's own controllers do it";

/// Both services.
#[derive(Clone, Debug)]
pub struct V1Alpha1(pub Driver);

#[async_trait]
impl Identity for V1Alpha1 {
    async fn driver_get_info(
        &self,
        request: Request<DriverGetInfoRequest>,
    ) -> Result<Response<DriverGetInfoResponse>, Status> {
        let name = self.0.name.to_string();
        let info = DriverGetInfoResponse { name: name.clone() };
        let call = Call {
            method: "v1alpha1/DriverGetInfo",
            subject: ("driver", &name),
        };
        let work = async { Ok(info) };
        self.0
            .calls
            .run(call, request.metadata(), Ok(()), work)
            .await
    }
}

#[async_trait]
impl Provisioner for V1Alpha1 {
    async fn driver_create_bucket(
        &self,
        request: Request<DriverCreateBucketRequest>,
    ) -> Result<Response<DriverCreateBucketResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let call = Call {
            method: "v1alpha1/DriverCreateBucket",
            subject: ("bucket", &asked.name.clone()),
        };
        let checked = checks::name("name", &asked.name)
            .and_then(|()| checks::map("parameters", &asked.parameters));
        let provisioner = self.0.provisioner.clone();
        let work = async move {
            let made = provisioner.create_bucket(&asked.name, &asked.parameters);
            made.await.map(created).map_err(status::of)
        };
        self.0.calls.run(call, &metadata, checked, work).await
    }

    async fn driver_delete_bucket(
        &self,
        request: Request<DriverDeleteBucketRequest>,
    ) -> Result<Response<DriverDeleteBucketResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let call = Call {
            method: "v1alpha1/DriverDeleteBucket",
            subject: ("bucket", &asked.bucket_id.clone()),
        };
        let checked = checks::id("bucket_id", &asked.bucket_id)
            .and_then(|()| checks::map("delete_context", &asked.delete_context));
        let provisioner = self.0.provisioner.clone();
        let work = async move {
            let deleted = provisioner.delete_bucket(&asked.bucket_id, &asked.delete_context);
            deleted.await.map_err(status::of)?;
            Ok(DriverDeleteBucketResponse {})
        };
        self.0.calls.run(call, &metadata, checked, work).await
    }

    async fn driver_grant_bucket_access(
        &self,
        request: Request<DriverGrantBucketAccessRequest>,
    ) -> Result<Response<DriverGrantBucketAccessResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let call = Call {
            method: "v1alpha1/DriverGrantBucketAccess",
            subject: ("account", &asked.name.clone()),
        };
        let checked = check_grant(&asked);
        let provisioner = self.0.provisioner.clone();
        let work = async move {
            let granted = provisioner.grant(&grant(asked)).await;
            granted.map_err(status::of_v1alpha1_grant).and_then(answer)
        };
        self.0.calls.run(call, &metadata, checked, work).await
    }

    async fn driver_revoke_bucket_access(
        &self,
        request: Request<DriverRevokeBucketAccessRequest>,
    ) -> Result<Response<DriverRevokeBucketAccessResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let account = asked.account_id;
        let call = Call {
            method: "v1alpha1/DriverRevokeBucketAccess",
            subject: ("account", &account.clone()),
        };
        let checked = checks::bounded("account_id", &account, checks::MAX_ID_BYTES);
        let provisioner = self.0.provisioner.clone();
        let work = async move {
            // An access that was never granted has no account.
            if !account.is_empty() {
                provisioner.revoke(&account).await.map_err(status::of)?;
            }
            Ok(DriverRevokeBucketAccessResponse {})
        };
        self.0.calls.run(call, &metadata, checked, work).await
    }
}

fn created(bucket: BucketInfo) -> DriverCreateBucketResponse {
    let s3 = pb::S3 {
        region: bucket.region,
        signature_version: pb::S3SignatureVersion::S3v4.into(),
    };
    DriverCreateBucketResponse {
        bucket_id: bucket.id,
        bucket_info: Some(Protocol {
            r#type: Some(protocol::Type::S3(s3)),
        }),
    }
}

fn check_grant(asked: &DriverGrantBucketAccessRequest) -> Result<(), Status> {
    checks::id("bucket_id", &asked.bucket_id)?;
    checks::name("name", &asked.name)?;
    checks::map("parameters", &asked.parameters)?;
    match AuthenticationType::try_from(asked.authentication_type) {
        Ok(AuthenticationType::Key) => Ok(()),
        Ok(AuthenticationType::Iam) => Err(Status::invalid_argument(NO_IAM)),
        Ok(AuthenticationType::UnknownAuthenticationType) | Err(_) => {
            Err(Status::invalid_argument(
                "authentication_type is not known: set authenticationType: Key in the BucketAccessClass, written just so",
            ))
        }
    }
}

fn grant(asked: DriverGrantBucketAccessRequest) -> Grant {
    Grant {
        account: asked.name,
        buckets: vec![(asked.bucket_id, None)],
        authentication: Authentication::Key,
        parameters: asked.parameters,
    }
}

/// The endpoint and the region are among the credentials: nothing else of the answer reaches the Secret.
fn answer(granted: Granted) -> Result<DriverGrantBucketAccessResponse, Status> {
    let (Credentials::Key(key), Some(bucket)) = (granted.credentials, granted.buckets.first())
    else {
        return Err(Status::internal(
            "the driver granted something else than was asked for",
        ));
    };
    let secrets = BTreeMap::from([
        ("accessKeyID".to_owned(), key.access_key.clone()),
        ("accessSecretKey".to_owned(), key.secret_key.to_string()),
        ("endpoint".to_owned(), bucket.endpoint.clone()),
        ("region".to_owned(), bucket.region.clone()),
    ]);
    let credentials = BTreeMap::from([("s3".to_owned(), CredentialDetails { secrets })]);
    Ok(DriverGrantBucketAccessResponse {
        account_id: granted.account,
        credentials,
    })
}
