//! What the processor could do at best, measured in the same run.

use std::arch::x86_64::{
    __m512i, _MM_HINT_ET0, _mm_prefetch, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512,
    _mm512_or_si512, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_storeu_si512,
};
use std::hint::black_box;

/// Independent chains of multiplications: more than the latency of one instruction.
const CHAINS: usize = 16;
/// How far ahead of the stores their cache lines are asked for, as the library does.
const AHEAD_BYTES: usize = 512;

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

/// Reads the data and writes the parity shards of a stripe in the order in which an encoder does it,
/// `VECTORS` vectors of every shard at a time, with no arithmetic but one OR for each vector read.
/// The shards' lengths are multiples of 256.
pub fn copy<const VECTORS: usize>(data: &[&[u8]], parity: &mut [&mut [u8]]) {
    assert!(available());
    let length = data[0].len();
    assert!(length.is_multiple_of(VECTORS * 64) && data.iter().all(|shard| shard.len() == length));
    assert!(parity.iter().all(|shard| shard.len() == length));
    for at in (0..length).step_by(VECTORS * 64) {
        // SAFETY: the processor has the instructions; `VECTORS` vectors from `at` on are in bounds.
        unsafe { copy_block::<VECTORS>(data, parity, at) }
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

/// # Safety
/// Every shard has `VECTORS` vectors from `at` on.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn copy_block<const VECTORS: usize>(data: &[&[u8]], parity: &mut [&mut [u8]], at: usize) {
    let mut sums = [_mm512_setzero_si512(); VECTORS];
    for shard in data {
        for (v, sum) in sums.iter_mut().enumerate() {
            // SAFETY: promised by the caller.
            let vector = unsafe { _mm512_loadu_si512(shard.as_ptr().add(at + v * 64).cast()) };
            *sum = _mm512_or_si512(*sum, vector);
        }
    }
    for shard in parity {
        for (v, sum) in sums.into_iter().enumerate() {
            let to = shard.as_mut_ptr().wrapping_add(at + v * 64);
            _mm_prefetch::<_MM_HINT_ET0>(to.wrapping_add(AHEAD_BYTES).cast());
            // SAFETY: promised by the caller.
            unsafe { _mm512_storeu_si512(to.cast(), sum) };
        }
    }
}
