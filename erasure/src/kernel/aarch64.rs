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

use super::combine::vector::{Multiply, Vector, define_kernel};
use crate::Level;
use crate::gf256::SplitTable;

define_kernel!(
    neon(SplitTable),
    Level::Neon,
    "neon",
    LookUp,
    rows: [(1, 4), (2, 2), (3, 2), (4, 2)]
);

/// NEON.
impl Vector for uint8x16_t {
    const BYTES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: NEON, promised by the caller.
        unsafe { vdupq_n_u8(0) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: NEON and 16 readable bytes, promised by the caller.
        unsafe { vld1q_u8(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: NEON and 16 writable bytes, promised by the caller.
        unsafe { vst1q_u8(to, self) }
    }

    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        // SAFETY: NEON, promised by the caller.
        unsafe { veorq_u8(self, a) }
    }
}

/// 16 bytes, multiplied by table look-ups.
struct LookUp;

impl Multiply for LookUp {
    type Vector = uint8x16_t;
    type Coefficient = SplitTable;
    /// Products of the low and of the high nibbles.
    type Multiplier = (uint8x16_t, uint8x16_t);
    /// Low and high nibbles.
    type Operand = (uint8x16_t, uint8x16_t);

    #[inline(always)]
    unsafe fn multiplier(coefficient: &SplitTable) -> (uint8x16_t, uint8x16_t) {
        let low = coefficient.as_ptr();
        // SAFETY: NEON, promised by the caller; a table is 32 bytes.
        unsafe { (vld1q_u8(low), vld1q_u8(low.add(16))) }
    }

    #[inline(always)]
    unsafe fn operand(vector: uint8x16_t) -> (uint8x16_t, uint8x16_t) {
        // SAFETY: NEON, promised by the caller.
        unsafe { (vandq_u8(vector, vdupq_n_u8(0x0f)), vshrq_n_u8::<4>(vector)) }
    }

    #[inline(always)]
    unsafe fn product(
        operand: (uint8x16_t, uint8x16_t),
        by: (uint8x16_t, uint8x16_t),
    ) -> uint8x16_t {
        // SAFETY: NEON, promised by the caller.
        unsafe { veorq_u8(vqtbl1q_u8(by.0, operand.0), vqtbl1q_u8(by.1, operand.1)) }
    }
}
