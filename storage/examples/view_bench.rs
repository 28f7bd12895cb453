//! Measures the engines of the metadata view at the job that they have in Larder: one small batch per S3 PUT, HEAD, LIST.
//!
//! `view_bench [--objects N]... [--only NAME] [--dir DIR]` measures every configuration in a process of its own, so
//! that memory is counted apart, and prints a table. Without `--objects` it takes 1,000,000 and 5,000,000.
//!
//! The load: keys of 75 bytes (`o`, 8 bytes of bucket, directory of 1,000 objects, object) in random order, values of
//! 200 to 350 bytes of which a third compresses, one batch per PUT, a persist every 64 MiB or 30 s in a
//! thread of its own. Everything is drawn from fixed seeds.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is what this program is for"
)]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are rounded for printing"
)]

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use larder_storage::{
    clock::{Clock, SystemClock},
    meta::view::{self, Engine, SledView, View, ViewChange, ViewSettings},
    rng::{Rng, SeededRng},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is measured: a name, and whether it also runs with the largest number of objects.
const CONFIGURATIONS: [&str; 3] = ["fjall", "sled", "sled-defaults"];
const DEFAULT_OBJECTS: [u64; 2] = [1_000_000, 5_000_000];
/// A directory's objects: what one common prefix of a LIST with delimiter skips.
const PER_DIRECTORY: u64 = 1_000;
const KEY_BYTES: usize = 75;
const PERSIST_BYTES: u64 = 64 << 20;
const PERSIST_EVERY: Duration = Duration::from_secs(30);
/// PUTs measured once the view is full; one in five overwrites.
const PUTS: u64 = 200_000;
/// PUTs at a steady rate, in bursts of as many as a group commit holds.
const PACED_PUTS: u64 = 50_000;
const PACED_PER_SECOND: u64 = 5_000;
const PACED_BURST: u64 = 25;
const GETS: u64 = 200_000;
/// Gets between two looks at the clock.
const GET_CHUNK: u64 = 10_000;
const HOT_KEYS: u64 = 1_000;
const SEEKS: u64 = 20_000;
const PAGE_ROWS: usize = 1_000;
const PAGES: u64 = 200;
/// Filling a view is given up after this long.
const FILL_LIMIT: Duration = Duration::from_mins(15);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flag, name, objects, dir] = arguments.as_slice()
        && flag == "--child"
    {
        return measure(name, objects.parse()?, Path::new(dir));
    }
    run_all(&Plan::parse(&arguments)?)
}

struct Plan {
    objects: Vec<u64>,
    only: Option<String>,
    dir: PathBuf,
}

impl Plan {
    fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut plan = Self {
            objects: Vec::new(),
            only: None,
            dir: env::temp_dir(),
        };
        for pair in arguments.chunks(2) {
            match pair {
                [flag, value] if flag == "--objects" => plan.objects.push(value.parse()?),
                [flag, value] if flag == "--only" => plan.only = Some(value.clone()),
                [flag, value] if flag == "--dir" => plan.dir = value.into(),
                _ => return Err(format!("what does {pair:?} mean?").into()),
            }
        }
        if plan.objects.is_empty() {
            plan.objects = DEFAULT_OBJECTS.to_vec();
        }
        Ok(plan)
    }
}

fn run_all(plan: &Plan) -> Outcome<()> {
    for objects in &plan.objects {
        for name in CONFIGURATIONS {
            if plan.only.as_ref().is_none_or(|only| only == name) {
                let dir = plan
                    .dir
                    .join(format!("larder-view-bench-{}", std::process::id()));
                run_child(name, *objects, &dir)?;
                fs::remove_dir_all(&dir)?;
            }
        }
    }
    Ok(())
}

fn run_child(name: &str, objects: u64, dir: &Path) -> Outcome<()> {
    fs::create_dir_all(dir)?;
    let arguments = ["--child", name, &objects.to_string()];
    let status = Command::new(env::current_exe()?)
        .args(arguments)
        .arg(dir)
        .status()?;
    if !status.success() {
        println!("| {name} | {objects} | failed: {status} |");
    }
    Ok(())
}

fn open(name: &str, dir: &Path) -> Outcome<Arc<dyn View>> {
    Ok(match name {
        "sled-defaults" => Arc::new(SledView::open_config(dir, sled::Config::new())?),
        _ => view::open(name.parse::<Engine>()?, dir, ViewSettings::default())?,
    })
}

