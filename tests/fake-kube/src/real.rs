//! The real API server with its etcd, where programs are given, for the same tests.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use kube::api::{Api, DynamicObject, PostParams};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{FakeKube, Options};

/// What tests run against: the real API server where `KUBE_APISERVER` and `ETCD` name its programs, and the fake one otherwise.
#[derive(Debug)]
pub enum ApiServer {
    /// In this process.
    Fake(FakeKube),
    /// Processes of its own.
    Real(Box<RealKube>),
}

impl ApiServer {
    /// Starts the one or the other with COSI's kinds, and says which.
    ///
    /// # Errors
    /// Where it doesn't start.
    pub async fn start() -> io::Result<Self> {
        let programs = (std::env::var_os("KUBE_APISERVER"), std::env::var_os("ETCD"));
        let server = match programs {
            (Some(api_server), Some(etcd)) => Self::Real(Box::new(
                RealKube::start(api_server.as_ref(), etcd.as_ref()).await?,
            )),
            _ => Self::Fake(FakeKube::start(Options::default()).await?),
        };
        server.announce();
        Ok(server)
    }

    #[expect(
        clippy::print_stderr,
        reason = "whoever reads the tests' output must see what they ran against"
    )]
    fn announce(&self) {
        eprintln!("API server: {}", self.kind());
    }

    /// `fake` or `real`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fake(_) => "fake",
            Self::Real(_) => "real",
        }
    }

    /// The fake server, where it is one: only that can be told to fail, and knows what was asked.
    pub fn fake(&self) -> Option<&FakeKube> {
        match self {
            Self::Fake(server) => Some(server),
            Self::Real(_) => None,
        }
    }

    /// What a client of its administrator is configured with.
    pub fn config(&self) -> kube::Config {
        match self {
            Self::Fake(server) => server.config(),
            Self::Real(server) => server.config(),
        }
    }

    /// A client who may do everything.
    ///
    /// # Errors
    /// Where there is no such client.
    pub fn client(&self) -> kube::Result<kube::Client> {
        kube::Client::try_from(self.config())
    }

    /// Writes a kubeconfig for its administrator.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write_kubeconfig(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Fake(server) => server.write_kubeconfig(path),
            Self::Real(server) => std::fs::write(path, server.kubeconfig()),
        }
    }

    /// Whether objects whose owners are gone are removed, and namespaces emptied: the real server leaves that to its controller manager.
    pub fn collects_garbage(&self) -> bool {
        self.fake().is_some()
    }
}

/// A process that ends with its handle.
#[derive(Debug)]
struct Process(Mutex<Child>);

impl Process {
    fn is_running(&self) -> bool {
        self.0.lock().try_wait().is_ok_and(|ended| ended.is_none())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.0.get_mut();
        let _ended = child.kill().and_then(|()| child.wait());
    }
}

/// A running kube-apiserver with its etcd.
#[derive(Debug)]
pub struct RealKube {
    // Processes end before their directory goes.
    api_server: Process,
    _etcd: Process,
    directory: TempDir,
    url: String,
    token: String,
}

