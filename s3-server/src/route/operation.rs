//! Method and subresource to operation.

use http::{HeaderMap, Method};

use super::{Query, Target};
use crate::error::{S3Code, S3Error, S3Result};

/// An S3 operation that is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is an S3 operation of that name")]
pub enum Operation {
    ListBuckets,
    CreateBucket,
    HeadBucket,
    DeleteBucket,
    GetBucketLocation,
    GetBucketCors,
    PutBucketCors,
    DeleteBucketCors,
    GetBucketLogging,
    PutBucketLogging,
    GetBucketNotificationConfiguration,
    PutBucketNotificationConfiguration,
    GetBucketTagging,
    PutBucketTagging,
    DeleteBucketTagging,
    GetBucketVersioning,
    PutBucketVersioning,
    GetBucketLifecycleConfiguration,
    PutBucketLifecycleConfiguration,
    DeleteBucketLifecycle,
    GetObjectLockConfiguration,
    PutObjectLockConfiguration,
    GetObjectRetention,
    PutObjectRetention,
    GetObjectLegalHold,
    PutObjectLegalHold,
    GetBucketPolicy,
    PutBucketPolicy,
    DeleteBucketPolicy,
    GetBucketPolicyStatus,
    GetBucketEncryption,
    PutBucketEncryption,
    DeleteBucketEncryption,
    GetPublicAccessBlock,
    PutPublicAccessBlock,
    DeletePublicAccessBlock,
    GetBucketOwnershipControls,
    PutBucketOwnershipControls,
    DeleteBucketOwnershipControls,
    GetBucketAcl,
    PutBucketAcl,
    GetObjectAcl,
    PutObjectAcl,
    /// Reading a configuration that Larder cannot set: answered as AWS does where none is set.
    GetUnset(Configuration),
    ListObjects,
    ListObjectsV2,
    ListObjectVersions,
    ListMultipartUploads,
    DeleteObjects,
    /// An upload by form: its key is in its body.
    PostObject,
    PutObject,
    CopyObject,
    GetObject,
    HeadObject,
    DeleteObject,
    GetObjectAttributes,
    GetObjectTagging,
    PutObjectTagging,
    DeleteObjectTagging,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
}

/// A configuration that buckets and objects do not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is a subresource of that name")]
pub enum Configuration {
    Accelerate,
    Replication,
    RequestPayment,
    Website,
}

/// Subresources of a bucket that can be read though never set.
const BUCKET_CONFIGURATIONS: &[(&str, Configuration)] = &[
    ("accelerate", Configuration::Accelerate),
    ("replication", Configuration::Replication),
    ("requestPayment", Configuration::RequestPayment),
    ("website", Configuration::Website),
];

/// Subresources of an object that can be read though never set.
const OBJECT_CONFIGURATIONS: &[(&str, Configuration)] = &[];

/// Subresources that Larder knows and has not built.
const NOT_BUILT: &[&str] = &[
    "abac",
    "analytics",
    "annotation",
    "intelligent-tiering",
    "inventory",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "renameObject",
    "restore",
    "select",
    "session",
    "torrent",
];

/// Subresources that turn a request into another operation by their name alone.
#[cfg(test)]
pub(crate) fn subresources() -> impl Iterator<Item = &'static str> {
    let tables = BUCKET_CONFIGURATIONS.iter().chain(OBJECT_CONFIGURATIONS);
    let built = [
        "acl",
        "cors",
        "delete",
        "encryption",
        "legal-hold",
        "lifecycle",
        "location",
        "logging",
        "notification",
        "object-lock",
        "ownershipControls",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "retention",
        "tagging",
        "uploadId",
        "uploads",
        "versioning",
        "versions",
    ];
    tables
        .map(|&(name, _)| name)
        .chain(NOT_BUILT.iter().copied())
        .chain(built)
}

