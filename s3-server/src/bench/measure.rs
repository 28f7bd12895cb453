//! Running one load: clients on threads of their own, a clock, and what they counted.
//!
//! All clients of a thread share one single-threaded event loop, so that the load generator never
//! takes more cores from the server under test than it was given threads. When the warm-up is over,
//! all clients wait until the last of its operations has ended, so that none of it leaks into the
//! counted time. Then operations that begin before the deadline are counted, however late they end;
//! the time they are divided by ends with the last of them.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use indicatif::ProgressBar;
use larder_storage::clock::Clock;
use tokio::sync::{Barrier, oneshot};

use super::{
    BenchError,
    client::OpError,
    histogram::Histogram,
    process,
    work::{Done, Task, Worker},
};

/// A client that fails this often in a row gives up.
const MAX_FAILURES_IN_A_ROW: u32 = 100;
/// How long a client waits after its first failure; it waits longer after each further one.
const BACK_OFF: Duration = Duration::from_millis(2);
const TICK: Duration = Duration::from_millis(50);

/// The bounds of a load.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Time before operations count.
    pub warmup: Duration,
    /// Time in which counted operations may begin.
    pub duration: Duration,
    /// Counted operations, at most.
    pub ops: u64,
    /// Time after the end in which answers may still arrive.
    pub timeout: Duration,
}

/// What clients counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// Latencies of the operations that succeeded.
    pub latencies: Histogram,
    /// Bytes of object data.
    pub bytes: u64,
    /// Keys or prefixes listed.
    pub keys: u64,
    /// Operations that failed.
    pub errors: u64,
    /// The first failure.
    pub first_error: Option<String>,
    /// When the last counted operation ended, by the clock.
    pub ended: Duration,
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.latencies.merge(&other.latencies);
        self.bytes += other.bytes;
        self.keys += other.keys;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.ended = self.ended.max(other.ended);
    }

    fn count(&mut self, latency: Duration, done: Done) {
        self.latencies.record(latency);
        self.bytes += done.bytes;
        self.keys += done.keys;
    }

    fn fail(&mut self, error: &OpError) {
        self.errors += 1;
        if self.first_error.is_none() {
            self.first_error = Some(error.to_string());
        }
    }
}

/// A load that has run.
#[derive(Debug)]
pub struct Measured {
    /// What was counted.
    pub tally: Tally,
    /// From the end of the warm-up to the end of the last counted operation.
    pub elapsed: Duration,
    /// CPU time of this process within that time.
    pub client_cpu: Duration,
    /// CPU time and peak of resident bytes of the server's processes, where they were named.
    pub server: Option<(Duration, u64)>,
}

/// What the clients of a load share.
#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    task_bound: u64,
    server_pids: Vec<u32>,
    /// Where all clients meet between warm-up and counted time.
    warmed_up: Barrier,
    start: OnceLock<Start>,
    next_index: AtomicU64,
    counted: AtomicU64,
}

/// The beginning of the counted time, with the CPU time used until then.
#[derive(Debug)]
struct Start {
    at: Duration,
    own_cpu: Duration,
    server_cpu: Duration,
}

impl Shared {
    fn new(
        clock: &Arc<dyn Clock>,
        bounds: Bounds,
        task_bound: u64,
        workers_count: usize,
        server_pids: &[u32],
    ) -> Self {
        Self {
            clock: Arc::clone(clock),
            bounds,
            task_bound,
            server_pids: server_pids.to_vec(),
            warmed_up: Barrier::new(workers_count),
            start: OnceLock::new(),
            next_index: AtomicU64::new(0),
            counted: AtomicU64::new(0),
        }
    }

    /// The beginning of the counted time, which is now if it has not been before.
    fn start(&self) -> &Start {
        // A process that can't be read now can't be read at the end either, and is reported then.
        self.start.get_or_init(|| Start {
            own_cpu: process::own_cpu_time().unwrap_or_default(),
            server_cpu: process::cpu_time(&self.server_pids).unwrap_or_default(),
            at: self.clock.monotonic(),
        })
    }

    /// The number of the next operation of `phase`, at time `now`; `None` at the phase's end.
    fn ticket(&self, now: Duration, phase: Phase) -> Option<u64> {
        if now >= phase.until {
            return None;
        }
        if phase.counts && self.counted.fetch_add(1, Ordering::Relaxed) >= self.bounds.ops {
            return None;
        }
        let index = self.next_index.fetch_add(1, Ordering::Relaxed);
        (index < self.task_bound).then_some(index)
    }
}

/// Warm-up or counted time.
#[derive(Debug, Clone, Copy)]
struct Phase {
    /// When its last operations may begin, by the clock.
    until: Duration,
    /// Whether they count.
    counts: bool,
}

