//! MD5's compression, one body at a time and up to 16 at once.
//!
//! One body's MD5 is a chain of 64 dependent steps per block, and each step waits for the last:
//! four instructions deep with AVX-512 (`vpternlogd`, add, `vprold`, add), so that a body can't go
//! faster than that chain. Other bodies fit into the idle lanes at no cost, which is what
//! [`many`] does. The same 4-lane kernel with one lane in use is also the fastest for one body.
//!
//! Levels: [`Level::Scalar`] is portable and the oracle of the tests; [`Level::Avx2`] has 8 lanes;
//! [`Level::Avx512`] has 4, 8 or 16. All give the same states; every level that the CPU has is
//! forced in the tests.

mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

/// MD5's block, in bytes.
pub(super) const BLOCK_BYTES: usize = 64;

/// Most bodies that are hashed at once.
pub const MAX_LANES: usize = 16;

/// Which instructions are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Portable code.
    Scalar,
    /// 8 lanes.
    Avx2,
    /// 16 lanes; needs AVX-512 F and VL.
    Avx512,
}

impl Level {
    /// The fastest level that this CPU has.
    pub fn best() -> Self {
        if Self::Avx512.is_available() {
            Self::Avx512
        } else if Self::Avx2.is_available() {
            Self::Avx2
        } else {
            Self::Scalar
        }
    }

    /// Every level that this CPU has.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::Scalar, Self::Avx2, Self::Avx512]
            .into_iter()
            .filter(|l| l.is_available())
    }

    /// Whether this CPU has the level. The look-up is cached by the standard library.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
            }
        }
    }

    /// Whether this CPU has the level.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Self::Scalar
    }
}

/// Works whole blocks of one body into its state. `data` is a multiple of [`BLOCK_BYTES`].
pub(super) fn single(level: Level, state: &mut [u32; 4], data: &[u8]) {
    debug_assert_eq!(data.len() % BLOCK_BYTES, 0, "whole blocks only");
    #[cfg(target_arch = "x86_64")]
    if level == Level::Avx512 {
        let mut states = [*state; 4];
        x86::avx512_x4(&mut states, &[data; 4], data.len() / BLOCK_BYTES);
        *state = states[0];
        return;
    }
    let _ = level;
    scalar::compress(state, data);
}

/// Works `blocks` blocks of each body into its state: `data[i]` into `states[i]`.
///
/// # Panics
/// If there are more than [`MAX_LANES`] bodies, not as many data as states, or less data than
/// `blocks` says: that is a bug of the caller.
pub(super) fn many(level: Level, states: &mut [[u32; 4]], data: &[&[u8]], blocks: usize) {
    assert!(
        states.len() <= MAX_LANES && states.len() == data.len(),
        "lanes do not fit"
    );
    match (level, states.len()) {
        (_, 0) => {}
        (_, 1) => single(level, &mut states[0], &data[0][..blocks * BLOCK_BYTES]),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512, 2..=4) => widened(states, data, blocks, x86::avx512_x4),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512, 5..=8) => widened(states, data, blocks, x86::avx512_x8),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512, _) => widened(states, data, blocks, x86::avx512_x16),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, 2..=8) => widened(states, data, blocks, x86::avx2_x8),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, _) => {
            let (left, right) = states.split_at_mut(8);
            widened(left, &data[..8], blocks, x86::avx2_x8);
            many(level, right, &data[8..], blocks);
        }
        _ => {
            for (state, data) in states.iter_mut().zip(data) {
                scalar::compress(state, &data[..blocks * BLOCK_BYTES]);
            }
        }
    }
}

/// A kernel of `N` lanes: states, data, blocks.
#[cfg(target_arch = "x86_64")]
type Kernel<const N: usize> = fn(&mut [[u32; 4]; N], &[&[u8]; N], usize);

/// Runs a kernel of `N` lanes; the lanes that are not in use repeat the first one.
#[cfg(target_arch = "x86_64")]
fn widened<const N: usize>(
    states: &mut [[u32; 4]],
    data: &[&[u8]],
    blocks: usize,
    kernel: Kernel<N>,
) {
    let mut wide_states = [states[0]; N];
    let mut wide_data = [data[0]; N];
    wide_states[..states.len()].copy_from_slice(states);
    wide_data[..data.len()].copy_from_slice(data);
    kernel(&mut wide_states, &wide_data, blocks);
    let used = states.len();
    states.copy_from_slice(&wide_states[..used]);
}

