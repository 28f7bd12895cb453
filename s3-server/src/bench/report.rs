//! The result table, and the same as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::{floors::Floors, measure::Measured};
use crate::units::ByteSize;

/// The result of one load. What is `null` in JSON was not measured.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The load's name.
    pub load: &'static str,
    /// Bytes of each object, or of each range.
    pub size_bytes: u64,
    /// Connections, each with one request at a time.
    pub clients: u32,
    /// How bodies were sent.
    pub body: &'static str,
    /// Operations that succeeded within the counted time.
    pub ops: u64,
    /// Operations that failed, those of the warm-up included.
    pub errors: u64,
    /// What the first failure was.
    pub first_error: Option<String>,
    /// Bytes of object data sent or received.
    pub bytes: u64,
    /// The counted time.
    pub seconds: f64,
    /// Operations per second.
    pub ops_per_second: f64,
    /// MiB (2^20 bytes) of object data per second.
    pub mib_per_second: f64,
    /// Median latency.
    pub p50_us: f64,
    /// Latency that 90 % of operations do not exceed.
    pub p90_us: f64,
    /// Latency that 99 % of operations do not exceed.
    pub p99_us: f64,
    /// The longest latency.
    pub max_us: f64,
    /// Keys or common prefixes listed (listings only).
    pub keys: Option<u64>,
    /// The same per second.
    pub keys_per_second: Option<f64>,
    /// CPU milliseconds of this client per operation.
    pub client_cpu_ms_per_op: Option<f64>,
    /// CPU milliseconds of the server per operation.
    pub server_cpu_ms_per_op: Option<f64>,
    /// CPU seconds of the server per GB (10^9 bytes) of object data.
    pub server_cpu_s_per_gb: Option<f64>,
    /// CPU microseconds of the server per key or common prefix listed.
    pub server_cpu_us_per_key: Option<f64>,
    /// Most memory that the server had resident during the load.
    pub server_peak_rss_bytes: Option<u64>,
}

/// What identifies a row.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// The load's name.
    pub load: &'static str,
    /// Bytes of each object, or of each range.
    pub size_bytes: u64,
    /// Connections.
    pub clients: u32,
    /// How bodies were sent.
    pub body: &'static str,
}

const MIB: f64 = 1_048_576.0;
const GB: f64 = 1e9;

impl Row {
    /// The row for what was measured of `subject`.
    pub fn new(subject: Subject, measured: Measured) -> Self {
        let Measured {
            tally,
            elapsed,
            client_cpu,
            server,
        } = measured;
        let (latencies, seconds) = (&tally.latencies, elapsed.as_secs_f64());
        let ops = latencies.count();
        let keys = (tally.keys > 0).then_some(tally.keys);
        let server_seconds = server.map(|(cpu, _)| cpu.as_secs_f64());
        let server_per = |count: f64| server_seconds.and_then(|cpu| ratio(cpu, count));
        Self {
            load: subject.load,
            size_bytes: subject.size_bytes,
            clients: subject.clients,
            body: subject.body,
            ops,
            errors: tally.errors,
            bytes: tally.bytes,
            seconds,
            ops_per_second: ratio(to_f64(ops), seconds).unwrap_or(0.0),
            mib_per_second: ratio(to_f64(tally.bytes) / MIB, seconds).unwrap_or(0.0),
            p50_us: latencies.percentile_us(50),
            p90_us: latencies.percentile_us(90),
            p99_us: latencies.percentile_us(99),
            max_us: latencies.max_us(),
            keys,
            keys_per_second: keys.and_then(|keys| ratio(to_f64(keys), seconds)),
            client_cpu_ms_per_op: ratio(client_cpu.as_secs_f64() * 1e3, to_f64(ops)),
            server_cpu_ms_per_op: server_per(to_f64(ops)).map(|cpu| cpu * 1e3),
            server_cpu_s_per_gb: server_per(to_f64(tally.bytes) / GB),
            server_cpu_us_per_key: keys
                .and_then(|keys| server_per(to_f64(keys)))
                .map(|cpu| cpu * 1e6),
            server_peak_rss_bytes: server.map(|(_, bytes)| bytes),
            first_error: tally.first_error,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people; counts are below 2^52"
)]
fn to_f64(count: u64) -> f64 {
    count as f64
}

/// `None` where there is nothing to divide by.
fn ratio(amount: f64, by: f64) -> Option<f64> {
    (by > 0.0).then(|| amount / by)
}

/// The floors as one JSON object.
#[derive(Debug, Serialize)]
struct FloorsRow {
    floors: &'static str,
    disks: usize,
    rounds: u64,
    synced_append_p50_us: f64,
    synced_append_p90_us: f64,
    synced_append_p99_us: f64,
    synced_append_max_us: f64,
    write_mib_per_second: f64,
    direct_read_mib_per_second: Option<f64>,
    cached_read_mib_per_second: f64,
}

/// Writes results as they come, to anything that can be written to.
#[derive(Debug)]
pub struct Report<W> {
    out: W,
    json: bool,
    with_server: bool,
    header_written: bool,
}

impl<W: Write> Report<W> {
    /// A report as a table or as JSON lines; `with_server` adds columns.
    pub fn new(out: W, json: bool, with_server: bool) -> Self {
        Self {
            out,
            json,
            with_server,
            header_written: false,
        }
    }