/// Runs `task` with one client for each of `workers`, on `threads` threads, and watches the
/// processes `server_pids` meanwhile.
///
/// # Errors
/// [`BenchError::Thread`] or [`BenchError::Process`]; failed operations are no error here.
pub async fn run_load(
    clock: &Arc<dyn Clock>,
    bounds: Bounds,
    task: &Task,
    workers: Vec<Worker>,
    threads: usize,
    watch: Watch<'_>,
) -> Result<Measured, BenchError> {
    let shared = Arc::new(Shared::new(
        clock,
        bounds,
        task.bound(),
        workers.len(),
        watch.server_pids,
    ));
    let groups = spread(workers, threads);
    let mut results = Vec::with_capacity(groups.len());
    for group in groups {
        results.push(spawn_group(group, Arc::clone(&shared))?);
    }
    let mut finished = Box::pin(join_all(results));
    let mut gauge = Gauge::default();
    let tallies = loop {
        let tick = clock.sleep(TICK);
        tokio::select! {
            tallies = &mut finished => break tallies,
            () = tick => gauge.look(&shared, &watch)?,
        }
    };
    let mut tally = Tally::default();
    for part in tallies {
        tally.merge(part.map_err(|_| BenchError::ThreadGone)?);
    }
    gauge.finish(&shared, tally, &watch)
}

/// What is watched and shown while a load runs.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// The server's processes; may be empty.
    pub server_pids: &'a [u32],
    /// Shows how far the load is.
    pub bar: &'a ProgressBar,
}

/// Readings of the server's memory during the counted time.
#[derive(Debug, Default)]
struct Gauge {
    peak_bytes: u64,
}

impl Gauge {
    fn look(&mut self, shared: &Shared, watch: &Watch<'_>) -> Result<(), BenchError> {
        let Some(start) = shared.start.get() else {
            return Ok(());
        };
        if !watch.server_pids.is_empty() {
            self.peak_bytes = self
                .peak_bytes
                .max(process::resident_bytes(watch.server_pids)?);
        }
        let elapsed = shared.clock.monotonic().saturating_sub(start.at);
        let (position, length) = progress(shared, elapsed);
        watch.bar.set_length(length);
        watch.bar.set_position(position);
        Ok(())
    }

    fn finish(
        self,
        shared: &Shared,
        tally: Tally,
        watch: &Watch<'_>,
    ) -> Result<Measured, BenchError> {
        let start = shared.start();
        let mut server = None;
        if !watch.server_pids.is_empty() {
            let used = process::cpu_time(watch.server_pids)?.saturating_sub(start.server_cpu);
            let resident = process::resident_bytes(watch.server_pids)?;
            server = Some((used, self.peak_bytes.max(resident)));
        }
        Ok(Measured {
            elapsed: tally.ended.saturating_sub(start.at),
            client_cpu: process::own_cpu_time()?.saturating_sub(start.own_cpu),
            tally,
            server,
        })
    }
}

/// How far a load is, by time or by operations, whichever is further; in thousandths.
fn progress(shared: &Shared, elapsed: Duration) -> (u64, u64) {
    let by_time = elapsed.as_millis() * 1_000 / shared.bounds.duration.as_millis().max(1);
    let wanted = shared.bounds.ops.min(shared.task_bound).max(1);
    let done = shared.counted.load(Ordering::Relaxed);
    let by_ops = u128::from(done) * 1_000 / u128::from(wanted);
    (
        u64::try_from(by_time.max(by_ops))
            .unwrap_or(1_000)
            .min(1_000),
        1_000,
    )
}

fn spread(workers: Vec<Worker>, threads: usize) -> Vec<Vec<Worker>> {
    let count = threads.clamp(1, workers.len().max(1));
    let mut groups: Vec<Vec<Worker>> = (0..count).map(|_| Vec::new()).collect();
    for (number, worker) in workers.into_iter().enumerate() {
        groups[number % count].push(worker);
    }
    groups
}

/// Starts a thread that runs `workers` to their end.
fn spawn_group(
    workers: Vec<Worker>,
    shared: Arc<Shared>,
) -> Result<oneshot::Receiver<Tally>, BenchError> {
    let (sender, receiver) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(BenchError::Thread)?;
    let body = move || {
        let tally = runtime.block_on(run_group(workers, shared));
        // Nobody waits any more when the program is being stopped.
        drop(sender.send(tally));
    };
    let thread = std::thread::Builder::new()
        .name("bench-client".to_owned())
        .spawn(body);
    thread.map(|_| receiver).map_err(BenchError::Thread)
}

async fn run_group(workers: Vec<Worker>, shared: Arc<Shared>) -> Tally {
    let clients = workers.into_iter().map(|worker| {
        let shared = Arc::clone(&shared);
        tokio::spawn(run_bounded(worker, shared))
    });
    let mut all = Tally::default();
    for tally in join_all(clients.collect::<Vec<_>>())
        .await
        .into_iter()
        .flatten()
    {
        all.merge(tally);
    }
    all
}

