//! What the disks themselves can do: the figures that a server's are to be read against.
//!
//! Blocking code, to be run off the event loop. Files are called `.larder-bench-*` and removed
//! however the measurement ends.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Barrier,
    time::Duration,
};

use larder_storage::clock::Clock;

use super::histogram::Histogram;

const APPEND_BYTES: usize = 4_096;
/// Rounds of synced appends, at most; fewer if they take longer than [`ROUNDS_TIME`].
const MAX_ROUNDS: u32 = 1_000;
const ROUNDS_TIME: Duration = Duration::from_secs(3);
const BLOCK_BYTES: usize = 1 << 20;
/// Direct reads need memory aligned to the disk's blocks.
const ALIGNMENT_BYTES: usize = 4_096;

/// `O_DIRECT`, which differs between architectures.
#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
const O_DIRECT: i32 = 0o200_000;
#[cfg(not(any(target_arch = "aarch64", target_arch = "arm")))]
const O_DIRECT: i32 = 0o40_000;

/// A directory whose floor can't be measured.
#[derive(Debug, thiserror::Error)]
#[error("can't {doing} in {}", .directory.display())]
pub struct FloorError {
    /// The directory.
    pub directory: PathBuf,
    /// What failed.
    pub doing: &'static str,
    /// Why.
    pub source: io::Error,
}

/// The floors of a set of directories, all used at once.
#[derive(Debug)]
pub struct Floors {
    /// How many directories.
    pub disks_count: usize,
    /// Times of rounds: 4 KiB appended and `fdatasync`ed on every directory at once.
    pub synced_appends: Histogram,
    /// Sequential write of all together, sync included, in bytes per second.
    pub write_bytes_per_second: f64,
    /// Sequential read past the page cache, in bytes per second; `None` where the file system
    /// can't.
    pub direct_read_bytes_per_second: Option<f64>,
    /// Sequential read from the page cache, in bytes per second.
    pub cached_read_bytes_per_second: f64,
}

/// Measures the floors of `directories`, with `total_bytes` for the bandwidths.
///
/// # Errors
/// [`FloorError`] naming the directory.
pub fn measure(
    directories: &[PathBuf],
    total_bytes: u64,
    clock: &dyn Clock,
) -> Result<Floors, FloorError> {
    let each_bytes = total_bytes / directories.len().max(1) as u64;
    let blocks = (each_bytes / BLOCK_BYTES as u64).max(1);
    let all_bytes = blocks * (BLOCK_BYTES * directories.len()) as u64;
    let appends = create_all(directories, "append")?;
    let synced_appends = measure_appends(&appends, clock)?;
    drop(appends);
    let files = create_all(directories, "stream")?;
    let rate = |time: Duration| per_second(all_bytes, time);
    let write = on_all(&files, "write", clock, |file| {
        write_blocks(&file.file, blocks)
    })?;
    let direct = on_all(&files, "read", clock, |file| {
        read_direct(&file.path, blocks)
    })
    .ok();
    let cached = on_all(&files, "read", clock, |file| {
        read_cached(&file.file, blocks)
    })?;
    Ok(Floors {
        disks_count: directories.len(),
        synced_appends,
        write_bytes_per_second: rate(write),
        direct_read_bytes_per_second: direct.map(rate),
        cached_read_bytes_per_second: rate(cached),
    })
}

#[expect(clippy::cast_precision_loss, reason = "byte counts are far below 2^52")]
fn per_second(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64().max(1e-9)
}

/// A file that is removed with its owner.
#[derive(Debug)]
struct Scratch {
    directory: PathBuf,
    path: PathBuf,
    file: File,
}

