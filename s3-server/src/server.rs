//! `larder server` from settings to the last connection.
//!
//! Order: credentials of the environment, socket, store, credentials of the disks, then S3 is
//! served. Health checks are answered from the moment the socket is bound.

mod keys;
mod logs;
mod progress;
mod storage;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use larder_storage::{
    clock::{Clock, SystemClock},
    disk::OpenOptions,
    meta::view::READS_IN_PLACE,
    open::OpenSettings,
    rng::{Rng, SystemRng},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    accounts::{self, Accounts},
    app::{App, AppParts},
    audit::AuditLog,
    banner::Banner,
    config::{ConfigError, Oidc, Settings},
    credentials::{self, CredentialsError, FILE_NAME, Origin, Root},
    hash::Md5Lanes,
    http::{Deadlines, Limits, Listener, Service, Socket, stopper},
    iam,
    keyring::{self, MasterKey, SourceError},
    kms::{Kms, KmsSetupError},
    notify::{self, Notify},
    sigv4::Secret,
    tls::{Tls, TlsError},
    watched::{DocumentError, WatchedDocument},
};

/// How often it is written down when access keys were last used. After a crash that is known up to this time before it.
const KEY_USE_INTERVAL: Duration = Duration::from_mins(1);
/// How long tasks that are left may take to end.
const RUNTIME_GRACE: Duration = Duration::from_secs(5);

/// How long it may take to write down which notifications have arrived; those that it is not known of are sent again.
const DELIVERY_GRACE: Duration = Duration::from_secs(2);

/// How long the end of the audit log may take.
const AUDIT_GRACE: Duration = Duration::from_secs(5);

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The log filter is wrong.
    #[error("log-level: {0}")]
    LogLevel(String),
    /// The socket cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The disks cannot be opened.
    #[error("{0}")]
    Open(String),
    /// There are no root credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Certificate or key are wrong.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The file of accounts, or of notification targets, is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The master keys can't be used.
    #[error(transparent)]
    Keys(#[from] SourceError),
    /// The named keys can't be used.
    #[error(transparent)]
    Kms(#[from] KmsSetupError),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system refuses something else.
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub(crate) use progress::progress_shown;

/// What a command that works on the server's disks opens.
///
/// # Errors
/// [`ServerError::Open`].
pub(crate) fn open_settings(
    settings: &Settings,
    disks: OpenOptions,
) -> Result<OpenSettings, ServerError> {
    storage::open_settings(settings, disks)
}

/// Starts logging for such a command.
///
/// # Errors
/// [`ServerError::LogLevel`].
pub(crate) fn start_logs(settings: &Settings) -> Result<(), ServerError> {
    logs::start(settings).map_err(ServerError::LogLevel)
}

/// Serves until SIGTERM or SIGINT. The banner goes to `out`.
///
/// # Errors
/// [`ServerError`]: the server could not start; the operator corrects what it names.
pub fn run(settings: Settings, out: &mut (dyn Write + Send)) -> Result<(), ServerError> {
    logs::start(&settings).map_err(ServerError::LogLevel)?;
    // A metadata view that hangs may catch some threads: so many more are there than are needed.
    let cores = std::thread::available_parallelism()?.get();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores + READS_IN_PLACE)
        .enable_all()
        .build()?;
    let ran = runtime.block_on(serve(settings, out));
    runtime.shutdown_timeout(RUNTIME_GRACE);
    ran
}

async fn serve(settings: Settings, out: &mut (dyn Write + Send)) -> Result<(), ServerError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let rng: Arc<dyn Rng> = Arc::new(SystemRng);
    let given = Given {
        root: credentials::from_environment(variable)?,
        master_keys: keyring::from_environment(variable)?,
    };
    let metrics_token = credentials::metrics_token(variable)?.map(Secret::new);
    let accounts = Arc::new(Accounts::default());
    let accounts_file = open_accounts(&settings, &accounts)?;
    let tls = open_tls(&settings)?;
    let audit = open_audit(&settings, &clock)?;
    let kms = Kms::open(settings.kms()?, &settings.region, Arc::clone(&clock))?;
    let kms = Arc::new(kms);
    let app = Arc::new(App::new(AppParts {
        region: settings.region.clone(),
        domains: settings.domains.clone(),
        clock: Arc::clone(&clock),
        rng: Arc::clone(&rng),
        md5: Md5Lanes::new()?,
        max_requests: settings.max_requests,
        metrics_token,
        accounts: Arc::clone(&accounts),
        trusted_proxies: settings.proxies()?,
        tls: tls.clone(),
        audit: audit.clone(),
        default_ownership: settings.object_ownership,
        encrypt_all: settings.encrypt_all,
        oidc: Oidc {
            ca_file: settings.oidc_ca_file.clone(),
            http: settings.oidc_http,
        },
        kms: Arc::clone(&kms),
    }));
    let targets_file = open_targets(&settings, &app.notify)?;
    let listener = bind(&settings, tls.clone(), &app).await?;
    let addresses = listener.addresses()?;
    let (stopper, told) = stopper();
    let serving = tokio::spawn(listener.serve(told));
    let opening = open(&settings, given, &app, Arc::clone(&clock), rng);
    let opened = tokio::select! {
        opened = opening => opened?,
        signalled = signalled() => return signalled,
    };
    announce(&settings, &addresses, &opened, out)?;
    let logging = tokio::spawn(log_access(
        Arc::clone(&app),
        settings.access_log_interval.duration(),
    ));
    let noting = tokio::spawn(note_key_uses(Arc::clone(&app)));
    let rewrapping = tokio::spawn(rewrap(Arc::clone(&app)));
    let mut delivering = tokio::spawn(notify::deliver(Arc::clone(&app)));
    let ends = Arc::clone(&clock);
    let watching = [
        Some(tokio::spawn(kms.watch())),
        accounts_file.map(|file| tokio::spawn(file.watch(Arc::clone(&clock)))),
        targets_file.map(|file| tokio::spawn(file.watch(Arc::clone(&clock)))),
        tls.map(|tls| tokio::spawn(tls.watch(clock))),
        audit
            .clone()
            .map(|audit| tokio::spawn(reopen_on_hangup(audit))),
    ];
    signalled().await?;
    for watching in watching.into_iter().flatten() {
        watching.abort();
    }
    tracing::info!("stopping: requests in progress may finish");
    app.stop();
    stopper.stop();
    let cut = serving.await.unwrap_or(0);
    logging.abort();
    noting.abort();
    rewrapping.abort();
    tokio::select! {
        _ = &mut delivering => {}
        () = ends.sleep(DELIVERY_GRACE) => delivering.abort(),
    }
    iam::keep_uses(&app.directory, opened.disks.storage.store()).await;
    app.access_log.flush(opened.disks.storage.store()).await;
    if let Some(audit) = audit {
        drop(tokio::task::spawn_blocking(move || audit.close(AUDIT_GRACE)).await);
    }
    tracing::info!(connections_cut = cut, "stopped");
    opened.disks.close().await;
    Ok(())
}

