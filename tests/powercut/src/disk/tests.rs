//! What is promised of a disk, with cuts of many seeds.

use std::ffi::OsStr;

use super::*;

const SEEDS: std::ops::Range<u64> = 0..200;

fn name(name: &str) -> &OsStr {
    OsStr::new(name)
}

/// A disk with the directory `d`, durable.
fn disk() -> (Disk, Ino) {
    let mut disk = Disk::new();
    let directory = disk.create(ROOT, name("d"), true).unwrap().ino;
    sync(&mut disk, ROOT);
    (disk, directory)
}

fn sync(disk: &mut Disk, ino: Ino) {
    let upto = disk.begin_sync();
    disk.sync(ino, upto).unwrap();
}

fn cut(disk: &mut Disk, seed: u64) -> (u64, u64) {
    disk.cut();
    disk.power_on(seed, Policy::Any)
}

fn content(disk: &mut Disk, path: [&str; 2]) -> Option<Vec<u8>> {
    let directory = disk.lookup(ROOT, name(path[0])).ok()?.ino;
    let file = disk.lookup(directory, name(path[1])).ok()?.ino;
    Some(disk.read(file, 0, u64::MAX).unwrap())
}

#[test]
fn what_was_synced_stays() {
    for seed in SEEDS {
        let (mut disk, directory) = disk();
        let file = disk.create(directory, name("f"), false).unwrap().ino;
        disk.write(file, 0, &[7; 1300]).unwrap();
        sync(&mut disk, file);
        sync(&mut disk, directory);
        disk.write(file, 1300, &[8; 1300]).unwrap();
        cut(&mut disk, seed);
        let left = content(&mut disk, ["d", "f"]).unwrap();
        assert_eq!(left[..1300], [7; 1300], "seed {seed}");
    }
}

#[test]
fn sectors_and_lengths_are_lost_in_any_combination() {
    let mut found = std::collections::BTreeSet::new();
    for seed in SEEDS {
        let (mut disk, directory) = disk();
        let file = disk.create(directory, name("f"), false).unwrap().ino;
        sync(&mut disk, directory);
        disk.write(file, 0, &[7; 1536]).unwrap();
        cut(&mut disk, seed);
        let left = content(&mut disk, ["d", "f"]).unwrap();
        let sectors: Vec<u8> = left.chunks(512).map(|sector| sector[0]).collect();
        found.insert(sectors);
    }
    for wanted in [
        &[][..],
        &[0, 7],
        &[0, 0, 7],
        &[7, 0, 7],
        &[7, 7, 7],
        &[0, 0, 0],
    ] {
        assert!(found.contains(wanted), "{wanted:?} is not in {found:?}");
    }
}

#[test]
fn a_synced_file_without_a_synced_name_may_be_gone_and_come_back_whole() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in SEEDS {
        let (mut disk, directory) = disk();
        let file = disk.create(directory, name("f"), false).unwrap().ino;
        disk.write(file, 0, b"bytes").unwrap();
        sync(&mut disk, file);
        cut(&mut disk, seed);
        outcomes.insert(content(&mut disk, ["d", "f"]));
    }
    let expected = [None, Some(b"bytes".to_vec())];
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_rename_happens_or_does_not() {
    for seed in SEEDS {
        let (mut disk, directory) = disk();
        for (file, bytes) in [("old", b"old"), ("new", b"new")] {
            let ino = disk.create(directory, name(file), false).unwrap().ino;
            disk.write(ino, 0, bytes).unwrap();
            sync(&mut disk, ino);
        }
        sync(&mut disk, directory);
        disk.rename((directory, name("new")), (directory, name("old")), true)
            .unwrap();
        cut(&mut disk, seed);
        let left = ["old", "new"].map(|file| content(&mut disk, ["d", file]));
        let before = [Some(b"old".to_vec()), Some(b"new".to_vec())];
        let after = [Some(b"new".to_vec()), None];
        assert!(left == before || left == after, "seed {seed}: {left:?}");
    }
}

#[test]
fn a_sync_covers_what_came_before_it_began() {
    let (mut disk, directory) = disk();
    let file = disk.create(directory, name("f"), false).unwrap().ino;
    sync(&mut disk, directory);
    disk.write(file, 0, b"before").unwrap();
    let upto = disk.begin_sync();
    disk.write(file, 6, b"after").unwrap();
    disk.sync(file, upto).unwrap();
    disk.cut();
    disk.power_on(0, Policy::Nothing);
    assert_eq!(content(&mut disk, ["d", "f"]).unwrap(), b"before");
}

#[test]
fn without_power_everything_fails_and_a_handle_from_before_stays_dead() {
    let (mut disk, directory) = disk();
    let file = disk.create(directory, name("f"), false).unwrap().ino;
    disk.cut();
    let upto = disk.begin_sync();
    assert_eq!(disk.sync(file, upto), Err(Errno::EIO));
    assert_eq!(disk.write(file, 0, b"x"), Err(Errno::EIO));
    assert_eq!(disk.lookup(ROOT, name("d")), Err(Errno::EIO));
    disk.power_on(0, Policy::Any);
    assert_eq!(disk.write(file, 0, b"x"), Err(Errno::ESTALE));
}

#[test]
fn one_seed_gives_one_image() {
    let run = |seed| {
        let (mut disk, directory) = disk();
        for file in ["a", "b", "c"] {
            let ino = disk.create(directory, name(file), false).unwrap().ino;
            disk.write(ino, 100, &[7; 5000]).unwrap();
        }
        let counts = cut(&mut disk, seed);
        let left = ["a", "b", "c"].map(|file| content(&mut disk, ["d", file]));
        (counts, left)
    };
    for seed in SEEDS {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn a_lying_disk_loses_what_it_said_was_synced() {
    let (mut disk, directory) = disk();
    disk.lie(Lie {
        area: "d".to_owned(),
        names: false,
    });
    let file = disk.create(directory, name("f"), false).unwrap().ino;
    disk.write(file, 0, b"bytes").unwrap();
    sync(&mut disk, file);
    sync(&mut disk, directory);
    disk.cut();
    disk.power_on(0, Policy::Nothing);
    assert_eq!(content(&mut disk, ["d", "f"]).unwrap(), b"");
}
