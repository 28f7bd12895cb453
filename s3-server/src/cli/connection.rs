//! How subcommands reach a server: where it is, who asks, and requests that are signed.
//!
//! A subcommand flattens [`ConnectionArgs`] into its own arguments and gives them to the client of the API that it speaks. The order in
//! which credentials are looked for is the same for all of them.
//!
//! Invariant: a secret comes from the environment or from a file, never from the command line, and is in no message and no `Debug` text.

use std::{
    fmt,
    path::{Path, PathBuf},
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
use clap::Args;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use larder_storage::clock::{Clock, SystemClock};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::{
    config::{DEFAULT_REGION, expand},
    credentials::{self, CredentialsError, Root},
    tls::{HttpsConnector, TlsError, connector},
};

/// The largest answer that is read.
pub(super) const MAX_ANSWER_BYTES: usize = 16 << 20;
/// How long an answer may take to begin, and to end where it has one.
const TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:9000";
const HEADING: &str = "Server and credentials";

const SECRET_KEY: &str = "LARDER_SECRET_KEY";

/// Which server, and who asks.
#[derive(Clone, Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "the help of the command line is plain text"
)]
pub(crate) struct ConnectionArgs {
    /// Where the server is [default: AWS_ENDPOINT_URL, or http://127.0.0.1:9000].
    #[arg(long, env = "LARDER_ENDPOINT", value_name = "URL", help_heading = HEADING)]
    endpoint: Option<Uri>,
    /// Authorities besides the system's that may have signed the server's certificate, PEM [default: AWS_CA_BUNDLE].
    #[arg(long, env = "LARDER_CA_FILE", value_name = "FILE", help_heading = HEADING)]
    ca_file: Option<PathBuf>,
    /// The server's region [default: us-east-1].
    #[arg(long, env = "LARDER_REGION", help_heading = HEADING)]
    region: Option<String>,
    /// Who asks. The secret is in LARDER_SECRET_KEY or in the file that LARDER_SECRET_KEY_FILE names, a session's token in LARDER_SESSION_TOKEN.
    /// Without it the first of these counts that there is: LARDER_ROOT_ACCESS_KEY and LARDER_ROOT_SECRET_KEY, the server's --data directories,
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    #[arg(long, env = "LARDER_ACCESS_KEY", value_name = "ID", help_heading = HEADING)]
    access_key: Option<String>,
    /// The server's data directories, where its root credentials are.
    #[arg(long, env = "LARDER_DATA", value_name = "DIR", num_args = 1.., value_delimiter = ',', help_heading = HEADING)]
    data: Vec<String>,
}

/// Which server, who asks, and whether a program reads the answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct AskArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Print JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A key pair, and where it was found.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) access_key: String,
    secret_key: String,
    token: Option<String>,
    /// For messages.
    pub(crate) origin: &'static str,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("access_key", &self.access_key)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Identity {
    fn of_root(root: Root, origin: &'static str) -> Self {
        Self {
            access_key: root.access_key,
            secret_key: root.secret_key,
            token: None,
            origin,
        }
    }
}

impl From<Root> for Identity {
    fn from(root: Root) -> Self {
        Self::of_root(root, "LARDER_ROOT_ACCESS_KEY")
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error(
        "no credentials: set LARDER_ACCESS_KEY and LARDER_SECRET_KEY (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or as the operator \
         LARDER_ROOT_ACCESS_KEY and LARDER_ROOT_SECRET_KEY, or give the server's --data directories"
    )]
    NoCredentials,
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(
        "{0} is set but {1} is not: set both or neither (a secret is given by the environment or by a file, not on the command line)"
    )]
    HalfSet(&'static str, &'static str),
    #[error(transparent)]
    Ca(#[from] TlsError),
    #[error(transparent)]
    Data(#[from] crate::config::ExpandError),
    #[error(
        "the endpoint `{0}` is no http:// or https:// address: write it as http://127.0.0.1:9000"
    )]
    Endpoint(String),
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
    #[error("cannot sign: {0}")]
    Sign(String),
    #[error("cannot reach {endpoint}: {reason}; {advice}")]
    Unreachable {
        endpoint: String,
        reason: String,
        advice: &'static str,
    },
    #[error("{endpoint} does not answer within {} s; try again, or see the server's log", TIMEOUT.as_secs())]
    TimedOut { endpoint: String },
}

type ConnectionResult<T> = Result<T, ConnectionError>;

