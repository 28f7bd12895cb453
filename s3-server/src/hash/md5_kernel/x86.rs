//! MD5 in the lanes of x86-64 vector registers.
#![allow(
    unsafe_code,
    reason = "vector loads from checked slices, and calls behind a CPU check"
)]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_add_epi32, _mm_loadu_si128, _mm_rol_epi32, _mm_set1_epi32,
    _mm_ternarylogic_epi32, _mm_unpackhi_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi32,
    _mm_unpacklo_epi64, _mm256_add_epi32, _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_rol_epi32, _mm256_set1_epi32, _mm256_slli_epi32,
    _mm256_srli_epi32, _mm256_ternarylogic_epi32, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256, _mm512_add_epi32,
    _mm512_loadu_si512, _mm512_rol_epi32, _mm512_set1_epi32, _mm512_shuffle_i32x4,
    _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64,
};

use super::{BLOCK_BYTES, K, Level, steps};

/// Four words from each of 4 lanes become four vectors of one word of every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn transpose_4(r: [__m128i; 4]) -> [__m128i; 4] {
    let (t0, t1) = (
        _mm_unpacklo_epi32(r[0], r[1]),
        _mm_unpackhi_epi32(r[0], r[1]),
    );
    let (t2, t3) = (
        _mm_unpacklo_epi32(r[2], r[3]),
        _mm_unpackhi_epi32(r[2], r[3]),
    );
    [
        _mm_unpacklo_epi64(t0, t2),
        _mm_unpackhi_epi64(t0, t2),
        _mm_unpacklo_epi64(t1, t3),
        _mm_unpackhi_epi64(t1, t3),
    ]
}

/// Eight words from each of 8 lanes become eight vectors of one word of every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose_8(r: [__m256i; 8]) -> [__m256i; 8] {
    let lo = |i: usize| _mm256_unpacklo_epi32(r[i], r[i + 1]);
    let hi = |i: usize| _mm256_unpackhi_epi32(r[i], r[i + 1]);
    let quad = |x: __m256i, y: __m256i| (_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y));
    let ((a0, a1), (a2, a3)) = (quad(lo(0), lo(2)), quad(hi(0), hi(2)));
    let ((b0, b1), (b2, b3)) = (quad(lo(4), lo(6)), quad(hi(4), hi(6)));
    [
        _mm256_permute2x128_si256::<0x20>(a0, b0),
        _mm256_permute2x128_si256::<0x20>(a1, b1),
        _mm256_permute2x128_si256::<0x20>(a2, b2),
        _mm256_permute2x128_si256::<0x20>(a3, b3),
        _mm256_permute2x128_si256::<0x31>(a0, b0),
        _mm256_permute2x128_si256::<0x31>(a1, b1),
        _mm256_permute2x128_si256::<0x31>(a2, b2),
        _mm256_permute2x128_si256::<0x31>(a3, b3),
    ]
}

/// Sixteen words from each of 16 lanes become sixteen vectors of one word of every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_16(r: &[__m512i; 16]) -> [__m512i; 16] {
    // q[g][w]: words w, w + 4, w + 8, w + 12 of the four lanes of group g.
    let mut q = [[r[0]; 4]; 4];
    for (g, q) in q.iter_mut().enumerate() {
        let r = &r[4 * g..4 * g + 4];
        let (t0, t1) = (
            _mm512_unpacklo_epi32(r[0], r[1]),
            _mm512_unpackhi_epi32(r[0], r[1]),
        );
        let (t2, t3) = (
            _mm512_unpacklo_epi32(r[2], r[3]),
            _mm512_unpackhi_epi32(r[2], r[3]),
        );
        *q = [
            _mm512_unpacklo_epi64(t0, t2),
            _mm512_unpackhi_epi64(t0, t2),
            _mm512_unpacklo_epi64(t1, t3),
            _mm512_unpackhi_epi64(t1, t3),
        ];
    }
    let mut out = *r;
    for w in 0..4 {
        let even = _mm512_shuffle_i32x4::<0x88>(q[0][w], q[1][w]);
        let odd = _mm512_shuffle_i32x4::<0xdd>(q[0][w], q[1][w]);
        let even_high = _mm512_shuffle_i32x4::<0x88>(q[2][w], q[3][w]);
        let odd_high = _mm512_shuffle_i32x4::<0xdd>(q[2][w], q[3][w]);
        out[w] = _mm512_shuffle_i32x4::<0x88>(even, even_high);
        out[w + 8] = _mm512_shuffle_i32x4::<0xdd>(even, even_high);
        out[w + 4] = _mm512_shuffle_i32x4::<0x88>(odd, odd_high);
        out[w + 12] = _mm512_shuffle_i32x4::<0xdd>(odd, odd_high);
    }
    out
}

