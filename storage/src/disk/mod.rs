//! One disk: a log of checksummed frames with group commit, and extents for large shards.
//!
//! A disk knows nothing of objects. It stores *frames* (a metadata part, a shard part, or both) in
//! append-only segments, and *extents* (a shard too large for the log) as files of their own. See
//! `docs/format.md` for every byte.
//!
//! Invariants:
//! - Order in the log is order of durability: when a frame is durable, so is each frame before it.
//! - After a failed write or sync the disk is out ([`Health::Failed`]) until it is opened again:
//!   the kernel may have dropped the dirty pages, so a retry proves nothing.
//! - A disk that does not answer is given up ([`Disk::give_up`]): nobody waits for it any more, and nothing more is written to it.
//! - An address is never reused for a different frame within one segment; segment numbers only grow.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod extents;
mod floor;
mod frame;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod fuzzing;
pub mod identity;
mod inflight;
mod log;
mod open;
mod options;
mod queue;
mod scan;
mod segment;
mod segments;
mod status;
mod volume;
mod writer;

use std::{fmt::Debug, sync::Arc, time::Duration};

use bytes::Bytes;

pub use self::{
    extents::extent_path,
    frame::FRAME_TRAILER_BYTES,
    identity::{IdentityError, Place, Roster},
    log::{LogDisk, LogDiskConfig},
    open::{OpenOptions, Opened, Slot, SlotState, open_local, open_newcomer, open_volumes},
    options::DiskOptions,
    segment::{SEGMENT_HEADER_BYTES, segment_path},
    volume::{Listed, Volume, VolumeFile, VolumeLock, durable_rename, local::LocalVolume},
};
#[cfg(any(test, feature = "testing"))]
pub use self::{
    open::{memory, open_manual, open_newcomer_manual},
    volume::{fault, memory::MemoryVolume},
};

/// A disk's number within its cluster. Never given to another disk, not even after removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskNo(pub u16);

/// What a disk is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It is read and written.
    Member,
    /// It is read, and gets nothing new while enough others are good: what it holds moves away, so that it can be removed.
    Draining,
}

/// Where a frame starts in one disk's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address {
    /// Segment number, from 1.
    pub segment: u32,
    /// Byte offset of the frame's header within the segment file.
    pub offset: u32,
}

/// Sequence number of a commit: the epoch (raised at each start) in the upper 24 bits, a counter below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// Bits of the counter.
    pub const COUNTER_BITS: u32 = 40;

    /// The number `counter` of `epoch`.
    pub const fn new(epoch: u32, counter: u64) -> Self {
        Self(((epoch as u64) << Self::COUNTER_BITS) | (counter & ((1 << Self::COUNTER_BITS) - 1)))
    }

    /// The start of the process that gave this number.
    pub const fn epoch(self) -> u32 {
        (self.0 >> Self::COUNTER_BITS) as u32
    }
}

/// Names an extent (and each blob): a [`Seq`]-like number drawn when its writing starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BlobId(pub u64);

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// A commit: metadata changes, with a shard or without.
    Commit = 1,
    /// A shard whose commit's changes are on other disks; the metadata part names the key only.
    Shard = 2,
    /// A new epoch and what was adopted of the one before.
    Epoch = 3,
    /// A settled watermark and what was voided before it.
    Checkpoint = 4,
}

/// A frame to append. `meta` and `shard` together are at most [`MAX_FRAME_BYTES`] less the header.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// What it is for.
    pub kind: FrameKind,
    /// The commit it belongs to.
    pub seq: Seq,
    /// Which shard of the stripe the shard part is; 0 without a shard part.
    pub shard_index: u8,
    /// Metadata part: opaque here.
    pub meta: &'a [u8],
    /// Shard part: checksummed blocks as [`crate::stripes`] lays them out; opaque here. Slices are joined.
    pub shard: &'a [u8],
}

