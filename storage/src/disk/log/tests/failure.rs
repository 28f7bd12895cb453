//! Disks that say no, and disks without room.

use super::*;
use crate::clock::Clock;

fn fault(operation: Operation, effect: Effect) -> Fault {
    Fault {
        operation,
        path: "",
        after: 0,
        times: 1,
        effect,
    }
}

fn assert_out(disk: &LogDisk) {
    assert!(matches!(disk.health(), Health::Failed(_)));
    let refused = disk.append(&commit(9, b"m", b""), None);
    assert!(matches!(refused, Err(DiskError::Failed(_))), "{refused:?}");
    assert!(matches!(
        disk.next_address(100, Seq(9)),
        Err(DiskError::Failed(_))
    ));
    assert!(matches!(
        disk.create_extent(BlobId(9), 0),
        Err(DiskError::Failed(_))
    ));
}

#[test]
fn after_a_failed_write_or_sync_the_disk_is_out_and_everybody_is_told() {
    let eio = || Effect::Errno(libc::EIO);
    let cases = [
        fault(Operation::Write, eio()),
        fault(Operation::Write, Effect::Errno(libc::ENOSPC)),
        fault(Operation::Write, Effect::TornWrite { keep_bytes: 10 }),
        fault(Operation::Sync, eio()),
        Fault {
            after: 1,
            ..fault(Operation::Sync, eio())
        },
        fault(Operation::Open, eio()),
    ];
    for case in cases {
        let volume = FaultVolume::new(memory());
        let disk = LogDisk::manual(&config(volume.clone())).unwrap();
        volume.inject(case.clone());
        let outcomes = Outcomes::default();
        for seq in 1..=3 {
            disk.append(&commit(seq, b"m", b"s"), outcomes.expect(seq))
                .unwrap();
        }
        disk.flush_once();
        let told = outcomes.so_far();
        assert_eq!(told.len(), 3, "{case:?}");
        assert!(
            told.iter()
                .all(|(_, r)| matches!(r, Err(DiskError::Failed(_)))),
            "{case:?}"
        );
        assert_out(&disk);
        assert_eq!(disk.pending_bytes(), 0);
    }
}

#[test]
fn frames_queued_while_a_sync_fails_are_told_too() {
    let volume = FaultVolume::new(memory());
    let disk = Arc::new(LogDisk::open(&config(volume.clone())).unwrap());
    let outcomes = Outcomes::default();
    let queued = outcomes.expect(2);
    let late = Arc::downgrade(&disk);
    let append_late = move || {
        if let Some(disk) = late.upgrade() {
            disk.append(&commit(2, b"late", b""), queued.clone())
                .unwrap();
        }
    };
    volume.inject(fault(Operation::Write, Effect::Hook(Arc::new(append_late))));
    volume.inject(fault(Operation::Sync, Effect::Errno(libc::EIO)));
    disk.append(&commit(1, b"first", b""), outcomes.expect(1))
        .unwrap();
    for tag in [1, 2] {
        let (told, result) = outcomes.next();
        assert_eq!(told, tag);
        assert!(matches!(result, Err(DiskError::Failed(_))), "{result:?}");
    }
    assert_out(&disk);
}

#[test]
fn what_is_queued_while_a_sync_runs_goes_out_with_the_next_one() {
    let volume = FaultVolume::new(memory());
    let disk = Arc::new(LogDisk::open(&config(volume.clone())).unwrap());
    let outcomes = Outcomes::default();
    let queued: Vec<_> = (2..=50).map(|tag| (tag, outcomes.expect(tag))).collect();
    let queued = Mutex::new(queued);
    let late = Arc::downgrade(&disk);
    let append_late = move || {
        for (tag, done) in queued.lock().drain(..) {
            late.upgrade()
                .unwrap()
                .append(&commit(tag, b"late", b""), done)
                .unwrap();
        }
    };
    let before = volume.syncs();
    volume.inject(fault(Operation::Sync, Effect::Hook(Arc::new(append_late))));
    disk.append(&commit(1, b"first", b""), outcomes.expect(1))
        .unwrap();
    for tag in 1..=50 {
        assert_eq!(outcomes.next(), (tag, Ok(())));
    }
    assert_eq!(volume.syncs() - before, 3, "file, directory, file");
}

