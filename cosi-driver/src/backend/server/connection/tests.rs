use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread::JoinHandle,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa};

use super::*;
use crate::backend::{
    Backend as _, ServerBackend,
    server::testing::settings,
    world::{ServerWorld, TlsPair, World as _},
};

fn pair() -> KeyPair {
    KeyPair {
        access_key: "id".to_owned(),
        secret_key: zeroize::Zeroizing::new("very secret".to_owned()),
    }
}

fn at(endpoint: &str) -> Result<Connection, SettingsError> {
    Connection::new(settings(endpoint, &pair(), None))
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

/// A certificate for 127.0.0.1, and the authority that signed it.
fn certificate(directory: &std::path::Path) -> TlsPair {
    let path = |name: &str| directory.join(name);
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().unwrap());
    let authority = authority.unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    std::fs::write(path("ca.crt"), authority.pem()).unwrap();
    std::fs::write(path("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(path("tls.key"), key.serialize_pem()).unwrap();
    TlsPair {
        certificate: path("tls.crt"),
        key: path("tls.key"),
        authority: path("ca.crt"),
    }
}

#[tokio::test]
async fn a_server_with_tls_is_trusted_by_its_authority_and_by_it_alone() {
    let directory = tempfile::tempdir().unwrap();
    let tls = certificate(directory.path());
    let Some(world) = ServerWorld::start_with(Some(&tls)).await else {
        return;
    };
    assert!(world.endpoint.starts_with("https://"));
    world.backend().caller().await.unwrap();
    let stranger = ServerBackend::new(settings(&world.endpoint, &world.root, None)).unwrap();
    let message = stranger.caller().await.unwrap_err().to_string();
    assert!(message.contains("LARDER_COSI_CA_FILE"), "{message}");
    let plain = world.endpoint.replace("https:", "http:");
    let plain = ServerBackend::new(settings(&plain, &world.root, None)).unwrap();
    plain.caller().await.unwrap_err();
    for wrong in ["none", "tls.key"] {
        let file = directory.path().join(wrong);
        let refused = ServerBackend::new(settings(&world.endpoint, &world.root, Some(&file)));
        assert!(refused.unwrap_err().to_string().contains(wrong));
    }
}

#[tokio::test]
async fn a_key_that_was_replaced_is_read_again_when_it_is_refused() {
    let Some(world) = ServerWorld::start().await else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "of-yesterday").unwrap();
    let variable = |name: &str| match name {
        "LARDER_COSI_ACCESS_KEY" => Some(world.root.access_key.clone()),
        "LARDER_COSI_SECRET_KEY_FILE" => Some(file.to_str().unwrap().to_owned()),
        _ => None,
    };
    let settings = ServerSettings {
        credentials: CredentialSource::of_environment(variable).unwrap(),
        ..settings(&world.endpoint, &world.root, None)
    };
    let backend = ServerBackend::new(settings).unwrap();
    let refused = backend.list_buckets("").await.unwrap_err();
    assert!(
        matches!(refused, BackendError::Denied { .. }),
        "{refused:?}"
    );
    let refused = backend.caller().await.unwrap_err().to_string();
    assert!(refused.contains("LARDER_COSI_ACCESS_KEY"), "{refused}");
    std::fs::write(&file, world.root.secret_key.as_str()).unwrap();
    backend.list_buckets("").await.unwrap();
    backend.caller().await.unwrap();
}
