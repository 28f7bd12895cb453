//! ARM NEON: two table look-ups for each product.

#![expect(
    unsafe_code,
    reason = "processor intrinsics, behind run-time detection"
)]
#![expect(
    clippy::inline_always,
    reason = "the loops must become one function, see `combine`"
)]

use std::arch::aarch64::{
    uint8x16_t, vandq_u8, vdupq_n_u8, veorq_u8, vld1q_u8, vqtbl1q_u8, vshrq_n_u8, vst1q_u8,
};

use super::combine::{Lane, combine, mode, mode_of, select_loop};
use super::{MAX_ROWS, Pass};
use crate::Level;
use crate::gf256::SplitTable;

/// Computes a pass with NEON.
///
/// # Panics
/// If the processor does not have it.
pub(super) fn neon(
    pass: &Pass<'_>,
    tables: &[SplitTable],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    assert!(Level::Neon.is_available(), "no NEON");
    // SAFETY: the processor has the instructions; `Pass::run` has checked the pass.
    unsafe { neon_loops(pass, tables, length, outputs) }
}

/// # Safety
/// The processor has NEON; the pass was checked by [`Pass::run`].
#[target_feature(enable = "neon")]
unsafe fn neon_loops(
    pass: &Pass<'_>,
    tables: &[SplitTable],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    // SAFETY: promised by the caller.
    unsafe {
        select_loop!(
            Neon,
            pass,
            tables,
            length,
            outputs,
            [(1, 4), (2, 2), (3, 2), (4, 2)]
        );
    }
}

/// 16 bytes, multiplied by table look-ups.
#[derive(Clone, Copy)]
struct Neon(uint8x16_t);

impl Lane for Neon {
    type Coefficient = SplitTable;
    /// Products of the low and of the high nibbles.
    type Multiplier = (uint8x16_t, uint8x16_t);
    /// Low and high nibbles.
    type Operand = (uint8x16_t, uint8x16_t);
    const BYTES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: NEON, promised by the caller.
        Self(unsafe { vdupq_n_u8(0) })
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: NEON and 16 readable bytes, promised by the caller.
        Self(unsafe { vld1q_u8(from) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, bytes: usize) -> Self {
        let mut buffer = [0u8; 16];
        // SAFETY: `bytes` are readable there, promised by the caller, and fit here; the buffer is
        // as long as the vector.
        unsafe {
            std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), bytes);
            Self::load(buffer.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: NEON and 16 writable bytes, promised by the caller.
        unsafe { vst1q_u8(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, bytes: usize) {
        let mut buffer = [0u8; 16];
        // SAFETY: the buffer is as long as the vector; `bytes` are writable there, promised by the
        // caller.
        unsafe {
            self.store(buffer.as_mut_ptr());
            std::ptr::copy_nonoverlapping(buffer.as_ptr(), to, bytes);
        }
    }

    #[inline(always)]
    unsafe fn multiplier(coefficient: &SplitTable) -> (uint8x16_t, uint8x16_t) {
        let low = coefficient.as_ptr();
        // SAFETY: NEON, promised by the caller; a table is 32 bytes.
        unsafe { (vld1q_u8(low), vld1q_u8(low.add(16))) }
    }

    #[inline(always)]
    unsafe fn operand(self) -> (uint8x16_t, uint8x16_t) {
        // SAFETY: NEON, promised by the caller.
        unsafe { (vandq_u8(self.0, vdupq_n_u8(0x0f)), vshrq_n_u8::<4>(self.0)) }
    }

    #[inline(always)]
    unsafe fn product(operand: (uint8x16_t, uint8x16_t), by: (uint8x16_t, uint8x16_t)) -> Self {
        // SAFETY: NEON, promised by the caller.
        Self(unsafe { veorq_u8(vqtbl1q_u8(by.0, operand.0), vqtbl1q_u8(by.1, operand.1)) })
    }

    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        // SAFETY: NEON, promised by the caller.
        Self(unsafe { veorq_u8(self.0, a.0) })
    }

    #[inline(always)]
    unsafe fn add_two(self, a: Self, b: Self) -> Self {
        // SAFETY: NEON, promised by the caller.
        unsafe { self.add(a.add(b)) }
    }
}
