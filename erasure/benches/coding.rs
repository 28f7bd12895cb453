//! Encoding and rebuilding beside other Rust libraries, in GB/s of data (k times the shard) of one
//! core: `cargo bench -p larder-erasure`, with a filter such as `-- encode/4+2`.
//!
//! Rebuilding loses the first min(k, m) data shards. `larder` makes a new plan each time, as a read
//! request does; the others do likewise whatever it is that they need.

#![allow(
    missing_docs,
    reason = "criterion's macro makes a public function without any"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group};
use larder_erasure::{Codec, Level, Profile};
use reed_solomon_erasure::galois_8::ReedSolomon;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

const PROFILES: [&str; 5] = ["2+2", "4+2", "6+3", "8+4", "12+4"];
const SHARD_KIB: [usize; 5] = [4, 16, 64, 256, 1024];

/// A stripe in memory.
struct Case {
    profile: Profile,
    shards: Vec<Vec<u8>>,
}

impl Case {
    fn new(profile: Profile, shard_bytes: usize) -> Self {
        let byte = |j: usize, i: usize| (i * 31 + j * 17 + (i >> 8)).to_le_bytes()[0];
        let shard = |j| (0..shard_bytes).map(|i| byte(j, i)).collect();
        let mut shards: Vec<Vec<u8>> = (0..profile.total()).map(shard).collect();
        let (data, parity) = shards.split_at_mut(profile.data());
        encode(&Codec::new(profile), data, parity);
        Self { profile, shards }
    }

    fn lost(&self) -> usize {
        self.profile.data().min(self.profile.parity())
    }
}

fn slices(shards: &[Vec<u8>]) -> Vec<&[u8]> {
    shards.iter().map(Vec::as_slice).collect()
}

fn slices_mut(shards: &mut [Vec<u8>]) -> Vec<&mut [u8]> {
    shards.iter_mut().map(Vec::as_mut_slice).collect()
}

fn encode(codec: &Codec, data: &[Vec<u8>], parity: &mut [Vec<u8>]) {
    codec
        .encode(&slices(data), &mut slices_mut(parity))
        .expect("a valid stripe");
}

/// Runs `bench` for each profile and shard size, in a group with the data's size as throughput.
fn for_each_case(
    criterion: &mut Criterion,
    name: &str,
    bench: fn(&mut BenchmarkGroup<'_, WallTime>, usize, &mut Case),
) {
    for profile in PROFILES {
        let mut group = criterion.benchmark_group(format!("{name}/{profile}"));
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
    let shard_bytes = kib * 1024;
    let (data, parity) = case.shards.split_at_mut(k);
    let (data, mut parity) = (slices(data), slices_mut(parity));
    for level in Level::ALL {
        let Some(codec) = Codec::with_level(case.profile, level) else {
            continue;
        };
        group.bench_function(
            BenchmarkId::new(format!("larder {level}"), kib),
            |bencher| {
                bencher.iter(|| {
                    codec
                        .encode(black_box(&data), &mut parity)
                        .expect("a valid stripe");
                });
            },
        );
    }
    let erasure = ReedSolomon::new(k, m).expect("a profile");
    group.bench_function(BenchmarkId::new("reed-solomon-erasure", kib), |bencher| {
        bencher.iter(|| {
            erasure
                .encode_sep(black_box(&data), &mut parity)
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
    let (k, lost) = (case.profile.data(), case.lost());
    let codec = Codec::new(case.profile);
    let indices: Vec<u8> = (0..=u8::MAX).take(case.profile.total()).collect();
    let mut rebuilt = vec![vec![0; kib * 1024]; lost];
    let mut rebuilt = slices_mut(&mut rebuilt);
    group.bench_function(BenchmarkId::new("larder", kib), |bencher| {
        bencher.iter(|| {
            let plan = codec
                .plan(&indices[lost..], &indices[..lost])
                .expect("enough shards");
            let source = |&index: &u8| case.shards[usize::from(index)].as_slice();
            let sources: Vec<&[u8]> = plan.sources().iter().map(source).collect();
            plan.run(black_box(&sources), &mut rebuilt)
                .expect("a valid plan");
        });
    });
    let erasure = ReedSolomon::new(k, case.profile.parity()).expect("a profile");
    let mut shards = case.shards.clone();
    let (data, parity) = shards.split_at_mut(k);
    erasure.encode_sep(&*data, &mut *parity).expect("a stripe");
    let shard = |(index, shard)| (shard, index >= lost);
    let mut marked: Vec<(Vec<u8>, bool)> = shards.into_iter().enumerate().map(shard).collect();
    group.bench_function(BenchmarkId::new("reed-solomon-erasure", kib), |bencher| {
        bencher.iter(|| {
            marked
                .iter_mut()
                .take(lost)
                .for_each(|(_, present)| *present = false);
            erasure
                .reconstruct_data(black_box(&mut marked))
                .expect("enough shards");
        });
    });
    simd_rebuild(group, kib, case);
}

fn simd_rebuild(group: &mut BenchmarkGroup<'_, WallTime>, kib: usize, case: &Case) {
    let (k, m, lost) = (case.profile.data(), case.profile.parity(), case.lost());
    let data = &case.shards[..k];
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
    for profile in PROFILES {
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

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
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
