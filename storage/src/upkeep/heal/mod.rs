//! Healing: what lost copies or shards gets them back, oldest risk first.
//!
//! What lacks redundancy is not stored but looked up: a *survey* of the metadata (less than a microsecond a row) compares each record with the
//! disks that are here. So nothing is forgotten by a crash, and nothing has to be kept up to date. Only what a record can't tell is
//! queued (key space `h`): damage that a reader met, and shards that were lost between append and sync.
//!
//! A *round* heals the queue, then what survives no further loss, then what survives one, and so on; last the deletions ([`knowledge`]).
//! Records and small blobs are committed anew; of large blobs only the lost shards are written. All commits have preconditions,
//! so clients go on meanwhile, and win.
//!
//! Invariants:
//! - Nothing that is referenced is removed, and what is written leaks in no crash (see `objects::heal`).
//! - Memory is bounded, whatever there is to heal.
//! - What can't be healed now holds up nothing else, and is not tried again before something has changed, or some time has gone by.
//!
//! [`knowledge`]: crate::meta::embedded

#[cfg(any(test, feature = "testing"))]
mod audit;
mod balance;
mod census;
mod memory;
mod past;
mod status;
mod survey;
#[cfg(test)]
mod tests;
mod work;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};

#[cfg(any(test, feature = "testing"))]
pub use self::audit::Audit;
pub use self::status::{HealState, HealStatus, Tally};
use self::{
    balance::levels::LEVEL_BYTES,
    memory::Memory,
    survey::{Need, Standings},
    work::Outcome,
};
use crate::{
    clock::Clock,
    disk::{DiskNo, Health},
    meta::{
        Change, Meta, Transaction,
        embedded::{Embedded, Stored},
        keys::{HEAL, HEAL_STATE, heal_key},
    },
    objects::{Store, StoreError},
    stripes::{Pool, PoolDisk, Rest, Role, StripeError},
    upkeep::{Pace, PaceSettings},
};

/// How often the loop looks whether readers have met damage.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time between surveys that nothing calls for.
const SURVEY_EVERY: Duration = Duration::from_hours(24);
/// Time between surveys while a disk is being drained.
const LOOK_AT_DRAIN_EVERY: Duration = Duration::from_secs(5);
/// Time after which is tried again what failed, and the queue is looked through.
const AGAIN_AFTER: Duration = Duration::from_mins(1);
/// Rows that are looked at without a pause.
const ROWS: usize = 4096;
/// Rows with something to heal that are held at a time.
const PAGE: usize = 256;
/// Records that are healed at the same time at most.
const AT_ONCE: usize = 64;
/// Memory that healing takes at most, in units of [`UNIT_BYTES`].
const UNITS: usize = 128;
const UNIT_BYTES: u64 = 256 << 10;
/// What healing reads or writes of a shard at a time while clients are served, and while not.
const GENTLE_BYTES: u64 = 256 << 10;
const FULL_BYTES: u64 = 1 << 20;
/// The time over which the rate is taken.
const RATE_OVER: Duration = Duration::from_secs(30);

/// Heals a store. Made once per store; [`Healer::run`] is its loop.
#[derive(Debug)]
pub struct Healer {
    engine: Arc<Embedded>,
    store: Store,
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    shared: Mutex<Shared>,
    memory: Mutex<Option<Memory>>,
    /// Something may have changed: a survey is due.
    wake: Notify,
    units: Arc<Semaphore>,
    breath: Arc<Breath>,
    /// The extents are to be counted in the next round.
    census_due: AtomicBool,
    level_bytes: AtomicU64,
    /// Queued keys of which too few shards are left: not tried again before the next round.
    lost: Mutex<BTreeSet<Bytes>>,
    /// One round at a time.
    rounds: tokio::sync::Mutex<()>,
    /// How often logs were distrusted.
    distrusts: AtomicU64,
    /// Up to which of [`Embedded::short_deletions`] the last pass over the logs has made up for; `None` before the first.
    made_up_for: Mutex<Option<u64>>,
}

