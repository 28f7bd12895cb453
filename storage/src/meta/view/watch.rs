//! Views whose disk may hang: nobody waits for a view that was given up, and few threads ever hang in one.
//!
//! A view is called synchronously, and a call that touches a dead device never comes back. So each call is entered here while it runs.
//! [`ViewWatch::look_after`] gives up a view with a call that takes too long; another one is then built elsewhere.
//!
//! Who reads for a request does so on its own thread as long as the view answers: a hop to another thread would cost half as much as the
//! request. At most [`READS_IN_PLACE`] such reads are under way at a time, so that no more than so many of the runtime's threads can
//! be caught; whoever uses a view on a runtime gives it so many threads more than it needs. Everything else (one read too many,
//! writes, syncs, upkeep, all once a call takes long) runs on blocking threads, and its caller waits for the outcome or for the
//! news that the view was given up, whichever comes first.
//!
//! Invariants:
//! - After [`Flight::give_up`] no call begins, and one that comes back late is told that the view is out: what a view said that
//!   others had stopped believing is never used.
//! - At most [`JOBS`] blocking threads hang in one view.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::{self, Debug},
    future::Future,
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, oneshot};

use super::{View, ViewChange, ViewError};
use crate::clock::Clock;

/// Reads of a view on threads of the runtime at a time, and so the threads of it that a hanging view can catch.
pub const READS_IN_PLACE: usize = 4;
/// Jobs of one view on blocking threads at a time.
const JOBS: usize = 64;
/// A view with a call older than this is not read in place any more.
const SLOW_AFTER: Duration = Duration::from_millis(100);
/// Opening, syncing and removing a view are many operations in one call: they may take so many times longer.
const LONG_CALLS: u32 = 10;
/// Entries that may be loaded before the view counts as not answering.
const ENTRIES_PER_SIGN: usize = 256;

tokio::task_local! {
    static IN_BACKGROUND: ();
}

/// Runs `work` with all reads of views on blocking threads: it must not hang with a view, whatever it costs.
pub async fn in_background<T>(work: impl Future<Output = T>) -> T {
    IN_BACKGROUND.scope((), work).await
}

/// Looks after the views of one store.
#[derive(Debug)]
pub struct ViewWatch {
    clock: Arc<dyn Clock>,
    flights: Mutex<Vec<Weak<Flight>>>,
    /// Views given up so far.
    losses: AtomicU64,
    lost: Notify,
}

/// The calls of one view that have begun and not ended.
pub struct Flight {
    place: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    is_slow: AtomicBool,
    is_given_up: AtomicBool,
    given_up: Notify,
    in_place: AtomicUsize,
    jobs: Arc<Semaphore>,
    turns: Mutex<Turns>,
    on_give_up: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// By number, and so in the order in which they began.
    begun: BTreeMap<u64, Begun>,
    next: u64,
}

#[derive(Clone, Copy)]
struct Begun {
    what: &'static str,
    at: Duration,
    /// How many times longer than others it may take.
    factor: u32,
}

type Work = Box<dyn FnOnce(&dyn View) + Send>;

/// Work that is done one after the other, by one thread at a time.
#[derive(Default)]
struct Turns {
    waiting: VecDeque<Work>,
    is_worked: bool,
}

/// A call under way; dropping it ends it.
struct Call<'a>(&'a Flight, u64);

/// The right to read in place.
pub(crate) struct InPlace<'a>(&'a Flight);

/// The outcome of work that was given to another thread.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    result: oneshot::Receiver<Result<T, ViewError>>,
    flight: Option<Arc<Flight>>,
}

impl ViewWatch {
    /// Watches by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            flights: Mutex::default(),
            losses: AtomicU64::new(0),
            lost: Notify::new(),
        })
    }

    /// Gives up views with a call that takes longer than `patience`. Never blocks; to be called a few times per `patience`.
    pub fn look_after(&self, patience: Duration) {
        let flights: Vec<Arc<Flight>> = {
            let mut flights = self.flights.lock();
            flights.retain(|flight| flight.strong_count() > 0);
            flights.iter().filter_map(Weak::upgrade).collect()
        };
        for flight in flights {
            let stalled = flight.stalled(patience);
            if let Some(what) = stalled {
                flight.give_up(&format!("no answer for {patience:?} ({what})"));
                self.losses.fetch_add(1, Ordering::SeqCst);
                self.lost.notify_waiters();
            }
        }
    }

    /// Views given up so far.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    /// Resolves when more than `seen` views were given up.
    pub async fn until_more_losses(&self, seen: u64) {
        loop {
            let lost = self.lost.notified();
            if self.losses() > seen {
                return;
            }
            lost.await;
        }
    }

    /// A view at `place` that is about to be opened; `on_give_up` is called once, should it be given up.
    pub fn begin(
        &self,
        place: String,
        on_give_up: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Flight> {
        let flight = Arc::new(Flight {
            place,
            clock: Arc::clone(&self.clock),
            state: Mutex::default(),
            is_slow: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            given_up: Notify::new(),
            in_place: AtomicUsize::new(0),
            jobs: Arc::new(Semaphore::new(JOBS)),
            turns: Mutex::default(),
            on_give_up: Box::new(on_give_up),
        });
        self.flights.lock().push(Arc::downgrade(&flight));
        flight
    }
}

