use proptest::prelude::*;

use super::super::key::Scope;
use super::super::{Secret, SigningKey, Timestamp};
use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn signer(seed: &str) -> ChunkSigner {
    let scope = Scope {
        date: "20130524",
        region: "us-east-1",
        service: "s3",
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(seed, &mut bytes).expect("seed");
    ChunkSigner {
        key: SigningKey::derive(&Secret::new(SECRET), scope),
        timestamp: Timestamp::parse_iso("20130524T000000Z").expect("time"),
        scope: scope.text(),
        seed: bytes,
    }
}

/// Seed signatures of AWS's two examples.
const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const SEED_TRAILER: &str = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";

fn framed(chunks: &[(&str, &[u8])], end: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (signature, data) in chunks {
        body.extend_from_slice(
            format!("{:x};chunk-signature={signature}\r\n", data.len()).as_bytes(),
        );
        body.extend_from_slice(data);
        if !data.is_empty() {
            body.extend_from_slice(b"\r\n");
        }
    }
    body.extend_from_slice(end.as_bytes());
    body
}

fn aws_example() -> Vec<u8> {
    let (first, second) = (vec![b'a'; 65536], vec![b'a'; 1024]);
    framed(
        &[
            (
                "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                &first,
            ),
            (
                "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                &second,
            ),
            (
                "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
                b"",
            ),
        ],
        "\r\n",
    )
}

fn aws_trailer_example(end: &str) -> Vec<u8> {
    let (first, second) = (vec![b'a'; 65536], vec![b'a'; 1024]);
    framed(
        &[
            (
                "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                &first,
            ),
            (
                "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                &second,
            ),
            (
                "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
                b"",
            ),
        ],
        end,
    )
}

const TRAILER: &str = "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n";

fn decode(decoder: &mut Decoder, pieces: &[&[u8]]) -> Result<Vec<u8>, ChunkError> {
    let mut out = Vec::new();
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(data) = decoder.push(&mut input)? {
            out.extend_from_slice(&data);
        }
    }
    Ok(out)
}

fn run(
    payload: Payload,
    seed: &str,
    len: u64,
    body: &[u8],
) -> Result<(Vec<u8>, Trailers), ChunkError> {
    let mut decoder = Decoder::new(payload, &signer(seed), len).expect("chunked");
    let out = decode(&mut decoder, &[body])?;
    Ok((out, decoder.finish()?))
}

#[test]
fn decodes_the_signed_example_of_the_aws_documentation() {
    let (out, trailers) = run(Payload::SignedChunks, SEED, 66560, &aws_example()).expect("valid");
    assert_eq!(out, vec![b'a'; 66560]);
    assert_eq!(trailers, Trailers::default());
}

#[test]
fn decodes_the_trailer_example_of_the_aws_documentation() {
    let body = aws_trailer_example(TRAILER);
    let (out, trailers) =
        run(Payload::SignedChunksTrailer, SEED_TRAILER, 66560, &body).expect("valid");
    assert_eq!(out.len(), 66560);
    assert_eq!(trailers.get("x-amz-checksum-crc32c"), Some("sOO8/Q=="));
    // The documentation writes the trailer with `\n\r\n` after the checksum.
    let documented = aws_trailer_example(&TRAILER.replacen("\r\n", "\n\r\n", 1));
    run(
        Payload::SignedChunksTrailer,
        SEED_TRAILER,
        66560,
        &documented,
    )
    .expect("valid");
}

#[test]
fn data_is_a_slice_of_the_input() {
    let mut decoder =
        Decoder::new(Payload::UnsignedChunksTrailer, &signer(SEED), 5).expect("chunked");
    let mut input = Bytes::from_static(b"5\r\nhello\r\n0\r\n\r\n");
    let at = input.as_ptr();
    let data = decoder.push(&mut input).expect("valid").expect("data");
    assert_eq!(data.as_ptr(), at.wrapping_add(3));
}