/// A request on its way.
#[derive(Clone, Debug)]
pub(super) struct Outgoing<'a> {
    /// What it is signed for.
    pub(super) service: &'static str,
    pub(super) method: Method,
    /// With the query, if any.
    pub(super) path: &'a str,
    /// Beside those of the signature.
    pub(super) headers: &'a [(&'static str, String)],
    pub(super) body: Bytes,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Asks one server.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) endpoint: Uri,
    pub(super) region: String,
    pub(super) ca_file: Option<PathBuf>,
    /// `None`: requests are not signed.
    pub(super) identity: Option<Identity>,
    http: Client<HttpsConnector, Full<Bytes>>,
    runtime: Runtime,
}

impl Connection {
    /// A connection to the server of `args`, signing with whatever credentials there are; nothing is asked yet.
    pub(super) fn new(args: &ConnectionArgs) -> ConnectionResult<Self> {
        let identity = identity(args, &variable)?;
        Self::of(args, Some(identity))
    }

    /// As [`Connection::new`], for requests that are not signed.
    pub(super) fn anonymous(args: &ConnectionArgs) -> ConnectionResult<Self> {
        Self::of(args, None)
    }

    fn of(args: &ConnectionArgs, identity: Option<Identity>) -> ConnectionResult<Self> {
        let given = || variable("AWS_ENDPOINT_URL").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let endpoint = match &args.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => parse_endpoint(given())?,
        };
        // Whoever signs with a key of AWS's variables means their region too.
        let is_aws = identity
            .as_ref()
            .is_some_and(|identity| identity.origin == AWS_KEY);
        let of_aws = || variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = args.region.clone();
        let region = region.or_else(|| is_aws.then(of_aws).flatten());
        let bundle = || variable("AWS_CA_BUNDLE").map(PathBuf::from);
        let ca_file = args.ca_file.clone().or_else(bundle);
        Self::with(
            endpoint,
            region.unwrap_or_else(|| DEFAULT_REGION.to_owned()),
            identity,
            ca_file.as_deref(),
        )
    }

    /// A connection to the server at `endpoint`, which may show a certificate of an authority in `ca_file`.
    pub(super) fn with(
        endpoint: Uri,
        region: String,
        identity: Option<Identity>,
        ca_file: Option<&Path>,
    ) -> ConnectionResult<Self> {
        check_endpoint(&endpoint)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let http = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .build(connector(ca_file)?);
        let ca_file = ca_file.map(Path::to_owned);
        Ok(Self {
            endpoint,
            region,
            ca_file,
            identity,
            http,
            runtime,
        })
    }

    /// `http://host:port`.
    pub(super) fn base(&self) -> String {
        let scheme = self.endpoint.scheme_str().unwrap_or_default();
        let authority = self.endpoint.authority().map_or("", |a| a.as_str());
        format!("{scheme}://{authority}")
    }

    /// Asks, and waits for the whole answer, whatever its status.
    pub(super) fn ask(&self, request: &Outgoing<'_>) -> ConnectionResult<Answer> {
        let asked = async {
            let response = self.send(request).await?;
            let status = response.status();
            let body = self.collected(response.into_body()).await?;
            Ok(Answer { status, body })
        };
        self.runtime.block_on(self.in_time(asked))
    }

    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        request: &Outgoing<'_>,
    ) -> ConnectionResult<Response<Incoming>> {
        let now = SystemClock.unix_millis();
        let request = self.request(request, now)?;
        let response = self.http.request(request).await;
        response.map_err(|error| self.unreachable(&error))
    }

    /// A whole body, within a bound.
    pub(super) async fn collected(&self, body: Incoming) -> ConnectionResult<Bytes> {
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|error| self.unreachable(&*error))
    }

    pub(super) async fn in_time<T, E: From<ConnectionError>>(
        &self,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let endpoint = self.base();
        tokio::select! {
            answered = asked => answered,
            () = SystemClock.sleep(TIMEOUT) => Err(ConnectionError::TimedOut { endpoint }.into()),
        }
    }

    pub(super) fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> ConnectionError {
        let reason = last_cause(error);
        ConnectionError::Unreachable {
            endpoint: self.base(),
            advice: advice(&reason),
            reason,
        }
    }

    /// What to do about a refusal that concerns who asked; empty for others.
    pub(super) fn hint(&self, code: &str, message: &str) -> String {
        let Some(Identity {
            access_key, origin, ..
        }) = &self.identity
        else {
            return String::new();
        };
        match code {
            "AccessDenied" => format!(
                "; it was signed with {access_key} of {origin}: sign as somebody who may, or have the account's root allow it by a policy"
            ),
            "InvalidClientTokenId" | "InvalidAccessKeyId" | "InvalidToken" => format!(
                "; {access_key} of {origin} is no key that counts here: look whether it was removed or disabled (larder key list), or is another server's"
            ),
            "ExpiredToken" | "ExpiredTokenException" => {
                "; the session is over: get a new one by larder sts assume-role or larder sts session".to_owned()
            }
            "AuthorizationHeaderMalformed" => "; give the server's with --region".to_owned(),
            "SignatureDoesNotMatch" if message.contains("region") => {
                "; give the server's with --region".to_owned()
            }
            "RequestTimeTooSkewed" => "; set the clock of this machine".to_owned(),
            "SignatureDoesNotMatch" if message.contains("time of the request") => {
                "; set the clock of this machine".to_owned()
            }
            "SignatureDoesNotMatch" => {
                format!("; look at the secret that belongs to {access_key} of {origin}")
            }
            _ => String::new(),
        }
    }

    fn request(
        &self,
        outgoing: &Outgoing<'_>,
        now_unix_millis: u64,
    ) -> ConnectionResult<Request<Full<Bytes>>> {
        let url = format!("{}{}", self.base(), outgoing.path);
        let authority = self.endpoint.authority().map_or("", |a| a.as_str());
        let hash = hex::encode(Sha256::digest(&outgoing.body));
        let mut headers = vec![("host", authority), ("x-amz-content-sha256", hash.as_str())];
        let more = outgoing.headers.iter();
        headers.extend(more.map(|(name, value)| (*name, value.as_str())));
        let mut request = Request::builder().method(&outgoing.method).uri(&url);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(outgoing.body.clone());
        let invalid = |error: http::Error| ConnectionError::Sign(error.to_string());
        let mut request = request.body(body).map_err(invalid)?;
        if let Some(identity) = &self.identity {
            self.sign(identity, outgoing, &headers, now_unix_millis, &mut request)?;
        }
        Ok(request)
    }

    fn sign(
        &self,
        identity: &Identity,
        outgoing: &Outgoing<'_>,
        headers: &[(&str, &str)],
        now_unix_millis: u64,
        request: &mut Request<Full<Bytes>>,
    ) -> ConnectionResult<()> {
        let signing = |error: &dyn fmt::Display| ConnectionError::Sign(error.to_string());
        let url = request.uri().to_string();
        let signable = SignableRequest::new(
            outgoing.method.as_str(),
            &url,
            headers.iter().copied(),
            SignableBody::Bytes(&outgoing.body),
        );
        let signable = signable.map_err(|error| signing(&error))?;
        let token = identity.token.clone();
        let pair = Credentials::new(
            &identity.access_key,
            &identity.secret_key,
            token,
            None,
            "larder",
        );
        let pair = pair.into();
        let parameters = v4::SigningParams::builder()
            .identity(&pair)
            .region(&self.region)
            .name(outgoing.service)
            .time(UNIX_EPOCH + Duration::from_millis(now_unix_millis))
            .settings(settings(outgoing.service))
            .build()
            .map_err(|error| signing(&error))?;
        let signature = sign(signable, &parameters.into()).map_err(|error| signing(&error))?;
        signature.into_parts().0.apply_to_request_http1x(request);
        Ok(())
    }
}

