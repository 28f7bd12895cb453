//! Bodies of the fuzz targets for what a disk reads: see [`crate::fuzzing`].

use std::ops::Range;

use super::{
    Frame, FrameKind, MemoryVolume, Seq, Volume,
    floor::{Floor, FloorState},
    frame::{FRAME_TRAILER_BYTES, encode_into, frame_bytes},
    identity,
    scan::scan,
    segment::{HeaderState, SEGMENT_HEADER_BYTES, SegmentHeader, segment_salt},
};
use crate::fuzzing::settles;

const SEGMENT: u32 = 7;
const DISK_ID: u128 = 99;
/// Changed bytes per input at most.
const CHANGES: u8 = 6;

/// Hands out the fuzzer's bytes; zeros at the end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    fn number(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }
}

/// Scans a segment. An even first byte: what follows is the file. An odd one: frames are made as what follows says, then bytes are
/// changed, and all frames that were not hit must be found. Returns the number of frames found.
pub(crate) fn segment(input: &[u8]) -> usize {
    let mut input = Input(input);
    if input.byte() % 2 == 0 {
        return visit(input.0).len();
    }
    let changes: Vec<_> = (0..input.byte() % (CHANGES + 1))
        .map(|_| (input.number(), input.byte()))
        .collect();
    let (mut file, frames) = frames(&mut input);
    let length = file.len();
    for (at, with) in &changes {
        file[usize::from(*at) % length] ^= with;
    }
    let found = visit(&file);
    let hit = |range: &Range<usize>| {
        let inside =
            |(at, with): &(u16, u8)| *with != 0 && range.contains(&(usize::from(*at) % length));
        changes.iter().any(inside)
    };
    for (start, checked) in &frames {
        let intact = !checked.iter().any(hit);
        assert!(!intact || found.contains(start), "frame at {start} is lost");
    }
    found.len()
}

/// Where a frame starts and which of its bytes a check covers.
type Made = (u64, [Range<usize>; 2]);

fn frames(input: &mut Input<'_>) -> (Vec<u8>, Vec<Made>) {
    let header = SegmentHeader {
        segment: SEGMENT,
        cluster: 1,
        disk: super::DiskNo(2),
        opened_at: Seq(3),
    };
    let mut file = header.encode().to_vec();
    let mut made = Vec::new();
    while !input.0.is_empty() {
        let kind = [
            FrameKind::Commit,
            FrameKind::Shard,
            FrameKind::Epoch,
            FrameKind::Checkpoint,
        ][usize::from(input.byte() % 4)];
        let (meta, shard) = (
            usize::from(input.byte()),
            usize::from(input.number() % 4096),
        );
        let filler = input.byte();
        let start = file.len();
        let frame = Frame {
            kind,
            seq: Seq(u64::from(input.number())),
            shard_index: filler,
            meta: &vec![filler; meta],
            shard: &vec![filler; shard],
        };
        let offset = u32::try_from(start).expect("a small file");
        encode_into(&mut file, &frame, segment_salt(DISK_ID, SEGMENT), offset)
            .expect("a small frame");
        let meta_at = start + super::FRAME_HEADER_BYTES as usize + shard;
        made.push((
            start as u64,
            [
                start..start + super::FRAME_HEADER_BYTES as usize,
                meta_at..file.len(),
            ],
        ));
        assert_eq!(
            file.len() - start,
            frame_bytes(meta, shard).expect("small") as usize
        );
        debug_assert!(
            file.len() - meta_at == meta + FRAME_TRAILER_BYTES as usize,
            "format"
        );
    }
    (file, made)
}

/// The offsets of the frames in a file. Every byte is in a frame, in the header, or counted as damaged.
fn visit(bytes: &[u8]) -> Vec<u64> {
    let volume = MemoryVolume::new("fuzz", 1 << 30);
    let file = volume.create("segment").expect("an empty volume");
    file.write_at(bytes, 0).expect("room");
    let salt = segment_salt(DISK_ID, SEGMENT);
    let (mut found, mut covered) = (Vec::new(), 0);
    let end = scan(file, SEGMENT, salt, 0..bytes.len() as u64, &mut |frame| {
        found.push(u64::from(frame.address.offset));
        covered += u64::from(frame.frame_bytes);
    })
    .expect("memory can be read");
    let length = bytes.len() as u64;
    let header = length.min(u64::from(SEGMENT_HEADER_BYTES));
    let rest = covered + end.damaged_bytes;
    assert!(
        rest == length || rest + header == length,
        "{rest} of {length} bytes are accounted for"
    );
    assert!(end.valid_bytes <= length);
    found
}

/// Reads the files that say what a disk is.
pub(crate) fn identity(input: &[u8]) -> usize {
    let floor = matches!(Floor::decode_either(input), FloorState::Good(_));
    let header = input
        .first_chunk()
        .is_some_and(|bytes| matches!(SegmentHeader::decode(bytes), HeaderState::Good(_)));
    usize::from(floor) + usize::from(header) + settles(input, identity::rewrite)
}