async fn log_access(app: Arc<App>, interval: Duration) {
    if let Ok(store) = app.store() {
        app.access_log.run(store, interval).await;
    }
}

async fn rewrap(app: Arc<App>) {
    app.rewrap.run(&app).await;
}

/// Writes down now and then when access keys of users were last used: requests do not wait for that.
async fn note_key_uses(app: Arc<App>) {
    while let Ok(store) = app.store() {
        app.clock.sleep(KEY_USE_INTERVAL).await;
        iam::keep_uses(&app.directory, store).await;
    }
}

/// The file of accounts, read for the first time: a mistake in it is told before anything starts.
fn open_accounts(
    settings: &Settings,
    accounts: &Arc<Accounts>,
) -> Result<Option<WatchedDocument>, ServerError> {
    let path = settings.accounts.as_ref();
    let opened = path.map(|path| accounts::open_file(path, accounts));
    Ok(opened.transpose()?)
}

/// The file of notification targets, likewise.
fn open_targets(
    settings: &Settings,
    notify: &Arc<Notify>,
) -> Result<Option<WatchedDocument>, ServerError> {
    let path = settings.notify_targets.as_ref();
    let opened = path.map(|path| notify::open_targets(path, notify));
    Ok(opened.transpose()?)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Certificate and key, read for the first time.
fn open_tls(settings: &Settings) -> Result<Option<Arc<Tls>>, ServerError> {
    let opened = settings.tls()?.map(Tls::open).transpose()?;
    Ok(opened.map(Arc::new))
}

/// Where requests are logged.
fn open_audit(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<AuditLog>>, ServerError> {
    let Some(audit) = settings.audit() else {
        return Ok(None);
    };
    let path = audit.path.clone();
    let opened = AuditLog::open(audit, Arc::clone(clock));
    let opened = opened.map_err(|source| ServerError::Write { path, source })?;
    Ok(Some(Arc::new(opened)))
}

/// SIGHUP is how others say that they have moved the file away.
async fn reopen_on_hangup(audit: Arc<AuditLog>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        return;
    };
    while hangup.recv().await.is_some() {
        audit.reopen();
    }
}

async fn bind(
    settings: &Settings,
    tls: Option<Arc<Tls>>,
    app: &Arc<App>,
) -> Result<Listener, ServerError> {
    let plain = settings
        .http_listen
        .map(|address| Socket { address, tls: None });
    let address = settings.listen;
    let sockets = [Some(Socket { address, tls }), plain];
    let limits = Limits {
        connections: settings.max_connections,
        grace: settings.stop_grace.duration(),
    };
    let deadlines = Deadlines {
        stall: settings.client_timeout.duration(),
        header: settings.idle_timeout.duration(),
    };
    let service = Service::new(Arc::clone(app), deadlines);
    let bound = Listener::bind(sockets.into_iter().flatten().collect(), service, limits).await;
    bound.map_err(|(address, source)| ServerError::Listen { address, source })
}

/// The secrets that the operator gave.
#[derive(Debug)]
struct Given {
    root: Option<Root>,
    master_keys: Vec<MasterKey>,
}

/// What is known once the disks are open.
#[derive(Debug)]
struct Opened {
    disks: storage::Disks,
    origin: Origin,
}

async fn open(
    settings: &Settings,
    given: Given,
    app: &App,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
) -> Result<Opened, ServerError> {
    let disks = storage::open(settings, Arc::clone(&clock), Arc::clone(&rng)).await?;
    match let_in(settings, given, app, &disks, (&*clock, &*rng)).await {
        Ok(origin) => Ok(Opened { disks, origin }),
        Err(error) => {
            disks.close().await;
            Err(error)
        }
    }
}

/// Finds the secrets that go with what the disks hold, and lets requests in.
async fn let_in(
    settings: &Settings,
    given: Given,
    app: &App,
    disks: &storage::Disks,
    (clock, rng): (&dyn Clock, &dyn Rng),
) -> Result<Origin, ServerError> {
    let good = disks.good_directories(&settings.data);
    let store = disks.storage.store();
    let places = keys::Places {
        directories: &good,
        patience: settings.disk_timeout.duration(),
        parity: usize::from(disks.profile.parity),
    };
    let keyring = keys::open(given.master_keys, &places, store).await?;
    let (root, origin) = root_credentials(settings, &good, given.root, clock, rng)?;
    let stored = store.accounts().await;
    app.accounts.set_stored(
        stored.map_err(|error| ServerError::Open(error.to_string()))?,
        &keyring,
    );
    let identities = app.directory.load(store, &keyring).await;
    identities.map_err(|error| ServerError::Open(error.to_string()))?;
    let recalled = app.rewrap.recall(store).await;
    recalled.map_err(|error| ServerError::Open(error.to_string()))?;
    app.open(Arc::clone(&disks.storage), &root, keyring);
    Ok(origin)
}

/// Kept only once the disks are open: a directory that is empty until then may be a new disk.
fn root_credentials(
    settings: &Settings,
    good: &[PathBuf],
    given: Option<Root>,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<(Root, Origin), ServerError> {
    if let Some(root) = given {
        return Ok((root, Origin::Environment));
    }
    let patience = settings.disk_timeout.duration();
    let (root, origin) = match credentials::kept(good, patience)? {
        Some((root, path)) => (root, Origin::Kept(path)),
        None => (
            credentials::make_up(rng, clock.unix_millis()),
            Origin::MadeUp,
        ),
    };
    credentials::keep(&root, good, patience)?;
    Ok((root, origin))
}

fn announce(
    settings: &Settings,
    addresses: &[SocketAddr],
    opened: &Opened,
    out: &mut (dyn Write + Send),
) -> Result<(), ServerError> {
    let credentials_file = match &opened.origin {
        Origin::Environment => None,
        Origin::Kept(path) => Some(path.clone()),
        Origin::MadeUp => settings.data.first().map(|dir| dir.join(FILE_NAME)),
    };
    let banner = Banner {
        addresses,
        is_secure: settings.tls_cert.is_some(),
        profile: &opened.disks.profile.to_string(),
        parity: opened.disks.profile.parity,
        region: &settings.region,
        disks: &settings.data,
        origin: &opened.origin,
        credentials_file,
    };
    out.write_all(banner.text().as_bytes())?;
    out.flush()?;
    match &settings.address_file {
        Some(path) => write_addresses(path, addresses),
        None => Ok(()),
    }
}

/// Written aside and renamed, so that whoever waits for the file never reads half of it.
fn write_addresses(path: &Path, addresses: &[SocketAddr]) -> Result<(), ServerError> {
    let failed = |source| ServerError::Write {
        path: path.to_owned(),
        source,
    };
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let lines: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    std::fs::write(&aside, lines.join("\n") + "\n").map_err(failed)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a hint for scripts need not survive power loss"
    )]
    std::fs::rename(&aside, path).map_err(failed)
}

async fn signalled() -> Result<(), ServerError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
