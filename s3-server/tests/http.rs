//! The HTTP side on a real socket, without a store: limits, health, refusals, stopping.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use larder_server::{
    access::Ownership,
    app::{App, AppParts},
    hash::Md5Lanes,
    http::{Deadlines, Limits, Listener, Service, Socket, Stopper, TrustedProxies, stopper},
    kms::{Kms, KmsSettings},
};
use larder_storage::{clock::SystemClock, rng::SeededRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

struct Server {
    address: SocketAddr,
    stopper: Stopper,
    serving: JoinHandle<usize>,
}

async fn start(max_requests: usize, connections: usize) -> Server {
    let deadlines = Deadlines {
        stall: Duration::from_secs(30),
        header: Duration::from_mins(1),
    };
    start_with(max_requests, connections, deadlines).await
}

async fn start_with(max_requests: usize, connections: usize, deadlines: Deadlines) -> Server {
    let kms = Kms::open(KmsSettings::default(), "us-east-1", Arc::new(SystemClock));
    let app = App::new(AppParts {
        region: "us-east-1".to_owned(),
        domains: Vec::new(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SeededRng::new(1)),
        md5: Md5Lanes::new().unwrap(),
        max_requests,
        metrics_token: None,
        accounts: Arc::default(),
        trusted_proxies: TrustedProxies::default(),
        tls: None,
        audit: None,
        default_ownership: Ownership::default(),
        encrypt_all: false,
        oidc: larder_server::config::Oidc::default(),
        kms: Arc::new(kms.unwrap()),
    });
    let limits = Limits {
        connections,
        grace: Duration::from_secs(5),
    };
    let socket = Socket {
        address: "127.0.0.1:0".parse().unwrap(),
        tls: None,
    };
    let service = Service::new(Arc::new(app), deadlines);
    let listener = Listener::bind(vec![socket], service, limits).await.unwrap();
    let (stopper, told) = stopper();
    let address = listener.addresses().unwrap()[0];
    Server {
        address,
        stopper,
        serving: tokio::spawn(listener.serve(told)),
    }
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn health_is_answered_before_the_store_is_open_and_readiness_is_not() {
    let server = start(10, 10).await;
    assert!(
        exchange(server.address, &get("/healthz"))
            .await
            .starts_with("HTTP/1.1 200")
    );
    let readiness = exchange(server.address, &get("/readyz")).await;
    assert!(readiness.starts_with("HTTP/1.1 503") && readiness.ends_with("starting\n"));
}

#[tokio::test]
async fn s3_says_that_the_server_is_starting_with_a_request_id_and_xml() {
    let server = start(10, 10).await;
    let answer = exchange(server.address, &get("/bucket/key")).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    for part in [
        "x-amz-request-id: ",
        "server: Larder",
        "date: ",
        "<Code>ServiceUnavailable</Code>",
    ] {
        assert!(answer.contains(part), "{part} is missing in {answer}");
    }
}

#[tokio::test]
async fn one_request_too_many_is_told_to_slow_down() {
    let server = start(0, 10).await;
    let answer = exchange(server.address, &get("/bucket/key")).await;
    assert!(
        answer.contains("<Code>SlowDown</Code>") && answer.contains("retry-after: 1"),
        "{answer}"
    );
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_slow_down() {
    let server = start(10, 1).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("SlowDown"),
        "{answer}"
    );
}

#[tokio::test]
async fn headers_beyond_the_bound_are_refused() {
    let server = start(10, 10).await;
    let padding = "p".repeat(40 << 10);
    let request = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nx-padding: {padding}\r\nconnection: close\r\n\r\n"
    );
    let answer = exchange(server.address, &request).await;
    assert!(
        answer.contains("<Code>RequestHeaderSectionTooLarge</Code>"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_refused_upload_gets_its_answer_though_the_client_sends_on() {
    let server = start(10, 10).await;
    let body = "b".repeat(4 << 20);
    let head = format!(
        "PUT /bucket/key HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let answer = exchange(server.address, &(head + &body)).await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("<Code>"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_refused_without_sending() {
    let server = start(10, 10).await;
    let head = "PUT /bucket/key HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999\r\n\
                expect: 100-continue\r\nconnection: close\r\n\r\n";
    let answer = exchange(server.address, head).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

#[tokio::test]
async fn connections_that_ask_for_nothing_are_closed() {
    let deadlines = Deadlines {
        stall: Duration::from_secs(30),
        header: Duration::from_millis(50),
    };
    let server = start_with(10, 10, deadlines).await;
    let health = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for sent in ["", "G", &health[..30], "PRI * HTTP", health] {
        // Returns only because the server closes.
        let answer = exchange(server.address, sent).await;
        let is_asked = sent == health;
        assert_eq!(
            answer.starts_with("HTTP/1.1 200"),
            is_asked,
            "{sent}: {answer}"
        );
    }
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_refuses_new_ones() {
    let server = start(10, 10).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();
    server.stopper.stop();
    assert_eq!(server.serving.await.unwrap(), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn an_answer_without_the_expected_continue_ends_the_connection() {
    let server = start(10, 10).await;
    for length in [0, 10] {
        let request = format!(
            "PUT /bucket/key HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        );
        // Returns only because the server closes.
        let answer = exchange(server.address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}
