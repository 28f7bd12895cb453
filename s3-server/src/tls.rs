//! TLS of the server's sockets: certificate and key from files, read again when they change.
//!
//! A change is for connections that begin after it; those that are open go on with what they began with. A state of the files that cannot be
//! used is logged, and the one before it stays.
//!
//! Invariant: a private key is in no log, no `Debug` text and no error.

mod client;
mod pem;
mod session;
mod validity;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use larder_storage::clock::Clock;
use parking_lot::{Mutex, RwLock};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion, crypto::CryptoProvider,
    crypto::aws_lc_rs, server::WebPkiClientVerifier, server::danger::ClientCertVerifier, version,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub(crate) use client::{HttpsConnector, client_config, connector};
pub use session::Session;

use validity::Validity;

use crate::{
    http_date,
    watched::{LOOK_EVERY, WatchedFiles},
};

/// HTTP/2 where the client can, HTTP/1.1 otherwise.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The oldest version of TLS that clients may speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    #[value(name = "1.3")]
    Tls13,
}

/// What clients without a certificate are told, where there is an authority for clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// Nothing: they can't connect.
    #[default]
    Required,
    /// They are served as well; a certificate that is shown must be right.
    Optional,
}

/// What TLS is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate and those that lead to its root, PEM, the server's own first.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Authorities whose clients may connect; `None`: clients show no certificate.
    pub client_ca: Option<PathBuf>,
    /// Whether clients must show one.
    pub client_auth: ClientAuth,
    /// The oldest version spoken.
    pub min_version: MinVersion,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or holds something else.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key don't go together, or are of a kind that is not known.
    #[error("certificate {} with key {}: {reason}", cert.display(), key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        reason: String,
    },
    /// The library refuses.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// What connections are accepted with.
pub struct Tls {
    settings: TlsSettings,
    current: RwLock<Arc<Loaded>>,
    watched: Mutex<WatchedFiles>,
}

/// A state of the files that can be used.
struct Loaded {
    config: Arc<ServerConfig>,
    /// `None`: a certificate that the library takes, and whose dates can't be read all the same.
    validity: Option<Validity>,
    /// Whether the log says that the certificate does not hold now.
    is_told: AtomicBool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files for the first time. Blocks.
    ///
    /// # Errors
    /// [`TlsError`]: the operator corrects what it names.
    pub fn open(settings: TlsSettings) -> Result<Self, TlsError> {
        let paths = [
            Some(&settings.cert),
            Some(&settings.key),
            settings.client_ca.as_ref(),
        ];
        let mut watched = WatchedFiles::new(paths.into_iter().flatten().cloned());
        watched.has_changed();
        let current = RwLock::new(Arc::new(load(&settings)?));
        Ok(Self {
            settings,
            current,
            watched: Mutex::new(watched),
        })
    }

    /// Shakes hands with a client. The caller sets the deadline.
    ///
    /// # Errors
    /// The client's fault: it speaks something else, trusts somebody else, or shows no certificate that it should.
    pub(crate) async fn accept<S>(&self, socket: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current.read().config));
        acceptor.accept(socket).await
    }

    /// When the certificate in use expires, in seconds since 1970.
    pub(crate) fn expiry_unix_seconds(&self) -> Option<u64> {
        let until = self.current.read().validity?.until_unix_seconds;
        Some(u64::try_from(until).unwrap_or(0))
    }

    /// Logs, once for each certificate, that it does not hold: it is shown all the same, and clients say the rest.
    pub(crate) fn check_validity(&self, now_unix_millis: u64) {
        let current = Arc::clone(&self.current.read());
        let now = i64::try_from(now_unix_millis / 1000).unwrap_or(i64::MAX);
        let Some((since, what)) = current.validity.and_then(|validity| validity.fault(now)) else {
            return;
        };
        if !current.is_told.swap(true, Ordering::Relaxed) {
            let millis = u64::try_from(since).unwrap_or(0).saturating_mul(1000);
            let (cert, at) = (self.settings.cert.display(), http_date::text(millis));
            tracing::warn!(%cert, "the certificate {what} {at}: clients will refuse it");
        }
    }

    /// Reads the files again whenever one of them has changed, for ever.
    pub async fn watch(self: Arc<Self>, clock: Arc<dyn Clock>) {
        loop {
            self.check_validity(clock.unix_millis());
            clock.sleep(LOOK_EVERY).await;
            let tls = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || tls.look())
                .await
                .is_err()
            {
                return;
            }
        }
    }

    fn look(&self) {
        if !self.watched.lock().has_changed() {
            return;
        }
        match load(&self.settings) {
            Ok(loaded) => {
                *self.current.write() = Arc::new(loaded);
                tracing::info!(cert = %self.settings.cert.display(), "certificate read anew");
            }
            Err(error) => tracing::warn!("{error}; the certificate of before stays in use"),
        }
    }
}

/// Whether a handshake failed because of what the client showed, or did not show.
pub(crate) fn is_about_client_certificate(error: &std::io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(
        error,
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_))
    )
}

/// The one library of primitives.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Whom of the clients to let in by their certificates; `None`: they are asked for none.
fn client_verifier(
    settings: &TlsSettings,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(path) = &settings.client_ca else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    pem::add_roots(&mut roots, path)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = match settings.client_auth {
        ClientAuth::Required => verifier,
        ClientAuth::Optional => verifier.allow_unauthenticated(),
    };
    let built = verifier.build().map_err(|error| TlsError::File {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    Ok(Some(built))
}

fn load(settings: &TlsSettings) -> Result<Loaded, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(settings.min_version))?;
    let builder = match client_verifier(settings)? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let (cert, key) = (pem::certificates(&settings.cert)?, pem::key(&settings.key)?);
    let validity = cert.first().and_then(|cert| Validity::of(cert));
    let built = builder.with_single_cert(cert, key);
    let mut config = built.map_err(|error| TlsError::Pair {
        cert: settings.cert.clone(),
        key: settings.key.clone(),
        reason: match error {
            rustls::Error::InconsistentKeys(_) => "the key is another certificate's".to_owned(),
            other => other.to_string(),
        },
    })?;
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    // Of its own for each state of the files: whoever was let in by an authority that is gone can't come back with a ticket.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Loaded {
        config: Arc::new(config),
        validity,
        is_told: AtomicBool::new(false),
    })
}

static FROM_12: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
static FROM_13: [&SupportedProtocolVersion; 1] = [&version::TLS13];

fn versions(min: MinVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        MinVersion::Tls12 => &FROM_12,
        MinVersion::Tls13 => &FROM_13,
    }
}

#[cfg(test)]
mod tests;
