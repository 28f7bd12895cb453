//! Extents: shards too large for the log, one file each.
//!
//! `extents/<fan-out>/<blob id>.<shard index>`: blob id as 16, shard index as 2 lower-case hex digits. The fan-out is the second
//! lowest byte of the blob id, so that blobs written one after the other share a directory and its sync.
//!
//! Invariants:
//! - A file here means nothing until a durable commit names it: one that no commit names is garbage of a crash.
//! - [`ExtentWriter::finish`] returns `Ok` only after the bytes, the name and the names of its directories are synced.

use std::{collections::HashMap, sync::Arc};

use parking_lot::{Condvar, Mutex};

use super::{
    BlobId, DiskError, ExtentWriter, ReadAt,
    status::Status,
    volume::{FileReader, Volume, VolumeFile, ensure_dir, parent},
};
use crate::mutation::{self, Mutation};

/// Directory of the extents within a volume.
pub(super) const EXTENTS_DIR: &str = "extents";
/// Written bytes after which the system is asked to start writing back, so that the sync at the end has little left to do.
const WRITEBACK_BYTES: u64 = 4 << 20;

/// The file of an extent, relative to the volume.
pub fn extent_path(blob: BlobId, shard_index: u8) -> String {
    format!(
        "{EXTENTS_DIR}/{:02x}/{:016x}.{shard_index:02x}",
        fan_out(blob),
        blob.0
    )
}

/// Where an extent is written that replaces the one at `path`.
fn temporary(path: &str) -> String {
    format!("{path}.tmp")
}

/// The directory number of a blob's extents.
fn fan_out(blob: BlobId) -> u8 {
    blob.0.to_le_bytes()[1]
}

/// The extent that a path in a fan-out directory names, if it is in its right place.
fn parse_extent_name(directory: &str, name: &str) -> Option<(BlobId, u8)> {
    let (blob, shard_index) = name.split_once('.')?;
    let blob = BlobId(u64::from_str_radix(blob, 16).ok()?);
    let shard_index = u8::from_str_radix(shard_index, 16).ok()?;
    let path = format!("{EXTENTS_DIR}/{directory}/{name}");
    (extent_path(blob, shard_index) == path).then_some((blob, shard_index))
}

/// The extents of one disk.
#[derive(Debug)]
pub(super) struct Extents {
    volume: Arc<dyn Volume>,
    status: Arc<Status>,
    directories: Mutex<HashMap<u8, Arc<SharedSync>>>,
}

impl Extents {
    pub(super) fn new(volume: Arc<dyn Volume>, status: Arc<Status>) -> Self {
        Self {
            volume,
            status,
            directories: Mutex::default(),
        }
    }

