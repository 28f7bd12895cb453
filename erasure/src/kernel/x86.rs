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

use super::combine::{Lane, combine, mode, mode_of, select_loop};
use super::{MAX_ROWS, Pass};
use crate::Level;

#[cfg(feature = "split-tables")]
mod split;
#[cfg(feature = "split-tables")]
pub(super) use split::avx2;

/// Computes a pass with AVX-512 and GFNI.
///
/// # Panics
/// If the processor does not have them.
pub(super) fn avx512_gfni(
    pass: &Pass<'_>,
    matrices: &[u64],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    assert!(Level::Avx512Gfni.is_available(), "no AVX-512 with GFNI");
    // SAFETY: the processor has the instructions; `Pass::run` has checked the pass.
    unsafe { avx512_gfni_loops(pass, matrices, length, outputs) }
}

/// # Safety
/// The processor has the instructions; the pass was checked by [`Pass::run`].
#[target_feature(enable = "avx512f,avx512bw,gfni,avx2")]
unsafe fn avx512_gfni_loops(
    pass: &Pass<'_>,
    matrices: &[u64],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    // SAFETY: promised by the caller.
    unsafe {
        select_loop!(
            Wide,
            pass,
            matrices,
            length,
            outputs,
            [(1, 4), (2, 4), (3, 3), (4, 2), (5, 2), (6, 2)]
        );
    }
}

/// Computes a pass with AVX2 and GFNI.
///
/// # Panics
/// If the processor does not have them.
pub(super) fn avx2_gfni(
    pass: &Pass<'_>,
    matrices: &[u64],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    assert!(Level::Avx2Gfni.is_available(), "no AVX2 with GFNI");
    // SAFETY: the processor has the instructions; `Pass::run` has checked the pass.
    unsafe { avx2_gfni_loops(pass, matrices, length, outputs) }
}

/// # Safety
/// The processor has the instructions; the pass was checked by [`Pass::run`].
#[target_feature(enable = "avx2,gfni")]
unsafe fn avx2_gfni_loops(
    pass: &Pass<'_>,
    matrices: &[u64],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    // SAFETY: promised by the caller.
    unsafe {
        select_loop!(
            Narrow,
            pass,
            matrices,
            length,
            outputs,
            [(1, 4), (2, 2), (3, 2), (4, 2)]
        );
    }
}

/// 64 bytes, multiplied by GFNI.
#[derive(Clone, Copy)]
struct Wide(__m512i);

impl Lane for Wide {
    type Coefficient = u64;
    type Multiplier = __m512i;
    type Operand = __m512i;
    const BYTES: usize = 64;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: AVX-512F, promised by the caller.
        Self(unsafe { _mm512_setzero_si512() })
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: AVX-512F and 64 readable bytes, promised by the caller.
        Self(unsafe { _mm512_loadu_si512(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, bytes: usize) -> Self {
        // SAFETY: AVX-512BW and `bytes` readable bytes, promised by the caller; bytes that are
        // masked out are not accessed.
        Self(unsafe { _mm512_maskz_loadu_epi8(u64::MAX >> (64 - bytes), from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: AVX-512F and 64 writable bytes, promised by the caller.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, bytes: usize) {
        // SAFETY: AVX-512BW and `bytes` writable bytes, promised by the caller; bytes that are
        // masked out are not accessed.
        unsafe { _mm512_mask_storeu_epi8(to.cast(), u64::MAX >> (64 - bytes), self.0) }
    }

    #[inline(always)]
    unsafe fn multiplier(coefficient: &u64) -> __m512i {
        // SAFETY: AVX-512F, promised by the caller.
        unsafe { _mm512_set1_epi64(coefficient.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn prefetch_for_write(to: *mut u8) {
        // SAFETY: a prefetch never faults; processors without PREFETCHW ignore it.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(to.cast()) }
    }

    #[inline(always)]
    unsafe fn operand(self) -> __m512i {
        self.0
    }

    #[inline(always)]
    unsafe fn product(operand: __m512i, by: __m512i) -> Self {
        // SAFETY: AVX-512F and GFNI, promised by the caller.
        Self(unsafe { _mm512_gf2p8affine_epi64_epi8::<0>(operand, by) })
    }

    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        // SAFETY: AVX-512F, promised by the caller.
        Self(unsafe { _mm512_xor_si512(self.0, a.0) })
    }

    #[inline(always)]
    unsafe fn add_two(self, a: Self, b: Self) -> Self {
        // SAFETY: AVX-512F, promised by the caller. 0x96 is the truth table of a three-way XOR.
        Self(unsafe { _mm512_ternarylogic_epi64::<0x96>(self.0, a.0, b.0) })
    }
}

/// 32 bytes, multiplied by GFNI.
#[derive(Clone, Copy)]
struct Narrow(__m256i);

impl Lane for Narrow {
    type Coefficient = u64;
    type Multiplier = __m256i;
    type Operand = __m256i;
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
    unsafe fn multiplier(coefficient: &u64) -> __m256i {
        // SAFETY: AVX, promised by the caller.
        unsafe { _mm256_set1_epi64x(coefficient.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn operand(self) -> __m256i {
        self.0
    }

    #[inline(always)]
    unsafe fn product(operand: __m256i, by: __m256i) -> Self {
        // SAFETY: AVX and GFNI, promised by the caller.
        Self(unsafe { _mm256_gf2p8affine_epi64_epi8::<0>(operand, by) })
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

/// Reads the first `bytes` of a vector by way of the stack; AVX2 has no byte masks.
///
/// # Safety
/// The processor has AVX; `bytes <= 32`, and as many at `from` are readable.
#[inline(always)]
unsafe fn load_part_32(from: *const u8, bytes: usize) -> __m256i {
    let mut buffer = [0u8; 32];
    // SAFETY: `bytes` are readable there and fit here; the buffer is as long as the vector.
    unsafe {
        std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), bytes);
        _mm256_loadu_si256(buffer.as_ptr().cast())
    }
}

/// Writes the first `bytes` of a vector by way of the stack.
///
/// # Safety
/// The processor has AVX; `bytes <= 32`, and as many at `to` are writable.
#[inline(always)]
unsafe fn store_part_32(vector: __m256i, to: *mut u8, bytes: usize) {
    let mut buffer = [0u8; 32];
    // SAFETY: the buffer is as long as the vector; `bytes` are writable there.
    unsafe {
        _mm256_storeu_si256(buffer.as_mut_ptr().cast(), vector);
        std::ptr::copy_nonoverlapping(buffer.as_ptr(), to, bytes);
    }
}
