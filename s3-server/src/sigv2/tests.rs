use http::{Method, request::Parts};
use proptest::prelude::*;

use super::*;
use crate::error::{S3Code, S3Error};
use crate::route;

const AKID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// When the URLs of boto3 below were made; they live for 600 seconds.
const NOW: i64 = 1_369_353_600;

/// Made by boto3 1.44.5 with its defaults for `http://s3.example:9000` in both styles: method, URI
/// in path style, URI in host style (empty: same).
const BOTO3: &[(&str, &str, &str)] = &[
    (
        "GET",
        "/bucket/a%20b/%C3%BC%2B%281%29~%27%2A%25.txt?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=RtnFQcZCxHVpScl0RWyV1jjlm%2B0%3D&Expires=1369354200",
        "/a%20b/%C3%BC%2B%281%29~%27%2A%25.txt?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=RtnFQcZCxHVpScl0RWyV1jjlm%2B0%3D&Expires=1369354200",
    ),
    (
        "GET",
        "/bucket/k?response-content-disposition=attachment%3B%20filename%3D%22a%20b%2Bc%26d.txt%22&response-content-type=text%2Fplain&versionId=null&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=OIfdfI4t7CP5c3dV%2BTAjnp2AyM0%3D&Expires=1369354200",
        "/k?response-content-disposition=attachment%3B%20filename%3D%22a%20b%2Bc%26d.txt%22&response-content-type=text%2Fplain&versionId=null&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=OIfdfI4t7CP5c3dV%2BTAjnp2AyM0%3D&Expires=1369354200",
    ),
    (
        "PUT",
        "/bucket/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=3C6%2FSMChbOoOxU%2BQmWXwUAno7lE%3D&content-type=text%2Fplain%3B%20charset%3Dutf-8&x-amz-meta-b=two%20%20words&x-amz-meta-a=1&content-md5=1B2M2Y8AsgTpgAmY7PhCfg%3D%3D&Expires=1369354200",
        "/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=3C6%2FSMChbOoOxU%2BQmWXwUAno7lE%3D&content-type=text%2Fplain%3B%20charset%3Dutf-8&x-amz-meta-b=two%20%20words&x-amz-meta-a=1&content-md5=1B2M2Y8AsgTpgAmY7PhCfg%3D%3D&Expires=1369354200",
    ),
    (
        "PUT",
        "/bucket/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=ph5tNHSoOH4s%2FORYcqlXtQtCZpg%3D&Expires=1369354200",
        "/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=ph5tNHSoOH4s%2FORYcqlXtQtCZpg%3D&Expires=1369354200",
    ),
    (
        "PUT",
        "/bucket/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=fmFif1EEpzlG2DKjEp3x5VPqbos%3D&x-amz-copy-source=bucket%2Fa%2520b&Expires=1369354200",
        "/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=fmFif1EEpzlG2DKjEp3x5VPqbos%3D&x-amz-copy-source=bucket%2Fa%2520b&Expires=1369354200",
    ),
    (
        "PUT",
        "/bucket/k?uploadId=Up%2BL%2Fo%3D&partNumber=7&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=d0SadRm8OgBgiuQ7nZwn%2Bxbv8Mk%3D&Expires=1369354200",
        "/k?uploadId=Up%2BL%2Fo%3D&partNumber=7&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=d0SadRm8OgBgiuQ7nZwn%2Bxbv8Mk%3D&Expires=1369354200",
    ),
    (
        "POST",
        "/bucket/k?uploads&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=m441YE2nxqwXtS8lx4oR2B5Pet4%3D&Expires=1369354200",
        "/k?uploads&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=m441YE2nxqwXtS8lx4oR2B5Pet4%3D&Expires=1369354200",
    ),
    (
        "GET",
        "/bucket?list-type=2&prefix=a%20b%2F&encoding-type=url&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=luNXctNrAfdGM4ZaSoYnRXh9z3g%3D&Expires=1369354200",
        "/?list-type=2&prefix=a%20b%2F&encoding-type=url&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=luNXctNrAfdGM4ZaSoYnRXh9z3g%3D&Expires=1369354200",
    ),
    (
        "PUT",
        "/bucket/k?tagging&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=G9dleZXr%2B6xS8h3RQTwjPpXxO1A%3D&Expires=1369354200",
        "/k?tagging&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=G9dleZXr%2B6xS8h3RQTwjPpXxO1A%3D&Expires=1369354200",
    ),
    (
        "GET",
        "/bucket/k?attributes&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=HwyB1LWBjsTp19J5NAZX08BKruo%3D&x-amz-object-attributes=ETag&Expires=1369354200",
        "/k?attributes&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=HwyB1LWBjsTp19J5NAZX08BKruo%3D&x-amz-object-attributes=ETag&Expires=1369354200",
    ),
    (
        "HEAD",
        "/bucket?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NlNVqwWOuPEljdZpRyseFawKMCU%3D&Expires=1369354200",
        "/?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NlNVqwWOuPEljdZpRyseFawKMCU%3D&Expires=1369354200",
    ),
    (
        "GET",
        "/?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=Ijr6U6v7vt4OsCyVRPXJaEWM1Q0%3D&Expires=1369354200",
        "",
    ),
    (
        "POST",
        "/bucket?delete&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=3fdBvSaxE%2BVSlFSgk64rINCtvY8%3D&Expires=1369354200",
        "/?delete&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=3fdBvSaxE%2BVSlFSgk64rINCtvY8%3D&Expires=1369354200",
    ),
];