/// The operation that a request asks for.
///
/// # Errors
/// [`S3Code::NotImplemented`] for what AWS has and Larder has not, [`S3Code::MethodNotAllowed`] for
/// what nobody has.
pub fn operation(
    method: &Method,
    target: &Target,
    query: &Query,
    headers: &HeaderMap,
) -> S3Result<Operation> {
    let found = match target {
        Target::Service => service(method),
        Target::Bucket(_) => bucket(method, query)?,
        Target::Object(..) => object(method, query, headers.contains_key("x-amz-copy-source"))?,
    };
    found.ok_or_else(|| S3Error::new(S3Code::MethodNotAllowed).element("Method", method.as_str()))
}

type Found = Option<Operation>;

fn service(method: &Method) -> Found {
    (method == Method::GET).then_some(Operation::ListBuckets)
}

fn bucket(method: &Method, query: &Query) -> S3Result<Found> {
    if let Some(found) = configuration(BUCKET_CONFIGURATIONS, method, query) {
        return found;
    }
    not_built(query)?;
    let has = |name| query.has(name);
    Ok(match method.as_str() {
        "GET" if has("location") => Some(Operation::GetBucketLocation),
        "GET" if has("versioning") => Some(Operation::GetBucketVersioning),
        "PUT" if has("versioning") => Some(Operation::PutBucketVersioning),
        _ if has("versioning") => None,
        _ if has("cors") => cors(method),
        _ if has("tagging") => bucket_tagging(method),
        "GET" if has("logging") => Some(Operation::GetBucketLogging),
        "PUT" if has("logging") => Some(Operation::PutBucketLogging),
        _ if has("logging") => None,
        _ if has("notification") => get_or_put(
            method,
            Operation::GetBucketNotificationConfiguration,
            Operation::PutBucketNotificationConfiguration,
        ),
        "GET" if has("object-lock") => Some(Operation::GetObjectLockConfiguration),
        "PUT" if has("object-lock") => Some(Operation::PutObjectLockConfiguration),
        _ if has("object-lock") => None,
        "GET" if has("lifecycle") => Some(Operation::GetBucketLifecycleConfiguration),
        "PUT" if has("lifecycle") => Some(Operation::PutBucketLifecycleConfiguration),
        "DELETE" if has("lifecycle") => Some(Operation::DeleteBucketLifecycle),
        _ if has("lifecycle") => None,
        _ if has("encryption") => encryption(method),
        _ if has("policy") => policy(method),
        "GET" if has("policyStatus") => Some(Operation::GetBucketPolicyStatus),
        _ if has("policyStatus") => None,
        _ if has("publicAccessBlock") => public_access_block(method),
        _ if has("ownershipControls") => ownership_controls(method),
        "GET" if has("acl") => Some(Operation::GetBucketAcl),
        "PUT" if has("acl") => Some(Operation::PutBucketAcl),
        _ if has("acl") => None,
        "GET" if has("versions") => Some(Operation::ListObjectVersions),
        "GET" if has("uploads") => Some(Operation::ListMultipartUploads),
        "GET" if query.get("list-type") == Some("2") => Some(Operation::ListObjectsV2),
        "GET" => Some(Operation::ListObjects),
        "HEAD" => Some(Operation::HeadBucket),
        "PUT" => Some(Operation::CreateBucket),
        "DELETE" => Some(Operation::DeleteBucket),
        "POST" if has("delete") => Some(Operation::DeleteObjects),
        "POST" => Some(Operation::PostObject),
        _ => None,
    })
}

fn object(method: &Method, query: &Query, copies: bool) -> S3Result<Found> {
    if let Some(found) = configuration(OBJECT_CONFIGURATIONS, method, query) {
        return found;
    }
    not_built(query)?;
    Ok(match () {
        () if query.has("tagging") => tagging(method),
        () if query.has("retention") => get_or_put(
            method,
            Operation::GetObjectRetention,
            Operation::PutObjectRetention,
        ),
        () if query.has("legal-hold") => get_or_put(
            method,
            Operation::GetObjectLegalHold,
            Operation::PutObjectLegalHold,
        ),
        () if query.has("acl") => acl(method),
        () if query.has("attributes") && method == Method::GET => {
            Some(Operation::GetObjectAttributes)
        }
        () if query.has("uploads") && method == Method::POST => {
            Some(Operation::CreateMultipartUpload)
        }
        () if query.has("uploadId") => upload(method, copies),
        () if query.has("partNumber") && method == Method::PUT => return Err(part_of_nothing()),
        () => plain_object(method, copies),
    })
}

