//! The suite for [`Disk`].

use std::{collections::BTreeMap, sync::Arc, thread};

use super::Outcomes;
use crate::disk::{
    Address, BlobId, Disk, DiskError, FRAME_HEADER_BYTES, Frame, FrameKind, Health,
    MAX_FRAME_BYTES, ReadMode, ScannedFrame, Seq,
};

/// A disk to be tested, on storage of its own.
pub trait DiskFixture {
    /// Opens the disk; what an earlier one left is there. The earlier one is closed. Its segments are at most 1 MiB.
    fn open(&mut self) -> Arc<dyn Disk>;
    /// Gives the disk a chance to write what is queued, where it does not do so on its own.
    fn settle(&self) {}
}

/// Runs the suite; `make` returns a fixture with empty storage each time.
pub fn disk_suite(make: &dyn Fn() -> Box<dyn DiskFixture>) {
    frames_are_found_where_they_were_put(&mut *make());
    outcomes_come_in_order(&mut *make());
    concurrent_appends_all_arrive(&mut *make());
    segments_roll_in_order(&mut *make());
    no_segment_holds_what_is_older_than_it_says(&mut *make());
    reopening_starts_a_new_segment(&mut *make());
    removed_segments_stay_readable_and_their_numbers_spent(&mut *make());
    trim_floor_survives(&mut *make());
    frames_of_any_size_up_to_the_limit_pass(&mut *make());
    extents_are_read_back(&mut *make());
    unfinished_extents_vanish(&mut *make());
    extents_written_and_read_once_are_like_others(&mut *make());
    an_extent_is_replaced_when_the_new_one_is_finished(&mut *make());
    concurrent_extents_all_arrive(&mut *make());
    missing_things_are_not_found(&mut *make());
    closing_writes_what_is_queued(&mut *make());
}

fn frame<'a>(seq: u64, meta: &'a [u8], shard: &'a [u8]) -> Frame<'a> {
    let shard_index = u8::try_from(seq % 16).unwrap();
    Frame {
        kind: FrameKind::Commit,
        seq: Seq(seq),
        shard_index,
        meta,
        shard,
    }
}

fn append(fixture: &dyn DiskFixture, disk: &dyn Disk, seq: u64, shard: &[u8]) -> Address {
    let outcomes = Outcomes::default();
    let address = disk
        .append(&frame(seq, &seq.to_le_bytes(), shard), outcomes.expect(seq))
        .unwrap();
    fixture.settle();
    assert_eq!(outcomes.next(), (seq, Ok(())));
    address
}

fn scan_all(disk: &dyn Disk) -> Vec<ScannedFrame> {
    let mut frames = Vec::new();
    for segment in disk.segments().unwrap() {
        let end = disk
            .scan(segment.number, 0, &mut |frame| frames.push(frame))
            .unwrap();
        assert_eq!((end.valid_bytes, end.damaged_bytes), (segment.bytes, 0));
    }
    frames
}

fn frames_are_found_where_they_were_put(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let shards: Vec<Vec<u8>> = vec![
        vec![],
        vec![1; 10],
        vec![2; 5000],
        vec![],
        vec![3; 300_000],
        vec![4],
    ];
    let mut addresses = Vec::new();
    for (seq, shard) in (1..).zip(&shards) {
        let bytes = FRAME_HEADER_BYTES + 8 + u32::try_from(shard.len()).unwrap();
        let promised = disk.next_address(bytes, Seq(seq)).unwrap();
        addresses.push(append(fixture, &*disk, seq, shard));
        assert_eq!(addresses.last(), Some(&promised));
    }
    let found = scan_all(&*disk);
    assert_eq!(
        found.iter().map(|f| f.address).collect::<Vec<_>>(),
        addresses
    );
    for ((seq, shard), frame) in (1_u64..).zip(&shards).zip(&found) {
        assert_eq!(frame.meta[..], seq.to_le_bytes());
        assert_eq!((frame.seq, frame.kind), (Seq(seq), FrameKind::Commit));
        assert_eq!(frame.shard_bytes as usize, shard.len());
        let mut read = vec![0; shard.len()];
        let at = u64::from(frame.address.offset + FRAME_HEADER_BYTES);
        let segment = disk.open_segment(frame.address.segment).unwrap();
        segment
            .read_exact_at(&mut read, at, ReadMode::MayBlock)
            .unwrap();
        assert_eq!(read, *shard);
    }
    let from = found[2].address;
    let mut rest = Vec::new();
    disk.scan(from.segment, from.offset, &mut |frame| rest.push(frame))
        .unwrap();
    assert_eq!(rest.first(), Some(&found[2]));
    assert_eq!(disk.health(), Health::Good);
}

