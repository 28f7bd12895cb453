//! R2: September 2026. Identifiers of buckets are asked for first; three access modes a bucket.

use tonic::{Request, Response, Status, async_trait};

use super::{AccessAsked, BucketAsked, Shared, credentials, info, modes::Modes};
use crate::grpc::pb::{
    r2::{
        DriverCreateBucketRequest, DriverCreateBucketResponse, DriverGenerateBucketIdRequest,
        DriverGenerateBucketIdResponse, DriverGetBucketRequest, DriverGetBucketResponse,
        DriverGrantBucketAccessRequest, DriverGrantBucketAccessResponse,
        driver_grant_bucket_access_request::AccessedBucket,
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
pub struct R2(pub Shared);

#[async_trait]
impl Provisioner for R2 {
    async fn driver_generate_bucket_id(
        &self,
        request: Request<DriverGenerateBucketIdRequest>,
    ) -> Result<Response<DriverGenerateBucketIdResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let asked = BucketAsked {
            field: "name",
            id: asked.name,
            protocols: asked.protocols,
            parameters: asked.parameters,
        };
        let bucket_id = self.0.bucket_id(&metadata, asked).await?;
        Ok(Response::new(DriverGenerateBucketIdResponse { bucket_id }))
    }

    async fn driver_create_bucket(
        &self,
        request: Request<DriverCreateBucketRequest>,
    ) -> Result<Response<DriverCreateBucketResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let asked = BucketAsked {
            field: "bucket_id",
            id: asked.bucket_id,
            protocols: asked.protocols,
            parameters: asked.parameters,
        };
        let bucket = self.0.create(&metadata, asked).await?;
        Ok(Response::new(DriverCreateBucketResponse {
            protocols: Some(info(bucket)),
        }))
    }

    async fn driver_get_bucket(
        &self,
        request: Request<DriverGetBucketRequest>,
    ) -> Result<Response<DriverGetBucketResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let asked = BucketAsked {
            field: "bucket_id",
            id: asked.bucket_id,
            protocols: asked.protocols,
            parameters: asked.parameters,
        };
        let found = self
            .0
            .existing("v1alpha2/DriverGetBucket", &metadata, asked);
        let bucket = found.await?;
        Ok(Response::new(DriverGetBucketResponse {
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
    let modes = Modes {
        object_data: bucket.object_data_access_mode.map(|it| it.mode),
        object_metadata: bucket.object_metadata_access_mode.map(|it| it.mode),
        bucket_metadata: bucket.bucket_metadata_access_mode.map(|it| it.mode),
    };
    (bucket.bucket_id, modes.together())
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
