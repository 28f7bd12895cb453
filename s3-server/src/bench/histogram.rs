//! A latency histogram in fixed memory: log-linear buckets, at most 0.8 % wide.
//!
//! 128 buckets for each power of two, so recording is a shift, a subtraction and an increment,
//! and merging is an addition per bucket. The crate `hdrhistogram` does the same with more
//! features (serialisation, resizing, correction for coordinated omission) than a closed-loop
//! load generator uses; these few lines save the dependency.

use std::time::Duration;

/// log2 of the buckets per power of two.
const PRECISION_BITS: u32 = 7;
const LINEAR: u64 = 1 << PRECISION_BITS;
/// Values at or above 2^36 µs (19 hours) share the last bucket.
const MAX_BITS: u32 = 36;
const BUCKETS: usize = ((MAX_BITS - PRECISION_BITS + 1) as usize) << PRECISION_BITS;

/// Counts of latencies. Resolution is 100 ns up to 12.8 µs and 0.8 % of the value above.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total_count: u64,
    max_ticks: u64,
}

/// Ticks per microsecond.
const TICKS_PER_US: f64 = 10.0;

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total_count: 0,
            max_ticks: 0,
        }
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        let ticks = u64::try_from(latency.as_nanos() / 100).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket_of(ticks)) {
            *count += 1;
        }
        self.total_count += 1;
        self.max_ticks = self.max_ticks.max(ticks);
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total_count += other.total_count;
        self.max_ticks = self.max_ticks.max(other.max_ticks);
    }

    /// The number of latencies counted.
    pub fn count(&self) -> u64 {
        self.total_count
    }

    /// The largest latency, in microseconds; exact to 0.1 µs.
    pub fn max_us(&self) -> f64 {
        to_us(self.max_ticks)
    }

    /// The latency in microseconds that `percent` (0 to 100) of the counted ones do not exceed:
    /// the upper edge of its bucket, never more than the maximum. Zero when nothing was counted.
    pub fn percentile_us(&self, percent: u64) -> f64 {
        let rank = (self.total_count * percent.min(100)).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return to_us(upper_edge(bucket).min(self.max_ticks));
            }
        }
        to_us(self.max_ticks)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a latency in ticks is far below 2^52"
)]
fn to_us(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_US
}

/// The bucket of a value: exact below [`LINEAR`], then [`LINEAR`] buckets per power of two.
fn bucket_of(ticks: u64) -> usize {
    let ticks = ticks.min((1 << MAX_BITS) - 1);
    let shift = (u64::BITS - (ticks | (LINEAR - 1)).leading_zeros()) - PRECISION_BITS;
    let base = u64::from(shift) * LINEAR / 2;
    // Above the first, each power of two fills only the upper half of its LINEAR slots.
    usize::try_from(base + (ticks >> shift)).unwrap_or(BUCKETS - 1)
}

/// The largest value that falls into `bucket`.
fn upper_edge(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < LINEAR {
        return bucket;
    }
    let shift = bucket / (LINEAR / 2) - 1;
    let top = bucket - shift * LINEAR / 2;
    ((top + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_histogram_is_all_zero() {
        let histogram = Histogram::default();
        assert_eq!(histogram.count(), 0);
        assert!(histogram.percentile_us(99).abs() < f64::EPSILON);
    }

    #[test]
    fn percentiles_of_a_thousand_even_values() {
        let mut histogram = Histogram::default();
        for us in 1..=1_000 {
            histogram.record(Duration::from_micros(us));
        }
        for (percent, expected) in [(50, 500.0), (90, 900.0), (99, 990.0), (100, 1_000.0)] {
            let got = histogram.percentile_us(percent);
            assert!(
                (got - expected).abs() <= expected * 0.016,
                "p{percent}: {got}"
            );
        }
        assert!((histogram.max_us() - 1_000.0).abs() < f64::EPSILON);
    }

    #[test]
    fn absurd_latencies_are_kept_in_the_last_bucket() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 1);
        assert!(histogram.percentile_us(50) > 0.0);
    }

    proptest! {
        #[test]
        fn a_value_lies_within_its_bucket(ticks in 0_u64..(1 << MAX_BITS)) {
            let bucket = bucket_of(ticks);
            prop_assert!(bucket < BUCKETS);
            prop_assert!(ticks <= upper_edge(bucket));
            prop_assert!(bucket == 0 || ticks > upper_edge(bucket - 1));
            prop_assert!(upper_edge(bucket) - ticks <= ticks / 64);
        }

        #[test]
        fn merging_equals_recording_in_one(a in prop::collection::vec(0_u64..1 << 30, 0..50),
                                           b in prop::collection::vec(0_u64..1 << 30, 0..50)) {
            let (mut left, mut right, mut both) =
                (Histogram::default(), Histogram::default(), Histogram::default());
            for ns in &a {
                left.record(Duration::from_nanos(*ns));
                both.record(Duration::from_nanos(*ns));
            }
            for ns in &b {
                right.record(Duration::from_nanos(*ns));
                both.record(Duration::from_nanos(*ns));
            }
            left.merge(&right);
            prop_assert_eq!(left.counts, both.counts);
            prop_assert_eq!(left.max_ticks, both.max_ticks);
        }
    }
}
