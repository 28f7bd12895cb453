//! A volume that fails on command.
//!
//! A [`FaultVolume`] passes everything through to the volume under it, except where a [`Fault`] of its script applies. It also
//! counts syncs, and can stop at the n-th: from then on everything fails, as when the machine loses power; what is left is then
//! [`crate::disk::MemoryVolume::crash`] of the volume under it.

use std::{
    fmt::{self, Debug},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::{DiskError, Listed, ReadMode, Space, Volume, VolumeFile, VolumeLock, io_error};
use crate::clock::Clock;

/// What a fault applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading a file.
    Read,
    /// Writing a file.
    Write,
    /// Making a file or a directory durable; a durable rename counts as two.
    Sync,
    /// Creating or opening a file, creating a directory.
    Open,
    /// Listing a directory.
    List,
    /// Removing a file.
    Remove,
}

/// What happens then.
#[derive(Clone)]
pub enum Effect {
    /// The operation fails with this error number (`libc::EIO`, `libc::ENOSPC`) and does nothing.
    Errno(i32),
    /// Of a write only so many bytes arrive, then it fails with `EIO`.
    TornWrite {
        /// Bytes that arrive.
        keep_bytes: usize,
    },
    /// One bit of what is read or written is flipped, without a word. Counts modulo the length.
    BitFlip {
        /// Which bit.
        bit: usize,
    },
    /// Calls this first, then goes on: to wait for something (a slow disk), or to look.
    Hook(Arc<dyn Fn() + Send + Sync>),
    /// Does not come back until it is released, and then goes on. Reads of what is cached never wait for it.
    Hang(Hang),
    /// The power goes out: this and everything later fails with `EIO`.
    Stop,
}

impl Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => write!(f, "Errno({errno})"),
            Self::TornWrite { keep_bytes } => write!(f, "TornWrite({keep_bytes})"),
            Self::BitFlip { bit } => write!(f, "BitFlip({bit})"),
            Self::Hook(_) => f.write_str("Hook"),
            Self::Hang(_) => f.write_str("Hang"),
            Self::Stop => f.write_str("Stop"),
        }
    }
}

/// Holds operations up until it is released. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Hang(Arc<HangState>);

#[derive(Debug, Default)]
struct HangState {
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    count: usize,
    released: bool,
}

impl Hang {
    /// Returns when `count` operations hang.
    pub fn wait_for(&self, count: usize) {
        let mut held = self.0.held.lock();
        while held.count < count {
            self.0.changed.wait(&mut held);
        }
    }

    /// Lets all go on, also later ones.
    pub fn release(&self) {
        self.0.held.lock().released = true;
        self.0.changed.notify_all();
    }

    /// Hangs until it is released.
    pub fn hold(&self) {
        let mut held = self.0.held.lock();
        held.count += 1;
        self.0.changed.notify_all();
        while !held.released {
            self.0.changed.wait(&mut held);
        }
        held.count -= 1;
    }
}

/// A line of the script.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which operations it counts.
    pub operation: Operation,
    /// Only on paths that contain this; empty: all.
    pub path: &'static str,
    /// So many operations pass first.
    pub after: u64,
    /// So many are hit then.
    pub times: u64,
    /// How.
    pub effect: Effect,
}

/// A volume that fails on command. Clones share the script.
#[derive(Debug)]
pub struct FaultVolume<V> {
    inner: V,
    script: Arc<Script>,
}

impl<V: Clone> Clone for FaultVolume<V> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            script: Arc::clone(&self.script),
        }
    }
}

#[derive(Debug, Default)]
struct Script {
    faults: Mutex<Vec<Fault>>,
    syncs: AtomicU64,
    stopped: AtomicBool,
}

impl<V> FaultVolume<V> {
    /// `inner`, so far without faults.
    pub fn new(inner: V) -> Self {
        Self {
            inner,
            script: Arc::default(),
        }
    }