#[test]
fn a_waiter_that_panics_harms_nobody_else() {
    #[derive(Debug)]
    struct Panics;
    impl Completion for Panics {
        fn complete(&self, _: DiskNo, _: Result<(), DiskError>) {
            panic!("a waiter with a bug");
        }
    }
    let disk = LogDisk::open(&config(memory())).unwrap();
    let outcomes = Outcomes::default();
    for tag in 1..=2 {
        disk.append(&commit(tag, b"m", b""), Some(Arc::new(Panics)))
            .unwrap();
        disk.append(&commit(tag, b"m", b""), outcomes.expect(tag))
            .unwrap();
        assert_eq!(outcomes.next(), (tag, Ok(())));
    }
}

#[test]
fn an_extent_without_room_is_refused_and_the_disk_goes_on() {
    let volume = FaultVolume::new(memory());
    let disk = LogDisk::manual(&config(volume.clone())).unwrap();
    let mut writer = disk.create_extent(BlobId(1), 0).unwrap();
    volume.inject(fault(Operation::Write, Effect::Errno(libc::ENOSPC)));
    assert_eq!(writer.append(b"bytes"), Err(DiskError::Full));
    drop(writer);
    assert_eq!(disk.health(), Health::Good);
    assert_eq!(disk.extents(), Ok(Vec::new()));
}

#[test]
fn a_failed_sync_of_an_extent_takes_the_disk_out() {
    let volume = FaultVolume::new(memory());
    let disk = LogDisk::manual(&config(volume.clone())).unwrap();
    let mut writer = disk.create_extent(BlobId(1), 0).unwrap();
    writer.append(b"bytes").unwrap();
    volume.inject(fault(Operation::Sync, Effect::Errno(libc::EIO)));
    assert!(matches!(writer.finish(), Err(DiskError::Failed(_))));
    assert_out(&disk);
}

#[derive(Debug, Default)]
struct TestClock(Mutex<Duration>);

impl TestClock {
    fn advance(&self, by: Duration) {
        *self.0.lock() += by;
    }
}

impl Clock for TestClock {
    fn unix_millis(&self) -> u64 {
        0
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock()
    }

    fn sleep(&self, _: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn a_small_disk_turns_full_before_its_last_byte_however_fast_it_fills() {
    let clock = Arc::new(TestClock::default());
    let volume = memory();
    volume.set_total_bytes(32 << 20);
    let options = DiskOptions {
        segment_bytes: 8 << 20,
        reserve_bytes: None,
    };
    let config = LogDiskConfig {
        options,
        clock,
        ..config(volume)
    };
    let disk = LogDisk::manual(&config).unwrap();
    let mut refused = Ok(());
    for seq in 0..400 {
        refused = disk
            .append(&commit(seq, b"m", &vec![1; 100_000]), None)
            .map(|_| ());
        disk.flush_once();
        if refused.is_err() {
            break;
        }
    }
    assert_eq!(
        (refused, disk.health()),
        (Err(DiskError::Full), Health::Full)
    );
}

#[test]
fn a_full_disk_takes_deletes_and_no_data_until_there_is_room_again() {
    let clock = Arc::new(TestClock::default());
    let volume = memory();
    volume.set_total_bytes(1 << 20);
    let options = DiskOptions {
        segment_bytes: 256 << 10,
        reserve_bytes: Some(512 << 10),
    };
    let config = LogDiskConfig {
        options,
        clock: Arc::clone(&clock) as _,
        ..config(volume.clone())
    };
    let disk = LogDisk::manual(&config).unwrap();
    let mut written = 0;
    while disk
        .append(&commit(written, b"m", &vec![1; 50_000]), None)
        .is_ok()
    {
        disk.flush_once();
        written += 1;
        clock.advance(Duration::from_secs(1));
        disk.space();
        assert!(written < 20);
    }
    assert_eq!(disk.health(), Health::Full);
    assert_eq!(
        disk.append(&commit(98, b"m", b"data"), None),
        Err(DiskError::Full)
    );
    assert!(matches!(
        disk.create_extent(BlobId(1), 0),
        Err(DiskError::Full)
    ));
    let outcomes = Outcomes::default();
    disk.append(&commit(99, b"delete", b""), outcomes.expect(99))
        .unwrap();
    disk.flush_once();
    assert_eq!(outcomes.next(), (99, Ok(())));
    let used = (1 << 20) - disk.space().free_bytes;
    volume.set_total_bytes(used + (512 << 10) + 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(disk.health(), Health::Full, "the next write would fill it");
    volume.set_total_bytes(2 << 20);
    assert_eq!(disk.health(), Health::Full, "looks once a second");
    clock.advance(Duration::from_secs(1));
    assert_eq!(disk.health(), Health::Good);
    disk.append(&commit(100, b"m", b"data"), None).unwrap();
}
