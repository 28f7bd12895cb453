//! What leaves for each body mode, put together and taken apart again.

use super::*;
use crate::bench::payload::Pool;
use proptest::prelude::*;

fn signer() -> Signer {
    let credentials = Credentials {
        access_key: "access".into(),
        secret_key: "secret".into(),
        region: "us-east-1".into(),
    };
    Signer::new(credentials, "127.0.0.1:9000".into())
}

/// The head and the body as they go over the wire.
fn wire(payloads: &Payloads, index: u64) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    let target = ("/b/k", "", 1_767_323_045_000);
    let frames = Frames::sign(&mut signer(), &mut head, payloads, index, target);
    let pieces = frames.pieces(&head, payloads.bytes(index));
    let body = pieces[1..]
        .iter()
        .flat_map(|piece| piece.iter().copied())
        .collect();
    (String::from_utf8(head.clone()).unwrap(), body)
}

fn payloads(length: usize, mode: BodyMode) -> Payloads {
    static POOL: std::sync::LazyLock<Arc<Pool>> =
        std::sync::LazyLock::new(|| Arc::new(Pool::new(1 << 20)));
    Payloads::new(Arc::clone(&POOL), length, mode)
}

/// Decodes `aws-chunked`: the data and the text after the last size line.
fn decode(mut wire: &[u8]) -> (Vec<u8>, Vec<String>, String) {
    let (mut data, mut extensions) = (Vec::new(), Vec::new());
    loop {
        let end = wire.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let line = std::str::from_utf8(&wire[..end]).unwrap();
        let (size, extension) = line.split_once(';').unwrap_or((line, ""));
        let size = usize::from_str_radix(size, 16).unwrap();
        extensions.push(extension.to_owned());
        wire = &wire[end + 2..];
        if size == 0 {
            return (data, extensions, String::from_utf8(wire.to_vec()).unwrap());
        }
        data.extend_from_slice(&wire[..size]);
        assert_eq!(&wire[size..size + 2], b"\r\n");
        wire = &wire[size + 2..];
    }
}

fn content_length(head: &str) -> usize {
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    line.unwrap().parse().unwrap()
}

const LENGTHS: [usize; 6] = [
    0,
    1,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    3 * CHUNK_BYTES + 17,
];

#[test]
fn every_mode_announces_the_length_that_it_sends() {
    for mode in [
        BodyMode::Unsigned,
        BodyMode::Signed,
        BodyMode::Chunked,
        BodyMode::Trailer,
    ] {
        for length in LENGTHS {
            let (head, body) = wire(&payloads(length, mode), 3);
            assert_eq!(content_length(&head), body.len(), "{mode:?} {length}");
        }
    }
}

#[test]
fn signed_chunks_carry_a_chain_of_signatures() {
    for length in LENGTHS {
        let payloads = payloads(length, BodyMode::Chunked);
        let (head, body) = wire(&payloads, 5);
        let (data, extensions, rest) = decode(&body);
        assert_eq!(data, payloads.bytes(5));
        assert_eq!(rest, "\r\n");
        let mut check = signer();
        check.write_head(
            &mut Vec::new(),
            &Unsigned {
                method: "PUT",
                path: "/",
                query: "",
                content_sha256: "",
                content_length: None,
                headers: &[],
            },
            1_767_323_045_000,
        );
        let seed = head
            .split("Signature=")
            .nth(1)
            .unwrap()
            .trim_end()
            .to_owned();
        let chunks = data.chunks(CHUNK_BYTES).chain([&[][..]]);
        let mut previous = seed;
        for (chunk, extension) in chunks.zip(&extensions) {
            previous = check.chunk_signature(&previous, &hex_sha256(chunk));
            assert_eq!(*extension, format!("chunk-signature={previous}"));
        }
    }
}

#[test]
fn trailing_checksum_is_that_of_the_data() {
    for length in LENGTHS {
        let payloads = payloads(length, BodyMode::Trailer);
        let (head, body) = wire(&payloads, 1);
        let (data, _, rest) = decode(&body);
        assert_eq!(data, payloads.bytes(1));
        assert_eq!(
            rest,
            format!("x-amz-checksum-crc32:{}\r\n\r\n", base64_crc32(&data))
        );
        assert!(head.contains(&format!("x-amz-decoded-content-length: {length}\r\n")));
        assert!(head.contains("x-amz-trailer: x-amz-checksum-crc32\r\n"));
    }
}

#[test]
fn refusals_show_code_and_message_or_what_there_is() {
    let head = ResponseHead {
        status: 503,
        content_length: None,
        chunked: false,
        close: false,
        etag: String::new(),
    };
    let text = b"<Error><Code>SlowDown</Code><Message>try later</Message></Error>";
    let error = check("PutObject", &head, text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "PutObject: status 503 SlowDown try later"
    );
    let error = check("PutObject", &head, b"oops\n").unwrap_err();
    assert_eq!(error.to_string(), "PutObject: status 503  oops");
}

proptest! {
    #[test]
    fn keys_are_encoded_for_path_and_query(key in "\\PC{1,30}") {
        let encoded = utf8_percent_encode(&key, PATH).to_string();
        prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?'));
        let decoded = percent_encoding::percent_decode_str(&encoded).decode_utf8().unwrap();
        prop_assert_eq!(decoded, key);
    }
}
