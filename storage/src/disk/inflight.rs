//! Operations that have begun on a disk and not ended, and what becomes of them when the disk is given up.
//!
//! A disk that hangs (a dead NFS server, a dying device, a frozen file system) returns no error: its calls just never come
//! back, and a thread in such a call can't be ended. So each call is entered here with the time at which it began; who watches
//! the disk sees the oldest one's age and may give the disk up.
//!
//! Invariants:
//! - After [`InFlight::give_up`] no operation begins, and one that comes back late is told that the disk is out,
//!   whatever came of it: nothing is ever reported as done that was done behind the back of those who had stopped waiting.
//! - What was handed to [`InFlight::keep_until_idle`] is dropped only when no operation is under way: a volume stays
//!   locked while a late write may still land on it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{DiskError, volume::VolumeLock};
use crate::clock::Clock;

/// The operations of one disk.
#[derive(Debug)]
pub(super) struct InFlight {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By number, and so in the order in which they began.
    begun: BTreeMap<u64, Begun>,
    next: u64,
    given_up: Option<String>,
    kept: Vec<Box<dyn VolumeLock>>,
}

#[derive(Debug)]
struct Begun {
    what: &'static str,
    at: Duration,
}

/// An operation under way; dropping it ends it.
struct Operation<'a> {
    flight: &'a InFlight,
    number: u64,
}

impl InFlight {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: Mutex::default(),
        })
    }

    /// Runs `work` as an operation under way.
    ///
    /// # Errors
    /// [`DiskError::Failed`] if the disk was given up, before or meanwhile; else those of `work`.
    pub(super) fn run<T>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let operation = self.begin(what)?;
        let result = work();
        drop(operation);
        self.check()?;
        result
    }

    fn begin(&self, what: &'static str) -> Result<Operation<'_>, DiskError> {
        let at = self.clock.monotonic();
        let mut state = self.state.lock();
        if let Some(why) = &state.given_up {
            return Err(DiskError::Failed(why.clone()));
        }
        let number = state.next;
        state.next += 1;
        state.begun.insert(number, Begun { what, at });
        Ok(Operation {
            flight: self,
            number,
        })
    }

    fn check(&self) -> Result<(), DiskError> {
        match &self.state.lock().given_up {
            Some(why) => Err(DiskError::Failed(why.clone())),
            None => Ok(()),
        }
    }

    /// The oldest operation: what it is and how long it takes already. `None` if there is none, or nobody waits any more.
    pub(super) fn oldest(&self) -> Option<(&'static str, Duration)> {
        let state = self.state.lock();
        if state.given_up.is_some() {
            return None;
        }
        let begun = state.begun.first_key_value()?.1;
        let age = self.clock.monotonic().saturating_sub(begun.at);
        Some((begun.what, age))
    }

    /// Lets no operation begin or succeed any more. False if it was given up before.
    pub(super) fn give_up(&self, why: &str) -> bool {
        let mut state = self.state.lock();
        let first = state.given_up.is_none();
        state.given_up.get_or_insert_with(|| why.to_owned());
        first
    }

    /// Holds `lock` until no operation is under way.
    pub(super) fn keep_until_idle(&self, lock: Box<dyn VolumeLock>) {
        let mut state = self.state.lock();
        if !state.begun.is_empty() {
            state.kept.push(lock);
        }
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        let mut state = self.flight.state.lock();
        state.begun.remove(&self.number);
        if state.begun.is_empty() {
            state.kept.clear();
        }
    }
}
