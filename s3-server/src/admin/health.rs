//! `/healthz` and `/readyz`.

use http::{HeaderValue, Method, StatusCode, header, request::Parts};

use crate::{
    app::App,
    http::{Body, Response},
};

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
    Some(if path == "/healthz" {
        text(StatusCode::OK, "ok\n")
    } else {
        readiness(app)
    })
}

fn readiness(app: &App) -> Response {
    let unready = |why| text(StatusCode::SERVICE_UNAVAILABLE, why);
    match app.storage() {
        Err(_) => unready("starting\n"),
        Ok(storage) if !storage.is_writable() => unready("too few disks\n"),
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
