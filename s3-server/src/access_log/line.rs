//! One line of a server access log.
//!
//! Source: "Amazon S3 server access log format". What there is not (access points, a cipher without TLS) is `-`. Two times are the same here: until the head of
//! the answer is ready. Unlike AWS's, a line never holds a signature or a key: those of presigned addresses are left out.

use std::{fmt::Write as _, net::IpAddr, time::Duration};

use http::{
    HeaderMap, Method, StatusCode, Version,
    header::{self, AsHeaderName},
    request::Parts,
};
use larder_storage::{
    clock::Clock,
    objects::{AccountId, BucketName, ObjectKey},
};
use time::macros::format_description;

use crate::{reply, sigv4::Carrier, tls::Session, xml::write::url_encode};

/// Parameters of a query that are secrets for as long as they are valid.
const SECRET_PARAMETERS: [&str; 5] = [
    "x-amz-signature",
    "x-amz-security-token",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key",
    "signature",
];

/// When a request came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    unix_millis: u64,
    started: Duration,
}

impl Stopwatch {
    pub(crate) fn start(clock: &dyn Clock) -> Self {
        Self {
            unix_millis: clock.unix_millis(),
            started: clock.monotonic(),
        }
    }

    pub(crate) fn unix_millis(&self) -> u64 {
        self.unix_millis
    }

    pub(crate) fn millis(&self, clock: &dyn Clock) -> u128 {
        clock.monotonic().saturating_sub(self.started).as_millis()
    }
}

/// A request and its answer.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) bucket: &'a BucketName,
    pub(crate) key: Option<&'a ObjectKey>,
    /// Whose the bucket is, and what it is called in lists.
    pub(crate) account: AccountId,
    pub(crate) owner: &'a str,
    pub(crate) received_unix_millis: u64,
    pub(crate) millis: u128,
    pub(crate) client: IpAddr,
    pub(crate) tls: Option<Session>,
    /// The canonical id of who asked; `None`: nobody that is known.
    pub(crate) requester: Option<&'a str>,
    pub(crate) carrier: Option<Carrier>,
    pub(crate) request_id: &'a str,
    /// As in the metrics.
    pub(crate) operation: &'static str,
    pub(crate) request: &'a Parts,
    pub(crate) status: StatusCode,
    /// `None`: it went well.
    pub(crate) error: Option<&'static str>,
    pub(crate) sent_bytes: Option<u64>,
    pub(crate) answer: &'a HeaderMap,
}