/// MD5's 64 constants: `floor(2^32 × |sin(i + 1)|)`, from RFC 1321.
const K: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// Calls `$step!(function, a, b, c, d, word, shift, constant)` for the 64 steps of a block.
macro_rules! steps {
    ($step:ident, $a:ident, $b:ident, $c:ident, $d:ident) => {
        steps!(@four $step $a $b $c $d f 7 12 17 22; 0 1 2 3; 0);
        steps!(@four $step $a $b $c $d f 7 12 17 22; 4 5 6 7; 4);
        steps!(@four $step $a $b $c $d f 7 12 17 22; 8 9 10 11; 8);
        steps!(@four $step $a $b $c $d f 7 12 17 22; 12 13 14 15; 12);
        steps!(@four $step $a $b $c $d g 5 9 14 20; 1 6 11 0; 16);
        steps!(@four $step $a $b $c $d g 5 9 14 20; 5 10 15 4; 20);
        steps!(@four $step $a $b $c $d g 5 9 14 20; 9 14 3 8; 24);
        steps!(@four $step $a $b $c $d g 5 9 14 20; 13 2 7 12; 28);
        steps!(@four $step $a $b $c $d h 4 11 16 23; 5 8 11 14; 32);
        steps!(@four $step $a $b $c $d h 4 11 16 23; 1 4 7 10; 36);
        steps!(@four $step $a $b $c $d h 4 11 16 23; 13 0 3 6; 40);
        steps!(@four $step $a $b $c $d h 4 11 16 23; 9 12 15 2; 44);
        steps!(@four $step $a $b $c $d i 6 10 15 21; 0 7 14 5; 48);
        steps!(@four $step $a $b $c $d i 6 10 15 21; 12 3 10 1; 52);
        steps!(@four $step $a $b $c $d i 6 10 15 21; 8 15 6 13; 56);
        steps!(@four $step $a $b $c $d i 6 10 15 21; 4 11 2 9; 60);
    };
    (@four $step:ident $a:ident $b:ident $c:ident $d:ident $f:ident
        $s0:literal $s1:literal $s2:literal $s3:literal;
        $w0:literal $w1:literal $w2:literal $w3:literal; $k:literal) => {
        $step!($f, $a, $b, $c, $d, $w0, $s0, $k);
        $step!($f, $d, $a, $b, $c, $w1, $s1, $k + 1);
        $step!($f, $c, $d, $a, $b, $w2, $s2, $k + 2);
        $step!($f, $b, $c, $d, $a, $w3, $s3, $k + 3);
    };
}
use steps;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_level_and_number_of_lanes_equals_the_scalar_code(
            lanes in 1_usize..=MAX_LANES, blocks in 0_usize..5, misaligned in 0_usize..64,
            seed in any::<u32>(),
        ) {
            let mut noise = seed;
            let mut next = || { noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); noise };
            let bodies: Vec<Vec<u8>> = (0..lanes)
                .map(|_| (0..blocks * BLOCK_BYTES + 64).map(|_| next().to_be_bytes()[0]).collect())
                .collect();
            let data: Vec<&[u8]> = bodies.iter().map(|b| &b[misaligned..misaligned + blocks * BLOCK_BYTES]).collect();
            let start: Vec<[u32; 4]> = (0..lanes).map(|_| [next(), next(), next(), next()]).collect();
            let mut expected = start.clone();
            for (state, data) in expected.iter_mut().zip(&data) {
                scalar::compress(state, data);
            }
            for level in Level::available() {
                let mut states = start.clone();
                many(level, &mut states, &data, blocks);
                prop_assert_eq!(&states, &expected, "{:?}", level);
            }
        }
    }

    #[test]
    fn the_constants_are_sines() {
        for (i, k) in (1_u32..).zip(K) {
            let sine = f64::from(i).sin().abs() * 4_294_967_296.0;
            assert!((sine.floor() - f64::from(k)).abs() < 0.5, "{i}");
        }
    }
}
