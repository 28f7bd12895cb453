use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    clock::SystemClock,
    disk::{
        FrameKind, LocalVolume, MemoryVolume, ReadMode,
        conformance::{DiskFixture, Outcomes, disk_suite, volume_suite},
        fault::{Effect, Fault, FaultVolume, Hang, Operation},
    },
    rng::{Rng, SeededRng},
};

mod crash;
mod damage;
mod failure;
mod hang;

pub(super) fn config(volume: impl Volume + 'static) -> LogDiskConfig {
    LogDiskConfig {
        volume: Arc::new(volume),
        cluster_id: 7,
        number: DiskNo(1),
        disk_id: 99,
        options: DiskOptions {
            segment_bytes: 256 << 10,
            reserve_bytes: Some(0),
        },
        clock: Arc::new(SystemClock),
    }
}

fn memory() -> MemoryVolume {
    MemoryVolume::new("memory", 1 << 30)
}

fn commit<'a>(seq: u64, meta: &'a [u8], shard: &'a [u8]) -> Frame<'a> {
    Frame {
        kind: FrameKind::Commit,
        seq: Seq(seq),
        shard_index: 2,
        meta,
        shard,
    }
}

struct Threaded {
    config: LogDiskConfig,
    _directory: Option<tempfile::TempDir>,
}

impl DiskFixture for Threaded {
    fn open(&mut self) -> Arc<dyn Disk> {
        Arc::new(LogDisk::open(&self.config).unwrap())
    }
}

struct Manual {
    config: LogDiskConfig,
    disk: RefCell<Option<Arc<LogDisk>>>,
}

impl DiskFixture for Manual {
    fn open(&mut self) -> Arc<dyn Disk> {
        let disk = Arc::new(LogDisk::manual(&self.config).unwrap());
        *self.disk.borrow_mut() = Some(Arc::clone(&disk));
        disk
    }

    fn settle(&self) {
        self.disk.borrow().as_ref().unwrap().flush_once();
    }
}

#[test]
fn disk_on_a_directory_conforms() {
    disk_suite(&|| {
        let directory = tempfile::tempdir().unwrap();
        let config = config(LocalVolume::new(directory.path()));
        Box::new(Threaded {
            config,
            _directory: Some(directory),
        })
    });
}

#[test]
fn disk_in_memory_conforms() {
    disk_suite(&|| {
        Box::new(Threaded {
            config: config(memory()),
            _directory: None,
        })
    });
}

#[test]
fn disk_without_a_thread_conforms() {
    let fixture = || Manual {
        config: config(FaultVolume::new(memory())),
        disk: RefCell::default(),
    };
    disk_suite(&|| Box::new(fixture()));
}

#[test]
fn volumes_conform() {
    let directory = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0);
    volume_suite(&|| {
        next.set(next.get() + 1);
        let path = directory.path().join(next.get().to_string());
        std::fs::create_dir(&path).unwrap();
        Arc::new(LocalVolume::new(path))
    });
    volume_suite(&|| Arc::new(memory()));
    volume_suite(&|| Arc::new(FaultVolume::new(memory())));
}

#[test]
fn uncached_bytes_are_refused_in_cached_mode_only() {
    let volume = memory();
    let disk = LogDisk::manual(&config(volume.clone())).unwrap();
    disk.append(&commit(1, b"m", b"shard"), None).unwrap();
    disk.flush_once();
    volume.set_cached(false);
    let segment = disk.open_segment(1).unwrap();
    let mut bytes = [0; 5];
    let cached = segment.read_exact_at(&mut bytes, 88, ReadMode::CachedOnly);
    assert_eq!(cached, Err(DiskError::NotCached));
    segment
        .read_exact_at(&mut bytes, 88, ReadMode::MayBlock)
        .unwrap();
    assert_eq!(&bytes, b"shard");
}

#[test]
fn a_batch_costs_one_sync_and_a_new_segment_one_more() {
    let volume = FaultVolume::new(memory());
    let disk = LogDisk::manual(&config(volume.clone())).unwrap();
    let syncs_of = |frames: u64| {
        let before = volume.syncs();
        for seq in 0..frames {
            disk.append(&commit(seq, b"m", &[1; 4096]), None).unwrap();
        }
        disk.flush_once();
        volume.syncs() - before
    };
    assert_eq!(syncs_of(1), 2, "file and directory");
    assert_eq!(syncs_of(1), 1);
    assert_eq!(syncs_of(20), 1);
    assert_eq!(syncs_of(0), 0);
    assert_eq!(
        syncs_of(60),
        3,
        "the rest of one segment, another one and its name"
    );
}

#[test]
fn rolling_without_a_frame_leaves_no_file() {
    let volume = memory();
    let disk = LogDisk::manual(&config(volume.clone())).unwrap();
    disk.next_address(1000, Seq(5)).unwrap();
    disk.flush_once();
    assert_eq!(volume.files().len(), 0);
    disk.append(&commit(9, b"m", b""), None).unwrap();
    disk.flush_once();
    assert_eq!(disk.segments().unwrap()[0].opened_at, Seq(5));
}

#[test]
fn segments_of_another_disk_are_refused_by_name() {
    let volume = memory();
    let disk = LogDisk::manual(&config(volume.clone())).unwrap();
    disk.append(&commit(1, b"m", b""), None).unwrap();
    drop(disk);
    let other = LogDiskConfig {
        number: DiskNo(2),
        ..config(volume)
    };
    let error = LogDisk::manual(&other).unwrap_err().to_string();
    assert!(
        error.contains("log/00000001.seg") && error.contains("of disk 1"),
        "{error}"
    );
}

#[test]
fn disk_dropped_by_its_own_writer_does_no_harm() {
    #[derive(Debug)]
    struct Holder(Mutex<Option<Arc<LogDisk>>>, std::sync::mpsc::Sender<()>);
    impl Completion for Holder {
        fn complete(&self, _: DiskNo, _: Result<(), DiskError>) {
            drop(self.0.lock().take());
            self.1.send(()).unwrap();
        }
    }
    let disk = Arc::new(LogDisk::open(&config(memory())).unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    let holder = Arc::new(Holder(Mutex::new(Some(Arc::clone(&disk))), tell));
    let frame = commit(1, b"m", b"");
    let raw: &LogDisk = &disk;
    raw.append(&frame, Some(holder)).unwrap();
    drop(disk);
    told.recv().unwrap();
}
