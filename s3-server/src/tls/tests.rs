use std::{fs, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client};

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Files of a server, signed by `authority`.
fn write_pair(dir: &Path, authority: &Authority) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.signed_by(&key, authority).unwrap();
    fs::write(dir.join("tls.crt"), cert.pem()).unwrap();
    fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
}

fn settings(dir: &Path) -> TlsSettings {
    TlsSettings {
        cert: dir.join("tls.crt"),
        key: dir.join("tls.key"),
        client_ca: None,
        client_auth: ClientAuth::default(),
        min_version: MinVersion::default(),
    }
}

fn server(authority: &Authority) -> (TempDir, Arc<Tls>) {
    let dir = tempfile::tempdir().unwrap();
    write_pair(dir.path(), authority);
    let tls = Tls::open(settings(dir.path())).unwrap();
    (dir, Arc::new(tls))
}

fn client_of(authority: &Authority) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// One side echoes a byte, as long as there are any; answers whether the handshake went well.
async fn connect(
    tls: &Arc<Tls>,
    config: ClientConfig,
) -> (
    std::io::Result<client::TlsStream<TcpStream>>,
    JoinHandle<bool>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Arc::clone(tls);
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = tls.accept(socket).await else {
            return false;
        };
        let mut byte = [0];
        while stream.read_exact(&mut byte).await.is_ok() {
            stream.write_all(&byte).await.unwrap();
        }
        true
    });
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    (connector.connect(name, socket).await, serving)
}

async fn echo(stream: &mut client::TlsStream<TcpStream>) -> std::io::Result<()> {
    let mut byte = [7];
    stream.write_all(&byte).await?;
    stream.read_exact(&mut byte).await.map(drop)
}

fn shown(stream: &client::TlsStream<TcpStream>) -> CertificateDer<'static> {
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    certificates[0].clone().into_owned()
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections() {
    let authority = authority();
    let (dir, tls) = server(&authority);
    let (old, _serving) = connect(&tls, client_of(&authority)).await;
    let mut old = old.unwrap();
    write_pair(dir.path(), &authority);
    tls.look();
    let (new, _serving) = connect(&tls, client_of(&authority)).await;
    let mut new = new.unwrap();
    assert_ne!(shown(&old), shown(&new));
    echo(&mut old).await.unwrap();
    echo(&mut new).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing() {
    let authority = authority();
    let (dir, tls) = server(&authority);
    let cert = fs::read(dir.path().join("tls.crt")).unwrap();
    write_pair(dir.path(), &authority);
    // The key is the new one, the certificate is the old one, and then none at all.
    for wrong in [&cert[..], b"nonsense", b""] {
        fs::write(dir.path().join("tls.crt"), wrong).unwrap();
        tls.look();
        let (stream, _serving) = connect(&tls, client_of(&authority)).await;
        echo(&mut stream.unwrap()).await.unwrap();
    }
    fs::remove_file(dir.path().join("tls.crt")).unwrap();
    tls.look();
    let (stream, _serving) = connect(&tls, client_of(&authority)).await;
    echo(&mut stream.unwrap()).await.unwrap();
}

#[tokio::test]
async fn clients_show_a_certificate_where_they_must() {
    let (authority, stranger) = (authority(), authority());
    let (dir, _) = server(&authority);
    let client_ca = dir.path().join("clients.pem");
    fs::write(&client_ca, authority.pem()).unwrap();
    let signed_by = |issuer: &Authority| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        let cert = params.signed_by(&key, issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![cert.der().clone()],
                key.serialize_der().try_into().unwrap(),
            )
            .unwrap()
    };
    for (client_auth, client, is_let_in) in [
        (ClientAuth::Required, signed_by(&authority), true),
        (ClientAuth::Required, client_of(&authority), false),
        (ClientAuth::Required, signed_by(&stranger), false),
        (ClientAuth::Optional, signed_by(&authority), true),
        (ClientAuth::Optional, client_of(&authority), true),
        (ClientAuth::Optional, signed_by(&stranger), false),
    ] {
        let tls = Tls::open(TlsSettings {
            client_ca: Some(client_ca.clone()),
            client_auth,
            ..settings(dir.path())
        });
        let (stream, serving) = connect(&Arc::new(tls.unwrap()), client).await;
        // With TLS 1.3 a client learns of the refusal only when it reads.
        let echoed = match stream {
            Ok(mut stream) => echo(&mut stream).await.is_ok(),
            Err(_) => false,
        };
        assert_eq!(echoed, is_let_in, "{client_auth:?}");
        assert_eq!(serving.await.unwrap(), is_let_in, "{client_auth:?}");
    }
}

#[tokio::test]
async fn old_versions_are_refused_where_they_should_be() {
    let authority = authority();
    let (dir, _) = server(&authority);
    let old_client = || {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    };
    for (min_version, is_let_in) in [(MinVersion::Tls12, true), (MinVersion::Tls13, false)] {
        let tls = Tls::open(TlsSettings {
            min_version,
            ..settings(dir.path())
        });
        let (stream, _serving) = connect(&Arc::new(tls.unwrap()), old_client()).await;
        assert_eq!(stream.is_ok(), is_let_in, "{min_version:?}");
    }
}

#[test]
fn what_is_wrong_with_the_files_is_said_without_the_key() {
    let authority = authority();
    let (dir, _) = server(&authority);
    let (cert, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    let error = |settings: TlsSettings| Tls::open(settings).unwrap_err().to_string();
    let settings = settings(dir.path());
    let swapped = error(TlsSettings {
        cert: key.clone(),
        ..settings.clone()
    });
    assert!(
        swapped.ends_with("tls.key: no certificate in it (PEM is expected)"),
        "{swapped}"
    );
    let swapped = error(TlsSettings {
        key: cert.clone(),
        ..settings.clone()
    });
    assert!(
        swapped.contains("tls.crt: no private key in it"),
        "{swapped}"
    );
    let pem = KeyPair::generate().unwrap().serialize_pem();
    fs::write(&key, &pem).unwrap();
    let other = error(settings.clone());
    assert!(
        other.ends_with("the key is another certificate's"),
        "{other}"
    );
    fs::write(&key, &pem[..60]).unwrap();
    let torn = error(settings.clone());
    assert!(
        torn.contains("no private key in it") && !torn.contains(&pem[30..60]),
        "{torn}"
    );
    fs::remove_file(&key).unwrap();
    assert!(error(settings).contains("No such file"));
}

#[test]
fn when_the_certificate_expires_is_known() {
    let authority = authority();
    let (dir, tls) = server(&authority);
    let far = tls.expiry_unix_seconds().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let cert = params.signed_by(&key, &authority).unwrap();
    fs::write(dir.path().join("tls.crt"), cert.pem()).unwrap();
    fs::write(dir.path().join("tls.key"), key.serialize_pem()).unwrap();
    tls.look();
    assert_eq!(tls.expiry_unix_seconds(), Some(1_893_456_000));
    assert_ne!(far, 1_893_456_000);
}
