//! x86-64: AVX-512 with GFNI, AVX2 with GFNI, AVX2 alone.
//!
//! GFNI multiplies 64 (or 32) bytes by a constant in one instruction, as a product with an 8 by 8
//! bit matrix. Without it, a byte is split into nibbles, and two table shuffles give the product.

#![expect(
    unsafe_code,
    reason = "processor intrinsics, behind run-time detection"
)]
#![expect(
    clippy::inline_always,
    reason = "the loops must become one function, see `combine`"
)]

use std::arch::x86_64::{
    __m256i, __m512i, _MM_HINT_ET0, _mm_prefetch, _mm256_gf2p8affine_epi64_epi8,
    _mm256_loadu_si256, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_storeu_si256,
    _mm256_xor_si256, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_mask_storeu_epi8,
    _mm512_maskz_loadu_epi8, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_storeu_si512,
    _mm512_ternarylogic_epi64, _mm512_xor_si512,
};

use super::combine::vector::{Multiply, Vector, define_kernel};
use crate::Level;

#[cfg(feature = "split-tables")]
mod split;
#[cfg(feature = "split-tables")]
pub(super) use split::avx2;

define_kernel!(
    avx512_gfni(u64),
    Level::Avx512Gfni,
    "avx512f,avx512bw,gfni,avx2",
    WideAffine,
    rows: [(1, 4), (2, 4), (3, 3), (4, 3), (5, 2), (6, 2)]
);

define_kernel!(
    avx2_gfni(u64),
    Level::Avx2Gfni,
    "avx2,gfni",
    Affine,
    rows: [(1, 4), (2, 2), (3, 2), (4, 2)]
);

/// AVX-512F and AVX-512BW.
impl Vector for __m512i {
    const BYTES: usize = 64;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: AVX-512F, promised by the caller.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: AVX-512F and 64 readable bytes, promised by the caller.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, bytes: usize) -> Self {
        // SAFETY: AVX-512BW and `bytes` readable bytes, promised by the caller; bytes that are
        // masked out are not accessed.
        unsafe { _mm512_maskz_loadu_epi8(u64::MAX >> (64 - bytes), from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: AVX-512F and 64 writable bytes, promised by the caller.
        unsafe { _mm512_storeu_si512(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, bytes: usize) {
        // SAFETY: AVX-512BW and `bytes` writable bytes, promised by the caller; bytes that are
        // masked out are not accessed.
        unsafe { _mm512_mask_storeu_epi8(to.cast(), u64::MAX >> (64 - bytes), self) }
    }

    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        // SAFETY: AVX-512F, promised by the caller.
        unsafe { _mm512_xor_si512(self, a) }
    }

    #[inline(always)]
    unsafe fn add_two(self, a: Self, b: Self) -> Self {
        // SAFETY: AVX-512F, promised by the caller. 0x96 is the truth table of a three-way XOR.
        unsafe { _mm512_ternarylogic_epi64::<0x96>(self, a, b) }
    }

    #[inline(always)]
    unsafe fn prefetch_for_write(to: *mut u8) {
        // SAFETY: a prefetch never faults; processors without PREFETCHW ignore it.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(to.cast()) }
    }
}

/// AVX2.
impl Vector for __m256i {
    const BYTES: usize = 32;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: AVX, promised by the caller.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: AVX and 32 readable bytes, promised by the caller.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: AVX and 32 writable bytes, promised by the caller.
        unsafe { _mm256_storeu_si256(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        // SAFETY: AVX2, promised by the caller.
        unsafe { _mm256_xor_si256(self, a) }
    }
}

/// 64 bytes times a bit matrix, by AVX-512 and GFNI.
struct WideAffine;

impl Multiply for WideAffine {
    type Vector = __m512i;
    type Coefficient = u64;
    type Multiplier = __m512i;
    type Operand = __m512i;

    #[inline(always)]
    unsafe fn multiplier(coefficient: &u64) -> __m512i {
        // SAFETY: AVX-512F, promised by the caller.
        unsafe { _mm512_set1_epi64(coefficient.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn operand(vector: __m512i) -> __m512i {
        vector
    }

    #[inline(always)]
    unsafe fn product(operand: __m512i, by: __m512i) -> __m512i {
        // SAFETY: AVX-512F and GFNI, promised by the caller.
        unsafe { _mm512_gf2p8affine_epi64_epi8::<0>(operand, by) }
    }
}

/// 32 bytes times a bit matrix, by AVX2 and GFNI.
struct Affine;

impl Multiply for Affine {
    type Vector = __m256i;
    type Coefficient = u64;
    type Multiplier = __m256i;
    type Operand = __m256i;

    #[inline(always)]
    unsafe fn multiplier(coefficient: &u64) -> __m256i {
        // SAFETY: AVX, promised by the caller.
        unsafe { _mm256_set1_epi64x(coefficient.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn operand(vector: __m256i) -> __m256i {
        vector
    }

    #[inline(always)]
    unsafe fn product(operand: __m256i, by: __m256i) -> __m256i {
        // SAFETY: AVX and GFNI, promised by the caller.
        unsafe { _mm256_gf2p8affine_epi64_epi8::<0>(operand, by) }
    }
}
