use proptest::prelude::*;

use super::*;

fn kinds() -> impl Strategy<Value = FrameKind> {
    prop_oneof![
        Just(FrameKind::Commit),
        Just(FrameKind::Shard),
        Just(FrameKind::Epoch),
        Just(FrameKind::Checkpoint)
    ]
}

fn encode(frame: &Frame<'_>, salt: Salt, offset: u32) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(&mut out, frame, salt, offset).unwrap();
    out
}

fn decode(bytes: &[u8], salt: Salt, offset: u32) -> Option<(FrameHeader, Vec<u8>)> {
    let header = FrameHeader::decode(bytes.first_chunk()?, salt, offset)?;
    let tail = bytes
        .get((FRAME_HEADER_BYTES + header.shard_bytes) as usize..header.frame_bytes() as usize)?;
    Some((header, header.verify_meta(tail)?.to_vec()))
}

const SAMPLE: Frame<'static> = Frame {
    kind: FrameKind::Commit,
    seq: Seq(0x0102_0304_0506_0708),
    shard_index: 5,
    meta: b"meta",
    shard: b"shard",
};

#[test]
fn bytes_of_a_frame_never_change() {
    let bytes = encode(&SAMPLE, Salt(1), 64);
    assert_eq!(bytes.len(), 24 + 5 + 4 + 8);
    assert_eq!(
        bytes[8..24],
        [4, 0, 0, 5, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 1, 5]
    );
    assert_eq!(&bytes[24..33], b"shardmeta");
    // Computed by a bit-by-bit CRC-64/NVME in another language.
    assert_eq!(bytes[..8], 0xa3e5_432c_da09_c78b_u64.to_le_bytes());
    assert_eq!(bytes[33..], 0xaf64_5e33_8b21_81d4_u64.to_le_bytes());
}

#[test]
fn frames_over_the_limit_are_refused() {
    let room = (MAX_FRAME_BYTES - FRAME_HEADER_BYTES) as usize;
    assert_eq!(
        frame_bytes(room, 0),
        Ok(MAX_FRAME_BYTES + FRAME_TRAILER_BYTES)
    );
    let too_large = Err(DiskError::FrameTooLarge {
        bytes: u64::from(MAX_FRAME_BYTES) + 1,
    });
    assert_eq!(frame_bytes(room, 1), too_large);
    assert!(frame_bytes(usize::MAX, usize::MAX).is_err());
}

#[test]
fn metadata_of_another_frame_is_refused() {
    let one = encode(&SAMPLE, Salt(1), 64);
    let two = encode(
        &Frame {
            meta: b"atem",
            ..SAMPLE
        },
        Salt(1),
        128,
    );
    let mut mixed = one.clone();
    mixed[29..].copy_from_slice(&two[29..]);
    assert!(decode(&one, Salt(1), 64).is_some());
    assert_eq!(decode(&mixed, Salt(1), 64), None);
}

proptest! {
    #[test]
    fn decoding_gives_back_what_was_encoded(
        kind in kinds(), seq: u64, shard_index: u8, meta: Vec<u8>, shard: Vec<u8>, salt: u64, offset: u32,
    ) {
        let frame = Frame { kind, seq: Seq(seq), shard_index, meta: &meta, shard: &shard };
        let bytes = encode(&frame, Salt(salt), offset);
        let (header, decoded_meta) = decode(&bytes, Salt(salt), offset).unwrap();
        prop_assert_eq!(header.frame_bytes() as usize, bytes.len());
        prop_assert_eq!((header.kind, header.seq, header.shard_index), (kind, Seq(seq), shard_index));
        prop_assert_eq!(header.shard_bytes as usize, shard.len());
        prop_assert_eq!(decoded_meta, meta);
    }

    #[test]
    fn another_place_or_segment_makes_no_frame(salt: u64, other: u64, offset: u32, elsewhere: u32) {
        prop_assume!(salt != other && offset != elsewhere);
        let bytes = encode(&SAMPLE, Salt(salt), offset);
        prop_assert_eq!(decode(&bytes, Salt(other), offset), None);
        prop_assert_eq!(decode(&bytes, Salt(salt), elsewhere), None);
    }

    #[test]
    fn flipped_bits_outside_the_shard_are_noticed(bit in 0_usize..(24 + 4 + 8) * 8) {
        let mut bytes = encode(&SAMPLE, Salt(9), 64);
        let byte = if bit / 8 < 24 { bit / 8 } else { bit / 8 + SAMPLE.shard.len() };
        bytes[byte] ^= 1 << (bit % 8);
        prop_assert_eq!(decode(&bytes, Salt(9), 64), None);
    }

    #[test]
    fn random_bytes_are_no_frame_and_do_no_harm(bytes: Vec<u8>, salt: u64, offset: u32) {
        prop_assert_eq!(decode(&bytes, Salt(salt), offset), None);
    }
}