#[test]
fn refuses_a_changed_byte_signature_or_trailer() {
    let mut body = aws_example();
    body[100] ^= 1;
    let error = run(Payload::SignedChunks, SEED, 66560, &body).expect_err("tampered");
    assert_eq!(error, ChunkError::ChunkSignature { chunk: 0 });
    let error = run(Payload::SignedChunks, SEED_TRAILER, 66560, &aws_example());
    assert_eq!(
        error.expect_err("other seed"),
        ChunkError::ChunkSignature { chunk: 0 }
    );
    let body = aws_trailer_example(&TRAILER.replace("sOO8", "sOO9"));
    let error = run(Payload::SignedChunksTrailer, SEED_TRAILER, 66560, &body);
    assert_eq!(error.expect_err("trailer"), ChunkError::TrailerSignature);
    let body = aws_trailer_example("\r\n");
    let error = run(Payload::SignedChunksTrailer, SEED_TRAILER, 66560, &body);
    assert_eq!(error.expect_err("no trailer"), ChunkError::TrailerSignature);
}

fn unsigned(len: u64, body: &[u8]) -> Result<(Vec<u8>, Trailers), ChunkError> {
    run(Payload::UnsignedChunksTrailer, SEED, len, body)
}

#[test]
fn decodes_unsigned_chunks_with_a_trailer() {
    let (out, trailers) = unsigned(
        8,
        b"5\r\nhello\r\n3\r\n, x\r\n0\r\nX-Amz-Checksum-CRC32: abc \r\n\r\n",
    )
    .expect("valid");
    assert_eq!(out, b"hello, x");
    assert_eq!(trailers.get("x-amz-checksum-crc32"), Some("abc"));
    assert_eq!(unsigned(0, b"0\r\n\r\n").expect("empty").0, b"");
}

#[test]
fn refuses_wrong_lengths_and_broken_framing() {
    let length = |expected_bytes, got_bytes| ChunkError::LengthMismatch {
        expected_bytes,
        got_bytes,
    };
    let cases: &[(u64, &[u8], ChunkError)] = &[
        (4, b"5\r\nhello\r\n0\r\n\r\n", length(4, 5)),
        (6, b"5\r\nhello\r\n0\r\n\r\n", length(6, 5)),
        (5, b"ffffffffffffffff\r\n", length(5, u64::MAX)),
        (5, b"fffffffffffffffff\r\n", ChunkError::Malformed),
        (5, b"+5\r\nhello", ChunkError::Malformed),
        (5, b"\r\nhello", ChunkError::Malformed),
        (5, b"5\nhello\r\n", ChunkError::Malformed),
        (5, b"5\r\nhellooo\r\n", ChunkError::Malformed),
        (
            5,
            b"5\r\nhello\r\n0\r\nnocolon\r\n\r\n",
            ChunkError::MalformedTrailer,
        ),
        (
            5,
            b"5\r\nhello\r\n0\r\n:v\r\n\r\n",
            ChunkError::MalformedTrailer,
        ),
        (5, b"5\r\nhello\r\n0\r\n\r\nmore", ChunkError::Malformed),
        (5, b"5\r\nhel", ChunkError::Truncated),
        (5, b"5\r\nhello\r\n", ChunkError::Truncated),
        (5, b"5\r\nhello\r\n0\r\n", ChunkError::Truncated),
        (5, b"5\r\nhello\r\n0\r\na:b\r\n", ChunkError::Truncated),
    ];
    for (len, body, error) in cases {
        let text = String::from_utf8_lossy(body);
        assert_eq!(unsigned(*len, body).expect_err("refused"), *error, "{text}");
    }
}

#[test]
fn lines_and_trailers_are_bounded() {
    let long = vec![b'1'; MAX_LINE_BYTES + 10];
    assert_eq!(
        unsigned(5, &long).expect_err("line"),
        ChunkError::LineTooLong
    );
    let many = format!("0\r\n{}\r\n", "a:b\r\n".repeat(MAX_TRAILERS + 1));
    assert_eq!(
        unsigned(0, many.as_bytes()).expect_err("many"),
        ChunkError::MalformedTrailer
    );
}

