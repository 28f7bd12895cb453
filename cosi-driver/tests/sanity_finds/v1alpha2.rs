//! The same for v1alpha2, in its revision R3.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use larder_cosi::grpc::{
    pb::{
        r3::{
            DriverCreateBucketRequest, DriverCreateBucketResponse,
            DriverGenerateBucketAccessIdRequest, DriverGenerateBucketAccessIdResponse,
            DriverGenerateBucketIdRequest, DriverGenerateBucketIdResponse, DriverGetBucketRequest,
            DriverGetBucketResponse, DriverGrantBucketAccessRequest,
            DriverGrantBucketAccessResponse,
            provisioner_server::{Provisioner, ProvisionerServer},
        },
        v1alpha2::{
            AzureBucketInfo, DriverDeleteBucketRequest, DriverDeleteBucketResponse,
            DriverGetInfoRequest, DriverGetInfoResponse, DriverRevokeBucketAccessRequest,
            DriverRevokeBucketAccessResponse,
            identity_server::{Identity, IdentityServer},
        },
    },
    v1alpha2::{R3, Shared},
};
use tonic::{Code, Request, Response, Status, async_trait, transport::Server};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// None.
    Right,
    /// A protocol is said twice.
    ProtocolTwice,
    /// Another identifier each time that one is asked for.
    OtherIds,
    /// The bucket is made when its identifier is asked for.
    MakesTooSoon,
    /// What was asked for and something else.
    AnswersMore,
    /// A bucket has no region.
    NoRegion,
    /// What is not there yet is refused for ever.
    AbsentForEver,
    /// `ALREADY_EXISTS` for what is repeated, which the sidecar takes for final.
    GrantExists,
    /// A new key for each call.
    NewKeys,
    /// Not all buckets are answered.
    Forgets,
    /// Another access of the same account is taken for the first one.
    TakesConflict,
    /// What is missing is not missed.
    TakesMissing,
    /// Any protocol will do.
    TakesAnyProtocol,
}

#[derive(Clone, Debug)]
struct Wrong {
    right: R3,
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

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl Identity for Wrong {
    async fn driver_get_info(
        &self,
        request: Request<DriverGetInfoRequest>,
    ) -> Answer<DriverGetInfoResponse> {
        let mut answer = self.right.0.driver_get_info(request).await?;
        if self.has(Fault::ProtocolTwice) {
            let all = &mut answer.get_mut().supported_protocols;
            all.push(all[0]);
        }
        Ok(answer)
    }
}

#[async_trait]
impl Provisioner for Wrong {
    async fn driver_generate_bucket_id(
        &self,
        request: Request<DriverGenerateBucketIdRequest>,
    ) -> Answer<DriverGenerateBucketIdResponse> {
        let asked = request.get_ref().clone();
        if self.has(Fault::TakesMissing) && asked.name.is_empty() {
            return Ok(Response::new(DriverGenerateBucketIdResponse {
                bucket_id: "b".to_owned(),
            }));
        }
        let mut answer = self.right.driver_generate_bucket_id(request).await?;
        let id = &mut answer.get_mut().bucket_id;
        if self.has(Fault::OtherIds) {
            *id = format!("bucket-{}", self.next());
        }
        if self.has(Fault::MakesTooSoon) {
            let create = DriverCreateBucketRequest {
                bucket_id: id.clone(),
                protocols: asked.protocols,
                parameters: asked.parameters,
            };
            self.right
                .driver_create_bucket(Request::new(create))
                .await?;
        }
        Ok(answer)
    }

    async fn driver_create_bucket(
        &self,
        mut request: Request<DriverCreateBucketRequest>,
    ) -> Answer<DriverCreateBucketResponse> {
        if self.has(Fault::TakesAnyProtocol) {
            request.get_mut().protocols.clear();
        }
        let mut answer = self.right.driver_create_bucket(request).await?;
        if let Some(info) = &mut answer.get_mut().protocols {
            if self.has(Fault::AnswersMore) {
                info.azure = Some(AzureBucketInfo::default());
            }
            if let Some(s3) = info.s3.as_mut().filter(|_| self.has(Fault::NoRegion)) {
                s3.region.clear();
            }
        }
        Ok(answer)
    }