/// A part without its upload would otherwise replace the whole object.
fn part_of_nothing() -> S3Error {
    let message = "This operation does not accept partNumber without uploadId";
    S3Error::with_message(S3Code::InvalidArgument, message)
        .element("ArgumentName", "partNumber")
        .element("ArgumentValue", "partNumber")
}

fn cors(method: &Method) -> Found {
    match method.as_str() {
        "GET" => Some(Operation::GetBucketCors),
        "PUT" => Some(Operation::PutBucketCors),
        "DELETE" => Some(Operation::DeleteBucketCors),
        _ => None,
    }
}

fn bucket_tagging(method: &Method) -> Found {
    match method.as_str() {
        "GET" => Some(Operation::GetBucketTagging),
        "PUT" => Some(Operation::PutBucketTagging),
        "DELETE" => Some(Operation::DeleteBucketTagging),
        _ => None,
    }
}

fn get_or_put(method: &Method, get: Operation, put: Operation) -> Found {
    match method.as_str() {
        "GET" => Some(get),
        "PUT" => Some(put),
        _ => None,
    }
}

fn encryption(method: &Method) -> Found {
    match method.as_str() {
        "GET" => Some(Operation::GetBucketEncryption),
        "PUT" => Some(Operation::PutBucketEncryption),
        "DELETE" => Some(Operation::DeleteBucketEncryption),
        _ => None,
    }
}

fn policy(method: &Method) -> Found {
    match method.as_str() {
        "GET" => Some(Operation::GetBucketPolicy),
        "PUT" => Some(Operation::PutBucketPolicy),
        "DELETE" => Some(Operation::DeleteBucketPolicy),
        _ => None,
    }
}

fn public_access_block(method: &Method) -> Found {
    match method.as_str() {
        "GET" => Some(Operation::GetPublicAccessBlock),
        "PUT" => Some(Operation::PutPublicAccessBlock),
        "DELETE" => Some(Operation::DeletePublicAccessBlock),
        _ => None,
    }
}

fn ownership_controls(method: &Method) -> Found {
    match method.as_str() {
        "GET" => Some(Operation::GetBucketOwnershipControls),
        "PUT" => Some(Operation::PutBucketOwnershipControls),
        "DELETE" => Some(Operation::DeleteBucketOwnershipControls),
        _ => None,
    }
}

/// Of an object.
fn acl(method: &Method) -> Found {
    match method.as_str() {
        "GET" => Some(Operation::GetObjectAcl),
        "PUT" => Some(Operation::PutObjectAcl),
        _ => None,
    }
}

fn tagging(method: &Method) -> Found {
    match method.as_str() {
        "GET" => Some(Operation::GetObjectTagging),
        "PUT" => Some(Operation::PutObjectTagging),
        "DELETE" => Some(Operation::DeleteObjectTagging),
        _ => None,
    }
}

fn upload(method: &Method, copies: bool) -> Found {
    match method.as_str() {
        "PUT" if copies => Some(Operation::UploadPartCopy),
        "PUT" => Some(Operation::UploadPart),
        "POST" => Some(Operation::CompleteMultipartUpload),
        "DELETE" => Some(Operation::AbortMultipartUpload),
        "GET" => Some(Operation::ListParts),
        _ => None,
    }
}

fn plain_object(method: &Method, copies: bool) -> Found {
    match method.as_str() {
        "GET" => Some(Operation::GetObject),
        "HEAD" => Some(Operation::HeadObject),
        "PUT" if copies => Some(Operation::CopyObject),
        "PUT" => Some(Operation::PutObject),
        "DELETE" => Some(Operation::DeleteObject),
        _ => None,
    }
}

