//! How fast background work may go: full speed while nobody is served, otherwise a share of the time.
//!
//! Work is done in units of some hundred KiB; after each, [`Pace::rest`] sleeps for as long as the settings ask. All workers
//! that share a pace share its budget: what one has used, the others wait for as well.
//!
//! Invariants:
//! - While clients are served, work takes at most `share_percent` of the time, of all workers of the pace together.
//! - `max_bytes_per_second` holds always.
//! - A change of the settings takes effect at once, also for those who are resting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use crate::{clock::Clock, varint};

/// Clients count as being served for so long after the last thing that was done for one.
const QUIET_AFTER: Duration = Duration::from_millis(500);
/// Rests look this often whether clients are still there and the settings still the same.
const LOOK: Duration = Duration::from_millis(50);
/// Shorter rests are saved up: timers are no finer than a millisecond.
const LEAST_REST: Duration = Duration::from_millis(4);
/// A unit that took longer counts as one that took this long: a disk that hangs must not stop the work of others for minutes.
const LONGEST_BUSY: Duration = Duration::from_secs(2);

/// Whether clients are being served now. Costs two atomic additions and a look at the clock per step of a request.
#[derive(Debug)]
pub struct ClientLoad {
    clock: Arc<dyn Clock>,
    in_flight: AtomicUsize,
    /// Monotonic nanoseconds, plus one so that 0 is never.
    last_served: AtomicU64,
}

/// Something that is done for a client; it is under way until this is dropped.
#[derive(Debug)]
pub struct Serving(Arc<ClientLoad>);

