//! Rot in the middle of logs: what other disks still have is not lost, and the damage is reported.

use super::*;
use crate::disk::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};

/// What is done to a segment of which the frames at these offsets are known.
type Rot = fn(&mut [u8], &[(usize, usize)], u64);

/// Bits of every third header.
fn headers(bytes: &mut [u8], frames: &[(usize, usize)], seed: u64) {
    for (at, _) in frames.iter().skip(1).step_by(3) {
        bytes[at + usize::try_from(seed % 24).unwrap()] ^= 0x10;
    }
}

/// The last byte of every second metadata part, or its check.
fn metadata_parts(bytes: &mut [u8], frames: &[(usize, usize)], seed: u64) {
    for (at, length) in frames.iter().step_by(2) {
        bytes[at + length - 1 - usize::try_from(seed % 12).unwrap()] ^= 1;
    }
}

/// Some sectors, but not the end.
fn sectors(bytes: &mut [u8], frames: &[(usize, usize)], seed: u64) {
    let last = frames.last().map_or(0, |(at, _)| *at);
    for sector in 0..last / 512 {
        if (sector as u64 + seed).is_multiple_of(5) {
            bytes[sector * 512..(sector + 1) * 512].fill(0xa5);
        }
    }
}

/// Also the headers of segments.
fn beginnings(bytes: &mut [u8], _: &[(usize, usize)], _: u64) {
    let end = bytes.len().min(700);
    bytes[..end].fill(0);
}

/// Offset and length of each frame of a segment, but the last: its loss would be a torn end.
async fn frames_of(world: &World, slot: usize, segment: u32) -> Vec<(usize, usize)> {
    let running = world.open().await;
    let disks = running.pool.disks();
    let disk = disks[slot].disk.as_ref().unwrap();
    let mut frames = Vec::new();
    disk.scan(segment, 0, &mut |frame| {
        frames.push((frame.address.offset as usize, frame.frame_bytes as usize));
    })
    .unwrap();
    frames.pop();
    running.pool.close().await;
    frames
}

/// A store with overwritten, deleted and rewritten keys, closed; and what is in it.
async fn written(seed: u64) -> (World, BTreeMap<Bytes, Bytes>) {
    let world = World::new(seed);
    let running = world.open().await;
    for id in 0..120_u64 {
        let key = format!("k{}", id % 70);
        running.put_blob(&key, &body(id)).await.unwrap();
        if id % 9 == 4 {
            running.delete(&format!("k{}", (id * 7) % 70)).await;
        }
        if id % 50 == 49 {
            running.engine.checkpoint().await.unwrap();
        }
    }
    let contents = running.contents().await;
    running.close();
    (world, contents)
}

#[tokio::test(flavor = "multi_thread")]
async fn rot_amid_the_logs_of_any_m_disks_loses_nothing_and_is_reported() {
    let rots: [(&str, Rot); 4] = [
        ("headers", headers),
        ("metadata parts", metadata_parts),
        ("sectors", sectors),
        ("beginnings", beginnings),
    ];
    for (what, rot) in rots {
        for (seed, slots) in [(1, vec![2]), (2, vec![0, 3]), (3, vec![1, 2])] {
            let (mut world, contents) = written(60 + seed).await;
            for slot in &slots {
                let log = world.volumes[*slot].files();
                let log = log
                    .keys()
                    .filter(|path| path.strip_suffix(".seg").is_some());
                for path in log.cloned().collect::<Vec<_>>() {
                    let digits = &path["log/".len()..path.len() - ".seg".len()];
                    let segment = u32::from_str_radix(digits, 16).unwrap();
                    let frames = frames_of(&world, *slot, segment).await;
                    let change = |bytes: &mut Vec<u8>| {
                        if frames.len() > 4 {
                            rot(bytes, &frames, seed);
                        }
                    };
                    world.volumes[*slot].tamper(&path, change).unwrap();
                }
            }
            world.lose_view();
            let running = world.open().await;
            assert!(running.report.rebuilt);
            assert_eq!(running.contents().await, contents, "{what} on {slots:?}");
            let damages = &running.report.damages;
            for slot in 0..4 {
                let of_disk = damages
                    .iter()
                    .filter(|damage| damage.location == format!("disk-{slot}"));
                let middle: u64 = of_disk.map(|damage| damage.bytes).sum();
                assert_eq!(
                    middle > 0,
                    slots.contains(&slot),
                    "{what} on {slots:?}: {damages:?}"
                );
            }
            let all: u64 = damages.iter().map(|d| d.bytes + d.tail_bytes).sum();
            assert_eq!(all, running.report.damaged_bytes);
            for key in contents.keys().filter(|key| key.starts_with(b"k")) {
                let key = std::str::from_utf8(key).unwrap();
                assert!(running.read_blob(key).await.is_some(), "{what}: {key}");
            }
            running.close();
        }
    }
    // The constants that the offsets above count on.
    assert_eq!((FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES), (24, 64));
}
