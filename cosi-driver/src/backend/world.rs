//! A backend with applications that use what it has: in memory, or a real server's. For tests.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::{
    Backend, MemoryBackend, ServerBackend,
    server::testing::{App, is_ready, settings},
};
use crate::provision::KeyPair;

/// What the tests need beside the backend.
#[async_trait]
pub(crate) trait World: Send + Sync {
    fn backend(&self) -> Arc<dyn Backend>;
    /// Writes an object.
    async fn put(&self, bucket: &str, key: &str);
    /// Deletes an object without naming a version.
    async fn remove(&self, bucket: &str, key: &str);
    /// Begins an upload.
    async fn begin(&self, bucket: &str, key: &str);
    /// Puts a legal hold on an object, or takes it away.
    async fn hold(&self, bucket: &str, key: &str, is_held: bool);
    /// Whether the server takes this key.
    async fn takes(&self, pair: &KeyPair) -> bool;
}

/// [`MemoryBackend`].
#[derive(Debug, Default)]
pub(crate) struct MemoryWorld(pub(crate) Arc<MemoryBackend>);

#[async_trait]
impl World for MemoryWorld {
    fn backend(&self) -> Arc<dyn Backend> {
        Arc::<MemoryBackend>::clone(&self.0)
    }

    async fn put(&self, bucket: &str, key: &str) {
        self.0.put_object(bucket, key).unwrap();
    }

    async fn remove(&self, bucket: &str, key: &str) {
        self.0.delete_object(bucket, key).unwrap();
    }

    async fn begin(&self, bucket: &str, key: &str) {
        self.0.begin_upload(bucket, key).unwrap();
    }

    async fn hold(&self, bucket: &str, key: &str, is_held: bool) {
        self.0.hold_object(bucket, key, is_held).unwrap();
    }

    async fn takes(&self, pair: &KeyPair) -> bool {
        self.0.user_of_key(&pair.access_key).is_some()
    }
}

/// `larder server` on loopback with one disk, gone when this is dropped.
#[derive(Debug)]
pub(crate) struct ServerWorld {
    pub(crate) endpoint: String,
    pub(crate) root: KeyPair,
    backend: Arc<dyn Backend>,
    app: App,
    process: Child,
    directory: tempfile::TempDir,
}

impl Drop for ServerWorld {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Files of a certificate, its key, and who signed it.
#[derive(Debug)]
pub(crate) struct TlsPair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) authority: PathBuf,
}

const START: Duration = Duration::from_mins(1);

impl ServerWorld {
    /// `None`, and a line that says so, where there is no `larder` to be started.
    ///
    /// # Panics
    /// Where there has to be one (`LARDER_REQUIRE_ALL`), and where it does not start.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(None).await
    }

    /// As [`ServerWorld::start`], speaking TLS where there is a pair.
    pub(crate) async fn start_with(tls: Option<&TlsPair>) -> Option<Self> {
        let Some(binary) = binary() else {
            let what = "no larder to test against: set LARDER_BIN, or cargo build --release";
            assert!(std::env::var_os("LARDER_REQUIRE_ALL").is_none(), "{what}");
            eprintln!("skipped: {what}");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let root = KeyPair {
            access_key: "COSITESTROOT".to_owned(),
            secret_key: Zeroizing::new("cosi/test+secret/root0123456789abcdefgh".to_owned()),
        };
        let mut command = command(&binary, directory.path(), &root);
        if let Some(tls) = tls {
            command.arg("--tls-cert").arg(&tls.certificate);
            command.arg("--tls-key").arg(&tls.key);
        }
        let ca_file = tls.map(|tls| tls.authority.as_path());
        let started = command.spawn();
        let mut process = started.unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let endpoint = until_ready(&mut process, directory.path(), ca_file).await;
        let settings = || settings(&endpoint, &root, ca_file);
        Some(Self {
            backend: Arc::new(ServerBackend::new(settings()).unwrap()),
            app: App::with(settings()),
            endpoint,
            root,
            process,
            directory,
        })
    }

    /// An application with this key.
    pub(crate) fn app(&self, pair: &KeyPair) -> App {
        App::new(&self.endpoint, pair)
    }

    /// The server's log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    async fn root(&self, method: &str, path: &str, body: &str) {
        self.app.send(method, path, body).await.unwrap();
    }
}

fn binary() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("LARDER_BIN") {
        return Some(given.into());
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let mut built = ["release", "debug"].map(|profile| target.join(profile).join("larder"));
    let found = built.iter_mut().find(|path| path.exists())?;
    Some(std::mem::take(found))
}

fn command(binary: &Path, directory: &Path, root: &KeyPair) -> Command {
    let disk = directory.join("disk1");
    std::fs::create_dir(&disk).unwrap();
    let log = std::fs::File::create(directory.join("log")).unwrap();
    let mut command = Command::new(binary);
    command
        .args(["server", "--listen", "127.0.0.1:0", "--region", "us-east-1"])
        .arg("--data")
        .arg(disk)
        .arg("--address-file")
        .arg(directory.join("address"))
        .env("LARDER_ROOT_ACCESS_KEY", &root.access_key)
        .env("LARDER_ROOT_SECRET_KEY", root.secret_key.as_str())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command
}

async fn until_ready(process: &mut Child, directory: &Path, ca_file: Option<&Path>) -> String {
    let scheme = ca_file.map_or("http", |_| "https");
    let log = || std::fs::read_to_string(directory.join("log")).unwrap_or_default();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let ready = async {
        loop {
            ticks.tick().await;
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "larder ends with {ended:?}:\n{}", log());
            let address = std::fs::read_to_string(directory.join("address"));
            let address = address.unwrap_or_default();
            let Some(address) = address.split_whitespace().next() else {
                continue;
            };
            let endpoint = format!("{scheme}://{address}");
            if is_ready(&endpoint, ca_file).await {
                return endpoint;
            }
        }
    };
    tokio::time::timeout(START, ready).await.unwrap()
}

#[async_trait]
impl World for ServerWorld {
    fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend)
    }

    async fn put(&self, bucket: &str, key: &str) {
        self.root("PUT", &format!("/{bucket}/{key}"), "content")
            .await;
    }

    async fn remove(&self, bucket: &str, key: &str) {
        self.root("DELETE", &format!("/{bucket}/{key}"), "").await;
    }

    async fn begin(&self, bucket: &str, key: &str) {
        let path = format!("/{bucket}/{key}");
        self.app.begin_upload(&path).await.unwrap();
    }

    async fn hold(&self, bucket: &str, key: &str, is_held: bool) {
        let status = if is_held { "ON" } else { "OFF" };
        let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
        let path = format!("/{bucket}/{key}?legal-hold=");
        self.root("PUT", &path, &body).await;
    }

    async fn takes(&self, pair: &KeyPair) -> bool {
        let listed = self.app(pair).send("GET", "/", "").await;
        !matches!(listed, Err(code) if code == "InvalidAccessKeyId")
    }
}