/// A frame as found by a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedFrame {
    /// Where it starts.
    pub address: Address,
    /// What it is for.
    pub kind: FrameKind,
    /// The commit it belongs to.
    pub seq: Seq,
    /// Which shard.
    pub shard_index: u8,
    /// Metadata part, checksum verified.
    pub meta: Bytes,
    /// Length of the shard part, whose bytes start [`FRAME_HEADER_BYTES`] after the address. Not verified.
    pub shard_bytes: u32,
    /// Length of the whole frame, trailer included.
    pub frame_bytes: u32,
}

/// Bytes of a frame's header, before the shard part.
pub const FRAME_HEADER_BYTES: u32 = 24;
/// The largest frame: header, shard part and metadata part, without the trailer.
pub const MAX_FRAME_BYTES: u32 = 8 << 20;

/// Told when frames are durable. Called from the disk's writer thread: must not block.
pub trait Completion: Send + Sync + Debug {
    /// The frame (and all before it) on `disk` is durable, or the disk failed.
    fn complete(&self, disk: DiskNo, result: Result<(), DiskError>);
}

/// Whether a disk can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Reads and writes.
    Good,
    /// Reads, deletes (small metadata frames) but no new data: less than the reserve is free.
    Full,
    /// Neither; the text says why and names the path.
    Failed(String),
}

/// Space of a disk's file system, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Space {
    /// Size of the file system.
    pub total_bytes: u64,
    /// What is free for this process.
    pub free_bytes: u64,
}

/// A segment as listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u32,
    /// Its length in bytes, header included.
    pub bytes: u64,
    /// The sequence number that was next when it was opened: all its commits that were not moved here are at or above it.
    pub opened_at: Seq,
    /// Whether appends still go to it.
    pub active: bool,
}

/// How a scan of one segment ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanEnd {
    /// Offset after the last good frame.
    pub valid_bytes: u64,
    /// Bytes that were no valid frame and were skipped or cut (a torn tail, or rot in the middle).
    pub damaged_bytes: u64,
}

/// How far an inspection of a segment came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Where to go on; `None` at the end of what is written.
    pub next: Option<u64>,
    /// Bytes that were no valid frame, with a valid frame after them: torn by a crash, or rotten. What lies behind the last frame of a
    /// segment is not counted.
    pub skipped_bytes: u64,
    /// Bytes of skipped stretches that the device could not read.
    pub unreadable_bytes: u64,
}

/// Whether a read may wait for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// Only what is in the page cache, else [`DiskError::NotCached`]: safe on an async thread.
    CachedOnly,
    /// May block.
    MayBlock,
}

/// An open segment or extent. Stays readable after the file was removed.
pub trait ReadAt: Send + Sync + Debug {
    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// [`DiskError::NotCached`] in mode `CachedOnly`; [`DiskError::ShortRead`] past the end; [`DiskError::Io`].
    fn read_exact_at(&self, buf: &mut [u8], offset: u64, mode: ReadMode) -> Result<(), DiskError>;
}

/// A new extent, written front to back. Dropping it without [`ExtentWriter::finish`] removes the file.
pub trait ExtentWriter: Send + Debug {
    /// Appends. Blocks. Nothing is durable yet.
    ///
    /// # Errors
    /// [`DiskError`]: the extent is useless; drop it.
    fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError>;
    /// Syncs the data and the directory entry (shared with concurrent finishes where possible). Blocks.
    /// On `Ok` the extent survives power loss.
    ///
    /// # Errors
    /// [`DiskError`]: as above.
    fn finish(self: Box<Self>) -> Result<(), DiskError>;
}

/// One disk, local or (later) of a peer.
pub trait Disk: Send + Sync + Debug {
    /// Its number.
    fn number(&self) -> DiskNo;
    /// Where it is, for people (a directory).
    fn location(&self) -> String;
    /// Whether it can be used now. Cheap.
    fn health(&self) -> Health;
    /// Its space, read at most once a second. May block briefly.
    fn space(&self) -> Space;
    /// Bytes that were appended and are not yet durable. Appends never wait, so callers hold back when this is more than
    /// they like (64 MiB is plenty). Cheap.
    fn pending_bytes(&self) -> u64 {
        0
    }

