//! Brings the events that wait for a target to it, for ever.
//!
//! Events are read from the outbox in order, a window of them at a time, and sent several at a time, of a key one after the other. What has arrived
//! is removed in batches, so that after a crash a few events are sent again: each arrives at least once. What has not is sent again, later and later;
//! while a target takes nothing at all, one event at a time tries whether it does again.

use std::{sync::Arc, time::Duration};

use larder_storage::{clock::Clock, objects::Store, rng::Rng};
use tokio::{sync::watch, task::JoinSet};

use super::{
    Counts,
    lanes::Lanes,
    letter::Letter,
    messenger::{Messenger, SendError},
    targets::Target,
};

/// Events in memory at most, about 1 KiB each.
const WINDOW: usize = 1000;
/// So many that arrived are removed at once.
const BATCH: usize = 60;
/// What has arrived is removed after this time at the latest.
const SETTLE_AFTER: Duration = Duration::from_millis(50);
/// While events are under way the outbox is not looked at more often.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The outbox is looked at this often in any case.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);
/// After a first failure; then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After so many failures in a row a target is down.
const DOWN: u32 = 3;
/// An event that has failed so often is told of.
const STUBBORN: u32 = 5;
/// After the store has failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What a courier needs.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) target: Arc<Target>,
    pub(super) counts: Arc<Counts>,
    pub(super) messenger: Arc<dyn Messenger>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: Arc<dyn Rng>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Courier {
    parts: Parts,
    added: watch::Receiver<u64>,
    lanes: Lanes,
    flights: JoinSet<Arrival>,
    /// Numbers of events that have arrived and are to be removed, and since when there are any.
    arrived: Vec<u64>,
    arrived_since: Duration,
    /// The outbox is not looked at before.
    look_at: Duration,
    gate: Gate,
}

#[derive(Debug)]
struct Arrival {
    lane: u64,
    number: u64,
    /// How often all had failed when it was sent.
    failures: u32,
    outcome: Result<(), SendError>,
}

/// Whether the target takes anything.
#[derive(Debug, Default)]
struct Gate {
    /// Failures since the last event that arrived, those that were under way together counted as one.
    failures: u32,
    /// Nothing is sent before.
    opens: Duration,
}

impl Gate {
    fn is_down(&self) -> bool {
        self.failures >= DOWN
    }
}