/// `Some` when the query names one of `table`.
fn configuration(
    table: &[(&str, Configuration)],
    method: &Method,
    query: &Query,
) -> Option<S3Result<Found>> {
    let find = |name: &str| table.iter().find(|(n, _)| *n == name);
    let &(name, configuration) = query.names().find_map(find)?;
    Some(match method.as_str() {
        "GET" => Ok(Some(Operation::GetUnset(configuration))),
        "PUT" | "POST" | "DELETE" => Err(not_implemented(name)),
        _ => Ok(None),
    })
}

fn not_built(query: &Query) -> S3Result<()> {
    let known = |name: &&str| NOT_BUILT.contains(name);
    query
        .names()
        .find(known)
        .map_or(Ok(()), |name| Err(not_implemented(name)))
}

fn not_implemented(what: &str) -> S3Error {
    S3Error::with_message(
        S3Code::NotImplemented,
        format!("Larder does not implement {what} yet."),
    )
}

impl Operation {
    /// Whether it changes objects, which somebody may be told of.
    pub const fn writes_objects(self) -> bool {
        matches!(
            self,
            Self::PutObject
                | Self::PostObject
                | Self::CopyObject
                | Self::CompleteMultipartUpload
                | Self::DeleteObject
                | Self::DeleteObjects
                | Self::PutObjectTagging
                | Self::DeleteObjectTagging
                | Self::PutObjectAcl
        )
    }

    /// AWS's name, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ListBuckets => "ListBuckets",
            Self::CreateBucket => "CreateBucket",
            Self::HeadBucket => "HeadBucket",
            Self::DeleteBucket => "DeleteBucket",
            Self::GetBucketLocation => "GetBucketLocation",
            Self::GetBucketCors => "GetBucketCors",
            Self::PutBucketCors => "PutBucketCors",
            Self::DeleteBucketCors => "DeleteBucketCors",
            Self::GetBucketLogging => "GetBucketLogging",
            Self::PutBucketLogging => "PutBucketLogging",
            Self::GetBucketNotificationConfiguration => "GetBucketNotificationConfiguration",
            Self::PutBucketNotificationConfiguration => "PutBucketNotificationConfiguration",
            Self::GetBucketTagging => "GetBucketTagging",
            Self::PutBucketTagging => "PutBucketTagging",
            Self::DeleteBucketTagging => "DeleteBucketTagging",
            Self::GetBucketVersioning => "GetBucketVersioning",
            Self::PutBucketVersioning => "PutBucketVersioning",
            Self::GetBucketLifecycleConfiguration => "GetBucketLifecycleConfiguration",
            Self::PutBucketLifecycleConfiguration => "PutBucketLifecycleConfiguration",
            Self::DeleteBucketLifecycle => "DeleteBucketLifecycle",
            Self::GetObjectLockConfiguration => "GetObjectLockConfiguration",
            Self::PutObjectLockConfiguration => "PutObjectLockConfiguration",
            Self::GetObjectRetention => "GetObjectRetention",
            Self::PutObjectRetention => "PutObjectRetention",
            Self::GetObjectLegalHold => "GetObjectLegalHold",
            Self::PutObjectLegalHold => "PutObjectLegalHold",
            Self::GetBucketPolicy => "GetBucketPolicy",
            Self::PutBucketPolicy => "PutBucketPolicy",
            Self::DeleteBucketPolicy => "DeleteBucketPolicy",
            Self::GetBucketPolicyStatus => "GetBucketPolicyStatus",
            Self::GetBucketEncryption => "GetBucketEncryption",
            Self::PutBucketEncryption => "PutBucketEncryption",
            Self::DeleteBucketEncryption => "DeleteBucketEncryption",
            Self::GetPublicAccessBlock => "GetPublicAccessBlock",
            Self::PutPublicAccessBlock => "PutPublicAccessBlock",
            Self::DeletePublicAccessBlock => "DeletePublicAccessBlock",
            Self::GetBucketOwnershipControls => "GetBucketOwnershipControls",
            Self::PutBucketOwnershipControls => "PutBucketOwnershipControls",
            Self::DeleteBucketOwnershipControls => "DeleteBucketOwnershipControls",
            Self::GetBucketAcl => "GetBucketAcl",
            Self::PutBucketAcl => "PutBucketAcl",
            Self::GetObjectAcl => "GetObjectAcl",
            Self::PutObjectAcl => "PutObjectAcl",
            Self::GetUnset(_) => "GetConfiguration",
            Self::ListObjects => "ListObjects",
            Self::ListObjectsV2 => "ListObjectsV2",
            Self::ListObjectVersions => "ListObjectVersions",
            Self::ListMultipartUploads => "ListMultipartUploads",
            Self::DeleteObjects => "DeleteObjects",
            Self::PostObject => "PostObject",
            Self::PutObject => "PutObject",
            Self::CopyObject => "CopyObject",
            Self::GetObject => "GetObject",
            Self::HeadObject => "HeadObject",
            Self::DeleteObject => "DeleteObject",
            Self::GetObjectAttributes => "GetObjectAttributes",
            Self::GetObjectTagging => "GetObjectTagging",
            Self::PutObjectTagging => "PutObjectTagging",
            Self::DeleteObjectTagging => "DeleteObjectTagging",
            Self::CreateMultipartUpload => "CreateMultipartUpload",
            Self::UploadPart => "UploadPart",
            Self::UploadPartCopy => "UploadPartCopy",
            Self::CompleteMultipartUpload => "CompleteMultipartUpload",
            Self::AbortMultipartUpload => "AbortMultipartUpload",
            Self::ListParts => "ListParts",
        }
    }
}

