//! Disks that do not answer.

use super::*;

fn frames_on_a_hanging_disk(
    hangs: Operation,
) -> (FaultVolume<MemoryVolume>, Hang, LogDisk, Outcomes) {
    let volume = FaultVolume::new(memory());
    let disk = LogDisk::open(&config(volume.clone())).unwrap();
    let hang = Hang::default();
    volume.inject(Fault {
        operation: hangs,
        path: "log/",
        after: 0,
        times: 1,
        effect: Effect::Hang(hang.clone()),
    });
    let outcomes = Outcomes::default();
    disk.append(&commit(1, b"stuck", b"s"), outcomes.expect(1))
        .unwrap();
    hang.wait_for(1);
    for seq in 2..=4 {
        disk.append(&commit(seq, b"queued", b"s"), outcomes.expect(seq))
            .unwrap();
    }
    (volume, hang, disk, outcomes)
}

#[test]
fn who_waits_for_a_hanging_disk_is_told_once_when_it_is_given_up() {
    for hangs in [Operation::Open, Operation::Write, Operation::Sync] {
        let (volume, hang, disk, outcomes) = frames_on_a_hanging_disk(hangs);
        assert_eq!(outcomes.so_far(), []);
        assert!(disk.stalled_for().is_some());
        disk.give_up("no answer for 30s");
        let told = outcomes.so_far();
        let tags: Vec<u64> = told.iter().map(|(tag, _)| *tag).collect();
        assert_eq!(tags, [1, 2, 3, 4], "{hangs:?}");
        for (_, result) in told {
            let Err(DiskError::Failed(why)) = result else {
                panic!("{hangs:?}: {result:?}")
            };
            assert!(why.contains("memory: no answer for 30s"), "{why}");
        }
        assert!(matches!(disk.health(), Health::Failed(_)));
        assert!(matches!(
            disk.append(&commit(9, b"m", b""), None),
            Err(DiskError::Failed(_))
        ));
        assert_eq!(disk.stalled_for(), None, "nobody waits any more");
        let syncs = volume.syncs();
        disk.close();
        disk.close();
        hang.release();
        wait_until_unlocked_by_late_operations(&disk);
        assert_eq!(outcomes.so_far(), [], "{hangs:?}: told twice");
        assert_eq!(
            volume.syncs(),
            syncs,
            "{hangs:?}: nothing follows what hung"
        );
        assert!(
            disk.segments().unwrap().is_empty(),
            "what came late does not count"
        );
    }
}

/// A late operation keeps what it was handed until it ends.
fn wait_until_unlocked_by_late_operations(disk: &LogDisk) {
    let (gone, told) = std::sync::mpsc::channel();
    disk.flight.keep_until_idle(Box::new(TellDrop(gone)));
    told.recv().unwrap();
}

#[derive(Debug)]
struct TellDrop(std::sync::mpsc::Sender<()>);

impl VolumeLock for TellDrop {}

impl Drop for TellDrop {
    fn drop(&mut self) {
        self.0.send(()).unwrap_or_default();
    }
}

#[test]
fn the_volume_stays_locked_while_a_late_write_may_land_on_it() {
    let (volume, hang, disk, _outcomes) = frames_on_a_hanging_disk(Operation::Write);
    disk.hold(volume.lock().unwrap());
    disk.give_up("test");
    disk.close();
    assert!(volume.lock().is_err(), "the write may still come");
    hang.release();
    wait_until_unlocked_by_late_operations(&disk);
    drop(volume.lock().unwrap());
}

#[test]
fn a_disk_that_hung_is_whole_after_it_was_opened_again() {
    for hangs in [Operation::Write, Operation::Sync] {
        let (volume, hang, disk, outcomes) = frames_on_a_hanging_disk(hangs);
        disk.give_up("test");
        disk.close();
        hang.release();
        wait_until_unlocked_by_late_operations(&disk);
        drop((disk, outcomes));
        let disk = LogDisk::open(&config(volume)).unwrap();
        let mut found = Vec::new();
        for segment in disk.segments().unwrap() {
            let end = disk.scan(segment.number, 0, &mut |frame| found.push(frame.seq));
            assert_eq!(end.unwrap().damaged_bytes, 0);
        }
        assert_eq!(
            found,
            [Seq(1)],
            "the one whose outcome was unknown, and none of those after"
        );
        let outcomes = Outcomes::default();
        disk.append(&commit(5, b"m", b""), outcomes.expect(5))
            .unwrap();
        assert_eq!(outcomes.next(), (5, Ok(())));
    }
}

#[test]
fn closing_ends_when_a_hanging_disk_is_given_up() {
    let (_volume, hang, disk, _outcomes) = frames_on_a_hanging_disk(Operation::Sync);
    thread::scope(|scope| {
        let closing = scope.spawn(|| disk.close());
        disk.give_up("test");
        closing.join().unwrap();
    });
    hang.release();
}

#[test]
fn nothing_begins_on_a_disk_that_was_given_up() {
    let volume = FaultVolume::new(memory());
    let disk = LogDisk::manual(&config(volume.clone())).unwrap();
    disk.append(&commit(1, b"m", b"shard"), None).unwrap();
    disk.flush_once();
    let segment = disk.open_segment(1).unwrap();
    let mut extent = disk.create_extent(BlobId(1), 0).unwrap();
    disk.give_up("test");
    volume.inner().set_cached(false);
    let before = volume.inner().files();
    let mut buffer = [0; 4];
    let failed = |result: Result<(), DiskError>| {
        assert!(matches!(result, Err(DiskError::Failed(_))), "{result:?}");
    };
    failed(segment.read_exact_at(&mut buffer, 0, ReadMode::MayBlock));
    failed(extent.append(b"bytes"));
    drop(extent);
    failed(disk.sync_segments(1));
    failed(disk.remove_extent(BlobId(1), 0));
    failed(disk.set_trim_floor(Seq(1)));
    assert_eq!(volume.inner().files(), before);
}
