//! Directories written by each format version are opened by today's code, and later formats are refused untouched.
//!
//! `tests/fixtures/format-N/<name>.tar.gz` (from the repository's root) holds the four disks and the view of a store, `<name>.json` what
//! it must give when read. To write those of today's format: see `CONTRIBUTING.md`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test code, also outside of #[test] functions"
)]

mod fixture;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use fixture::{churn_until_reclaimed, data_dirs, dump, fill, open_store, open_store_with};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use larder_erasure::Profile;
use larder_storage::{
    disk::{
        DiskNo, Role,
        identity::{IDENTITY_FORMAT, MOVING_FORMAT},
    },
    objects::{Headers, Tags},
};
use serde_json::Value;

/// A change of one disk's directory.
type Change = fn(&Path);

/// Where the child of the generator writes.
const CHILD_DIR: &str = "LARDER_FIXTURE_DIR";
const KINDS: [&str; 2] = ["clean-stop", "killed"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// Every fixture: what it is called, its archive, its manifest.
fn all_fixtures() -> Vec<(String, PathBuf, Value)> {
    let mut found = Vec::new();
    for format in 1..=IDENTITY_FORMAT {
        for kind in KINDS {
            let base = fixtures().join(format!("format-{format}"));
            let manifest = fs::read(base.join(format!("{kind}.json"))).unwrap();
            found.push((
                format!("format {format}, {kind}"),
                base.join(format!("{kind}.tar.gz")),
                serde_json::from_slice(&manifest).unwrap(),
            ));
        }
    }
    found
}

fn unpack(archive: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::open(archive).unwrap();
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    archive.unpack(dir.path()).unwrap();
    dir
}

/// Opens a copy of `archive` after `prepare` has changed it, and reads everything.
async fn read_all(archive: &Path, prepare: impl FnOnce(&Path)) -> (Value, bool) {
    let dir = unpack(archive);
    prepare(dir.path());
    let storage = open_store(dir.path()).await.unwrap();
    let read = dump(storage.store()).await;
    let rebuilt = storage.recovery().rebuilt;
    storage.close().await;
    (read, rebuilt)
}

fn without_view(root: &Path) {
    fs::remove_dir_all(root.join("view")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_is_read_with_its_view_and_without() {
    for (name, archive, expected) in all_fixtures() {
        let dir = unpack(&archive);
        for is_first in [true, false] {
            let storage = open_store(dir.path()).await.unwrap();
            assert_eq!(dump(storage.store()).await, expected, "{name}");
            // They all are from before views had tallies.
            assert_eq!(storage.recovery().rebuilt, is_first, "{name}");
            storage.close().await;
        }
        let (read, rebuilt) = read_all(&archive, without_view).await;
        assert_eq!(read, expected, "{name}, view deleted");
        assert!(rebuilt, "{name}: without a view it is rebuilt");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_is_read_with_any_two_disks_missing() {
    for (name, archive, expected) in all_fixtures() {
        for (first, second) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            let (read, _) = read_all(&archive, |root| {
                let disks = data_dirs(root);
                fs::remove_dir_all(&disks[first]).unwrap();
                fs::remove_dir_all(&disks[second]).unwrap();
                without_view(root);
            })
            .await;
            assert_eq!(read, expected, "{name}, without disks {first} and {second}");
        }
    }
}

/// Every file below `root` with its bytes.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                files.insert(path, bytes);
            }
        }
    }
    files
}

fn crc64(bytes: &[u8]) -> [u8; 8] {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes).to_le_bytes()
}

/// Sets a number in a checked header of a file and makes its check right again.
fn patch(file: &Path, header: usize, at: usize, value: u32, checked: usize) {
    let mut bytes = fs::read(file).unwrap();
    let header = &mut bytes[header..];
    header[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let check = crc64(&header[..checked]);
    header[checked..checked + 8].copy_from_slice(&check);
    fs::write(file, bytes).unwrap();
}

fn newer_identity(root: &Path) {
    let file = root.join("disk2/disk.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replace("\"format\": 1", "\"format\": 3")).unwrap();
}

fn newer_segment(root: &Path) {
    let log = root.join("disk1/log");
    let entries = fs::read_dir(log)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "seg"))
        .collect();
    segments.sort();
    patch(&segments[segments.len() / 2], 0, 8, 2, 56);
}

