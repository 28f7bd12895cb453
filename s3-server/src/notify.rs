//! Bucket notifications: who is told of what happens to objects.
//!
//! A bucket's configuration names targets by their ARNs; what they are stands in the operator's file (`targets`) and nowhere else. The store asks
//! for the event of each write ([`Herald`]) and keeps it in the very commit that makes the write; a courier per target brings events from there
//! (`courier`), again and again until they have arrived. So each event arrives at least once, and those of one key in order.
//!
//! Invariants: a write never waits for a target, and never fails because of one; what a target is told is kept before the write is acknowledged, or
//! it is dropped because too many events wait, counted, and logged as an error.

mod courier;
mod event;
mod lanes;
mod letter;
mod messenger;
mod rules;
mod targets;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use larder_storage::{
    clock::Clock,
    objects::{AccountId, Document, Event, Happening, Herald, Queue, Store, StoreError},
};
use parking_lot::{Mutex, RwLock};
use tokio::{sync::watch, task::JoinHandle};

pub use self::targets::open as open_targets;
use self::{
    courier::{Courier, Parts},
    event::{Cause, Place},
    targets::Table,
};
pub(crate) use self::{
    rules::{BadRule, Rules, region_of},
    targets::Target,
};
use crate::{
    accounts::{Accounts, Caller},
    app::App,
    http::RequestId,
    iam::Principal,
    route::Operation,
    xml::parse,
};

/// Lost events are told of at most this often.
const TOLD_EVERY: Duration = Duration::from_mins(1);
/// A target whose settings can't be used is tried again after so long.
const OPEN_AGAIN: Duration = Duration::from_secs(10);

/// Targets, and what became of their events.
#[derive(Debug)]
pub struct Notify {
    region: String,
    accounts: Arc<Accounts>,
    clock: Arc<dyn Clock>,
    targets: RwLock<Arc<Table>>,
    changed: watch::Sender<u64>,
    counts: Mutex<BTreeMap<String, Arc<Counts>>>,
    /// Events whose target is in no file.
    targetless: Losses,
}

/// What became of the events of a target since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: Losses,
}

/// Events that are lost, and when that was told of.
#[derive(Debug, Default)]
struct Losses {
    count: AtomicU64,
    told: Mutex<Option<Duration>>,
}

impl Losses {
    /// Counts one; how many there are all in all, if that is to be told of.
    fn add(&self, now: Duration) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut told = self.told.lock();
        if told.is_some_and(|told| now < told + TOLD_EVERY) {
            return None;
        }
        *told = Some(now);
        Some(count)
    }
}

/// A reading of the counts of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetStatus {
    /// Its name.
    pub(crate) name: String,
    /// How it is told.
    pub(crate) kind: &'static str,
    /// Events that wait, and the bytes of their rows.
    pub(crate) waiting: (u64, u64),
    /// Events that arrived since the start.
    pub(crate) delivered: u64,
    /// Attempts in vain.
    pub(crate) failed: u64,
    /// Events that were dropped because too many waited.
    pub(crate) dropped: u64,
}

impl Counts {
    fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Notify {
    /// Without targets.
    pub fn new(region: String, accounts: Arc<Accounts>, clock: Arc<dyn Clock>) -> Self {
        Self {
            region,
            accounts,
            clock,
            targets: RwLock::default(),
            changed: watch::Sender::new(0),
            counts: Mutex::default(),
            targetless: Losses::default(),
        }
    }

    fn set_targets(&self, table: Table) {
        *self.targets.write() = Arc::new(table);
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.targets.read())
    }

    /// The target of this name, if buckets of this account may have it.
    pub(crate) fn target(&self, name: &str, account: AccountId) -> Option<Arc<Target>> {
        let table = self.table();
        let target = table.get(name);
        target.filter(|target| target.serves(account)).cloned()
    }

    fn counts_of(&self, name: &str) -> Arc<Counts> {
        let mut counts = self.counts.lock();
        if let Some(known) = counts.get(name) {
            return Arc::clone(known);
        }
        Arc::clone(counts.entry(name.to_owned()).or_default())
    }

    /// The targets, in order of their names.
    pub(crate) fn status(&self, store: &Store) -> Vec<TargetStatus> {
        let table = self.table();
        let status = table.values().map(|target| {
            let counts = self.counts_of(&target.name);
            let waiting = store.events_waiting(target.queue);
            TargetStatus {
                name: target.name.clone(),
                kind: target.kind(),
                waiting: (waiting.objects, waiting.bytes),
                delivered: counts.delivered.load(Ordering::Relaxed),
                failed: counts.failed.load(Ordering::Relaxed),
                dropped: counts.dropped.count.load(Ordering::Relaxed),
            }
        });
        status.collect()
    }

    /// Events that were for a target which is in no file.
    pub(crate) fn targetless(&self) -> u64 {
        self.targetless.count.load(Ordering::Relaxed)
    }