impl Entry<'_> {
    /// The line, with its end.
    pub(super) fn line(&self) -> String {
        let mut out = String::with_capacity(512);
        let mut field = |text: &str| {
            out.push_str(text);
            out.push(' ');
        };
        field(self.owner);
        field(self.bucket.as_str());
        field(&self.time());
        field(&self.client.to_string());
        field(self.requester.unwrap_or("-"));
        field(self.request_id);
        field(&self.operation());
        // As on AWS the key is encoded twice: once as in the address, once for the log.
        let key = self.key.map(|key| url_encode(&url_encode(key.as_str())));
        field(key.as_deref().unwrap_or("-"));
        field(&quoted(&self.request_line()));
        field(self.status.as_str());
        field(self.error.unwrap_or("-"));
        field(&number(self.sent_bytes.filter(|bytes| *bytes > 0)));
        field(&number(self.object_bytes()));
        let millis = self.millis.to_string();
        field(&millis);
        field(&millis);
        field(&quoted(self.header(header::REFERER).unwrap_or("-")));
        field(&quoted(self.header(header::USER_AGENT).unwrap_or("-")));
        field(&self.version());
        field(self.request_id);
        field(self.signature_version());
        field(self.tls.map_or("-", |tls| tls.cipher));
        field(self.authentication());
        let host = self.header(header::HOST).unwrap_or("-");
        field(&host.replace(char::is_whitespace, ""));
        field(self.tls.map_or("-", |tls| tls.protocol));
        field("-");
        out.push_str("-\n");
        out
    }

    fn time(&self) -> String {
        let format = format_description!(
            "[[[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000]"
        );
        let time = super::time(self.received_unix_millis);
        time.format(&format).unwrap_or_default()
    }

    /// `REST.GET.OBJECT`.
    fn operation(&self) -> String {
        let resource = resource(self.operation, self.key.is_some());
        let method = match self.operation {
            "CopyObject" | "UploadPartCopy" => "COPY",
            _ => self.request.method.as_str(),
        };
        format!("REST.{method}.{resource}")
    }

    fn request_line(&self) -> String {
        let uri = &self.request.uri;
        let mut target = uri.path().to_owned();
        if let Some(query) = uri.query() {
            let shown: Vec<_> = query.split('&').map(without_secret).collect();
            let written = write!(target, "?{}", shown.join("&"));
            debug_assert!(written.is_ok(), "writing to a string can't fail");
        }
        let version = match self.request.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2.0",
            _ => "HTTP/1.1",
        };
        format!("{} {target} {version}", self.request.method)
    }

    /// The size of the object that the request is about, as far as request or answer tell.
    fn object_bytes(&self) -> Option<u64> {
        self.key?;
        let of = |headers: &HeaderMap, name: &str| -> Option<u64> {
            headers.get(name)?.to_str().ok()?.trim().parse().ok()
        };
        if self.request.method == Method::PUT {
            let sent = &self.request.headers;
            return of(sent, "x-amz-decoded-content-length").or_else(|| of(sent, "content-length"));
        }
        let range = self.answer.get(header::CONTENT_RANGE);
        let range = range.and_then(|range| range.to_str().ok());
        let total = range.and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        total.or_else(|| of(self.answer, "content-length"))
    }

    fn version(&self) -> String {
        let version = self.answer.get(reply::X_AMZ_VERSION_ID);
        let version = version.and_then(|version| version.to_str().ok());
        version.unwrap_or("-").to_owned()
    }

    fn signature_version(&self) -> &'static str {
        let query = self.request.uri.query().unwrap_or_default();
        match self.carrier {
            None => "-",
            Some(Carrier::Query) if !crate::sigv4::is_presigned(query) => "SigV2",
            Some(_) => "SigV4",
        }
    }

    fn authentication(&self) -> &'static str {
        match self.carrier {
            None => "-",
            Some(Carrier::Header) => "AuthHeader",
            Some(Carrier::Query) => "QueryString",
        }
    }

    fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.request.headers.get(name)?.to_str().ok()
    }
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// In quotes; one within would end it, and a control character the line.
fn quoted(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("\"{}\"", clean.replace('"', "%22"))
}

fn without_secret(pair: &str) -> String {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    // However it is written: somebody behind this server may read it otherwise.
    let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    let is_secret = SECRET_PARAMETERS.contains(&&*decoded.to_ascii_lowercase());
    if is_secret {
        format!("{name}=-")
    } else {
        pair.to_owned()
    }
}