struct Sample {
    method: Method,
    host: &'static str,
    uri: String,
    headers: Vec<(&'static str, &'static str)>,
}

fn sample(method: &str, host: &'static str, uri: impl Into<String>) -> Sample {
    Sample {
        method: method.parse().expect("method"),
        host,
        uri: uri.into(),
        headers: Vec::new(),
    }
}

impl Sample {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn parts(&self) -> Parts {
        let mut request = http::Request::builder()
            .method(&self.method)
            .uri(&self.uri)
            .header("host", self.host);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("request").into_parts().0
    }

    fn verify_at(&self, now: i64, secret: &str) -> S3Result<Verified> {
        let parts = self.parts();
        let parts = hoisted(&parts)?;
        let domains = ["s3.example", "s3.amazonaws.com"].map(str::to_owned);
        let bucket = route::host_bucket(&parts.uri, &parts.headers, &domains);
        assert!(is_presigned(&parts.uri, &parts.headers));
        let request = Request {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
        };
        let known = |key: &str| key.starts_with("AKIA") || key == "44CF9590006BF252F707";
        let secret_of = |key: &str| known(key).then(|| Secret::new(secret));
        verify(&request, bucket.as_deref(), now, secret_of)
    }

    fn verify(&self) -> S3Result<Verified> {
        self.verify_at(NOW, SECRET)
    }

    fn error(&self) -> S3Error {
        self.verify().expect_err("must be refused")
    }
}

fn boto3_get() -> &'static str {
    BOTO3[0].1
}

/// A GET that is signed right, of whatever was put in.
fn signed(string_to_sign: &str, uri: &str) -> String {
    let mac = hmac_sha1(&Secret::new(SECRET), string_to_sign.as_bytes());
    let signature = STANDARD.encode(mac).replace('+', "%2B");
    format!("{uri}AWSAccessKeyId={AKID}&Expires={NOW}&Signature={signature}")
}

fn hoisted(parts: &Parts) -> S3Result<Cow<'_, Parts>> {
    let query = Query::parse(parts.uri.query())?;
    Ok(route::with_hoisted_headers(parts, &query, is_signed))
}

#[test]
fn accepts_the_examples_of_the_documentation() {
    let puppy = sample(
        "GET",
        "johnsmith.s3.amazonaws.com",
        "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620",
    );
    let verified = puppy.verify_at(1_175_139_620, SECRET).expect("valid");
    assert_eq!(verified.access_key, AKID);
    assert_eq!(verified.carrier, Carrier::Query);
    assert_eq!(verified.payload, Payload::Unsigned);
    assert_eq!(verified.session_token, None);
    let nelson = sample(
        "GET",
        "s3.amazonaws.com",
        "/quotes/nelson?AWSAccessKeyId=44CF9590006BF252F707&Expires=1141889120&Signature=vjbyPxybdZaNmGa%2ByT272YEAiv4%3D",
    );
    let secret = "OtxrzxIsfpFjA7SwPzILwy8Bw21TLhquhboDYROV";
    nelson.verify_at(1_141_889_060, secret).expect("valid");
}

