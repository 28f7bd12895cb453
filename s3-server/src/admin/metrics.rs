//! `GET /_larder/metrics`: what Prometheus collects.
//!
//! For whoever can sign with the root credentials or has the bearer token of `LARDER_METRICS_TOKEN`; for nobody else.

mod notify;
mod requests;
mod storage;

use http::{HeaderValue, Method, header, request::Parts};
use subtle::ConstantTimeEq as _;

use super::{AdminError, AdminResult, set_type};
use crate::{app::App, http::Response, metrics::Exposition, reply};

/// Where Prometheus collects.
pub const METRICS_PATH: &str = "/_larder/metrics";
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a request for metrics has the right bearer token.
pub(super) fn has_token(app: &App, parts: &Parts) -> bool {
    let Some(token) = &app.metrics_token else {
        return false;
    };
    let given = parts.headers.get(header::AUTHORIZATION).and_then(bearer);
    parts.uri.path() == METRICS_PATH
        && given.is_some_and(|given| bool::from(given.ct_eq(token.as_bytes())))
}

fn bearer(authorization: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = authorization.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then_some(token.trim_ascii())
}

/// The metrics. The caller has checked who asks.
pub(super) async fn answer(app: &App, parts: &Parts) -> AdminResult<Response> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        let message = format!("{METRICS_PATH} is asked with GET");
        return Err(AdminError::method_not_allowed(message));
    }
    let mut out = Exposition::default();
    requests::write(app, &mut out);
    notify::write(app, &mut out);
    if let Ok(storage) = app.storage() {
        storage::write(app, storage, &mut out).await;
    }
    let mut response = reply::empty();
    *response.body_mut() = out.into_text().into();
    set_type(&mut response, CONTENT_TYPE);
    Ok(response)
}