/// Runs a client through the warm-up and the counted time.
async fn run_bounded(mut worker: Worker, shared: Arc<Shared>) -> Tally {
    let mut tally = Tally::default();
    let bounds = shared.bounds;
    let warmup = Phase {
        until: shared.clock.monotonic() + bounds.warmup,
        counts: false,
    };
    let usable = run_phase(&mut worker, &shared, warmup, &mut tally).await;
    // Every client comes here, in time too, whatever became of its warm-up.
    shared.warmed_up.wait().await;
    let counted = Phase {
        until: shared.start().at + bounds.duration,
        counts: true,
    };
    if usable {
        run_phase(&mut worker, &shared, counted, &mut tally).await;
    }
    tally
}

/// Runs a client until the phase ends or its last answer is overdue; false if it can't go on.
async fn run_phase(worker: &mut Worker, shared: &Shared, phase: Phase, tally: &mut Tally) -> bool {
    let timeout = shared.bounds.timeout;
    let limit = phase.until.saturating_sub(shared.clock.monotonic()) + timeout;
    tokio::select! {
        usable = run_client(worker, shared, phase, tally) => return usable,
        () = shared.clock.sleep(limit) => {}
    }
    tally.fail(&OpError::Timeout {
        seconds: timeout.as_secs(),
    });
    tally.ended = shared.clock.monotonic();
    false
}

/// Does operations until the phase ends; false if the client gave up.
async fn run_client(worker: &mut Worker, shared: &Shared, phase: Phase, tally: &mut Tally) -> bool {
    let mut failures_in_a_row = 0;
    let mut began = shared.clock.monotonic();
    while let Some(index) = shared.ticket(began, phase) {
        let result = worker.step(index).await;
        let ended = shared.clock.monotonic();
        tally.ended = ended;
        match result {
            Ok(done) => {
                failures_in_a_row = 0;
                if phase.counts {
                    tally.count(ended.saturating_sub(began), done);
                }
                began = ended;
            }
            Err(error) => {
                // Counted even while warming up: an error is never to be overlooked.
                tally.fail(&error);
                failures_in_a_row += 1;
                if failures_in_a_row >= MAX_FAILURES_IN_A_ROW {
                    return false;
                }
                shared.clock.sleep(BACK_OFF * failures_in_a_row).await;
                began = shared.clock.monotonic();
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_storage::clock::SystemClock;

    fn shared(ops: u64, task_bound: u64) -> Shared {
        let bounds = Bounds {
            warmup: Duration::from_secs(1),
            duration: Duration::from_secs(10),
            ops,
            timeout: Duration::from_secs(1),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Shared::new(&clock, bounds, task_bound, 1, &[])
    }

    const UNTIL: Duration = Duration::from_secs(10);
    const COUNTED: Phase = Phase {
        until: UNTIL,
        counts: true,
    };

    #[test]
    fn operations_begin_only_before_the_end_of_their_phase() {
        let shared = shared(100, 100);
        let just_before = UNTIL.saturating_sub(Duration::from_nanos(1));
        assert_eq!(shared.ticket(just_before, COUNTED), Some(0));
        assert_eq!(shared.ticket(UNTIL, COUNTED), None);
    }

    #[test]
    fn warming_up_uses_up_numbers_but_not_counted_operations() {
        let shared = shared(1, 100);
        let warmup = Phase {
            until: UNTIL,
            counts: false,
        };
        assert_eq!(shared.ticket(Duration::ZERO, warmup), Some(0));
        assert_eq!(shared.ticket(Duration::ZERO, warmup), Some(1));
        assert_eq!(shared.ticket(Duration::ZERO, COUNTED), Some(2));
        assert_eq!(shared.ticket(Duration::ZERO, COUNTED), None);
    }

    #[test]
    fn a_load_ends_with_its_operations_or_its_objects() {
        let few_ops = shared(2, 100);
        let few_objects = shared(100, 2);
        for shared in [few_ops, few_objects] {
            let tickets = (0..5).filter(|_| shared.ticket(Duration::ZERO, COUNTED).is_some());
            assert_eq!(tickets.count(), 2);
        }
    }

    #[test]
    fn merging_keeps_the_first_error_and_the_last_end() {
        let mut all = Tally::default();
        for (seconds, what) in [(3, "first"), (2, "second")] {
            let mut tally = Tally {
                ended: Duration::from_secs(seconds),
                ..Tally::default()
            };
            tally.fail(&OpError::Wrong {
                operation: "GetObject",
                what: what.to_owned(),
            });
            all.merge(tally);
        }
        assert_eq!((all.errors, all.ended), (2, Duration::from_secs(3)));
        assert!(all.first_error.unwrap().contains("first"));
    }
}