#[test]
fn accepts_what_boto3_makes_in_both_styles() {
    for &(method, path_style, host_style) in BOTO3 {
        let by_path = sample(method, "s3.example:9000", path_style).verify();
        by_path.unwrap_or_else(|e| panic!("{path_style}: {e:?}"));
        let host = "bucket.s3.example:9000";
        if !host_style.is_empty() {
            let by_host = sample(method, host, host_style).verify();
            by_host.unwrap_or_else(|e| panic!("{host_style}: {e:?}"));
        }
    }
}

#[test]
fn an_unencoded_plus_in_the_signature_is_forgiven() {
    let uri = boto3_get().replace("jlm%2B0", "jlm+0");
    assert_ne!(uri, boto3_get());
    let plain = sample("GET", "s3.example", uri);
    plain.verify().expect("valid");
}

#[test]
fn lives_until_its_second_and_no_longer() {
    let url = sample("GET", "s3.example", boto3_get());
    url.verify_at(NOW + 600, SECRET).expect("still valid");
    for now in [NOW + 601, i64::MAX] {
        let error = url.verify_at(now, SECRET).expect_err("expired");
        assert_eq!(error.code(), S3Code::AccessDenied);
        assert_eq!(error.message(), "Request has expired");
        let elements: Vec<_> = error.elements().iter().map(|(name, _)| *name).collect();
        assert_eq!(elements, ["Expires", "ServerTime"]);
    }
}