impl Flight {
    /// Runs `work` as a call under way.
    ///
    /// # Errors
    /// [`ViewError`] if the view was given up, before or meanwhile; else those of `work`.
    pub fn run<T>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> Result<T, ViewError>,
    ) -> Result<T, ViewError> {
        self.run_call(what, 1, work)
    }

    /// As [`Flight::run`], for what is many operations in one.
    ///
    /// # Errors
    /// As [`Flight::run`].
    pub fn run_long<T>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> Result<T, ViewError>,
    ) -> Result<T, ViewError> {
        self.run_call(what, LONG_CALLS, work)
    }

    fn run_call<T>(
        &self,
        what: &'static str,
        factor: u32,
        work: impl FnOnce() -> Result<T, ViewError>,
    ) -> Result<T, ViewError> {
        let call = self.call(what, factor)?;
        let result = work();
        drop(call);
        self.check()?;
        result
    }

    fn call(&self, what: &'static str, factor: u32) -> Result<Call<'_>, ViewError> {
        self.check()?;
        let at = self.clock.monotonic();
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.begun.insert(number, Begun { what, at, factor });
        drop(state);
        Ok(Call(self, number))
    }

    /// Looks how old the calls are; the one that takes too long, if one does.
    fn stalled(&self, patience: Duration) -> Option<&'static str> {
        if self.is_given_up() {
            return None;
        }
        let now = self.clock.monotonic();
        let state = self.state.lock();
        let age = |begun: &Begun| now.saturating_sub(begun.at);
        let mut short = state.begun.values().filter(|begun| begun.factor == 1);
        let is_slow = short.any(|begun| age(begun) >= SLOW_AFTER);
        self.is_slow.store(is_slow, Ordering::Relaxed);
        let mut all = state.begun.values();
        let stalled = all.find(|begun| age(begun) >= patience.saturating_mul(begun.factor));
        stalled.map(|begun| begun.what)
    }

    fn check(&self) -> Result<(), ViewError> {
        if self.is_given_up() {
            return Err(self.out());
        }
        Ok(())
    }

    fn out(&self) -> ViewError {
        ViewError(format!("{} does not answer", self.place))
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::SeqCst)
    }

    /// Lets no call begin or succeed any more.
    fn give_up(&self, why: &str) {
        if self.is_given_up.swap(true, Ordering::SeqCst) {
            return;
        }
        tracing::error!(place = %self.place, why, "the metadata view is given up");
        (self.on_give_up)();
        self.given_up.notify_waiters();
    }

    /// Resolves when the view was given up.
    pub(crate) async fn until_given_up(&self) {
        let given_up = self.given_up.notified();
        if !self.is_given_up() {
            given_up.await;
        }
    }

    /// Whether a request may read on this thread: not if too many do, if the view is slow, or in the background.
    pub(crate) fn in_place(&self) -> Option<InPlace<'_>> {
        let background = IN_BACKGROUND.try_with(|()| ()).is_ok();
        if background || self.is_slow.load(Ordering::Relaxed) {
            return None;
        }
        let place = InPlace(self);
        let others = self.in_place.fetch_add(1, Ordering::Relaxed);
        (others < READS_IN_PLACE).then_some(place)
    }

    /// Runs `work` on a blocking thread.
    pub(crate) async fn off_thread<T: Send + 'static>(
        self: &Arc<Self>,
        view: Arc<dyn View>,
        work: impl FnOnce(&dyn View) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, ViewError> {
        let jobs = Arc::clone(&self.jobs);
        let permit = tokio::select! {
            biased;
            permit = jobs.acquire_owned() => permit.ok(),
            () = self.until_given_up() => return Err(self.out()),
        };
        let (told, result) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            drop(told.send(work(&*view)));
        });
        let mut outcome = Outcome {
            result,
            flight: Some(Arc::clone(self)),
        };
        outcome.get().await
    }

    /// Runs `work` after all that was given here before, on a blocking thread that is shared with what comes meanwhile.
    pub(crate) fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        view: &Arc<dyn View>,
        work: impl FnOnce(&dyn View) -> Result<T, ViewError> + Send + 'static,
    ) -> Outcome<T> {
        let (told, result) = oneshot::channel();
        let work: Work = Box::new(move |view| drop(told.send(work(view))));
        let mut turns = self.turns.lock();
        turns.waiting.push_back(work);
        if !std::mem::replace(&mut turns.is_worked, true) {
            let (flight, view) = (Arc::clone(self), Arc::clone(view));
            tokio::task::spawn_blocking(move || flight.work_in_turn(&*view));
        }
        Outcome {
            result,
            flight: Some(Arc::clone(self)),
        }
    }

    fn work_in_turn(&self, view: &dyn View) {
        while let Some(work) = self.next_turn() {
            work(view);
        }
    }

    fn next_turn(&self) -> Option<Work> {
        let mut turns = self.turns.lock();
        let work = turns.waiting.pop_front();
        turns.is_worked = work.is_some();
        work
    }
}

