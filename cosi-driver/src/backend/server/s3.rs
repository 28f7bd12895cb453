//! What is asked of S3.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    connection::{Answer, Connection, Outgoing},
    documents,
    xml::{Element, can_hold},
};
use crate::backend::{
    BackendError, BackendResult, Configuration, DeleteFailure, Held, ListedBucket, NewBucket,
    ObjectVersion, Profile, Setting, Tags, Upload, UploadPage, VersionPage, profile_not_taken,
};

/// How many versions one request deletes: few enough that it ends in its time on slow disks.
const DELETE_BATCH: usize = 250;
/// What S3 leaves as it is in a value of a query.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// And in a path.
const PATH: &AsciiSet = &VALUE.remove(b'/');

/// Larder's own, in the request that makes a bucket and in the answer to `HeadBucket`.
const PROFILE: &str = "x-larder-profile";

struct Request<'a> {
    method: Method,
    bucket: &'a str,
    key: &'a str,
    /// Encoded, without the question mark.
    query: &'a str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl<'a> Request<'a> {
    fn new(method: Method, bucket: &'a str, query: &'a str) -> Self {
        Self {
            method,
            bucket,
            key: "",
            query,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    async fn send(mut self, connection: &Connection) -> BackendResult<Answer> {
        if !self.body.is_empty() {
            // Some documents are taken with a checksum only.
            let sum = STANDARD.encode(Sha256::digest(&self.body));
            self.headers.push(("x-amz-checksum-sha256", sum));
        }
        let request = Outgoing {
            service: "s3",
            method: self.method,
            path: &path(self.bucket, self.key, self.query),
            headers: &self.headers,
            body: self.body.into(),
            subject: self.bucket,
        };
        connection.ask(&request).await
    }

    async fn document(self, connection: &Connection) -> BackendResult<Element> {
        let answer = self.send(connection).await?;
        Element::parse(&answer.body).ok_or_else(|| BackendError::Refused {
            code: "NoS3".to_owned(),
            message: "the server's answer is none of S3's".to_owned(),
        })
    }
}

fn path(bucket: &str, key: &str, query: &str) -> String {
    let mut path = format!("/{}", value(bucket));
    if !key.is_empty() {
        path.push('/');
        path.extend(utf8_percent_encode(key, PATH));
    }
    if !query.is_empty() {
        path.push('?');
        path.push_str(query);
    }
    path
}

fn value(text: &str) -> String {
    utf8_percent_encode(text, VALUE).to_string()
}

/// `found`, unless the server says by one of these codes that there is none.
fn unless<T>(answer: BackendResult<T>, none: &[&str]) -> BackendResult<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(BackendError::Refused { code, .. }) if none.contains(&code.as_str()) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn create_bucket(
    connection: &Connection,
    bucket: &str,
    new: &NewBucket,
) -> BackendResult<()> {
    let mut request = Request::new(Method::PUT, bucket, "");
    request.body = documents::create_bucket(connection.region(), &new.tags);
    if new.object_lock {
        let header = ("x-amz-bucket-object-lock-enabled", "true".to_owned());
        request.headers.push(header);
    }
    if let Some(profile) = new.profile {
        request.headers.push((PROFILE, profile.to_string()));
    }
    let made = request.send(connection).await;
    unless(made, &["BucketAlreadyOwnedByYou"]).map(drop)
}

pub(super) async fn list_buckets(
    connection: &Connection,
    prefix: &str,
) -> BackendResult<Vec<ListedBucket>> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let mut query = format!("max-buckets=1000&prefix={}", value(prefix));
        if !next.is_empty() {
            query = format!("{query}&continuation-token={}", value(&next));
        }
        let page = Request::new(Method::GET, "", &query)
            .document(connection)
            .await?;
        all.extend(page.list("Buckets").iter().map(listed));
        let token = page.get("ContinuationToken");
        if token.is_empty() || token == next {
            return Ok(all);
        }
        token.clone_into(&mut next);
    }
}

fn listed(bucket: &Element) -> ListedBucket {
    ListedBucket {
        name: bucket.get("Name").to_owned(),
        created: instant(bucket.get("CreationDate")),
    }
}

