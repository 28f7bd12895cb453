//! AVX2 without GFNI: two table shuffles for each product.

#![expect(
    unsafe_code,
    reason = "processor intrinsics, behind run-time detection"
)]
#![expect(
    clippy::inline_always,
    reason = "the loops must become one function, see `combine`"
)]

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_loadu_si256,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi64,
    _mm256_storeu_si256, _mm256_xor_si256,
};

use super::super::combine::{Lane, combine, mode, mode_of, select_loop};
use super::{MAX_ROWS, Pass, load_part_32, store_part_32};
use crate::Level;
use crate::gf256::SplitTable;

/// Computes a pass with AVX2.
///
/// # Panics
/// If the processor does not have it.
pub(in crate::kernel) fn avx2(
    pass: &Pass<'_>,
    tables: &[SplitTable],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    assert!(Level::Avx2.is_available(), "no AVX2");
    // SAFETY: the processor has the instructions; `Pass::run` has checked the pass.
    unsafe { avx2_loops(pass, tables, length, outputs) }
}

/// # Safety
/// The processor has AVX2; the pass was checked by [`Pass::run`].
#[target_feature(enable = "avx2")]
unsafe fn avx2_loops(
    pass: &Pass<'_>,
    tables: &[SplitTable],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    // SAFETY: promised by the caller.
    unsafe {
        select_loop!(
            Shuffled,
            pass,
            tables,
            length,
            outputs,
            [(1, 2), (2, 2), (3, 1), (4, 1)]
        );
    }
}

/// 32 bytes, multiplied by shuffles.
#[derive(Clone, Copy)]
struct Shuffled(__m256i);

impl Lane for Shuffled {
    type Coefficient = SplitTable;
    /// Products of the low and of the high nibbles, each table in both halves.
    type Multiplier = (__m256i, __m256i);
    /// Low and high nibbles.
    type Operand = (__m256i, __m256i);
    const BYTES: usize = 32;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: AVX, promised by the caller.
        Self(unsafe { _mm256_setzero_si256() })
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: AVX and 32 readable bytes, promised by the caller.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, bytes: usize) -> Self {
        // SAFETY: promised by the caller.
        Self(unsafe { load_part_32(from, bytes) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: AVX and 32 writable bytes, promised by the caller.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, bytes: usize) {
        // SAFETY: promised by the caller.
        unsafe { store_part_32(self.0, to, bytes) }
    }

    #[inline(always)]
    unsafe fn multiplier(coefficient: &SplitTable) -> (__m256i, __m256i) {
        let low = coefficient.as_ptr();
        // SAFETY: AVX2, promised by the caller; a table is 32 bytes.
        unsafe {
            let (low, high) = (
                _mm_loadu_si128(low.cast()),
                _mm_loadu_si128(low.add(16).cast()),
            );
            (
                _mm256_broadcastsi128_si256(low),
                _mm256_broadcastsi128_si256(high),
            )
        }
    }

    #[inline(always)]
    unsafe fn operand(self) -> (__m256i, __m256i) {
        // SAFETY: AVX2, promised by the caller.
        unsafe {
            let mask = _mm256_set1_epi8(0x0f);
            let high = _mm256_and_si256(_mm256_srli_epi64::<4>(self.0), mask);
            (_mm256_and_si256(self.0, mask), high)
        }
    }

    #[inline(always)]
    unsafe fn product(operand: (__m256i, __m256i), by: (__m256i, __m256i)) -> Self {
        // SAFETY: AVX2, promised by the caller.
        unsafe {
            let low = _mm256_shuffle_epi8(by.0, operand.0);
            Self(_mm256_xor_si256(low, _mm256_shuffle_epi8(by.1, operand.1)))
        }
    }

    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        // SAFETY: AVX2, promised by the caller.
        Self(unsafe { _mm256_xor_si256(self.0, a.0) })
    }

    #[inline(always)]
    unsafe fn add_two(self, a: Self, b: Self) -> Self {
        // SAFETY: AVX2, promised by the caller.
        unsafe { self.add(a.add(b)) }
    }
}
