//! Encoding and rebuilding, paired with ISA-L 2.31: contenders take turns in one process, each
//! sample lasts about 0.1 ms, and the best of many counts. larder is entered twice (A and B): the
//! ratio of these says how far the other ratios can be trusted.
//!
//! Printed in GB/s of data (k times the shard) of one core, with two limits measured in the same
//! run: `gfni`, what the multiplier could do if every parity byte took k multiplications (more than
//! this is possible, since the ones in the matrix need none), and `cache`, the reading speed of the
//! stripe's memory times k/(k+m). A written line costs a level 1 cache more than the read that `cache`
//! counts it as: it is fetched, and evicted later. So `copy` is a third limit: reading the data and
//! writing the parity in the encoder's order without arithmetic, the better of 2 and 4 vectors at a time.
//! `/min` is larder over min(gfni, cache), `/copy` over min(gfni, copy), each with the limit above.
//! Rebuilding loses the first min(k, m) data shards; `/encode` compares it with encoding.
//!
//! Usage: `cargo run --release [-- ROUNDS [K+M]]` (default 300, all).

use std::time::{Duration, Instant};

use larder_erasure::{Codec, Plan, Profile};

mod isal;
mod limits;

const PROFILES: [&str; 6] = ["2+2", "4+2", "6+3", "8+4", "12+4", "16+4"];
const SHARD_KIB: [usize; 5] = [4, 16, 64, 256, 1024];
const MULTIPLICATIONS: usize = 64 * 1024;
const SAMPLE: Duration = Duration::from_micros(100);

fn main() {
    assert!(limits::available(), "needs AVX-512 and GFNI");
    let rounds = std::env::args()
        .nth(1)
        .map_or(300, |text| text.parse().expect("a number"));
    println!(
        "GB/s of data, best of {rounds} samples; level {}",
        larder_erasure::Level::detect()
    );
    println!(
        "| {:>5} | {:>5} | {:>6} | {:>6} | {:>5} | {:>5} | {:>6} | {:>6} | {:>6} | {:>5} | {:>5} | {:>7} | {:>6} | {:>5} | {:>7} |",
        "k+m",
        "KiB",
        "larder",
        "ISA-L",
        "ratio",
        "A/A",
        "gfni",
        "cache",
        "copy",
        "/min",
        "/copy",
        "rebuild",
        "ISA-L",
        "ratio",
        "/encode"
    );
    println!("|{}", "---|".repeat(15));
    let chosen = std::env::args().nth(2);
    for profile in PROFILES {
        if chosen.as_ref().is_some_and(|chosen| chosen != profile) {
            continue;
        }
        for kib in SHARD_KIB {
            measure(profile.parse().expect("a profile"), kib * 1024, rounds);
        }
    }
}

/// Prints one row.
fn measure(profile: Profile, shard_bytes: usize, rounds: usize) {
    let mut contenders = Contenders::new(profile);
    contenders.assert_right();
    let (k, m, lost) = (profile.data(), profile.parity(), contenders.lost);
    // Both libraries work on the same memory; slices are made once, outside of the samples.
    let mut memory = Stripe::new(k + m + lost, shard_bytes);
    let mut shards = memory.shards();
    let mut rebuilt = shards.split_off(k + m);
    let mut parity = shards.split_off(k);
    let data: Vec<&[u8]> = shards.iter().map(|shard| &**shard).collect();
    let mut timers: [Timer; 9] = Default::default();
    for _ in 0..rounds {
        timers[0].sample(|| {
            contenders
                .codec
                .encode(&data, &mut parity)
                .expect("a valid stripe")
        });
        timers[1].sample(|| contenders.isal_encoder.run(&data, &mut parity));
        timers[2].sample(|| {
            contenders
                .codec
                .encode(&data, &mut parity)
                .expect("a valid stripe")
        });
        timers[3].sample(|| limits::multiply(MULTIPLICATIONS));
        timers[4].sample(|| limits::read(&data, &parity));
        timers[7].sample(|| limits::copy::<2>(&data, &mut parity));
        timers[8].sample(|| limits::copy::<4>(&data, &mut parity));
        let sources: Vec<&[u8]> = data[lost..]
            .iter()
            .copied()
            .chain(parity.iter().map(|p| &**p))
            .collect();
        timers[5].sample(|| {
            contenders
                .plan
                .run(&sources[..k], &mut rebuilt)
                .expect("a valid plan")
        });
        timers[6].sample(|| contenders.isal_rebuilder.run(&sources[..k], &mut rebuilt));
    }
    let bytes = (k * shard_bytes) as f64;
    let speed = |timer: usize| bytes / timers[timer].best;
    let gfni = 64.0 * MULTIPLICATIONS as f64 / timers[3].best / m as f64;
    // Bytes read in this time are those of k + m shards, of which k count.
    let cache = speed(4);
    let copy = speed(7).max(speed(8));
    let (a, isal, b) = (speed(0), speed(1), speed(2));
    println!(
        "| {:>5} | {:>5} | {a:>6.1} | {isal:>6.1} | {:>5.2} | {:>5.2} | {gfni:>6.1} | {cache:>6.1} | {copy:>6.1} \
         | {:>5.2} | {:>5.2} | {:>7.1} | {:>6.1} | {:>5.2} | {:>7.2} |",
        profile.to_string(),
        shard_bytes / 1024,
        a / isal,
        a / b,
        a / gfni.min(cache),
        a / gfni.min(copy),
        speed(5),
        speed(6),
        speed(5) / speed(6),
        speed(5) / a,
    );
}

