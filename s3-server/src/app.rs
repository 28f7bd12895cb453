//! What every request shares: the store once it is open, credentials, settings of the protocol.

mod authenticate;

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use larder_storage::{clock::Clock, objects::Store, open::Storage, rng::Rng};
use tokio::sync::{Semaphore, watch};

use crate::{
    access::Ownership,
    access_log::AccessLog,
    accounts::{Account, Accounts},
    audit::AuditLog,
    config::Oidc,
    credentials::{self, Root},
    error::{S3Code, S3Error, S3Result},
    hash::Md5Lanes,
    http::{RequestIds, TrustedProxies},
    iam::{Directory, Issuers},
    keyring::{self, Keyring, Source},
    kms::Kms,
    metrics::Metrics,
    notify::{Notify, ServerHerald},
    rewrap::Rewrap,
    sigv4::{Secret, Verifier},
    tls::Tls,
};

/// Administrators and Prometheuses that are served at a time.
const MAX_ADMIN_REQUESTS: usize = 32;
/// How long a new disk may take for its copy of the credentials.
const KEEPING_TIMEOUT: Duration = Duration::from_secs(10);

/// What an [`App`] is made of.
#[derive(Debug)]
pub struct AppParts {
    /// The region that requests are signed for.
    pub region: String,
    /// Suffixes of host-style addresses.
    pub domains: Vec<String>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// What entity tags are worked out with.
    pub md5: Md5Lanes,
    /// Requests in progress at most.
    pub max_requests: usize,
    /// What a Prometheus shows instead of a signature, if it may.
    pub metrics_token: Option<Secret>,
    /// Who may sign besides the operator.
    pub accounts: Arc<Accounts>,
    /// Proxies that are believed when they say who a client is.
    pub trusted_proxies: TrustedProxies,
    /// What connections are encrypted with, if they are.
    pub tls: Option<Arc<Tls>>,
    /// Where requests are logged, if they are.
    pub audit: Option<Arc<AuditLog>>,
    /// What holds for buckets without ownership controls.
    pub default_ownership: Ownership,
    /// Objects are encrypted whose requests and buckets don't say.
    pub encrypt_all: bool,
    /// How identity providers are asked.
    pub oidc: Oidc,
    /// Keys that are called by name.
    pub kms: Arc<Kms>,
}

/// Shared by all requests. Serves health checks from the start, S3 once [`App::open`] was called.
#[derive(Debug)]
pub struct App {
    pub(crate) region: String,
    pub(crate) domains: Vec<String>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) request_ids: RequestIds,
    pub(crate) requests: Arc<Semaphore>,
    /// As `requests`, for administrators: they are served under overload as well.
    pub(crate) admin_requests: Arc<Semaphore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) metrics_token: Option<Secret>,
    pub(crate) md5: Md5Lanes,
    /// Requests for buckets that log them.
    pub(crate) access_log: AccessLog,
    /// Who may sign; the operator's account once the store is open.
    pub(crate) accounts: Arc<Accounts>,
    /// Users, groups, roles and policies of all accounts.
    pub(crate) directory: Arc<Directory>,
    /// Keys of those who vouch for others.
    pub(crate) issuers: Issuers,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) audit: Option<Arc<AuditLog>>,
    pub(crate) default_ownership: Ownership,
    pub(crate) encrypt_all: bool,
    /// Keys that are called by name.
    pub(crate) kms: Arc<Kms>,
    /// Wraps anew what earlier master keys sealed.
    pub(crate) rewrap: Rewrap,
    /// Who is told of what happens to objects.
    pub(crate) notify: Arc<Notify>,
    max_requests: usize,
    started: Duration,
    stop: watch::Sender<bool>,
    verifier: Verifier,
    opened: OnceLock<Opened>,
}

#[derive(Debug)]
struct Opened {
    storage: Arc<Storage>,
    root: Root,
    keyring: Arc<Keyring>,
}

