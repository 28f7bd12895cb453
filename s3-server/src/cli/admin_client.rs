//! What the subcommands ask a running server with: signed with the root credentials, JSON in and out.
//!
//! A subcommand flattens [`AdminArgs`] into its own arguments, makes an [`AdminClient`] of it, and asks.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::{Bytes, BytesMut};
use clap::Args;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use larder_storage::clock::{Clock, SystemClock};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::{
    admin::{ErrorDocument, V1},
    config::{DEFAULT_REGION, expand},
    credentials::{self, CredentialsError, Root},
    tls::{HttpsConnector, TlsError, connector},
};

/// The largest answer, or line of one, that is read.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// How long an answer may take to begin, and to end where it has one.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which server, and who asks.
#[derive(Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "the help of the command line is plain text"
)]
pub(crate) struct AdminArgs {
    /// Where the server is.
    #[arg(
        long,
        env = "LARDER_ENDPOINT",
        default_value = "http://127.0.0.1:9000",
        value_name = "URL"
    )]
    endpoint: Uri,
    /// Authorities besides the system's that may have signed the server's certificate, PEM.
    #[arg(long, env = "LARDER_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The server's region.
    #[arg(long, env = "LARDER_REGION", default_value = DEFAULT_REGION)]
    region: String,
    /// The server's data directories, where its root credentials are looked for unless
    /// LARDER_ROOT_ACCESS_KEY and LARDER_ROOT_SECRET_KEY (or _FILE) are set.
    #[arg(long, env = "LARDER_DATA", value_name = "DIR", num_args = 1.., value_delimiter = ',')]
    data: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminClientError {
    #[error(
        "no root credentials: set LARDER_ROOT_ACCESS_KEY and LARDER_ROOT_SECRET_KEY, or give the server's --data directories"
    )]
    NoCredentials,
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Ca(#[from] TlsError),
    #[error(transparent)]
    Data(#[from] crate::config::ExpandError),
    #[error("the endpoint `{0}` is no http:// or https:// address")]
    Endpoint(Uri),
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
    #[error("cannot write the request: {0}")]
    Encode(serde_json::Error),
    #[error("cannot sign: {0}")]
    Sign(String),
    #[error("cannot reach {endpoint}: {reason}")]
    Unreachable { endpoint: Uri, reason: String },
    #[error("{endpoint} does not answer within {} s", TIMEOUT.as_secs())]
    TimedOut { endpoint: Uri },
    /// What the server says; the message tells what to do.
    #[error("{0}")]
    Refused(String),
    #[error("the answer is not that of a Larder server: {0}")]
    Malformed(serde_json::Error),
    #[error("the answer ended within a line: the server stopped or the connection broke")]
    CutOff,
}

type ClientResult<T> = Result<T, AdminClientError>;

/// Asks one server.
#[derive(Debug)]
pub(crate) struct AdminClient {
    endpoint: Uri,
    region: String,
    root: Root,
    http: Client<HttpsConnector, Full<Bytes>>,
    runtime: Runtime,
}

impl AdminClient {
    /// A client for the server of `args`; nothing is asked yet.
    pub(crate) fn new(args: &AdminArgs) -> ClientResult<Self> {
        let ca_file = args.ca_file.as_deref();
        Self::with(
            args.endpoint.clone(),
            args.region.clone(),
            root(args)?,
            ca_file,
        )
    }

    /// A client of `root` for the server at `endpoint`, which may show a certificate of an authority in `ca_file`.
    pub(crate) fn with(
        endpoint: Uri,
        region: String,
        root: Root,
        ca_file: Option<&Path>,
    ) -> ClientResult<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let http = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .build(connector(ca_file)?);
        Ok(Self {
            endpoint,
            region,
            root,
            http,
            runtime,
        })
    }

    /// `GET` of an endpoint, with its query if any: the JSON as it came.
    pub(crate) fn get_bytes(&self, path: &str) -> ClientResult<Bytes> {
        self.ask(Method::GET, path, Bytes::new())
    }

    /// `GET` of an endpoint.
    #[cfg_attr(not(test), expect(dead_code, reason = "for subcommands to come"))]
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> ClientResult<T> {
        decode(&self.get_bytes(path)?)
    }

    /// `POST` to an endpoint.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> ClientResult<T> {
        decode(&self.ask(Method::POST, path, encode(body)?)?)
    }

    /// `POST` to an endpoint: the JSON as it came.
    pub(crate) fn post_bytes(&self, path: &str, body: &impl Serialize) -> ClientResult<Bytes> {
        self.ask(Method::POST, path, encode(body)?)
    }

    /// `GET` of an endpoint that answers in lines: each goes to `take` as it comes, until that breaks or the answer ends.
    pub(crate) fn get_lines(
        &self,
        path: &str,
        take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ClientResult<()> {
        self.runtime
            .block_on(self.lines(Method::GET, path, Bytes::new(), take))
    }

    /// As [`AdminClient::get_lines`], for what changes something.
    pub(crate) fn post_lines(
        &self,
        path: &str,
        body: &impl Serialize,
        take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ClientResult<()> {
        let body = encode(body)?;
        self.runtime
            .block_on(self.lines(Method::POST, path, body, take))
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> ClientResult<Bytes> {
        let asked = async {
            let response = self.send(method, path, body).await?;
            self.collected(response.into_body()).await
        };
        self.runtime.block_on(self.in_time(asked))
    }

    async fn lines(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        mut take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ClientResult<()> {
        let response = self.in_time(self.send(method, path, body)).await?;
        let mut body = response.into_body();
        let mut buffer = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.unreachable(&error))?;
            buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = buffer.iter().position(|&b| b == b'\n') {
                let line = buffer.split_to(end + 1);
                refused(&line).map_or(Ok(()), Err)?;
                if take(&line).is_break() {
                    return Ok(());
                }
            }
            if buffer.len() > MAX_ANSWER_BYTES {
                return Err(AdminClientError::CutOff);
            }
        }
        if buffer.is_empty() {
            Ok(())
        } else {
            Err(AdminClientError::CutOff)
        }
    }

    /// Sends a request; an answer that is no success is an error.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> ClientResult<Response<Incoming>> {
        let now = SystemClock.unix_millis();
        let request = self.signed(&method, path, body, now)?;
        let response = self.http.request(request).await;
        let response = response.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = self.collected(response.into_body()).await?;
        let text = || {
            format!(
                "the server refuses with {status}: {}",
                String::from_utf8_lossy(&body)
            )
        };
        Err(refused(&body).unwrap_or_else(|| AdminClientError::Refused(text())))
    }

    async fn collected(&self, body: Incoming) -> ClientResult<Bytes> {
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|error| self.unreachable(&*error))
    }

    async fn in_time<T>(&self, asked: impl Future<Output = ClientResult<T>>) -> ClientResult<T> {
        let endpoint = self.endpoint.clone();
        tokio::select! {
            answered = asked => answered,
            () = SystemClock.sleep(TIMEOUT) => Err(AdminClientError::TimedOut { endpoint }),
        }
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> AdminClientError {
        AdminClientError::Unreachable {
            endpoint: self.endpoint.clone(),
            reason: last_cause(error),
        }
    }

    fn signed(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
        now_unix_millis: u64,
    ) -> ClientResult<Request<Full<Bytes>>> {
        let endpoint = || AdminClientError::Endpoint(self.endpoint.clone());
        let authority = self.endpoint.authority().ok_or_else(endpoint)?;
        let scheme = self.endpoint.scheme_str();
        let scheme = scheme.filter(|scheme| ["http", "https"].contains(scheme));
        let scheme = scheme.ok_or_else(endpoint)?;
        let url = format!("{scheme}://{authority}{V1}{path}");
        let hash = hex::encode(Sha256::digest(&body));
        let headers = [
            ("host", authority.as_str()),
            ("x-amz-content-sha256", hash.as_str()),
        ];
        let signing = |error: &dyn std::fmt::Display| AdminClientError::Sign(error.to_string());
        let signable = SignableRequest::new(
            method.as_str(),
            &url,
            headers.into_iter(),
            SignableBody::Bytes(&body),
        );
        let signable = signable.map_err(|error| signing(&error))?;
        let identity = Credentials::new(
            &self.root.access_key,
            &self.root.secret_key,
            None,
            None,
            "larder",
        );
        let identity = identity.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(UNIX_EPOCH + Duration::from_millis(now_unix_millis))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| signing(&error))?;
        let signature = sign(signable, &parameters.into()).map_err(|error| signing(&error))?;
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(Full::new(body)).map_err(|_| endpoint())?;
        signature
            .into_parts()
            .0
            .apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

fn root(args: &AdminArgs) -> ClientResult<Root> {
    if let Some(root) = credentials::from_environment(|name| std::env::var(name).ok())? {
        return Ok(root);
    }
    let mut directories = Vec::new();
    for pattern in &args.data {
        directories.extend(expand(pattern)?.into_iter().map(PathBuf::from));
    }
    let kept = credentials::kept(&directories, TIMEOUT)?;
    Ok(kept.ok_or(AdminClientError::NoCredentials)?.0)
}

fn encode(value: &impl Serialize) -> ClientResult<Bytes> {
    let json = serde_json::to_vec(value).map_err(AdminClientError::Encode)?;
    Ok(json.into())
}

/// The value in an answer.
pub(crate) fn decode<T: DeserializeOwned>(json: &[u8]) -> ClientResult<T> {
    serde_json::from_slice(json).map_err(AdminClientError::Malformed)
}

/// The error that an answer, or a line of one, is.
fn refused(json: &[u8]) -> Option<AdminClientError> {
    let document: ErrorDocument = serde_json::from_slice(json).ok()?;
    Some(AdminClientError::Refused(document.error.message))
}

fn last_cause(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), last_cause)
}