impl Courier {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            added: parts.store.events_added(),
            parts,
            lanes: Lanes::default(),
            flights: JoinSet::new(),
            arrived: Vec::new(),
            arrived_since: Duration::ZERO,
            look_at: Duration::ZERO,
            gate: Gate::default(),
        }
    }

    /// Brings events until `stopped`; then only what has arrived is removed.
    pub(super) async fn run(mut self, stopped: impl Future<Output = ()>) {
        let mut stopped = std::pin::pin!(stopped);
        loop {
            self.look().await;
            self.send();
            if self.should_settle() {
                self.settle().await;
            }
            let clock = Arc::clone(&self.parts.clock);
            let rest = self.rest();
            tokio::select! {
                Some(joined) = self.flights.join_next() => match joined {
                    Ok(arrival) => self.note(arrival),
                    Err(error) => self.start_over(&error),
                },
                Ok(()) = self.added.changed() => {}
                () = clock.sleep(rest) => {}
                () = &mut stopped => break,
            }
            self.lanes.wake(self.now());
        }
        self.settle().await;
    }

    fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }

    /// Reads what waits, where there is something that was not read yet and room for it.
    async fn look(&mut self) {
        let (now, known) = (self.now(), self.lanes.known());
        let (store, queue) = (&self.parts.store, self.parts.target.queue);
        let waiting = store.events_waiting(queue).objects;
        if waiting <= known as u64 || known > WINDOW / 2 || now < self.look_at {
            return;
        }
        match store.waiting_events(queue, WINDOW).await {
            Ok(events) => {
                for event in events {
                    self.lanes.add(Letter::of(event));
                }
                self.look_at = if self.flights.is_empty() && !self.lanes.has_ready() {
                    now
                } else {
                    now + LOOK_EVERY
                };
            }
            Err(error) => {
                tracing::warn!(%error, "notifications that wait can't be read");
                self.look_at = now + STORE_PAUSE;
            }
        }
    }

    /// Sends as many as may be under way.
    fn send(&mut self) {
        let at_once = if self.gate.is_down() {
            1
        } else {
            self.parts.target.parallel
        };
        while self.flights.len() < at_once && self.now() >= self.gate.opens {
            let Some(letter) = self.lanes.take() else {
                return;
            };
            let failures = self.gate.failures;
            let (timeout, clock) = (self.parts.target.timeout, Arc::clone(&self.parts.clock));
            let messenger = Arc::clone(&self.parts.messenger);
            self.flights.spawn(async move {
                let outcome = tokio::select! {
                    sent = messenger.send(&letter) => sent,
                    () = clock.sleep(timeout) => Err(SendError::Late),
                };
                Arrival {
                    lane: letter.lane(),
                    number: letter.number,
                    failures,
                    outcome,
                }
            });
        }
    }

    fn note(&mut self, arrival: Arrival) {
        match arrival.outcome {
            Ok(()) => self.arrived(arrival.lane, arrival.number),
            Err(error) => self.failed(arrival.lane, arrival.failures, &error),
        }
    }

    fn arrived(&mut self, lane: u64, number: u64) {
        self.parts.counts.delivered();
        self.lanes.sent(lane);
        if self.arrived.is_empty() {
            self.arrived_since = self.now();
        }
        self.arrived.push(number);
        if self.gate.is_down() {
            tracing::info!(target_name = %self.parts.target.name, "a notification target takes events again");
            self.lanes.wake_all();
        }
        self.gate = Gate::default();
    }

    fn failed(&mut self, lane: u64, failures: u32, error: &SendError) {
        self.parts.counts.failed();
        let now = self.now();
        let target_name = &self.parts.target.name;
        tracing::debug!(target_name, %error, "an event has not arrived");
        // Of those that were under way together one counts.
        if failures == self.gate.failures {
            self.gate.failures += 1;
            if self.gate.failures == DOWN {
                tracing::warn!(target_name, %error, "a notification target takes no events: they wait, and it is tried again and again");
            }
            if self.gate.is_down() {
                self.gate.opens = now + self.pause(self.gate.failures);
            }
        }
        let attempts = self.lanes.attempts(lane);
        if attempts == STUBBORN && !self.gate.is_down() {
            tracing::warn!(target_name, %error, "a notification target does not take one of its events: those of the same key wait behind it");
        }
        self.lanes.pause(lane, now + self.pause(attempts));
    }

    /// How long to wait after so many failures: between half of it and all of it, so that not all come at once.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = 1_u32 << failures.saturating_sub(1).min(16);
        let whole = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
        let share = u32::try_from(self.parts.rng.next_u64() % 512).unwrap_or(0);
        whole * (512 + share) / 1024
    }

    /// A task that brings an event ended badly, nobody knows which: all that is in memory is read again.
    fn start_over(&mut self, error: &tokio::task::JoinError) {
        tracing::error!(%error, "a notification was lost on its way, and is sent again");
        self.flights.abort_all();
        self.lanes = Lanes::default();
        self.gate.opens = self.now() + STORE_PAUSE;
    }

    fn should_settle(&self) -> bool {
        let is_due = self.now() >= self.arrived_since + SETTLE_AFTER;
        self.arrived.len() >= BATCH || !self.arrived.is_empty() && is_due
    }

    /// Removes what has arrived.
    async fn settle(&mut self) {
        if self.arrived.is_empty() {
            return;
        }
        let arrived = std::mem::take(&mut self.arrived);
        let queue = self.parts.target.queue;
        match self.parts.store.settle_events(queue, &arrived).await {
            Ok(()) => self.lanes.settled(&arrived),
            Err(error) => {
                tracing::warn!(%error, "notifications that have arrived can't be removed yet");
                self.arrived = arrived;
                self.arrived_since = self.now() + STORE_PAUSE;
            }
        }
    }

    /// How long there is nothing to do, if nothing happens.
    fn rest(&self) -> Duration {
        let now = self.now();
        let settling = (!self.arrived.is_empty()).then(|| self.arrived_since + SETTLE_AFTER);
        let sending = self.lanes.has_ready().then_some(self.gate.opens);
        let has_room = self.flights.is_empty();
        let moments = [
            settling,
            sending.filter(|opens| has_room || *opens > now),
            self.lanes.wakes(),
            (self.look_at > now).then_some(self.look_at),
        ];
        let next = moments.into_iter().flatten().min();
        next.map_or(LOOK_ANYWAY, |next| next.saturating_sub(now))
            .min(LOOK_ANYWAY)
    }
}