    pub(super) fn create(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Box<dyn ExtentWriter>, DiskError> {
        self.status.check_room()?;
        let path = extent_path(blob, shard_index);
        let file = || self.volume.create(&path);
        self.start(blob, &path, None, file)
    }

    /// As [`Self::create`], for an extent that nobody will read soon.
    pub(super) fn create_once(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Box<dyn ExtentWriter>, DiskError> {
        self.status.check_room()?;
        let path = extent_path(blob, shard_index);
        let file = || self.volume.create_once(&path);
        self.start(blob, &path, None, file)
    }

    /// As [`Self::create_once`], for an extent that may be there: until the new one is finished it stays what it was, and those who have
    /// it open keep it.
    pub(super) fn replace(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Box<dyn ExtentWriter>, DiskError> {
        self.status.check_room()?;
        let path = extent_path(blob, shard_index);
        let temporary = temporary(&path);
        self.remove_file(&temporary)?;
        let file = || self.volume.create_once(&temporary);
        self.start(blob, &temporary, Some(path), file)
    }

    fn start(
        &self,
        blob: BlobId,
        path: &str,
        replaces: Option<String>,
        create: impl FnOnce() -> Result<Arc<dyn VolumeFile>, DiskError>,
    ) -> Result<Box<dyn ExtentWriter>, DiskError> {
        let directory = self.directory(fan_out(blob))?;
        let file = create()?;
        Ok(Box::new(Writer {
            volume: Arc::clone(&self.volume),
            status: Arc::clone(&self.status),
            directory,
            path: path.to_owned(),
            replaces,
            file,
            length_bytes: 0,
            written_back_bytes: 0,
            finished: false,
        }))
    }

    pub(super) fn open(&self, blob: BlobId, shard_index: u8) -> Result<Arc<dyn ReadAt>, DiskError> {
        self.status.check()?;
        Ok(Arc::new(FileReader(
            self.volume.open(&extent_path(blob, shard_index))?,
        )))
    }

    pub(super) fn open_uncached(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Arc<dyn ReadAt>, DiskError> {
        self.status.check()?;
        let path = extent_path(blob, shard_index);
        Ok(Arc::new(FileReader(self.volume.open_uncached(&path)?)))
    }

    pub(super) fn open_once(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Arc<dyn ReadAt>, DiskError> {
        self.status.check()?;
        let path = extent_path(blob, shard_index);
        Ok(Arc::new(FileReader(self.volume.open_once(&path)?)))
    }

    pub(super) fn remove(&self, blob: BlobId, shard_index: u8) -> Result<(), DiskError> {
        self.status.check()?;
        let path = extent_path(blob, shard_index);
        self.remove_file(&path)?;
        // What a crash left of a replacement goes with what it was to replace.
        self.remove_file(&temporary(&path))
    }

    fn remove_file(&self, path: &str) -> Result<(), DiskError> {
        match self.volume.remove(path) {
            Ok(()) | Err(DiskError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn list(&self) -> Result<Vec<(BlobId, u8)>, DiskError> {
        let mut found = Vec::new();
        for directory in self.volume.list(EXTENTS_DIR)? {
            if directory.is_dir {
                found.extend(self.list_directory(&directory.name)?);
            }
        }
        Ok(found)
    }

    /// The extents of one fan-out directory, which need not be there.
    pub(super) fn list_in(&self, fan_out: u8) -> Result<Vec<(BlobId, u8)>, DiskError> {
        match self.list_directory(&format!("{fan_out:02x}")) {
            Err(DiskError::NotFound) => Ok(Vec::new()),
            listed => listed,
        }
    }

    fn list_directory(&self, directory: &str) -> Result<Vec<(BlobId, u8)>, DiskError> {
        let files = self.volume.list(&format!("{EXTENTS_DIR}/{directory}"))?;
        let parse = |file: &super::Listed| parse_extent_name(directory, &file.name);
        Ok(files.iter().filter_map(parse).collect())
    }

    /// The fan-out directory, created and synced when it is first used.
    fn directory(&self, fan_out: u8) -> Result<Arc<SharedSync>, DiskError> {
        let mut directories = self.directories.lock();
        if let Some(directory) = directories.get(&fan_out) {
            return Ok(Arc::clone(directory));
        }
        // Under the lock: nobody may take the directory for durable before its name is. Happens 256 times at most.
        ensure_dir(&*self.volume, &format!("{EXTENTS_DIR}/{fan_out:02x}"))?;
        let directory = Arc::new(SharedSync::default());
        directories.insert(fan_out, Arc::clone(&directory));
        Ok(directory)
    }
}

#[derive(Debug)]
struct Writer {
    volume: Arc<dyn Volume>,
    status: Arc<Status>,
    directory: Arc<SharedSync>,
    path: String,
    /// The name that the file gets in the end, if it is another one.
    replaces: Option<String>,
    file: Arc<dyn VolumeFile>,
    length_bytes: u64,
    written_back_bytes: u64,
    finished: bool,
}

impl Writer {
    /// A failed write or sync takes the disk out; lack of space only this extent.
    fn judge(&self, error: DiskError) -> DiskError {
        match error {
            DiskError::Full => DiskError::Full,
            other => self.status.fail(&other),
        }
    }

    fn sync(&self) -> Result<(), DiskError> {
        if let Some(path) = &self.replaces {
            // What is written once is all in the file only now.
            self.file.sync_data()?;
            return self.volume.rename_durable(&self.path, path);
        }
        if !mutation::is_active(Mutation::SkipExtentSync) {
            self.file.sync_data()?;
        }
        if mutation::is_active(Mutation::SkipExtentNameSync) {
            return Ok(());
        }
        self.directory
            .sync(|| self.volume.sync_dir(parent(&self.path)))
    }
}

impl ExtentWriter for Writer {
    fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.status.check_room()?;
        self.file
            .write_at(bytes, self.length_bytes)
            .map_err(|error| self.judge(error))?;
        self.length_bytes += bytes.len() as u64;
        let fresh = self.length_bytes - self.written_back_bytes;
        if fresh >= WRITEBACK_BYTES {
            self.file.start_writeback(self.written_back_bytes, fresh);
            self.written_back_bytes = self.length_bytes;
        }
        self.status.wrote(bytes.len() as u64);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), DiskError> {
        self.status.check()?;
        self.sync().map_err(|error| self.judge(error))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Err(error) = self.volume.remove(&self.path) {
            tracing::warn!(path = %self.path, %error, "unfinished extent left behind");
        }
    }
}

/// One sync for all who ask for it at about the same time: whoever asks while one runs is served by the next one.
#[derive(Debug, Default)]
struct SharedSync {
    turns: Mutex<Turns>,
    turned: Condvar,
}

#[derive(Debug, Default)]
struct Turns {
    /// Syncs that were started.
    started: u64,
    running: bool,
    /// Of the last sync that ended: its number and outcome.
    ended: u64,
    failure: Option<DiskError>,
}

impl SharedSync {
    /// Returns after a sync that started after this call.
    fn sync(&self, sync: impl Fn() -> Result<(), DiskError>) -> Result<(), DiskError> {
        let mut turns = self.turns.lock();
        let wanted = turns.started + 1;
        while turns.ended < wanted {
            if turns.running {
                self.turned.wait(&mut turns);
                continue;
            }
            turns.running = true;
            turns.started += 1;
            let number = turns.started;
            let result = parking_lot::MutexGuard::unlocked(&mut turns, &sync);
            turns.running = false;
            turns.ended = number;
            // A failure stays: who waited for this turn must hear of it, and the disk is out anyway.
            turns.failure = turns.failure.take().or(result.err());
            self.turned.notify_all();
        }
        turns.failure.clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests;