/// The 16 words of block `block` of every lane.
///
/// # Safety
/// Every slice must hold more than `block` blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
unsafe fn words_4(data: &[&[u8]; 4], block: usize) -> [__m128i; 16] {
    let mut out = [_mm_set1_epi32(0); 16];
    for quarter in 0..4 {
        let at = block * BLOCK_BYTES + quarter * 16;
        let mut rows = [_mm_set1_epi32(0); 4];
        for (row, lane) in rows.iter_mut().zip(data) {
            // SAFETY: the caller's promise; 16 bytes inside of the block, of any alignment.
            *row = unsafe { _mm_loadu_si128(lane.as_ptr().add(at).cast()) };
        }
        out[quarter * 4..quarter * 4 + 4].copy_from_slice(&transpose_4(rows));
    }
    out
}

/// The 16 words of block `block` of every lane.
///
/// # Safety
/// Every slice must hold more than `block` blocks.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn words_8(data: &[&[u8]; 8], block: usize) -> [__m256i; 16] {
    let mut out = [_mm256_set1_epi32(0); 16];
    for half in 0..2 {
        let at = block * BLOCK_BYTES + half * 32;
        let mut rows = [_mm256_set1_epi32(0); 8];
        for (row, lane) in rows.iter_mut().zip(data) {
            // SAFETY: the caller's promise; 32 bytes inside of the block, of any alignment.
            *row = unsafe { _mm256_loadu_si256(lane.as_ptr().add(at).cast()) };
        }
        out[half * 8..half * 8 + 8].copy_from_slice(&transpose_8(rows));
    }
    out
}

/// The 16 words of block `block` of every lane.
///
/// # Safety
/// Every slice must hold more than `block` blocks.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn words_16(data: &[&[u8]; 16], block: usize) -> [__m512i; 16] {
    let at = block * BLOCK_BYTES;
    let mut rows = [_mm512_set1_epi32(0); 16];
    for (row, lane) in rows.iter_mut().zip(data) {
        // SAFETY: the caller's promise; the block's 64 bytes, of any alignment.
        *row = unsafe { _mm512_loadu_si512(lane.as_ptr().add(at).cast()) };
    }
    transpose_16(&rows)
}