    /// The volume under it.
    pub fn inner(&self) -> &V {
        &self.inner
    }

    /// Adds a line to the script; its counting starts now.
    pub fn inject(&self, fault: Fault) {
        self.script.faults.lock().push(fault);
    }

    /// Lets `count` more syncs pass and stops at the one after.
    pub fn stop_after_syncs(&self, count: u64) {
        let effect = Effect::Stop;
        self.inject(Fault {
            operation: Operation::Sync,
            path: "",
            after: count,
            times: 1,
            effect,
        });
    }

    /// The power goes out now.
    pub fn stop(&self) {
        self.script.stopped.store(true, Ordering::SeqCst);
    }

    /// From now on nothing comes back (but reads of what is cached) until the result is released.
    pub fn hang(&self) -> Hang {
        use Operation::{List, Open, Read, Remove, Sync, Write};
        let hang = Hang::default();
        for operation in [Read, Write, Sync, Open, List, Remove] {
            self.inject(Fault {
                operation,
                path: "",
                after: 0,
                times: u64::MAX,
                effect: Effect::Hang(hang.clone()),
            });
        }
        hang
    }

    /// Takes all faults back, also a stop.
    pub fn heal(&self) {
        self.script.faults.lock().clear();
        self.script.stopped.store(false, Ordering::SeqCst);
    }

    /// Syncs so far, failed ones included.
    pub fn syncs(&self) -> u64 {
        self.script.syncs.load(Ordering::SeqCst)
    }
}

impl Script {
    /// Counts an operation; its effect, if one applies.
    fn effect(&self, operation: Operation, path: &str) -> Option<Effect> {
        let mut faults = self.faults.lock();
        let mut effect = None;
        for fault in faults.iter_mut() {
            if fault.operation != operation || !path.contains(fault.path) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
            } else if fault.times > 0 && effect.is_none() {
                fault.times -= 1;
                effect = Some(fault.effect.clone());
            }
        }
        effect
    }

    /// Whether an operation would hang now.
    fn hangs(&self, operation: Operation, path: &str) -> bool {
        let hangs = |fault: &Fault| {
            fault.operation == operation
                && path.contains(fault.path)
                && fault.after == 0
                && fault.times > 0
                && matches!(fault.effect, Effect::Hang(_))
        };
        self.faults.lock().iter().any(hangs)
    }

    /// Counts an operation; fails it, or returns an effect that the caller has to bring about.
    fn begin(&self, operation: Operation, path: &str) -> Result<Option<Effect>, DiskError> {
        if operation == Operation::Sync {
            self.syncs.fetch_add(1, Ordering::SeqCst);
        }
        let effect = self.effect(operation, path);
        match &effect {
            Some(Effect::Errno(errno)) => return Err(failure(path, *errno)),
            Some(Effect::Stop) => self.stopped.store(true, Ordering::SeqCst),
            Some(Effect::Hook(hook)) => hook(),
            Some(Effect::Hang(hang)) => hang.hold(),
            Some(Effect::TornWrite { .. } | Effect::BitFlip { .. }) | None => {}
        }
        if self.stopped.load(Ordering::SeqCst) {
            return Err(failure(path, libc::EIO));
        }
        Ok(effect)
    }
}

fn failure(path: &str, errno: i32) -> DiskError {
    io_error("fault on", path, &std::io::Error::from_raw_os_error(errno))
}

fn flip(bytes: &mut [u8], bit: usize) {
    let bits = bytes.len() * 8;
    if bits > 0 {
        bytes[bit % bits / 8] ^= 1 << (bit % 8);
    }
}

