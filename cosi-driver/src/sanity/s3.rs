//! Just enough of S3 to use what was granted: objects are written, read, listed and deleted, path style.

use std::{path::Path, sync::Arc, time::Duration};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use time::OffsetDateTime;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Of an answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a Secret has. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: Zeroizing<String>,
    /// `http(s)://host[:port]`.
    pub endpoint: String,
    /// What requests are signed for.
    pub region: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("access_key", &self.access_key)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// A client that signs.
#[derive(Debug)]
pub struct Client {
    keys: Keys,
    http: Http<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    /// 403 where it is not allowed.
    pub status: StatusCode,
    /// An object, or XML.
    pub body: Bytes,
}

impl Client {
    /// With authorities from a file, beside the system's.
    ///
    /// # Errors
    /// They can't be read, or the endpoint is none.
    pub fn new(keys: Keys, ca_file: Option<&Path>) -> Result<Self, String> {
        let uri: Uri = keys
            .endpoint
            .parse()
            .map_err(|_| no_endpoint(&keys.endpoint))?;
        if uri.host().is_none() || !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(no_endpoint(&keys.endpoint));
        }
        let http = Http::builder(TokioExecutor::new()).build(connector(ca_file)?);
        Ok(Self { keys, http })
    }

    /// Whether somebody answers, whatever it is.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn reach(&self) -> Result<(), String> {
        self.send(Method::GET, "/", Bytes::new()).await.map(drop)
    }

    /// Writes, reads, lists or deletes: `path` is a bucket and what is below it.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, String> {
        let endpoint = self.keys.endpoint.trim_end_matches('/');
        let failed = |why: String| format!("{endpoint} can't be reached from here: {why}");
        let request = self.signed(method, &format!("{endpoint}{path}"), &body)?;
        let asked = timeout(TIMEOUT, async {
            let response = self
                .http
                .request(request)
                .await
                .map_err(|error| chain(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok(Answer { status, body })
        });
        let asked = asked
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()));
        asked.map_err(failed)
    }

    fn signed(
        &self,
        method: Method,
        uri: &str,
        body: &Bytes,
    ) -> Result<Request<Full<Bytes>>, String> {
        let credentials = Credentials::new(
            &self.keys.access_key,
            self.keys.secret_key.as_str(),
            None,
            None,
            "cosi-sanity",
        );
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.keys.region)
            .name("s3")
            .time(OffsetDateTime::now_utc().into())
            .settings(settings())
            .build()
            .map_err(|error| error.to_string())?;
        let name = method.as_str().to_owned();
        let signable =
            SignableRequest::new(&name, uri, std::iter::empty(), SignableBody::Bytes(body));
        let signable = signable.map_err(|error| error.to_string())?;
        let signed = sign(signable, &params.into()).map_err(|error| error.to_string())?;
        let request = Request::builder().method(method).uri(uri);
        let mut request = request
            .body(Full::new(body.clone()))
            .map_err(|error| error.to_string())?;
        signed.into_parts().0.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

fn no_endpoint(endpoint: &str) -> String {
    format!("endpoint `{endpoint}` is not http(s)://host[:port]")
}

fn settings() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings
}

fn connector(ca_file: Option<&Path>) -> Result<HttpsConnector<HttpConnector>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| failed(&error))?;
            roots.add(certificate).map_err(|error| failed(&error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build())
}

/// hyper says of a failure little by itself.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
