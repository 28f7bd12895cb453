//! R1: upstream's main branch of March 2026. One access mode a bucket, identifiers in the answers.

use tonic::{Request, Response, Status, async_trait};

use super::{AccessAsked, BucketAsked, Shared, credentials, info, modes};
use crate::grpc::pb::{
    r1::{
        DriverCreateBucketRequest, DriverCreateBucketResponse, DriverGetExistingBucketRequest,
        DriverGetExistingBucketResponse, DriverGrantBucketAccessRequest,
        DriverGrantBucketAccessResponse, driver_grant_bucket_access_request::AccessedBucket,
        driver_grant_bucket_access_response::BucketInfo, provisioner_server::Provisioner,
    },
    v1alpha2::{
        DriverDeleteBucketRequest, DriverDeleteBucketResponse, DriverRevokeBucketAccessRequest,
        DriverRevokeBucketAccessResponse,
    },
};
use crate::provision::Granted;

/// The service `Provisioner` of this revision.
#[derive(Clone, Debug)]
pub struct R1(pub Shared);

#[async_trait]
impl Provisioner for R1 {
    async fn driver_create_bucket(
        &self,
        request: Request<DriverCreateBucketRequest>,
    ) -> Result<Response<DriverCreateBucketResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let asked = BucketAsked {
            field: "name",
            id: asked.name,
            protocols: asked.protocols,
            parameters: asked.parameters,
        };
        let bucket = self.0.create(&metadata, asked).await?;
        Ok(Response::new(DriverCreateBucketResponse {
            bucket_id: bucket.id.clone(),
            protocols: Some(info(bucket)),
        }))
    }

    async fn driver_get_existing_bucket(
        &self,
        request: Request<DriverGetExistingBucketRequest>,
    ) -> Result<Response<DriverGetExistingBucketResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let asked = BucketAsked {
            field: "existing_bucket_id",
            id: asked.existing_bucket_id,
            protocols: asked.protocols,
            parameters: asked.parameters,
        };
        let found = self
            .0
            .existing("v1alpha2/DriverGetExistingBucket", &metadata, asked);
        let bucket = found.await?;
        Ok(Response::new(DriverGetExistingBucketResponse {
            bucket_id: bucket.id.clone(),
            protocols: Some(info(bucket)),
        }))
    }

    async fn driver_delete_bucket(
        &self,
        request: Request<DriverDeleteBucketRequest>,
    ) -> Result<Response<DriverDeleteBucketResponse>, Status> {
        self.0.delete(request).await
    }

    async fn driver_grant_bucket_access(
        &self,
        request: Request<DriverGrantBucketAccessRequest>,
    ) -> Result<Response<DriverGrantBucketAccessResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let asked = AccessAsked {
            field: "account_name",
            account: asked.account_name,
            protocol: asked.protocol,
            authentication: asked.authentication_type,
            parameters: asked.parameters,
            buckets: asked.buckets.into_iter().map(accessed).collect(),
        };
        let granted = self.0.grant(&metadata, asked).await?;
        answer(granted).map(Response::new)
    }

    async fn driver_revoke_bucket_access(
        &self,
        request: Request<DriverRevokeBucketAccessRequest>,
    ) -> Result<Response<DriverRevokeBucketAccessResponse>, Status> {
        self.0.revoke(request).await
    }
}

fn accessed(bucket: AccessedBucket) -> super::Accessed {
    (bucket.bucket_id, modes::single(bucket.access_mode))
}

fn answer(granted: Granted) -> Result<DriverGrantBucketAccessResponse, Status> {
    let credentials = credentials(&granted.credentials)?;
    let buckets = granted.buckets.into_iter().map(|bucket| BucketInfo {
        bucket_id: bucket.id.clone(),
        bucket_info: Some(info(bucket)),
    });
    Ok(DriverGrantBucketAccessResponse {
        account_id: granted.account,
        buckets: buckets.collect(),
        credentials: Some(credentials),
    })
}