/// S3 signs paths as they are sent.
fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    settings
}

fn parse_endpoint(text: String) -> ConnectionResult<Uri> {
    text.parse().map_err(|_| ConnectionError::Endpoint(text))
}

fn check_endpoint(endpoint: &Uri) -> ConnectionResult<()> {
    let is_known = matches!(endpoint.scheme_str(), Some("http" | "https"));
    if is_known && endpoint.authority().is_some() {
        return Ok(());
    }
    Err(ConnectionError::Endpoint(endpoint.to_string()))
}

/// What helps against a failure to connect.
fn advice(reason: &str) -> &'static str {
    if reason.contains("UnknownIssuer") || reason.contains("CaUsedAsEndEntity") {
        return "name the authority that signed the server's certificate with --ca-file";
    }
    if reason.contains("invalid peer certificate") {
        return "the server's certificate is not for this name, or not valid now: look at --endpoint and at larder server --tls-cert";
    }
    if reason.contains("corrupt message") || reason.contains("InvalidContentType") {
        return "the server speaks no TLS there: try http:// instead of https://";
    }
    if reason.contains("refused") {
        return "look whether the server runs there: --endpoint (LARDER_ENDPOINT) says where";
    }
    if reason.contains("lookup") || reason.contains("resolve") {
        return "look at the name in --endpoint (LARDER_ENDPOINT)";
    }
    "look at --endpoint (LARDER_ENDPOINT), and whether it is http:// or https://"
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

const AWS_KEY: &str = "AWS_ACCESS_KEY_ID";