/// What AWS calls that which an operation is about.
fn resource(operation: &str, has_key: bool) -> &'static str {
    match operation {
        "GetObjectTagging" | "PutObjectTagging" | "DeleteObjectTagging" => "OBJECT_TAGGING",
        "GetObjectRetention" | "PutObjectRetention" => "OBJECT_LOCK_RETENTION",
        "GetObjectLegalHold" | "PutObjectLegalHold" => "OBJECT_LOCK_LEGALHOLD",
        "GetObjectAttributes" => "OBJECT_ATTRIBUTES",
        "GetBucketAcl" | "PutBucketAcl" | "GetObjectAcl" | "PutObjectAcl" => "ACL",
        "CreateMultipartUpload" | "ListMultipartUploads" => "UPLOADS",
        "CompleteMultipartUpload" | "AbortMultipartUpload" | "ListParts" => "UPLOAD",
        "UploadPart" | "UploadPartCopy" => "PART",
        "DeleteObjects" => "MULTI_OBJECT_DELETE",
        "ListObjectVersions" => "BUCKETVERSIONS",
        "GetBucketLocation" => "LOCATION",
        "GetBucketVersioning" | "PutBucketVersioning" => "VERSIONING",
        "GetBucketCors" | "PutBucketCors" | "DeleteBucketCors" => "CORS",
        "Preflight" => "PREFLIGHT",
        "GetBucketTagging" | "PutBucketTagging" | "DeleteBucketTagging" => "TAGGING",
        "GetBucketEncryption" | "PutBucketEncryption" | "DeleteBucketEncryption" => "ENCRYPTION",
        "GetBucketLogging" | "PutBucketLogging" => "LOGGING_STATUS",
        "GetBucketPolicy" | "PutBucketPolicy" | "DeleteBucketPolicy" => "BUCKETPOLICY",
        "GetBucketPolicyStatus" => "POLICY_STATUS",
        "GetPublicAccessBlock" | "PutPublicAccessBlock" | "DeletePublicAccessBlock" => {
            "PUBLIC_ACCESS_BLOCK"
        }
        "GetBucketOwnershipControls"
        | "PutBucketOwnershipControls"
        | "DeleteBucketOwnershipControls" => "OWNERSHIP_CONTROLS",
        "GetBucketLifecycleConfiguration"
        | "PutBucketLifecycleConfiguration"
        | "DeleteBucketLifecycle" => "LIFECYCLE",
        "GetObjectLockConfiguration" | "PutObjectLockConfiguration" => "OBJECT_LOCK_CONFIGURATION",
        _ if has_key => "OBJECT",
        _ => "BUCKET",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn entry<'a>(
        request: &'a Parts,
        answer: &'a HeaderMap,
        bucket: &'a BucketName,
        key: Option<&'a ObjectKey>,
    ) -> Entry<'a> {
        Entry {
            bucket,
            key,
            account: AccountId::default(),
            owner: "owner",
            received_unix_millis: 1_549_411_238_000,
            millis: 7,
            client: "192.0.2.3".parse().unwrap(),
            tls: None,
            requester: Some("requester"),
            carrier: Some(Carrier::Header),
            request_id: "3E57427F3EXAMPLE",
            operation: "GetObject",
            request,
            status: StatusCode::OK,
            error: None,
            sent_bytes: Some(113),
            answer,
        }
    }

    #[test]
    fn a_line_is_as_in_the_documentation() {
        let (bucket, key) = (
            BucketName::parse("bucket1").unwrap(),
            ObjectKey::parse("a b").unwrap(),
        );
        let headers = [
            ("host", "bucket1.example"),
            ("user-agent", "S3Console/0.4 \"x\""),
        ];
        let request = request("/bucket1/a%20b", &headers);
        let mut answer = HeaderMap::new();
        answer.insert("content-range", "bytes 0-112/4406583".parse().unwrap());
        let line = entry(&request, &answer, &bucket, Some(&key)).line();
        assert_eq!(
            line,
            "owner bucket1 [06/Feb/2019:00:00:38 +0000] 192.0.2.3 requester 3E57427F3EXAMPLE REST.GET.OBJECT a%2520b \
             \"GET /bucket1/a%20b HTTP/1.1\" 200 - 113 4406583 7 7 \"-\" \"S3Console/0.4 %22x%22\" - 3E57427F3EXAMPLE SigV4 - \
             AuthHeader bucket1.example - - -\n"
        );
    }

    #[test]
    fn nobody_and_nothing_are_dashes_and_signatures_are_left_out() {
        let bucket = BucketName::parse("bucket1").unwrap();
        let request = request(
            "/bucket1?list-type=2&X-Amz-Signature=abc&Signature=d%3D&X-Amz-Signatur%65=e",
            &[],
        );
        let answer = HeaderMap::new();
        let line = Entry {
            requester: None,
            carrier: None,
            operation: "ListObjectsV2",
            status: StatusCode::FORBIDDEN,
            error: Some("AccessDenied"),
            sent_bytes: Some(0),
            ..entry(&request, &answer, &bucket, None)
        }
        .line();
        assert!(
            line.contains(" 192.0.2.3 - 3E57427F3EXAMPLE REST.GET.BUCKET - "),
            "{line}"
        );
        assert!(line.contains("\"GET /bucket1?list-type=2&X-Amz-Signature=-&Signature=-&X-Amz-Signatur%65=- HTTP/1.1\" 403 AccessDenied - - 7 7 "), "{line}");
        assert!(!line.contains("abc") && !line.contains("d%3D"), "{line}");
    }

    #[test]
    fn keys_of_clients_are_left_out() {
        for start in ["x-amz-server-side", "X-Amz-Copy-Source-Server-Side"] {
            let name = format!("{start}-encryption-customer-key");
            assert_eq!(without_secret(&format!("{name}=a2V5")), format!("{name}=-"));
            let md5 = format!("{name}-MD5=bWQ1");
            assert_eq!(without_secret(&md5), md5, "tells nothing of the key");
        }
    }
}