#[test]
fn stays_failed_after_an_error() {
    let mut decoder =
        Decoder::new(Payload::UnsignedChunksTrailer, &signer(SEED), 5).expect("chunked");
    assert!(decoder.push(&mut Bytes::from_static(b"zz\r\n")).is_err());
    let again = decoder.push(&mut Bytes::from_static(b"5\r\nhello\r\n0\r\n\r\n"));
    assert_eq!(again, Err(ChunkError::AlreadyFailed));
    assert_eq!(decoder.finish(), Err(ChunkError::AlreadyFailed));
}

#[test]
fn every_error_has_an_s3_code() {
    let code = |e: ChunkError| S3Error::from(e).code();
    assert_eq!(
        code(ChunkError::MissingDecodedLength),
        S3Code::MissingContentLength
    );
    assert_eq!(code(ChunkError::Truncated), S3Code::IncompleteBody);
    assert_eq!(
        code(ChunkError::ChunkSignature { chunk: 0 }),
        S3Code::SignatureDoesNotMatch
    );
    assert_eq!(code(ChunkError::MalformedTrailer), S3Code::MalformedTrailer);
}

#[test]
fn the_decoded_length_must_be_digits() {
    let mut headers = HeaderMap::new();
    assert_eq!(
        decoded_length(&headers),
        Err(ChunkError::MissingDecodedLength)
    );
    headers.insert(DECODED_LENGTH, "66560".parse().expect("value"));
    assert_eq!(decoded_length(&headers), Ok(66560));
    headers.insert(DECODED_LENGTH, "+5".parse().expect("value"));
    assert!(decoded_length(&headers).is_err());
}

/// Splits a body at the given points, taken modulo its length.
fn split(body: &[u8], mut points: Vec<usize>) -> Vec<&[u8]> {
    for point in &mut points {
        *point %= body.len() + 1;
    }
    points.sort_unstable();
    let mut at = 0;
    let mut pieces = Vec::new();
    for point in points {
        pieces.push(&body[at..point]);
        at = point;
    }
    pieces.push(&body[at..]);
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_output(points in proptest::collection::vec(any::<usize>(), 0..40)) {
        let body = aws_trailer_example(TRAILER);
        let mut decoder =
            Decoder::new(Payload::SignedChunksTrailer, &signer(SEED_TRAILER), 66560).expect("chunked");
        let out = decode(&mut decoder, &split(&body, points)).expect("valid");
        prop_assert_eq!(out, vec![b'a'; 66560]);
        prop_assert!(decoder.finish().is_ok());
    }

    #[test]
    fn small_bodies_split_into_single_bytes_decode(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8)) {
        let mut body = Vec::new();
        for chunk in &chunks {
            body.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        let whole = chunks.concat();
        let mut decoder =
            Decoder::new(Payload::UnsignedChunksTrailer, &signer(SEED), whole.len() as u64).expect("chunked");
        let pieces: Vec<&[u8]> = body.chunks(1).collect();
        prop_assert_eq!(decode(&mut decoder, &pieces).expect("valid"), whole);
        prop_assert!(decoder.finish().is_ok());
    }

    #[test]
    fn garbage_never_panics_and_a_changed_body_never_finishes(
        at in any::<usize>(), flip in 1_u8..,
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        drop(unsigned(100, &garbage));
        drop(run(Payload::SignedChunksTrailer, SEED, 100, &garbage));
        let mut body = aws_example();
        let at = at % body.len();
        let before = body[at];
        body[at] ^= flip;
        // Hex digits mean the same in either case.
        prop_assume!(!before.eq_ignore_ascii_case(&body[at]));
        if let Ok((out, _)) = run(Payload::SignedChunks, SEED, 66560, &body) {
            prop_assert_eq!(out, vec![b'a'; 66560]);
        }
    }

    #[test]
    fn a_body_cut_anywhere_never_finishes(cut in any::<usize>()) {
        let body = aws_trailer_example(TRAILER);
        let cut = cut % body.len();
        prop_assert!(run(Payload::SignedChunksTrailer, SEED_TRAILER, 66560, &body[..cut]).is_err());
    }
}
