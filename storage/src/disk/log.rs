//! A disk on a volume: log, extents, health.
//!
//! Lock order: the writer's work, then the queue, then the segment table, then the status; the extents' locks stand alone.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    Address, BlobId, Completion, Disk, DiskError, DiskNo, ExtentWriter, FRAME_HEADER_BYTES, Frame,
    Health, Inspected, ReadAt, ScanEnd, ScannedFrame, SegmentInfo, Seq, Space,
    extents::{EXTENTS_DIR, Extents},
    floor::Floor,
    frame::frame_bytes,
    inflight::InFlight,
    options::DiskOptions,
    queue::{Owner, Queue},
    scan::{inspect, scan},
    segment::{LOG_DIR, segment_path, segment_salt},
    segments::Segments,
    status::Status,
    volume::{FileReader, Volume, VolumeLock, ensure_dir, refusal, watched::WatchedVolume},
    writer::Writer,
};
use crate::clock::Clock;

/// What a [`LogDisk`] is made of.
#[derive(Clone, Debug)]
pub struct LogDiskConfig {
    /// The volume it lives on.
    pub volume: Arc<dyn Volume>,
    /// The cluster's id, in each segment header.
    pub cluster_id: u128,
    /// Its number.
    pub number: DiskNo,
    /// Its own id: salts the checks of its frames.
    pub disk_id: u128,
    /// Settings.
    pub options: DiskOptions,
    /// Paces looks at the free space.
    pub clock: Arc<dyn Clock>,
}

/// A disk whose segments and extents are files of a [`Volume`].
///
/// Pending frames are not bounded here: callers look at [`Disk::pending_bytes`] before they append and hold back (or refuse) when
/// it is more than they like; 64 MiB is plenty.
#[derive(Debug)]
pub struct LogDisk {
    number: DiskNo,
    disk_id: u128,
    volume: Arc<dyn Volume>,
    flight: Arc<InFlight>,
    status: Arc<Status>,
    segments: Arc<Segments>,
    writer: Arc<Writer>,
    extents: Extents,
    floor: Mutex<Floor>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Keeps other processes off the volume.
    lock: Mutex<Option<Box<dyn VolumeLock>>>,
}

impl LogDisk {
    /// Opens the disk with a writer thread of its own. Nothing is appended to old segments.
    ///
    /// # Errors
    /// [`DiskError::Io`]: unreadable, or its segments are of a later format or of another disk.
    pub fn open(config: &LogDiskConfig) -> Result<Self, DiskError> {
        Self::open_in(config, InFlight::new(Arc::clone(&config.clock)))
    }

    /// As [`LogDisk::open`], entering its operations in `flight` from the first on.
    pub(super) fn open_in(
        config: &LogDiskConfig,
        flight: Arc<InFlight>,
    ) -> Result<Self, DiskError> {
        let disk = Self::without_thread(config, flight)?;
        let writer = Arc::clone(&disk.writer);
        let thread = thread::Builder::new()
            .name(format!("disk-{}", disk.number.0))
            .spawn(move || writer.run())
            .map_err(|error| refusal("start writer of", &disk.location(), error.to_string()))?;
        *disk.thread.lock() = Some(thread);
        Ok(disk)
    }

    /// Opens the disk without a thread: frames stay queued until [`LogDisk::flush_once`]. For simulation, where threads would
    /// make runs differ.
    ///
    /// # Errors
    /// As [`LogDisk::open`].
    pub fn manual(config: &LogDiskConfig) -> Result<Self, DiskError> {
        Self::without_thread(config, InFlight::new(Arc::clone(&config.clock)))
    }

