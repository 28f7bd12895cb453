//! A disk as a file system of the kernel.
//!
//! Nothing is cached beyond a request but the pages of open files: names and lengths are asked for each time, so that what a
//! cut has left is what the next process sees. Writes are passed on at once (no write-back cache), so that the disk knows all
//! that was written when the power goes.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;

use crate::disk::{Disk, Stat};

/// How long the kernel may believe what it was told.
const NO_TIME: Duration = Duration::ZERO;
const BLOCK_BYTES: u32 = 4096;
/// Size that the file system reports, in blocks: 16 GiB, always free. It is memory.
const BLOCK_COUNT: u64 = 4 << 20;

/// The file system of one disk.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) disk: Arc<Mutex<Disk>>,
    /// How long a sync takes: power is to go out while some are under way.
    pub(crate) sync_delay: Duration,
    listings: Mutex<HashMap<u64, Vec<(OsString, Stat)>>>,
    next_listing: AtomicU64,
}

impl Served {
    pub(crate) fn new(disk: Arc<Mutex<Disk>>, sync_delay: Duration) -> Self {
        Self {
            disk,
            sync_delay,
            listings: Mutex::default(),
            next_listing: AtomicU64::new(1),
        }
    }

    fn sync(&self, ino: INodeNo, reply: ReplyEmpty) {
        // A sync covers what came before it, not what comes while it runs.
        let upto = self.disk.lock().begin_sync();
        thread::sleep(self.sync_delay);
        let done = self.disk.lock().sync(ino.0, upto);
        answer(done, reply);
    }
}

fn answer(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn answer_entry(found: Result<Stat, Errno>, reply: ReplyEntry) {
    match found {
        Ok(stat) => reply.entry(&NO_TIME, &attributes(stat), Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn answer_attributes(found: Result<Stat, Errno>, reply: ReplyAttr) {
    match found {
        Ok(stat) => reply.attr(&NO_TIME, &attributes(stat)),
        Err(error) => reply.error(error),
    }
}

fn kind(stat: Stat) -> FileType {
    if stat.is_dir {
        FileType::Directory
    } else {
        FileType::RegularFile
    }
}

fn attributes(stat: Stat) -> FileAttr {
    let (perm, nlink) = if stat.is_dir { (0o755, 2) } else { (0o644, 1) };
    FileAttr {
        ino: INodeNo(stat.ino),
        size: stat.len_bytes,
        blocks: stat.len_bytes.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: kind(stat),
        perm,
        nlink,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.disk.lock().lookup(parent.0, name);
        answer_entry(found, reply);
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        self.disk.lock().forget(ino.0, count);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.disk.lock().stat(ino.0);
        answer_attributes(found, reply);
    }

    /// Only the length can be changed; modes, owners and times are ignored.
    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk.lock();
        let resized = size.map_or(Ok(()), |len_bytes| disk.resize(ino.0, len_bytes));
        let found = resized.and_then(|()| disk.stat(ino.0));
        drop(disk);
        answer_attributes(found, reply);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let made = self.disk.lock().create(parent.0, name, true);
        answer_entry(made, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.disk.lock().unlink(parent.0, name);
        answer(done, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.disk.lock().rmdir(parent.0, name);
        answer(done, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.intersects(RenameFlags::RENAME_EXCHANGE | RenameFlags::RENAME_WHITEOUT) {
            return reply.error(Errno::EINVAL);
        }
        let may_replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        let (from, to) = ((parent.0, name), (new_parent.0, new_name));
        let done = self.disk.lock().rename(from, to, may_replace);
        answer(done, reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.disk.lock().stat(ino.0) {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.disk.lock().create(parent.0, name, false);
        match made {
            Ok(stat) => reply.created(
                &NO_TIME,
                &attributes(stat),
                Generation(0),
                FileHandle(0),
                FopenFlags::empty(),
            ),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.disk.lock().read(ino.0, offset, u64::from(size));
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.disk.lock().write(ino.0, offset, data);
        match written.and_then(|()| u32::try_from(data.len()).map_err(|_| Errno::EINVAL)) {
            Ok(count) => reply.written(count),
            Err(error) => reply.error(error),
        }
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    /// A listing is of one moment: what changes while it is read does not make it skip entries.
    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let listed = self.disk.lock().list(ino.0);
        match listed {
            Ok(entries) => {
                let number = self.next_listing.fetch_add(1, Ordering::Relaxed);
                self.listings.lock().insert(number, entries);
                reply.opened(FileHandle(number), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        listing: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listings = self.listings.lock();
        let entries = listings.get(&listing.0).map_or(&[][..], Vec::as_slice);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for ((name, stat), next) in entries.iter().skip(from).zip(offset + 1..) {
            if reply.add(INodeNo(stat.ino), next, kind(*stat), name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        listing: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings.lock().remove(&listing.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let files = 1 << 20;
        reply.statfs(
            BLOCK_COUNT,
            BLOCK_COUNT,
            BLOCK_COUNT,
            files,
            files,
            BLOCK_BYTES,
            255,
            BLOCK_BYTES,
        );
    }
}
