//! Everything that clients send, and what records say of data keys, on bytes from anywhere: the one door for fuzzers.
//!
//! Invariants that hold for every input: nothing panics, nothing is taken that was not signed, memory is bounded by the input, and how a
//! body is cut changes nothing.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use larder_storage::clock::SystemClock;

use crate::{
    keyring::Keyring,
    kms::{Kms, KmsSettings},
    notify::Rules,
    op::fuzz_envelope,
    post::{Event, Fields, Form, PostPolicy, boundary},
    sigv2,
    sigv4::{ChunkSigner, Payload, PostSignature, Request, Secret, Verifier, chunked::Decoder},
    xml::{parse, write},
};

/// 2013-05-24, the day of AWS's examples.
const NOW: i64 = 1_369_353_600;
const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// What the bytes are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The head of a request: a line with its URI, then a header a line. Versions 4 and 2.
    Signatures,
    /// An aws-chunked body: its kind, its length, how it is cut, then the body.
    Chunked,
    /// Each XML document that a request may have.
    Xml,
    /// A form, how it is cut, and its policy document.
    Forms,
    /// What a record says of its data key.
    Envelopes,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Signatures,
        Self::Chunked,
        Self::Xml,
        Self::Forms,
        Self::Envelopes,
    ];
}

/// Runs one input; says how many parsers took it for good.
///
/// # Panics
/// If this crate is wrong.
pub fn run(target: Target, input: &[u8]) -> usize {
    match target {
        Target::Signatures => signatures(input),
        Target::Chunked => chunked(input),
        Target::Xml => xml(input),
        Target::Forms => forms(input),
        Target::Envelopes => envelopes(input),
    }
}

fn envelopes(input: &[u8]) -> usize {
    let kms = Kms::open(KmsSettings::default(), "us-east-1", Arc::new(SystemClock));
    match (Keyring::made_up(), kms) {
        (Ok(ring), Ok(kms)) => fuzz_envelope(input, &ring, &kms),
        _ => 0,
    }
}

fn secret_of(access_key: &str) -> Option<Secret> {
    (access_key == ACCESS_KEY).then(|| Secret::new(SECRET))
}

fn signatures(input: &[u8]) -> usize {
    let mut lines = input.split(|b| *b == b'\n');
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) else {
        return 0;
    };
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let at = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let request = Request {
        method: &Method::GET,
        uri: &uri,
        headers: &headers,
    };
    let verifier = Verifier::new("us-east-1");
    let v4 = verifier.verify(&request, NOW, secret_of);
    let v2 = sigv2::verify(&request, None, NOW, secret_of);
    let claimed = PostSignature::V4 {
        algorithm: "AWS4-HMAC-SHA256",
        credential: uri.path(),
        date: uri.query().unwrap_or_default(),
        signature: uri.query().unwrap_or_default(),
    };
    drop(verifier.verify_post(uri.path(), &claimed, secret_of));
    usize::from(v4.is_ok()) + usize::from(v2.is_ok())
}

