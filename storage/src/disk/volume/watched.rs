//! A volume whose operations are entered in an [`InFlight`] while they run, and refused once the disk is given up.
//!
//! Reads of what is in the page cache never wait and are not entered.

use std::sync::Arc;

use super::{DiskError, Listed, ReadMode, Space, Volume, VolumeFile, VolumeLock};
use crate::disk::inflight::InFlight;

/// Passes everything through.
#[derive(Debug)]
pub(in crate::disk) struct WatchedVolume {
    inner: Arc<dyn Volume>,
    flight: Arc<InFlight>,
}

impl WatchedVolume {
    pub(in crate::disk) fn new(inner: Arc<dyn Volume>, flight: Arc<InFlight>) -> Self {
        Self { inner, flight }
    }

    fn wrap(&self, file: Arc<dyn VolumeFile>) -> Arc<dyn VolumeFile> {
        Arc::new(WatchedFile {
            inner: file,
            flight: Arc::clone(&self.flight),
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Volume for WatchedVolume {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let created = self.flight.run("create", || self.inner.create(path));
        Ok(self.wrap(created?))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let opened = self.flight.run("open", || self.inner.open(path));
        Ok(self.wrap(opened?))
    }

    fn open_uncached(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let opened = self.flight.run("open", || self.inner.open_uncached(path));
        Ok(self.wrap(opened?))
    }

    fn open_once(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let opened = self.flight.run("open", || self.inner.open_once(path));
        Ok(self.wrap(opened?))
    }

    fn create_once(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let created = self.flight.run("create", || self.inner.create_once(path));
        Ok(self.wrap(created?))
    }

    fn create_dir(&self, path: &str) -> Result<bool, DiskError> {
        self.flight
            .run("create directory", || self.inner.create_dir(path))
    }

    fn list(&self, dir: &str) -> Result<Vec<Listed>, DiskError> {
        self.flight.run("list", || self.inner.list(dir))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.flight.run("remove", || self.inner.remove(path))
    }

    fn rename_durable(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.flight
            .run("rename", || self.inner.rename_durable(from, to))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        self.flight
            .run("sync directory", || self.inner.sync_dir(dir))
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.flight.run("statvfs", || self.inner.space())
    }

    fn lock(&self) -> Result<Box<dyn VolumeLock>, DiskError> {
        self.inner.lock()
    }
}

#[derive(Debug)]
struct WatchedFile {
    inner: Arc<dyn VolumeFile>,
    flight: Arc<InFlight>,
}

#[deny(clippy::missing_trait_methods)]
impl VolumeFile for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64, mode: ReadMode) -> Result<usize, DiskError> {
        match mode {
            ReadMode::CachedOnly => self.inner.read_at(buf, offset, mode),
            ReadMode::MayBlock => self
                .flight
                .run("read", || self.inner.read_at(buf, offset, mode)),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.flight
            .run("write", || self.inner.write_at(bytes, offset))
    }

    fn start_writeback(&self, offset: u64, bytes: u64) {
        let start = || {
            self.inner.start_writeback(offset, bytes);
            Ok(())
        };
        // A hint: what it would say, the next operation says.
        drop(self.flight.run("write back", start));
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.flight.run("sync", || self.inner.sync_data())
    }

    fn len_bytes(&self) -> Result<u64, DiskError> {
        self.flight.run("stat", || self.inner.len_bytes())
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), DiskError> {
        self.flight
            .run("truncate", || self.inner.truncate(len_bytes))
    }
}
