//! A driver's socket: calls as the sidecar makes them, and what came of each, kept for checks of all of them together.

use std::{collections::BTreeSet, error::Error as _, path::PathBuf, sync::Arc};

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::UnixStream;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    grpc::pb::v1alpha1::{
        DriverCreateBucketRequest, DriverCreateBucketResponse, DriverDeleteBucketRequest,
        DriverGetInfoRequest, DriverGrantBucketAccessRequest, DriverGrantBucketAccessResponse,
        DriverRevokeBucketAccessRequest, identity_client::IdentityClient,
        provisioner_client::ProvisionerClient,
    },
    provision::Parameters,
};

/// A driver that is reached by its socket. Cheap to clone; a clone has the same connection.
#[derive(Clone, Debug)]
pub struct Driver {
    path: PathBuf,
    channel: Channel,
    seen: Arc<Mutex<Seen>>,
}

/// What the driver has said so far.
#[derive(Debug, Default)]
struct Seen {
    refusals: Vec<(&'static str, Status)>,
    secrets: BTreeSet<String>,
}

/// An access that is asked for.
#[derive(Clone, Debug)]
pub struct Access {
    /// To which bucket.
    pub bucket: String,
    /// The account's name.
    pub name: String,
    /// Of the class.
    pub parameters: Parameters,
    /// `AuthenticationType`.
    pub authentication: i32,
}

impl Driver {
    /// Nothing is asked yet: a driver that is not there is found out by the first call.
    pub fn new(path: PathBuf) -> Self {
        Self {
            channel: channel(path.clone()),
            path,
            seen: Arc::default(),
        }
    }

    /// The same driver by a connection of its own.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self {
            channel: channel(self.path.clone()),
            ..self.clone()
        }
    }

    /// For services that the driver has beside COSI's.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// `DriverGetInfo`: the driver's name.
    ///
    /// # Errors
    /// As the driver answers, here and in all of these.
    pub async fn name(&self) -> Result<String, Status> {
        let mut client = IdentityClient::new(self.channel());
        let answer = client.driver_get_info(DriverGetInfoRequest {}).await;
        Ok(self.keep("DriverGetInfo", answer)?.name)
    }

    /// `DriverCreateBucket`.
    ///
    /// # Errors
    /// See [`Driver::name`].
    pub async fn create(
        &self,
        name: &str,
        parameters: &Parameters,
    ) -> Result<DriverCreateBucketResponse, Status> {
        let request = DriverCreateBucketRequest {
            name: name.to_owned(),
            parameters: parameters.clone(),
        };
        let mut client = ProvisionerClient::new(self.channel());
        self.keep(
            "DriverCreateBucket",
            client.driver_create_bucket(request).await,
        )
    }

    /// `DriverDeleteBucket`.
    ///
    /// # Errors
    /// See [`Driver::name`].
    pub async fn delete(&self, id: &str, parameters: &Parameters) -> Result<(), Status> {
        let request = DriverDeleteBucketRequest {
            bucket_id: id.to_owned(),
            delete_context: parameters.clone(),
        };
        let mut client = ProvisionerClient::new(self.channel());
        self.keep(
            "DriverDeleteBucket",
            client.driver_delete_bucket(request).await,
        )
        .map(drop)
    }

    /// `DriverGrantBucketAccess`.
    ///
    /// # Errors
    /// See [`Driver::name`].
    pub async fn grant(&self, access: &Access) -> Result<DriverGrantBucketAccessResponse, Status> {
        let request = DriverGrantBucketAccessRequest {
            bucket_id: access.bucket.clone(),
            name: access.name.clone(),
            authentication_type: access.authentication,
            parameters: access.parameters.clone(),
        };
        let mut client = ProvisionerClient::new(self.channel());
        let answer = client.driver_grant_bucket_access(request).await;
        let granted = self.keep("DriverGrantBucketAccess", answer)?;
        self.remember(&granted);
        Ok(granted)
    }

    /// `DriverRevokeBucketAccess`.
    ///
    /// # Errors
    /// See [`Driver::name`].
    pub async fn revoke(&self, bucket: &str, account: &str) -> Result<(), Status> {
        let request = DriverRevokeBucketAccessRequest {
            bucket_id: bucket.to_owned(),
            account_id: account.to_owned(),
            revoke_access_context: Parameters::new(),
        };
        let mut client = ProvisionerClient::new(self.channel());
        let answer = client.driver_revoke_bucket_access(request).await;
        self.keep("DriverRevokeBucketAccess", answer).map(drop)
    }

    /// All that was refused so far, with the method.
    pub fn refusals(&self) -> Vec<(&'static str, Status)> {
        self.seen.lock().refusals.clone()
    }

    /// All secrets that were granted so far.
    pub fn secrets(&self) -> Vec<String> {
        self.seen.lock().secrets.iter().cloned().collect()
    }

    fn keep<T>(
        &self,
        method: &'static str,
        answer: Result<tonic::Response<T>, Status>,
    ) -> Result<T, Status> {
        let status = match answer {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => status,
        };
        if let Some(why) = status.source() {
            // Not the driver's word: upstream's clients call a connection that broke UNAVAILABLE.
            return Err(Status::unavailable(format!("the connection broke: {why}")));
        }
        self.seen.lock().refusals.push((method, status.clone()));
        Err(status)
    }

    fn remember(&self, granted: &DriverGrantBucketAccessResponse) {
        let details = granted.credentials.values();
        let secrets = details.filter_map(|it| it.secrets.get("accessSecretKey"));
        let secrets = secrets.filter(|it| !it.is_empty()).cloned();
        self.seen.lock().secrets.extend(secrets);
    }
}

/// Whether a driver asks to be asked again.
pub fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Aborted | Code::Unavailable | Code::DeadlineExceeded
    )
}

fn channel(path: PathBuf) -> Channel {
    let connect = move |_| {
        let path = path.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    };
    // Where it is, says the connector; the name is what upstream's clients send.
    Endpoint::from_static("http://localhost")
        .connect_with_connector_lazy(tower::service_fn(connect))
}