impl Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.state.lock().begun.remove(&self.1);
    }
}

impl Drop for InPlace<'_> {
    fn drop(&mut self) {
        self.0.in_place.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> Outcome<T> {
    /// An outcome that is known already.
    pub(crate) fn known(result: Result<T, ViewError>) -> Self {
        let (told, receiver) = oneshot::channel();
        drop(told.send(result));
        Self {
            result: receiver,
            flight: None,
        }
    }

    /// Waits for it, not beyond the view's being given up. To be asked again only if the future was dropped.
    ///
    /// # Errors
    /// Those of the work, or that the view was given up.
    pub(crate) async fn get(&mut self) -> Result<T, ViewError> {
        let Self { result, flight } = self;
        let lost = || ViewError("work on it ended badly".to_owned());
        let Some(flight) = flight else {
            return result.await.unwrap_or_else(|_| Err(lost()));
        };
        tokio::select! {
            biased;
            result = result => result.unwrap_or_else(|_| Err(lost())),
            () = flight.until_given_up() => Err(flight.out()),
        }
    }
}

/// A view whose calls are watched.
#[derive(Debug)]
pub struct WatchedView {
    inner: Arc<dyn View>,
    flight: Arc<Flight>,
}

impl WatchedView {
    /// Enters the calls of `inner` in `flight`.
    pub fn new(inner: Arc<dyn View>, flight: Arc<Flight>) -> Self {
        Self { inner, flight }
    }
}

#[deny(clippy::missing_trait_methods)]
impl View for WatchedView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        self.flight.run("get", || self.inner.get(key))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), ViewError> {
        self.flight.run("scan", || self.inner.scan(from, to, visit))
    }

    fn apply(&self, changes: &[ViewChange]) -> Result<(), ViewError> {
        self.flight.run("apply", || self.inner.apply(changes))
    }

    fn load(
        &self,
        entries: &mut dyn Iterator<Item = Result<(Bytes, Bytes), ViewError>>,
    ) -> Result<(), ViewError> {
        // Loading may take minutes in all; that entries are taken is the sign that it goes on.
        let mut call = Some(self.flight.call("load", LONG_CALLS)?);
        let mut count = 0;
        let mut watched = std::iter::from_fn(|| {
            count += 1;
            if count % ENTRIES_PER_SIGN == 0 {
                call = match self.flight.call("load", LONG_CALLS) {
                    Ok(next) => Some(next),
                    Err(error) => return Some(Err(error)),
                };
            }
            entries.next()
        });
        let result = self.inner.load(&mut watched);
        drop(call);
        self.flight.check()?;
        result
    }

    fn persist(&self) -> Result<(), ViewError> {
        self.flight.run_long("sync", || self.inner.persist())
    }

    fn disk_bytes(&self) -> u64 {
        let measure = || Ok(self.inner.disk_bytes());
        self.flight.run_long("measure", measure).unwrap_or(0)
    }

    fn flight(&self) -> Option<&Arc<Flight>> {
        Some(&self.flight)
    }
}

/// The name of a place, for people.
pub(super) fn place_name(dir: &Path) -> String {
    format!("the view in {}", dir.display())
}

#[cfg(test)]
mod tests;
