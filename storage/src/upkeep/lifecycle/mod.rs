//! Applying the lifecycle rules of buckets, once a day.
//!
//! A *pass* goes through all buckets that have rules, by name, and in each through the objects, then the uploads, in order of key. It begins
//! when a day begins, and soon after rules were set. It rests as its [`Pace`] says, remembers where it is twice a minute, and goes on from
//! there after a restart. What is due is found and taken away by `Store::expire_step`.
//!
//! Invariant: a step may be repeated: it goes by what is there.

mod memory;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::watch;

use self::memory::{MEMORY_KEY, Memory, Pass};
use super::{Pace, PaceSettings};
use crate::{
    clock::Clock,
    meta::{Change, Meta, Transaction},
    objects::{Expired, Place, Store, StoreError},
};

/// Less of the time than other upkeep takes: nobody waits for what expires, and each commit of it shares the disks with clients' writes.
const PACE: PaceSettings = PaceSettings {
    share_percent: 10,
    max_bytes_per_second: None,
};
/// How often it looks whether a pass is due.
const LOOK: Duration = Duration::from_secs(1);
/// How often a pass remembers where it is.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// How long to wait after a pass met an error.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What passes have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LifecycleTally {
    /// Objects and uploads that were looked at.
    pub looked_at: u64,
    /// Current versions that are gone, or hidden by a delete marker now.
    pub objects: u64,
    /// Noncurrent versions that are gone.
    pub versions: u64,
    /// Delete markers that are gone because they hid nothing.
    pub delete_markers: u64,
    /// Uploads given up.
    pub uploads: u64,
    /// What was due but is locked.
    pub locked: u64,
}

impl From<Expired> for LifecycleTally {
    fn from(expired: Expired) -> Self {
        Self {
            looked_at: expired.looked_at,
            objects: expired.objects,
            versions: expired.versions,
            delete_markers: expired.markers,
            uploads: expired.uploads,
            locked: expired.locked,
        }
    }
}

/// How lifecycles stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleStatus {
    /// What the pass under way has done.
    pub pass: Option<LifecycleTally>,
    /// When the last pass began, milliseconds since the Unix epoch; 0: never.
    pub started_unix_millis: u64,
    /// When the last pass that came to its end did so; 0: none.
    pub ended_unix_millis: u64,
    /// What that one did.
    pub last: LifecycleTally,
    /// Since the start of the process.
    pub totals: LifecycleTally,
    /// Passes that came to their end since the start of the process.
    pub passes: u64,
    /// What went wrong last, if anything did since the start.
    pub last_error: Option<String>,
}

/// The lifecycles of a store's buckets. See the module.
#[derive(Debug)]
pub struct Lifecycles {
    meta: Arc<dyn Meta>,
    store: Store,
    clock: Arc<dyn Clock>,
    pace: Arc<Pace>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    memory: Memory,
    /// Whether the memory was read.
    is_recalled: bool,
    /// Whether a pass since the start has come to a bucket with rules.
    has_rules: bool,
    /// Changes of rules that the last pass began after.
    changes: u64,
    saved_at: Duration,
    totals: Expired,
    passes: u64,
    last_error: Option<String>,
}

impl Lifecycles {
    /// Those of `store`; nothing is done until [`Lifecycles::run`].
    pub fn new(meta: Arc<dyn Meta>, store: Store, clock: Arc<dyn Clock>) -> Arc<Self> {
        let load = Arc::clone(store.load());
        let pace = Pace::new(Arc::clone(&clock), load, PACE);
        Arc::new(Self {
            meta,
            store,
            clock,
            pace,
            state: Mutex::default(),
        })
    }

