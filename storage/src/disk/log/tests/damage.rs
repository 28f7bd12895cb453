//! Rot: what a scan makes of segments that are not as they were written.

use super::*;
use crate::disk::{FRAME_TRAILER_BYTES, SEGMENT_HEADER_BYTES};

const SEGMENT: &str = "log/00000001.seg";

fn large_segments(volume: MemoryVolume) -> LogDiskConfig {
    let options = DiskOptions {
        segment_bytes: 64 << 20,
        reserve_bytes: Some(0),
    };
    LogDiskConfig {
        options,
        ..config(volume)
    }
}

/// One segment with these frames, closed.
fn segment_of(frames: &[(&[u8], &[u8])]) -> (MemoryVolume, Vec<ScannedFrame>) {
    let volume = memory();
    let disk = LogDisk::manual(&large_segments(volume.clone())).unwrap();
    for (seq, (meta, shard)) in (1..).zip(frames) {
        disk.append(&commit(seq, meta, shard), None).unwrap();
    }
    disk.flush_once();
    drop(disk);
    let (frames, end) = scan_of(&volume);
    assert_eq!(end.damaged_bytes, 0);
    (volume, frames)
}

fn scan_of(volume: &MemoryVolume) -> (Vec<ScannedFrame>, ScanEnd) {
    let disk = LogDisk::manual(&config(volume.clone())).unwrap();
    let mut frames = Vec::new();
    let end = disk.scan(1, 0, &mut |frame| frames.push(frame)).unwrap();
    (frames, end)
}

fn damaged(
    volume: &MemoryVolume,
    change: impl FnOnce(&mut Vec<u8>),
) -> (Vec<ScannedFrame>, ScanEnd) {
    let copy = volume.crash(&SeededRng::new(0));
    copy.tamper(SEGMENT, change).unwrap();
    scan_of(&copy)
}

fn holds(frame: &ScannedFrame, byte: usize) -> bool {
    let start = frame.address.offset as usize;
    (start..start + frame.frame_bytes as usize).contains(&byte)
}

fn in_shard(frame: &ScannedFrame, byte: usize) -> bool {
    let start = (frame.address.offset + FRAME_HEADER_BYTES) as usize;
    (start..start + frame.shard_bytes as usize).contains(&byte)
}

#[test]
fn a_flipped_bit_anywhere_costs_at_most_its_own_frame() {
    let (volume, frames) = segment_of(&[
        (b"first", b"shard"),
        (b"", b""),
        (b"third", &[1; 100]),
        (b"the fourth", b""),
    ]);
    let length = volume.files()[SEGMENT].len();
    for byte in 0..length {
        let bit = byte % 8;
        let (found, end) = damaged(&volume, |bytes| bytes[byte] ^= 1 << bit);
        let survives = |frame: &&ScannedFrame| !holds(frame, byte) || in_shard(frame, byte);
        let expected: Vec<_> = frames.iter().filter(survives).cloned().collect();
        assert_eq!(found, expected, "byte {byte}");
        let lost: u32 = frames
            .iter()
            .filter(|f| !survives(f))
            .map(|f| f.frame_bytes)
            .sum();
        let in_header = byte < SEGMENT_HEADER_BYTES as usize;
        let lost = if in_header {
            SEGMENT_HEADER_BYTES
        } else {
            lost
        };
        assert_eq!(end.damaged_bytes, u64::from(lost), "byte {byte}");
    }
}

#[test]
fn a_tail_cut_anywhere_costs_only_what_was_cut() {
    let (volume, frames) = segment_of(&[
        (b"first", b"shard"),
        (b"second", &[1; 1000]),
        (b"third", b""),
    ]);
    let length = volume.files()[SEGMENT].len();
    for keep in 0..length {
        let (found, end) = damaged(&volume, |bytes| bytes.truncate(keep));
        let whole = |f: &&ScannedFrame| (f.address.offset + f.frame_bytes) as usize <= keep;
        let expected: Vec<_> = frames.iter().filter(whole).cloned().collect();
        assert_eq!(found, expected, "cut at {keep}");
        let last = expected
            .last()
            .map_or(SEGMENT_HEADER_BYTES, |f| f.address.offset + f.frame_bytes);
        assert_eq!(
            end.valid_bytes,
            u64::from(last).min(keep as u64),
            "cut at {keep}"
        );
    }
}

