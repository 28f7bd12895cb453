//! Calls of v1alpha2, in its revision R3.

use tonic::{Status, transport::Channel};

use super::{Access, Created, Driver};
use crate::{
    grpc::pb::{
        r3::{
            AccessMode, DriverCreateBucketRequest, DriverGenerateBucketAccessIdRequest,
            DriverGenerateBucketIdRequest, DriverGetBucketRequest, DriverGrantBucketAccessRequest,
            DriverGrantBucketAccessResponse, driver_grant_bucket_access_request::AccessedBucket,
            provisioner_client::ProvisionerClient,
        },
        v1alpha2::{
            AuthenticationType, DriverDeleteBucketRequest, DriverGetInfoRequest,
            DriverGetInfoResponse, DriverRevokeBucketAccessRequest, ObjectProtocol,
            ObjectProtocolAndBucketInfo, authentication_type, driver_revoke_bucket_access_request,
            identity_client::IdentityClient, object_protocol,
        },
    },
    provision::Parameters,
};

/// An access that was granted.
#[derive(Clone, Debug)]
pub struct Answer {
    /// By which it is revoked.
    pub account: String,
    /// The buckets that were asked for.
    pub asked: Vec<String>,
    /// What the driver says.
    pub response: DriverGrantBucketAccessResponse,
}

impl Driver {
    /// `DriverGetInfo`.
    ///
    /// # Errors
    /// As the driver answers, here and in all of these.
    pub async fn identity(&self) -> Result<DriverGetInfoResponse, Status> {
        let mut client = IdentityClient::new(self.channel());
        let answer = client.driver_get_info(DriverGetInfoRequest {}).await;
        self.keep("DriverGetInfo", answer)
    }

    /// `DriverGenerateBucketId`.
    ///
    /// # Errors
    /// See [`Driver::identity`].
    pub async fn generate_bucket(
        &self,
        name: &str,
        parameters: &Parameters,
    ) -> Result<String, Status> {
        let request = DriverGenerateBucketIdRequest {
            name: name.to_owned(),
            protocols: vec![s3()],
            parameters: parameters.clone(),
        };
        let answer = self.provisioner().driver_generate_bucket_id(request).await;
        Ok(self.keep("DriverGenerateBucketId", answer)?.bucket_id)
    }

    /// `DriverCreateBucket` of an identifier that was generated.
    ///
    /// # Errors
    /// See [`Driver::identity`].
    pub async fn create_of(&self, id: &str, parameters: &Parameters) -> Result<Created, Status> {
        self.create_speaking(id, vec![s3()], parameters).await
    }

    /// The same with protocols to be chosen.
    ///
    /// # Errors
    /// See [`Driver::identity`].
    pub async fn create_speaking(
        &self,
        id: &str,
        protocols: Vec<ObjectProtocol>,
        parameters: &Parameters,
    ) -> Result<Created, Status> {
        let request = DriverCreateBucketRequest {
            bucket_id: id.to_owned(),
            protocols,
            parameters: parameters.clone(),
        };
        let answer = self.provisioner().driver_create_bucket(request).await;
        Ok(Created {
            id: id.to_owned(),
            info: self.keep("DriverCreateBucket", answer)?.protocols,
        })
    }

    /// `DriverGetBucket`.
    ///
    /// # Errors
    /// See [`Driver::identity`].
    pub async fn get(
        &self,
        id: &str,
        parameters: &Parameters,
    ) -> Result<Option<ObjectProtocolAndBucketInfo>, Status> {
        let request = DriverGetBucketRequest {
            bucket_id: id.to_owned(),
            protocols: vec![s3()],
            parameters: parameters.clone(),
        };
        let answer = self.provisioner().driver_get_bucket(request).await;
        Ok(self.keep("DriverGetBucket", answer)?.protocols)
    }

