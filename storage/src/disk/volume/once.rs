//! Files that are read or written once, from front to back, by work that nobody waits for: healing.
//!
//! Reading uses the system's read-ahead, and drops behind itself what it brought into the page cache; what clients had there stays.
//! Writing goes past the page cache (`O_DIRECT`): the device gets each piece when it is written and not all at the sync, where they would
//! hold up the syncs of clients. Measured in `docs/decisions/0005-healing.md`.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicU8, Ordering},
};

use parking_lot::Mutex;

use super::{
    DiskError, ReadMode, VolumeFile,
    direct::{ALIGN, PIECE_BYTES, read_some},
    io_error,
    local::{advise, read_nowait},
    only_read::{OnlyRead, Reading},
    refusal,
};

/// Reads from front to back.
#[derive(Debug)]
pub(super) struct ReadOnce {
    cached: AtomicU8,
}

/// Nothing was read yet.
const UNKNOWN: u8 = 0;
/// The first bytes were in the page cache: somebody else reads this file.
const CACHED: u8 = 1;
const NOT_CACHED: u8 = 2;

impl ReadOnce {
    pub(super) fn open(path: &Path) -> io::Result<OnlyRead<Self>> {
        let file = File::open(path)?;
        advise(&file, 0, 0, libc::POSIX_FADV_SEQUENTIAL);
        let cached = AtomicU8::new(UNKNOWN);
        Ok(OnlyRead::new(file, path, Self { cached }))
    }

    fn is_cached(&self, file: &File, buf: &mut [u8], offset: u64) -> bool {
        if self.cached.load(Ordering::Relaxed) == UNKNOWN {
            let read = read_nowait(file, buf, offset);
            let is_cached = read.is_ok_and(|read| read == buf.len());
            let found = if is_cached { CACHED } else { NOT_CACHED };
            self.cached.store(found, Ordering::Relaxed);
        }
        self.cached.load(Ordering::Relaxed) == CACHED
    }
}

impl Reading for ReadOnce {
    fn read(&self, file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let is_cached = self.is_cached(file, buf, offset);
        let read = read_some(file, buf, offset)?;
        if !is_cached {
            // Only whole pages are dropped: the one that a read ends in goes with the next read.
            let start = offset - offset % ALIGN as u64;
            let bytes = offset + read as u64 - start;
            advise(file, start, bytes, libc::POSIX_FADV_DONTNEED);
        }
        Ok(read)
    }
}

/// A new file that is written from front to back. What is less than a sector is held back until more comes, or the sync.
#[derive(Debug)]
pub(super) struct WriteOnce {
    path: String,
    end: Mutex<End>,
}

#[derive(Debug)]
struct End {
    file: File,
    /// Room for a piece at an aligned place.
    memory: Vec<u8>,
    /// Bytes in it, which belong behind the `written_bytes` that are in the file.
    held: usize,
    written_bytes: u64,
}

impl WriteOnce {
    /// Creates a file where nothing is yet. `Ok(None)`: the file system has no `O_DIRECT`, and nothing was created.
    pub(super) fn create(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        match options.custom_flags(libc::O_DIRECT).open(path) {
            Ok(file) => Ok(Some(Self {
                path: path.display().to_string(),
                end: Mutex::new(End {
                    file,
                    memory: vec![0; PIECE_BYTES + ALIGN],
                    held: 0,
                    written_bytes: 0,
                }),
            })),
            // Linux creates the file before it asks the file system: it is ours, and empty.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                match std::fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(None),
                }
            }
            Err(error) => Err(error),
        }
    }
}

impl End {
    fn length_bytes(&self) -> u64 {
        self.written_bytes + self.held as u64
    }

    fn append(&mut self, mut bytes: &[u8], path: &str) -> io::Result<()> {
        let shift = self.memory.as_ptr().align_offset(ALIGN);
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.held));
            let start = shift + self.held;
            self.memory[start..start + now.len()].copy_from_slice(now);
            self.held += now.len();
            bytes = rest;
            let whole = self.held - self.held % ALIGN;
            self.write(whole, path)?;
            self.written_bytes += whole as u64;
            self.memory
                .copy_within(shift + whole..shift + self.held, shift);
            self.held -= whole;
        }
        Ok(())
    }

    /// Writes the first `bytes` of what is held, a multiple of [`ALIGN`].
    fn write(&mut self, bytes: usize, path: &str) -> io::Result<()> {
        let shift = self.memory.as_ptr().align_offset(ALIGN);
        let piece = &self.memory[shift..shift + bytes];
        match self.file.write_all_at(piece, self.written_bytes) {
            // Some file systems find out only now that they can't, or want other alignments.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.file = OpenOptions::new().write(true).open(path)?;
                self.file.write_all_at(piece, self.written_bytes)
            }
            result => result,
        }
    }

    /// Writes what is held, and cuts off what that writes too much.
    fn write_rest(&mut self, path: &str) -> io::Result<()> {
        if self.held == 0 {
            return Ok(());
        }
        let padded = self.held.next_multiple_of(ALIGN);
        let start = self.memory.as_ptr().align_offset(ALIGN) + self.held;
        self.memory[start..start + padded - self.held].fill(0);
        self.write(padded, path)?;
        if padded == self.held {
            return Ok(());
        }
        self.file.set_len(self.length_bytes())
    }
}