/// The beginning of time where a server sends none.
pub(super) fn instant(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Removes a document, or with an empty `what` the bucket.
pub(super) async fn delete(connection: &Connection, bucket: &str, what: &str) -> BackendResult<()> {
    let request = Request::new(Method::DELETE, bucket, what);
    request.send(connection).await.map(drop)
}

/// Sets a document.
pub(super) async fn put(
    connection: &Connection,
    bucket: &str,
    what: &str,
    document: String,
) -> BackendResult<()> {
    let mut request = Request::new(Method::PUT, bucket, what);
    request.body = document;
    request.send(connection).await.map(drop)
}

/// A document; `None` where there is none, as one of these codes says.
async fn get(
    connection: &Connection,
    bucket: &str,
    what: &str,
    none: &[&str],
) -> BackendResult<Option<Element>> {
    let request = Request::new(Method::GET, bucket, what);
    unless(request.document(connection).await, none)
}

pub(super) async fn tags(connection: &Connection, bucket: &str) -> BackendResult<Tags> {
    let found = get(connection, bucket, "tagging", &["NoSuchTagSet"]).await?;
    Ok(found.map_or_else(Tags::new, |root| documents::read_tags(root.list("TagSet"))))
}

pub(super) async fn configure(
    connection: &Connection,
    bucket: &str,
    setting: &Setting,
) -> BackendResult<()> {
    let (what, document) = match setting {
        Setting::Versioning => ("versioning", documents::versioning()),
        Setting::ObjectLock(rule) => ("object-lock", documents::object_lock(*rule)),
        Setting::Lifecycle(lifecycle) => ("lifecycle", documents::lifecycle(lifecycle)),
        Setting::Encryption(encryption) => ("encryption", documents::encryption(encryption)),
        Setting::Profile(asked) if profile(connection, bucket).await? == Some(*asked) => {
            return Ok(());
        }
        Setting::Profile(asked) => return Err(profile_not_taken(*asked)),
        // S3 has none.
        Setting::Quota(_) => return Ok(()),
    };
    put(connection, bucket, what, document).await
}

/// How objects of a bucket are coded, where that is not as the server has it.
async fn profile(connection: &Connection, bucket: &str) -> BackendResult<Option<Profile>> {
    let request = Request::new(Method::HEAD, bucket, "");
    // The answer to a HEAD has no body that would name the error.
    let answer = unless(request.send(connection).await, &["404"])?;
    let answer = answer.ok_or_else(|| BackendError::NoSuchBucket(bucket.to_owned()))?;
    let profile = answer.headers.get(PROFILE);
    Ok(profile.and_then(|profile| Profile::parse(profile.to_str().ok()?)))
}

/// What S3 says about a bucket.
pub(super) async fn configuration(
    connection: &Connection,
    bucket: &str,
) -> BackendResult<Configuration> {
    const NO_LOCK: [&str; 1] = ["ObjectLockConfigurationNotFoundError"];
    const NO_LIFECYCLE: [&str; 1] = ["NoSuchLifecycleConfiguration"];
    const NO_ENCRYPTION: [&str; 1] = ["ServerSideEncryptionConfigurationNotFoundError"];
    let get = async |what, none| get(connection, bucket, what, none).await;
    let versioning = get("versioning", &[]).await?;
    let lock = get("object-lock", &NO_LOCK).await?;
    let lifecycle = get("lifecycle", &NO_LIFECYCLE).await?;
    let encryption = get("encryption", &NO_ENCRYPTION).await?;
    Ok(Configuration {
        versioning: versioning.is_some_and(|root| root.get("Status") == "Enabled"),
        object_lock: lock.as_ref().and_then(documents::read_object_lock),
        lifecycle: lifecycle
            .as_ref()
            .map(documents::read_lifecycle)
            .unwrap_or_default(),
        encryption: encryption.as_ref().and_then(documents::read_encryption),
        profile: profile(connection, bucket).await?,
        ..Configuration::default()
    })
}

pub(super) async fn policy(connection: &Connection, bucket: &str) -> BackendResult<Option<String>> {
    let request = Request::new(Method::GET, bucket, "policy");
    let answer = unless(request.send(connection).await, &["NoSuchBucketPolicy"])?;
    let text = |answer: Answer| String::from_utf8_lossy(&answer.body).into_owned();
    Ok(answer.map(text))
}

pub(super) async fn list_versions(
    connection: &Connection,
    bucket: &str,
) -> BackendResult<VersionPage> {
    let query = "versions=&encoding-type=url&max-keys=1000";
    let page = Request::new(Method::GET, bucket, query)
        .document(connection)
        .await?;
    let versions = page.children().iter().filter_map(version);
    Ok(VersionPage {
        versions: versions.collect(),
        is_truncated: page.get("IsTruncated") == "true",
    })
}

fn version(element: &Element) -> Option<ObjectVersion> {
    let is_marker = match element.name() {
        "Version" => false,
        "DeleteMarker" => true,
        _ => return None,
    };
    Some(ObjectVersion {
        key: decoded(element.get("Key")),
        version: element.get("VersionId").to_owned(),
        is_marker,
        is_latest: element.get("IsLatest") == "true",
    })
}

fn decoded(key: &str) -> String {
    let key = key.replace('+', " ");
    percent_decode_str(&key).decode_utf8_lossy().into_owned()
}

pub(super) async fn delete_versions(
    connection: &Connection,
    bucket: &str,
    versions: &[ObjectVersion],
) -> BackendResult<Vec<DeleteFailure>> {
    let (in_xml, others): (Vec<_>, Vec<_>) = versions.iter().partition(|one| can_hold(&one.key));
    let mut failures = Vec::new();
    for batch in in_xml.chunks(DELETE_BATCH) {
        failures.extend(delete_batch(connection, bucket, batch).await?);
    }
    for version in others {
        failures.extend(delete_version(connection, bucket, version).await?);
    }
    Ok(failures)
}

async fn delete_batch(
    connection: &Connection,
    bucket: &str,
    batch: &[&ObjectVersion],
) -> BackendResult<Vec<DeleteFailure>> {
    let mut request = Request::new(Method::POST, bucket, "delete=");
    request.body = documents::delete(batch);
    let answer = request.document(connection).await?;
    let failure = |error: &Element| {
        let is_it = |one: &&&ObjectVersion| {
            one.key == error.get("Key") && one.version == error.get("VersionId")
        };
        Some(DeleteFailure {
            version: (**batch.iter().find(is_it)?).clone(),
            code: error.get("Code").to_owned(),
            message: error.get("Message").trim_end_matches('.').to_owned(),
        })
    };
    Ok(answer.all("Error").filter_map(failure).collect())
}

/// A version whose key XML can't hold.
async fn delete_version(
    connection: &Connection,
    bucket: &str,
    version: &ObjectVersion,
) -> BackendResult<Option<DeleteFailure>> {
    let query = of_version("", version);
    let mut request = Request::new(Method::DELETE, bucket, &query);
    request.key = &version.key;
    match request.send(connection).await {
        Ok(_) => Ok(None),
        Err(BackendError::Denied { code, message } | BackendError::Refused { code, message }) => {
            Ok(Some(DeleteFailure {
                version: version.clone(),
                code,
                message,
            }))
        }
        Err(error) => Err(error),
    }
}

fn of_version(what: &str, version: &ObjectVersion) -> String {
    format!("{what}versionId={}", value(&version.version))
}

pub(super) async fn held(
    connection: &Connection,
    bucket: &str,
    version: &ObjectVersion,
) -> BackendResult<Held> {
    // A bucket without locks answers that it has none, and a delete marker that it is one.
    const NONE: [&str; 5] = [
        "NoSuchObjectLockConfiguration",
        "InvalidRequest",
        "MethodNotAllowed",
        "NoSuchKey",
        "NoSuchVersion",
    ];
    let get = async |what: &str| {
        let query = of_version(what, version);
        let mut request = Request::new(Method::GET, bucket, &query);
        request.key = &version.key;
        unless(request.document(connection).await, &NONE)
    };
    let retention = get("retention=&").await?;
    let legal_hold = get("legal-hold=&").await?;
    Ok(Held {
        retention: retention.as_ref().and_then(documents::read_retention),
        legal_hold: legal_hold.is_some_and(|root| root.get("Status") == "ON"),
    })
}

pub(super) async fn list_uploads(
    connection: &Connection,
    bucket: &str,
) -> BackendResult<UploadPage> {
    let query = "uploads=&encoding-type=url&max-uploads=1000";
    let page = Request::new(Method::GET, bucket, query)
        .document(connection)
        .await?;
    let upload = |upload: &Element| Upload {
        key: decoded(upload.get("Key")),
        id: upload.get("UploadId").to_owned(),
    };
    Ok(UploadPage {
        uploads: page.all("Upload").map(upload).collect(),
        is_truncated: page.get("IsTruncated") == "true",
    })
}

pub(super) async fn abort_upload(
    connection: &Connection,
    bucket: &str,
    upload: &Upload,
) -> BackendResult<()> {
    let query = format!("uploadId={}", value(&upload.id));
    let mut request = Request::new(Method::DELETE, bucket, &query);
    request.key = &upload.key;
    unless(request.send(connection).await, &["NoSuchUpload"]).map(drop)
}
