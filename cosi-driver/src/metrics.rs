//! What the driver did, for Prometheus. Labels are bounded: names of methods are `'static`, and gRPC has 17 codes.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use tonic::Code;

/// Upper bounds of the histogram's buckets, in seconds.
const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 45.0,
];

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    calls: Mutex<BTreeMap<(&'static str, &'static str), Durations>>,
}

#[derive(Clone, Debug, Default)]
struct Durations {
    /// As many as `BOUNDS`, each with those that took up to its bound and longer than the one before.
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum_seconds: f64,
}

impl Metrics {
    /// A call was answered.
    pub fn called(&self, method: &'static str, code: Code, took: Duration) {
        let mut calls = self.calls.lock();
        let durations = calls.entry((method, name_of(code))).or_default();
        durations.add(took.as_secs_f64());
    }

    /// Prometheus' text format, version 0.0.4.
    pub fn exposition(&self) -> String {
        let calls = self.calls.lock().clone();
        let mut out = String::new();
        durations(&mut out, &calls);
        errors(&mut out, &calls);
        out
    }
}

impl Durations {
    fn add(&mut self, seconds: f64) {
        let slot = BOUNDS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = slot.and_then(|slot| self.counts.get_mut(slot)) {
            *count += 1;
        }
        self.count += 1;
        self.sum_seconds += seconds;
    }
}

type Calls = BTreeMap<(&'static str, &'static str), Durations>;

fn durations(out: &mut String, calls: &Calls) {
    const NAME: &str = "cosi_driver_operation_duration_seconds";
    family(out, NAME, "histogram", "How long calls of COSI took.");
    for ((method, code), durations) in calls {
        let labels = format!("method=\"{method}\",grpc_status_code=\"{code}\"");
        let mut up_to = 0;
        for (bound, count) in BOUNDS.iter().zip(durations.counts) {
            up_to += count;
            line(
                out,
                format_args!("{NAME}_bucket{{{labels},le=\"{bound}\"}} {up_to}"),
            );
        }
        let Durations {
            count, sum_seconds, ..
        } = durations;
        line(
            out,
            format_args!("{NAME}_bucket{{{labels},le=\"+Inf\"}} {count}"),
        );
        line(out, format_args!("{NAME}_sum{{{labels}}} {sum_seconds}"));
        line(out, format_args!("{NAME}_count{{{labels}}} {count}"));
    }
}

fn errors(out: &mut String, calls: &Calls) {
    const NAME: &str = "cosi_driver_operation_errors_total";
    family(
        out,
        NAME,
        "counter",
        "Calls of COSI that were refused or failed.",
    );
    for ((method, code), durations) in calls.iter().filter(|((_, code), _)| *code != "OK") {
        let count = durations.count;
        line(
            out,
            format_args!("{NAME}{{method=\"{method}\",grpc_status_code=\"{code}\"}} {count}"),
        );
    }
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    line(
        out,
        format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"),
    );
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.push_str(&std::fmt::format(text));
    out.push('\n');
}

/// A code as the protocol writes it.
pub fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_code_and_time() {
        let metrics = Metrics::default();
        metrics.called("v1alpha1/A", Code::Ok, Duration::from_millis(7));
        metrics.called("v1alpha1/A", Code::Ok, Duration::from_secs(90));
        metrics.called("v1alpha1/A", Code::Aborted, Duration::from_millis(500));
        let text = metrics.exposition();
        let ok = "method=\"v1alpha1/A\",grpc_status_code=\"OK\"";
        for line in [
            format!("cosi_driver_operation_duration_seconds_bucket{{{ok},le=\"0.005\"}} 0"),
            format!("cosi_driver_operation_duration_seconds_bucket{{{ok},le=\"0.01\"}} 1"),
            format!("cosi_driver_operation_duration_seconds_bucket{{{ok},le=\"45\"}} 1"),
            format!("cosi_driver_operation_duration_seconds_bucket{{{ok},le=\"+Inf\"}} 2"),
            format!("cosi_driver_operation_duration_seconds_sum{{{ok}}} 90.007"),
            format!("cosi_driver_operation_duration_seconds_count{{{ok}}} 2"),
            "cosi_driver_operation_errors_total{method=\"v1alpha1/A\",grpc_status_code=\"ABORTED\"} 1".to_owned(),
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("errors_total{method=\"v1alpha1/A\",grpc_status_code=\"OK\"}"));
    }
}