/// Both libraries, ready for one profile.
struct Contenders {
    profile: Profile,
    /// Data shards that are rebuilt: the first ones.
    lost: usize,
    codec: Codec,
    plan: Plan,
    isal_encoder: isal::Tables,
    isal_rebuilder: isal::Tables,
}

impl Contenders {
    fn new(profile: Profile) -> Self {
        let (k, m) = (profile.data(), profile.parity());
        let lost = k.min(m);
        let codec = Codec::new(profile);
        let (want, present): (Vec<u8>, Vec<u8>) =
            (0..(k + m) as u8).partition(|&index| usize::from(index) < lost);
        let plan = codec.plan(&present, &want).expect("enough shards");
        Self {
            profile,
            lost,
            codec,
            plan,
            isal_encoder: isal::Tables::encoding(k, m),
            isal_rebuilder: isal::Tables::rebuilding(k, m, lost),
        }
    }

    /// Encodes and rebuilds a small stripe with both libraries.
    fn assert_right(&mut self) {
        let (k, m, lost) = (self.profile.data(), self.profile.parity(), self.lost);
        for library in ["larder", "isa-l"] {
            let mut memory = Stripe::new(k + m + lost, 1000);
            let mut shards = memory.shards();
            let mut rebuilt = shards.split_off(k + m);
            let mut parity = shards.split_off(k);
            let data: Vec<&[u8]> = shards.iter().map(|shard| &**shard).collect();
            match library {
                "larder" => self
                    .codec
                    .encode(&data, &mut parity)
                    .expect("a valid stripe"),
                _ => self.isal_encoder.run(&data, &mut parity),
            }
            let all: Vec<&[u8]> = data
                .iter()
                .copied()
                .chain(parity.iter().map(|shard| &**shard))
                .collect();
            let planned: Vec<&[u8]> = self
                .plan
                .sources()
                .iter()
                .map(|&index| all[usize::from(index)])
                .collect();
            match library {
                "larder" => self.plan.run(&planned, &mut rebuilt).expect("a valid plan"),
                _ => self.isal_rebuilder.run(&all[lost..][..k], &mut rebuilt),
            }
            assert!(
                data[..lost].iter().zip(&rebuilt).all(|(a, b)| a == b),
                "{library} is wrong"
            );
        }
    }
}

/// The best time of one contender.
#[derive(Default)]
struct Timer {
    repeats: u32,
    /// Nanoseconds per call.
    best: f64,
}

impl Timer {
    /// Takes one sample; the first one only finds out how many calls make a sample. A call before
    /// the clock starts brings back what the contender before has driven out of the caches.
    fn sample(&mut self, mut call: impl FnMut()) {
        if self.repeats == 0 {
            let once = (0..20)
                .map(|_| elapsed(&mut call, 1))
                .min()
                .unwrap_or_default();
            let repeats = SAMPLE.as_nanos() / once.as_nanos().max(1);
            (self.repeats, self.best) = (repeats.clamp(1, 100_000) as u32, f64::INFINITY);
        }
        call();
        let time = elapsed(&mut call, self.repeats).as_nanos() as f64;
        self.best = self.best.min(time / f64::from(self.repeats));
    }
}

fn elapsed(call: &mut impl FnMut(), repeats: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..repeats {
        call();
    }
    start.elapsed()
}

/// Shards in one block of memory, on cache lines, an odd number of lines apart.
struct Stripe {
    memory: Vec<u8>,
    start: usize,
    shard_bytes: usize,
    stride: usize,
}

impl Stripe {
    fn new(shards: usize, shard_bytes: usize) -> Self {
        let stride = shard_bytes + 5 * 64;
        let mut memory = vec![0u8; stride * shards + 64];
        let mut state = 1u64;
        for byte in &mut memory {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        let start = memory.as_ptr().align_offset(64);
        Self {
            memory,
            start,
            shard_bytes,
            stride,
        }
    }

    fn shards(&mut self) -> Vec<&mut [u8]> {
        let shards = self.memory[self.start..].chunks_exact_mut(self.stride);
        shards.map(|shard| &mut shard[..self.shard_bytes]).collect()
    }
}
