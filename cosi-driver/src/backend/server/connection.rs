//! Requests on their way: signed, bounded in time and size, and sent again where that may help.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, header::DATE, response::Parts};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{
    credentials::{CredentialSource, Identity},
    refusal,
};
use crate::{
    backend::{BackendError, BackendResult},
    pause::pause,
    provision::KeyPair,
};

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// How long one attempt may take. A call of COSI, which makes some, is to be answered within a minute.
const ATTEMPT: Duration = Duration::from_secs(15);
/// What is waited before another attempt.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(600)];

/// Which server, and who the driver is there.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// `http(s)://host[:port]`.
    pub endpoint: String,
    /// The server's region.
    pub region: String,
    /// Authorities besides the system's that may have signed the server's certificate, PEM.
    pub ca_file: Option<PathBuf>,
    /// The driver's key pair.
    pub credentials: CredentialSource,
}

/// Why settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The endpoint is none.
    #[error("the endpoint {0:?} is no http:// or https:// address: write it as http://larder:9000")]
    Endpoint(String),
    /// The file of authorities can't be used.
    #[error("{path}: {reason}")]
    CaFile {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS can't be set up.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A request to be sent.
pub(super) struct Outgoing<'a> {
    /// What it is signed for.
    pub(super) service: &'static str,
    pub(super) method: Method,
    /// With the query, if any, encoded.
    pub(super) path: &'a str,
    /// Beside those of the signature.
    pub(super) headers: &'a [(&'static str, String)],
    pub(super) body: Bytes,
    /// What it is about, for messages.
    pub(super) subject: &'a str,
}