impl<V: Volume> FaultVolume<V> {
    fn wrap(&self, path: &str, inner: Arc<dyn VolumeFile>) -> Arc<dyn VolumeFile> {
        Arc::new(FaultFile {
            inner,
            path: path.to_owned(),
            script: Arc::clone(&self.script),
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl<V: Volume> Volume for FaultVolume<V> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        self.script.begin(Operation::Open, path)?;
        Ok(self.wrap(path, self.inner.create(path)?))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        self.script.begin(Operation::Open, path)?;
        Ok(self.wrap(path, self.inner.open(path)?))
    }

    fn open_uncached(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        self.script.begin(Operation::Open, path)?;
        Ok(self.wrap(path, self.inner.open_uncached(path)?))
    }

    fn open_once(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        self.script.begin(Operation::Open, path)?;
        Ok(self.wrap(path, self.inner.open_once(path)?))
    }

    fn create_once(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        self.script.begin(Operation::Open, path)?;
        Ok(self.wrap(path, self.inner.create_once(path)?))
    }

    fn create_dir(&self, path: &str) -> Result<bool, DiskError> {
        self.script.begin(Operation::Open, path)?;
        self.inner.create_dir(path)
    }

    fn list(&self, dir: &str) -> Result<Vec<Listed>, DiskError> {
        self.script.begin(Operation::List, dir)?;
        self.inner.list(dir)
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.script.begin(Operation::Remove, path)?;
        self.inner.remove(path)
    }

    fn rename_durable(&self, from: &str, to: &str) -> Result<(), DiskError> {
        // Stopped at the first sync nothing has happened; at the second the new name may or may not be durable: both outcomes
        // of an atomic replacement are covered, as the one without it is what the first leaves.
        self.script.begin(Operation::Sync, from)?;
        self.inner.rename_durable(from, to)?;
        self.script.begin(Operation::Sync, to).map(|_| ())
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        self.script.begin(Operation::Sync, dir)?;
        self.inner.sync_dir(dir)
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.inner.space()
    }

    fn lock(&self) -> Result<Box<dyn VolumeLock>, DiskError> {
        self.inner.lock()
    }
}

#[derive(Debug)]
struct FaultFile {
    inner: Arc<dyn VolumeFile>,
    path: String,
    script: Arc<Script>,
}

#[deny(clippy::missing_trait_methods)]
impl VolumeFile for FaultFile {
    fn read_at(&self, buf: &mut [u8], offset: u64, mode: ReadMode) -> Result<usize, DiskError> {
        if mode == ReadMode::CachedOnly && self.script.hangs(Operation::Read, &self.path) {
            return Err(DiskError::NotCached);
        }
        let effect = self.script.begin(Operation::Read, &self.path)?;
        let read = self.inner.read_at(buf, offset, mode)?;
        if let Some(Effect::BitFlip { bit }) = effect {
            flip(&mut buf[..read], bit);
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        match self.script.begin(Operation::Write, &self.path)? {
            Some(Effect::TornWrite { keep_bytes }) => {
                self.inner
                    .write_at(&bytes[..keep_bytes.min(bytes.len())], offset)?;
                Err(failure(&self.path, libc::EIO))
            }
            Some(Effect::BitFlip { bit }) => {
                let mut bytes = bytes.to_vec();
                flip(&mut bytes, bit);
                self.inner.write_at(&bytes, offset)
            }
            _ => self.inner.write_at(bytes, offset),
        }
    }

    fn start_writeback(&self, offset: u64, bytes: u64) {
        self.inner.start_writeback(offset, bytes);
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.script.begin(Operation::Sync, &self.path)?;
        self.inner.sync_data()
    }

    fn len_bytes(&self) -> Result<u64, DiskError> {
        self.inner.len_bytes()
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), DiskError> {
        self.script.begin(Operation::Write, &self.path)?;
        self.inner.truncate(len_bytes)
    }
}

/// A clock that is set by hand, and on which nobody sleeps.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Duration>);

impl ManualClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        *self.0.lock() += by;
    }
}

impl Clock for ManualClock {
    fn unix_millis(&self) -> u64 {
        u64::try_from(self.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock()
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}
