//! The canonical request, as S3 builds it: each path and query byte encoded once, no path
//! normalisation, the query sorted, signed header values trimmed and folded.
//!
//! The builder works on the raw path and query, so that keys such as `a//b`, `a/../b` or `a%2Fb`
//! stay what they are.

use http::{HeaderMap, Method, Uri};

/// Whether the query and path are brought into AWS's encoding first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Decoded and encoded again by AWS's rules: what the SDKs sign.
    Normalised,
    /// Exactly as sent: what simple clients such as `curl --aws-sigv4` sign.
    AsSent,
}

/// What a canonical request is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    /// The list as the client sent it: lower case, separated by `;`.
    pub(super) signed_headers: &'a str,
    pub(super) payload_hash: &'a str,
}

/// Builds the canonical request.
pub(super) fn request(parts: &Parts<'_>, encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b'\n');
    path(&mut out, parts.uri.path(), encoding);
    out.push(b'\n');
    query(&mut out, parts.uri.query().unwrap_or_default(), encoding);
    out.push(b'\n');
    for name in parts.signed_headers.split(';') {
        header(&mut out, parts, name);
    }
    out.push(b'\n');
    out.extend_from_slice(parts.signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(parts.payload_hash.as_bytes());
    out
}

fn path(out: &mut Vec<u8>, raw: &str, encoding: Encoding) {
    match encoding {
        Encoding::AsSent => out.extend_from_slice(raw.as_bytes()),
        Encoding::Normalised => encode(out, raw.as_bytes(), Place::Path),
    }
}

/// One pair in the scratch buffer: where its name starts and ends, and where its value ends.
#[derive(Clone, Copy)]
struct Pair {
    start: usize,
    name_end: usize,
    end: usize,
}

fn query(out: &mut Vec<u8>, raw: &str, encoding: Encoding) {
    if raw.is_empty() {
        return;
    }
    let mut scratch = Vec::with_capacity(raw.len() + 32);
    let mut pairs = Vec::with_capacity(8);
    for text in raw.split('&').filter(|p| !p.is_empty() && !is_signature(p)) {
        pairs.push(encode_pair(&mut scratch, text, encoding));
    }
    let order = |p: &Pair| (&scratch[p.start..p.name_end], &scratch[p.name_end..p.end]);
    pairs.sort_by(|a, b| order(a).cmp(&order(b)));
    for (i, pair) in pairs.iter().enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        let (name, value) = order(pair);
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

fn is_signature(pair: &str) -> bool {
    pair.strip_prefix("X-Amz-Signature")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

fn encode_pair(scratch: &mut Vec<u8>, text: &str, encoding: Encoding) -> Pair {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let start = scratch.len();
    encode_query_text(scratch, name, encoding);
    let name_end = scratch.len();
    encode_query_text(scratch, value, encoding);
    Pair {
        start,
        name_end,
        end: scratch.len(),
    }
}

fn encode_query_text(out: &mut Vec<u8>, raw: &str, encoding: Encoding) {
    match encoding {
        Encoding::AsSent => out.extend_from_slice(raw.as_bytes()),
        Encoding::Normalised => encode(out, raw.as_bytes(), Place::Query),
    }
}

/// Appends `name:value\n`, with the values of repeated headers joined by commas.
fn header(out: &mut Vec<u8>, parts: &Parts<'_>, name: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut first = true;
    for value in parts.headers.get_all(name) {
        if !first {
            out.push(b',');
        }
        first = false;
        fold_spaces(out, value.as_bytes());
    }
    // HTTP/2 carries the host in `:authority`.
    if first && name == "host" {
        let host = parts
            .uri
            .authority()
            .map_or("", http::uri::Authority::as_str);
        out.extend_from_slice(host.as_bytes());
    }
    out.push(b'\n');
}

fn fold_spaces(out: &mut Vec<u8>, value: &[u8]) {
    let value = value.trim_ascii();
    if !value.windows(2).any(|w| w == b"  ") {
        out.extend_from_slice(value);
        return;
    }
    let mut space_before = false;
    for &byte in value {
        if byte != b' ' || !space_before {
            out.push(byte);
        }
        space_before = byte == b' ';
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Query,
}

/// Decodes `%XX` (and in a query `+`) and encodes the bytes again, all but unreserved ones.
fn encode(out: &mut Vec<u8>, raw: &[u8], place: Place) {
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        if byte == b'%'
            && let Some(decoded) = decode_hex(raw.get(at + 1..at + 3))
        {
            push_encoded(out, decoded);
            at += 3;
            continue;
        }
        match byte {
            b'/' if place == Place::Path => out.push(b'/'),
            b'+' if place == Place::Query => out.extend_from_slice(b"%20"),
            _ => push_encoded(out, byte),
        }
        at += 1;
    }
}

fn push_encoded(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        out.push(byte);
    } else {
        let digits = [
            b'%',
            HEX[usize::from(byte >> 4)],
            HEX[usize::from(byte & 15)],
        ];
        out.extend_from_slice(&digits);
    }
}

fn decode_hex(digits: Option<&[u8]>) -> Option<u8> {
    let [high, low] = digits? else { return None };
    Some(nibble(*high)? << 4 | nibble(*low)?)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(raw: &str, place: Place) -> String {
        let mut out = Vec::new();
        encode(&mut out, raw.as_bytes(), place);
        String::from_utf8(out).expect("ascii")
    }

    fn sorted(raw: &str) -> String {
        let mut out = Vec::new();
        query(&mut out, raw, Encoding::Normalised);
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn a_path_keeps_its_slashes_dots_and_encoded_slashes() {
        assert_eq!(encoded("/a//b/../c/./", Place::Path), "/a//b/../c/./");
        // An encoded slash in a key is the slash: S3 decodes the key before it encodes it again.
        assert_eq!(encoded("/a%2fb", Place::Path), "/a%2Fb");
        assert_eq!(encoded("/a+b c$é", Place::Path), "/a%2Bb%20c%24%C3%A9");
        assert_eq!(encoded("/%", Place::Path), "/%25");
        assert_eq!(encoded("/%zz%4", Place::Path), "/%25zz%254");
        assert_eq!(encoded("/%7e%41", Place::Path), "/~A");
    }

    #[test]
    fn a_query_is_sorted_by_name_then_value() {
        assert_eq!(sorted("b=2&a=2&a=1&a-b=0"), "a=1&a=2&a-b=0&b=2");
        assert_eq!(sorted("uploads"), "uploads=");
        assert_eq!(
            sorted("prefix=a+b&delimiter=/"),
            "delimiter=%2F&prefix=a%20b"
        );
        assert_eq!(sorted("&&x=1&X-Amz-Signature=abc&"), "x=1");
        assert_eq!(sorted("a=b=c"), "a=b%3Dc");
    }

    #[test]
    fn header_values_are_trimmed_folded_and_joined() {
        let mut headers = HeaderMap::new();
        headers.append("x-amz-meta-a", "  one   two ".parse().expect("value"));
        headers.append("x-amz-meta-a", "three".parse().expect("value"));
        let uri: Uri = "http://h:9000/".parse().expect("uri");
        let parts = Parts {
            method: &Method::GET,
            uri: &uri,
            headers: &headers,
            signed_headers: "host;x-amz-meta-a",
            payload_hash: "UNSIGNED-PAYLOAD",
        };
        let text = String::from_utf8(request(&parts, Encoding::Normalised)).expect("utf-8");
        assert_eq!(
            text,
            "GET\n/\n\nhost:h:9000\nx-amz-meta-a:one two,three\n\nhost;x-amz-meta-a\nUNSIGNED-PAYLOAD"
        );
    }

    proptest! {
        #[test]
        fn encoding_is_idempotent(raw in "[ -~é]{0,60}") {
            let once = encoded(&raw, Place::Query);
            prop_assert_eq!(encoded(&once, Place::Query), once);
        }
    }
}
