//! Encoding and rebuilding beside other Rust libraries, in GB/s of data (k times the shard) of one
//! core: `cargo bench -p larder-erasure`, with a filter such as `-- encode/4+2`; `benches/coding.py`
//! runs it and prints tables. Also the cost of a plan.
//!
//! Rebuilding loses the first min(k, m) data shards. `larder` has made its plan before, `larder, new
//! plan` makes it each time, as a read request does. reed-solomon-erasure keeps the matrices that it
//! has inverted, reed-solomon-simd has nothing to keep.

#![allow(
    missing_docs,
    reason = "criterion's macro makes a public function without any"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group,
};
use larder_erasure::{Codec, Level, Plan, Profile};
use reed_solomon_erasure::galois_8::ReedSolomon;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

const PROFILES: [&str; 5] = ["2+2", "4+2", "6+3", "8+4", "12+4"];
const SHARD_KIB: [usize; 5] = [4, 16, 64, 256, 1024];
const LINE_BYTES: usize = 64;
const GAP_BYTES: usize = 5 * LINE_BYTES;

/// A stripe in memory, and room for what is rebuilt. Shards begin on cache lines, an odd number of
/// lines apart, as they should: where they begin between lines, or a power of two apart, everyone is
/// 10 to 30 % slower.
struct Case {
    profile: Profile,
    shard_bytes: usize,
    memory: Vec<u8>,
    /// Where in the memory the first shard begins.
    start: usize,
}

impl Case {
    fn new(profile: Profile, shard_bytes: usize) -> Self {
        let shard_count = profile.total() + profile.parity();
        let byte = |i: usize| (i * 31 + (i >> 8) * 17).to_le_bytes()[0];
        let length = (shard_bytes + GAP_BYTES) * shard_count + LINE_BYTES;
        let memory: Vec<u8> = (0..length).map(byte).collect();
        let start = memory.as_ptr().align_offset(LINE_BYTES);
        let mut case = Self {
            profile,
            shard_bytes,
            memory,
            start,
        };
        let mut shards = case.shards();
        let (data, parity) = shards.split_at_mut(profile.data());
        Codec::new(profile)
            .encode(&shared(data), &mut parity[..profile.parity()])
            .expect("a valid stripe");
        case
    }

    /// Data, parity, then room.
    fn shards(&mut self) -> Vec<&mut [u8]> {
        let all = self.memory[self.start..].chunks_exact_mut(self.shard_bytes + GAP_BYTES);
        all.map(|shard| &mut shard[..self.shard_bytes]).collect()
    }

    fn lost(&self) -> usize {
        self.profile.data().min(self.profile.parity())
    }
}

fn shared<'a>(shards: &'a [&mut [u8]]) -> Vec<&'a [u8]> {
    shards.iter().map(|shard| &**shard).collect()
}