impl Scratch {
    fn create(directory: &Path, purpose: &str) -> io::Result<Self> {
        let path = directory.join(format!(".larder-bench-{purpose}-{}", std::process::id()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        Ok(Self {
            directory: directory.to_owned(),
            path,
            file,
        })
    }

    fn error(&self, doing: &'static str, source: io::Error) -> FloorError {
        FloorError {
            directory: self.directory.clone(),
            doing,
            source,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing better can be done in a destructor than to leave the file behind.
        drop(std::fs::remove_file(&self.path));
    }
}

fn create_all(directories: &[PathBuf], purpose: &str) -> Result<Vec<Scratch>, FloorError> {
    let create = |directory: &PathBuf| {
        Scratch::create(directory, purpose).map_err(|source| FloorError {
            directory: directory.clone(),
            doing: "create a file",
            source,
        })
    };
    directories.iter().map(create).collect()
}

/// Runs `work` on all files at once; the time until the last is done.
fn on_all(
    files: &[Scratch],
    doing: &'static str,
    clock: &dyn Clock,
    work: impl Fn(&Scratch) -> io::Result<()> + Sync,
) -> Result<Duration, FloorError> {
    let began = clock.monotonic();
    std::thread::scope(|scope| {
        let work = &work;
        let run = move |file: &Scratch| work(file).map_err(|source| file.error(doing, source));
        let threads: Vec<_> = files
            .iter()
            .map(|file| scope.spawn(move || run(file)))
            .collect();
        threads.into_iter().try_for_each(join)
    })?;
    Ok(clock.monotonic().saturating_sub(began))
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A thread for each file appends and syncs; the rounds begin and end together.
fn measure_appends(files: &[Scratch], clock: &dyn Clock) -> Result<Histogram, FloorError> {
    let barrier = Barrier::new(files.len() + 1);
    let rounds = std::sync::atomic::AtomicU32::new(0);
    let mut histogram = Histogram::default();
    std::thread::scope(|scope| {
        let (barrier, rounds) = (&barrier, &rounds);
        let append = move |file: &Scratch| append_rounds(file, barrier, rounds);
        let threads: Vec<_> = files
            .iter()
            .map(|file| scope.spawn(move || append(file)))
            .collect();
        let deadline = clock.monotonic() + ROUNDS_TIME;
        for round in 1..=MAX_ROUNDS {
            if clock.monotonic() >= deadline {
                break;
            }
            rounds.store(round, std::sync::atomic::Ordering::Release);
            let began = clock.monotonic();
            barrier.wait();
            barrier.wait();
            histogram.record(clock.monotonic().saturating_sub(began));
        }
        rounds.store(0, std::sync::atomic::Ordering::Release);
        barrier.wait();
        threads.into_iter().try_for_each(join)
    })?;
    Ok(histogram)
}

/// Takes part in rounds until there are no more. A failure is kept until then, as the other
/// threads wait for this one at each barrier.
fn append_rounds(
    file: &Scratch,
    barrier: &Barrier,
    rounds: &std::sync::atomic::AtomicU32,
) -> Result<(), FloorError> {
    let record = [0x5a_u8; APPEND_BYTES];
    let mut result = Ok(());
    loop {
        barrier.wait();
        if rounds.load(std::sync::atomic::Ordering::Acquire) == 0 {
            return result.map_err(|source| file.error("append and sync", source));
        }
        if result.is_ok() {
            result = (&file.file)
                .write_all(&record)
                .and_then(|()| file.file.sync_data());
        }
        barrier.wait();
    }
}

fn write_blocks(mut file: &File, blocks: u64) -> io::Result<()> {
    // Not zeros, which some disks do not store.
    let block: Vec<u8> = (0..BLOCK_BYTES)
        .map(|at| (at % 251).to_le_bytes()[0])
        .collect();
    for _ in 0..blocks {
        file.write_all(&block)?;
    }
    file.sync_data()
}

fn read_cached(mut file: &File, blocks: u64) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    file.seek(SeekFrom::Start(0))?;
    (0..blocks).try_for_each(|_| file.read_exact(&mut block))
}

fn read_direct(path: &Path, blocks: u64) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_DIRECT)
        .open(path)?;
    let mut memory = vec![0; BLOCK_BYTES + ALIGNMENT_BYTES];
    let start = memory.as_ptr().align_offset(ALIGNMENT_BYTES);
    let block = &mut memory[start..start + BLOCK_BYTES];
    (0..blocks).try_for_each(|number| file.read_exact_at(block, number * BLOCK_BYTES as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_storage::clock::SystemClock;

    #[test]
    fn measures_every_floor_and_leaves_nothing_behind() {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths: Vec<PathBuf> = directories
            .iter()
            .map(|dir| dir.path().to_owned())
            .collect();
        let floors = measure(&paths, 4 << 20, &SystemClock).unwrap();
        assert_eq!(floors.disks_count, 2);
        assert!(floors.synced_appends.count() > 0);
        assert!(floors.write_bytes_per_second > 0.0);
        assert!(floors.cached_read_bytes_per_second > 0.0);
        for path in paths {
            assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = measure(&["/nowhere/at/all".into()], 1, &SystemClock).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