    async fn driver_get_bucket(
        &self,
        request: Request<DriverGetBucketRequest>,
    ) -> Answer<DriverGetBucketResponse> {
        match self.right.driver_get_bucket(request).await {
            Err(status) if self.has(Fault::AbsentForEver) && status.code() == Code::NotFound => {
                Err(Status::invalid_argument(status.message()))
            }
            answer => answer,
        }
    }

    async fn driver_delete_bucket(
        &self,
        request: Request<DriverDeleteBucketRequest>,
    ) -> Answer<DriverDeleteBucketResponse> {
        self.right.driver_delete_bucket(request).await
    }

    async fn driver_generate_bucket_access_id(
        &self,
        request: Request<DriverGenerateBucketAccessIdRequest>,
    ) -> Answer<DriverGenerateBucketAccessIdResponse> {
        let mut answer = self.right.driver_generate_bucket_access_id(request).await?;
        if self.has(Fault::OtherIds) {
            answer.get_mut().account_id = format!("ba-{}", self.next());
        }
        Ok(answer)
    }

    async fn driver_grant_bucket_access(
        &self,
        request: Request<DriverGrantBucketAccessRequest>,
    ) -> Answer<DriverGrantBucketAccessResponse> {
        if self.has(Fault::GrantExists) && self.next() > 0 {
            return Err(Status::already_exists("there is one"));
        }
        let mut answer = match self.right.driver_grant_bucket_access(request).await {
            Err(status)
                if self.has(Fault::TakesConflict) && status.code() == Code::AlreadyExists =>
            {
                return Ok(Response::new(DriverGrantBucketAccessResponse::default()));
            }
            answer => answer?,
        };
        let granted = answer.get_mut();
        if self.has(Fault::Forgets) {
            granted.buckets.truncate(1);
        }
        if self.has(Fault::NewKeys) {
            let s3 = granted.credentials.as_mut().unwrap().s3.as_mut().unwrap();
            s3.access_key_id = format!("AK{}", self.next());
        }
        Ok(answer)
    }

    async fn driver_revoke_bucket_access(
        &self,
        request: Request<DriverRevokeBucketAccessRequest>,
    ) -> Answer<DriverRevokeBucketAccessResponse> {
        self.right.driver_revoke_bucket_access(request).await
    }
}

async fn found(fault: Fault, only: &[&str]) -> Vec<&'static str> {
    let wrong = Wrong {
        right: R3(Shared(super::right())),
        fault,
        count: Arc::default(),
    };
    let router = Server::builder()
        .add_service(IdentityServer::new(wrong.clone()))
        .add_service(ProvisionerServer::new(wrong));
    // The mode that the access names counts, and not the class's.
    let flags = [
        "--api",
        "v1alpha2",
        "--other-access-parameters",
        "prefix=other/",
    ];
    super::failures(router, &flags, only).await
}

#[tokio::test]
async fn a_driver_of_v1alpha2_that_is_right_passes() {
    assert_eq!(found(Fault::Right, &[]).await, Vec::<&str>::new());
}

#[tokio::test]
async fn each_fault_in_v1alpha2_is_found_by_its_check() {
    let all: &[(Fault, &[&str])] = &[
        (Fault::ProtocolTwice, &["identity-protocols"]),
        (
            Fault::OtherIds,
            &["generate-bucket-id", "generate-access-id"],
        ),
        (Fault::MakesTooSoon, &["generate-bucket-id"]),
        (Fault::AnswersMore, &["create-answer"]),
        (Fault::NoRegion, &["create-answer", "get-bucket"]),
        (Fault::AbsentForEver, &["generate-bucket-id", "get-bucket"]),
        (Fault::GrantExists, &["grant-idempotent"]),
        (Fault::NewKeys, &["grant-idempotent", "grant-concurrent"]),
        (Fault::Forgets, &["grant-several-buckets"]),
        (Fault::TakesConflict, &["grant-other-access"]),
        (Fault::TakesMissing, &["fields-missing"]),
        (Fault::TakesAnyProtocol, &["fields-protocol"]),
    ];
    for (fault, checks) in all {
        let failed = found(*fault, checks).await;
        for check in *checks {
            assert!(failed.contains(check), "{fault:?}: {failed:?}");
        }
    }
}