#[derive(Debug, Default)]
struct Shared {
    status: HealStatus,
    /// When how many bytes had been healed.
    marks: VecDeque<(Duration, u64)>,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Records that were healed.
    pub healed: u64,
    /// Records that could have been healed and were not: something went wrong, or they changed meanwhile.
    pub failed: u64,
    /// Records that wait for a disk or for room.
    pub waiting: u64,
    /// Records of which too few shards are left.
    pub lost: u64,
    /// Blobs of which a shard was moved from a fuller disk to an emptier one.
    pub moved: u64,
    /// Deletions and other frames that were copied to further disks.
    pub restored_frames: u64,
    /// Extents that nothing named and that were removed.
    pub strays: u64,
    /// It was paused before its end.
    pub paused: bool,
}

impl Round {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Nothing => {}
            Outcome::Healed => self.healed += 1,
            Outcome::Changed => self.failed += 1,
            Outcome::Waiting => self.waiting += 1,
            Outcome::Lost => self.lost += 1,
        }
    }
}

/// Makes workers rest as the pace wants it. The time in which at least one of them works counts, once.
#[derive(Debug)]
struct Breath {
    clock: Arc<dyn Clock>,
    pace: Arc<Pace>,
    /// Up to when work was accounted for.
    accounted: Mutex<Duration>,
}

#[async_trait]
impl Rest for Breath {
    fn unit_bytes(&self) -> u64 {
        if self.pace.serves_clients() {
            GENTLE_BYTES
        } else {
            FULL_BYTES
        }
    }

    async fn rest(&self, bytes: u64) {
        let busy = self.account();
        self.pace.rest(busy, bytes).await;
        // What went by while all rested was no work.
        let now = self.clock.monotonic();
        let mut accounted = self.accounted.lock();
        *accounted = now.max(*accounted);
    }
}

impl Breath {
    /// The time since the last unit of work of anybody ended.
    fn account(&self) -> Duration {
        let now = self.clock.monotonic();
        let mut accounted = self.accounted.lock();
        let busy = now.saturating_sub(*accounted);
        *accounted = now.max(*accounted);
        busy
    }
}

