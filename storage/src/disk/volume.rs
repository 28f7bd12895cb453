//! The narrow ground under a disk: files and directories of one directory tree.
//!
//! Paths are relative to the volume's root, parts joined by `/`; the root itself is the empty path. All that a disk asks
//! of its file system goes through [`Volume`], so that tests can put one there that crashes, tears and lies.
//!
//! Invariants:
//! - Bytes survive power loss after [`VolumeFile::sync_data`], names after [`Volume::sync_dir`] of their directory;
//!   neither implies the other.
//! - Nothing here retries a failed write or sync.

mod direct;
#[cfg(any(test, feature = "testing"))]
pub mod fault;
pub(super) mod local;
#[cfg(any(test, feature = "testing"))]
pub(super) mod memory;
mod once;
mod only_read;
pub(super) mod patient;
pub(super) mod watched;

use std::{fmt::Debug, io, path::Path, sync::Arc};

use super::{DiskError, ReadAt, ReadMode, Space};

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name, without its directory. Names that are not UTF-8 are listed lossily.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A held lock on a whole volume; dropping it releases the volume.
pub trait VolumeLock: Send + Sync + Debug {}

/// A directory tree of plain files.
pub trait Volume: Send + Sync + Debug {
    /// Where it is, for people.
    fn location(&self) -> String;
    /// Creates an empty file for reading and writing. The name is durable after [`Volume::sync_dir`].
    ///
    /// # Errors
    /// [`DiskError::Io`], also where the name is taken; [`DiskError::Full`].
    fn create(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError>;
    /// Opens a file for reading and for syncing. Writing may be refused.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::Io`].
    fn open(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError>;
    /// As [`Volume::open`], for reading what nobody will read again soon: goes to the device and leaves the page cache as it is, where the
    /// file system allows it. Mode [`ReadMode::CachedOnly`] makes no sense of such a file.
    ///
    /// # Errors
    /// As [`Volume::open`].
    fn open_uncached(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        self.open(path)
    }
    /// As [`Volume::open`], for reading from front to back what nobody will read again soon: the system reads ahead, and what that brings
    /// into the page cache is dropped again. [`ReadMode::CachedOnly`] makes no sense of such a file.
    ///
    /// # Errors
    /// As [`Volume::open`].
    fn open_once(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        self.open(path)
    }
    /// As [`Volume::create`], for writing from front to back what nobody will read soon: goes past the page cache, where the file system
    /// allows it. All of it is in the file only after [`VolumeFile::sync_data`]; until then it is not to be read, cut, or opened again.
    ///
    /// # Errors
    /// As [`Volume::create`].
    fn create_once(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        self.create(path)
    }
    /// Creates a directory whose parent exists; true if it was not there. Durable after [`Volume::sync_dir`] of the parent.
    ///
    /// # Errors
    /// [`DiskError::Io`], [`DiskError::Full`].
    fn create_dir(&self, path: &str) -> Result<bool, DiskError>;
    /// The entries of a directory, unordered.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::Io`].
    fn list(&self, dir: &str) -> Result<Vec<Listed>, DiskError>;
    /// Removes a file. Those who have it open keep it. Durable after [`Volume::sync_dir`].
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::Io`].
    fn remove(&self, path: &str) -> Result<(), DiskError>;
    /// Syncs the file `from`, gives it the name `to` in the same directory (replacing what was there, atomically) and
    /// syncs the directory. On `Ok` it survives power loss; on an error either file may be at `to`.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::Io`], [`DiskError::Full`].
    fn rename_durable(&self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Makes the names in a directory durable: creations, removals.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn sync_dir(&self, dir: &str) -> Result<(), DiskError>;
    /// Space of the file system.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn space(&self) -> Result<Space, DiskError>;
    /// Takes the volume for this process alone. Writes nothing to it.
    ///
    /// # Errors
    /// [`DiskError::Io`] with errno `EWOULDBLOCK` where another holds it.
    fn lock(&self) -> Result<Box<dyn VolumeLock>, DiskError>;
}

/// An open file of a [`Volume`].
pub trait VolumeFile: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes from `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// [`DiskError::NotCached`] in mode `CachedOnly`, [`DiskError::Io`].
    fn read_at(&self, buf: &mut [u8], offset: u64, mode: ReadMode) -> Result<usize, DiskError>;
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// [`DiskError::Full`], [`DiskError::Io`]; any part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError>;
    /// Asks the system to start writing a range back, without waiting. A hint.
    fn start_writeback(&self, offset: u64, bytes: u64);
    /// Makes the file's bytes and length durable, not its name.
    ///
    /// # Errors
    /// [`DiskError::Io`]: what was written since the last sync may be lost, and asking again proves nothing.
    fn sync_data(&self) -> Result<(), DiskError>;
    /// Length in bytes.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn len_bytes(&self) -> Result<u64, DiskError>;
    /// Cuts or extends (with zeros) the file.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn truncate(&self, len_bytes: u64) -> Result<(), DiskError>;
}

/// A file of a volume as a reader of whole ranges.
#[derive(Debug)]
pub(super) struct FileReader(pub Arc<dyn VolumeFile>);

impl ReadAt for FileReader {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64, mode: ReadMode) -> Result<(), DiskError> {
        let read = self.0.read_at(buf, offset, mode)?;
        if read == buf.len() {
            return Ok(());
        }
        Err(DiskError::ShortRead {
            end_bytes: offset.saturating_add(read as u64),
        })
    }
}

/// Reads a small file whole; `limit_bytes` bounds what a damaged volume can make us allocate.
///
/// # Errors
/// [`DiskError::NotFound`], [`DiskError::Io`] (also where the file is longer than the limit).
pub(super) fn read_file(
    volume: &dyn Volume,
    path: &str,
    limit_bytes: u64,
) -> Result<Vec<u8>, DiskError> {
    let file = volume.open(path)?;
    let length = file.len_bytes()?;
    if length > limit_bytes {
        return Err(refusal(
            "read",
            path,
            format!("{length} bytes, expected {limit_bytes} at most"),
        ));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let read = file.read_at(&mut bytes, 0, ReadMode::MayBlock)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Puts `bytes` at `path`, atomically and durably, by way of `path` + `.tmp`.
///
/// # Errors
/// As [`Volume::rename_durable`]; the old content may still be there, whole.
pub(super) fn replace_file(volume: &dyn Volume, path: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let temporary = format!("{path}.tmp");
    match volume.remove(&temporary) {
        Ok(()) | Err(DiskError::NotFound) => {}
        Err(error) => return Err(error),
    }
    volume.create(&temporary)?.write_at(bytes, 0)?;
    volume.rename_durable(&temporary, path)
}

/// Creates a directory and makes its name durable, unless it is there.
pub(super) fn ensure_dir(volume: &dyn Volume, path: &str) -> Result<(), DiskError> {
    if volume.create_dir(path)? {
        volume.sync_dir(parent(path))?;
    }
    Ok(())
}

/// The directory part of a path; empty for a name in the root.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// What the operating system said, as a [`DiskError`].
pub(super) fn io_error(operation: &'static str, path: &str, error: &io::Error) -> DiskError {
    match error.raw_os_error() {
        Some(libc::ENOENT) => DiskError::NotFound,
        Some(libc::ENOSPC | libc::EDQUOT) => DiskError::Full,
        errno => DiskError::Io {
            operation,
            path: path.to_owned(),
            message: error.to_string(),
            errno: errno.unwrap_or(0),
        },
    }
}

/// An error of ours in the shape of one of the system's.
pub(super) fn refusal(operation: &'static str, path: &str, message: String) -> DiskError {
    DiskError::Io {
        operation,
        path: path.to_owned(),
        message,
        errno: 0,
    }
}

/// Renames within one directory so that it survives power loss: syncs the file, renames, syncs the directory.
///
/// # Errors
/// The system's; either file may be at `to` then.
pub fn durable_rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::File::open(from)?.sync_all()?;
    rename(from, to)?;
    let directory = to.parent().unwrap_or_else(|| Path::new("."));
    std::fs::File::open(directory)?.sync_all()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that renames, between two syncs"
)]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}
