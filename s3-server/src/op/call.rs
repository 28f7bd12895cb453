//! One request on its way to an operation.

use std::{borrow::Cow, sync::Arc};

use http::{
    HeaderMap, HeaderName,
    header::{self, AsHeaderName},
    request::Parts,
};
use larder_storage::objects::{
    BucketName, ObjectHandle, ObjectKey, PartNumber, Store, StoreError, UploadId, VersionId,
};

use super::authorize::Decided;
use crate::{
    accounts::Caller,
    app::App,
    audit::Trail,
    error::{S3Code, S3Error, S3Result},
    http::{Client, Incoming, Peer, RequestId},
    http_date,
    notify::RequestHerald,
    reply::DELETE_MARKER,
    route::{Operation, Query},
    sigv4::Verified,
};

/// The length of AWS's version ids.
const VERSION_ID_CHARS: usize = 32;

/// Headers that may hold other text than ASCII: what is kept of them is shown again, and nothing is decided by it.
const FREE_TEXT: [&str; 2] = ["x-amz-meta-", "x-amz-website-redirect-location"];

/// A request whose signature is right, with all that an operation needs.
#[derive(Debug)]
pub struct Call<'a> {
    /// What all requests share.
    pub app: &'a App,
    /// The store.
    pub store: &'a Store,
    /// Method, URI and headers.
    pub parts: &'a Parts,
    /// The query, decoded.
    pub query: Query,
    /// Who asks.
    pub caller: Caller,
    /// Where the connection comes from: the client, or a proxy.
    pub peer: Peer,
    /// What is found out about the request, for the audit log.
    pub trail: &'a Trail,
    /// How the body is protected.
    pub verified: Verified,
    /// What the decision to serve it rested on.
    pub decided: Decided,
    /// Whether the caller may write only what is not there yet.
    pub must_be_new: bool,
    /// What the request is called.
    pub id: RequestId,
    /// The body, not asked for yet.
    pub body: &'a mut Incoming,
}

impl Call<'_> {
    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// A header's value, trimmed; `None` where it is missing or not text.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        text(&self.parts.headers, name)
    }

    /// Who asks, by the connection or by what trusted proxies say.
    pub fn client(&self) -> Client {
        self.app.trusted_proxies.client(&self.peer, self.headers())
    }

    /// The store for what `operation` writes: whoever is told of it is told who has asked.
    pub(super) fn heralded(&self, operation: Operation) -> Store {
        self.store.heralded(Arc::new(RequestHerald {
            notify: Arc::clone(&self.app.notify),
            operation,
            caller: self.caller.clone(),
            address: self.client().address,
            id: self.id,
        }))
    }

    /// `Content-Length`; `None` where the body comes in HTTP chunks.
    pub fn content_length(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH)?.parse().ok()
    }

    /// `partNumber` of the query.
    ///
    /// # Errors
    /// [`S3Code::InvalidArgument`] if it is not 1 to 10,000.
    pub fn part_number(&self) -> S3Result<Option<PartNumber>> {
        let Some(text) = self.query.get("partNumber") else {
            return Ok(None);
        };
        let number = text.parse().ok().and_then(PartNumber::new);
        let message = "Part number must be an integer between 1 and 10000, inclusive";
        number
            .map(Some)
            .ok_or_else(|| invalid_argument("partNumber", text, message))
    }

    /// `uploadId` of the query.
    ///
    /// # Errors
    /// [`S3Code::NoSuchUpload`] for what no upload was ever called.
    pub fn upload_id(&self) -> S3Result<UploadId> {
        let text = self.query.get("uploadId").unwrap_or_default();
        text.parse()
            .map_err(|_| S3Error::new(S3Code::NoSuchUpload).element("UploadId", text))
    }

    /// `versionId` of the query.
    ///
    /// # Errors
    /// [`S3Code::InvalidArgument`] for what no version could be called.
    pub fn version_id(&self) -> S3Result<Option<VersionId>> {
        self.query.get("versionId").map(parse_version).transpose()
    }

    /// The object that the request names, or the version of it: the one that was decided about.
    ///
    /// # Errors
    /// As the object's absence is told; [`S3Code::ServiceUnavailable`] where another took its place since the decision.
    pub async fn object(&self, bucket: &BucketName, key: &ObjectKey) -> S3Result<ObjectHandle> {
        let version = self.version_id()?;
        let found = self.decided.object(self.store, bucket, key, version).await;
        found.map_err(|error| self.missing(error, key))
    }

    /// What an object that is not there, or a version, is to the client: it names itself, as in AWS's answers.
    pub fn missing(&self, error: StoreError, key: &ObjectKey) -> S3Error {
        missing_version(error, key, self.query.get("versionId"))
    }
}

