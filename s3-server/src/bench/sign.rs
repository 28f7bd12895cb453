//! Signature Version 4 with the cost of a load generator in mind.
//!
//! `aws-sigv4`'s signer derives the signing key anew for each request (four HMACs more than one
//! signature needs) and builds its request model from strings. Here the key is derived once a day
//! and the date formatted once a second, the canonical request is written straight into a reused
//! buffer, and only the two steps that matter, deriving the key and calculating the signature, are
//! `aws-sigv4`'s. A test compares whole signatures with those of `aws-sigv4`'s own signer. How much
//! this saves has not been measured by itself.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// Access key, secret and region.
#[derive(Clone)]
pub struct Credentials {
    /// The access key's id.
    pub access_key: String,
    /// The secret; never shown.
    pub secret_key: String,
    /// The region that signatures are scoped to.
    pub region: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// A request before it is signed. Headers are signed all of them.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    /// The method.
    pub method: &'static str,
    /// The path, percent-encoded.
    pub path: &'a str,
    /// The query, percent-encoded, sorted by name, each name followed by `=`; may be empty.
    pub query: &'a str,
    /// Value of `x-amz-content-sha256`.
    pub content_sha256: &'a str,
    /// Bytes of the body on the wire; `None` for requests without a body.
    pub content_length: Option<u64>,
    /// More headers: lower-case names, trimmed values.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Writes signed request heads. One for each connection: it keeps buffers.
#[derive(Debug)]
pub struct Signer {
    credentials: Credentials,
    authority: String,
    signed_at_s: u64,
    amz_date: String,
    scope: String,
    key: Vec<u8>,
    canonical: Vec<u8>,
    signed_names: String,
}

impl Signer {
    /// A signer for requests to `authority` (the `Host` header).
    pub fn new(credentials: Credentials, authority: String) -> Self {
        Self {
            credentials,
            authority,
            signed_at_s: u64::MAX,
            amz_date: String::new(),
            scope: String::new(),
            key: Vec::new(),
            canonical: Vec::with_capacity(1024),
            signed_names: String::with_capacity(256),
        }
    }

    /// Replaces `out` by the signed head of `request` as of `unix_millis`; returns the signature,
    /// which signed chunks continue from.
    pub fn write_head(
        &mut self,
        out: &mut Vec<u8>,
        request: &Unsigned<'_>,
        unix_millis: u64,
    ) -> String {
        self.set_time(unix_millis / 1_000);
        let headers = sorted_headers(&self.authority, &self.amz_date, request);
        write_canonical(
            &mut self.canonical,
            &mut self.signed_names,
            request,
            &headers,
        );
        let canonical_sha256 = hex_sha256(&self.canonical);
        let to_sign = [
            "AWS4-HMAC-SHA256",
            &self.amz_date,
            &self.scope,
            &canonical_sha256,
        ];
        let signature = calculate_signature(&self.key, to_sign.join("\n").as_bytes());
        write_request_line(out, request, &headers);
        let authorization = [
            "authorization: AWS4-HMAC-SHA256 Credential=",
            &self.credentials.access_key,
            "/",
            &self.scope,
            ", SignedHeaders=",
            &self.signed_names,
            ", Signature=",
            &signature,
            "\r\n\r\n",
        ];
        for piece in authorization {
            out.extend_from_slice(piece.as_bytes());
        }
        signature
    }

    /// The signature of a chunk whose data hashes to `chunk_sha256`, after `previous`. To be called
    /// after [`Signer::write_head`], whose date it shares.
    pub fn chunk_signature(&self, previous: &str, chunk_sha256: &str) -> String {
        const EMPTY_SHA256: &str =
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let to_sign = [
            "AWS4-HMAC-SHA256-PAYLOAD",
            &self.amz_date,
            &self.scope,
            previous,
            EMPTY_SHA256,
            chunk_sha256,
        ];
        calculate_signature(&self.key, to_sign.join("\n").as_bytes())
    }

    /// The region that signatures are scoped to.
    pub fn region(&self) -> &str {
        &self.credentials.region
    }

    fn set_time(&mut self, unix_s: u64) {
        if unix_s == self.signed_at_s {
            return;
        }
        let amz_date = format_amz_date(unix_s);
        if self.scope.get(..8) != amz_date.get(..8) {
            let day = &amz_date[..8];
            let region = &self.credentials.region;
            self.scope = format!("{day}/{region}/s3/aws4_request");
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(unix_s);
            let secret = &self.credentials.secret_key;
            self.key = generate_signing_key(secret, time, region, "s3")
                .as_ref()
                .to_vec();
        }
        self.amz_date = amz_date;
        self.signed_at_s = unix_s;
    }
}

/// The headers of `request` and those that every request has, in the order they are signed in.
fn sorted_headers<'a>(
    authority: &'a str,
    amz_date: &'a str,
    request: &Unsigned<'a>,
) -> Vec<(&'a str, &'a str)> {
    let mut headers = Vec::with_capacity(request.headers.len() + 3);
    headers.push(("host", authority));
    headers.push(("x-amz-content-sha256", request.content_sha256));
    headers.push(("x-amz-date", amz_date));
    headers.extend_from_slice(request.headers);
    headers.sort_unstable();
    headers
}