/// All measurements of one configuration, printed as they come.
fn measure(name: &str, objects: u64, dir: &Path) -> Outcome<()> {
    let clock = SystemClock;
    let report = Report { name, objects };
    let view = open(name, dir)?;
    let filled = measure_fill(&report, &*view, objects)?;
    measure_puts(&report, &*view, filled)?;
    report.line("persist, ms", millis(timed(&clock, || view.persist())?));
    measure_reads(&report, &*view, filled)?;
    report.line("memory after that, MiB", resident_mib("VmHWM")?);
    report.line(
        "disk bytes per object",
        view.disk_bytes() / (filled + PUTS * 4 / 5),
    );
    report.line(
        "close, ms",
        millis(timed(&clock, || {
            drop(view);
            Ok(())
        })?),
    );
    let mut opened = None;
    report.line(
        "open, ms",
        millis(timed(&clock, || {
            opened = Some(open(name, dir).map_err(|error| view::ViewError(error.to_string()))?);
            Ok(())
        })?),
    );
    if let Some(view) = opened {
        // From here on the peak is that of a server at work, not of one that is filled as fast as it goes.
        fs::write("/proc/self/clear_refs", "5")?;
        let order = Shuffled::new(objects);
        let random = |rng: &SeededRng| key(order.at(rng.next_u64() % filled));
        report.line(
            "random get after open, CPU µs",
            micros(point_gets(&*view, GETS, random)?, GETS),
        );
        measure_paced(&report, &*view)?;
        report.line("memory at work, MiB", resident_mib("VmHWM")?);
    }
    Ok(())
}

struct Report<'a> {
    name: &'a str,
    objects: u64,
}

impl Report<'_> {
    fn line(&self, what: &str, figure: impl std::fmt::Display) {
        println!("| {} | {} | {what} | {figure} |", self.objects, self.name);
    }

    fn puts(&self, what: &str, puts: &Puts) {
        let rate = puts.count as f64 / puts.took.as_secs_f64();
        self.line(&format!("{what}, PUT/s"), format!("{rate:.0}"));
        let [p50, p99, max] = [
            puts.latency.quantile(0.5),
            puts.latency.quantile(0.99),
            puts.latency.max,
        ];
        let [p50, p99, max] = [p50, p99, max].map(|nanos| nanos as f64 / 1e3);
        self.line(
            &format!("{what}, p50 / p99 / max µs"),
            format!("{p50:.1} / {p99:.1} / {max:.0}"),
        );
        let cpu = puts.cpu.as_secs_f64() * 1e6 / puts.count as f64;
        self.line(&format!("{what}, CPU µs per PUT"), format!("{cpu:.1}"));
    }
}

/// Returns how many objects were put.
fn measure_fill(report: &Report<'_>, view: &dyn View, objects: u64) -> Outcome<u64> {
    let order = Shuffled::new(objects);
    let puts = put_all(view, objects, FILL_LIMIT, |i| order.at(i))?;
    if puts.count < objects {
        report.line("fill given up at", puts.count);
    }
    report.puts("fill", &puts);
    Ok(puts.count)
}

fn measure_puts(report: &Report<'_>, view: &dyn View, filled: u64) -> Outcome<()> {
    let order = Shuffled::new(report.objects);
    let rng = SeededRng::new(11);
    let number = |i: u64| {
        let overwrites = i.is_multiple_of(5);
        if overwrites {
            order.at(rng.next_u64() % filled)
        } else {
            report.objects + i
        }
    };
    report.puts(
        "full",
        &put_all(view, PUTS, Duration::from_mins(2), number)?,
    );
    Ok(())
}

/// What a PUT waits and costs at the rate of a busy server.
fn measure_paced(report: &Report<'_>, view: &dyn View) -> Outcome<()> {
    let clock = SystemClock;
    let start = clock.monotonic();
    let number = |i: u64| {
        if i.is_multiple_of(PACED_BURST) {
            let due = start
                + Duration::from_micros(1_000_000 / PACED_PER_SECOND)
                    * u32::try_from(i).unwrap_or(u32::MAX);
            thread::park_timeout(due.saturating_sub(clock.monotonic()));
        }
        report.objects + PUTS + i
    };
    report.puts(
        "paced",
        &put_all(view, PACED_PUTS, Duration::from_secs(30), number)?,
    );
    Ok(())
}

