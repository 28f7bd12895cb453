//! Prints what verifying one request's signature costs on one core, in nanoseconds.
//!
//! `cargo run --release -p larder-server --example sigv4_speed`
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::Instant;

use http::{HeaderMap, Method, Uri};
use larder_server::sigv4::{Request, Secret, Verifier};

const ROUNDS: u32 = 200;
const SAMPLES: u32 = 2_000;

fn main() {
    let mut headers = HeaderMap::new();
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (name, value) in [
        ("host", "examplebucket.s3.amazonaws.com"),
        ("range", "bytes=0-9"),
        ("x-amz-content-sha256", hash),
        ("x-amz-date", "20130524T000000Z"),
        ("authorization", authorization),
    ] {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    let uri = Uri::from_static("/test.txt");
    let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let verifier = Verifier::new("us-east-1");
    let request = Request {
        method: &Method::GET,
        uri: &uri,
        headers: &headers,
    };
    let mut best = f64::MAX;
    for _ in 0..SAMPLES {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            let answer = verifier.verify(&request, 1_369_353_600, |_| Some(secret.clone()));
            assert!(
                std::hint::black_box(answer).is_ok(),
                "the example must verify"
            );
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(ROUNDS));
    }
    println!("header GET: {:.0} ns per verification", best * 1e9);
}
