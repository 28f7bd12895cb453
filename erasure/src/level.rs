//! Which instructions the kernels use.

use std::fmt;

/// An implementation of the arithmetic. All levels give the same bytes, at different speeds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Level {
    /// Portable code without vector instructions; the reference that the others are tested against.
    Scalar,
    /// ARM NEON, 16 bytes at a time, split tables.
    Neon,
    /// x86-64 AVX2, 32 bytes at a time, split tables.
    Avx2,
    /// x86-64 AVX2 with GFNI, 32 bytes at a time.
    Avx2Gfni,
    /// x86-64 AVX-512 with GFNI, 64 bytes at a time.
    Avx512Gfni,
}

impl Level {
    /// Every level there is, slowest first.
    pub const ALL: [Self; 5] = [
        Self::Scalar,
        Self::Neon,
        Self::Avx2,
        Self::Avx2Gfni,
        Self::Avx512Gfni,
    ];

    /// The fastest level that this processor has.
    pub fn detect() -> Self {
        let mut available = Self::ALL
            .into_iter()
            .rev()
            .filter(|level| level.is_available());
        available.next().unwrap_or(Self::Scalar)
    }

    /// Whether this processor, and this build, can run the level.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Neon => has_neon(),
            Self::Avx2 => has_avx2(),
            Self::Avx2Gfni => has_avx2_gfni(),
            Self::Avx512Gfni => has_avx512_gfni(),
        }
    }

    /// A short name for logs and benchmarks.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx2Gfni => "avx2-gfni",
            Self::Avx512Gfni => "avx512-gfni",
        }
    }

    /// Whether the kernels take coefficients as bit matrices rather than split tables.
    pub(crate) const fn uses_affine_matrices(self) -> bool {
        matches!(self, Self::Avx2Gfni | Self::Avx512Gfni)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(all(
    target_arch = "aarch64",
    target_endian = "little",
    feature = "split-tables"
))]
fn has_neon() -> bool {
    std::arch::is_aarch64_feature_detected!("neon")
}

#[cfg(not(all(
    target_arch = "aarch64",
    target_endian = "little",
    feature = "split-tables"
)))]
const fn has_neon() -> bool {
    false
}

#[cfg(all(target_arch = "x86_64", feature = "split-tables"))]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(all(target_arch = "x86_64", feature = "split-tables")))]
const fn has_avx2() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn has_avx2_gfni() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("gfni")
}

#[cfg(not(target_arch = "x86_64"))]
const fn has_avx2_gfni() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn has_avx512_gfni() -> bool {
    has_avx2_gfni()
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
}

#[cfg(not(target_arch = "x86_64"))]
const fn has_avx512_gfni() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_is_always_available_and_the_detected_level_is_too() {
        assert!(Level::Scalar.is_available());
        assert!(Level::detect().is_available());
    }
}
