//! Asks S3 about buckets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use super::{
    api_error::{ApiResult, document},
    connection::{Connection, ConnectionArgs, Outgoing},
    element::Element,
};

/// Asks one endpoint.
#[derive(Debug)]
pub(super) struct S3Client {
    pub(super) connection: Connection,
}

impl S3Client {
    /// A client that signs; nothing is asked yet.
    pub(super) fn new(args: &ConnectionArgs) -> ApiResult<Self> {
        let connection = Connection::new(args)?;
        Ok(Self { connection })
    }

    /// A document about a bucket, such as its `versioning`.
    pub(super) fn get(&self, bucket: &str, what: &str) -> ApiResult<Element> {
        let answer = self.ask(Method::GET, bucket, what, &[], String::new())?;
        Ok(answer.unwrap_or_default())
    }

    /// Sets a document; an empty `what` makes the bucket itself.
    pub(super) fn put(
        &self,
        bucket: &str,
        what: &str,
        headers: &[(&'static str, String)],
        xml: String,
    ) -> ApiResult<()> {
        self.ask(Method::PUT, bucket, what, headers, xml).map(drop)
    }

    /// Removes a document; an empty `what` removes the bucket itself.
    pub(super) fn delete(&self, bucket: &str, what: &str) -> ApiResult<()> {
        let none = String::new();
        self.ask(Method::DELETE, bucket, what, &[], none).map(drop)
    }

    /// Whether it is sure that there is no such bucket.
    pub(super) fn is_missing(connection: &Connection, bucket: &str) -> bool {
        let path = path(bucket, "");
        let answer = connection.ask(&Outgoing {
            service: "s3",
            method: Method::HEAD,
            path: &path,
            headers: &[],
            body: Bytes::new(),
        });
        answer.is_ok_and(|answer| answer.status == StatusCode::NOT_FOUND)
    }

    fn ask(
        &self,
        method: Method,
        bucket: &str,
        what: &str,
        headers: &[(&'static str, String)],
        xml: String,
    ) -> ApiResult<Option<Element>> {
        let mut headers = headers.to_vec();
        if !xml.is_empty() {
            // What changes a lock is asked for a checksum.
            let sum = STANDARD.encode(Sha256::digest(&xml));
            headers.push(("x-amz-checksum-sha256", sum));
        }
        let answer = self.connection.ask(&Outgoing {
            service: "s3",
            method,
            path: &path(bucket, what),
            headers: &headers,
            body: xml.into(),
        })?;
        let named = |code: &str| hint(code, bucket);
        document(&self.connection, &answer).map_err(|error| error.or_hint(named))
    }
}

fn path(bucket: &str, what: &str) -> String {
    let bucket = utf8_percent_encode(bucket, NON_ALPHANUMERIC).to_string();
    // Names of buckets have nothing that would have to be encoded but for these.
    let bucket = bucket.replace("%2D", "-").replace("%2E", ".");
    match what {
        "" => format!("/{bucket}"),
        what => format!("/{bucket}?{what}="),
    }
}

fn hint(code: &str, bucket: &str) -> Option<String> {
    let hint = match code {
        "NoSuchBucket" => {
            format!("larder bucket list shows which there are, larder bucket add {bucket} makes it")
        }
        "BucketAlreadyExists" => "another account has it: take another name".to_owned(),
        "BucketNotEmpty" => format!(
            "empty it first: aws s3 rm --recursive s3://{bucket}/ (in a bucket with versions, all versions and delete markers have to go as well)"
        ),
        "InvalidBucketName" => {
            "3 to 63 small letters, digits, dots and hyphens, with a letter or digit at both ends"
                .to_owned()
        }
        "InvalidBucketState" => format!("larder bucket versioning {bucket} shows how it is"),
        _ => return None,
    };
    Some(hint)
}
