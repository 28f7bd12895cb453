//! Prints what MD5 costs here: one body on each level, and many bodies on the service.
//!
//! `cargo run --release -p larder-server --example md5_speed`
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::Instant;

use bytes::Bytes;
use larder_server::hash::{Level, Md5, Md5Lanes, Md5Stream};

const PIECE_BYTES: usize = 64 * 1024;
const BODY_BYTES: usize = 64 << 20;

fn main() -> std::io::Result<()> {
    let piece = Bytes::from(
        (0..PIECE_BYTES)
            .map(|i| i.to_le_bytes()[0])
            .collect::<Vec<u8>>(),
    );
    for level in Level::available() {
        println!("one body, {level:?}: {:.3} GB/s", single(level, &piece));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for bodies in [1_usize, 2, 4, 8, 16, 32] {
        let lanes = Md5Lanes::new()?;
        let start = (Instant::now(), cpu_seconds());
        runtime.block_on(async {
            let tasks: Vec<_> = (0..bodies).map(|_| hash_body(&lanes, &piece)).collect();
            futures_util::future::join_all(tasks).await;
        });
        let (wall, cpu) = (start.0.elapsed().as_secs_f64(), cpu_seconds() - start.1);
        let gigabytes = bodies as f64 * BODY_BYTES as f64 / 1e9;
        println!(
            "{bodies} bodies on the service: {:.2} GB/s, {:.3} CPU s/GB",
            gigabytes / wall,
            cpu / gigabytes
        );
    }
    Ok(())
}

async fn hash_body(lanes: &Md5Lanes, piece: &Bytes) -> [u8; 16] {
    let mut stream = Md5Stream::new(lanes);
    for _ in 0..BODY_BYTES / PIECE_BYTES {
        stream.update(piece.clone()).await;
    }
    stream.finish().await
}

fn single(level: Level, piece: &Bytes) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..100 {
        let start = Instant::now();
        let mut md5 = Md5::with_level(level);
        md5.update(piece);
        std::hint::black_box(md5.finish());
        best = best.min(start.elapsed().as_secs_f64());
    }
    PIECE_BYTES as f64 / best / 1e9
}

/// User and system time of this process, in seconds, at the kernel's 100 ticks a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.split(' ').collect();
    let ticks = |i: usize| {
        fields
            .get(i)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(13) + ticks(14)) / 100.0
}