impl App {
    /// An app without a store.
    pub fn new(parts: AppParts) -> Self {
        Self {
            request_ids: RequestIds::new(&*parts.rng),
            rng: Arc::clone(&parts.rng),
            requests: Arc::new(Semaphore::new(parts.max_requests)),
            admin_requests: Arc::new(Semaphore::new(MAX_ADMIN_REQUESTS)),
            metrics: Arc::default(),
            metrics_token: parts.metrics_token,
            max_requests: parts.max_requests,
            stop: watch::Sender::new(false),
            access_log: AccessLog::new(
                parts.region.clone(),
                Arc::clone(&parts.clock),
                Arc::clone(&parts.rng),
                parts.md5.clone(),
            ),
            md5: parts.md5,
            notify: Arc::new(Notify::new(
                parts.region.clone(),
                Arc::clone(&parts.accounts),
                Arc::clone(&parts.clock),
            )),
            accounts: parts.accounts,
            directory: Arc::default(),
            issuers: Issuers::new(parts.oidc),
            trusted_proxies: parts.trusted_proxies,
            tls: parts.tls,
            audit: parts.audit,
            default_ownership: parts.default_ownership,
            encrypt_all: parts.encrypt_all,
            kms: parts.kms,
            rewrap: Rewrap::default(),
            verifier: Verifier::new(parts.region.clone()),
            region: parts.region,
            domains: parts.domains,
            started: parts.clock.monotonic(),
            clock: parts.clock,
            opened: OnceLock::new(),
        }
    }

    /// How long the server has been up.
    pub fn uptime(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.started)
    }

    /// Starts serving S3 from `store`. Only the first call counts.
    pub fn open(&self, storage: Arc<Storage>, root: &Root, keyring: Keyring) {
        self.accounts.set_root(Account::root(root));
        let keyring = Arc::new(keyring);
        let herald = Arc::new(ServerHerald(Arc::clone(&self.notify)));
        storage.store().set_herald(herald);
        self.access_log
            .seal_with(Arc::clone(&keyring), self.encrypt_all);
        drop(self.opened.set(Opened {
            storage,
            root: root.clone(),
            keyring,
        }));
    }

    /// Keeps credentials and master keys that were made up in the directory of a new disk, too: it may be the last of today's that is
    /// left one day.
    pub async fn keep_credentials(&self, directory: &Path) {
        let Ok(opened) = self.opened() else {
            return;
        };
        let root = Some(opened.root.clone()).filter(|root| root.created_unix_millis > 0);
        let keys = match opened.keyring.source() {
            Source::MadeUp => opened.keyring.keys(),
            Source::Configured => Vec::new(),
        };
        let directories = [directory.to_owned()];
        let work = move || {
            let kept = root.map(|root| credentials::keep(&root, &directories, KEEPING_TIMEOUT));
            let is_kept = kept.is_none_or(|kept| kept.is_ok());
            is_kept & (keys.is_empty() || keyring::keep(&keys, &directories, KEEPING_TIMEOUT) == 1)
        };
        if !matches!(tokio::task::spawn_blocking(work).await, Ok(true)) {
            tracing::warn!(directory = %directory.display(), "credentials or master key not kept here; the other disks have them");
        }
    }

    /// The master keys.
    ///
    /// # Errors
    /// As [`App::store`].
    pub fn keyring(&self) -> S3Result<&Arc<Keyring>> {
        self.opened().map(|opened| &opened.keyring)
    }

    /// The store.
    ///
    /// # Errors
    /// [`S3Code::ServiceUnavailable`] while it is not open yet.
    pub fn store(&self) -> S3Result<&Store> {
        self.storage().map(|storage| storage.store())
    }

    /// What the store is a part of: disks, upkeep.
    ///
    /// # Errors
    /// As [`App::store`].
    pub fn storage(&self) -> S3Result<&Arc<Storage>> {
        self.opened().map(|opened| &opened.storage)
    }

    /// S3 requests in progress.
    pub fn requests_in_progress(&self) -> usize {
        self.max_requests
            .saturating_sub(self.requests.available_permits())
    }

    /// Ends answers that have no end of their own.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Ready once [`App::stop`] was called.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move { drop(stop.wait_for(|stop| *stop).await) }
    }

    fn opened(&self) -> S3Result<&Opened> {
        let starting = "The server is still starting. Please try again.";
        self.opened
            .get()
            .ok_or_else(|| S3Error::with_message(S3Code::ServiceUnavailable, starting))
    }
}