#[cfg(test)]
mod tests {
    use larder_storage::objects::{BucketName, ObjectKey};

    use super::*;

    fn find(method: &str, path: &str, copies: bool) -> S3Result<Operation> {
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(p, q)| (p, Some(q)));
        let bucket = BucketName::parse("bucket").unwrap();
        let target = match path {
            "/" => Target::Service,
            "/b" => Target::Bucket(bucket),
            _ => Target::Object(bucket, ObjectKey::parse("key").unwrap()),
        };
        let mut headers = HeaderMap::new();
        if copies {
            headers.insert("x-amz-copy-source", "b/k".parse().unwrap());
        }
        operation(
            &method.parse().unwrap(),
            &target,
            &Query::parse(query).unwrap(),
            &headers,
        )
    }

    #[test]
    fn every_operation_is_found() {
        use Operation as O;
        let table = [
            ("GET", "/", O::ListBuckets),
            ("PUT", "/b", O::CreateBucket),
            ("HEAD", "/b", O::HeadBucket),
            ("DELETE", "/b", O::DeleteBucket),
            ("GET", "/b?location", O::GetBucketLocation),
            ("GET", "/b?acl", O::GetBucketAcl),
            ("PUT", "/b?acl", O::PutBucketAcl),
            ("GET", "/b/k?acl", O::GetObjectAcl),
            ("PUT", "/b/k?acl&versionId=x", O::PutObjectAcl),
            (
                "GET",
                "/b?notification",
                O::GetBucketNotificationConfiguration,
            ),
            (
                "PUT",
                "/b?notification",
                O::PutBucketNotificationConfiguration,
            ),
            ("GET", "/b?encryption", O::GetBucketEncryption),
            ("PUT", "/b?encryption", O::PutBucketEncryption),
            ("DELETE", "/b?encryption", O::DeleteBucketEncryption),
            ("GET", "/b?policy", O::GetBucketPolicy),
            ("PUT", "/b?policy", O::PutBucketPolicy),
            ("DELETE", "/b?policy", O::DeleteBucketPolicy),
            ("GET", "/b?policyStatus", O::GetBucketPolicyStatus),
            ("GET", "/b?publicAccessBlock", O::GetPublicAccessBlock),
            ("PUT", "/b?publicAccessBlock", O::PutPublicAccessBlock),
            ("DELETE", "/b?publicAccessBlock", O::DeletePublicAccessBlock),
            ("GET", "/b?ownershipControls", O::GetBucketOwnershipControls),
            ("PUT", "/b?ownershipControls", O::PutBucketOwnershipControls),
            (
                "DELETE",
                "/b?ownershipControls",
                O::DeleteBucketOwnershipControls,
            ),
            ("GET", "/b?versioning=", O::GetBucketVersioning),
            ("GET", "/b?lifecycle", O::GetBucketLifecycleConfiguration),
            ("PUT", "/b?lifecycle=", O::PutBucketLifecycleConfiguration),
            ("DELETE", "/b?lifecycle", O::DeleteBucketLifecycle),
            ("GET", "/b?object-lock", O::GetObjectLockConfiguration),
            ("PUT", "/b?object-lock", O::PutObjectLockConfiguration),
            ("GET", "/b/k?retention", O::GetObjectRetention),
            ("PUT", "/b/k?retention&versionId=x", O::PutObjectRetention),
            ("GET", "/b/k?legal-hold", O::GetObjectLegalHold),
            ("PUT", "/b/k?legal-hold", O::PutObjectLegalHold),
            ("GET", "/b", O::ListObjects),
            ("GET", "/b?list-type=2&metadata=true", O::ListObjectsV2),
            ("GET", "/b?versions", O::ListObjectVersions),
            ("GET", "/b?uploads", O::ListMultipartUploads),
            ("POST", "/b?delete", O::DeleteObjects),
            ("PUT", "/b/k?x-id=PutObject", O::PutObject),
            ("GET", "/b/k?versionId=null", O::GetObject),
            ("HEAD", "/b/k?partNumber=1", O::HeadObject),
            ("DELETE", "/b/k", O::DeleteObject),
            ("GET", "/b/k?attributes", O::GetObjectAttributes),
            ("GET", "/b/k?tagging", O::GetObjectTagging),
            ("PUT", "/b/k?tagging", O::PutObjectTagging),
            ("DELETE", "/b/k?tagging", O::DeleteObjectTagging),
            ("POST", "/b/k?uploads", O::CreateMultipartUpload),
            ("PUT", "/b/k?partNumber=1&uploadId=x", O::UploadPart),
            ("POST", "/b/k?uploadId=x", O::CompleteMultipartUpload),
            ("DELETE", "/b/k?uploadId=x", O::AbortMultipartUpload),
            ("GET", "/b/k?uploadId=x", O::ListParts),
            ("POST", "/b", O::PostObject),
        ];
        for (method, path, expected) in table {
            assert_eq!(
                find(method, path, false).unwrap(),
                expected,
                "{method} {path}"
            );
        }
        assert_eq!(find("PUT", "/b/k", true).unwrap(), O::CopyObject);
        assert_eq!(
            find("PUT", "/b/k?partNumber=1&uploadId=x", true).unwrap(),
            O::UploadPartCopy
        );
    }

    #[test]
    fn what_is_not_built_says_so() {
        let table = [
            ("DELETE", "/b?replication"),
            ("GET", "/b?inventory"),
            ("GET", "/b?session"),
            ("GET", "/b/k?torrent"),
            ("POST", "/b/k?select&select-type=2"),
            ("POST", "/b/k?restore"),
        ];
        for (method, path) in table {
            let code = find(method, path, false).unwrap_err().code();
            assert_eq!(code, S3Code::NotImplemented, "{method} {path}");
        }
    }

    #[test]
    fn a_part_without_its_upload_is_no_object() {
        for copies in [false, true] {
            let error = find("PUT", "/b/k?partNumber=1", copies).unwrap_err();
            assert_eq!(error.code(), S3Code::InvalidArgument);
        }
        let get = find("GET", "/b/k?partNumber=1", false);
        assert_eq!(get.unwrap(), Operation::GetObject);
    }

    #[test]
    fn methods_that_nobody_has_are_refused() {
        for (method, path) in [
            ("PUT", "/"),
            ("PATCH", "/b"),
            ("POST", "/b/k"),
            ("PATCH", "/b/k?uploadId=x"),
            ("DELETE", "/b?acl"),
            ("PUT", "/b?policyStatus"),
            ("DELETE", "/b/k?acl"),
        ] {
            let code = find(method, path, false).unwrap_err().code();
            assert_eq!(code, S3Code::MethodNotAllowed, "{method} {path}");
        }
    }
}
