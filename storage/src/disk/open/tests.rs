use super::*;
use crate::{
    disk::{
        Frame, FrameKind, Health, MemoryVolume, Seq,
        fault::{Effect, Fault, FaultVolume, Hang, Operation},
    },
    rng::SeededRng,
};

fn options() -> OpenOptions {
    OpenOptions {
        profile: Some("2+1".to_owned()),
        ..OpenOptions::default()
    }
}

fn disk(slot: &Slot) -> &Arc<dyn Disk> {
    match &slot.state {
        SlotState::Present(disk) => disk,
        SlotState::Missing { reason } => panic!("missing: {reason}"),
    }
}

fn append(slot: &Slot) {
    let frame = Frame {
        kind: FrameKind::Commit,
        seq: Seq(1),
        shard_index: 0,
        meta: b"m",
        shard: b"",
    };
    disk(slot).append(&frame, None).unwrap();
}

#[test]
fn directories_open_as_disks_and_open_again() {
    let root = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..3).map(|n| root.path().join(n.to_string())).collect();
    for path in &paths {
        std::fs::create_dir(path).unwrap();
    }
    let made = open_local(&paths, &options(), &SeededRng::new(1)).unwrap();
    assert!(made.created);
    made.disks.iter().for_each(append);
    let again = open_local(&paths, &options(), &SeededRng::new(2));
    assert!(
        matches!(again, Err(IdentityError::InUse { .. })),
        "held until the disks are closed"
    );
    drop(made);
    let found = open_local(&paths, &options(), &SeededRng::new(2)).unwrap();
    assert!(!found.created);
    assert_eq!(found.profile.as_deref(), Some("2+1"));
    for (n, slot) in found.disks.iter().enumerate() {
        assert_eq!(
            (slot.slot, usize::from(slot.number.0), slot.replaced),
            (n, n, false)
        );
        assert_eq!(disk(slot).location(), paths[n].display().to_string());
        assert_eq!(disk(slot).segments().unwrap().len(), 1);
        assert_eq!(disk(slot).health(), Health::Good);
    }
}

#[test]
fn disk_whose_log_is_not_readable_is_missing_with_its_path() {
    let rng = SeededRng::new(1);
    let (volumes, opened) = memory(2, 1 << 20, &options(), &rng).unwrap();
    opened.disks.iter().for_each(append);
    drop(opened);
    let foreign = |bytes: &mut Vec<u8>| {
        bytes[32..34].copy_from_slice(&9_u16.to_le_bytes());
        let check = crate::disk::frame::crc64(&bytes[..56]);
        bytes[56..64].copy_from_slice(&check.to_le_bytes());
    };
    volumes[1].tamper("log/00000001.seg", foreign).unwrap();
    let shared = volumes
        .iter()
        .map(|v| Arc::new(v.clone()) as Arc<dyn Volume>)
        .collect();
    let (opened, disks) = open_manual(shared, &options(), &rng).unwrap();
    assert_eq!(disks.len(), 1);
    let SlotState::Missing { reason } = &opened.disks[1].state else {
        panic!("opened")
    };
    assert!(
        reason.contains("memory-1") && reason.contains("of disk 9"),
        "{reason}"
    );
    assert_eq!(opened.reports.len(), 1);
}

#[test]
fn a_disk_whose_directory_was_emptied_in_use_is_given_up() {
    let root = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..3).map(|n| root.path().join(n.to_string())).collect();
    for path in &paths {
        std::fs::create_dir(path).unwrap();
    }
    let opened = open_local(&paths, &options(), &SeededRng::new(1)).unwrap();
    std::fs::remove_dir_all(&paths[0]).unwrap();
    let emptied = disk(&opened.disks[0]);
    emptied.look();
    let Health::Failed(why) = emptied.health() else {
        panic!("{:?}", emptied.health());
    };
    assert!(why.contains("disk.json is gone"), "{why}");
    disk(&opened.disks[1]).look();
    assert_eq!(disk(&opened.disks[1]).health(), Health::Good);
}

/// What hangs: everything from the identity on, or only what is written to the log's directory.
#[test]
fn disks_that_hang_at_the_start_are_missing_by_name_and_the_others_open() {
    for path in ["", "log"] {
        let rng = SeededRng::new(3);
        let volume = |slot| MemoryVolume::new(format!("memory-{slot}"), 1 << 30);
        let volumes: Vec<_> = (0..4).map(|n| FaultVolume::new(volume(n))).collect();
        let options = OpenOptions {
            patience: Some(Duration::from_millis(500)),
            ..OpenOptions::default()
        };
        let open = || {
            let shared = volumes.iter().cloned();
            let shared = shared.map(|volume| Arc::new(volume) as Arc<dyn Volume>);
            open_volumes(shared.collect(), &options, &rng).unwrap()
        };
        open().disks.iter().for_each(append);
        let hang = Hang::default();
        for volume in &volumes[1..3] {
            for operation in [Operation::Open, Operation::List] {
                volume.inject(Fault {
                    operation,
                    path,
                    after: 0,
                    times: u64::MAX,
                    effect: Effect::Hang(hang.clone()),
                });
            }
        }
        let opened = open();
        for slot in [0, 3] {
            assert_eq!(disk(&opened.disks[slot]).segments().unwrap().len(), 1);
        }
        for (slot, name) in [(1, "memory-1"), (2, "memory-2")] {
            let SlotState::Missing { reason } = &opened.disks[slot].state else {
                panic!("disk {slot} does not hang");
            };
            assert!(reason.contains(name), "{reason}");
            assert!(reason.contains("no answer for 500ms"), "{reason}");
            let told = opened.reports.iter().filter(|line| line.contains(name));
            assert_eq!(told.count(), 1, "{:?}", opened.reports);
        }
        drop(opened);
        if path == "log" {
            assert!(volumes[1].lock().is_err(), "something may still be written");
        }
        hang.release();
        volumes.iter().for_each(FaultVolume::heal);
        for volume in &volumes {
            while volume.lock().is_err() {
                thread::yield_now();
            }
        }
        let opened = open();
        assert!(
            opened
                .disks
                .iter()
                .all(|slot| disk(slot).segments().unwrap().len() == 1)
        );
    }
}
