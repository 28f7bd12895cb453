use super::*;
use crate::{
    clock::SystemClock,
    disk::{FrameKind, LocalVolume},
};

fn config(volume: Arc<dyn Volume>) -> LogDiskConfig {
    LogDiskConfig {
        volume,
        cluster_id: 7,
        number: DiskNo(1),
        disk_id: 99,
        options: DiskOptions {
            segment_bytes: 64 << 10,
            reserve_bytes: Some(0),
        },
        clock: Arc::new(SystemClock),
    }
}

#[derive(Debug)]
struct Told(std::sync::mpsc::Sender<Result<(), DiskError>>);
impl Completion for Told {
    fn complete(&self, _: DiskNo, result: Result<(), DiskError>) {
        self.0.send(result).unwrap();
    }
}

#[test]
fn acknowledged_frames_are_found_after_reopening_a_real_directory() {
    let directory = tempfile::tempdir().unwrap();
    let volume: Arc<dyn Volume> = Arc::new(LocalVolume::new(directory.path()));
    let (tell, told) = std::sync::mpsc::channel();
    let mut addresses = Vec::new();
    {
        let disk = LogDisk::open(&config(Arc::clone(&volume))).unwrap();
        for n in 0..100_u64 {
            let meta = n.to_le_bytes();
            let shard = vec![7; 3000];
            let frame = Frame {
                kind: FrameKind::Commit,
                seq: Seq(n),
                shard_index: 0,
                meta: &meta,
                shard: &shard,
            };
            let expected = disk.next_address(24 + 8 + 3000, Seq(n)).unwrap();
            let address = disk
                .append(&frame, Some(Arc::new(Told(tell.clone()))))
                .unwrap();
            assert_eq!(expected, address);
            addresses.push(address);
        }
        for _ in 0..100 {
            told.recv().unwrap().unwrap();
        }
    }
    let disk = LogDisk::open(&config(volume)).unwrap();
    let mut found = Vec::new();
    for segment in disk.segments().unwrap() {
        let end = disk
            .scan(segment.number, 0, &mut |frame| found.push(frame))
            .unwrap();
        assert_eq!(
            end,
            ScanEnd {
                valid_bytes: segment.bytes,
                damaged_bytes: 0
            }
        );
    }
    assert_eq!(
        found.iter().map(|frame| frame.address).collect::<Vec<_>>(),
        addresses
    );
}
