//! A volume on the real file system.
//!
//! Invariant: a read in mode [`ReadMode::CachedOnly`] never waits for the device. Where the file system can't promise that,
//! the answer is [`DiskError::NotCached`], and the caller reads again from a thread that may block.
#![expect(
    unsafe_code,
    reason = "preadv2, statvfs, posix_fadvise and sync_file_range have no safe wrapper in std"
)]

use std::{
    fs::{self, File, OpenOptions},
    io,
    mem::MaybeUninit,
    os::{fd::AsRawFd, unix::ffi::OsStrExt, unix::fs::FileExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    DiskError, Listed, ReadMode, Space, Volume, VolumeFile, VolumeLock,
    direct::Direct,
    durable_rename, io_error,
    once::{ReadOnce, WriteOnce},
};

/// A directory of the machine.
#[derive(Debug)]
pub struct LocalVolume {
    root: PathBuf,
    /// Whether `RWF_NOWAIT` works here, until the file system says that it does not.
    nowait: Arc<AtomicBool>,
    /// Whether `O_DIRECT` works here, until the file system says that it does not.
    direct: Arc<AtomicBool>,
}

impl LocalVolume {
    /// The volume at `root`. Nothing is touched or checked yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            nowait: Arc::new(AtomicBool::new(true)),
            direct: Arc::new(AtomicBool::new(true)),
        }
    }

    fn resolve(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            self.root.clone()
        } else {
            self.root.join(path)
        }
    }

    fn open_with(
        &self,
        operation: &'static str,
        path: &str,
        options: &OpenOptions,
    ) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let path = self.resolve(path);
        let file = options.open(&path).map_err(failed(operation, &path))?;
        let path = path.display().to_string();
        Ok(Arc::new(LocalFile {
            file,
            path,
            nowait: Arc::clone(&self.nowait),
        }))
    }
}