impl Healer {
    /// For the store `store` on `engine`.
    pub fn new(engine: Arc<Embedded>, store: Store, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            pool: Arc::clone(engine.pool()),
            engine,
            shared: Mutex::default(),
            memory: Mutex::default(),
            wake: Notify::new(),
            census_due: AtomicBool::new(true),
            level_bytes: AtomicU64::new(LEVEL_BYTES),
            lost: Mutex::default(),
            units: Arc::new(Semaphore::new(UNITS)),
            breath: Arc::new(Breath {
                accounted: Mutex::new(clock.monotonic()),
                clock: Arc::clone(&clock),
                pace: Pace::new(
                    Arc::clone(&clock),
                    Arc::clone(store.load()),
                    PaceSettings::default(),
                ),
            }),
            clock,
            store,
            rounds: tokio::sync::Mutex::default(),
            distrusts: AtomicU64::new(0),
            made_up_for: Mutex::default(),
        })
    }

    /// Takes up what was set before the last start.
    pub async fn load(&self) {
        if self.memory().await.paused {
            self.set_state(HealState::Paused);
        }
    }

    /// How healing stands.
    pub fn status(&self) -> HealStatus {
        let mut shared = self.shared.lock();
        let now = self.clock.monotonic();
        shared.measure(now);
        shared.status.clone()
    }

    /// Surveys and heals as soon as it can: a disk has come back, was replaced, or somebody wants it now.
    pub fn wake(&self) {
        self.census_due.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Goes on, and begins at once. Remembered over restarts.
    ///
    /// # Errors
    /// Those of the metadata engine: it goes on, but may be paused again after a restart.
    pub async fn start(&self) -> Result<(), StoreError> {
        let result = self.change(|memory| memory.paused = false).await;
        self.wake();
        result
    }

    /// Stops after what is under way. Remembered over restarts.
    ///
    /// # Errors
    /// Those of the metadata engine: it pauses, but may go on after a restart.
    pub async fn pause(&self) -> Result<(), StoreError> {
        let result = self.change(|memory| memory.paused = true).await;
        self.wake();
        result
    }

    /// How fast it goes.
    pub fn pace(&self) -> PaceSettings {
        self.breath.pace.settings()
    }

    /// Sets how fast it goes, from now on. Remembered over restarts.
    ///
    /// # Errors
    /// Those of the metadata engine: it holds, but perhaps not after a restart.
    pub async fn set_pace(&self, pace: PaceSettings) -> Result<(), StoreError> {
        self.change(|memory| memory.pace = pace).await
    }

    /// The logs of these disks may lack deletions that they should have: the next round reads all logs through.
    ///
    /// # Errors
    /// Those of the metadata engine: it will not be known after a restart.
    pub async fn distrust(&self, disks: &[DiskNo]) -> Result<(), StoreError> {
        self.distrusts.fetch_add(1, Ordering::Relaxed);
        self.change(|memory| memory.whole.retain(|disk| !disks.contains(disk)))
            .await
    }

    /// Whether all disks that are here are known to have the deletions that they should have.
    pub async fn knows_all(&self) -> bool {
        let whole = self.whole().await;
        let here = self.standings().map(|standings| standings.here());
        here.is_ok_and(|here| here.is_subset(&whole)) && !self.may_leave_deletions()
    }

    /// Whether a disk that is being drained may have been given deletions that too few others have: where the others are too few, it is
    /// written to. Of earlier processes nobody knows.
    fn may_leave_deletions(&self) -> bool {
        let disks = self.pool.disks();
        let is_draining = disks.iter().any(|disk| disk.role == Role::Draining);
        is_draining && *self.made_up_for.lock() != Some(self.engine.short_deletions())
    }

    /// Disks that are here to stay.
    fn lasting(&self) -> usize {
        let disks = self.pool.disks();
        let lasts = |disk: &&PoolDisk| {
            disk.role == Role::Member && !matches!(disk.health(), Health::Failed(_))
        };
        disks.iter().filter(lasts).count()
    }

    /// Works until `stop` turns true.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut next_survey = Duration::ZERO;
        let mut next_queue = Duration::ZERO;
        let mut took_data = BTreeSet::new();
        while !*stop.borrow() {
            let woken = tokio::select! {
                () = self.clock.sleep(LOOK_EVERY) => false,
                () = self.wake.notified() => true,
                _ = stop.changed() => continue,
            };
            // A disk finds out that it has room again only when somebody asks.
            self.pool.spaces().await;
            let takes_data = self.pool.disks_with_room();
            let woken = woken || !takes_data.is_subset(&took_data);
            took_data = takes_data;
            let found = self.queue_damaged().await;
            if self.is_paused().await {
                self.shared.lock().status.state = HealState::Paused;
                continue;
            }
            let now = self.clock.monotonic();
            let work = async {
                if woken || now >= next_survey {
                    self.rounds_until_done().await
                } else if found || now >= next_queue {
                    self.queue_alone().await
                } else {
                    None
                }
            };
            let done = tokio::select! {
                done = work => done,
                _ = stop.changed() => continue,
            };
            let now = self.clock.monotonic();
            if woken || now >= next_survey {
                next_survey = now + self.until_next_survey(done);
            }
            if done.is_some_and(|round| round.failed == 0) && next_survey > now + AGAIN_AFTER {
                // The next survey is a day away: by then a disk may have lost files.
                self.census_due.store(true, Ordering::Relaxed);
            }
            if done.is_some() {
                next_queue = now + AGAIN_AFTER;
            }
        }
    }

    fn until_next_survey(&self, done: Option<Round>) -> Duration {
        let disks = self.pool.disks();
        if disks.iter().any(|disk| disk.role == Role::Draining) {
            // Uploads that began before may land there yet.
            return LOOK_AT_DRAIN_EVERY;
        }
        match done {
            Some(round) if round.failed == 0 => SURVEY_EVERY,
            _ => AGAIN_AFTER,
        }
    }

    /// Rounds until one heals and moves nothing any more: what clients do meanwhile changes the levels. `None` after an error.
    async fn rounds_until_done(&self) -> Option<Round> {
        loop {
            match self.round().await {
                Ok(round) if round.healed + round.moved > 0 && !round.paused => {}
                Ok(round) => return Some(round),
                Err(error) => {
                    self.note_error(&error);
                    return None;
                }
            }
        }
    }

    async fn queue_alone(&self) -> Option<Round> {
        let _alone = self.rounds.lock().await;
        let mut round = Round::default();
        let result = self.heal_queue(&mut round).await;
        if let Err(error) = result {
            self.note_error(&error);
        }
        Some(round)
    }

    /// A survey, and one attempt at all that it finds.
    ///
    /// # Errors
    /// [`StoreError`]: the metadata can't be read or written now. What was healed is.
    pub async fn round(&self) -> Result<Round, StoreError> {
        let _alone = self.rounds.lock().await;
        let mut round = Round::default();
        self.set_state(HealState::Surveying);
        let levels = self.survey(&mut round).await?;
        self.lost.lock().clear();
        if self.census_due.load(Ordering::Relaxed) && !self.is_paused().await {
            round.strays = self.census().await?.strays;
            self.census_due.store(false, Ordering::Relaxed);
        }
        let fill = self.look_at_levels().await?;
        self.set_state(HealState::Healing);
        self.heal_queue(&mut round).await?;
        for level in levels {
            self.heal_level(level, &mut round).await?;
        }
        if !self.is_paused().await {
            self.restore_knowledge(&mut round).await?;
            self.rewrite_the_past(&mut round).await;
        }
        // What was healed changed the levels: the round that follows looks at them anew.
        if round.healed == 0 {
            self.rebalance(fill, &mut round).await?;
        }
        round.paused = self.is_paused().await;
        self.settle(&round);
        Ok(round)
    }

    /// Counts what lacks redundancy. The numbers of spare shards at which there is something to heal.
    async fn survey(&self, round: &mut Round) -> Result<BTreeSet<i64>, StoreError> {
        let mut found = HealStatus::default();
        let (mut levels, mut total) = (BTreeSet::new(), Tally::default());
        let mut from = Some(Bytes::new());
        while let Some(start) = from {
            let standings = self.standings()?;
            let page = self.rows(start, ROWS, Arc::clone(&standings), i64::MAX);
            let (rows, next) = page.await?;
            from = next;
            for (key, stored) in rows {
                let verdict = standings.judge(&key, &stored);
                match verdict.need {
                    Need::Nothing => continue,
                    Need::Healing => {
                        levels.insert(verdict.spare);
                        total.add(verdict.bytes);
                    }
                    Need::Waiting => {
                        found.waiting.add(verdict.bytes);
                        round.waiting += 1;
                    }
                    Need::Lost => {
                        found.lost.add(verdict.bytes);
                        round.lost += 1;
                    }
                }
                if !verdict.only_moves {
                    let level = found.degraded.entry(verdict.spare).or_default();
                    level.add(verdict.bytes);
                }
            }
            self.breath.rest(0).await;
        }
        let mut shared = self.shared.lock();
        let status = &mut shared.status;
        status.degraded = found.degraded;
        status.waiting = found.waiting;
        status.lost = found.lost;
        status.total = total;
        status.done = Tally::default();
        status.surveys += 1;
        Ok(levels)
    }

    /// Rows that are not as they should be and have at most `spare` spare shards.
    async fn rows(
        &self,
        from: Bytes,
        limit: usize,
        standings: Arc<Standings>,
        spare: i64,
    ) -> Result<(Vec<(Bytes, Stored)>, Option<Bytes>), StoreError> {
        let wanted = move |key: &[u8], stored: &Stored| {
            let verdict = standings.judge(key, stored);
            verdict.need != Need::Nothing && verdict.spare <= spare
        };
        Ok(self.engine.rows(from, limit, ROWS, wanted).await?)
    }

    /// Heals what has at most `spare` spare shards.
    async fn heal_level(&self, spare: i64, round: &mut Round) -> Result<(), StoreError> {
        let mut from = Some(Bytes::new());
        while let Some(start) = from {
            if self.is_paused().await {
                return Ok(());
            }
            let standings = self.standings()?;
            let page = self
                .rows(start, PAGE, Arc::clone(&standings), spare)
                .await?;
            from = page.1;
            let mut work = stream::iter(page.0)
                .map(|(key, stored)| self.heal_counted(key, stored, &standings))
                .buffer_unordered(AT_ONCE);
            while let Some(outcome) = work.next().await {
                match outcome {
                    // Counted by the survey.
                    Outcome::Waiting => {}
                    other => round.count(other),
                }
            }
        }
        Ok(())
    }

    async fn heal_counted(&self, key: Bytes, stored: Stored, standings: &Standings) -> Outcome {
        let verdict = standings.judge(&key, &stored);
        if verdict.need != Need::Healing {
            return Outcome::Nothing;
        }
        let outcome = match self.heal(&key, false, standings).await {
            Ok(outcome) => outcome,
            Err(error) => self.outcome_of(&error),
        };
        if outcome == Outcome::Lost {
            self.shared.lock().status.lost.add(verdict.bytes);
        }
        if outcome == Outcome::Healed {
            let mut shared = self.shared.lock();
            if let Some(level) = shared.status.degraded.get_mut(&verdict.spare) {
                level.objects = level.objects.saturating_sub(1);
                level.bytes = level.bytes.saturating_sub(verdict.bytes);
            }
            shared.status.done.add(verdict.bytes);
        }
        outcome
    }

    /// Heals what the queue names.
    async fn heal_queue(&self, round: &mut Round) -> Result<(), StoreError> {
        let mut from = Bytes::from_static(&[HEAL]);
        loop {
            if self.is_paused().await {
                return Ok(());
            }
            let entries = self.engine.scan(&from, &[HEAL + 1], PAGE).await?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            let mut next = last.key.to_vec();
            next.push(0);
            from = next.into();
            let standings = self.standings()?;
            let mut work = stream::iter(entries)
                .map(|entry| self.heal_entry(entry, &standings))
                .buffer_unordered(AT_ONCE);
            while let Some(outcome) = work.next().await {
                round.count(outcome);
            }
        }
    }

    async fn restore_knowledge(&self, round: &mut Round) -> Result<(), StoreError> {
        let standings = self.standings()?;
        let here = standings.here();
        let profile = self.pool.profile();
        let known = self.whole().await;
        // With so few disks that a deletion gets fewer copies than it should have, each absence counts.
        let is_thin = Pool::write_quorum(profile) <= profile.parity();
        let away: Vec<DiskNo> = standings.away().into_iter().collect();
        let absent: Vec<DiskNo> = away
            .into_iter()
            .filter(|disk| known.contains(disk))
            .collect();
        if is_thin && !absent.is_empty() {
            self.change(|memory| memory.whole.retain(|disk| !absent.contains(disk)))
                .await?;
        }
        let can_make_up = self.may_leave_deletions() && self.lasting() > profile.parity();
        let is_due = !here.is_subset(&known) || can_make_up;
        if !is_due || !standings.is_writable() {
            return Ok(());
        }
        let short_deletions = self.engine.short_deletions();
        let distrusts = self.distrusts.load(Ordering::Relaxed);
        let mut pass = self.engine.knowledge_pass().await?;
        loop {
            if self.is_paused().await {
                return Ok(());
            }
            let step = pass.step().await?;
            if step.done {
                round.restored_frames += step.appended;
                break;
            }
            self.breath.rest(step.bytes).await;
        }
        drop(pass);
        self.shared.lock().status.restored_frames += round.restored_frames;
        if self.distrusts.load(Ordering::Relaxed) != distrusts {
            // The pass may have begun before what called for another one.
            return Ok(());
        }
        if can_make_up && self.lasting() > profile.parity() {
            *self.made_up_for.lock() = Some(short_deletions);
        }
        let now_here = self.standings()?.here();
        let whole: BTreeSet<DiskNo> = here.intersection(&now_here).copied().collect();
        let trusted = whole.clone();
        self.change(move |memory| memory.whole = whole).await?;
        self.engine.trust_disks(&trusted);
        Ok(())
    }

    /// The disks that are known to have the deletions that they should have.
    async fn whole(&self) -> BTreeSet<DiskNo> {
        let mut whole = self.memory().await.whole;
        let doubted = self.engine.doubted_disks();
        whole.retain(|disk| !doubted.contains(disk));
        whole
    }

    fn standings(&self) -> Result<Arc<Standings>, StoreError> {
        let standings = Standings::of(&self.pool).map_err(StripeError::Disk)?;
        Ok(Arc::new(standings))
    }

    fn settle(&self, round: &Round) {
        let waits_for = self.what_is_waited_for();
        let mut shared = self.shared.lock();
        let status = &mut shared.status;
        status.degraded.retain(|_, level| level.objects > 0);
        let failed = (round.failed > 0).then(|| status.last_error.clone());
        status.state = match failed {
            _ if round.paused => HealState::Paused,
            None if round.waiting == 0 => HealState::Idle,
            None => {
                HealState::Waiting(waits_for.unwrap_or_else(|| "room on further disks".to_owned()))
            }
            Some(error) => {
                // That disks are full or away says more than what came of it.
                let why = waits_for.or(error);
                HealState::Waiting(why.unwrap_or_else(|| "objects changed meanwhile".to_owned()))
            }
        };
    }

    /// The disks that are away or full.
    fn what_is_waited_for(&self) -> Option<String> {
        let wait = |disk: &PoolDisk| {
            let which = format!("disk {} ({})", disk.number.0, disk.location);
            match disk.health() {
                Health::Failed(_) => Some(which),
                Health::Full => Some(format!("room on {which}")),
                Health::Good => None,
            }
        };
        let waits: Vec<String> = self.pool.disks().iter().filter_map(wait).collect();
        (!waits.is_empty()).then(|| waits.join(", "))
    }

    fn set_state(&self, state: HealState) {
        self.shared.lock().status.state = state;
    }

    fn note_error(&self, error: &StoreError) {
        tracing::warn!(%error, "healing");
        self.shared.lock().status.last_error = Some(error.to_string());
    }

    fn outcome_of(&self, error: &StoreError) -> Outcome {
        self.note_error(error);
        match error {
            StoreError::Unreadable(_) => Outcome::Lost,
            _ => Outcome::Changed,
        }
    }

    fn note_healed(&self, bytes: u64) {
        let now = self.clock.monotonic();
        let mut shared = self.shared.lock();
        shared.status.healed_objects += 1;
        shared.status.healed_bytes += bytes;
        shared.measure(now);
    }

    /// Queues what readers have met; whether there was anything. [`Healer::run`] does so.
    pub async fn queue_damaged(&self) -> bool {
        let keys = self.store.take_damaged();
        let found = !keys.is_empty();
        if let Err(error) = self.store.queue_for_healing(keys).await {
            self.note_error(&error);
        }
        found
    }

    async fn is_paused(&self) -> bool {
        self.memory().await.paused
    }

    /// What is remembered; defaults where it can't be read.
    async fn memory(&self) -> Memory {
        if let Some(memory) = &*self.memory.lock() {
            return memory.clone();
        }
        let found = self.engine.get(HEAL_STATE).await;
        let Ok(found) = found else {
            return Memory::default();
        };
        let found = found.and_then(|found| Memory::decode(&found.value));
        let memory = found.unwrap_or_default();
        self.breath.pace.set(memory.pace);
        self.memory.lock().get_or_insert(memory).clone()
    }

    async fn change(&self, change: impl FnOnce(&mut Memory)) -> Result<(), StoreError> {
        let mut memory = self.memory().await;
        let pace = memory.pace;
        change(&mut memory);
        if memory.pace != pace {
            self.breath.pace.set(memory.pace);
        }
        let value = memory.encode();
        *self.memory.lock() = Some(memory);
        let transaction = Transaction {
            changes: vec![Change {
                key: Bytes::from_static(HEAL_STATE),
                value: Some(value),
            }],
            ..Transaction::default()
        };
        self.engine.commit(transaction).await?;
        Ok(())
    }
}

