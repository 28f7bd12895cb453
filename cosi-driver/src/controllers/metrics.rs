//! What the controllers did and found, for Prometheus. Labels are words of this crate, never names of objects.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use parking_lot::Mutex;

/// Upper bounds of histograms, in seconds.
const BOUNDS: [f64; 11] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0, 600.0,
];

/// Counts since the start, and the last of what is measured.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
    gauges: Mutex<BTreeMap<&'static str, u64>>,
    times: Mutex<BTreeMap<&'static str, Times>>,
}

#[derive(Clone, Debug, Default)]
struct Times {
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum_seconds: f64,
}

/// Families with their kind and what they say; nothing else is ever counted.
const FAMILIES: &[(&str, &str, &str)] = &[
    (
        RECONCILES,
        "counter",
        "Objects that were looked at, by kind and outcome.",
    ),
    (
        REPAIRS,
        "counter",
        "What upstream's controllers left behind and was mended, by kind.",
    ),
    (
        ORPHANS,
        "counter",
        "Accounts without a BucketAccess that were disabled or deleted.",
    ),
    (
        ORPHAN_ACCOUNTS,
        "gauge",
        "Accounts in the store without a BucketAccess, at the last look.",
    ),
    (
        ORPHAN_BUCKETS,
        "gauge",
        "Buckets in the store without a Bucket object, at the last look.",
    ),
    (
        ORPHANS_DOUBTFUL,
        "gauge",
        "1 while so many accounts have no BucketAccess that nothing is done about them.",
    ),
    (
        ACCOUNTS,
        "gauge",
        "Accounts of this driver in the store, at the last look.",
    ),
    (
        BUCKETS,
        "gauge",
        "Buckets of this driver in the store, at the last look.",
    ),
    (
        LEADER,
        "gauge",
        "1 while this process runs the controllers.",
    ),
    (
        CLAIM_READY,
        "histogram",
        "From the making of a BucketClaim until it was ready.",
    ),
    (
        ACCESS_SECRET,
        "histogram",
        "From the making of a BucketAccess until its Secret was there.",
    ),
];

const RECONCILES: &str = "larder_cosi_reconciles_total";
const REPAIRS: &str = "larder_cosi_repairs_total";
const ORPHANS: &str = "larder_cosi_orphans_total";
pub(crate) const ORPHAN_ACCOUNTS: &str = "larder_cosi_orphan_accounts";
pub(crate) const ORPHAN_BUCKETS: &str = "larder_cosi_orphan_buckets";
pub(crate) const ORPHANS_DOUBTFUL: &str = "larder_cosi_orphans_doubtful";
pub(crate) const ACCOUNTS: &str = "larder_cosi_accounts";
pub(crate) const BUCKETS: &str = "larder_cosi_buckets";
pub(crate) const LEADER: &str = "larder_cosi_leader";
pub(crate) const CLAIM_READY: &str = "larder_cosi_claim_ready_seconds";
pub(crate) const ACCESS_SECRET: &str = "larder_cosi_access_secret_seconds";

impl Metrics {
    /// An object was looked at.
    pub(crate) fn reconciled(&self, kind: &'static str, outcome: &'static str) {
        self.count(RECONCILES, format!("kind=\"{kind}\",outcome=\"{outcome}\""));
    }

    /// Something was mended.
    pub(crate) fn repaired(&self, what: &'static str) {
        self.count(REPAIRS, format!("kind=\"{what}\""));
    }

    /// Something was done about an account without an access.
    pub(crate) fn orphan(&self, done: &'static str) {
        self.count(ORPHANS, format!("action=\"{done}\""));
    }

    /// Something was measured.
    pub(crate) fn set(&self, gauge: &'static str, value: usize) {
        let value = u64::try_from(value).unwrap_or(u64::MAX);
        self.gauges.lock().insert(gauge, value);
    }

    /// Something took so long.
    pub(crate) fn took(&self, family: &'static str, time: Duration) {
        let seconds = time.as_secs_f64();
        let mut times = self.times.lock();
        let times = times.entry(family).or_default();
        let slot = BOUNDS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = slot.and_then(|slot| times.counts.get_mut(slot)) {
            *count += 1;
        }
        times.count += 1;
        times.sum_seconds += seconds;
    }

    fn count(&self, family: &'static str, labels: String) {
        *self.counts.lock().entry((family, labels)).or_default() += 1;
    }

    /// Prometheus' text format, version 0.0.4.
    pub fn exposition(&self) -> String {
        let mut out = String::new();
        for (family, kind, help) in FAMILIES {
            let lines = match *kind {
                "counter" => self.counters(family),
                "gauge" => self.gauge(family),
                _ => self.histogram(family),
            };
            if !lines.is_empty() {
                line(&mut out, format_args!("# HELP {family} {help}"));
                line(&mut out, format_args!("# TYPE {family} {kind}"));
                out.push_str(&lines);
            }
        }
        out
    }

    fn counters(&self, family: &str) -> String {
        let mut out = String::new();
        for ((name, labels), count) in self.counts.lock().iter() {
            if *name == family {
                line(&mut out, format_args!("{family}{{{labels}}} {count}"));
            }
        }
        out
    }

    fn gauge(&self, family: &str) -> String {
        let mut out = String::new();
        if let Some(value) = self.gauges.lock().get(family) {
            line(&mut out, format_args!("{family} {value}"));
        }
        out
    }

    fn histogram(&self, family: &str) -> String {
        let mut out = String::new();
        let times = self.times.lock();
        let Some(times) = times.get(family) else {
            return out;
        };
        let mut up_to = 0;
        for (bound, count) in BOUNDS.iter().zip(times.counts) {
            up_to += count;
            line(
                &mut out,
                format_args!("{family}_bucket{{le=\"{bound}\"}} {up_to}"),
            );
        }
        let (count, sum) = (times.count, times.sum_seconds);
        line(
            &mut out,
            format_args!("{family}_bucket{{le=\"+Inf\"}} {count}"),
        );
        line(&mut out, format_args!("{family}_sum {sum}"));
        line(&mut out, format_args!("{family}_count {count}"));
        out
    }
}

/// Writing to a `String` can't fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = writeln!(out, "{text}");
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_counted_is_shown() {
        let metrics = Metrics::default();
        metrics.reconciled("BucketClaim", "done");
        metrics.reconciled("BucketClaim", "done");
        metrics.repaired("claim_ready");
        metrics.orphan("disabled");
        metrics.set(ORPHAN_ACCOUNTS, 3);
        metrics.took(CLAIM_READY, Duration::from_millis(300));
        let text = metrics.exposition();
        for line in [
            "# TYPE larder_cosi_reconciles_total counter",
            "larder_cosi_reconciles_total{kind=\"BucketClaim\",outcome=\"done\"} 2",
            "larder_cosi_repairs_total{kind=\"claim_ready\"} 1",
            "larder_cosi_orphans_total{action=\"disabled\"} 1",
            "larder_cosi_orphan_accounts 3",
            "larder_cosi_claim_ready_seconds_bucket{le=\"0.25\"} 0",
            "larder_cosi_claim_ready_seconds_bucket{le=\"0.5\"} 1",
            "larder_cosi_claim_ready_seconds_bucket{le=\"+Inf\"} 1",
            "larder_cosi_claim_ready_seconds_count 1",
        ] {
            assert!(
                text.lines().any(|it| it == line),
                "{line}\nis not in\n{text}"
            );
        }
        assert!(!text.contains("larder_cosi_access_secret_seconds"));
    }
}
