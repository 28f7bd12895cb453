//! What is no S3: health checks, and the state of the server for `larder status`.
//!
//! `/healthz` and `/readyz` answer requests that are not signed, which S3 never does; a bucket may
//! thus have one of these names. `/_larder/…` can be no bucket, and needs the root's signature.

use async_trait::async_trait;
use http::{HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    error::{S3Code, S3Error, S3Result},
    http::{Body, Response},
    metrics::Counts,
    reply,
};

/// Where `larder status` asks.
pub const STATUS_PATH: &str = "/_larder/status";
const PREFIX: &str = "/_larder/";

/// Knows the state of the disks.
#[async_trait]
pub trait StatusSource: Send + Sync + std::fmt::Debug {
    /// The state now.
    async fn status(&self) -> StorageStatus;
    /// Whether enough disks are good for writes.
    fn is_writable(&self) -> bool;
}

/// The state of the disks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageStatus {
    /// `k+m`.
    pub profile: String,
    /// In the order of the settings.
    pub disks: Vec<DiskStatus>,
    /// Objects and parts that miss shards.
    pub degraded_objects: u64,
}

/// The state of one disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStatus {
    /// Its directory.
    pub directory: String,
    /// Its identity; empty where it is not known.
    pub id: String,
    /// `ok`, or what is wrong.
    pub state: String,
    /// Of the file system.
    pub total_bytes: u64,
    /// Free for Larder.
    pub available_bytes: u64,
    /// Taken by Larder.
    pub used_bytes: u64,
}

/// All that `larder status` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Larder's version.
    pub version: String,
    /// The region.
    pub region: String,
    /// Since the start.
    pub uptime_seconds: u64,
    /// What was served.
    pub requests: Counts,
    /// The disks.
    pub storage: StorageStatus,
}

/// The answer to a health check; `None` for every other request.
pub fn health(app: &App, parts: &Parts) -> Option<Response> {
    let path = parts.uri.path();
    if path != "/healthz" && path != "/readyz" {
        return None;
    }
    let signed = parts.headers.contains_key(header::AUTHORIZATION) || parts.uri.query().is_some();
    if signed || !matches!(parts.method, Method::GET | Method::HEAD) {
        return None;
    }
    Some(if path == "/healthz" { text(StatusCode::OK, "ok\n") } else { readiness(app) })
}

fn readiness(app: &App) -> Response {
    let unready = |why| text(StatusCode::SERVICE_UNAVAILABLE, why);
    match app.status() {
        Err(_) => unready("starting\n"),
        Ok(status) if !status.is_writable() => unready("too few disks\n"),
        Ok(_) => text(StatusCode::OK, "ready\n"),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::Full(text.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// Whether a request is for [`answer`].
pub fn is_admin(uri: &Uri) -> bool {
    uri.path().starts_with(PREFIX)
}

/// Answers an administrator. The caller has checked the signature.
///
/// # Errors
/// [`S3Code::MethodNotAllowed`], [`S3Code::InvalidUri`].
pub async fn answer(app: &App, parts: &Parts) -> S3Result<Response> {
    if parts.uri.path() != STATUS_PATH {
        return Err(S3Error::new(S3Code::InvalidUri));
    }
    if parts.method != Method::GET {
        return Err(S3Error::new(S3Code::MethodNotAllowed));
    }
    let status = ServerStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        region: app.region.clone(),
        uptime_seconds: app.clock.monotonic().as_secs(),
        requests: app.metrics.counts(),
        storage: app.status()?.status().await,
    };
    let mut json = serde_json::to_vec(&status).map_err(S3Error::internal)?;
    json.push(b'\n');
    let mut response = reply::empty();
    *response.body_mut() = json.into();
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
