//! Reading and verifying every byte on every disk, again and again.
//!
//! A *pass* has four stages (`pass`): the logs, segment by segment, each disk in order and all disks at once; the extents of objects, in order
//! of key; those of uploads in progress; and the search for extents that no record names. What a pass reads it reads once, past the page
//! cache where that is possible. It rests after each unit as its [`Pace`] says, remembers where it is in the metadata twice a minute
//! (`memory`), and goes on from there after a restart.
//!
//! A damaged shard queues its object for healing. A damaged copy of a record is written anew at once. Extents that no record names are
//! removed.
//!
//! Invariants:
//! - Nothing counts as damaged unless its record still says the same after the damage was seen, and its disk answers.
//! - An extent is removed only if its blob was complete before the extents were listed, a checkpoint since then has settled what became of
//!   the commit that could name it, and after that no record names it.
//! - Memory is bounded: `pass::INTACT_LIMIT` hashes, `pass::LEAKS_AT_ONCE` extents, a step of some blobs.

mod memory;
mod pass;
mod status;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

pub use memory::{DiskTally, Stage, Verified};
pub use status::{BucketStatus, DiskScrubStatus, PassStatus, ScrubState, ScrubStatus};

use self::memory::{MEMORY_KEY, Memory, Pass};
use super::{Pace, PaceSettings, Verification};
use crate::{
    clock::Clock,
    disk::DiskNo,
    meta::{Change, Meta, MetaError, Transaction, embedded::Embedded},
    objects::{BucketName, PrefixTotal, Store, StoreError},
    stripes::Pool,
};

/// How often it looks whether a pass is due.
const LOOK: Duration = Duration::from_secs(1);
/// How often a pass remembers where it is.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// How long to wait after a pass met an error.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A pass begins when this part of the set time has gone since the last began, in percent; the rest is for reading.
const BEGIN_PERCENT: u32 = 75;

/// When the disks are scrubbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubSettings {
    /// Within this time every byte is read. Default 14 days; `None`: only when somebody starts a pass. Shorter finds rot sooner,
    /// longer reads less.
    pub every: Option<Duration>,
}

impl Default for ScrubSettings {
    fn default() -> Self {
        Self {
            every: Some(Duration::from_hours(14 * 24)),
        }
    }
}

/// Why a pass stops before its end.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("paused, or started anew")]
    Interrupted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<MetaError> for Stop {
    fn from(error: MetaError) -> Self {
        Self::Store(error.into())
    }
}

/// The scrub of a store. See the module.
#[derive(Debug)]
pub struct Scrub {
    engine: Arc<Embedded>,
    store: Store,
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    pace: Arc<Pace>,
    settings: Mutex<ScrubSettings>,
    state: Mutex<State>,
    /// Notified when somebody starts or pauses.
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    memory: Memory,
    /// Whether the memory was read.
    is_recalled: bool,
    is_running: bool,
    /// Somebody wants a pass now.
    is_wanted: bool,
    /// Grows when the pass under way is to be left.
    turn: u64,
    saved_at: Duration,
    /// Of the process, for metrics.
    totals: Totals,
    last_error: Option<String>,
}

/// What was done since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes read and verified.
    pub bytes: u64,
    /// Damage found.
    pub damage: u64,
    /// Extents removed that no record named.
    pub leaks: u64,
    /// Passes that came to their end.
    pub passes: u64,
}

