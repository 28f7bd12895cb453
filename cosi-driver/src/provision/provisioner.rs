//! The provisioner and its settings.

use std::{fmt, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::sync::OnceCell;

use super::{BucketInfo, ProvisionError, fault::failed, locks::Locks};
use crate::{
    backend::{Backend, Caller},
    parameters::EndpointKind,
};

/// How long one call may delete what is in a bucket before it says that it goes on.
const PATIENCE: Duration = Duration::from_secs(20);

/// What holds for everything that is provisioned.
#[derive(Clone, Debug)]
pub struct ProvisionSettings {
    /// The driver's name. Buckets and accounts of another one are not touched.
    pub driver: String,
    /// The server as clients reach it: `http(s)://host[:port]`.
    pub endpoint: String,
    /// The same from outside the cluster, for classes with `endpoint: external`.
    pub external_endpoint: Option<String>,
    /// The server's region.
    pub region: String,
    /// Authorities that have signed the server's certificate, PEM, for clients.
    pub ca: Option<String>,
    /// Who vouches for service accounts.
    pub oidc: Option<OidcProvider>,
    /// How long one call may delete what is in a bucket.
    pub patience: Duration,
    /// The time.
    pub now: fn() -> OffsetDateTime,
}

/// An `OpenID` provider that the server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcProvider {
    /// `https://…`.
    pub url: String,
    /// What tokens must be for.
    pub audience: String,
}

impl Default for ProvisionSettings {
    fn default() -> Self {
        Self {
            driver: "cosi.larder.dev".to_owned(),
            endpoint: "http://127.0.0.1:9000".to_owned(),
            external_endpoint: None,
            region: "us-east-1".to_owned(),
            ca: None,
            oidc: None,
            patience: PATIENCE,
            now: OffsetDateTime::now_utc,
        }
    }
}

/// Makes buckets and accounts. Cheap to clone: all clones are the same.
#[derive(Clone)]
pub struct Provisioner {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) settings: ProvisionSettings,
    /// One call at a time for each bucket and account; calls of other processes are harmless too, but may be in vain.
    pub(super) locks: Locks,
    caller: OnceCell<Caller>,
}

impl fmt::Debug for Provisioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provisioner")
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}

impl Provisioner {
    /// A provisioner on a backend; nothing is asked yet.
    pub fn new(backend: Arc<dyn Backend>, settings: ProvisionSettings) -> Self {
        let inner = Inner {
            backend,
            settings,
            locks: Locks::default(),
            caller: OnceCell::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What holds for everything.
    pub fn settings(&self) -> &ProvisionSettings {
        &self.inner.settings
    }

    /// Whether the server answers, and takes the driver's credentials.
    ///
    /// # Errors
    /// [`ProvisionError::Denied`], [`ProvisionError::Unavailable`].
    pub async fn check(&self) -> Result<Caller, ProvisionError> {
        self.inner.backend.caller().await.map_err(failed)
    }

    /// What the server's clock shows, to the second; `None` where it does not say.
    ///
    /// # Errors
    /// [`ProvisionError::Unavailable`].
    pub async fn server_date(&self) -> Result<Option<OffsetDateTime>, ProvisionError> {
        self.inner.backend.date().await.map_err(failed)
    }
}

impl Inner {
    pub(super) fn now(&self) -> OffsetDateTime {
        (self.settings.now)()
    }

    /// Who the driver is; asked once.
    pub(super) async fn caller(&self) -> Result<&Caller, ProvisionError> {
        let asked = self.caller.get_or_try_init(|| self.backend.caller());
        asked.await.map_err(failed)
    }

    /// Where a bucket is.
    pub(super) fn info(&self, id: &str, from: EndpointKind) -> Result<BucketInfo, ProvisionError> {
        let endpoint = match from {
            EndpointKind::Internal => &self.settings.endpoint,
            EndpointKind::External => self.settings.external_endpoint.as_ref().ok_or_else(|| {
                ProvisionError::Invalid(
                    "endpoint: external needs to be told to the driver: --external-endpoint (LARDER_COSI_EXTERNAL_ENDPOINT)".to_owned(),
                )
            })?,
        };
        Ok(BucketInfo {
            id: id.to_owned(),
            endpoint: endpoint.clone(),
            region: self.settings.region.clone(),
        })
    }
}