impl Shared {
    /// Brings the rate and the time that is left up to date.
    fn measure(&mut self, now: Duration) {
        let healed = self.status.healed_bytes + self.status.moved.bytes;
        let is_new = self
            .marks
            .back()
            .is_none_or(|(at, _)| now.saturating_sub(*at) >= RATE_OVER / 30);
        if is_new {
            self.marks.push_back((now, healed));
        }
        while self.marks.len() > 2
            && self
                .marks
                .get(1)
                .is_some_and(|(at, _)| now.saturating_sub(*at) > RATE_OVER)
        {
            self.marks.pop_front();
        }
        let status = &mut self.status;
        status.bytes_per_second = match self.marks.front() {
            Some((at, before)) if now > *at => {
                let millis = now.saturating_sub(*at).as_millis().max(1);
                let rate = u128::from(healed - before) * 1000 / millis;
                u64::try_from(rate).unwrap_or(u64::MAX)
            }
            _ => 0,
        };
        let left = match status.state {
            HealState::Levelling => status.left_to_move_bytes,
            _ => status.total.bytes.saturating_sub(status.done.bytes),
        };
        let is_busy = matches!(status.state, HealState::Healing | HealState::Levelling);
        status.left = (is_busy && status.bytes_per_second > 0)
            .then(|| Duration::from_secs(left / status.bytes_per_second));
    }
}

/// The key that an entry of the queue names.
fn key_of(entry: &Bytes) -> Bytes {
    debug_assert_eq!(heal_key(&entry.slice(1..)), entry);
    entry.slice(1..)
}