/// The pieces of `body`, each as long as the next of `cuts` says.
fn pieces<'a>(cuts: &'a [u8], mut body: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = cuts.iter().cycle();
    std::iter::from_fn(move || {
        let length = usize::from(*lengths.next().unwrap_or(&255)).max(1);
        let (piece, rest) = body.split_at(body.len().min(length));
        body = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn chunked(input: &[u8]) -> usize {
    let [kind, low, high, cut, body @ ..] = input else {
        return 0;
    };
    let payload = [
        Payload::UnsignedChunksTrailer,
        Payload::SignedChunks,
        Payload::SignedChunksTrailer,
    ][usize::from(kind % 3)];
    let length = u64::from(u16::from_le_bytes([*low, *high]));
    let signer = ChunkSigner::for_fuzzing(&Secret::new(SECRET));
    let decode = |cuts: &[u8]| -> Option<Vec<u8>> {
        let mut decoder = Decoder::new(payload, &signer, length)?;
        let mut out = Vec::new();
        for piece in pieces(cuts, body) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(data) = decoder.push(&mut piece).ok()? {
                out.extend_from_slice(&data);
                assert!(out.len() as u64 <= length, "more than was announced");
            }
        }
        decoder.finish().ok().map(|_| out)
    };
    let (whole, cut) = (decode(&[255]), decode(&[*cut]));
    assert_eq!(whole, cut, "it matters how it is cut");
    usize::from(whole.is_some_and(|out| out.len() as u64 == length))
}

fn xml(input: &[u8]) -> usize {
    let cors = parse::cors_configuration(input).ok();
    if let Some(rules) = cors.as_ref().filter(|rules| rules.check().is_ok()) {
        let written = write::cors_configuration(rules);
        let again = parse::cors_configuration(written.as_bytes());
        assert_eq!(again.ok().as_ref(), Some(rules), "written in another form");
    }
    let tags = parse::bucket_tagging(input).ok();
    if let Some(tags) = &tags {
        let written = write::tagging(tags);
        let again = parse::bucket_tagging(written.as_bytes());
        assert_eq!(again.ok().as_ref(), Some(tags), "written in another form");
    }
    let block = parse::public_access_block(input).ok();
    if let Some(block) = block {
        let written = write::public_access_block(block);
        let again = parse::public_access_block(written.as_bytes());
        assert_eq!(again.ok(), Some(block), "written in another form");
    }
    let ownership = parse::ownership_controls(input).ok();
    if let Some(ownership) = ownership {
        let written = write::ownership_controls(ownership);
        let again = parse::ownership_controls(written.as_bytes());
        assert_eq!(again.ok(), Some(ownership), "written in another form");
    }
    let notifications = parse::notification_configuration(input).ok();
    if let Some(notifications) = &notifications {
        let written = write::notification_configuration(notifications);
        let again = parse::notification_configuration(written.as_bytes());
        assert_eq!(
            again.ok().as_ref(),
            Some(notifications),
            "written in another form"
        );
        drop(Rules::checked(notifications));
    }
    let others = [
        notifications.is_some(),
        block.is_some(),
        ownership.is_some(),
        parse::access_control_policy(input).is_ok(),
        parse::create_bucket_configuration(input).is_ok_and(|asked| asked.location.is_some()),
        parse::versioning_configuration(input).is_ok(),
        parse::tagging(input).is_ok(),
        parse::delete(input).is_ok(),
        parse::complete_multipart_upload(input).is_ok(),
        parse::object_lock_configuration(input).is_ok(),
        parse::bucket_logging(input).is_ok(),
        parse::retention(input).is_ok(),
        parse::legal_hold(input).is_ok(),
        parse::lifecycle_configuration(input).is_ok(),
    ];
    let good = others.into_iter().filter(|good| *good).count();
    good + usize::from(cors.is_some()) + usize::from(tags.is_some())
}

fn forms(input: &[u8]) -> usize {
    let [cut, body @ ..] = input else {
        return 0;
    };
    drop(boundary(&String::from_utf8_lossy(body)));
    let (whole, pieced) = (form(&[255], body), form(&[*cut], body));
    assert_eq!(whole, pieced, "it matters how it is cut");
    let policy = PostPolicy::parse(body).ok();
    let fields = whole.clone().unwrap_or_default();
    if let Some(policy) = &policy {
        drop(policy.check("b", &fields, NOW));
    }
    usize::from(whole.is_some()) + usize::from(policy.is_some())
}

/// The fields of a form that has an end.
fn form(cuts: &[u8], body: &[u8]) -> Option<Fields> {
    let mut form = Form::new("x");
    let (mut fields, mut value, mut name) = (Fields::default(), Vec::new(), String::new());
    for piece in pieces(cuts, body) {
        form.feed(piece);
        loop {
            match form.next_event().ok()? {
                Event::NeedMore => break,
                Event::Part(head) => name = head.name,
                Event::Data(data) => value.extend_from_slice(&data),
                Event::PartEnd => {
                    let text = String::from_utf8_lossy(&value).into_owned();
                    fields.push(&name, text);
                    value.clear();
                }
                Event::End => return Some(fields),
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