impl Scrub {
    /// The scrub of `store`; nothing is done until [`Scrub::run`].
    pub fn new(
        engine: Arc<Embedded>,
        store: Store,
        pool: Arc<Pool>,
        clock: Arc<dyn Clock>,
        settings: ScrubSettings,
    ) -> Arc<Self> {
        let load = Arc::clone(store.load());
        let pace = Pace::new(Arc::clone(&clock), load, PaceSettings::default());
        Arc::new(Self {
            engine,
            store,
            pool,
            clock,
            pace,
            settings: Mutex::new(settings),
            state: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Changes when it is due.
    pub fn set(&self, settings: ScrubSettings) {
        *self.settings.lock() = settings;
        self.wake.notify_one();
    }

    /// Makes passes when they are due, until `stop` turns true.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let working = async {
                self.look_for_work().await;
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = self.clock.sleep(LOOK) => {}
                }
            };
            tokio::select! {
                () = working => {}
                _ = stop.changed() => {}
            }
        }
        self.state.lock().is_running = false;
        if let Err(error) = self.save().await {
            tracing::debug!(%error, "where the scrub is was not remembered");
        }
    }

    /// Goes on with the pass under way, also if it is paused, or begins one; `again` begins one whatever is under way.
    ///
    /// # Errors
    /// Those of the metadata engine: it begins all the same, but may be forgotten by a restart.
    pub async fn start(&self, again: bool) -> Result<(), StoreError> {
        self.change(|state| {
            state.memory.paused = false;
            if again || state.memory.pass.is_none() {
                state.memory.pass = None;
                state.is_wanted = true;
            }
        })
        .await
    }

    /// Stops where it is until [`Scrub::start`], over restarts.
    ///
    /// # Errors
    /// As [`Scrub::start`].
    pub async fn pause(&self) -> Result<(), StoreError> {
        self.change(|state| state.memory.paused = true).await
    }

    /// Sets its pace, over restarts.
    ///
    /// # Errors
    /// As [`Scrub::start`].
    pub async fn set_pace(&self, settings: PaceSettings) -> Result<(), StoreError> {
        self.recall().await?;
        self.pace.set(settings);
        self.state.lock().memory.pace = settings;
        self.save().await
    }

    /// Makes a pass now, or the rest of the one under way, and says what all of it found per disk. For those who do not [`Scrub::run`] it.
    ///
    /// # Errors
    /// Those of the metadata engine, and [`StoreError::Conflict`] where somebody paused it or started it anew.
    pub async fn pass_once(&self) -> Result<BTreeMap<DiskNo, DiskTally>, StoreError> {
        self.recall().await?;
        match self.pass().await {
            Ok(found) => Ok(found),
            Err(Stop::Store(error)) => Err(error),
            Err(Stop::Interrupted) => Err(StoreError::Conflict),
        }
    }

    /// Begins to read and prove every object of `bucket` whose key begins with `prefix`; also how many there are. `at_full_speed`: without
    /// regard to clients; otherwise with a quarter of the time while clients are served.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn verify(
        &self,
        bucket: &BucketName,
        prefix: &str,
        at_full_speed: bool,
    ) -> Result<(Verification, PrefixTotal), StoreError> {
        let (pool, clock) = (Arc::clone(&self.pool), Arc::clone(&self.clock));
        let store = self.store.clone();
        Verification::begin(store, pool, clock, bucket, prefix, at_full_speed).await
    }

    /// Whether nothing is under way or wanted.
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        !state.is_running && !state.is_wanted && state.memory.pass.is_none()
    }

    async fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), StoreError> {
        self.recall().await?;
        {
            let mut state = self.state.lock();
            change(&mut state);
            state.turn += 1;
        }
        self.wake.notify_one();
        self.save().await
    }

    async fn look_for_work(&self) {
        if let Err(error) = self.recall().await {
            tracing::debug!(%error, "where the scrub was can't be read yet");
            return;
        }
        if !self.is_due() {
            return;
        }
        self.state.lock().is_running = true;
        let done = self.pass().await;
        self.state.lock().is_running = false;
        match done {
            Ok(_) | Err(Stop::Interrupted) => {}
            Err(error) => {
                tracing::warn!(%error, "scrubbing is interrupted, and goes on soon");
                self.state.lock().last_error = Some(error.to_string());
                self.clock.sleep(AGAIN_AFTER).await;
            }
        }
    }

    fn is_due(&self) -> bool {
        let state = self.state.lock();
        if state.memory.paused {
            return false;
        }
        let since_last = self
            .clock
            .unix_millis()
            .saturating_sub(state.memory.last_started_unix_millis);
        let every = self.settings.lock().every;
        let is_time = every.is_some_and(|every| {
            let after = every / 100 * BEGIN_PERCENT;
            u128::from(since_last) >= after.as_millis()
        });
        state.is_wanted || state.memory.pass.is_some() || is_time
    }

    /// Reads the memory, once.
    async fn recall(&self) -> Result<(), StoreError> {
        if self.state.lock().is_recalled {
            return Ok(());
        }
        let found = self.engine.get(MEMORY_KEY).await?;
        let memory = found.and_then(|found| Memory::decode(&found.value));
        let mut state = self.state.lock();
        if !state.is_recalled {
            state.memory = memory.unwrap_or_default();
            state.is_recalled = true;
            self.pace.set(state.memory.pace);
        }
        Ok(())
    }

    /// Writes the memory.
    async fn save(&self) -> Result<(), StoreError> {
        let value = {
            let mut state = self.state.lock();
            if !state.is_recalled {
                return Ok(());
            }
            state.saved_at = self.clock.monotonic();
            state.memory.encode()
        };
        self.put(vec![(MEMORY_KEY.to_vec().into(), Some(value))])
            .await
    }

    async fn put(
        &self,
        changes: Vec<(bytes::Bytes, Option<bytes::Bytes>)>,
    ) -> Result<(), StoreError> {
        let change = |(key, value)| Change { key, value };
        let transaction = Transaction {
            changes: changes.into_iter().map(change).collect(),
            ..Transaction::default()
        };
        self.engine.commit(transaction).await?;
        Ok(())
    }

    /// Changes what is remembered of the pass of `turn`, unless it was left.
    fn note(&self, turn: u64, change: impl FnOnce(&mut Pass, &mut Totals)) -> Result<(), Stop> {
        let mut state = self.state.lock();
        let State {
            memory,
            totals,
            turn: now,
            ..
        } = &mut *state;
        match &mut memory.pass {
            Some(pass) if *now == turn => {
                change(pass, totals);
                Ok(())
            }
            _ => Err(Stop::Interrupted),
        }
    }

    /// To be called now and then: leaves the pass if somebody wants that, and remembers where it is from time to time.
    async fn breathe(&self, turn: u64) -> Result<(), Stop> {
        let_others_go_on().await;
        let is_time = {
            let state = self.state.lock();
            if state.turn != turn {
                return Err(Stop::Interrupted);
            }
            self.clock.monotonic().saturating_sub(state.saved_at) >= SAVE_EVERY
        };
        if is_time {
            self.save().await?;
        }
        Ok(())
    }
}

async fn let_others_go_on() {
    let mut has_waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What the pass has counted of a disk.
fn tally(pass: &mut Pass, disk: DiskNo) -> &mut DiskTally {
    pass.disks.entry(disk).or_default()
}
