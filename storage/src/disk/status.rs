//! Whether a disk can be used: failed for good, full for now, or well.
//!
//! Invariants:
//! - A disk that failed stays failed until it is opened again.
//! - A full disk takes data again once there is clearly more room than what made it full: else each write that it gives up half-way
//!   would make room for the next one to fail.
//! - The free space is asked for at most once a second, or once per [`RECHECK_BYTES`] written; more often on a small disk, so that what is
//!   written between two looks is a fraction of the reserve.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{DiskError, Health, Space, identity::DISK_FILE, options::DiskOptions, volume::Volume};
use crate::clock::Clock;

/// Bytes written after which the free space is read again before a second has passed.
const RECHECK_BYTES: u64 = 32 << 20;
/// Looks at the free space while as much is written as is kept in reserve.
const RECHECKS_PER_RESERVE: u64 = 8;
const RECHECK_AFTER: Duration = Duration::from_secs(1);

/// Shared by the log and the extents of one disk.
#[derive(Debug)]
pub(super) struct Status {
    volume: Arc<dyn Volume>,
    clock: Arc<dyn Clock>,
    options: DiskOptions,
    /// Whether `disk.json` was there at the start; tests of the log alone have none.
    had_identity: bool,
    failure: OnceLock<String>,
    full: AtomicBool,
    last: Mutex<LastLook>,
}

#[derive(Debug, Default)]
struct LastLook {
    space: Space,
    at: Option<Duration>,
    written_bytes: u64,
}

impl Status {
    pub(super) fn new(
        volume: Arc<dyn Volume>,
        clock: Arc<dyn Clock>,
        options: DiskOptions,
    ) -> Self {
        let last = Mutex::new(LastLook::default());
        let had_identity = volume.open(DISK_FILE).is_ok();
        let status = Self {
            volume,
            clock,
            options,
            had_identity,
            failure: OnceLock::new(),
            full: AtomicBool::new(false),
            last,
        };
        status.space();
        status
    }

    /// The error of a disk that is out.
    pub(super) fn check(&self) -> Result<(), DiskError> {
        match self.failure.get() {
            Some(why) => Err(DiskError::Failed(why.clone())),
            None => Ok(()),
        }
    }

    /// Whether new data may be written.
    pub(super) fn check_room(&self) -> Result<(), DiskError> {
        self.check()?;
        if self.is_full() {
            Err(DiskError::Full)
        } else {
            Ok(())
        }
    }

    /// Takes the disk out, for the reason first given, and returns the error to hand on.
    pub(super) fn fail(&self, error: &DiskError) -> DiskError {
        let why = self.failure.get_or_init(|| {
            let why = match error {
                DiskError::Failed(why) => why.clone(),
                other => format!("{}: {other}", self.volume.location()),
            };
            tracing::error!(disk = %self.volume.location(), error = %why, "disk is out");
            why
        });
        DiskError::Failed(why.clone())
    }

    pub(super) fn health(&self) -> Health {
        match self.failure.get() {
            Some(why) => Health::Failed(why.clone()),
            None if self.is_full() => Health::Full,
            None => Health::Good,
        }
    }

    /// Counts bytes written, and looks at the free space again when it is time.
    pub(super) fn wrote(&self, bytes: u64) {
        let mut last = self.last.lock();
        last.written_bytes = last.written_bytes.saturating_add(bytes);
        self.look(&mut last);
    }

    pub(super) fn space(&self) -> Space {
        let mut last = self.last.lock();
        self.look(&mut last);
        last.space
    }

    /// A full disk looks again, once a second, so that it recovers without anybody writing.
    fn is_full(&self) -> bool {
        if self.full.load(Ordering::Relaxed) {
            self.space();
        }
        self.full.load(Ordering::Relaxed)
    }

    fn look(&self, last: &mut LastLook) {
        let now = self.clock.monotonic();
        let fresh = last
            .at
            .is_some_and(|at| now.saturating_sub(at) < RECHECK_AFTER);
        let recheck_bytes =
            RECHECK_BYTES.min(self.options.reserve_bytes(last.space) / RECHECKS_PER_RESERVE);
        if fresh && last.written_bytes < recheck_bytes.max(1) {
            return;
        }
        last.at = Some(now);
        last.written_bytes = 0;
        self.look_for_identity();
        match self.volume.space() {
            Ok(space) => self.judge(last, space),
            Err(error) => {
                tracing::warn!(disk = %self.volume.location(), %error, "free space unknown");
            }
        }
    }

    /// Takes the disk out if its identity is gone from its directory.
    pub(super) fn look_for_identity(&self) {
        if self.had_identity && matches!(self.volume.open(DISK_FILE), Err(DiskError::NotFound)) {
            let why = format!(
                "{}: {DISK_FILE} is gone: was the directory emptied, or its file system unmounted?",
                self.volume.location()
            );
            self.fail(&DiskError::Failed(why));
        }
    }

    fn judge(&self, last: &mut LastLook, space: Space) {
        last.space = space;
        let wanted = if self.full.load(Ordering::Relaxed) {
            self.options.enough_bytes(space)
        } else {
            self.options.reserve_bytes(space)
        };
        let full = space.free_bytes < wanted;
        if self.full.swap(full, Ordering::Relaxed) != full {
            let free_bytes = space.free_bytes;
            tracing::warn!(disk = %self.volume.location(), full, free_bytes, "disk space");
        }
    }
}