    /// `DriverGenerateBucketAccessId`.
    ///
    /// # Errors
    /// See [`Driver::identity`].
    pub async fn generate_account(&self, access: &Access) -> Result<String, Status> {
        let request = DriverGenerateBucketAccessIdRequest {
            account_name: access.name.clone(),
            protocol: Some(protocol(access)),
            authentication_type: Some(authentication(access)),
            service_account_name: service_account(access),
            parameters: access.parameters.clone(),
            buckets: accessed(access),
        };
        let answer = self
            .provisioner()
            .driver_generate_bucket_access_id(request)
            .await;
        Ok(self
            .keep("DriverGenerateBucketAccessId", answer)?
            .account_id)
    }

    /// `DriverGrantBucketAccess` of an identifier that was generated.
    ///
    /// # Errors
    /// See [`Driver::identity`].
    pub async fn grant_of(&self, account: &str, access: &Access) -> Result<Answer, Status> {
        let request = DriverGrantBucketAccessRequest {
            account_id: account.to_owned(),
            protocol: Some(protocol(access)),
            authentication_type: Some(authentication(access)),
            service_account_name: service_account(access),
            parameters: access.parameters.clone(),
            buckets: accessed(access),
        };
        let answer = self.provisioner().driver_grant_bucket_access(request).await;
        let response = self.keep("DriverGrantBucketAccess", answer)?;
        let credentials = response.credentials.iter();
        let secrets = credentials.filter_map(|it| it.s3.as_ref());
        self.remember(secrets.map(|it| &it.access_secret_key));
        Ok(Answer {
            account: account.to_owned(),
            asked: access.buckets.clone(),
            response,
        })
    }

    pub(super) async fn delete_v1alpha2(
        &self,
        id: &str,
        parameters: &Parameters,
    ) -> Result<(), Status> {
        let request = DriverDeleteBucketRequest {
            bucket_id: id.to_owned(),
            parameters: parameters.clone(),
        };
        let answer = self.provisioner().driver_delete_bucket(request).await;
        self.keep("DriverDeleteBucket", answer).map(drop)
    }

    pub(super) async fn revoke_v1alpha2(&self, bucket: &str, account: &str) -> Result<(), Status> {
        let access = Access::new(bucket, account);
        let request = DriverRevokeBucketAccessRequest {
            account_id: account.to_owned(),
            protocol: Some(protocol(&access)),
            authentication_type: Some(authentication(&access)),
            service_account_name: String::new(),
            parameters: Parameters::new(),
            buckets: vec![driver_revoke_bucket_access_request::AccessedBucket {
                bucket_id: bucket.to_owned(),
            }],
        };
        let answer = self
            .provisioner()
            .driver_revoke_bucket_access(request)
            .await;
        self.keep("DriverRevokeBucketAccess", answer).map(drop)
    }

    fn provisioner(&self) -> ProvisionerClient<Channel> {
        ProvisionerClient::new(self.channel())
    }
}

fn s3() -> ObjectProtocol {
    ObjectProtocol {
        r#type: object_protocol::Type::S3.into(),
    }
}

fn protocol(access: &Access) -> ObjectProtocol {
    ObjectProtocol {
        r#type: access.protocol,
    }
}

fn authentication(access: &Access) -> AuthenticationType {
    AuthenticationType {
        r#type: access.authentication,
    }
}

/// The sidecar names one where it is asked for, and not otherwise.
fn service_account(access: &Access) -> String {
    let is_asked = access.authentication == i32::from(authentication_type::Type::ServiceAccount);
    if is_asked {
        "default".to_owned()
    } else {
        String::new()
    }
}

fn accessed(access: &Access) -> Vec<AccessedBucket> {
    let buckets = access.buckets.iter();
    let bucket = |id: &String| AccessedBucket {
        bucket_id: id.clone(),
        object_data_access_mode: access.mode.map(|mode| AccessMode { mode: mode.into() }),
        object_metadata_access_mode: None,
        bucket_metadata_access_mode: None,
    };
    buckets.map(bucket).collect()
}