    /// How long the oldest operation that has begun on it and not ended takes already; `None` without one, and once the disk was
    /// given up. Cheap, never blocks.
    fn stalled_for(&self) -> Option<Duration> {
        None
    }
    /// Takes the disk out because it does not answer; `why` is what people are told. Whoever waits for a frame is told at once, and
    /// once: a call that returns late tells nobody, and nothing is written after it. What it wrote itself is of unknown
    /// outcome, as after a crash, and the next start settles it. Never blocks.
    fn give_up(&self, _why: &str) {}

    /// Looks whether its directory is still what it was when it was opened. A disk whose `disk.json` is gone (emptied, or
    /// unmounted under us) is given up: what is written there is lost. Also done once a second of use. May block.
    fn look(&self) {}

    /// The address that the next frame will get if it has at most `max_bytes`; rolls to a new
    /// segment (with `opened_at = seq`) where it would not fit, or `seq` is below the `opened_at` of the one that is written. Call it and [`Disk::append`] under one lock.
    ///
    /// # Errors
    /// [`DiskError::Failed`], or [`DiskError::FrameTooLarge`].
    fn next_address(&self, max_bytes: u32, seq: Seq) -> Result<Address, DiskError>;
    /// Queues a frame and returns its address. `done` is called exactly once, also on failure, unless this returns an error.
    /// Does not block on I/O. Refuses shard parts with [`DiskError::Full`] when full; frames without a shard pass.
    ///
    /// # Errors
    /// [`DiskError::Failed`], [`DiskError::Full`], [`DiskError::FrameTooLarge`].
    fn append(
        &self,
        frame: &Frame<'_>,
        done: Option<Arc<dyn Completion>>,
    ) -> Result<Address, DiskError>;

    /// The highest number that a segment ever had.
    fn last_segment(&self) -> u32;
    /// No further segment gets this number or a lower one; for a disk that has lost segments which somebody may name. It is not remembered
    /// over a start before something is appended. To be called while nothing is.
    fn skip_segments(&self, up_to: u32);

    /// All segments in order of number. Blocks.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn segments(&self) -> Result<Vec<SegmentInfo>, DiskError>;
    /// Opens a segment for reading (cached handle; cheap).
    ///
    /// # Errors
    /// [`DiskError::NotFound`].
    fn open_segment(&self, segment: u32) -> Result<Arc<dyn ReadAt>, DiskError>;
    /// As [`Disk::open_segment`], but reads go to the device and leave the page cache as it is, where that is possible.
    ///
    /// # Errors
    /// [`DiskError::NotFound`].
    fn open_segment_uncached(&self, segment: u32) -> Result<Arc<dyn ReadAt>, DiskError>;
    /// Reads about `limit_bytes` of a segment from `offset` on (0 = its beginning), at least a frame, and visits the valid frames with
    /// their shard parts, of which nothing is verified. Goes to the device as [`Disk::open_segment_uncached`] does, and past damage as
    /// [`Disk::scan`] does. Blocks.
    ///
    /// # Errors
    /// [`DiskError::NotFound`]; [`DiskError`]: nothing of it can be read.
    fn inspect(
        &self,
        segment: u32,
        offset: u64,
        limit_bytes: u64,
        visit: &mut dyn FnMut(ScannedFrame, &[u8]),
    ) -> Result<Inspected, DiskError>;
    /// Visits the valid frames of a segment from `offset` (0 = the first). Skips damage in the middle, unreadable
    /// sectors among it, by searching for the next valid frame. Shard parts are not read. Blocks.
    ///
    /// # Errors
    /// [`DiskError`]: nothing of it can be read.
    fn scan(
        &self,
        segment: u32,
        offset: u32,
        visit: &mut dyn FnMut(ScannedFrame),
    ) -> Result<ScanEnd, DiskError>;
    /// Syncs all segments from `segment` on (what a crashed process left in the page cache), blocks.
    ///
    /// # Errors
    /// [`DiskError`]; the disk is out then.
    fn sync_segments(&self, segment: u32) -> Result<(), DiskError>;
    /// Removes a sealed segment. Open readers keep it. Blocks.
    ///
    /// # Errors
    /// [`DiskError`].
    fn remove_segment(&self, segment: u32) -> Result<(), DiskError>;
    /// The trim floor: views whose checkpoint is older must be rebuilt. Durable when it returns. Blocks.
    ///
    /// # Errors
    /// [`DiskError`].
    fn set_trim_floor(&self, floor: Seq) -> Result<(), DiskError>;
    /// The floor last set, or zero.
    fn trim_floor(&self) -> Seq;

