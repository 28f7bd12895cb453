//! The suite for [`Volume`].

use std::sync::Arc;

use crate::disk::{DiskError, Listed, ReadMode, Volume, VolumeFile};

/// Runs the suite; `make` returns an empty volume each time.
pub fn volume_suite(make: &dyn Fn() -> Arc<dyn Volume>) {
    writes_are_read_back(&*make());
    reads_end_at_the_end_of_the_file(&*make());
    cached_reads_are_right_or_refused(&*make());
    missing_files_are_not_found(&*make());
    taken_names_are_refused(&*make());
    directories_list_what_is_in_them(&*make());
    removed_files_stay_readable_while_open(&*make());
    renaming_replaces(&*make());
    truncating_cuts_and_extends(&*make());
    locks_exclude(&*make());
    space_is_told(&*make());
}

fn content(file: &dyn VolumeFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len_bytes().unwrap()).unwrap()];
    assert_eq!(
        file.read_at(&mut bytes, 0, ReadMode::MayBlock),
        Ok(bytes.len())
    );
    bytes
}

fn writes_are_read_back(volume: &dyn Volume) {
    let file = volume.create("f").unwrap();
    file.write_at(b"hello", 0).unwrap();
    file.write_at(b"world", 7).unwrap();
    file.start_writeback(0, 12);
    file.sync_data().unwrap();
    volume.sync_dir("").unwrap();
    assert_eq!(content(&*file), b"hello\0\0world");
    assert_eq!(content(&*volume.open("f").unwrap()), b"hello\0\0world");
}

fn reads_end_at_the_end_of_the_file(volume: &dyn Volume) {
    let file = volume.create("f").unwrap();
    file.write_at(b"0123456789", 0).unwrap();
    let mut buffer = [0xff; 8];
    assert_eq!(file.read_at(&mut buffer, 6, ReadMode::MayBlock), Ok(4));
    assert_eq!(&buffer, b"6789\xff\xff\xff\xff");
    assert_eq!(file.read_at(&mut buffer, 10, ReadMode::MayBlock), Ok(0));
    assert_eq!(
        file.read_at(&mut buffer, 1 << 40, ReadMode::MayBlock),
        Ok(0)
    );
    assert_eq!(file.read_at(&mut [], 0, ReadMode::MayBlock), Ok(0));
}

fn cached_reads_are_right_or_refused(volume: &dyn Volume) {
    let file = volume.create("f").unwrap();
    file.write_at(&vec![7; 100_000], 0).unwrap();
    let mut buffer = vec![0; 100_000];
    match file.read_at(&mut buffer, 0, ReadMode::CachedOnly) {
        Ok(read) => assert_eq!((read, buffer), (100_000, vec![7; 100_000])),
        Err(error) => assert_eq!(error, DiskError::NotCached),
    }
}

fn missing_files_are_not_found(volume: &dyn Volume) {
    assert_eq!(volume.open("no").unwrap_err(), DiskError::NotFound);
    assert_eq!(volume.remove("no").unwrap_err(), DiskError::NotFound);
    assert_eq!(volume.list("no").unwrap_err(), DiskError::NotFound);
    assert_eq!(volume.create("no/file").unwrap_err(), DiskError::NotFound);
    assert_eq!(
        volume.rename_durable("no", "other").unwrap_err(),
        DiskError::NotFound
    );
}

fn taken_names_are_refused(volume: &dyn Volume) {
    volume.create("f").unwrap().write_at(b"kept", 0).unwrap();
    assert!(matches!(
        volume.create("f").unwrap_err(),
        DiskError::Io { .. }
    ));
    assert_eq!(content(&*volume.open("f").unwrap()), b"kept");
}

fn directories_list_what_is_in_them(volume: &dyn Volume) {
    assert_eq!(volume.list(""), Ok(Vec::new()));
    assert_eq!(volume.create_dir("d"), Ok(true));
    assert_eq!(volume.create_dir("d"), Ok(false));
    assert_eq!(volume.create_dir("d/e"), Ok(true));
    volume.create("d/f").unwrap();
    volume.create("g").unwrap();
    let listed = |dir| {
        let mut entries = volume.list(dir).unwrap();
        entries.sort();
        entries
    };
    let entry = |name: &str, is_dir| Listed {
        name: name.to_owned(),
        is_dir,
    };
    assert_eq!(listed(""), [entry("d", true), entry("g", false)]);
    assert_eq!(listed("d"), [entry("e", true), entry("f", false)]);
    assert_eq!(listed("d/e"), []);
}

fn removed_files_stay_readable_while_open(volume: &dyn Volume) {
    let file = volume.create("f").unwrap();
    file.write_at(b"bytes", 0).unwrap();
    volume.remove("f").unwrap();
    volume.sync_dir("").unwrap();
    assert_eq!(content(&*file), b"bytes");
    assert_eq!(volume.open("f").unwrap_err(), DiskError::NotFound);
    volume.create("f").unwrap();
}

fn renaming_replaces(volume: &dyn Volume) {
    volume.create("old").unwrap().write_at(b"old", 0).unwrap();
    volume.create("new").unwrap().write_at(b"new", 0).unwrap();
    let held = volume.open("old").unwrap();
    volume.rename_durable("new", "old").unwrap();
    assert_eq!(content(&*volume.open("old").unwrap()), b"new");
    assert_eq!(content(&*held), b"old");
    assert_eq!(volume.open("new").unwrap_err(), DiskError::NotFound);
}

fn truncating_cuts_and_extends(volume: &dyn Volume) {
    let file = volume.create("f").unwrap();
    file.write_at(b"0123456789", 0).unwrap();
    file.truncate(4).unwrap();
    file.truncate(6).unwrap();
    assert_eq!(content(&*file), b"0123\0\0");
}

fn locks_exclude(volume: &dyn Volume) {
    let held = volume.lock().unwrap();
    let refused = volume.lock().unwrap_err();
    assert!(
        matches!(
            refused,
            DiskError::Io {
                errno: libc::EWOULDBLOCK,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(volume.list(""), Ok(Vec::new()), "a lock leaves no file");
    drop(held);
    drop(volume.lock().unwrap());
}

fn space_is_told(volume: &dyn Volume) {
    let space = volume.space().unwrap();
    assert!(
        space.total_bytes > 0 && space.free_bytes <= space.total_bytes,
        "{space:?}"
    );
}
