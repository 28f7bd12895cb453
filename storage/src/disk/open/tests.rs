use super::*;
use crate::{
    disk::{Frame, FrameKind, Health, Seq},
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