/// Who asks: see the help of `--access-key` for the order.
fn identity(
    args: &ConnectionArgs,
    variable: &impl Fn(&str) -> Option<String>,
) -> ConnectionResult<Identity> {
    if let Some(found) = own(args, variable)? {
        return Ok(found);
    }
    if let Some(root) = credentials::from_environment(variable)? {
        return Ok(root.into());
    }
    if let Some(root) = kept(args)? {
        return Ok(Identity::of_root(root, "--data"));
    }
    of_aws(variable)?.ok_or(ConnectionError::NoCredentials)
}

/// The pair of `--access-key`.
fn own(
    args: &ConnectionArgs,
    variable: &impl Fn(&str) -> Option<String>,
) -> ConnectionResult<Option<Identity>> {
    const ORIGIN: &str = "LARDER_ACCESS_KEY";
    let secret = credentials::value_or_file(variable, SECRET_KEY)?;
    match (&args.access_key, secret) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(ConnectionError::HalfSet(SECRET_KEY, ORIGIN)),
        (Some(_), None) => Err(ConnectionError::HalfSet(ORIGIN, SECRET_KEY)),
        (Some(access_key), Some(secret_key)) => Ok(Some(Identity {
            access_key: access_key.clone(),
            secret_key,
            token: variable("LARDER_SESSION_TOKEN"),
            origin: ORIGIN,
        })),
    }
}

fn of_aws(variable: &impl Fn(&str) -> Option<String>) -> ConnectionResult<Option<Identity>> {
    const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
    match (variable(AWS_KEY), variable(SECRET)) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(ConnectionError::HalfSet(SECRET, AWS_KEY)),
        (Some(_), None) => Err(ConnectionError::HalfSet(AWS_KEY, SECRET)),
        (Some(access_key), Some(secret_key)) => Ok(Some(Identity {
            access_key,
            secret_key,
            token: variable("AWS_SESSION_TOKEN"),
            origin: AWS_KEY,
        })),
    }
}

/// The root credentials in the data directories.
fn kept(args: &ConnectionArgs) -> ConnectionResult<Option<Root>> {
    let mut directories = Vec::new();
    for pattern in &args.data {
        directories.extend(expand(pattern)?.into_iter().map(PathBuf::from));
    }
    Ok(credentials::kept(&directories, TIMEOUT)?.map(|(root, _)| root))
}

fn last_cause(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), last_cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(access_key: Option<&str>, variables: &[(&str, &str)]) -> Result<String, String> {
        let args = ConnectionArgs {
            endpoint: None,
            ca_file: None,
            region: None,
            access_key: access_key.map(str::to_owned),
            data: Vec::new(),
        };
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let found = identity(&args, &variable).map_err(|error| error.to_string())?;
        assert!(!format!("{found:?}").contains(&found.secret_key));
        let token = found.token.unwrap_or_default();
        Ok(format!("{} {token}", found.access_key))
    }

    const ROOT: [(&str, &str); 2] = [
        ("LARDER_ROOT_ACCESS_KEY", "root"),
        ("LARDER_ROOT_SECRET_KEY", "12345678"),
    ];
    const OF_AWS: [(&str, &str); 3] = [
        ("AWS_ACCESS_KEY_ID", "aws"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "token"),
    ];

    #[test]
    fn what_is_meant_for_larder_comes_before_what_is_meant_for_aws() {
        let all = [ROOT.as_slice(), &OF_AWS, &[("LARDER_SECRET_KEY", "secret")]].concat();
        assert_eq!(found(Some("own"), &all), Ok("own ".to_owned()));
        let both = [ROOT.as_slice(), &OF_AWS].concat();
        assert_eq!(found(None, &both), Ok("root ".to_owned()));
        assert_eq!(found(None, &OF_AWS), Ok("aws token".to_owned()));
        assert!(found(None, &[]).is_err());
    }

    #[test]
    fn half_a_pair_is_never_made_up_for_by_another() {
        let half = |key, variables: &[_]| found(key, &[variables, &OF_AWS[..]].concat());
        assert!(half(Some("own"), &[]).is_err());
        assert!(half(None, &[("LARDER_SECRET_KEY", "secret")]).is_err());
        assert!(half(None, &ROOT[..1]).is_err());
        assert!(found(None, &OF_AWS[..1]).is_err());
    }

    #[test]
    fn endpoints_have_a_scheme_and_a_host() {
        let check = |text: &str| check_endpoint(&text.parse().unwrap()).is_ok();
        assert!(check("http://127.0.0.1:9000") && check("https://larder.example"));
        assert!(!check("localhost:9000") && !check("/path") && !check("ftp://host"));
    }
}
