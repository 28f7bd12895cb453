//! Appends to four disks at once, against the floor of raw `pwrite` and `fdatasync` on four directories.
//!
//! `LARDER_BENCH_DIR` names the directory to use (default: the system's temporary one, which may be no disk at all);
//! `cargo bench -p larder-storage --bench log`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench: it prints, and a panic is a fine end"
)]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use larder_storage::{
    clock::{Clock, SystemClock},
    disk::{
        Completion, Disk, DiskError, DiskNo, Frame, FrameKind, OpenOptions, Seq, SlotState,
        open_local,
    },
    rng::SystemRng,
};

const DISKS: usize = 4;
const META: [u8; 400] = [1; 400];
const SHARD: [u8; 2056] = [2; 2056];
const FRAME_BYTES: usize = 24 + SHARD.len() + META.len() + 8;
const RUN_FOR: Duration = Duration::from_secs(3);

fn main() {
    let base = std::env::var_os("LARDER_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let root = base.join(format!("larder-bench-{}", std::process::id()));
    let directories: Vec<_> = (0..DISKS).map(|n| root.join(n.to_string())).collect();
    for directory in &directories {
        fs::create_dir_all(directory).unwrap();
    }
    report("raw, 1 at a time", &raw(&directories));
    let opened = open_local(&directories, &OpenOptions::default(), &SystemRng).unwrap();
    let present = opened.disks.into_iter().map(|slot| match slot.state {
        SlotState::Present(disk) => disk,
        SlotState::Missing { .. } => std::process::abort(),
    });
    let disks: Vec<_> = present.collect();
    for callers in [1, 4, 32, 128] {
        report(
            &format!("log, {callers} callers"),
            &append_from(&disks, callers),
        );
    }
    drop(disks);
    fs::remove_dir_all(root).unwrap();
}

fn report(name: &str, latencies: &[Duration]) {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
    let per_second = u128::from(sorted.len() as u64) / u128::from(RUN_FOR.as_secs());
    println!(
        "{name:18} {per_second:7}/s   p50 {:?}   p99 {:?}",
        at(50),
        at(99)
    );
}

/// One append and sync on each directory in parallel, then the next.
fn raw(directories: &[PathBuf]) -> Vec<Duration> {
    remove_after(directories, |files| {
        let (start, end) = (Barrier::new(DISKS + 1), Barrier::new(DISKS + 1));
        let stop = AtomicU64::new(0);
        thread::scope(|scope| {
            for file in &files {
                let (start, end, stop) = (&start, &end, &stop);
                scope.spawn(move || {
                    let bytes = vec![3; FRAME_BYTES];
                    for n in 0_u64.. {
                        start.wait();
                        if stop.load(Ordering::SeqCst) == 1 {
                            break;
                        }
                        file.write_all_at(&bytes, n * FRAME_BYTES as u64).unwrap();
                        file.sync_data().unwrap();
                        end.wait();
                    }
                });
            }
            let latencies = repeat(|| {
                start.wait();
                end.wait();
            });
            stop.store(1, Ordering::SeqCst);
            start.wait();
            latencies
        })
    })
}

fn remove_after<T>(directories: &[PathBuf], run: impl FnOnce(Vec<File>) -> T) -> T {
    let path = |directory: &PathBuf| directory.join("raw");
    let files = directories
        .iter()
        .map(|d| File::create(path(d)).unwrap())
        .collect();
    let result = run(files);
    for directory in directories {
        fs::remove_file(path(directory)).unwrap();
        sync_dir(directory);
    }
    result
}

fn sync_dir(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

fn repeat(mut operation: impl FnMut()) -> Vec<Duration> {
    let clock = SystemClock;
    let start = clock.monotonic();
    let mut last = start;
    let mut latencies = Vec::new();
    while last.saturating_sub(start) < RUN_FOR {
        operation();
        let now = clock.monotonic();
        latencies.push(now.saturating_sub(last));
        last = now;
    }
    latencies
}

/// Each caller appends to all disks, waits for all, appends again.
fn append_from(disks: &[Arc<dyn Disk>], callers: usize) -> Vec<Duration> {
    let seq = AtomicU64::new(0);
    thread::scope(|scope| {
        let caller = || repeat(|| append_to_all(disks, Seq(seq.fetch_add(1, Ordering::Relaxed))));
        let callers: Vec<_> = (0..callers).map(|_| scope.spawn(caller)).collect();
        callers
            .into_iter()
            .flat_map(|caller| caller.join().unwrap())
            .collect()
    })
}

#[derive(Debug)]
struct AllDone {
    left: AtomicU64,
    caller: Thread,
}

impl Completion for AllDone {
    fn complete(&self, _: DiskNo, result: Result<(), DiskError>) {
        result.unwrap();
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.caller.unpark();
        }
    }
}

fn append_to_all(disks: &[Arc<dyn Disk>], seq: Seq) {
    let done = Arc::new(AllDone {
        left: AtomicU64::new(disks.len() as u64),
        caller: thread::current(),
    });
    let frame = Frame {
        kind: FrameKind::Commit,
        seq,
        shard_index: 0,
        meta: &META,
        shard: &SHARD,
    };
    for disk in disks {
        disk.append(&frame, Some(Arc::clone(&done) as Arc<dyn Completion>))
            .unwrap();
    }
    while done.left.load(Ordering::SeqCst) > 0 {
        thread::park();
    }
}
