//! `PutBucketCors`, `GetBucketCors`, `DeleteBucketCors`; preflights, and what browsers look for in all other answers.
//!
//! A preflight carries no signature. It is answered by the rules alone, and says nothing of what is in the bucket.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use larder_storage::objects::{BucketName, DocumentKind};

use super::{Call, call::text, small_body};
use crate::{
    app::App,
    cors::{Asked, CorsRule, CorsRules, METHODS},
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    route::{self, Target},
    xml::{
        parse::{MAX_SMALL_BYTES, cors_configuration},
        write,
    },
};

const VARY: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
);
const NOT_ENABLED: &str = "CORSResponse: CORS is not enabled for this bucket.";
const NOT_ALLOWED: &str = "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.";

pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let rules = cors_configuration(&body)?;
    rules.check()?;
    let document = write::cors_configuration(&rules);
    let set = call
        .store
        .set_document(bucket, DocumentKind::Cors, Some(document.as_bytes()));
    set.await?;
    Ok(reply::empty())
}

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let found = call.store.document(bucket, DocumentKind::Cors).await?;
    let Some(document) = found else {
        let error = S3Error::new(S3Code::NoSuchCorsConfiguration);
        return Err(error.element("BucketName", bucket.as_str()));
    };
    Ok(reply::xml(document.bytes().to_vec()))
}

pub(super) async fn delete(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let store = call.store;
    store.set_document(bucket, DocumentKind::Cors, None).await?;
    Ok(reply::no_content())
}

/// Whether a request is a browser's question what it may ask.
pub(crate) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
}

/// Answers a preflight.
///
/// # Errors
/// [`S3Code::BadRequest`] for what is no preflight, [`S3Code::AccessForbidden`] where no rule allows what is asked,
/// [`S3Code::NoSuchBucket`].
pub(crate) async fn preflight(app: &App, parts: &Parts) -> S3Result<Response> {
    let asked = announced(&parts.headers)?;
    let refused = |message, resource| {
        S3Error::with_message(S3Code::AccessForbidden, message)
            .element("Method", asked.method)
            .element("ResourceType", resource)
    };
    let (bucket, resource) = match route::target(&parts.uri, &parts.headers, &app.domains)? {
        Target::Service => return Err(refused(NOT_ENABLED, "SERVICE")),
        Target::Bucket(bucket) => (bucket, "BUCKET"),
        Target::Object(bucket, _) => (bucket, "OBJECT"),
    };
    let Some(rules) = rules(app, &bucket).await? else {
        return Err(refused(NOT_ENABLED, resource));
    };
    let Some(rule) = rules.find(&asked) else {
        return Err(refused(NOT_ALLOWED, resource));
    };
    let mut response = reply::empty();
    let headers = response.headers_mut();
    allow(headers, rule, asked.origin);
    if !asked.headers.is_empty() {
        let allowed = asked.headers.join(", ").to_ascii_lowercase();
        reply::set(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, &allowed);
    }
    Ok(response)
}

/// Adds what a browser looks for, where the request comes from a page and a rule of the bucket is for it.
pub(crate) async fn expose(app: &App, parts: &Parts, response: &mut Response) {
    let Some(origin) = text(&parts.headers, header::ORIGIN) else {
        return;
    };
    let bucket = match route::target(&parts.uri, &parts.headers, &app.domains) {
        Ok(Target::Bucket(bucket) | Target::Object(bucket, _)) => bucket,
        Ok(Target::Service) | Err(_) => return,
    };
    // Without rules, or without a store to read them from, a page gets to see nothing.
    let Ok(Some(rules)) = rules(app, &bucket).await else {
        return;
    };
    let (method, headers) = (parts.method.as_str(), Vec::new());
    let asked = Asked {
        origin,
        method,
        headers,
    };
    if let Some(rule) = rules.find(&asked) {
        allow(response.headers_mut(), rule, origin);
    }
}

async fn rules(app: &App, bucket: &BucketName) -> S3Result<Option<Arc<CorsRules>>> {
    let found = app.store()?.document(bucket, DocumentKind::Cors).await?;
    // What does not parse was written by a newer release: then nothing is allowed.
    let parse = |bytes: &[u8]| cors_configuration(bytes).unwrap_or_default();
    Ok(found.map(|document| document.parsed(parse)))
}

/// What a preflight asks.
fn announced(headers: &HeaderMap) -> S3Result<Asked<'_>> {
    let bad = |message: String| Err(S3Error::with_message(S3Code::BadRequest, message));
    let Some(origin) = text(headers, header::ORIGIN) else {
        return bad("Insufficient information. Origin request header needed.".to_owned());
    };
    let method = text(headers, header::ACCESS_CONTROL_REQUEST_METHOD);
    let Some(method) = method.filter(|method| METHODS.contains(method)) else {
        let method = method.unwrap_or("null");
        return bad(format!("Invalid Access-Control-Request-Method: {method}"));
    };
    let listed = text(headers, header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
    let listed = listed.split(',').map(str::trim);
    Ok(Asked {
        origin,
        method,
        headers: listed.filter(|name| !name.is_empty()).collect(),
    })
}

fn allow(headers: &mut HeaderMap, rule: &CorsRule, origin: &str) {
    if rule.is_for_all() {
        reply::set(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    } else {
        reply::set(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        reply::set(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    let methods = rule.methods.join(", ");
    reply::set(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &methods);
    if !rule.exposed.is_empty() {
        let exposed = rule.exposed.join(", ");
        reply::set(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &exposed);
    }
    if let Some(seconds) = rule.max_age_seconds {
        reply::set_number(headers, header::ACCESS_CONTROL_MAX_AGE, u64::from(seconds));
    }
    headers.insert(header::VARY, VARY);
}
