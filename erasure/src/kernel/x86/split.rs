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
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_set1_epi8,
    _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_xor_si256,
};

use super::super::combine::vector::{Multiply, define_kernel};
use crate::Level;
use crate::gf256::SplitTable;

define_kernel!(
    avx2(SplitTable),
    Level::Avx2,
    "avx2",
    Shuffle,
    rows: [(1, 2), (2, 2), (3, 1), (4, 1)]
);

/// 32 bytes, multiplied by shuffles.
struct Shuffle;

impl Multiply for Shuffle {
    type Vector = __m256i;
    type Coefficient = SplitTable;
    /// Products of the low and of the high nibbles, each table in both halves.
    type Multiplier = (__m256i, __m256i);
    /// Low and high nibbles.
    type Operand = (__m256i, __m256i);

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
    unsafe fn operand(vector: __m256i) -> (__m256i, __m256i) {
        // SAFETY: AVX2, promised by the caller.
        unsafe {
            let mask = _mm256_set1_epi8(0x0f);
            let high = _mm256_and_si256(_mm256_srli_epi64::<4>(vector), mask);
            (_mm256_and_si256(vector, mask), high)
        }
    }

    #[inline(always)]
    unsafe fn product(operand: (__m256i, __m256i), by: (__m256i, __m256i)) -> __m256i {
        // SAFETY: AVX2, promised by the caller.
        unsafe {
            let low = _mm256_shuffle_epi8(by.0, operand.0);
            _mm256_xor_si256(low, _mm256_shuffle_epi8(by.1, operand.1))
        }
    }
}