#[test]
fn overwritten_stretches_cost_only_the_frames_they_touch() {
    let shard = [3; 5000];
    let frames: Vec<(&[u8], &[u8])> = (0..20)
        .map(|_| (b"meta".as_slice(), shard.as_slice()))
        .collect();
    let (volume, frames) = segment_of(&frames);
    let rng = SeededRng::new(5);
    let length = volume.files()[SEGMENT].len();
    for filler in [0_u8, 1, 2, 0xff] {
        for _ in 0..20 {
            let from = usize::try_from(rng.next_u64() % length as u64).unwrap();
            let to = length.min(from + usize::try_from(rng.next_u64() % 12_000).unwrap());
            let (found, _) = damaged(&volume, |bytes| bytes[from..to].fill(filler));
            let touched =
                |frame: &ScannedFrame| (from..to).any(|b| holds(frame, b) && !in_shard(frame, b));
            for frame in frames.iter().filter(|frame| !touched(frame)) {
                assert!(
                    found.contains(frame),
                    "{:?} lost by {from}..{to}",
                    frame.address
                );
            }
            assert!(
                found.iter().all(|frame| frames.contains(frame)),
                "made up by {from}..{to}"
            );
        }
    }
}

#[test]
fn a_frame_that_a_user_uploaded_is_none() {
    let (victim, _) = segment_of(&[(b"sound", b"")]);
    let upload = victim.files()[SEGMENT][SEGMENT_HEADER_BYTES as usize..].to_vec();
    let (volume, frames) = segment_of(&[(b"meta", &upload), (b"next", b"")]);
    let (found, _) = damaged(&volume, |bytes| bytes[SEGMENT_HEADER_BYTES as usize] ^= 1);
    assert_eq!(found, frames[1..]);
}

#[test]
fn searching_bytes_that_all_look_like_headers_is_quick() {
    // With one check over header and metadata this would sum some 64 KiB at each of 8 million places.
    let shard = vec![1; 8_000_000];
    let (volume, frames) = segment_of(&[(b"meta", &shard), (b"next", b"")]);
    let (found, end) = damaged(&volume, |bytes| bytes[SEGMENT_HEADER_BYTES as usize] ^= 1);
    assert_eq!(found, frames[1..]);
    let lost = u64::from(FRAME_HEADER_BYTES + 8_000_000 + 4 + FRAME_TRAILER_BYTES);
    assert_eq!(end.damaged_bytes, lost);
}

#[test]
fn segments_of_random_bytes_are_scanned_without_harm() {
    let rng = SeededRng::new(3);
    let (volume, _) = segment_of(&[(b"meta", b"shard")]);
    for length in [0, 1, 63, 64, 65, 88, 1000, 300_000] {
        let noise = |bytes: &mut Vec<u8>| {
            *bytes = (0..length)
                .map(|_| rng.next_u64().to_le_bytes()[0])
                .collect();
        };
        let (found, end) = damaged(&volume, noise);
        assert_eq!(found, []);
        assert_eq!(end.damaged_bytes, length);
    }
}

/// Three frames as the first release writes them. Never to be made anew: later code must read this very file.
#[test]
fn segment_of_format_1_is_read() {
    let volume = memory();
    volume.create_dir("log").unwrap();
    let file = volume.create(SEGMENT).unwrap();
    file.write_at(include_bytes!("../fixtures/segment-format-1.seg"), 0)
        .unwrap();
    let (frames, end) = scan_of(&volume);
    let kinds = [FrameKind::Epoch, FrameKind::Commit, FrameKind::Shard];
    assert_eq!(frames.iter().map(|f| f.kind).collect::<Vec<_>>(), kinds);
    assert_eq!(
        frames.iter().map(|f| f.seq).collect::<Vec<_>>(),
        [1, 2, 3].map(|n| Seq::new(5, n))
    );
    assert_eq!(
        frames.iter().map(|f| &f.meta[..]).collect::<Vec<_>>(),
        [&b"epoch"[..], b"meta", b""]
    );
    assert_eq!(
        frames.iter().map(|f| f.shard_bytes).collect::<Vec<_>>(),
        [0, 600, 3]
    );
    assert_eq!(
        end,
        ScanEnd {
            valid_bytes: 772,
            damaged_bytes: 0
        }
    );
    let disk = LogDisk::manual(&config(volume)).unwrap();
    assert_eq!(disk.segments().unwrap()[0].opened_at, Seq::new(5, 1));
}