#[test]
fn a_tampered_request_does_not_match() {
    let get = |uri: String| sample("GET", "s3.example", uri);
    let url = boto3_get();
    let plain_put = BOTO3[3].1;
    let samples = [
        get(url.replace("txt", "txu")),
        get(url.replace("1369354200", "1369354201")),
        get(url.replace("/bucket/", "/bucket2/")),
        get(url.replace("%C3", "%c3")),
        get(format!("{url}&versionId=1")),
        get(format!("{url}&%76ersionId=1")),
        get(format!("{url}&acl")),
        get(format!("{url}&response-content-type=text/html")),
        get(format!("{url}&x-amz-security-token=1")),
        get(url.replace("Signature=R", "Signature=S")),
        get(url.replace("%3D&", "&")),
        get(url
            .replace("Signature=", "Signature=%FFx")
            .replace("%FF", "%C3%BF")),
        sample("HEAD", "s3.example", url),
        sample("GET", "other.s3.example", url),
        get(url.into()).with("content-type", "text/plain"),
        get(url.into()).with("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
        get(url.into()).with("x-amz-meta-a", "1"),
        sample("PUT", "s3.example", plain_put).with("x-amz-copy-source", "bucket/k"),
        sample(
            "PUT",
            "s3.example",
            format!("{plain_put}&x-amz-copy-source=bucket/k"),
        ),
    ];
    for (i, sample) in samples.into_iter().enumerate() {
        assert_eq!(
            sample.error().code(),
            S3Code::SignatureDoesNotMatch,
            "case {i}"
        );
    }
    let wrong = get(url.into())
        .verify_at(NOW, "wrong")
        .expect_err("refused");
    assert_eq!(wrong.code(), S3Code::SignatureDoesNotMatch);
}

#[test]
fn what_is_not_signed_may_change() {
    let listing = BOTO3.iter().find(|(_, uri, _)| uri.contains("list-type"));
    let &(_, uri, _) = listing.expect("a listing");
    let other = uri.replace("prefix=a%20b%2F", "prefix=c");
    sample("GET", "s3.example", other).verify().expect("valid");
    let range = sample("GET", "s3.example", boto3_get()).with("range", "bytes=0-1");
    range.verify().expect("valid");
}

#[test]
fn a_header_in_the_query_takes_effect_and_the_real_one_wins() {
    let &(method, uri, _) = &BOTO3[2];
    let parts = sample(method, "s3.example", uri).parts();
    let alone = hoisted(&parts).expect("utf-8");
    assert_eq!(alone.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(alone.headers["content-md5"], "1B2M2Y8AsgTpgAmY7PhCfg==");
    assert_eq!(alone.headers["x-amz-meta-b"], "two  words");
    let same = sample(method, "s3.example", uri).with("x-amz-meta-a", "1");
    same.verify().expect("valid");
    let other = sample(method, "s3.example", uri).with("x-amz-meta-a", "2");
    assert_eq!(other.error().code(), S3Code::SignatureDoesNotMatch);
    let parts = sample("GET", "s3.example", boto3_get()).parts();
    assert!(matches!(hoisted(&parts), Ok(Cow::Borrowed(_))));
    let version_4 = "/k?X-Amz-Signature=1&AWSAccessKeyId=a&Signature=b&x-amz-acl=private";
    let parts = sample("GET", "s3.example", version_4).parts();
    assert!(!is_presigned(&parts.uri, &parts.headers));
}

#[test]
fn a_line_break_in_the_query_forges_no_header() {
    let two_headers = format!("GET\n\n\n{NOW}\nx-amz-a:1\nx-amz-b:2\n/b/k");
    let honest = signed(&two_headers, "/b/k?x-amz-a=1&x-amz-b=2&");
    sample("GET", "s3.example", honest).verify().expect("valid");
    let forged = signed(&two_headers, "/b/k?x-amz-a=1%0Ax-amz-b:2&");
    let error = sample("GET", "s3.example", forged).error();
    assert_eq!(error.code(), S3Code::SignatureDoesNotMatch);
}

#[test]
fn repeated_headers_are_trimmed_and_joined() {
    let uri = signed(&format!("GET\n\n\n{NOW}\nx-amz-a:1,2\n/b/k"), "/b/k?");
    let twice = sample("GET", "s3.example", uri);
    let twice = twice.with("x-amz-a", " 1 ").with("x-amz-a", "2");
    twice.verify().expect("valid");
}

#[test]
fn refusals_have_the_codes_of_aws() {
    let get = |uri: &str| sample("GET", "s3.example", uri);
    let url = boto3_get();
    let cases = [
        (
            get(&url.replace(AKID, "NOBODY")),
            S3Code::InvalidAccessKeyId,
        ),
        (get("/k?AWSAccessKeyId=a&Signature=b"), S3Code::AccessDenied),
        (
            get("/k?AWSAccessKeyId=&Signature=b&Expires=1"),
            S3Code::AccessDenied,
        ),
        (
            get(&url.replace("1369354200", "soon")),
            S3Code::AccessDenied,
        ),
        (
            get(url).with("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            S3Code::InvalidRequest,
        ),
        (
            get(url).with("x-amz-content-sha256", "x"),
            S3Code::InvalidArgument,
        ),
        (get(&format!("{url}&a=%ff")), S3Code::InvalidUri),
    ];
    for (i, (sample, code)) in cases.into_iter().enumerate() {
        assert_eq!(sample.error().code(), code, "case {i}");
    }
}

#[test]
fn a_mismatch_tells_what_was_signed_and_no_more() {
    let error = sample("HEAD", "s3.example", boto3_get()).error();
    let text = format!("{error:?}");
    assert!(text.contains("StringToSign") && !text.contains("CanonicalRequest"));
    let right = STANDARD.encode(hmac_sha1(&Secret::new(SECRET), b"x"));
    assert!(!text.contains(SECRET) && !text.contains(&right));
}

#[test]
fn a_session_token_is_handed_on() {
    let uri = "/bucket/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=0Aapr%2FGlzFSHLI6WHXds%2BWsCURg%3D&x-amz-security-token=TOKEN%2B%2F%3D&Expires=1369354200";
    let verified = sample("GET", "s3.example", uri).verify().expect("valid");
    assert_eq!(verified.session_token.as_deref(), Some("TOKEN+/="));
}

#[test]
fn every_parameter_that_selects_an_operation_is_signed() {
    for name in route::subresources() {
        assert!(SUBRESOURCES.contains(&name), "{name}");
    }
    assert!(SUBRESOURCES.is_sorted());
}

#[test]
fn other_requests_are_left_to_version_4() {
    let is = |sample: Sample| {
        let parts = sample.parts();
        is_presigned(&parts.uri, &parts.headers)
    };
    let url = boto3_get();
    assert!(!is(sample("GET", "h", url).with("authorization", "AWS a:b")));
    assert!(!is(sample("GET", "h", format!("{url}&X-Amz-Signature=1"))));
    assert!(!is(sample("GET", "h", "/k?Signature=b&Expires=1")));
}

proptest! {
    #[test]
    fn never_panics(query in "([a-zA-Z=&%0-9+ -]|x-amz-){0,80}", expires in "[0-9-]{0,25}") {
        let query = query.replace(' ', "%20");
        let uri = format!("/b?AWSAccessKeyId={AKID}&Signature=AA&Expires={expires}&{query}");
        let sample = sample("GET", "s3.example", uri);
        let parts = sample.parts();
        prop_assume!(is_presigned(&parts.uri, &parts.headers));
        prop_assert!(sample.verify().is_err());
    }
}