fn measure_reads(report: &Report<'_>, view: &dyn View, filled: u64) -> Outcome<()> {
    let order = Shuffled::new(report.objects);
    let present = |limit: u64| {
        let order = &order;
        move |rng: &SeededRng| key(order.at(rng.next_u64() % limit))
    };
    point_gets(view, GETS / 10, present(HOT_KEYS))?;
    report.line(
        "hot get, CPU µs",
        micros(point_gets(view, GETS, present(HOT_KEYS))?, GETS),
    );
    report.line(
        "random get, CPU µs",
        micros(point_gets(view, GETS, present(filled))?, GETS),
    );
    let absent = |rng: &SeededRng| key(u64::from(u32::MAX) + rng.next_u64() % 1_000_000);
    report.line(
        "absent get, CPU µs",
        micros(point_gets(view, GETS, absent)?, GETS),
    );
    report.line("LIST all, CPU µs per row", scan_all(view)?);
    report.line(
        "LIST page of 1,000, CPU µs per row",
        scan_pages(view, report.objects)?,
    );
    report.line(
        "seek (LIST with delimiter), CPU µs",
        seeks(view, report.objects)?,
    );
    Ok(())
}

// The load.

/// A permutation of `0..count`, so that keys come in random order and are known without a list of them.
struct Shuffled {
    count: u64,
    factor: u64,
}

impl Shuffled {
    fn new(count: u64) -> Self {
        // A prime that divides none of the counts that are used.
        Self {
            count,
            factor: 2_654_435_761,
        }
    }

    fn at(&self, i: u64) -> u64 {
        i * self.factor % self.count
    }
}

fn key(number: u64) -> Bytes {
    let (directory, object) = (number / PER_DIRECTORY, number % PER_DIRECTORY);
    let mut key = b"o\0\0\0\0\0\0\0\x07".to_vec();
    key.extend(format!("backups/main/{directory:08}/").into_bytes());
    key.extend(
        format!(
            "{object:06}-{:016x}",
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        )
        .into_bytes(),
    );
    key.resize(KEY_BYTES, b'x');
    key.into()
}

/// 200 to 350 bytes, the last third of them as text that repeats.
fn value(rng: &SeededRng) -> Bytes {
    let value_bytes = 200 + usize::try_from(rng.next_u64() % 151).unwrap_or(0);
    let mut value = Vec::with_capacity(value_bytes + 8);
    while value.len() < value_bytes * 2 / 3 {
        value.extend(rng.next_u64().to_le_bytes());
    }
    let text = b"application/octet-stream;x-amz-meta-mtime=1700000000;standard;";
    let rest = value_bytes - value.len();
    value.extend(text.iter().cycle().take(rest));
    value.into()
}

struct Puts {
    count: u64,
    took: Duration,
    cpu: Duration,
    latency: Latency,
}