    /// Starts an extent. Blocks.
    ///
    /// # Errors
    /// [`DiskError`].
    fn create_extent(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Box<dyn ExtentWriter>, DiskError>;
    /// As [`Disk::create_extent`], for an extent that nobody will read soon: goes past the page cache, where that is possible. Blocks.
    ///
    /// # Errors
    /// [`DiskError`], also where there is one of this name.
    fn create_extent_once(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Box<dyn ExtentWriter>, DiskError>;
    /// Starts an extent that takes the place of the one of the same name, if there is one, when it is finished: atomically, and
    /// those who have the old one open keep it. Goes past the page cache, where that is possible. Blocks.
    ///
    /// # Errors
    /// [`DiskError`].
    fn replace_extent(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Box<dyn ExtentWriter>, DiskError>;
    /// Opens an extent for reading.
    ///
    /// # Errors
    /// [`DiskError::NotFound`].
    fn open_extent(&self, blob: BlobId, shard_index: u8) -> Result<Arc<dyn ReadAt>, DiskError>;
    /// As [`Disk::open_extent`], but reads go to the device and leave the page cache as it is, where that is possible.
    ///
    /// # Errors
    /// [`DiskError::NotFound`].
    fn open_extent_uncached(
        &self,
        blob: BlobId,
        shard_index: u8,
    ) -> Result<Arc<dyn ReadAt>, DiskError>;
    /// As [`Disk::open_extent`], for reading from front to back what nobody will read again soon: leaves the page cache as it is, where
    /// that is possible.
    ///
    /// # Errors
    /// [`DiskError::NotFound`].
    fn open_extent_once(&self, blob: BlobId, shard_index: u8)
    -> Result<Arc<dyn ReadAt>, DiskError>;
    /// Removes an extent, and what a crash left of one that was to replace it; absence is no error.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn remove_extent(&self, blob: BlobId, shard_index: u8) -> Result<(), DiskError>;
    /// All extents, unordered. Blocks.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn extents(&self) -> Result<Vec<(BlobId, u8)>, DiskError>;
    /// The extents of one of the 256 directories that they are spread over, unordered. Blocks.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn extents_in(&self, fan_out: u8) -> Result<Vec<(BlobId, u8)>, DiskError>;
    /// Waits for what is queued and stops the writer. Blocks, but not beyond the disk's being given up.
    fn close(&self);
}

/// What went wrong on one disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The disk is out.
    #[error("disk is out: {0}")]
    Failed(String),
    /// Too little space is left for data.
    #[error("disk is full")]
    Full,
    /// No such segment or extent.
    #[error("no such segment or extent")]
    NotFound,
    /// The bytes are not in the page cache.
    #[error("not cached")]
    NotCached,
    /// The file ends before the range does.
    #[error("file ends at {end_bytes} bytes")]
    ShortRead {
        /// Where it ends.
        end_bytes: u64,
    },
    /// A frame over [`MAX_FRAME_BYTES`].
    #[error("frame of {bytes} bytes is too large")]
    FrameTooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The operating system said no.
    #[error("{operation} {path}: {message}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: String,
        /// The system's words.
        message: String,
        /// Its error number, 0 if none.
        errno: i32,
    },
}