    /// Writes the floors of the disks.
    ///
    /// # Errors
    /// Those of the output.
    pub fn floors(&mut self, floors: &Floors) -> io::Result<()> {
        let (appends, mib) = (&floors.synced_appends, |bytes: f64| bytes / MIB);
        let row = FloorsRow {
            floors: "disks",
            disks: floors.disks_count,
            rounds: appends.count(),
            synced_append_p50_us: appends.percentile_us(50),
            synced_append_p90_us: appends.percentile_us(90),
            synced_append_p99_us: appends.percentile_us(99),
            synced_append_max_us: appends.max_us(),
            write_mib_per_second: mib(floors.write_bytes_per_second),
            direct_read_mib_per_second: floors.direct_read_bytes_per_second.map(mib),
            cached_read_mib_per_second: mib(floors.cached_read_bytes_per_second),
        };
        if self.json {
            self.json_line(&row)
        } else {
            self.floors_table(&row)
        }
    }

    fn floors_table(&mut self, row: &FloorsRow) -> io::Result<()> {
        let direct = row.direct_read_mib_per_second;
        let direct = direct.map_or_else(
            || "not possible here".to_owned(),
            |rate| format!("{rate:.0} MiB/s"),
        );
        writeln!(
            self.out,
            "Floors of {} director{}, all at once",
            row.disks,
            if row.disks == 1 { "y" } else { "ies" }
        )?;
        writeln!(
            self.out,
            "  append 4 KiB and fdatasync   p50 {}  p90 {}  p99 {}  max {}  ({} rounds)",
            latency(row.synced_append_p50_us),
            latency(row.synced_append_p90_us),
            latency(row.synced_append_p99_us),
            latency(row.synced_append_max_us),
            row.rounds
        )?;
        writeln!(
            self.out,
            "  sequential write, synced     {:.0} MiB/s",
            row.write_mib_per_second
        )?;
        writeln!(self.out, "  sequential read, direct      {direct}")?;
        writeln!(
            self.out,
            "  sequential read, cached      {:.0} MiB/s\n",
            row.cached_read_mib_per_second
        )
    }

    /// Writes one result.
    ///
    /// # Errors
    /// Those of the output.
    pub fn row(&mut self, row: &Row) -> io::Result<()> {
        if self.json {
            return self.json_line(row);
        }
        if !std::mem::replace(&mut self.header_written, true) {
            self.header()?;
        }
        self.table_row(row)?;
        if let Some(error) = &row.first_error {
            writeln!(self.out, "    first of {} errors: {error}", row.errors)?;
        }
        self.out.flush()
    }

    fn json_line(&mut self, row: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, row)?;
        writeln!(self.out)?;
        self.out.flush()
    }

    fn header(&mut self) -> io::Result<()> {
        write!(
            self.out,
            "{:<14} {:>7} {:>7} {:<8} {:>8} {:>6} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9}",
            "load",
            "size",
            "clients",
            "body",
            "ops",
            "errors",
            "ops/s",
            "MiB/s",
            "p50",
            "p90",
            "p99",
            "max",
            "keys/s",
            "client ms"
        )?;
        if self.with_server {
            write!(
                self.out,
                " {:>9} {:>8} {:>7} {:>9}",
                "server ms", "CPU s/GB", "µs/key", "peak RSS"
            )?;
        }
        writeln!(self.out)
    }