    /// Makes passes when they are due, until `stop` turns true.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let working = async {
                if let Err(error) = self.look_for_work().await {
                    tracing::warn!(%error, "expiring is interrupted, and goes on soon");
                    self.state.lock().last_error = Some(error.to_string());
                    self.clock.sleep(AGAIN_AFTER).await;
                }
                self.clock.sleep(LOOK).await;
            };
            tokio::select! {
                () = working => {}
                _ = stop.changed() => {}
            }
        }
        if let Err(error) = self.save().await {
            tracing::debug!(%error, "how far expiring had come was not remembered");
        }
    }

    /// How it stands. Reads nothing but what is in memory.
    pub fn status(&self) -> LifecycleStatus {
        let state = self.state.lock();
        let memory = &state.memory;
        LifecycleStatus {
            pass: memory.pass.as_ref().map(|pass| pass.tally.into()),
            started_unix_millis: memory.started_unix_millis,
            ended_unix_millis: memory.ended_unix_millis,
            last: memory.last.into(),
            totals: state.totals.into(),
            passes: state.passes,
            last_error: state.last_error.clone(),
        }
    }

    /// Makes a pass if one is due, or goes on with the one under way, to its end.
    ///
    /// # Errors
    /// Those of the metadata engine: it goes on the next time.
    pub(crate) async fn look_for_work(&self) -> Result<(), StoreError> {
        self.recall().await?;
        if !self.begin_if_due() {
            return Ok(());
        }
        while let Some(pass) = self.under_way() {
            self.step(pass).await?;
            self.save_now_and_then().await?;
        }
        self.save().await
    }

    /// Whether a pass is under way, or one was begun.
    fn begin_if_due(&self) -> bool {
        let (now, changes) = (self.clock.unix_millis(), self.store.lifecycle_changes());
        let calendar = self.store.calendar();
        let mut state = self.state.lock();
        let is_new_day = calendar.day(now) != calendar.day(state.memory.started_unix_millis);
        if state.memory.pass.is_none() && (is_new_day || changes != state.changes) {
            state.changes = changes;
            state.memory.started_unix_millis = now;
            state.memory.pass = Some(Pass::default());
        }
        state.memory.pass.is_some()
    }

    fn under_way(&self) -> Option<Pass> {
        self.state.lock().memory.pass.clone()
    }

    /// A page of objects or uploads of one bucket, or the way to the next one.
    async fn step(&self, pass: Pass) -> Result<(), StoreError> {
        let Some(bucket) = pass.bucket else {
            return self.next_bucket("").await;
        };
        let (done, next) = self
            .store
            .expire_step(&bucket, &pass.place, &self.pace)
            .await?;
        {
            let mut state = self.state.lock();
            state.totals.add(done);
            if let Some(pass) = &mut state.memory.pass {
                pass.tally.add(done);
                pass.place = next.clone().unwrap_or_default();
            }
        }
        if next.is_none() {
            self.next_bucket(bucket.as_str()).await?;
        }
        Ok(())
    }

    /// Goes to the bucket after `name`, or ends the pass.
    async fn next_bucket(&self, name: &str) -> Result<(), StoreError> {
        let next = self.store.ruled_bucket_after(name).await?;
        let now = self.clock.unix_millis();
        let mut state = self.state.lock();
        let Some(pass) = &mut state.memory.pass else {
            return Ok(());
        };
        if next.is_some() {
            pass.bucket = next;
            pass.place = Place::default();
            state.has_rules = true;
            return Ok(());
        }
        let tally = pass.tally;
        state.memory.last = tally;
        state.memory.ended_unix_millis = now;
        state.memory.pass = None;
        state.passes += 1;
        if tally != Expired::default() {
            tracing::debug!(?tally, "lifecycle rules applied");
        }
        Ok(())
    }

    /// Begins a pass if one is due.
    #[cfg(test)]
    pub(crate) async fn begin_pass(&self) -> Result<bool, StoreError> {
        self.recall().await?;
        Ok(self.begin_if_due())
    }

    /// A step of the pass under way.
    #[cfg(test)]
    pub(crate) async fn one_step(&self) -> Result<(), StoreError> {
        match self.under_way() {
            Some(pass) => self.step(pass).await,
            None => Ok(()),
        }
    }

    /// Writes down where it is.
    #[cfg(test)]
    pub(crate) async fn remember(&self) -> Result<(), StoreError> {
        self.save().await
    }

    /// Reads the memory, once.
    async fn recall(&self) -> Result<(), StoreError> {
        if self.state.lock().is_recalled {
            return Ok(());
        }
        let found = self.meta.get(MEMORY_KEY).await?;
        let memory = found.and_then(|found| Memory::decode(&found.value));
        let mut state = self.state.lock();
        state.memory = memory.unwrap_or_default();
        state.has_rules = state.memory.pass.is_some();
        state.is_recalled = true;
        Ok(())
    }

    async fn save_now_and_then(&self) -> Result<(), StoreError> {
        let is_time = {
            let state = self.state.lock();
            let age = self.clock.monotonic().saturating_sub(state.saved_at);
            state.memory.pass.is_some() && age >= SAVE_EVERY
        };
        if is_time {
            self.save().await?;
        }
        Ok(())
    }

    /// Writes the memory, unless there is nothing to remember: no bucket has rules, and none had.
    async fn save(&self) -> Result<(), StoreError> {
        let value = {
            let mut state = self.state.lock();
            let memory = &state.memory;
            let is_idle = !state.has_rules && memory.last == Expired::default();
            if !state.is_recalled || is_idle {
                return Ok(());
            }
            state.saved_at = self.clock.monotonic();
            state.memory.encode()
        };
        let change = Change {
            key: MEMORY_KEY.to_vec().into(),
            value: Some(value),
        };
        let transaction = Transaction {
            changes: vec![change],
            ..Transaction::default()
        };
        self.meta.commit(transaction).await?;
        Ok(())
    }
}
