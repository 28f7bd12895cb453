//! From settings to loads: prepares objects, runs each load with each number of clients, cleans up.

use std::{collections::HashMap, io::Write, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use larder_storage::{
    clock::{Clock, SystemClock},
    rng::{Rng, SystemRng},
};

use super::{
    BenchArgs, BenchError,
    args::Load,
    client::{Check, Client},
    endpoint::Endpoint,
    floors,
    measure::{Bounds, Measured, Watch, run_load},
    payload::{BodyMode, Payloads, Pool},
    report::{Report, Row, Subject},
    sign::Credentials,
    work::{DIRECTORY_OBJECTS, Stock, Task, Worker},
};
use crate::units::ByteSize;

/// Clients that put objects before a load, at most.
const PREPARING_CLIENTS: u64 = 16;
/// Bytes that they have under way together, at most, so that a slow server is done in time.
const PREPARING_BYTES: u64 = 64 << 20;
/// Objects for reading take at most about this many bytes together.
const STOCK_BYTES: u64 = 512 << 20;
const MIN_STOCK_COUNT: u64 = 4;
const MAX_STOCK_COUNT: u64 = 1_000;
/// Emptying the prefix ends after this many pages of 1,000 keys, whatever the server says.
const MAX_CLEANING_PAGES: u32 = 200_000;

/// Runs the benchmark that `args` describe, writes results to `out`.
pub(super) async fn run(args: BenchArgs, out: impl Write) -> Result<(), BenchError> {
    args.check()?;
    let mut report = Report::new(out, args.json, !args.server_pid.is_empty());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if !args.disks.is_empty() {
        report.floors(&measure_floors(&args, &clock).await?)?;
    }
    let loads: Vec<Load> = args
        .loads
        .iter()
        .copied()
        .filter(|load| *load != Load::None)
        .collect();
    if loads.is_empty() {
        return Ok(());
    }
    let mut plan = Plan::new(args, clock)?;
    plan.create_bucket().await?;
    let result = plan.run_loads(&loads, &mut report).await;
    let cleaned = if plan.args.keep {
        Ok(())
    } else {
        plan.clean().await
    };
    result?;
    cleaned?;
    plan.verdict()
}

async fn measure_floors(
    args: &BenchArgs,
    clock: &Arc<dyn Clock>,
) -> Result<floors::Floors, BenchError> {
    let (disks, bytes, clock) = (args.disks.clone(), args.floor_size.0, Arc::clone(clock));
    let bar = spinner("measuring the floors of the disks");
    let measured = tokio::task::spawn_blocking(move || floors::measure(&disks, bytes, &*clock));
    let measured = measured.await.map_err(|_| BenchError::ThreadGone)?;
    bar.finish_and_clear();
    measured.map_err(|error| BenchError::Floors { error })
}

/// A run of the benchmark.
struct Plan {
    args: BenchArgs,
    clock: Arc<dyn Clock>,
    endpoint: Endpoint,
    credentials: Credentials,
    pool: Arc<Pool>,
    /// All keys of this run begin with this, so that runs do not meet.
    prefix: String,
    /// Makes each load's keys differ from those of all others.
    next_prefix: u64,
    /// Stocks that several loads read, by what they hold.
    stocks: HashMap<(u64, StockKind), Arc<Stock>>,
    failed_loads: Vec<String>,
    wrong_answers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum StockKind {
    Flat,
    Directories,
}

impl Plan {
    fn new(args: BenchArgs, clock: Arc<dyn Clock>) -> Result<Self, BenchError> {
        let credentials = args.credentials(|name| std::env::var(name).ok())?;
        let endpoint = Endpoint::resolve(&args.endpoint)?;
        let sizes = args
            .size
            .iter()
            .chain([&args.range_object, &args.part_size]);
        let largest = sizes.map(|size| length(*size)).max().unwrap_or(0);
        let run_id = SystemRng.next_u64();
        Ok(Self {
            prefix: format!("bench-{run_id:016x}/"),
            pool: Arc::new(Pool::new(largest)),
            args,
            clock,
            endpoint,
            credentials,
            next_prefix: 0,
            stocks: HashMap::new(),
            failed_loads: Vec::new(),
            wrong_answers: false,
        })
    }

    async fn create_bucket(&self) -> Result<(), BenchError> {
        let doing = format!(
            "creating bucket '{}' at {}",
            self.args.bucket, self.args.endpoint
        );
        let mut client = self.client();
        let created = tokio::select! {
            created = client.create_bucket() => created,
            () = self.clock.sleep(self.args.timeout) => {
                Err(super::client::OpError::Timeout { seconds: self.args.timeout.as_secs() })
            }
        };
        created.map_err(|source| BenchError::Server { doing, source })
    }

    async fn run_loads<W: Write>(
        &mut self,
        loads: &[Load],
        report: &mut Report<W>,
    ) -> Result<(), BenchError> {
        for load in loads {
            for size in self.sizes_of(*load) {
                for clients in self.args.clients.clone() {
                    let row = self.run_one(*load, size, clients).await?;
                    self.judge(&row);
                    report.row(&row)?;
                }
            }
        }
        Ok(())
    }

    /// The sizes that a load runs with, which are also what its rows show.
    fn sizes_of(&self, load: Load) -> Vec<ByteSize> {
        let smallest = self.args.size.iter().min().copied();
        match load {
            load if load.has_sizes() => self.args.size.clone(),
            Load::Range => vec![self.args.range_size],
            Load::Multipart => vec![self.args.multipart_size],
            Load::List | Load::ListDelimiter => vec![ByteSize(0)],
            _ => smallest.into_iter().collect(),
        }
    }

    async fn run_one(
        &mut self,
        load: Load,
        size: ByteSize,
        clients: u32,
    ) -> Result<Row, BenchError> {
        let task = self.task(load, size).await?;
        let warmup = if load == Load::Delete {
            Duration::ZERO
        } else {
            self.args.warmup
        };
        let bounds = Bounds {
            warmup,
            duration: self.args.duration,
            ops: self.args.ops,
            timeout: self.args.timeout,
        };
        let title = format!("{} {size} with {clients} clients", load.name());
        let measured = self.measure(&title, bounds, task, clients).await?;
        let body = self.args.body.name();
        let subject = Subject {
            load: load.name(),
            size_bytes: size.0,
            clients,
            body,
        };
        Ok(Row::new(subject, measured))
    }

    async fn measure(
        &self,
        title: &str,
        bounds: Bounds,
        task: Task,
        clients: u32,
    ) -> Result<Measured, BenchError> {
        let shared_task = Arc::new(task.clone());
        let worker =
            |number: u32| Worker::new(self.client(), Arc::clone(&shared_task), u64::from(number));
        let workers = (0..clients).map(worker).collect();
        let bar = progress_bar(title);
        let watch = Watch {
            server_pids: &self.args.server_pid,
            bar: &bar,
        };
        let threads = usize::try_from(self.args.threads).unwrap_or(1);
        let measured = run_load(&self.clock, bounds, &task, workers, threads, watch).await;
        bar.finish_and_clear();
        measured
    }

    /// What the clients of a load do, with the objects that they need put.
    async fn task(&mut self, load: Load, size: ByteSize) -> Result<Task, BenchError> {
        let check = if self.args.verify {
            Check::Whole
        } else {
            Check::Ends
        };
        match load {
            Load::Put => {
                let payloads = self.payloads(size, self.args.body);
                Ok(Task::Put {
                    prefix: self.new_prefix("put"),
                    payloads,
                })
            }
            Load::Get => Ok(Task::Get(self.flat_stock(load, size).await?, check)),
            Load::Head => Ok(Task::Head(self.flat_stock(load, size).await?)),
            Load::Range => {
                let stock = self.flat_stock(load, self.args.range_object).await?;
                Ok(Task::Range(stock, size.0, check))
            }
            // `none` was filtered out before; as a task, it would list.
            Load::List | Load::None => Ok(Task::List(self.directories(load).await?)),
            Load::ListDelimiter => Ok(Task::ListDelimiter(self.directories(load).await?)),
            Load::Delete => {
                let count = self.args.delete_objects.min(self.args.ops);
                Ok(Task::Delete(
                    self.fill(load, size, count, StockKind::Flat).await?,
                ))
            }
            Load::Multipart => Ok(self.multipart()),
            Load::Mixed => {
                let stock = self.flat_stock(load, size).await?;
                Ok(Task::Mixed {
                    stock,
                    prefix: self.new_prefix("mixed"),
                    check,
                })
            }
        }
    }

    fn multipart(&mut self) -> Task {
        let (whole, part) = (self.args.multipart_size.0, self.args.part_size);
        let rest = ByteSize(whole % part.0);
        Task::Multipart {
            prefix: self.new_prefix("multipart"),
            parts: self.payloads(part, self.args.body),
            whole_parts: whole / part.0,
            last_part: (rest.0 > 0).then(|| self.payloads(rest, self.args.body)),
        }
    }

    async fn flat_stock(&mut self, load: Load, size: ByteSize) -> Result<Arc<Stock>, BenchError> {
        let fitting = STOCK_BYTES / size.0.max(1);
        let count = fitting.clamp(MIN_STOCK_COUNT, MAX_STOCK_COUNT);
        // The objects that ranges are taken of are large and have no setting of their own.
        let wanted = self.args.objects.filter(|_| load != Load::Range);
        self.kept_stock(load, size, wanted.unwrap_or(count), StockKind::Flat)
            .await
    }

    async fn directories(&mut self, load: Load) -> Result<Arc<Stock>, BenchError> {
        let count = self.args.list_dirs * DIRECTORY_OBJECTS;
        self.kept_stock(load, ByteSize(0), count, StockKind::Directories)
            .await
    }

    async fn kept_stock(
        &mut self,
        load: Load,
        size: ByteSize,
        count: u64,
        kind: StockKind,
    ) -> Result<Arc<Stock>, BenchError> {
        if let Some(stock) = self.stocks.get(&(size.0, kind)) {
            return Ok(Arc::clone(stock));
        }
        let stock = self.fill(load, size, count, kind).await?;
        self.stocks.insert((size.0, kind), Arc::clone(&stock));
        Ok(stock)
    }

    /// Puts `count` objects, or as many as there is time for.
    async fn fill(
        &mut self,
        load: Load,
        size: ByteSize,
        count: u64,
        kind: StockKind,
    ) -> Result<Arc<Stock>, BenchError> {
        let stock = Stock {
            prefix: self.new_prefix("stock"),
            payloads: self.payloads(size, self.args.body),
            count,
            in_directories: kind == StockKind::Directories,
        };
        let stock = Arc::new(stock);
        let bounds = Bounds {
            warmup: Duration::ZERO,
            duration: self.args.prepare,
            ops: count,
            timeout: self.args.timeout,
        };
        let title = format!("preparing {count} objects of {size} for {}", load.name());
        let clients = (PREPARING_BYTES / size.0.max(1))
            .min(count)
            .clamp(1, PREPARING_CLIENTS);
        let clients = u32::try_from(clients).unwrap_or(1);
        let task = Task::Fill(Arc::clone(&stock));
        let tally = self.measure(&title, bounds, task, clients).await?.tally;
        let stored = tally.latencies.count();
        if tally.errors > 0 || stored == 0 {
            let first = tally.first_error.unwrap_or_else(|| "no time".to_owned());
            let load = load.name();
            return Err(BenchError::Prepare {
                load,
                errors: tally.errors,
                wanted: count,
                first,
            });
        }
        // Numbers are handed out in order and none failed: the first `stored` are there.
        let (prefix, payloads) = (stock.prefix.clone(), Arc::clone(&stock.payloads));
        let in_directories = stock.in_directories;
        Ok(Arc::new(Stock {
            prefix,
            payloads,
            count: stored,
            in_directories,
        }))
    }

    fn payloads(&self, size: ByteSize, mode: BodyMode) -> Arc<Payloads> {
        Arc::new(Payloads::new(Arc::clone(&self.pool), length(size), mode))
    }

    fn new_prefix(&mut self, purpose: &str) -> String {
        self.next_prefix += 1;
        format!("{}{purpose}-{}/", self.prefix, self.next_prefix)
    }

    fn client(&self) -> Client {
        let credentials = self.credentials.clone();
        Client::new(
            &self.endpoint,
            credentials,
            &self.args.bucket,
            Arc::clone(&self.clock),
        )
    }

    /// Remembers what the exit code has to say.
    fn judge(&mut self, row: &Row) {
        if row.ops == 0 {
            let (load, size, clients) = (row.load, ByteSize(row.size_bytes), row.clients);
            self.failed_loads
                .push(format!("{load} {size} with {clients} clients"));
        }
        let wrong = |error: &String| error.contains("WRONG ANSWER");
        self.wrong_answers |= row.first_error.as_ref().is_some_and(wrong);
    }

    fn verdict(self) -> Result<(), BenchError> {
        if self.wrong_answers {
            return Err(BenchError::WrongAnswers);
        }
        if self.failed_loads.is_empty() {
            return Ok(());
        }
        Err(BenchError::NothingSucceeded {
            loads: self.failed_loads,
        })
    }

    /// Deletes all objects of this run.
    async fn clean(&self) -> Result<(), BenchError> {
        let bar = spinner("deleting the objects of this run");
        let mut client = self.client();
        let mut deleted = 0;
        for _ in 0..MAX_CLEANING_PAGES {
            let page = tokio::select! {
                page = client.delete_page(&self.prefix) => page,
                () = self.clock.sleep(self.args.timeout) => {
                    Err(super::client::OpError::Timeout { seconds: self.args.timeout.as_secs() })
                }
            };
            let doing = || format!("deleting the objects of this run under '{}'", self.prefix);
            match page.map_err(|source| BenchError::Server {
                doing: doing(),
                source,
            })? {
                0 => break,
                count => deleted += count,
            }
            bar.set_message(format!("deleting the objects of this run: {deleted}"));
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// Sizes were checked to fit into memory.
fn length(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

fn spinner(message: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(message);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn progress_bar(title: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<44} [{bar:30}] {percent:>3} % {elapsed}");
    let bar = ProgressBar::new(1_000).with_message(title.to_owned());
    match style {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