/// What an object that is not there, or the version of it that was asked for, is to the client.
pub(super) fn missing_version(
    error: StoreError,
    key: &ObjectKey,
    version: Option<&str>,
) -> S3Error {
    match &error {
        StoreError::NoSuchKey => S3Error::new(S3Code::NoSuchKey).element("Key", key.as_str()),
        StoreError::NoSuchVersion => S3Error::new(S3Code::NoSuchVersion)
            .element("Key", key.as_str())
            .element("VersionId", version.unwrap_or_default()),
        StoreError::DeleteMarker {
            version,
            modified_unix_millis,
            is_named,
        } => delete_marker(*version, *modified_unix_millis, *is_named).element("Key", key.as_str()),
        _ => return error.into(),
    }
    .source_of(error)
}

fn delete_marker(version: VersionId, modified_unix_millis: u64, is_named: bool) -> S3Error {
    let code = if is_named {
        S3Code::MethodNotAllowed
    } else {
        S3Code::NoSuchKey
    };
    let error = S3Error::new(code)
        .element("ResourceType", DELETE_MARKER)
        .element("VersionId", version.to_string());
    let modified = http_date::header(modified_unix_millis);
    match modified.to_str() {
        Ok(modified) if is_named => error.element("LastModified", modified),
        _ => error,
    }
}

/// The version that a client names. One that is called as AWS calls its versions is none of ours, and so not there.
///
/// # Errors
/// [`S3Code::InvalidArgument`] for what no version could be called.
pub(super) fn parse_version(version: &str) -> S3Result<VersionId> {
    let could_be = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if let Ok(id) = version.parse() {
        return Ok(id);
    }
    match version {
        "" => {
            let message = "Version id cannot be the empty string";
            Err(invalid_argument("versionId", version, message))
        }
        _ if version.len() == VERSION_ID_CHARS && version.bytes().all(could_be) => {
            Ok(VersionId::Number(0))
        }
        _ => {
            let message = "Invalid version id specified";
            Err(invalid_argument("versionId", version, message))
        }
    }
}

/// A header's value, trimmed.
pub(super) fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Refuses headers that say what is to be done in bytes that are no ASCII: [`text`] would take them for missing, and a condition
/// or a checksum that nobody reads is worse than one that fails.
///
/// # Errors
/// [`S3Code::InvalidArgument`].
pub(super) fn check_readable(headers: &HeaderMap) -> S3Result<()> {
    let decides = |name: &str| {
        name.starts_with("if-")
            || ["range", "content-md5"].contains(&name)
            || name.starts_with("x-amz-") && !FREE_TEXT.iter().any(|free| name.starts_with(free))
    };
    let unreadable = headers
        .iter()
        .find(|(name, value)| value.to_str().is_err() && decides(name.as_str()));
    let Some((name, value)) = unreadable else {
        return Ok(());
    };
    // A copy's source is to be URL-encoded; where it is plain UTF-8 it means itself.
    if name == "x-amz-copy-source" && std::str::from_utf8(value.as_bytes()).is_ok() {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(value.as_bytes());
    let message = "Header values must be ASCII";
    Err(invalid_argument(name.as_str(), &shown, message))
}

/// `InvalidArgument` with what was wrong.
pub(super) fn invalid_argument(
    name: &str,
    value: &str,
    message: impl Into<Cow<'static, str>>,
) -> S3Error {
    S3Error::with_message(S3Code::InvalidArgument, message)
        .element("ArgumentName", name)
        .element("ArgumentValue", value)
}

/// Refuses headers that ask for what is not built, rather than quietly doing less.
///
/// # Errors
/// [`S3Code::NotImplemented`], [`S3Code::InvalidRequest`].
pub(super) fn check_unbuilt_headers(headers: &HeaderMap) -> S3Result<()> {
    for name in headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|n| n.starts_with("x-amz-"))
    {
        if name == "x-amz-write-offset-bytes" {
            return Err(S3Error::new(S3Code::NotImplemented).element("Header", name));
        }
    }
    Ok(())
}

/// What AWS answers to whatever has to do with the lock of an object in a bucket without.
pub(super) fn no_object_lock() -> S3Error {
    let message = "Bucket is missing Object Lock Configuration";
    S3Error::with_message(S3Code::InvalidRequest, message)
}
