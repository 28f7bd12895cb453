//! A driver's socket: calls as the sidecar makes them, and what came of each, kept for checks of all of them together.

mod v1alpha2;

use std::{collections::BTreeSet, error::Error as _, path::PathBuf, sync::Arc};

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::UnixStream;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

pub use self::v1alpha2::Answer as AnswerV1Alpha2;
use crate::{
    grpc::pb::{
        r3::access_mode::Mode,
        v1alpha1::{
            AuthenticationType, DriverCreateBucketRequest, DriverCreateBucketResponse,
            DriverDeleteBucketRequest, DriverGetInfoRequest, DriverGrantBucketAccessRequest,
            DriverGrantBucketAccessResponse, DriverRevokeBucketAccessRequest,
            identity_client::IdentityClient, provisioner_client::ProvisionerClient,
        },
        v1alpha2::{ObjectProtocolAndBucketInfo, object_protocol},
    },
    provision::Parameters,
};

/// Which version of COSI is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Api {
    /// The released one.
    #[default]
    V1alpha1,
    /// The unreleased one, in its revision R3.
    V1alpha2,
}

/// A driver that is reached by its socket. Cheap to clone; a clone has the same connection.
#[derive(Clone, Debug)]
pub struct Driver {
    path: PathBuf,
    api: Api,
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
    /// To which buckets; v1alpha1 has one.
    pub buckets: Vec<String>,
    /// The account's name.
    pub name: String,
    /// Of the class.
    pub parameters: Parameters,
    /// `AuthenticationType`: both versions have the same numbers.
    pub authentication: i32,
    /// What may be done with objects, and by which protocol, where the version says it here.
    pub mode: Option<Mode>,
    /// See `mode`.
    pub protocol: i32,
}

impl Access {
    /// To one bucket, by key.
    pub fn new(bucket: &str, name: &str) -> Self {
        Self {
            buckets: vec![bucket.to_owned()],
            name: name.to_owned(),
            parameters: Parameters::new(),
            authentication: AuthenticationType::Key.into(),
            mode: Some(Mode::ReadWrite),
            protocol: object_protocol::Type::S3.into(),
        }
    }

    fn bucket(&self) -> String {
        self.buckets.first().cloned().unwrap_or_default()
    }
}

/// A bucket that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// By which later calls name it.
    pub id: String,
    /// Where it is, where the version says it here.
    pub info: Option<ObjectProtocolAndBucketInfo>,
}

/// An access that was granted, as the driver says it.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Of v1alpha1.
    V1Alpha1(DriverGrantBucketAccessResponse),
    /// Of v1alpha2.
    V1Alpha2(Box<AnswerV1Alpha2>),
}

impl Answer {
    /// By which it is revoked.
    pub fn account(&self) -> &str {
        match self {
            Self::V1Alpha1(answer) => &answer.account_id,
            Self::V1Alpha2(answer) => &answer.account,
        }
    }
}

impl Driver {
    /// Nothing is asked yet: a driver that is not there is found out by the first call.
    pub fn new(path: PathBuf, api: Api) -> Self {
        Self {
            channel: channel(path.clone()),
            path,
            api,
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
        if self.api == Api::V1alpha2 {
            return Ok(self.identity().await?.name);
        }
        let mut client = IdentityClient::new(self.channel());
        let answer = client.driver_get_info(DriverGetInfoRequest {}).await;
        Ok(self.keep("DriverGetInfo", answer)?.name)
    }

    /// A bucket of this name: `DriverCreateBucket`, in v1alpha2 after `DriverGenerateBucketId`.
    ///
    /// # Errors
    /// See [`Driver::name`].
    pub async fn create(&self, name: &str, parameters: &Parameters) -> Result<Created, Status> {
        if self.api == Api::V1alpha2 {
            let id = self.generate_bucket(name, parameters).await?;
            return self.create_of(&id, parameters).await;
        }
        let made = self.create_v1alpha1(name, parameters).await?;
        Ok(Created {
            id: made.bucket_id,
            info: None,
        })
    }

    /// `DriverCreateBucket` of v1alpha1.
    ///
    /// # Errors
    /// See [`Driver::name`].
    pub async fn create_v1alpha1(
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
        if self.api == Api::V1alpha2 {
            return self.delete_v1alpha2(id, parameters).await;
        }
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

    /// Access: `DriverGrantBucketAccess`, in v1alpha2 after `DriverGenerateBucketAccessId`.
    ///
    /// # Errors
    /// See [`Driver::name`].
    pub async fn grant(&self, access: &Access) -> Result<Answer, Status> {
        if self.api == Api::V1alpha2 {
            let account = self.generate_account(access).await?;
            let answer = self.grant_of(&account, access).await;
            return answer.map(|answer| Answer::V1Alpha2(Box::new(answer)));
        }
        self.grant_v1alpha1(access).await.map(Answer::V1Alpha1)
    }

    /// `DriverGrantBucketAccess` of v1alpha1.
    ///
    /// # Errors
    /// See [`Driver::name`].
    pub async fn grant_v1alpha1(
        &self,
        access: &Access,
    ) -> Result<DriverGrantBucketAccessResponse, Status> {
        let request = DriverGrantBucketAccessRequest {
            bucket_id: access.bucket(),
            name: access.name.clone(),
            authentication_type: access.authentication,
            parameters: access.parameters.clone(),
        };
        let mut client = ProvisionerClient::new(self.channel());
        let answer = client.driver_grant_bucket_access(request).await;
        let granted = self.keep("DriverGrantBucketAccess", answer)?;
        let details = granted.credentials.values();
        self.remember(details.filter_map(|it| it.secrets.get("accessSecretKey")));
        Ok(granted)
    }

    /// `DriverRevokeBucketAccess`.
    ///
    /// # Errors
    /// See [`Driver::name`].
    pub async fn revoke(&self, bucket: &str, account: &str) -> Result<(), Status> {
        if self.api == Api::V1alpha2 {
            return self.revoke_v1alpha2(bucket, account).await;
        }
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

    fn remember<'a>(&self, secrets: impl Iterator<Item = &'a String>) {
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
