//! `larder status`: asks a running server, signed with the root credentials.

use std::{
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use larder_storage::clock::{Clock, SystemClock};

use super::{Outcome, print};
use crate::{
    admin::{DiskStatus, STATUS_PATH, ServerStatus},
    config::{DEFAULT_REGION, expand},
    credentials::{self, Root},
};

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 4 << 20;
const TIMEOUT: Duration = Duration::from_secs(10);
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Show disks, space and degraded objects of a running server.
///
/// The root credentials are those of LARDER_ROOT_ACCESS_KEY and LARDER_ROOT_SECRET_KEY (or _FILE),
/// else those that the server keeps in the directories of --data.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Where the server is.
    #[arg(long, env = "LARDER_ENDPOINT", default_value = "http://127.0.0.1:9000", value_name = "URL")]
    endpoint: Uri,
    /// The server's region.
    #[arg(long, env = "LARDER_REGION", default_value = DEFAULT_REGION)]
    region: String,
    /// The server's data directories, where its root credentials are looked for.
    #[arg(long, env = "LARDER_DATA", value_name = "DIR", num_args = 1.., value_delimiter = ',')]
    data: Vec<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error("no root credentials: set LARDER_ROOT_ACCESS_KEY and LARDER_ROOT_SECRET_KEY, or give the server's --data directories")]
    NoCredentials,
    #[error("the endpoint `{0}` is no http:// address")]
    Endpoint(Uri),
    #[error("cannot sign: {0}")]
    Sign(String),
    #[error("cannot reach {endpoint}: {reason}")]
    Unreachable { endpoint: Uri, reason: String },
    #[error("{endpoint} does not answer within {} s", TIMEOUT.as_secs())]
    TimedOut { endpoint: Uri },
    #[error("the server refuses with {status}: {body}")]
    Refused { status: u16, body: String },
    #[error("the answer is not that of a Larder server: {0}")]
    Malformed(serde_json::Error),
}

pub(super) fn run(args: &StatusArgs) -> Outcome {
    let root = root(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = runtime.block_on(ask(args, &root))?;
    if args.json {
        return Ok(print(&String::from_utf8_lossy(&body))?);
    }
    let status: ServerStatus = serde_json::from_slice(&body).map_err(StatusError::Malformed)?;
    Ok(print(&table(&status))?)
}

fn root(args: &StatusArgs) -> Result<Root, Box<dyn std::error::Error + Send + Sync>> {
    if let Some(root) = credentials::from_environment(|name| std::env::var(name).ok())? {
        return Ok(root);
    }
    let mut directories = Vec::new();
    for pattern in &args.data {
        directories.extend(expand(pattern)?.into_iter().map(PathBuf::from));
    }
    Ok(credentials::kept(&directories)?.ok_or(StatusError::NoCredentials)?.0)
}

async fn ask(args: &StatusArgs, root: &Root) -> Result<Bytes, StatusError> {
    let clock = SystemClock;
    let request = signed(args, root, clock.unix_millis())?;
    tokio::select! {
        answered = answered(args, request) => answered,
        () = clock.sleep(TIMEOUT) => Err(StatusError::TimedOut { endpoint: args.endpoint.clone() }),
    }
}

async fn answered(args: &StatusArgs, request: Request<Empty<Bytes>>) -> Result<Bytes, StatusError> {
    let unreachable = |reason: String| StatusError::Unreachable { endpoint: args.endpoint.clone(), reason };
    let client = Client::builder(TokioExecutor::new()).timer(TokioTimer::new()).build_http();
    let response = client.request(request).await.map_err(|error| unreachable(with_cause(&error)))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| unreachable(error.to_string()))?.to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    let body = String::from_utf8_lossy(&body).replace('\n', " ");
    Err(StatusError::Refused { status: status.as_u16(), body })
}

fn with_cause(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(source) => with_cause(source),
        None => error.to_string(),
    }
}

fn signed(
    args: &StatusArgs,
    root: &Root,
    now_unix_millis: u64,
) -> Result<Request<Empty<Bytes>>, StatusError> {
    let endpoint = || StatusError::Endpoint(args.endpoint.clone());
    let authority = args.endpoint.authority().ok_or_else(endpoint)?;
    let url = format!("http://{authority}{STATUS_PATH}");
    let headers = [("host", authority.as_str()), ("x-amz-content-sha256", EMPTY_SHA256)];
    let signing = |error: &dyn std::fmt::Display| StatusError::Sign(error.to_string());
    let signable =
        SignableRequest::new("GET", &url, headers.into_iter(), SignableBody::Bytes(&[]));
    let identity = Credentials::new(&root.access_key, &root.secret_key, None, None, "larder").into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&args.region)
        .name("s3")
        .time(UNIX_EPOCH + Duration::from_millis(now_unix_millis))
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| signing(&error))?;
    let signable = signable.map_err(|error| signing(&error))?;
    let signature = sign(signable, &parameters.into()).map_err(|error| signing(&error))?;
    let (instructions, _) = signature.into_parts();
    let mut request = Request::builder().method(Method::GET).uri(&url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut request = request.body(Empty::new()).map_err(|_| endpoint())?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

fn table(status: &ServerStatus) -> String {
    let mut out = String::new();
    let mut line = |text: String| drop(writeln!(out, "{}", text.trim_end()));
    line(format!("version   {}", status.version));
    line(format!("region    {}", status.region));
    line(format!("up        {} s", status.uptime_seconds));
    line(format!("profile   {}", status.storage.profile));
    line(format!("degraded  {} objects", status.storage.degraded_objects));
    let served = &status.requests;
    line(format!("requests  {} ({} failed, {} slowed down)", served.requests, served.server_errors, served.slow_downs));
    line(String::new());
    line(row(["DISK", "STATE", "USED", "FREE", "SIZE"]));
    for disk in &status.storage.disks {
        line(disk_row(disk));
    }
    out
}

fn disk_row(disk: &DiskStatus) -> String {
    let [used, free, size] = [disk.used_bytes, disk.available_bytes, disk.total_bytes].map(bytes);
    row([&disk.directory, &disk.state, &used, &free, &size])
}

fn row([disk, state, used, free, size]: [&str; 5]) -> String {
    format!("{disk:<32} {state:<12} {used:>10} {free:>10} {size:>10}")
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut scaled = count * 10;
    while scaled >= 10_240 && unit + 1 < UNITS.len() {
        scaled /= 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{}.{} {}", scaled / 10, scaled % 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 40), "3.0 TiB");
    }

    #[test]
    fn the_table_has_a_row_for_each_disk() {
        let disk = |directory: &str| DiskStatus { directory: directory.to_owned(), state: "ok".to_owned(), ..DiskStatus::default() };
        let mut status = ServerStatus::default();
        status.storage.disks = vec![disk("/d1"), disk("/d2")];
        let text = table(&status);
        assert_eq!(text.lines().filter(|line| line.starts_with("/d")).count(), 2);
    }
}