fn newer_floor(root: &Path) {
    let mut floors = data_dirs(root).into_iter().map(|dir| dir.join("log/floor"));
    let found = floors.find(|file| file.exists()).unwrap();
    let file = root.join("disk0/log/floor");
    if found != file {
        fs::copy(found, &file).unwrap();
    }
    patch(&file, 0, 20, 1, 24);
    patch(&file, 4096, 20, 1, 24);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_format_is_refused_without_touching_a_byte() {
    let (_, archive, _) = all_fixtures().pop().unwrap();
    let changes: [(&str, Change, u64); 3] = [
        ("disk2", newer_identity, MOVING_FORMAT + 1),
        ("disk1/log/", newer_segment, IDENTITY_FORMAT + 1),
        ("log/floor", newer_floor, IDENTITY_FORMAT + 1),
    ];
    for (place, change, found) in changes {
        let dir = unpack(&archive);
        change(dir.path());
        // A disk that is to be replaced would have every membership rewritten.
        fs::remove_dir_all(dir.path().join("disk3")).unwrap();
        fs::create_dir(dir.path().join("disk3")).unwrap();
        let before = tree(dir.path());
        let error = match open_store(dir.path()).await {
            Ok(_) => panic!("{place}: opened"),
            Err(error) => error.to_string(),
        };
        assert!(
            error.contains(place)
                && error.contains(&format!("format {found}"))
                && error.contains("run the later version"),
            "{error}"
        );
        assert!(
            tree(dir.path()) == before,
            "{place}: changed though refused"
        );
    }
}

/// Only while a disk is drained, or was put in since the last start, does `disk.json` have format 2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_drains_does_so_still() {
    let base = fixtures().join(format!("format-{MOVING_FORMAT}"));
    let (archive, manifest) = (base.join("draining.tar.gz"), base.join("draining.json"));
    let expected: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let dir = unpack(&archive);
    assert_eq!(format_of(dir.path()), MOVING_FORMAT);
    let storage = open_store(dir.path()).await.unwrap();
    let status = storage.status().await.unwrap();
    let roles: Vec<_> = status.disks.iter().map(|disk| disk.role).collect();
    let [member, draining] = [Role::Member, Role::Draining];
    assert_eq!(roles, [member, member, member, draining]);
    assert_eq!(dump(storage.store()).await, expected);
    storage.close().await;
    for missing in 0..4 {
        let (read, rebuilt) = read_all(&archive, |root| {
            fs::remove_dir_all(&data_dirs(root)[missing]).unwrap();
            without_view(root);
        })
        .await;
        assert_eq!(read, expected, "without disk {missing}");
        assert!(rebuilt);
    }
}

fn format_of(root: &Path) -> u64 {
    let identity = fs::read(root.join("disk0/disk.json")).unwrap();
    let identity: Value = serde_json::from_slice(&identity).unwrap();
    identity["format"].as_u64().unwrap()
}

/// Writes the fixture of format 2: a store of profile 2+1 whose last disk is to leave, and nothing of it has moved yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes tests/fixtures: see CONTRIBUTING.md"]
async fn write_fixture_of_a_draining_disk() {
    let target = fixtures().join(format!("format-{MOVING_FORMAT}"));
    fs::create_dir_all(&target).unwrap();
    let dir = tempfile::tempdir().unwrap();
    make_dirs(dir.path());
    let profile = Profile::new(2, 1).unwrap();
    let storage = open_store_with(dir.path(), Some(profile)).await.unwrap();
    fill(storage.store()).await;
    storage.disk_set().drain(DiskNo(3)).await.unwrap();
    let manifest = dump(storage.store()).await;
    storage.close().await;
    let text = serde_json::to_string_pretty(&manifest).unwrap() + "\n";
    fs::write(target.join("draining.json"), text).unwrap();
    pack(dir.path(), &target.join("draining.tar.gz"));
}

/// Writes the fixtures of today's format. The store of the second is killed while it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes tests/fixtures: see CONTRIBUTING.md"]
async fn write_fixtures_of_todays_format() {
    let target = fixtures().join(format!("format-{IDENTITY_FORMAT}"));
    fs::create_dir_all(&target).unwrap();
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        make_dirs(dir.path());
        let manifest = if kind == "killed" {
            be_killed(dir.path())
        } else {
            stop_cleanly(dir.path()).await
        };
        let text = serde_json::to_string_pretty(&manifest).unwrap() + "\n";
        fs::write(target.join(format!("{kind}.json")), text).unwrap();
        pack(dir.path(), &target.join(format!("{kind}.tar.gz")));
    }
}

fn make_dirs(root: &Path) {
    for dir in data_dirs(root) {
        fs::create_dir_all(dir).unwrap();
    }
}

fn pack(root: &Path, archive: &Path) {
    let file = fs::File::create(archive).unwrap();
    let mut builder = tar::Builder::new(GzEncoder::new(file, Compression::best()));
    builder.mode(tar::HeaderMode::Deterministic);
    for path in data_dirs(root).into_iter().chain([root.join("view")]) {
        builder
            .append_dir_all(path.file_name().unwrap(), &path)
            .unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap();
}

async fn stop_cleanly(root: &Path) -> Value {
    let storage = open_store(root).await.unwrap();
    fill(storage.store()).await;
    churn_until_reclaimed(&storage, root).await;
    let manifest = dump(storage.store()).await;
    storage.close().await;
    manifest
}

/// Has a child write the store, and kills it once it has said what is in it.
fn be_killed(root: &Path) -> Value {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "write_and_wait"])
        .env(CHILD_DIR, root)
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let manifest = lines
        .map(Result::unwrap)
        .find_map(|line| line.strip_prefix("manifest ").map(str::to_owned));
    child.kill().unwrap();
    child.wait().unwrap();
    serde_json::from_str(&manifest.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of write_fixtures_of_todays_format"]
async fn write_and_wait() {
    let Some(root) = std::env::var_os(CHILD_DIR) else {
        return;
    };
    let root = PathBuf::from(root);
    let storage = open_store(&root).await.unwrap();
    fill(storage.store()).await;
    churn_until_reclaimed(&storage, &root).await;
    fixture::put(
        storage.store(),
        "last words",
        4_321,
        Headers::default(),
        Tags::default(),
    )
    .await;
    println!("\nmanifest {}", dump(storage.store()).await);
    std::io::stdin().lines().next();
}
