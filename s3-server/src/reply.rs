//! Building answers: names of headers, XML bodies, errors.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use larder_storage::objects::{ETag, VersionId};

use crate::{
    error::{S3Code, S3Error},
    http::{Body, Response},
    xml,
};

macro_rules! headers {
    ($($name:ident = $text:literal;)+) => {
        $(#[doc = concat!("`", $text, "`")] pub const $name: HeaderName = HeaderName::from_static($text);)+
    };
}

headers! {
    X_AMZ_ABORT_DATE = "x-amz-abort-date";
    X_AMZ_ABORT_RULE_ID = "x-amz-abort-rule-id";
    X_AMZ_BUCKET_REGION = "x-amz-bucket-region";
    X_AMZ_CHECKSUM_TYPE = "x-amz-checksum-type";
    X_AMZ_CHECKSUM_ALGORITHM = "x-amz-checksum-algorithm";
    X_AMZ_DELETE_MARKER = "x-amz-delete-marker";
    X_AMZ_COPY_SOURCE_VERSION_ID = "x-amz-copy-source-version-id";
    X_AMZ_EXPIRATION = "x-amz-expiration";
    X_AMZ_ID_2 = "x-amz-id-2";
    X_AMZ_MP_PARTS_COUNT = "x-amz-mp-parts-count";
    X_AMZ_OBJECT_LOCK_LEGAL_HOLD = "x-amz-object-lock-legal-hold";
    X_AMZ_OBJECT_LOCK_MODE = "x-amz-object-lock-mode";
    X_AMZ_OBJECT_LOCK_RETAIN_UNTIL_DATE = "x-amz-object-lock-retain-until-date";
    X_AMZ_REQUEST_ID = "x-amz-request-id";
    X_AMZ_TAGGING_COUNT = "x-amz-tagging-count";
    X_AMZ_TRANSITION_SIZE = "x-amz-transition-default-minimum-object-size";
    X_AMZ_VERSION_ID = "x-amz-version-id";
}

/// What an error's `ResourceType` says of a delete marker.
pub const DELETE_MARKER: &str = "DeleteMarker";

/// `200` with nothing in it.
pub fn empty() -> Response {
    Response::new(Body::Empty)
}

/// `204`.
pub fn no_content() -> Response {
    with_status(StatusCode::NO_CONTENT)
}

/// `status` with nothing in it.
pub fn with_status(status: StatusCode) -> Response {
    let mut response = empty();
    *response.status_mut() = status;
    response
}

/// `200` with an XML document.
pub fn xml(document: impl Into<Body>) -> Response {
    let mut response = Response::new(document.into());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    response
}

/// Sets a header whose value comes from a client or the store; a value that no header can have is left out.
pub fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}

/// Larder's own: how a bucket's objects are coded. Asked for when it is made, and in the answer of `HeadBucket`, where it is not as the cluster's.
pub const X_LARDER_PROFILE: &str = "x-larder-profile";

/// Says which version an answer is about, in a bucket that has versions.
pub fn set_version(headers: &mut HeaderMap, version: Option<VersionId>) {
    if let Some(version) = version {
        set(headers, X_AMZ_VERSION_ID, &version.to_string());
    }
}

/// Sets a number.
pub fn set_number(headers: &mut HeaderMap, name: HeaderName, value: u64) {
    headers.insert(name, HeaderValue::from(value));
}

/// An entity tag in its quotes.
pub fn quoted(etag: &ETag) -> HeaderValue {
    HeaderValue::try_from(format!("\"{etag}\"")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The answer that an error is.
pub fn error(error: &S3Error, path: &str, request_id: &str) -> Response {
    let mut response = xml(xml::write::error(error, path, request_id, request_id));
    *response.status_mut() = error.status();
    error_headers(error, response.headers_mut());
    response
}

/// What clients read from headers rather than from the document.
fn error_headers(error: &S3Error, headers: &mut HeaderMap) {
    let element = |name: &str| {
        error
            .elements()
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.as_str())
    };
    if let Some(region) = element("Region") {
        set(headers, X_AMZ_BUCKET_REGION, region);
    }
    if element("ResourceType") == Some(DELETE_MARKER) {
        headers.insert(X_AMZ_DELETE_MARKER, HeaderValue::from_static("true"));
        let version = element("VersionId").unwrap_or_default();
        set(headers, X_AMZ_VERSION_ID, version);
        if let Some(modified) = element("LastModified") {
            set(headers, header::LAST_MODIFIED, modified);
        }
    }
    match error.code() {
        S3Code::InvalidRange => {
            let size = element("ActualObjectSize").unwrap_or("*");
            set(headers, header::CONTENT_RANGE, &format!("bytes */{size}"));
        }
        S3Code::NotModified => {
            set(headers, header::ETAG, element("ETag").unwrap_or_default());
            set(
                headers,
                header::LAST_MODIFIED,
                element("LastModified").unwrap_or_default(),
            );
        }
        S3Code::SlowDown | S3Code::ServiceUnavailable => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
}
