//! Prints what the checksums of a body cost here, beside the MD5 that every body has.
//!
//! `cargo run --release -p larder-server --example checksum_speed`
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::Instant;

use larder_server::{
    checksum::{Algorithm, Hasher},
    hash::Md5,
};

const PIECE_BYTES: usize = 64 << 10;
const ROUNDS: u32 = 2000;

fn main() {
    let pattern = (0..PIECE_BYTES).map(|i| i.to_le_bytes()[0]);
    let piece: Vec<u8> = pattern.collect();
    for algorithm in Algorithm::ALL {
        let mut hasher = Hasher::new(algorithm);
        report(algorithm.name(), || hasher.update(&piece));
    }
    let mut md5 = Md5::new();
    report("MD5", || md5.update(&piece));
    let small = &piece[..4096];
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let mut hasher = Hasher::new(Algorithm::DEFAULT);
        hasher.update(small);
        std::hint::black_box(hasher.finish());
    }
    let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
    println!("{} of 4 KiB: {micros:.2} µs", Algorithm::DEFAULT.name());
}

/// Hashes pieces, and prints how fast.
fn report(name: &str, mut hash: impl FnMut()) {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        hash();
    }
    let gigabytes = f64::from(ROUNDS) * PIECE_BYTES as f64 / 1e9;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{name}: {:.2} GB/s, {:.4} CPU s/GB",
        gigabytes / seconds,
        seconds / gigabytes
    );
}