fn outcomes_come_in_order(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let outcomes = Outcomes::default();
    for seq in 1..=200 {
        let done = if seq % 3 == 0 {
            None
        } else {
            outcomes.expect(seq)
        };
        disk.append(&frame(seq, b"m", &[0; 4000]), done).unwrap();
    }
    fixture.settle();
    for seq in (1..=200).filter(|seq| seq % 3 != 0) {
        assert_eq!(outcomes.next(), (seq, Ok(())));
    }
    disk.close();
    assert_eq!(disk.pending_bytes(), 0);
}

fn concurrent_appends_all_arrive(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let outcomes = Outcomes::default();
    let addresses: BTreeMap<Address, u64> = thread::scope(|scope| {
        let append_some = |worker: u64| {
            let (disk, tags) = (&disk, (1..=100).map(move |n| worker * 1000 + n));
            let tags: Vec<_> = tags.map(|tag| (tag, outcomes.expect(tag))).collect();
            scope.spawn(move || {
                let append = |(tag, done): (u64, _)| {
                    (
                        disk.append(&frame(tag, &tag.to_le_bytes(), &[9; 700]), done)
                            .unwrap(),
                        tag,
                    )
                };
                tags.into_iter().map(append).collect::<Vec<_>>()
            })
        };
        let workers: Vec<_> = (1..=8).map(append_some).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    fixture.settle();
    assert_eq!(addresses.len(), 800, "no address is given twice");
    for tag in addresses.values() {
        let (told, result) = outcomes.next();
        assert_eq!(
            (told, result),
            (*tag, Ok(())),
            "outcomes in the order of addresses"
        );
    }
    let found: BTreeMap<_, _> = scan_all(&*disk)
        .into_iter()
        .map(|f| (f.address, f.seq.0))
        .collect();
    assert_eq!(found, addresses);
}

fn segments_roll_in_order(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    for seq in 1..=60 {
        append(fixture, &*disk, seq, &vec![5; 100_000]);
    }
    let segments = disk.segments().unwrap();
    assert!(segments.len() > 3, "{segments:?}");
    assert!(segments.is_sorted_by(|a, b| a.number < b.number));
    let active: Vec<_> = segments
        .iter()
        .filter(|s| s.active)
        .map(|s| s.number)
        .collect();
    assert_eq!(active, [segments[segments.len() - 1].number]);
    for segment in &segments {
        let mut first = None;
        disk.scan(segment.number, 0, &mut |frame| {
            first = first.or(Some(frame.seq));
        })
        .unwrap();
        assert_eq!(first, Some(segment.opened_at));
    }
    let refused = disk.remove_segment(active[0]);
    assert!(matches!(refused, Err(DiskError::Io { .. })), "{refused:?}");
}

fn no_segment_holds_what_is_older_than_it_says(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let place = |seq| {
        disk.next_address(100, Seq(seq)).unwrap();
        append(fixture, &*disk, seq, &[]);
    };
    for seq in [50, 60, 40, 41, 70] {
        place(seq);
    }
    let opened: Vec<Seq> = disk
        .segments()
        .unwrap()
        .iter()
        .map(|s| s.opened_at)
        .collect();
    assert_eq!(opened, [Seq(50), Seq(40)]);
}

fn reopening_starts_a_new_segment(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let first = append(fixture, &*disk, 1, b"one");
    let segment = disk.segments().unwrap();
    disk.close();
    drop(disk);
    let disk = fixture.open();
    let reopened = disk.segments().unwrap();
    assert_eq!(reopened[0].bytes, segment[0].bytes);
    assert!(!reopened[0].active);
    let second = append(fixture, &*disk, 2, b"two");
    assert!(second.segment > first.segment);
    assert_eq!(
        scan_all(&*disk)
            .iter()
            .map(|f| f.address)
            .collect::<Vec<_>>(),
        [first, second]
    );
    disk.sync_segments(first.segment).unwrap();
}

fn removed_segments_stay_readable_and_their_numbers_spent(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let address = append(fixture, &*disk, 1, b"one");
    drop(disk);
    let disk = fixture.open();
    let open = disk.open_segment(address.segment).unwrap();
    disk.remove_segment(address.segment).unwrap();
    let mut read = [0; 3];
    let at = u64::from(address.offset + FRAME_HEADER_BYTES);
    open.read_exact_at(&mut read, at, ReadMode::MayBlock)
        .unwrap();
    assert_eq!(&read, b"one");
    assert_eq!(disk.segments(), Ok(Vec::new()));
    assert_eq!(
        disk.open_segment(address.segment).unwrap_err(),
        DiskError::NotFound
    );
    drop(disk);
    let disk = fixture.open();
    assert!(append(fixture, &*disk, 2, b"two").segment > address.segment);
}

fn trim_floor_survives(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    assert_eq!(disk.trim_floor(), Seq(0));
    disk.set_trim_floor(Seq::new(3, 9)).unwrap();
    assert_eq!(disk.trim_floor(), Seq::new(3, 9));
    drop(disk);
    assert_eq!(fixture.open().trim_floor(), Seq::new(3, 9));
}

fn frames_of_any_size_up_to_the_limit_pass(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let room = (MAX_FRAME_BYTES - FRAME_HEADER_BYTES) as usize;
    let too_large = DiskError::FrameTooLarge {
        bytes: u64::from(MAX_FRAME_BYTES) + 1,
    };
    assert_eq!(
        disk.append(&frame(1, b"", &vec![0; room + 1]), None),
        Err(too_large.clone())
    );
    assert_eq!(
        disk.append(&frame(1, &vec![0; room + 1], b""), None),
        Err(too_large.clone())
    );
    assert_eq!(
        disk.next_address(MAX_FRAME_BYTES + 1, Seq(1)),
        Err(too_large)
    );
    let promised = disk.next_address(MAX_FRAME_BYTES, Seq(1)).unwrap();
    let meta = vec![8; room - 1];
    let address = disk.append(&frame(1, &meta, &[1]), None).unwrap();
    assert_eq!(address, promised);
    disk.append(&frame(2, b"", b""), None).unwrap();
    fixture.settle();
    append(fixture, &*disk, 3, b"");
    let found = scan_all(&*disk);
    assert_eq!(found.iter().map(|f| f.seq.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(found[0].meta, meta);
}

fn extents_are_read_back(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let blob = BlobId(0x0102_0304_0506_0708);
    let mut writer = disk.create_extent(blob, 3).unwrap();
    let bytes: Vec<u8> = (0_u8..=255).cycle().take(100_000).collect();
    for piece in bytes.chunks(33_333) {
        writer.append(piece).unwrap();
    }
    writer.finish().unwrap();
    drop(disk);
    let disk = fixture.open();
    assert_eq!(disk.extents(), Ok(vec![(blob, 3)]));
    let open = disk.open_extent(blob, 3).unwrap();
    disk.remove_extent(blob, 3).unwrap();
    disk.remove_extent(blob, 3).unwrap();
    let mut read = vec![0; bytes.len()];
    open.read_exact_at(&mut read, 0, ReadMode::MayBlock)
        .unwrap();
    assert_eq!(read, bytes);
    let past = open.read_exact_at(&mut read, 1, ReadMode::MayBlock);
    assert_eq!(past, Err(DiskError::ShortRead { end_bytes: 100_000 }));
    assert_eq!(disk.extents(), Ok(Vec::new()));
}

fn an_extent_is_replaced_when_the_new_one_is_finished(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let blob = BlobId(0x0102_0304_0506_0708);
    let read = |disk: &dyn Disk| {
        let mut byte = [0];
        let file = disk.open_extent(blob, 3).unwrap();
        file.read_exact_at(&mut byte, 0, ReadMode::MayBlock)
            .unwrap();
        (byte[0], file)
    };
    let write = |value: u8, keep: bool| {
        let mut writer = disk.replace_extent(blob, 3).unwrap();
        writer.append(&[value; 10]).unwrap();
        if keep {
            writer.finish().unwrap();
        }
    };
    write(1, true);
    let (first, open) = read(&*disk);
    write(2, false);
    assert_eq!((first, read(&*disk).0), (1, 1));
    write(3, true);
    assert_eq!(read(&*disk).0, 3);
    assert_eq!(disk.extents(), Ok(vec![(blob, 3)]));
    let mut old = [0];
    open.read_exact_at(&mut old, 9, ReadMode::MayBlock).unwrap();
    assert_eq!(old, [1], "who has the old one open keeps it");
    disk.remove_extent(blob, 3).unwrap();
    assert_eq!(disk.extents(), Ok(vec![]));
}

fn extents_written_and_read_once_are_like_others(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let blob = BlobId(0x0908);
    let bytes: Vec<u8> = (0_u32..700_001).map(|i| (i * 7 % 251) as u8).collect();
    let mut writer = disk.create_extent_once(blob, 1).unwrap();
    for piece in bytes.chunks(131_088) {
        writer.append(piece).unwrap();
    }
    assert!(
        disk.create_extent_once(blob, 1).is_err(),
        "the name is taken"
    );
    writer.finish().unwrap();
    for file in [disk.open_extent_once(blob, 1), disk.open_extent(blob, 1)] {
        let (file, mut read) = (file.unwrap(), vec![0; bytes.len()]);
        file.read_exact_at(&mut read, 0, ReadMode::MayBlock)
            .unwrap();
        assert!(read == bytes);
        let beyond = file.read_exact_at(&mut [0], bytes.len() as u64, ReadMode::MayBlock);
        assert!(
            matches!(beyond, Err(DiskError::ShortRead { .. })),
            "{beyond:?}"
        );
    }
    let mut writer = disk.create_extent_once(blob, 2).unwrap();
    writer.append(&bytes).unwrap();
    drop(writer);
    assert_eq!(
        disk.extents(),
        Ok(vec![(blob, 1)]),
        "what is not finished vanishes"
    );
}

fn unfinished_extents_vanish(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let mut writer = disk.create_extent(BlobId(1), 0).unwrap();
    writer.append(b"never finished").unwrap();
    assert!(
        disk.create_extent(BlobId(1), 0).is_err(),
        "one writer per extent"
    );
    drop(writer);
    assert_eq!(disk.extents(), Ok(Vec::new()));
    assert_eq!(
        disk.open_extent(BlobId(1), 0).unwrap_err(),
        DiskError::NotFound
    );
    disk.create_extent(BlobId(1), 0).unwrap().finish().unwrap();
}

fn concurrent_extents_all_arrive(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    thread::scope(|scope| {
        for worker in 0..4 {
            let disk = &disk;
            scope.spawn(move || {
                for n in 0..8 {
                    let mut writer = disk.create_extent(BlobId(worker * 100 + n), 1).unwrap();
                    writer.append(&[7; 1000]).unwrap();
                    writer.finish().unwrap();
                }
            });
        }
    });
    assert_eq!(disk.extents().unwrap().len(), 32);
}

fn missing_things_are_not_found(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    assert_eq!(disk.segments(), Ok(Vec::new()));
    assert_eq!(disk.open_segment(1).unwrap_err(), DiskError::NotFound);
    assert_eq!(
        disk.scan(1, 0, &mut |_| ()).unwrap_err(),
        DiskError::NotFound
    );
    assert_eq!(
        disk.open_extent(BlobId(9), 9).unwrap_err(),
        DiskError::NotFound
    );
}

fn closing_writes_what_is_queued(fixture: &mut dyn DiskFixture) {
    let disk = fixture.open();
    let outcomes = Outcomes::default();
    disk.append(&frame(1, b"m", b"s"), outcomes.expect(1))
        .unwrap();
    disk.close();
    assert_eq!(outcomes.next(), (1, Ok(())));
    let refused = disk.append(&frame(2, b"m", b"s"), None);
    assert!(matches!(refused, Err(DiskError::Failed(_))), "{refused:?}");
    disk.close();
}
