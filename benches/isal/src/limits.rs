//! What the processor could do at best, measured in the same run.

use std::arch::x86_64::{
    __m512i, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_or_si512, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_storeu_si512,
};
use std::hint::black_box;

/// Independent chains of multiplications: more than the latency of one instruction.
const CHAINS: usize = 16;

/// Multiplies `vectors` vectors of 64 bytes, in registers only.
pub fn multiply(vectors: usize) {
    assert!(available());
    // SAFETY: the processor has the instructions.
    unsafe { multiply_loop(vectors / CHAINS) }
}

/// Reads every byte of a stripe, whose shards' lengths are multiples of 256.
pub fn read(data: &[&[u8]], parity: &[&mut [u8]]) {
    assert!(available());
    for shard in data
        .iter()
        .copied()
        .chain(parity.iter().map(|shard| &**shard))
    {
        // SAFETY: the processor has the instructions.
        unsafe { read_loop(shard) }
    }
}

/// Reads the data and writes the parity shards of a stripe, without any arithmetic.
pub fn read_and_write(data: &[&[u8]], parity: &mut [&mut [u8]]) {
    assert!(available());
    for shard in data {
        // SAFETY: the processor has the instructions.
        unsafe { read_loop(shard) }
    }
    for shard in parity {
        // SAFETY: the processor has the instructions.
        unsafe { write_loop(shard) }
    }
}

/// Whether the limits can be measured here.
pub fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("gfni")
}

#[target_feature(enable = "avx512f,gfni")]
fn multiply_loop(rounds: usize) {
    let matrix = black_box(_mm512_set1_epi64(0x0102_0408_1020_4080));
    let mut chains: [__m512i; CHAINS] = black_box([_mm512_set1_epi64(7); CHAINS]);
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm512_gf2p8affine_epi64_epi8::<0>(*chain, matrix);
        }
    }
    black_box(chains);
}

#[target_feature(enable = "avx512f")]
fn read_loop(shard: &[u8]) {
    let mut sums = [_mm512_setzero_si512(); 4];
    for block in shard.chunks_exact(256) {
        for (sum, vector) in sums.iter_mut().zip(block.chunks_exact(64)) {
            // SAFETY: the chunk has 64 bytes.
            let vector = unsafe { _mm512_loadu_si512(vector.as_ptr().cast()) };
            *sum = _mm512_or_si512(*sum, vector);
        }
    }
    black_box(sums);
}

#[target_feature(enable = "avx512f")]
fn write_loop(shard: &mut [u8]) {
    let vector = black_box(_mm512_setzero_si512());
    for block in shard.chunks_exact_mut(64) {
        // SAFETY: the chunk has 64 bytes.
        unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), vector) };
    }
}