/// A whole answer that is a success.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Connections to one server, kept open between requests.
pub(super) struct Connection {
    base: String,
    authority: String,
    region: String,
    identity: Identity,
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("base", &self.base)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(settings: ServerSettings) -> Result<Self, SettingsError> {
        let wrong = || SettingsError::Endpoint(settings.endpoint.clone());
        let uri: Uri = settings.endpoint.parse().map_err(|_| wrong())?;
        let scheme = uri
            .scheme_str()
            .filter(|scheme| ["http", "https"].contains(scheme));
        let scheme = scheme.ok_or_else(wrong)?;
        let authority = uri.authority().ok_or_else(wrong)?.to_string();
        if !["", "/"].contains(&uri.path()) || uri.query().is_some() {
            return Err(wrong());
        }
        let http = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector(&settings)?);
        Ok(Self {
            base: format!("{scheme}://{authority}"),
            authority,
            region: settings.region,
            identity: Identity::new(settings.credentials),
            http,
        })
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// Asks, again where that may help, and waits for the whole answer.
    pub(super) async fn ask(&self, request: &Outgoing<'_>) -> BackendResult<Answer> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let asked = self.ask_with_current_key(request).await;
            let Err(error @ BackendError::Unavailable(_)) = asked else {
                return asked;
            };
            let Some(time) = pauses.next() else {
                return Err(error);
            };
            tracing::debug!(%error, "asked again");
            pause(time).await;
        }
    }

    /// Asks once, and once more with another key if the file holds one by now and the one in use is refused.
    async fn ask_with_current_key(&self, request: &Outgoing<'_>) -> BackendResult<Answer> {
        let denied = |error: &dyn fmt::Display| BackendError::Denied {
            code: "NoCredentials".to_owned(),
            message: format!("the driver has no credentials: {error}"),
        };
        let pair = self.identity.pair().await;
        let pair = pair.map_err(|error| denied(&error))?;
        let asked = self.attempt(request, &pair).await;
        match asked {
            Err(BackendError::Denied { ref code, .. }) if refusal::is_of_key(code) => {
                match self.identity.after(&pair).await {
                    Some(pair) => self.attempt(request, &pair).await,
                    None => asked,
                }
            }
            asked => asked,
        }
    }

    async fn attempt(&self, request: &Outgoing<'_>, pair: &KeyPair) -> BackendResult<Answer> {
        let late = |_| {
            let (base, seconds) = (&self.base, ATTEMPT.as_secs());
            BackendError::Unavailable(format!("{base} does not answer within {seconds} s"))
        };
        let (head, body) = tokio::time::timeout(ATTEMPT, self.exchange(request, pair))
            .await
            .map_err(late)??;
        if head.status.is_success() {
            let headers = head.headers;
            return Ok(Answer { headers, body });
        }
        Err(refusal::of(head.status, &body, request.subject))
    }

    async fn exchange(
        &self,
        request: &Outgoing<'_>,
        pair: &KeyPair,
    ) -> BackendResult<(Parts, Bytes)> {
        let request = self.signed(request, pair, OffsetDateTime::now_utc());
        let request = request.map_err(|reason| BackendError::Refused {
            code: "CannotSign".to_owned(),
            message: reason,
        })?;
        let response = self.http.request(request).await;
        let response = response.map_err(|error| self.unreachable(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES);
        let body = body.collect().await;
        let body = body.map_err(|error| self.unreachable(&*error))?;
        Ok((head, body.to_bytes()))
    }

    /// What the server's clock shows, by the answer to a request without a signature.
    pub(super) async fn date(&self) -> BackendResult<Option<OffsetDateTime>> {
        let request = Request::head(format!("{}/", self.base)).body(Full::default());
        let request = request.map_err(|error| self.unreachable(&error))?;
        let asked = tokio::time::timeout(ATTEMPT, self.http.request(request)).await;
        let asked = asked.map_err(|late| self.unreachable(&late))?;
        let answer = asked.map_err(|error| self.unreachable(&error))?;
        Ok(date_of(answer.headers()))
    }

    /// The status of what needs no signature.
    #[cfg(test)]
    pub(super) async fn status_of(&self, path: &str) -> Option<http::StatusCode> {
        let uri = format!("{}{path}", self.base).parse().ok()?;
        let response = self.http.get(uri).await.ok()?;
        Some(response.status())
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> BackendError {
        let reason = last_cause(error);
        let advice = advice(&reason);
        BackendError::Unavailable(format!("cannot reach {}: {reason}; {advice}", self.base))
    }

    fn signed(
        &self,
        outgoing: &Outgoing<'_>,
        pair: &KeyPair,
        now: OffsetDateTime,
    ) -> Result<Request<Full<Bytes>>, String> {
        let url = format!("{}{}", self.base, outgoing.path);
        let hash = hex::encode(Sha256::digest(&outgoing.body));
        let mut headers = vec![
            ("host", self.authority.as_str()),
            ("x-amz-content-sha256", hash.as_str()),
        ];
        let more = outgoing.headers.iter();
        headers.extend(more.map(|(name, value)| (*name, value.as_str())));
        let mut request = Request::builder().method(&outgoing.method).uri(&url);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(outgoing.body.clone()));
        let mut request = request.map_err(|error| error.to_string())?;
        self.sign(outgoing, &headers, pair, now, &mut request)?;
        Ok(request)
    }

    fn sign(
        &self,
        outgoing: &Outgoing<'_>,
        headers: &[(&str, &str)],
        pair: &KeyPair,
        now: OffsetDateTime,
        request: &mut Request<Full<Bytes>>,
    ) -> Result<(), String> {
        let url = request.uri().to_string();
        let signable = SignableRequest::new(
            outgoing.method.as_str(),
            &url,
            headers.iter().copied(),
            SignableBody::Bytes(&outgoing.body),
        );
        let signable = signable.map_err(|error| error.to_string())?;
        let secret = pair.secret_key.as_str();
        let identity = Credentials::new(&pair.access_key, secret, None, None, "larder-cosi");
        let identity = identity.into();
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(outgoing.service)
            .time(UNIX_EPOCH + Duration::from_secs(seconds))
            .settings(signing_settings(outgoing.service))
            .build()
            .map_err(|error| error.to_string())?;
        let signature = sign(signable, &parameters.into()).map_err(|error| error.to_string())?;
        signature.into_parts().0.apply_to_request_http1x(request);
        Ok(())
    }
}

/// S3 signs paths as they are sent.
fn signing_settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    settings
}

fn connector(settings: &ServerSettings) -> Result<HttpsConnector<HttpConnector>, SettingsError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = &settings.ca_file {
        let wrong = |reason: String| SettingsError::CaFile {
            path: path.clone(),
            reason,
        };
        let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let all = all.map_err(|error| wrong(format!("no PEM certificate: {error}")))?;
        let (added, _) = roots.add_parsable_certificates(all);
        if added == 0 {
            return Err(wrong("no certificate in it (PEM is expected)".to_owned()));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build())
}

/// When whoever answered says that it did.
pub(crate) fn date_of(headers: &HeaderMap) -> Option<OffsetDateTime> {
    let text = headers.get(DATE)?.to_str().ok()?;
    OffsetDateTime::parse(text, &Rfc2822).ok()
}

fn last_cause(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), last_cause)
}

/// What helps against a failure to connect.
fn advice(reason: &str) -> &'static str {
    if reason.contains("UnknownIssuer") || reason.contains("CaUsedAsEndEntity") {
        return "name the authority that signed the server's certificate with --ca-file (LARDER_COSI_CA_FILE)";
    }
    if reason.contains("invalid peer certificate") {
        return "the server's certificate is not for this name, or not valid now";
    }
    if reason.contains("corrupt message") || reason.contains("InvalidContentType") {
        return "the server speaks no TLS there: try http:// instead of https://";
    }
    "look whether the server runs there: --endpoint (LARDER_COSI_ENDPOINT) says where"
}

#[cfg(test)]
mod tests;
