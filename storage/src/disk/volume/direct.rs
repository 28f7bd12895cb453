//! Reading past the page cache: what a scrub verifies is what the device has, and what clients have cached stays cached.
//!
//! `O_DIRECT` where the file system takes it. Elsewhere what had to come from the device is dropped from the page cache again, and what was
//! cached already is read from there: then it is the cache that is verified.
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use super::{
    local::{advise, read_nowait},
    only_read::{OnlyRead, Reading},
};

/// Offsets, lengths and memory of direct reads and writes are multiples of this: the largest sector in use.
pub(super) const ALIGN: usize = 4096;
/// Bytes of one direct read or write at most.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// Reads past the page cache.
#[derive(Debug)]
pub(super) struct Direct {
    /// The aligned memory that direct reads go to; `None` where the file was opened for the page cache.
    bounce: Option<Mutex<Vec<u8>>>,
}

impl Direct {
    /// Opens a file. `direct` says whether the file system takes `O_DIRECT`, and is told if it does not.
    pub(super) fn open(path: &Path, direct: &AtomicBool) -> io::Result<OnlyRead<Self>> {
        let mut options = OpenOptions::new();
        options.read(true);
        if direct.load(Ordering::Relaxed) {
            match options.clone().custom_flags(libc::O_DIRECT).open(path) {
                Ok(file) => {
                    let bounce = Some(Mutex::default());
                    return Ok(OnlyRead::new(file, path, Self { bounce }));
                }
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    direct.store(false, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
        let file = options.open(path)?;
        Ok(OnlyRead::new(file, path, Self { bounce: None }))
    }
}

impl Reading for Direct {
    fn read(&self, file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let rest = buf.get_mut(filled..).unwrap_or_default();
            let at = offset + filled as u64;
            let read = match &self.bounce {
                Some(bounce) => read_piece(file, rest, at, &mut bounce.lock()),
                None => read_and_drop(file, rest, at),
            };
            match read? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }
}

/// Reads up to a piece; short only at the end of the file.
fn read_piece(file: &File, buf: &mut [u8], offset: u64, bounce: &mut Vec<u8>) -> io::Result<usize> {
    bounce.resize(PIECE_BYTES + 2 * ALIGN, 0);
    let shift = bounce.as_ptr().align_offset(ALIGN);
    let skip = usize::try_from(offset % ALIGN as u64).unwrap_or(0);
    let wanted = (skip + buf.len()).next_multiple_of(ALIGN).min(PIECE_BYTES);
    let area = bounce.get_mut(shift..shift + wanted).unwrap_or_default();
    let read = read_some(file, area, offset - skip as u64)?;
    let bytes = area.get(skip..read).unwrap_or_default();
    let taken = bytes.len().min(buf.len());
    buf[..taken].copy_from_slice(&bytes[..taken]);
    Ok(taken)
}

/// Reads by way of the page cache and drops what was not in it before.
fn read_and_drop(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    if let Ok(read) = read_nowait(file, buf, offset)
        && read == buf.len()
    {
        return Ok(read);
    }
    let read = read_some(file, buf, offset)?;
    advise(file, offset, read as u64, libc::POSIX_FADV_DONTNEED);
    Ok(read)
}

/// Fills `buf` as far as the file goes.
pub(super) fn read_some(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Behind the end of a file whose length is no multiple of a sector.
            Err(error) if filled > 0 && error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{ReadMode, volume::VolumeFile};

    fn pattern(length: usize) -> Vec<u8> {
        let byte = |i: usize| u8::try_from(i * 31 % 251).unwrap();
        (0..length).map(byte).collect()
    }

    #[test]
    fn every_range_is_what_was_written_with_and_without_the_page_cache() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        let bytes = pattern(2 * PIECE_BYTES + 12_345);
        std::fs::write(&path, &bytes).unwrap();
        for may_be_direct in [true, false] {
            let file = Direct::open(&path, &AtomicBool::new(may_be_direct)).unwrap();
            for (offset, length) in [
                (0, 1),
                (0, bytes.len()),
                (4095, 2),
                (4096, 4096),
                (17, PIECE_BYTES + 1),
                (PIECE_BYTES - 5, 10),
                (bytes.len() - 1, 1),
                (bytes.len() - 5000, 9000),
                (bytes.len(), 10),
                (bytes.len() + 5000, 10),
            ] {
                let mut got = vec![0; length];
                let read = file
                    .read_at(&mut got, offset as u64, ReadMode::MayBlock)
                    .unwrap();
                let wanted = bytes.get(offset..).unwrap_or_default();
                let wanted = &wanted[..wanted.len().min(length)];
                assert_eq!(&got[..read], wanted, "{may_be_direct} {offset} {length}");
            }
        }
    }

    #[test]
    fn a_file_that_is_not_there_says_nothing_about_the_file_system() {
        let directory = tempfile::tempdir().unwrap();
        let direct = AtomicBool::new(true);
        let error = Direct::open(&directory.path().join("f"), &direct).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(direct.load(Ordering::Relaxed));
    }
}