fn write_canonical(
    canonical: &mut Vec<u8>,
    signed_names: &mut String,
    request: &Unsigned<'_>,
    headers: &[(&str, &str)],
) {
    canonical.clear();
    signed_names.clear();
    for piece in [
        request.method,
        "\n",
        request.path,
        "\n",
        request.query,
        "\n",
    ] {
        canonical.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in headers {
        for piece in [name, ":", value, "\n"] {
            canonical.extend_from_slice(piece.as_bytes());
        }
        if !signed_names.is_empty() {
            signed_names.push(';');
        }
        signed_names.push_str(name);
    }
    for piece in ["\n", signed_names.as_str(), "\n", request.content_sha256] {
        canonical.extend_from_slice(piece.as_bytes());
    }
}

fn write_request_line(out: &mut Vec<u8>, request: &Unsigned<'_>, headers: &[(&str, &str)]) {
    out.clear();
    let mark = if request.query.is_empty() { "" } else { "?" };
    for piece in [
        request.method,
        " ",
        request.path,
        mark,
        request.query,
        " HTTP/1.1\r\n",
    ] {
        out.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in headers {
        for piece in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }
    if let Some(length) = request.content_length {
        out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
}

/// Lower-case hexadecimal SHA-256 of `bytes`.
pub(super) fn hex_sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// `20260102T030405Z`.
fn format_amz_date(unix_s: u64) -> String {
    let unix_s = i64::try_from(unix_s).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(unix_s).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, hour, minute, second) = (at.date(), at.hour(), at.minute(), at.second());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sigv4::http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    };
    use proptest::prelude::*;

    fn credentials() -> Credentials {
        Credentials {
            access_key: "AKIDEXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            region: "eu-central-1".into(),
        }
    }

    /// The signature that `aws-sigv4` gives to the same request.
    fn oracle(request: &Unsigned<'_>, unix_s: u64) -> String {
        let identity = aws_credential_types::Credentials::new(
            credentials().access_key,
            credentials().secret_key,
            None,
            None,
            "test",
        )
        .into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = aws_sigv4::sign::v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-central-1")
            .name("s3")
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(unix_s))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = format!("http://127.0.0.1:9000{}?{}", request.path, request.query);
        let body = SignableBody::Precomputed(request.content_sha256.to_owned());
        let headers = request.headers.iter().copied();
        let signable = SignableRequest::new(request.method, uri, headers, body).unwrap();
        sign(signable, &params).unwrap().into_parts().1
    }

    fn assert_like_oracle(request: &Unsigned<'_>, unix_s: u64) {
        let mut signer = Signer::new(credentials(), "127.0.0.1:9000".into());
        let mut head = Vec::new();
        let signature = signer.write_head(&mut head, request, unix_s * 1_000 + 7);
        assert_eq!(signature, oracle(request, unix_s));
        assert!(String::from_utf8(head).unwrap().contains(&signature));
    }

    #[test]
    fn head_is_complete_http() {
        let mut signer = Signer::new(credentials(), "localhost:9000".into());
        let request = Unsigned {
            method: "PUT",
            path: "/b/k",
            query: "partNumber=1&uploadId=x",
            content_sha256: "UNSIGNED-PAYLOAD",
            content_length: Some(12),
            headers: &[("content-type", "text/plain")],
        };
        let mut head = Vec::new();
        signer.write_head(&mut head, &request, 1_767_323_045_000);
        let head = String::from_utf8(head).unwrap();
        assert!(
            head.starts_with(
                "PUT /b/k?partNumber=1&uploadId=x HTTP/1.1\r\ncontent-type: text/plain\r\n\
                 host: localhost:9000\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\
                 x-amz-date: 20260102T030405Z\r\ncontent-length: 12\r\nauthorization: AWS4"
            ),
            "{head}"
        );
        assert!(head.contains(
            "Credential=AKIDEXAMPLE/20260102/eu-central-1/s3/aws4_request, \
             SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date, Signature="
        ));
        assert!(head.ends_with("\r\n\r\n"));
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let shown = format!("{:?}", Signer::new(credentials(), "h".into()).credentials);
        assert!(!shown.contains("wJalr"), "{shown}");
    }

    #[test]
    fn the_key_follows_the_date() {
        let mut signer = Signer::new(credentials(), "127.0.0.1:9000".into());
        let request = Unsigned {
            method: "GET",
            path: "/b/k",
            query: "",
            content_sha256: "UNSIGNED-PAYLOAD",
            content_length: None,
            headers: &[],
        };
        for unix_s in [1_767_311_999, 1_767_312_000, 1_767_400_000] {
            let signature = signer.write_head(&mut Vec::new(), &request, unix_s * 1_000);
            assert_eq!(signature, oracle(&request, unix_s));
        }
    }

    proptest! {
        #[test]
        fn signatures_equal_those_of_aws_sigv4(
            key in "[a-z0-9/._-]{1,40}",
            token in "[A-Za-z0-9]{0,20}",
            unix_s in 1_700_000_000_u64..1_900_000_000,
            range in 0_u32..1_000_000,
        ) {
            let range = format!("bytes={range}-{}", range + 9);
            let path = format!("/bucket/{key}");
            let query = format!("continuation-token={token}&list-type=2");
            assert_like_oracle(
                &Unsigned {
                    method: "GET",
                    path: &path,
                    query: &query,
                    content_sha256: "UNSIGNED-PAYLOAD",
                    content_length: None,
                    headers: &[("range", &range)],
                },
                unix_s,
            );
        }
    }
}
