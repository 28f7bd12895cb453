//! What is no S3: health checks, metrics, and what the command line asks a running server.
//!
//! - `/healthz` and `/readyz` answer requests that are not signed; a bucket of one of these names is listed with a signature only.
//! - `/_larder/metrics` is for Prometheus.
//! - `/_larder/v1/…` is the table of `endpoint.rs`: JSON in and out, signed by root, `POST` for whatever changes something. No bucket
//!   can be called `_larder`.
//!
//! A new endpoint is a file with a handler and a line in the table, and one in `openapi.rs`, which describes it in `docs/admin-api.json`. Its handler gets a [`AdminCall`] and answers with [`json`],
//! with [`lines()`] where the answer takes long or has no end, or with an [`AdminError`] whose message says what to do.

pub mod accounts;
pub mod buckets;
mod call;
pub mod disks;
pub mod encryption;
mod endpoint;
mod error;
pub mod heal;
mod health;
mod lines;
mod metrics;
#[cfg(test)]
mod openapi;
pub mod scrub;
pub mod status;
#[cfg(test)]
mod tests;
pub mod verify;

use std::sync::Arc;

use http::{HeaderValue, header, request::Parts};
use serde::Serialize;

pub use call::AdminCall;
pub use error::{AdminError, AdminResult, ErrorDocument, ErrorOf};
pub use health::health;
pub use lines::{Gone, LineBody, Lines, lines};
pub use metrics::METRICS_PATH;

use crate::{
    app::App,
    audit::Trail,
    error::{S3Code, S3Error},
    http::{Incoming, Peer, Response},
    op, reply,
    route::{self, Query},
};

/// What every path starts with that is no S3.
const PREFIX: &str = "/_larder/";
/// Where the endpoints of this version are.
pub const V1: &str = "/_larder/v1/";

/// Whether a request is for [`answer`]. A bucket in the host makes every path a key.
pub fn is_admin(app: &App, parts: &Parts) -> bool {
    parts.uri.path().starts_with(PREFIX)
        && route::host_bucket(&parts.uri, &parts.headers, &app.domains).is_none()
}

/// Answers an administrator, or a Prometheus. `stall`: how long a client may take nothing of a long answer.
///
/// # Errors
/// Those of the signature and of the endpoint.
pub async fn answer(
    app: &Arc<App>,
    parts: &Parts,
    body: &mut Incoming,
    stall: std::time::Duration,
    trail: &Trail,
) -> AdminResult<Response> {
    if metrics::has_token(app, parts) {
        return metrics::answer(app, parts).await;
    }
    let (caller, verified) = app.authenticate(parts)?;
    trail.asked_by(&caller, &verified.access_key, verified.carrier.as_str());
    if !caller.is_operator() {
        return Err(S3Error::new(S3Code::AccessDenied).into());
    }
    if parts.uri.path() == METRICS_PATH {
        return metrics::answer(app, parts).await;
    }
    let endpoint = endpoint::find(&parts.method, parts.uri.path())?;
    let query = Query::parse(parts.uri.query())?;
    let store = app.store()?;
    let s3 = op::Call {
        decided: op::Decided::default(),
        must_be_new: false,
        id: app.request_ids.next(),
        app,
        store,
        parts,
        query,
        caller,
        // Administrators are asked for nothing but their signature.
        peer: Peer::UNKNOWN,
        trail,
        verified,
        body,
    };
    endpoint.answer(AdminCall::new(app, s3, stall)).await
}

/// `200` with a JSON document.
///
/// # Errors
/// [`AdminError::internal`]: `value` is not to be had as JSON.
pub fn json(value: &impl Serialize) -> AdminResult<Response> {
    let mut json = serde_json::to_vec(value).map_err(AdminError::internal)?;
    json.push(b'\n');
    let mut response = reply::empty();
    *response.body_mut() = json.into();
    set_type(&mut response, "application/json");
    Ok(response)
}

fn set_type(response: &mut Response, kind: &'static str) {
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
}
