//! Endpoints of the tests' own, asked by the command line's client over a socket, on a store in temporary directories.

use std::{
    net::SocketAddr,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use larder_storage::{
    clock::SystemClock,
    meta::view::Engine,
    open::{OpenSettings, Storage},
    rng::{Rng, SeededRng},
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::{
    app::AppParts,
    cli::admin_client::{AdminClient, AdminClientError},
    config::DEFAULT_REGION,
    credentials::Root,
    hash::{Md5, Md5Lanes},
    http::{Deadlines, Limits, Listener, Service, Socket, stopper},
    keyring::Keyring,
    kms::{Kms, KmsSettings},
    sigv4::Secret,
};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Echo {
    text: String,
}

/// Whether a [`count`] came to its end, one way or the other.
static COUNT_ENDED: AtomicBool = AtomicBool::new(false);

struct SaysThatItEnded;

impl Drop for SaysThatItEnded {
    fn drop(&mut self) {
        COUNT_ENDED.store(true, Ordering::SeqCst);
    }
}

pub(super) async fn echo(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let echo: Echo = call.body().await?;
    json(&echo)
}

/// Counts to `to`, or for ever.
pub(super) fn count(call: &AdminCall<'_>) -> Response {
    let to = call
        .parameter("to")
        .map_or(u64::MAX, |to| to.parse().unwrap());
    lines(call, move |lines| async move {
        let _ended = SaysThatItEnded;
        for n in 0..to {
            lines.send(&n).await?;
        }
        Err(AdminError::conflict("counted to the end"))
    })
}

struct Server {
    app: Arc<App>,
    address: SocketAddr,
    runtime: Runtime,
    _dirs: Vec<TempDir>,
}

fn root() -> Root {
    Root {
        access_key: "admin".to_owned(),
        secret_key: "12345678".to_owned(),
        created_unix_millis: 0,
    }
}

async fn storage(dirs: &[TempDir]) -> Storage {
    let settings = OpenSettings {
        data: dirs.iter().map(|dir| dir.path().to_owned()).collect(),
        profile: None,
        engine: Engine::Fjall,
        view_dir: None,
        disks: larder_storage::disk::OpenOptions::default(),
        disk_timeout: larder_storage::open::DEFAULT_DISK_TIMEOUT,
        md5: Md5::digest,
    };
    let rng: Arc<dyn Rng> = Arc::new(SeededRng::new(1));
    larder_storage::open::open(settings, Arc::new(SystemClock), rng, Arc::new(|_| {}))
        .await
        .unwrap()
}

fn start() -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let (app, address) = runtime.block_on(serve(&dirs));
    Server {
        app,
        address,
        runtime,
        _dirs: dirs,
    }
}

fn no_named_keys() -> Kms {
    let settings = KmsSettings::default();
    Kms::open(settings, DEFAULT_REGION, Arc::new(SystemClock)).unwrap()
}

async fn serve(dirs: &[TempDir]) -> (Arc<App>, SocketAddr) {
    let app = Arc::new(App::new(AppParts {
        region: DEFAULT_REGION.to_owned(),
        domains: vec!["s3.example".to_owned()],
        clock: Arc::new(SystemClock),
        rng: Arc::new(SeededRng::new(1)),
        md5: Md5Lanes::new().unwrap(),
        max_requests: 0,
        metrics_token: Some(Secret::new("t0ken-of-prometheus")),
        accounts: Arc::default(),
        trusted_proxies: crate::http::TrustedProxies::default(),
        tls: None,
        audit: None,
        default_ownership: crate::access::Ownership::default(),
        encrypt_all: false,
        oidc: crate::config::Oidc::default(),
        kms: Arc::new(no_named_keys()),
    }));
    app.open(
        Arc::new(storage(dirs).await),
        &root(),
        Keyring::made_up().unwrap(),
    );
    let limit = Duration::from_secs(30);
    let deadlines = Deadlines {
        stall: limit,
        header: limit,
    };
    let limits = Limits {
        connections: 10,
        grace: limit,
    };
    let service = Service::new(Arc::clone(&app), deadlines);
    let bound = Listener::bind(
        vec![Socket {
            address: "127.0.0.1:0".parse().unwrap(),
            tls: None,
        }],
        service,
        limits,
    )
    .await;
    let listener = bound.unwrap();
    let address = listener.addresses().unwrap()[0];
    let (stopper, told) = stopper();
    tokio::spawn(async move {
        listener.serve(told).await;
        drop(stopper);
    });
    (app, address)
}

impl Server {
    fn client(&self) -> AdminClient {
        self.client_of(root())
    }

    fn client_of(&self, root: Root) -> AdminClient {
        let endpoint = format!("http://{}", self.address).parse().unwrap();
        AdminClient::with(endpoint, DEFAULT_REGION.to_owned(), root, None).unwrap()
    }

    /// The status line and the whole answer to a request as it is.
    fn exchange(&self, request: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        self.runtime.block_on(async {
            let mut socket = tokio::net::TcpStream::connect(self.address).await.unwrap();
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            answer
        })
    }

    fn get(&self, path: &str, headers: &str) -> String {
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        self.exchange(&(head + headers + "\r\n"))
    }
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, AdminClientError>) -> String {
    match answer.unwrap_err() {
        AdminClientError::Refused(message) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn json_goes_in_and_comes_out() {
    let server = start();
    let echo = Echo {
        text: "ü".to_owned(),
    };
    let answer: Echo = server.client().post("test/echo", &echo).unwrap();
    assert_eq!(answer, echo);
    let status: status::ServerStatus = server.client().get("status").unwrap();
    assert_eq!(status.storage.profile, "1+1");
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let server = start();
    let answer = server.client().post::<Echo>("test/echo", &1);
    assert!(refusal(answer).contains("the body is not as it should be"));
    let answer = server.client().get::<Echo>("test/echo");
    assert!(refusal(answer).contains("asked with POST"));
    let answer = server.client().get::<Echo>("test/nothing");
    assert!(refusal(answer).contains("status, status/watch"));
    let answer = server.client().get::<Echo>("status/watch?interval=soon");
    assert!(refusal(answer).contains("`soon` is no length of time"));
}

#[test]
fn only_root_is_answered() {
    let server = start();
    let mut stranger = root();
    stranger.secret_key.push('!');
    let answer = server.client_of(stranger).get::<Echo>("status");
    assert!(refusal(answer).contains("signature"));
    for path in ["/_larder/v1/status", "/_larder/metrics"] {
        let answer = server.get(path, "");
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(
            answer.contains("needs the signature of the root"),
            "{answer}"
        );
    }
}

#[test]
fn metrics_are_for_the_bearer_of_the_token_and_the_token_for_metrics_only() {
    let server = start();
    let right = "authorization: Bearer t0ken-of-prometheus\r\n";
    let answer = server.get("/_larder/metrics", right);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\nlarder_writable 1\n"), "{answer}");
    for wrong in ["t0ken-of-prometheu", "t0ken-of-prometheusX", ""] {
        let header = format!("authorization: Bearer {wrong}\r\n");
        let answer = server.get("/_larder/metrics", &header);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{wrong}: {answer}");
    }
    let answer = server.get("/_larder/v1/status", right);
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn lines_come_as_they_are_written_and_an_error_is_the_last() {
    let server = start();
    let mut count = 0;
    let ended = server.client().get_lines("test/count?to=1000", |line| {
        assert_eq!(line, format!("{count}\n").as_bytes());
        count += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(
        (count, refusal(ended).as_str()),
        (1000, "counted to the end")
    );
}

#[test]
fn lines_end_when_nobody_reads_them_any_more() {
    let server = start();
    COUNT_ENDED.store(false, Ordering::SeqCst);
    let client = server.client();
    client
        .get_lines("test/count", |_| ControlFlow::Break(()))
        .unwrap();
    drop(client);
    while !COUNT_ENDED.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
}

#[test]
fn lines_end_when_the_server_stops() {
    let server = start();
    let mut stopped = false;
    let ended = server.client().get_lines("test/count", |_| {
        if !std::mem::replace(&mut stopped, true) {
            server.app.stop();
        }
        ControlFlow::Continue(())
    });
    assert!(refusal(ended).contains("the server is stopping"));
}

#[test]
fn a_bucket_in_the_host_makes_every_path_a_key() {
    let server = start();
    let request =
        "GET /_larder/v1/status HTTP/1.1\r\nhost: bucket.s3.example\r\nconnection: close\r\n\r\n";
    let answer = server.exchange(request);
    assert!(answer.contains("<Error>"), "{answer}");
}

#[test]
fn what_the_metadata_may_do_later_is_no_fault_of_the_server() {
    use larder_storage::meta::MetaError;
    let later = AdminError::from(MetaError::Unavailable("the view moves".to_owned()));
    assert_eq!(later.status(), http::StatusCode::SERVICE_UNAVAILABLE);
    assert!(later.message().ends_with("the view moves; try again"));
    let fault = AdminError::from(MetaError::Corrupt("a page".to_owned()));
    assert_eq!(fault.status(), http::StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn a_pass_that_was_promised_is_written_down() {
    let server = start();
    // Nobody works on it here, as after a crash right behind the answer.
    let began: encryption::EncryptionDocument =
        server.client().post("encryption/rewrap", &()).unwrap();
    assert_eq!(began.state, "running");
    let store = server.app.store().unwrap();
    let memory = server.runtime.block_on(store.reseal_memory()).unwrap();
    assert!(memory.is_some_and(|memory| memory.pass.is_some()));
}