impl ClientLoad {
    /// Nobody has been served yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            in_flight: AtomicUsize::new(0),
            last_served: AtomicU64::new(0),
        }
    }

    /// Something for a client begins. To be held while disks or metadata work for it, not while the client is waited for.
    pub fn serve(self: &Arc<Self>) -> Serving {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Serving(Arc::clone(self))
    }

    /// Something for a client was done.
    pub fn served(&self) {
        let now = u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
        self.last_served
            .store(now.saturating_add(1), Ordering::Relaxed);
    }

    /// What is under way for clients.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether clients are served now, or were a moment ago.
    pub fn is_active(&self) -> bool {
        if self.in_flight() > 0 {
            return true;
        }
        match self.last_served.load(Ordering::Relaxed) {
            0 => false,
            last => {
                let last = Duration::from_nanos(last - 1);
                self.clock.monotonic().saturating_sub(last) < QUIET_AFTER
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.served();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How fast a kind of background work may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceSettings {
    /// Share of the time that the work takes while clients are served, from 1 to 100. Default 25: more finishes sooner, and clients
    /// wait longer meanwhile. While nobody is served the work takes all the time.
    pub share_percent: u8,
    /// Bytes that the work reads or writes per second at most, whether clients are served or not. Default: no limit.
    pub max_bytes_per_second: Option<u64>,
}

impl PaceSettings {
    /// Appends its form in the metadata: two varints, the share and the limit (0: none).
    pub(super) fn put(self, out: &mut Vec<u8>) {
        varint::put(out, u64::from(self.share_percent));
        varint::put(out, self.max_bytes_per_second.unwrap_or(0));
    }

    /// What [`Self::put`] wrote, from the front of `input`.
    pub(super) fn take(input: &mut &[u8]) -> Option<Self> {
        let share_percent = u8::try_from(varint::take(input)?).ok()?;
        let limit = varint::take(input)?;
        Some(Self {
            share_percent: share_percent.clamp(1, 100),
            max_bytes_per_second: Some(limit).filter(|limit| *limit > 0),
        })
    }
}

impl Default for PaceSettings {
    fn default() -> Self {
        Self {
            share_percent: 25,
            max_bytes_per_second: None,
        }
    }
}

impl PaceSettings {
    /// The time that `busy` may be a share of.
    fn time_for(self, busy: Duration) -> Duration {
        busy * 100 / u32::from(self.share_percent.clamp(1, 100))
    }

    /// The least time for `bytes`.
    fn time_of(self, bytes: u64) -> Duration {
        let Some(rate) = self.max_bytes_per_second else {
            return Duration::ZERO;
        };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Holds background work back. See the module.
#[derive(Debug)]
pub struct Pace {
    clock: Arc<dyn Clock>,
    load: Arc<ClientLoad>,
    budget: Mutex<Budget>,
}

#[derive(Debug)]
struct Budget {
    settings: PaceSettings,
    /// Grows with each change of the settings.
    generation: u64,
    /// When the share of the time is used up until.
    time_until: Duration,
    /// When the bytes per second are used up until.
    bytes_until: Duration,
}

impl Budget {
    fn charge(&mut self, now: Duration, busy: Duration, bytes: u64) {
        let began = now.saturating_sub(busy);
        let busy = busy.min(LONGEST_BUSY);
        // A rest that was longer than it should have been is made up for, as far as timers are coarse.
        let from = began.saturating_sub(LEAST_REST);
        let time_until = self.time_until.max(from);
        self.time_until = time_until.saturating_add(self.settings.time_for(busy));
        let bytes_until = self.bytes_until.max(from);
        self.bytes_until = bytes_until.saturating_add(self.settings.time_of(bytes));
    }
}

impl Pace {
    /// A pace with these settings; `load` tells whether clients are served.
    pub fn new(clock: Arc<dyn Clock>, load: Arc<ClientLoad>, settings: PaceSettings) -> Arc<Self> {
        let now = clock.monotonic();
        Arc::new(Self {
            clock,
            load,
            budget: Mutex::new(Budget {
                settings,
                generation: 0,
                time_until: now,
                bytes_until: now,
            }),
        })
    }

    /// Changes the settings, from now on: what was used under those before is forgotten.
    pub fn set(&self, settings: PaceSettings) {
        let now = self.clock.monotonic();
        let mut budget = self.budget.lock();
        let generation = budget.generation + 1;
        *budget = Budget {
            settings,
            generation,
            time_until: now,
            bytes_until: now,
        };
    }

    /// The settings now.
    pub fn settings(&self) -> PaceSettings {
        self.budget.lock().settings
    }

    /// Whether clients are served now, so that work should come in small pieces.
    pub fn serves_clients(&self) -> bool {
        self.load.is_active()
    }

    /// The beginning of a unit of work, for [`Pace::rest_since`].
    pub fn begin(&self) -> Duration {
        self.clock.monotonic()
    }

    /// [`Pace::rest`] after a unit that began at `began`.
    pub async fn rest_since(&self, began: Duration, bytes: u64) {
        let busy = self.clock.monotonic().saturating_sub(began);
        self.rest(busy, bytes).await;
    }

    /// To be called after each unit of work, some hundred KiB, with the time that it took and the bytes that it read or wrote: sleeps for as
    /// long as the settings ask.
    ///
    /// # Cancel safety
    /// Safe: what was used is accounted for at the first poll.
    pub async fn rest(&self, busy: Duration, bytes: u64) {
        let now = self.clock.monotonic();
        let (generation, time_until, bytes_until) = {
            let mut budget = self.budget.lock();
            budget.charge(now, busy, bytes);
            (budget.generation, budget.time_until, budget.bytes_until)
        };
        let mut least = LEAST_REST;
        while let Some(left) = self.left(generation, time_until, bytes_until)
            && left >= least
        {
            self.clock.sleep(left.min(LOOK)).await;
            least = Duration::from_nanos(1);
        }
    }

    /// How long to rest; `None` if the settings have changed.
    fn left(
        &self,
        generation: u64,
        time_until: Duration,
        bytes_until: Duration,
    ) -> Option<Duration> {
        let now = self.clock.monotonic();
        let mut budget = self.budget.lock();
        if budget.generation != generation {
            return None;
        }
        if self.load.is_active() {
            return Some(time_until.max(bytes_until).saturating_sub(now));
        }
        // Nobody waits: what is owed to clients is forgiven.
        budget.time_until = budget.time_until.min(now);
        Some(bytes_until.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests;