    /// Tells targets that they are those of a bucket now.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn test(
        &self,
        store: &Store,
        targets: &[Arc<Target>],
        (bucket, id): (&str, RequestId),
    ) -> Result<(), StoreError> {
        let content = event::test_event(bucket, &id.to_string(), self.clock.unix_millis());
        let events = targets.iter().map(|target| Event {
            queue: target.queue,
            content: content.clone().into(),
            most_waiting: target.most_waiting,
        });
        // One that is full has been tested enough.
        let events = events
            .filter(|event| store.events_waiting(event.queue).objects < event.most_waiting)
            .collect::<Vec<_>>();
        store.add_events(&events).await
    }

    /// The event of a write, if a rule is about it.
    fn event(
        &self,
        configuration: &Document,
        happening: &Happening<'_>,
        operation: Option<Operation>,
        cause: impl FnOnce() -> Cause,
    ) -> Option<Event> {
        let rules = configuration.parsed(|bytes| {
            // What does not parse was written by a newer release.
            let kept = parse::notification_configuration(bytes).unwrap_or_default();
            Rules::of_kept(&kept)
        });
        let name = event::name(happening.what, operation);
        let rule = rules.of_event(name, happening.key.as_str())?;
        let Some(target) = self.target(&rule.target, happening.owner) else {
            self.lost(&rule.target, happening.bucket);
            return None;
        };
        let place = Place {
            region: &self.region,
            owner: &self.accounts.owner(happening.owner).id,
            configuration: &rule.id,
        };
        Some(Event {
            queue: target.queue,
            content: event::message(happening, place, &cause()).into(),
            most_waiting: target.most_waiting,
        })
    }

    fn lost(&self, target: &str, bucket: &str) {
        if let Some(count) = self.targetless.add(self.clock.monotonic()) {
            tracing::error!(
                target_name = target,
                bucket,
                lost_events = count,
                "a bucket's notifications are lost: their target is not in the file of --notify-targets, or not for its account"
            );
        }
    }

    fn dropped(&self, queue: Queue) {
        let table = self.table();
        let Some(target) = table.values().find(|target| target.queue == queue) else {
            return;
        };
        let counts = self.counts_of(&target.name);
        if let Some(count) = counts.dropped.add(self.clock.monotonic()) {
            tracing::error!(
                target_name = %target.name,
                max_waiting = target.most_waiting,
                dropped_events = count,
                "notifications are dropped: too many wait for their target"
            );
        }
    }
}

/// Tells of the writes of one request.
#[derive(Debug)]
pub(crate) struct RequestHerald {
    /// What all requests share.
    pub(crate) notify: Arc<Notify>,
    /// What is asked for.
    pub(crate) operation: Operation,
    /// Who asks.
    pub(crate) caller: Caller,
    /// From where.
    pub(crate) address: IpAddr,
    /// The request.
    pub(crate) id: RequestId,
}

impl Herald for RequestHerald {
    fn event(&self, configuration: &Document, happening: &Happening<'_>) -> Option<Event> {
        let operation = Some(self.operation);
        let cause = || Cause {
            operation,
            principal: match &self.caller {
                Caller::Anonymous => "Anonymous".to_owned(),
                caller => format!("AWS:{}", Principal::of(caller).id()),
            },
            address: self.address.to_string(),
            request_id: self.id.to_string(),
        };
        self.notify
            .event(configuration, happening, operation, cause)
    }

    fn dropped(&self, queue: Queue) {
        self.notify.dropped(queue);
    }
}

/// Tells of what the server does by itself.
#[derive(Debug)]
pub(crate) struct ServerHerald(pub(crate) Arc<Notify>);

impl Herald for ServerHerald {
    fn event(&self, configuration: &Document, happening: &Happening<'_>) -> Option<Event> {
        self.0.event(configuration, happening, None, Cause::server)
    }

    fn dropped(&self, queue: Queue) {
        self.0.dropped(queue);
    }
}

/// Has a courier for each target, until the server stops.
pub(crate) async fn deliver(app: Arc<App>) {
    let mut changed = app.notify.changed.subscribe();
    let mut running: BTreeMap<String, (Arc<Target>, JoinHandle<()>)> = BTreeMap::new();
    loop {
        changed.mark_unchanged();
        let table = app.notify.table();
        for (name, (target, courier)) in std::mem::take(&mut running) {
            if table.get(&name) == Some(&target) {
                running.insert(name, (target, courier));
                continue;
            }
            courier.abort();
            // Two at a time would send the same events.
            drop(courier.await);
        }
        for (name, target) in table.iter() {
            if !running.contains_key(name) {
                let courier = tokio::spawn(bring(Arc::clone(&app), Arc::clone(target)));
                running.insert(name.clone(), (Arc::clone(target), courier));
            }
        }
        tokio::select! {
            Ok(()) = changed.changed() => {}
            () = app.stopped() => break,
        }
    }
    for (_, courier) in running.into_values() {
        drop(courier.await);
    }
}

async fn bring(app: Arc<App>, target: Arc<Target>) {
    let Ok(store) = app.store() else {
        return;
    };
    let messenger = loop {
        match messenger::open(&target, &app.clock).await {
            Ok(messenger) => break messenger,
            Err(error) => {
                tracing::warn!(target_name = %target.name, %error, "a notification target can't be used: its events wait");
            }
        }
        tokio::select! {
            () = app.clock.sleep(OPEN_AGAIN) => {}
            () = app.stopped() => return,
        }
    };
    let parts = Parts {
        store: store.clone(),
        counts: app.notify.counts_of(&target.name),
        target,
        messenger,
        clock: Arc::clone(&app.clock),
        rng: Arc::clone(&app.rng),
    };
    Courier::new(parts).run(app.stopped()).await;
}