/// Runs `bench` for each profile and shard size, in a group with the data's size as throughput.
fn for_each_case(
    criterion: &mut Criterion,
    name: &str,
    bench: fn(&mut BenchmarkGroup<'_, WallTime>, usize, &mut Case),
) {
    for profile in PROFILES {
        let mut group = criterion.benchmark_group(format!("{name}/{profile}"));
        group.sampling_mode(SamplingMode::Flat);
        let profile: Profile = profile.parse().expect("a profile");
        for kib in SHARD_KIB {
            let bytes = u64::try_from(profile.data() * kib * 1024).expect("a stripe fits");
            group.throughput(Throughput::Bytes(bytes));
            bench(&mut group, kib, &mut Case::new(profile, kib * 1024));
        }
        group.finish();
    }
}

fn encode_case(group: &mut BenchmarkGroup<'_, WallTime>, kib: usize, case: &mut Case) {
    let (k, m) = (case.profile.data(), case.profile.parity());
    let (shard_bytes, profile) = (case.shard_bytes, case.profile);
    let mut shards = case.shards();
    let (data, parity) = shards.split_at_mut(k);
    let (data, parity) = (shared(data), &mut parity[..m]);
    for level in Level::ALL {
        let Some(codec) = Codec::with_level(profile, level) else {
            continue;
        };
        group.bench_function(
            BenchmarkId::new(format!("larder {level}"), kib),
            |bencher| {
                bencher.iter(|| {
                    codec
                        .encode(black_box(&data), parity)
                        .expect("a valid stripe");
                });
            },
        );
    }
    let erasure = ReedSolomon::new(k, m).expect("a profile");
    group.bench_function(BenchmarkId::new("reed-solomon-erasure", kib), |bencher| {
        bencher.iter(|| {
            erasure
                .encode_sep(black_box(&data), parity)
                .expect("a stripe");
        });
    });
    let mut simd = ReedSolomonEncoder::new(k, m, shard_bytes).expect("a profile");
    group.bench_function(BenchmarkId::new("reed-solomon-simd", kib), |bencher| {
        bencher.iter(|| {
            for shard in black_box(&data) {
                simd.add_original_shard(shard).expect("a shard");
            }
            black_box(
                simd.encode()
                    .expect("all shards")
                    .recovery(0)
                    .map(<[u8]>::len),
            );
        });
    });
}

fn rebuild_case(group: &mut BenchmarkGroup<'_, WallTime>, kib: usize, case: &mut Case) {
    let (profile, lost) = (case.profile, case.lost());
    let mut shards = case.shards();
    let (stripe, rebuilt) = shards.split_at_mut(profile.total());
    let (stripe, rebuilt) = (shared(stripe), &mut rebuilt[..lost]);
    let codec = Codec::new(profile);
    let indices: Vec<u8> = (0..=u8::MAX).take(profile.total()).collect();
    let new_plan = || {
        codec
            .plan(&indices[lost..], &indices[..lost])
            .expect("enough shards")
    };
    let sources_of = |plan: &Plan| -> Vec<&[u8]> {
        let source = |&index: &u8| stripe[usize::from(index)];
        plan.sources().iter().map(source).collect()
    };
    let plan = new_plan();
    let sources = sources_of(&plan);
    group.bench_function(BenchmarkId::new("larder", kib), |bencher| {
        bencher.iter(|| {
            plan.run(black_box(&sources), rebuilt)
                .expect("a valid plan");
        });
    });
    group.bench_function(BenchmarkId::new("larder, new plan", kib), |bencher| {
        bencher.iter(|| {
            let plan = new_plan();
            plan.run(black_box(&sources_of(&plan)), rebuilt)
                .expect("a valid plan");
        });
    });
    simd_rebuild(group, kib, profile, &stripe);
    erasure_rebuild(group, kib, case);
}

fn erasure_rebuild(group: &mut BenchmarkGroup<'_, WallTime>, kib: usize, case: &mut Case) {
    let (k, m, lost) = (case.profile.data(), case.profile.parity(), case.lost());
    let erasure = ReedSolomon::new(k, m).expect("a profile");
    let mut shards = case.shards();
    shards.truncate(k + m);
    let (data, parity) = shards.split_at_mut(k);
    erasure.encode_sep(data, parity).expect("a stripe");
    let mut marked: Vec<(&mut [u8], bool)> =
        shards.into_iter().map(|shard| (shard, true)).collect();
    group.bench_function(BenchmarkId::new("reed-solomon-erasure", kib), |bencher| {
        bencher.iter(|| {
            let lost = marked.iter_mut().take(lost);
            lost.for_each(|(_, present)| *present = false);
            erasure
                .reconstruct_data(black_box(&mut marked))
                .expect("enough shards");
        });
    });
}

fn simd_rebuild(
    group: &mut BenchmarkGroup<'_, WallTime>,
    kib: usize,
    profile: Profile,
    stripe: &[&[u8]],
) {
    let (k, m) = (profile.data(), profile.parity());
    let (data, lost) = (&stripe[..k], k.min(m));
    let recovery = reed_solomon_simd::encode(k, m, data).expect("a stripe");
    let mut decoder = ReedSolomonDecoder::new(k, m, kib * 1024).expect("a profile");
    group.bench_function(BenchmarkId::new("reed-solomon-simd", kib), |bencher| {
        bencher.iter(|| {
            for (index, shard) in data.iter().enumerate().skip(lost) {
                decoder.add_original_shard(index, shard).expect("a shard");
            }
            for (index, shard) in recovery.iter().enumerate().take(lost) {
                decoder.add_recovery_shard(index, shard).expect("a shard");
            }
            let result = decoder.decode().expect("enough shards");
            black_box(result.restored_original(0).map(<[u8]>::len));
        });
    });
}

fn plan_case(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    for profile in PROFILES.into_iter().chain(["16+4"]) {
        let codec = Codec::new(profile.parse().expect("a profile"));
        let indices: Vec<u8> = (0..=u8::MAX).take(codec.profile().total()).collect();
        let lost = codec.profile().data().min(codec.profile().parity());
        group.bench_function(profile, |bencher| {
            bencher.iter(|| codec.plan(black_box(&indices[lost..]), &indices[..lost]));
        });
    }
    group.finish();
}

fn all(criterion: &mut Criterion) {
    for_each_case(criterion, "encode", encode_case);
    for_each_case(criterion, "rebuild", rebuild_case);
    plan_case(criterion);
}

/// Many short samples: the best one of each is what `benches/coding.py` makes its table of, since
/// other load on the machine can only make a sample slower.
fn settings() -> Criterion {
    Criterion::default()
        .sample_size(100)
        .nresamples(2000)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(300))
        .without_plots()
}

criterion_group! {
    name = benches;
    config = settings();
    targets = all
}

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