fn failed(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> DiskError {
    move |error| io_error(operation, &path.display().to_string(), &error)
}

impl Volume for LocalVolume {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn create(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        self.open_with(
            "create",
            path,
            OpenOptions::new().read(true).write(true).create_new(true),
        )
    }

    fn open(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        self.open_with("open", path, OpenOptions::new().read(true))
    }

    fn open_uncached(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let path = self.resolve(path);
        let file = Direct::open(&path, &self.direct).map_err(failed("open", &path))?;
        Ok(Arc::new(file))
    }

    fn open_once(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let path = self.resolve(path);
        let file = ReadOnce::open(&path).map_err(failed("open", &path))?;
        Ok(Arc::new(file))
    }

    fn create_once(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let full = self.resolve(path);
        match WriteOnce::create(&full).map_err(failed("create", &full))? {
            Some(file) => Ok(Arc::new(file)),
            None => self.create(path),
        }
    }

    fn create_dir(&self, path: &str) -> Result<bool, DiskError> {
        let path = self.resolve(path);
        match fs::create_dir(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed("create directory", &path)(error)),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<Listed>, DiskError> {
        let path = self.resolve(dir);
        let entries = fs::read_dir(&path).map_err(failed("list", &path))?;
        entries
            .map(|entry| {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                Ok(Listed {
                    name,
                    is_dir: entry.file_type()?.is_dir(),
                })
            })
            .collect::<io::Result<_>>()
            .map_err(failed("list", &path))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let path = self.resolve(path);
        fs::remove_file(&path).map_err(failed("remove", &path))
    }

    fn rename_durable(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let to = self.resolve(to);
        durable_rename(&self.resolve(from), &to).map_err(failed("rename to", &to))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        let path = self.resolve(dir);
        File::open(&path)
            .and_then(|d| d.sync_all())
            .map_err(failed("sync directory", &path))
    }

    fn space(&self) -> Result<Space, DiskError> {
        file_system_space(&self.root).map_err(failed("statvfs", &self.root))
    }

    fn lock(&self) -> Result<Box<dyn VolumeLock>, DiskError> {
        // The directory itself is locked: no lock file, so that a directory that is refused stays untouched.
        let directory = File::open(&self.root).map_err(failed("open", &self.root))?;
        match directory.try_lock() {
            Ok(()) => Ok(Box::new(LocalLock {
                _directory: directory,
            })),
            Err(fs::TryLockError::WouldBlock) => Err(failed("lock", &self.root)(
                io::Error::from_raw_os_error(libc::EWOULDBLOCK),
            )),
            Err(fs::TryLockError::Error(error)) => Err(failed("lock", &self.root)(error)),
        }
    }
}

/// `flock` on the directory, released by the kernel when the handle is closed.
#[derive(Debug)]
struct LocalLock {
    _directory: File,
}

impl VolumeLock for LocalLock {}

fn file_system_space(path: &Path) -> io::Result<Space> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` is a NUL-terminated string and `stat` has room for the result; both outlive the call.
    if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statvfs returned 0, so it has filled `stat`.
    let stat = unsafe { stat.assume_init() };
    Ok(Space {
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

#[derive(Debug)]
struct LocalFile {
    file: File,
    path: String,
    nowait: Arc<AtomicBool>,
}

impl LocalFile {
    fn error(&self, operation: &'static str) -> impl Fn(io::Error) -> DiskError {
        move |error| io_error(operation, &self.path, &error)
    }

    fn read_once(&self, buf: &mut [u8], offset: u64, mode: ReadMode) -> Result<usize, DiskError> {
        let result = match mode {
            ReadMode::MayBlock => self.file.read_at(buf, offset),
            ReadMode::CachedOnly if !self.nowait.load(Ordering::Relaxed) => {
                return Err(DiskError::NotCached);
            }
            ReadMode::CachedOnly => read_nowait(&self.file, buf, offset),
        };
        result.map_err(|error| self.read_error(mode, &error))
    }

    fn read_error(&self, mode: ReadMode, error: &io::Error) -> DiskError {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => DiskError::NotCached,
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)
                if mode == ReadMode::CachedOnly =>
            {
                // Asking each time would cost a system call for nothing.
                self.nowait.store(false, Ordering::Relaxed);
                DiskError::NotCached
            }
            _ => io_error("read", &self.path, error),
        }
    }
}

impl VolumeFile for LocalFile {
    fn read_at(&self, buf: &mut [u8], offset: u64, mode: ReadMode) -> Result<usize, DiskError> {
        let mut filled = 0;
        while filled < buf.len() {
            let rest = buf.get_mut(filled..).unwrap_or_default();
            match self.read_once(rest, offset + filled as u64, mode) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(DiskError::Io {
                    errno: libc::EINTR, ..
                }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(self.error("write"))
    }

    fn start_writeback(&self, offset: u64, bytes: u64) {
        let (Ok(offset), Ok(bytes)) = (offset.try_into(), bytes.try_into()) else {
            return;
        };
        let flags = libc::SYNC_FILE_RANGE_WRITE;
        // SAFETY: the descriptor is open for as long as `self.file` lives; no memory is passed.
        let _ = unsafe { libc::sync_file_range(self.file.as_raw_fd(), offset, bytes, flags) };
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(self.error("sync"))
    }

    fn len_bytes(&self) -> Result<u64, DiskError> {
        Ok(self.file.metadata().map_err(self.error("stat"))?.len())
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), DiskError> {
        self.file.set_len(len_bytes).map_err(self.error("truncate"))
    }
}

/// Tells the system how a range of a file (to its end where `bytes` is 0) is used. A hint.
pub(super) fn advise(file: &File, offset: u64, bytes: u64, advice: libc::c_int) {
    let (Ok(offset), Ok(bytes)) = (offset.try_into(), bytes.try_into()) else {
        return;
    };
    // SAFETY: the descriptor is open for as long as `file` lives; no memory is passed.
    let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), offset, bytes, advice) };
}

/// One `preadv2` with `RWF_NOWAIT`: what is in the page cache, or `EAGAIN`.
pub(super) fn read_nowait(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let offset = offset
        .try_into()
        .map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    let vector = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    // SAFETY: `vector` describes `buf`, which is borrowed mutably for the whole call; the descriptor is open.
    let read = unsafe {
        libc::preadv2(
            file.as_raw_fd(),
            &raw const vector,
            1,
            offset,
            libc::RWF_NOWAIT,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_system_without_nowait_is_asked_once() {
        let directory = tempfile::tempdir().unwrap();
        let volume = LocalVolume::new(directory.path());
        let file = volume.create("f").unwrap();
        file.write_at(b"bytes", 0).unwrap();
        let mut buffer = [0; 5];
        match file.read_at(&mut buffer, 0, ReadMode::CachedOnly) {
            Ok(read) => assert_eq!((read, &buffer), (5, b"bytes")),
            Err(error) => assert_eq!(error, DiskError::NotCached),
        }
        volume.nowait.store(false, Ordering::Relaxed);
        let refused = file.read_at(&mut buffer, 0, ReadMode::CachedOnly);
        assert_eq!(refused, Err(DiskError::NotCached));
        assert_eq!(file.read_at(&mut buffer, 0, ReadMode::MayBlock), Ok(5));
    }

    #[test]
    fn errors_of_a_file_system_without_nowait_mean_not_cached() {
        let volume = LocalVolume::new("/");
        let nowait = Arc::clone(&volume.nowait);
        let file = File::open("/dev/null").unwrap();
        let file = LocalFile {
            file,
            path: "/dev/null".to_owned(),
            nowait: Arc::clone(&nowait),
        };
        let unsupported = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        let would_block = io::Error::from_raw_os_error(libc::EAGAIN);
        assert_eq!(
            file.read_error(ReadMode::CachedOnly, &would_block),
            DiskError::NotCached
        );
        assert!(nowait.load(Ordering::Relaxed), "that was an answer");
        assert_eq!(
            file.read_error(ReadMode::CachedOnly, &unsupported),
            DiskError::NotCached
        );
        assert!(!nowait.load(Ordering::Relaxed));
        let error = file.read_error(ReadMode::MayBlock, &unsupported);
        assert!(matches!(error, DiskError::Io { .. }), "{error}");
    }
}
