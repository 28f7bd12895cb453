use std::fmt::Write as _;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use crate::error::{S3Code, S3Error};

use super::*;

const AKID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: i64 = 1_369_353_600;
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn lookup(access_key: &str) -> Option<Secret> {
    (access_key == AKID).then(|| Secret::new(SECRET))
}

struct Sample {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Sample {
    fn new(method: &str, uri: &str, headers: &[(&str, &str)]) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("name");
            map.append(name, value.parse().expect("value"));
        }
        let method = method.parse().expect("method");
        Self {
            method,
            uri: uri.parse().expect("uri"),
            headers: map,
        }
    }

    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().expect("value"));
        self
    }

    fn verify_at(&self, now: i64) -> Result<Verified, SigError> {
        let request = Request {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
        };
        Verifier::new("us-east-1").verify(&request, now, lookup)
    }

    fn verify(&self) -> Result<Verified, SigError> {
        self.verify_at(NOW)
    }

    fn error(&self) -> SigError {
        self.verify().expect_err("must be refused")
    }
}

fn authorization(signed: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={AKID}/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={signed},Signature={signature}"
    )
}

/// The first example of AWS's documentation.
fn get_object() -> Sample {
    let authorization = authorization(
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    Sample::new(
        "GET",
        "/test.txt",
        &[
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20130524T000000Z"),
            ("authorization", &authorization),
        ],
    )
}

const PRESIGNED: &str = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

fn presigned(uri: &str) -> Sample {
    Sample::new("GET", uri, &[("host", "examplebucket.s3.amazonaws.com")])
}

#[test]
fn accepts_the_get_object_example() {
    let verified = get_object().verify().expect("valid");
    assert_eq!(verified.access_key, AKID);
    assert_eq!(verified.carrier, Carrier::Header);
    assert!(matches!(verified.payload, Payload::Sha256(_)));
}

#[test]
fn accepts_the_put_object_example() {
    let authorization = authorization(
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
    let hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let sample = Sample::new(
        "PUT",
        "/test$file.text",
        &[
            ("host", "examplebucket.s3.amazonaws.com"),
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-content-sha256", hash),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("authorization", &authorization),
        ],
    );
    sample.verify().expect("valid");
}

#[test]
fn accepts_the_lifecycle_and_list_examples() {
    let cases = [
        (
            "/?lifecycle",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/?max-keys=2&prefix=J",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ];
    for (uri, signature) in cases {
        let authorization = authorization("host;x-amz-content-sha256;x-amz-date", signature);
        let mut sample = get_object().set("authorization", &authorization);
        sample.uri = uri.parse().expect("uri");
        sample.verify().expect(uri);
    }
}

#[test]
fn accepts_the_chunked_example_and_hands_out_its_seed() {
    let authorization = authorization(
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    );
    let sample = Sample::new(
        "PUT",
        "/examplebucket/chunkObject.txt",
        &[
            ("host", "s3.amazonaws.com"),
            ("content-encoding", "aws-chunked"),
            ("content-length", "66824"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-decoded-content-length", "66560"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("authorization", &authorization),
        ],
    );
    let verified = sample.verify().expect("valid");
    assert_eq!(verified.payload, Payload::SignedChunks);
    let signer = verified.chunks.expect("version 4");
    assert!(hex::encode(signer.seed).starts_with("4f232c43"));
    assert!(chunked::Decoder::new(verified.payload, &signer, 66560).is_some());
}

#[test]
fn accepts_the_presigned_example_for_its_day_and_no_longer() {
    let sample = presigned(PRESIGNED);
    let verified = sample.verify().expect("valid");
    assert_eq!(
        (verified.carrier, verified.payload),
        (Carrier::Query, Payload::Unsigned)
    );
    sample.verify_at(NOW + 86_400).expect("still valid");
    assert!(matches!(
        sample.verify_at(NOW + 86_401),
        Err(SigError::Expired { .. })
    ));
    sample.verify_at(NOW - 900).expect("clock a little behind");
    assert!(matches!(
        sample.verify_at(NOW - 901),
        Err(SigError::NotYetValid { .. })
    ));
}

#[test]
fn the_clock_may_be_off_by_fifteen_minutes() {
    let sample = get_object();
    sample.verify_at(NOW + 900).expect("late");
    sample.verify_at(NOW - 900).expect("early");
    for now in [NOW + 901, NOW - 901, i64::MAX, i64::MIN] {
        assert!(matches!(
            sample.verify_at(now),
            Err(SigError::TimeTooSkewed { .. })
        ));
    }
}

#[test]
fn a_tampered_request_does_not_match() {
    let mut other_path = get_object();
    other_path.uri = "/test.txu".parse().expect("uri");
    let mut other_method = get_object();
    other_method.method = Method::HEAD;
    let samples = [
        other_path,
        other_method,
        get_object().set("range", "bytes=0-8"),
        get_object().set("host", "other.s3.amazonaws.com"),
        presigned(&PRESIGNED.replace("86400", "86401")),
        presigned(&format!("{PRESIGNED}&versionId=1")),
    ];
    for sample in samples {
        assert!(matches!(sample.error(), SigError::Mismatch(_)));
    }
}

#[test]
fn a_mismatch_tells_what_was_signed_and_no_more() {
    let error = S3Error::from(get_object().set("range", "bytes=1-9").error());
    assert_eq!(error.code(), S3Code::SignatureDoesNotMatch);
    let text = format!("{error:?}");
    assert!(text.contains("StringToSign") && text.contains("CanonicalRequest"));
    assert!(!text.contains(SECRET));
}

#[test]
fn refusals_have_the_codes_of_aws() {
    let set = |name, value: &str| get_object().set(name, value);
    let credential = |from: &str, to: &str| {
        let header = authorization("host", "00").replace(from, to);
        get_object().set("authorization", &header)
    };
    let without = |name: &str| {
        let mut sample = get_object();
        sample.headers.remove(name);
        sample
    };
    let query = |from: &str, to: &str| presigned(&PRESIGNED.replace(from, to));
    let cases = [
        (without("authorization"), S3Code::AccessDenied),
        (without("x-amz-date"), S3Code::AccessDenied),
        (without("x-amz-content-sha256"), S3Code::InvalidRequest),
        (
            set("x-amz-content-sha256", "nonsense"),
            S3Code::InvalidArgument,
        ),
        (set("authorization", "AWS AKID:sig"), S3Code::InvalidRequest),
        (set("authorization", "Bearer x"), S3Code::InvalidArgument),
        (
            set("authorization", "AWS4-HMAC-SHA256 Credential=x"),
            S3Code::AuthorizationHeaderMalformed,
        ),
        (set("x-amz-meta-late", "x"), S3Code::AccessDenied),
        (credential(AKID, "AKIANOBODY"), S3Code::InvalidAccessKeyId),
        (
            credential("/us-east-1/", "/eu-west-1/"),
            S3Code::AuthorizationHeaderMalformed,
        ),
        (
            credential("/s3/", "/ec2/"),
            S3Code::AuthorizationHeaderMalformed,
        ),
        (
            credential("20130524", "20130523"),
            S3Code::AuthorizationHeaderMalformed,
        ),
        (
            credential("20130524", "2013-05-24"),
            S3Code::AuthorizationHeaderMalformed,
        ),
        (
            credential("aws4_request", "aws5_request"),
            S3Code::AuthorizationHeaderMalformed,
        ),
        (
            query("Expires=86400", "Expires=604801"),
            S3Code::AuthorizationQueryParametersError,
        ),
        (
            query("&X-Amz-Expires=86400", ""),
            S3Code::AuthorizationQueryParametersError,
        ),
        (
            query("us-east-1", "eu-west-1"),
            S3Code::AuthorizationQueryParametersError,
        ),
        (
            query("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
            S3Code::InvalidRequest,
        ),
        (
            presigned("/k?AWSAccessKeyId=a&Signature=b&Expires=1"),
            S3Code::InvalidRequest,
        ),
        (
            presigned(PRESIGNED).set("authorization", "AWS4-HMAC-SHA256 x"),
            S3Code::InvalidArgument,
        ),
        (
            presigned(PRESIGNED).set("x-amz-acl", "private"),
            S3Code::AccessDenied,
        ),
    ];
    for (i, (sample, code)) in cases.into_iter().enumerate() {
        assert_eq!(S3Error::from(sample.error()).code(), code, "case {i}");
    }
}

#[test]
fn a_wrong_region_names_the_right_one() {
    let header = authorization("host", "00").replace("us-east-1", "eu-west-1");
    let error = S3Error::from(get_object().set("authorization", &header).error());
    assert!(
        error
            .elements()
            .contains(&("Region", "us-east-1".to_owned()))
    );
}

fn client_settings(location: SignatureLocation) -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
    settings.signature_location = location;
    settings.expires_in = Some(std::time::Duration::from_mins(1));
    settings
}

/// Signs with the AWS SDK's own signer and returns the request as it would arrive.
fn signed_by_the_sdk(uri: &str, headers: &[(&str, &str)], location: SignatureLocation) -> Sample {
    let identity = Credentials::new(AKID, SECRET, None, None, "test").into();
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(NOW.unsigned_abs());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(time)
        .settings(client_settings(location))
        .build()
        .expect("params")
        .into();
    let absolute = format!("http://host.example:9000{uri}");
    let request = SignableRequest::new(
        "PUT",
        absolute.clone(),
        headers.iter().copied(),
        SignableBody::UnsignedPayload,
    );
    let (instructions, _) = sign(request.expect("signable"), &params)
        .expect("signed")
        .into_parts();
    let mut request = http::Request::builder().method("PUT").uri(absolute);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_str(value).expect("value"));
    }
    let mut request = request.body(()).expect("request");
    instructions.apply_to_request_http1x(&mut request);
    let (parts, ()) = request.into_parts();
    let mut headers = parts.headers;
    headers.insert("host", "host.example:9000".parse().expect("host"));
    let uri = parts
        .uri
        .path_and_query()
        .expect("path")
        .as_str()
        .parse()
        .expect("uri");
    Sample {
        method: parts.method,
        uri,
        headers,
    }
}

fn percent_encoded(text: &str, keep: &[u8]) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("string");
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn agrees_with_the_sdk_on_odd_keys_queries_and_headers(
        key in "[ -~é/+%&=?#.]{1,40}",
        query in proptest::collection::vec(("[a-z-]{1,8}", "[ -~ü+&=/%]{0,12}"), 0..5),
        meta in "[!-~]{1,5}( {0,3}[!-~]{1,5}){0,3}",
        in_query in any::<bool>(),
    ) {
        let pairs: Vec<String> = query.iter()
            .map(|(n, v)| format!("{n}={}", percent_encoded(v, b"")))
            .collect();
        let path = percent_encoded(&key, b"/");
        let uri = if pairs.is_empty() { format!("/b/{path}") } else { format!("/b/{path}?{}", pairs.join("&")) };
        let location = if in_query { SignatureLocation::QueryParams } else { SignatureLocation::Headers };
        let sample = signed_by_the_sdk(&uri, &[("x-amz-meta-a", &meta)], location);
        let verified = sample.verify();
        prop_assert!(verified.is_ok(), "{} {:?}", sample.uri, verified);
    }

    #[test]
    fn any_header_and_query_is_answered_without_panic(header in "[ -~]{0,120}", query in "[!-~]{0,80}") {
        if let Ok(uri) = format!("/k?{query}").parse::<Uri>() {
            let mut sample = get_object().set("authorization", &header);
            sample.uri = uri;
            drop(sample.verify());
        }
    }
}

#[test]
fn a_client_that_signs_the_path_as_sent_is_understood() {
    // `curl --aws-sigv4` signs `$` and `+` as they stand in the URL.
    let mut sample = get_object();
    sample.uri = "/a$b+c?prefix=x+y".parse().expect("uri");
    let names = "host;range;x-amz-content-sha256;x-amz-date";
    let parts = Parts {
        method: &sample.method,
        uri: &sample.uri,
        headers: &sample.headers,
        signed_headers: names,
        payload_hash: EMPTY,
    };
    let canonical = canonical::request(&parts, Encoding::AsSent);
    let scope = Scope {
        date: "20130524",
        region: "us-east-1",
        service: "s3",
    };
    let signer = ChunkSigner {
        key: SigningKey::derive(&Secret::new(SECRET), scope),
        timestamp: Timestamp::parse_iso("20130524T000000Z").expect("time"),
        scope: scope.text(),
        seed: [0; 32],
    };
    let signature = hex::encode(signer.key.sign(&signer.string_to_sign(&canonical)));
    sample
        .set("authorization", &authorization(names, &signature))
        .verify()
        .expect("valid");
}
