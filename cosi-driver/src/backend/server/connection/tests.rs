use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread::JoinHandle,
};

use super::*;
use crate::backend::server::testing::settings;

fn pair() -> KeyPair {
    KeyPair {
        access_key: "id".to_owned(),
        secret_key: zeroize::Zeroizing::new("very secret".to_owned()),
    }
}

fn at(endpoint: &str) -> Result<Connection, SettingsError> {
    Connection::new(settings(endpoint, &pair()))
}

/// Answers each connection with one of these, and ends.
fn answering(answers: Vec<&'static str>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let answer = |answer: &str| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 8192];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        };
        answers.into_iter().map(answer).collect()
    };
    (endpoint, std::thread::spawn(serve))
}

const BUSY: &str = "HTTP/1.1 503 Slow Down\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const GOOD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

fn get(path: &str) -> Outgoing<'_> {
    Outgoing {
        service: "s3",
        method: Method::GET,
        path,
        headers: &[],
        body: Bytes::new(),
        subject: "b",
    }
}

#[test]
fn endpoints_have_a_scheme_and_a_host_and_nothing_else() {
    for good in ["http://127.0.0.1:9000", "https://larder.example/"] {
        at(good).unwrap();
    }
    for wrong in [
        "",
        "larder:9000",
        "ftp://larder",
        "/path",
        "http://larder/path",
        "http://l/?q",
    ] {
        let error = at(wrong).err().unwrap().to_string();
        assert!(error.contains("http://larder:9000"), "{error}");
    }
}

#[tokio::test]
async fn what_passes_is_asked_again() {
    let (endpoint, server) = answering(vec![BUSY, BUSY, GOOD]);
    let answer = at(&endpoint).unwrap().ask(&get("/b")).await;
    assert_eq!(answer.ok().unwrap().body, "ok");
    let requests = server.join().unwrap();
    assert!(
        requests
            .iter()
            .all(|request| request.contains("Credential=id/"))
    );
    assert!(
        requests
            .iter()
            .all(|request| !request.contains("very secret"))
    );
}

#[tokio::test]
async fn what_does_not_pass_is_told() {
    let (endpoint, server) = answering(vec![BUSY, BUSY, BUSY]);
    let answer = at(&endpoint).unwrap().ask(&get("/b")).await;
    let error = answer.err().unwrap();
    assert!(matches!(error, BackendError::Unavailable(_)), "{error}");
    drop(server.join());
    // Nobody listens there any more.
    let connection = at(&endpoint).unwrap();
    let error = connection.ask(&get("/b")).await.err().unwrap();
    let message = error.to_string();
    assert!(message.contains("LARDER_COSI_ENDPOINT"), "{message}");
    assert!(!format!("{connection:?} {error:?}").contains("very secret"));
}