    fn table_row(&mut self, row: &Row) -> io::Result<()> {
        write!(
            self.out,
            "{:<14} {:>7} {:>7} {:<8} {:>8} {:>6} {:>9.1} {:>8.1} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9}",
            row.load,
            ByteSize(row.size_bytes),
            row.clients,
            row.body,
            row.ops,
            row.errors,
            row.ops_per_second,
            row.mib_per_second,
            latency(row.p50_us),
            latency(row.p90_us),
            latency(row.p99_us),
            latency(row.max_us),
            optional(row.keys_per_second, 0),
            optional(row.client_cpu_ms_per_op, 4),
        )?;
        if self.with_server {
            let peak = row.server_peak_rss_bytes.map(|bytes| to_f64(bytes) / MIB);
            write!(
                self.out,
                " {:>9} {:>8} {:>7} {:>5} MiB",
                optional(row.server_cpu_ms_per_op, 4),
                optional(
                    row.server_cpu_s_per_gb.filter(|_| row.size_bytes >= 65_536),
                    2
                ),
                optional(row.server_cpu_us_per_key, 2),
                optional(peak, 0),
            )?;
        }
        writeln!(self.out)
    }
}

fn optional(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

/// A latency with three digits and its unit.
fn latency(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{us:.0}µs"),
        us if us < 10_000.0 => format!("{:.2}ms", us / 1e3),
        us if us < 100_000.0 => format!("{:.1}ms", us / 1e3),
        us if us < 1_000_000.0 => format!("{:.0}ms", us / 1e3),
        us => format!("{:.1}s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::Tally;
    use std::time::Duration;

    fn measured() -> Measured {
        let mut tally = Tally {
            bytes: 2 << 20,
            ..Tally::default()
        };
        tally.latencies.record(Duration::from_millis(2));
        tally.latencies.record(Duration::from_millis(4));
        let server = Some((Duration::from_millis(20), 3 << 20));
        Measured {
            tally,
            elapsed: Duration::from_secs(2),
            client_cpu: Duration::ZERO,
            server,
        }
    }

    const SUBJECT: Subject = Subject {
        load: "put",
        size_bytes: 1 << 20,
        clients: 8,
        body: "signed",
    };

    #[test]
    fn json_has_the_promised_fields() {
        let mut out = Vec::new();
        Report::new(&mut out, true, true)
            .row(&Row::new(SUBJECT, measured()))
            .unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        for (field, expected) in [
            ("size_bytes", 1_048_576.0),
            ("clients", 8.0),
            ("ops", 2.0),
            ("errors", 0.0),
            ("bytes", 2_097_152.0),
            ("seconds", 2.0),
            ("ops_per_second", 1.0),
            ("mib_per_second", 1.0),
            ("max_us", 4_000.0),
            ("server_cpu_ms_per_op", 10.0),
            ("server_peak_rss_bytes", 3_145_728.0),
        ] {
            let got = value[field].as_f64().unwrap();
            assert!((got - expected).abs() < 1e-9, "{field}: {got}");
        }
        assert_eq!(
            (value["load"].as_str(), value["body"].as_str()),
            (Some("put"), Some("signed"))
        );
        for field in ["p50_us", "p90_us", "p99_us"] {
            assert!(value[field].as_f64().unwrap() > 0.0, "{field}");
        }
        assert!(value["keys"].is_null());
    }

    #[test]
    fn columns_line_up_and_errors_are_shown() {
        let mut out = Vec::new();
        let mut row = Row::new(SUBJECT, measured());
        let mut report = Report::new(&mut out, false, true);
        report.row(&row).unwrap();
        row.errors = 1;
        row.first_error = Some("PutObject: status 503".into());
        report.row(&row).unwrap();
        let text = String::from_utf8(out).unwrap();
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths[0], widths[1], "{text}");
        assert!(
            text.ends_with("first of 1 errors: PutObject: status 503\n"),
            "{text}"
        );
        assert_eq!(text.matches("load").count(), 1);
    }

    #[test]
    fn nothing_done_divides_by_nothing() {
        let measured = Measured {
            tally: Tally::default(),
            elapsed: Duration::ZERO,
            client_cpu: Duration::ZERO,
            server: None,
        };
        let row = Row::new(SUBJECT, measured);
        assert!(row.ops_per_second.abs() < f64::EPSILON);
        assert_eq!(row.client_cpu_ms_per_op, None);
    }
}