impl RealKube {
    /// Starts both programs, on free ports of the loopback interface, and makes COSI's kinds.
    ///
    /// # Errors
    /// Where one of them doesn't start, or isn't ready within a minute.
    pub async fn start(api_server: &Path, etcd: &Path) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let at = directory.path();
        let token = crate::json::uuid();
        std::fs::write(
            at.join("tokens.csv"),
            format!("{token},admin,admin,system:masters\n"),
        )?;
        let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
        std::fs::write(at.join("accounts.key"), key.serialize_pem())?;
        std::fs::write(at.join("accounts.pub"), key.public_key_pem())?;
        let [clients, peers, port] = [free_port()?, free_port()?, free_port()?];
        let etcd = start_etcd(etcd, at, clients, peers)?;
        let server = Self {
            api_server: start_api_server(api_server, at, clients, port)?,
            _etcd: etcd,
            directory,
            url: format!("https://127.0.0.1:{port}"),
            token,
        };
        server.wait_and_prepare().await.map_err(io::Error::other)?;
        Ok(server)
    }

    fn config(&self) -> kube::Config {
        let mut config = kube::Config::new(self.url.parse().unwrap_or_default());
        config.accept_invalid_certs = true;
        config.auth_info.token = Some(self.token.clone().into());
        "default".clone_into(&mut config.default_namespace);
        config
    }

    fn kubeconfig(&self) -> String {
        crate::kubeconfig(&self.url)
            .replace("}}]\nusers", ", insecure-skip-tls-verify: true}}]\nusers")
            .replace("user: {}", &format!("user: {{token: {:?}}}", self.token))
    }

    async fn wait_and_prepare(&self) -> Result<(), String> {
        let client = kube::Client::try_from(self.config()).map_err(|error| error.to_string())?;
        let ready = http::Request::get("/readyz")
            .body(Vec::new())
            .map_err(|error| error.to_string())?;
        until("the API server is not ready", async || {
            !self.api_server.is_running() || client.request_text(ready.clone()).await.is_ok()
        })
        .await?;
        if !self.api_server.is_running() {
            let log = std::fs::read_to_string(self.directory.path().join("api-server.log"));
            let last = log.unwrap_or_default();
            return Err(format!(
                "the API server ended: {}",
                last.lines().last().unwrap_or_default()
            ));
        }
        for mut definition in crate::cosi::definitions() {
            definition["apiVersion"] = json!("apiextensions.k8s.io/v1");
            definition["kind"] = json!("CustomResourceDefinition");
            create_definition(&client, &definition).await?;
        }
        Ok(())
    }
}

async fn create_definition(client: &kube::Client, definition: &Value) -> Result<(), String> {
    let resource = kube::api::ApiResource {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let object: DynamicObject =
        serde_json::from_value(definition.clone()).map_err(|error| error.to_string())?;
    api.create(&PostParams::default(), &object)
        .await
        .map_err(|error| error.to_string())?;
    let name = object.metadata.name.unwrap_or_default();
    let plural = name.split('.').next().unwrap_or_default();
    let list = http::Request::get(format!("/apis/objectstorage.k8s.io/v1alpha1/{plural}"))
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    until("a kind is not served", async || {
        client.request_text(list.clone()).await.is_ok()
    })
    .await
}

async fn until(problem: &str, holds: impl AsyncFn() -> bool) -> Result<(), String> {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..600 {
        if holds().await {
            return Ok(());
        }
        ticks.tick().await;
    }
    Err(problem.to_owned())
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn start(command: &mut Command, log: PathBuf) -> io::Result<Process> {
    let log = std::fs::File::create(log)?;
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(Process(Mutex::new(child)))
}

fn start_etcd(program: &Path, at: &Path, clients: u16, peers: u16) -> io::Result<Process> {
    let (clients, peers) = (
        format!("http://127.0.0.1:{clients}"),
        format!("http://127.0.0.1:{peers}"),
    );
    let mut command = Command::new(program);
    command
        .args(["--name=tests", "--unsafe-no-fsync"])
        .arg("--data-dir")
        .arg(at.join("etcd"));
    command.args([
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
    ]);
    command.args([
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=tests={peers}"),
    ]);
    start(&mut command, at.join("etcd.log"))
}

fn start_api_server(program: &Path, at: &Path, etcd: u16, port: u16) -> io::Result<Process> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", at.join(name).display());
    let mut command = Command::new(program);
    command.args([
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--secure-port={port}"),
        file("cert-dir", "certificates"),
        file("token-auth-file", "tokens.csv"),
        file("service-account-key-file", "accounts.pub"),
        file("service-account-signing-key-file", "accounts.key"),
        format!("--service-account-issuer=https://127.0.0.1:{port}"),
    ]);
    command.args([
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/24",
    ]);
    // There is no controller manager that would make service accounts.
    command.args([
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
    ]);
    start(&mut command, at.join("api-server.log"))
}