impl VolumeFile for WriteOnce {
    fn read_at(&self, _: &mut [u8], _: u64, _: ReadMode) -> Result<usize, DiskError> {
        Err(refusal("read", &self.path, "opened for writing".into()))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let mut end = self.end.lock();
        if offset != end.length_bytes() {
            return Err(refusal("write", &self.path, "not at its end".into()));
        }
        end.append(bytes, &self.path)
            .map_err(|error| io_error("write", &self.path, &error))
    }

    fn start_writeback(&self, _: u64, _: u64) {}

    fn sync_data(&self) -> Result<(), DiskError> {
        let mut end = self.end.lock();
        end.write_rest(&self.path)
            .and_then(|()| end.file.sync_data())
            .map_err(|error| io_error("sync", &self.path, &error))
    }

    fn len_bytes(&self) -> Result<u64, DiskError> {
        Ok(self.end.lock().length_bytes())
    }

    fn truncate(&self, _: u64) -> Result<(), DiskError> {
        Err(refusal("truncate", &self.path, "written once".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(length: usize) -> Vec<u8> {
        let byte = |i: usize| u8::try_from(i * 31 % 251).unwrap();
        (0..length).map(byte).collect()
    }

    /// `None` where the file system of the temporary directory has no `O_DIRECT`.
    fn written(pieces: &[usize], syncs: bool) -> Option<(Vec<u8>, Vec<u8>)> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        let wanted = pattern(pieces.iter().sum());
        let file = WriteOnce::create(&path).unwrap()?;
        let mut at = 0;
        for piece in pieces {
            file.write_at(&wanted[at..at + piece], at as u64).unwrap();
            at += piece;
            if syncs {
                file.sync_data().unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), wanted[..at]);
            }
        }
        file.sync_data().unwrap();
        assert_eq!(file.len_bytes(), Ok(wanted.len() as u64));
        Some((std::fs::read(&path).unwrap(), wanted))
    }

    #[test]
    fn what_is_written_in_any_pieces_is_there_after_the_sync() {
        for pieces in [
            &[][..],
            &[1],
            &[4096],
            &[4095, 2],
            &[PIECE_BYTES],
            &[PIECE_BYTES - 1, 1, 1],
            &[3 * PIECE_BYTES + 12_345, 77],
            &[65_544; 33],
        ] {
            for syncs in [false, true] {
                if let Some((found, wanted)) = written(pieces, syncs) {
                    assert!(found == wanted, "{pieces:?}");
                }
            }
        }
    }

    #[test]
    fn only_at_its_end_is_a_file_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        let Some(file) = WriteOnce::create(&path).unwrap() else {
            return;
        };
        file.write_at(b"begin", 0).unwrap();
        assert!(file.write_at(b"again", 0).is_err());
        assert!(file.write_at(b"gap", 6).is_err());
        let taken = WriteOnce::create(&path).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn every_range_is_read_whether_it_was_cached_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        let bytes = pattern(3 << 20);
        std::fs::write(&path, &bytes).unwrap();
        let synced = File::open(&path).unwrap();
        synced.sync_all().unwrap();
        for is_cached in [true, false] {
            if !is_cached {
                advise(&synced, 0, 0, libc::POSIX_FADV_DONTNEED);
            }
            let file = ReadOnce::open(&path).unwrap();
            for (offset, length) in [(0, 65_544), (65_544, 1 << 20), (5000, 3 << 20)] {
                let mut got = vec![0; length];
                let read = file
                    .read_at(&mut got, offset as u64, ReadMode::MayBlock)
                    .unwrap();
                let wanted = &bytes[offset..bytes.len().min(offset + length)];
                assert!(&got[..read] == wanted, "{is_cached} {offset} {length}");
            }
        }
    }
}