    fn without_thread(config: &LogDiskConfig, flight: Arc<InFlight>) -> Result<Self, DiskError> {
        let LogDiskConfig {
            volume,
            cluster_id,
            number,
            disk_id,
            options,
            clock,
        } = config;
        let owner = Owner {
            cluster: *cluster_id,
            number: *number,
            disk_id: *disk_id,
        };
        let watched = WatchedVolume::new(Arc::clone(volume), Arc::clone(&flight));
        let volume: &Arc<dyn Volume> = &(Arc::new(watched) as Arc<dyn Volume>);
        ensure_dir(&**volume, LOG_DIR)?;
        ensure_dir(&**volume, EXTENTS_DIR)?;
        let floor = Floor::load(&**volume)?;
        let segments = Arc::new(Segments::open(Arc::clone(volume), &owner)?);
        let status = Arc::new(Status::new(Arc::clone(volume), Arc::clone(clock), *options));
        let last = segments.last().unwrap_or(0).max(floor.last_segment);
        let queue = Queue::new(owner, options.segment_bytes(), last);
        let shared = (
            Arc::clone(volume),
            Arc::clone(&status),
            Arc::clone(&segments),
        );
        Ok(Self {
            number: *number,
            disk_id: *disk_id,
            volume: Arc::clone(volume),
            flight,
            writer: Arc::new(Writer::new(*number, shared.0, shared.1, shared.2, queue)),
            extents: Extents::new(Arc::clone(volume), Arc::clone(&status)),
            status,
            segments,
            floor: Mutex::new(floor),
            thread: Mutex::new(None),
            lock: Mutex::new(None),
        })
    }

    /// Writes and syncs all that is queued and tells those who wait, on this thread. Returns how many were told.
    pub fn flush_once(&self) -> usize {
        self.writer.flush_once()
    }

    /// Has the disk hold the lock of its volume until it is closed.
    pub(super) fn hold(&self, lock: Box<dyn VolumeLock>) {
        *self.lock.lock() = Some(lock);
    }

    /// Hands an error on; takes the disk out if it says that data may be lost.
    fn failed_sync(&self, error: &DiskError) -> DiskError {
        self.status.fail(error)
    }

    fn store_floor(&self, change: impl FnOnce(&mut Floor)) -> Result<(), DiskError> {
        let mut floor = self.floor.lock();
        let mut next = *floor;
        change(&mut next);
        if next != *floor {
            next.store(&*self.volume)?;
            *floor = next;
        }
        Ok(())
    }
}

impl Disk for LogDisk {
    fn number(&self) -> DiskNo {
        self.number
    }

    fn location(&self) -> String {
        self.volume.location()
    }

    fn health(&self) -> Health {
        self.status.health()
    }

    fn space(&self) -> Space {
        self.status.space()
    }

    fn pending_bytes(&self) -> u64 {
        self.writer.pending_bytes()
    }

    fn stalled_for(&self) -> Option<Duration> {
        self.flight.oldest().map(|(_, age)| age)
    }

    fn give_up(&self, why: &str) {
        let doing = self.flight.oldest();
        let doing = doing.map_or(String::new(), |(what, _)| format!(" ({what})"));
        let why = format!("{}: {why}{doing}", self.location());
        if self.flight.give_up(&why) {
            let error = self.status.fail(&DiskError::Failed(why));
            self.writer.give_up(&error);
        }
    }

    fn look(&self) {
        self.status.look_for_identity();
    }

    fn next_address(&self, max_bytes: u32, seq: Seq) -> Result<Address, DiskError> {
        self.status.check()?;
        let parts_bytes = max_bytes.saturating_sub(FRAME_HEADER_BYTES);
        self.writer
            .place(frame_bytes(parts_bytes as usize, 0)?, seq)
    }

    fn append(
        &self,
        frame: &Frame<'_>,
        done: Option<Arc<dyn Completion>>,
    ) -> Result<Address, DiskError> {
        if frame.shard.is_empty() {
            self.status.check()?;
        } else {
            self.status.check_room()?;
        }
        self.writer.push(frame, done)
    }

    fn segments(&self) -> Result<Vec<SegmentInfo>, DiskError> {
        Ok(self.segments.list())
    }

    fn open_segment(&self, segment: u32) -> Result<Arc<dyn ReadAt>, DiskError> {
        self.status.check()?;
        Ok(Arc::new(FileReader(self.segments.file(segment)?)))
    }

    fn scan(
        &self,
        segment: u32,
        offset: u32,
        visit: &mut dyn FnMut(ScannedFrame),
    ) -> Result<ScanEnd, DiskError> {
        let end = self.segments.written_bytes(segment)?;
        let file = self.segments.file(segment)?;
        let salt = segment_salt(self.disk_id, segment);
        scan(file, segment, salt, u64::from(offset)..end, visit)
    }

    fn open_segment_uncached(&self, segment: u32) -> Result<Arc<dyn ReadAt>, DiskError> {
        self.status.check()?;
        let file = self.volume.open_uncached(&segment_path(segment))?;
        Ok(Arc::new(FileReader(file)))
    }