/// Defines an addition that the compiler does not look into.
///
/// It would otherwise order the three additions of a step so that the newest value waits for two of
/// them instead of one: five instead of four cycles for each of the 64 steps.
macro_rules! opaque_add {
    ($name:ident, $features:literal, $vector:ty, $class:ident) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn $name(x: $vector, y: $vector) -> $vector {
            let sum;
            // SAFETY: adds two registers, touches no memory, stack or flags; AVX is enabled.
            unsafe {
                std::arch::asm!(
                    "vpaddd {sum}, {x}, {y}",
                    sum = lateout($class) sum,
                    x = in($class) x,
                    y = in($class) y,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            sum
        }
    };
}

opaque_add!(add_4, "avx512f,avx512vl", __m128i, xmm_reg);
opaque_add!(add_8, "avx2", __m256i, ymm_reg);
opaque_add!(add_16, "avx512f,avx512vl", __m512i, zmm_reg);

macro_rules! boolean_512 {
    ($ternary:ident, f, $b:expr, $c:expr, $d:expr) => {
        $ternary::<0xca>($b, $c, $d)
    };
    ($ternary:ident, g, $b:expr, $c:expr, $d:expr) => {
        $ternary::<0xca>($d, $b, $c)
    };
    ($ternary:ident, h, $b:expr, $c:expr, $d:expr) => {
        $ternary::<0x96>($b, $c, $d)
    };
    ($ternary:ident, i, $b:expr, $c:expr, $d:expr) => {
        $ternary::<0x39>($b, $c, $d)
    };
}

macro_rules! boolean_256 {
    ($and:ident, f, $b:expr, $c:expr, $d:expr) => {
        _mm256_xor_si256($d, $and($b, _mm256_xor_si256($c, $d)))
    };
    ($and:ident, g, $b:expr, $c:expr, $d:expr) => {
        _mm256_xor_si256($c, $and($d, _mm256_xor_si256($b, $c)))
    };
    ($and:ident, h, $b:expr, $c:expr, $d:expr) => {
        _mm256_xor_si256($b, _mm256_xor_si256($c, $d))
    };
    ($and:ident, i, $b:expr, $c:expr, $d:expr) => {
        _mm256_xor_si256(
            $c,
            _mm256_or_si256($b, _mm256_xor_si256($d, _mm256_set1_epi32(-1))),
        )
    };
}

macro_rules! rotate_512 {
    ($rotate:ident, $x:expr, $s:literal) => {
        $rotate::<$s>($x)
    };
}

macro_rules! rotate_256 {
    ($or:ident, $x:expr, $s:literal) => {
        $or(
            _mm256_slli_epi32::<$s>($x),
            _mm256_srli_epi32::<{ 32 - $s }>($x),
        )
    };
}

/// Defines the safe `$name` and its kernel `$inner` for one width of register.
macro_rules! kernel {
    ($name:ident, $inner:ident, $level:expr, $features:literal, $lanes:literal, $vector:ty,
        $words:ident, $set:ident, $add:ident $early:ident, $boolean:ident $boolean_op:ident,
        $rotate:ident $rotate_op:ident) => {
        /// Works `blocks` blocks of each lane into its state.
        ///
        /// # Panics
        /// If a slice is too short or the CPU lacks the level: bugs of the caller.
        pub(super) fn $name(states: &mut [[u32; 4]; $lanes], data: &[&[u8]; $lanes], blocks: usize) {
            assert!(data.iter().all(|d| d.len() / BLOCK_BYTES >= blocks), "lane is too short");
            assert!($level.is_available(), "the CPU lacks this level");
            // SAFETY: the features and the lengths have just been checked.
            unsafe { $inner(states, data, blocks) }
        }

        /// # Safety
        /// Every slice must hold at least `blocks` blocks.
        #[target_feature(enable = $features)]
        unsafe fn $inner(states: &mut [[u32; 4]; $lanes], data: &[&[u8]; $lanes], blocks: usize) {
            let column = |word: usize| -> $vector {
                let words: [u32; $lanes] = states.map(|s| s[word]);
                // SAFETY: both are plain bits of the same size.
                unsafe { std::mem::transmute::<[u32; $lanes], $vector>(words) }
            };
            let (mut a, mut b, mut c, mut d) = (column(0), column(1), column(2), column(3));
            for block in 0..blocks {
                // SAFETY: `block` is below `blocks`, which the slices hold.
                let words = unsafe { $words(data, block) };
                let before = (a, b, c, d);
                macro_rules! step {
                    ($f:ident, $a:ident, $b:ident, $c:ident, $d:ident, $w:literal, $s:literal, $k:expr) => {
                        $a = $early($a, $add(words[$w], $set(K[$k].cast_signed())));
                        $a = $add($a, $boolean!($boolean_op, $f, $b, $c, $d));
                        $a = $add($b, $rotate!($rotate_op, $a, $s));
                    };
                }
                steps!(step, a, b, c, d);
                (a, b, c, d) =
                    ($add(a, before.0), $add(b, before.1), $add(c, before.2), $add(d, before.3));
            }
            for (word, vector) in [a, b, c, d].into_iter().enumerate() {
                // SAFETY: both are plain bits of the same size.
                let words = unsafe { std::mem::transmute::<$vector, [u32; $lanes]>(vector) };
                for (state, value) in states.iter_mut().zip(words) {
                    state[word] = value;
                }
            }
        }
    };
}

kernel!(
    avx512_x4, avx512_x4_inner, Level::Avx512, "avx512f,avx512vl", 4, __m128i, words_4,
    _mm_set1_epi32, _mm_add_epi32 add_4, boolean_512 _mm_ternarylogic_epi32, rotate_512 _mm_rol_epi32
);
kernel!(
    avx512_x8, avx512_x8_inner, Level::Avx512, "avx512f,avx512vl,avx2", 8, __m256i, words_8,
    _mm256_set1_epi32, _mm256_add_epi32 add_8, boolean_512 _mm256_ternarylogic_epi32,
    rotate_512 _mm256_rol_epi32
);
kernel!(
    avx512_x16, avx512_x16_inner, Level::Avx512, "avx512f,avx512vl", 16, __m512i, words_16,
    _mm512_set1_epi32, _mm512_add_epi32 add_16, boolean_512 _mm512_ternarylogic_epi32,
    rotate_512 _mm512_rol_epi32
);
kernel!(
    avx2_x8, avx2_x8_inner, Level::Avx2, "avx2", 8, __m256i, words_8, _mm256_set1_epi32,
    _mm256_add_epi32 add_8, boolean_256 _mm256_and_si256, rotate_256 _mm256_or_si256
);