/// Applies one batch per PUT, persisting beside it as the embedded engine does.
fn put_all(
    view: &dyn View,
    count: u64,
    limit: Duration,
    number: impl Fn(u64) -> u64,
) -> Outcome<Puts> {
    let clock = SystemClock;
    let (written, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let (start, cpu) = (clock.monotonic(), cpu_time()?);
    thread::scope(|scope| {
        let persister = scope.spawn(|| persist_loop(view, &written, &done));
        let mut puts = Puts {
            count: 0,
            took: Duration::ZERO,
            cpu,
            latency: Latency::default(),
        };
        let rng = SeededRng::new(count);
        while puts.count < count && clock.monotonic().saturating_sub(start) < limit {
            let change = ViewChange {
                key: key(number(puts.count)),
                value: Some(value(&rng)),
            };
            let change_bytes = change.key.len() + change.value.as_ref().map_or(0, Bytes::len);
            puts.latency.add(timed(&clock, || view.apply(&[change]))?);
            written.fetch_add(change_bytes as u64, Ordering::Relaxed);
            puts.count += 1;
        }
        done.store(true, Ordering::Relaxed);
        puts.took = clock.monotonic().saturating_sub(start);
        persister
            .join()
            .map_err(|_| "the persisting thread panicked")??;
        puts.cpu = cpu_time()?.saturating_sub(cpu);
        Ok(puts)
    })
}

fn persist_loop(
    view: &dyn View,
    written: &AtomicU64,
    done: &AtomicBool,
) -> Result<(), view::ViewError> {
    let clock = SystemClock;
    let (mut last_bytes, mut last_time) = (0, clock.monotonic());
    while !done.load(Ordering::Relaxed) {
        let now_bytes = written.load(Ordering::Relaxed);
        if now_bytes - last_bytes >= PERSIST_BYTES
            || clock.monotonic().saturating_sub(last_time) >= PERSIST_EVERY
        {
            (last_bytes, last_time) = (now_bytes, clock.monotonic());
            view.persist()?;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}

/// The CPU time of the gets alone: keys are made in between, a few at a time, so as not to count as the view's memory.
fn point_gets(view: &dyn View, count: u64, key: impl Fn(&SeededRng) -> Bytes) -> Outcome<Duration> {
    let rng = SeededRng::new(3);
    let (mut took, mut found) = (Duration::ZERO, 0);
    for _ in 0..count / GET_CHUNK {
        let keys: Vec<Bytes> = (0..GET_CHUNK).map(|_| key(&rng)).collect();
        took += on_cpu(|| {
            for key in &keys {
                found += u64::from(view.get(key)?.is_some());
            }
            Ok(())
        })?;
    }
    if found != 0 && found != count {
        eprintln!("{found} of {count} keys found");
    }
    Ok(took)
}

fn scan_all(view: &dyn View) -> Outcome<String> {
    let (mut rows, mut bytes) = (0_u64, 0);
    let took = on_cpu(|| {
        view.scan(b"o", b"p", &mut |key, value| {
            rows += 1;
            bytes += key.len() + value.len();
            rows < 1_000_000
        })
    })?;
    Ok(format!("{:.2}", took.as_secs_f64() * 1e6 / rows as f64))
}

fn scan_pages(view: &dyn View, objects: u64) -> Outcome<String> {
    let (rng, mut rows) = (SeededRng::new(5), 0);
    let took = on_cpu(|| {
        for _ in 0..PAGES {
            let mut left = PAGE_ROWS;
            view.scan(&key(rng.next_u64() % objects), b"p", &mut |_, _| {
                rows += 1;
                left -= 1;
                left > 0
            })?;
        }
        Ok(())
    })?;
    Ok(format!("{:.2}", took.as_secs_f64() * 1e6 / f64::from(rows)))
}

/// Reads the first key of one directory after another, as a LIST with delimiter does.
fn seeks(view: &dyn View, objects: u64) -> Outcome<String> {
    let directories = objects / PER_DIRECTORY;
    let took = on_cpu(|| {
        for i in 0..SEEKS {
            let prefix = &key(i % directories * PER_DIRECTORY)[..31];
            view.scan(prefix, b"p", &mut |_, _| false)?;
        }
        Ok(())
    })?;
    Ok(format!("{:.2}", took.as_secs_f64() * 1e6 / SEEKS as f64))
}

// Measuring.

fn timed(
    clock: &SystemClock,
    work: impl FnOnce() -> Result<(), view::ViewError>,
) -> Outcome<Duration> {
    let start = clock.monotonic();
    work()?;
    Ok(clock.monotonic().saturating_sub(start))
}

/// Time that this thread was on a CPU: what a reader costs, however many others share the machine.
fn on_cpu(work: impl FnOnce() -> Result<(), view::ViewError>) -> Outcome<Duration> {
    let start = thread_cpu()?;
    work()?;
    Ok(thread_cpu()?.saturating_sub(start))
}

fn thread_cpu() -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = stat.split_whitespace().next().ok_or("no time")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

fn micros(took: Duration, count: u64) -> String {
    format!("{:.2}", took.as_secs_f64() * 1e6 / count as f64)
}

fn millis(took: Duration) -> String {
    format!("{:.0}", took.as_secs_f64() * 1e3)
}

/// Nanoseconds in buckets of an eighth of a power of two: quantiles within 9 %.
struct Latency {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            buckets: vec![0; 64 * 8],
            count: 0,
            max: 0,
        }
    }
}

impl Latency {
    fn add(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(8);
        let power = nanos.ilog2();
        let eighth = (nanos >> (power - 3)) & 7;
        if let Some(bucket) = self
            .buckets
            .get_mut((u64::from(power) * 8 + eighth) as usize)
        {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// The upper end of the bucket that holds the quantile.
    fn quantile(&self, quantile: f64) -> u64 {
        let rank = (self.count as f64 * quantile) as u64;
        let mut seen = 0;
        let index = self.buckets.iter().position(|bucket| {
            seen += bucket;
            seen > rank
        });
        let (power, eighth) = index.map_or((3, 0), |index| (index / 8, index as u64 % 8));
        (8 + eighth + 1) << (power - 3)
    }
}

/// User and system time of this process, in steps of 10 ms.
fn cpu_time() -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().ok_or("no fields")?;
    let ticks: Result<Vec<u64>, _> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect();
    Ok(Duration::from_millis(ticks?.iter().sum::<u64>() * 10))
}

fn resident_mib(field: &str) -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .ok_or("no such field")?;
    Ok(line
        .split_whitespace()
        .nth(1)
        .ok_or("no figure")?
        .parse::<u64>()?
        >> 10)
}