    fn inspect(
        &self,
        segment: u32,
        offset: u64,
        limit_bytes: u64,
        visit: &mut dyn FnMut(ScannedFrame, &[u8]),
    ) -> Result<Inspected, DiskError> {
        self.status.check()?;
        let end = self.segments.written_bytes(segment)?;
        let file = self.volume.open_uncached(&segment_path(segment))?;
        let salt = segment_salt(self.disk_id, segment);
        inspect(file, segment, salt, offset..end, limit_bytes, visit)
    }

    fn sync_segments(&self, segment: u32) -> Result<(), DiskError> {
        self.status.check()?;
        for info in self
            .segments
            .list()
            .iter()
            .filter(|info| info.number >= segment)
        {
            match self.segments.file(info.number) {
                Ok(file) => file.sync_data().map_err(|error| self.failed_sync(&error))?,
                // Removed since it was listed.
                Err(DiskError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        self.volume
            .sync_dir(LOG_DIR)
            .map_err(|error| self.failed_sync(&error))
    }

    fn last_segment(&self) -> u32 {
        self.writer.last_segment()
    }

    fn skip_segments(&self, up_to: u32) {
        self.writer.skip_segments(up_to);
    }

    fn remove_segment(&self, segment: u32) -> Result<(), DiskError> {
        self.status.check()?;
        if self.segments.is_active(segment) {
            let message = "it is being written".to_owned();
            return Err(refusal("remove", &segment_path(segment), message));
        }
        if self.segments.last() == Some(segment) {
            // Else the number would be given again after the next start.
            self.store_floor(|floor| floor.last_segment = floor.last_segment.max(segment))?;
        }
        self.segments.forget(segment);
        match self.volume.remove(&segment_path(segment)) {
            Ok(()) | Err(DiskError::NotFound) => {}
            Err(error) => return Err(error),
        }
        // Removals must not overtake each other in a crash: what deletes is in a later segment than what it deletes.
        self.volume
            .sync_dir(LOG_DIR)
            .map_err(|error| self.failed_sync(&error))
    }

    fn set_trim_floor(&self, floor: Seq) -> Result<(), DiskError> {
        self.status.check()?;
        self.store_floor(|stored| stored.trim = floor)
    }

    fn trim_floor(&self) -> Seq {
        self.floor.lock().trim
    }

    fn create_extent(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Box<dyn ExtentWriter>, DiskError> {
        self.extents.create(blob, shard_index)
    }

    fn create_extent_once(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Box<dyn ExtentWriter>, DiskError> {
        self.extents.create_once(blob, shard_index)
    }

    fn replace_extent(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Box<dyn ExtentWriter>, DiskError> {
        self.extents.replace(blob, shard_index)
    }

    fn open_extent(&self, blob: BlobId, shard_index: u8) -> Result<Arc<dyn ReadAt>, DiskError> {
        self.extents.open(blob, shard_index)
    }

    fn open_extent_uncached(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Arc<dyn ReadAt>, DiskError> {
        self.extents.open_uncached(blob, shard_index)
    }

    fn open_extent_once(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Arc<dyn ReadAt>, DiskError> {
        self.extents.open_once(blob, shard_index)
    }

    fn remove_extent(&self, blob: BlobId, shard_index: u8) -> Result<(), DiskError> {
        self.extents.remove(blob, shard_index)
    }

    fn extents(&self) -> Result<Vec<(BlobId, u8)>, DiskError> {
        self.extents.list()
    }

    fn extents_in(&self, fan_out: u8) -> Result<Vec<(BlobId, u8)>, DiskError> {
        self.extents.list_in(fan_out)
    }

    fn close(&self) {
        self.writer.close();
        let thread = self.thread.lock().take();
        match thread {
            // The last handle may be dropped by a completion, on the writer's own thread, which can't wait for itself.
            Some(thread) if thread.thread().id() == thread::current().id() => {}
            // A thread that hangs in a system call ends when the call does, or with the process.
            Some(_) if !self.writer.wait_until_ended() => {}
            Some(thread) => {
                if thread.join().is_err() {
                    tracing::error!(disk = %self.location(), "the disk's writer panicked");
                }
            }
            // Closed before, without its thread, which may still hang.
            None if self.writer.is_given_up() => {}
            None => {
                self.flush_once();
            }
        }
        if let Some(lock) = self.lock.lock().take() {
            self.flight.keep_until_idle(lock);
        }
    }
}

impl Drop for LogDisk {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
