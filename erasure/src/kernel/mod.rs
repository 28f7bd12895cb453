//! Linear combinations of byte columns: the inner loops, one module for each instruction set.
//!
//! A [`Pass`] makes up to [`MAX_ROWS`] outputs from any number of sources in one reading of the
//! sources, with all outputs kept in registers. It knows nothing of stripes, parity or plans.

#[cfg(all(
    target_arch = "aarch64",
    target_endian = "little",
    feature = "split-tables"
))]
mod aarch64;
#[cfg(any(
    target_arch = "x86_64",
    all(
        target_arch = "aarch64",
        target_endian = "little",
        feature = "split-tables"
    )
))]
mod combine;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

use crate::Level;
use crate::gf256::{SplitTable, affine_matrix, split_table};

/// Most rows that a pass may have, at any level.
pub(crate) const MAX_ROWS: usize = 6;

/// Most rows that a pass at this level can hold in registers.
pub(crate) const fn max_rows(level: Level) -> usize {
    match level {
        Level::Avx512Gfni => MAX_ROWS,
        Level::Scalar | Level::Neon | Level::Avx2 | Level::Avx2Gfni => 4,
    }
}

/// What happens to the outputs before the first product is added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Start {
    /// They are overwritten.
    Zero,
    /// They are overwritten, and source 0 goes into each of them as it is: its coefficients are
    /// all ones.
    Copy,
    /// Products are added to what is there.
    Keep,
    /// They are found in two steps, with fewer products than in one. Needs `xor_sources` to be the
    /// number of sources less the number of rows, and the last sources to be one for each row.
    ///
    /// First, row `r` is the last sources' `r`-th, plus the products of the other sources (in row
    /// 0: plus the other sources). Then row `i >= 1` becomes the sum over `r` of row `r` times the
    /// coefficient that the last sources' `r`-th has in row `i`, and row 0 the sum of all rows.
    Solve {
        /// Says where ones save products. Set: the coefficients of source 0 are all ones. Not set:
        /// those of the last sources add up to zero in each row from 1 on.
        plain_first_source: bool,
    },
}

impl Start {
    /// Whether it is [`Self::Solve`].
    pub(crate) fn is_solve(self) -> bool {
        matches!(self, Self::Solve { .. })
    }
}

/// Everything about a pass but its coefficients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// See [`Start`].
    pub(crate) start: Start,
    /// If not zero: row 0 is no sum of products, but the XOR of the first `xor_sources` sources
    /// (and of the folded rows). Its coefficients are ignored.
    pub(crate) xor_sources: usize,
    /// Rows `1..folded_rows` are added to row 0 at the end. Needs `xor_sources`.
    pub(crate) folded_rows: usize,
}

/// Prepared coefficients in the form a level takes: those of source 0 for each row, then those of
/// source 1, and so on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Coefficients<'a> {
    /// Bit matrices for GFNI.
    Affine(&'a [u64]),
    /// Nibble tables for everything else.
    Split(&'a [SplitTable]),
}

impl Coefficients<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Affine(matrices) => matrices.len(),
            Self::Split(tables) => tables.len(),
        }
    }
}

/// Owned [`Coefficients`].
#[derive(Clone, Debug)]
pub(crate) enum Prepared {
    /// Bit matrices for GFNI.
    Affine(Box<[u64]>),
    /// Nibble tables for everything else.
    Split(Box<[SplitTable]>),
}

impl Prepared {
    /// Prepares coefficients for a level.
    pub(crate) fn new(level: Level, coefficients: impl Iterator<Item = u8>) -> Self {
        if level.uses_affine_matrices() {
            Self::Affine(coefficients.map(affine_matrix).collect())
        } else {
            Self::Split(coefficients.map(split_table).collect())
        }
    }

    /// The coefficients, borrowed.
    pub(crate) fn as_coefficients(&self) -> Coefficients<'_> {
        match self {
            Self::Affine(matrices) => Coefficients::Affine(matrices),
            Self::Split(tables) => Coefficients::Split(tables),
        }
    }
}

/// One reading of the sources that makes all rows of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass<'a> {
    /// How the rows are made.
    pub(crate) shape: Shape,
    /// The coefficient of each source in each row.
    pub(crate) coefficients: Coefficients<'a>,
    /// The inputs.
    pub(crate) sources: &'a [&'a [u8]],
    /// Where in the inputs to begin; as many bytes are read as the outputs are long.
    pub(crate) offset: usize,
}

impl Pass<'_> {
    /// Computes the outputs, which are as many as there are rows and all of one length.
    ///
    /// # Panics
    /// If a slice is too short or the numbers do not fit together: the unsafe loops rely on it.
    /// Callers have checked their arguments before, so that this is a bug of this crate.
    pub(crate) fn run(&self, level: Level, outputs: &mut [&mut [u8]]) {
        let Some(length) = outputs.first().map(|output| output.len()) else {
            return;
        };
        let (rows, shape) = (outputs.len(), self.shape);
        assert!(rows <= max_rows(level), "too many rows for {level}");
        assert!(
            outputs.iter().all(|output| output.len() == length),
            "outputs differ in length"
        );
        assert!(
            self.sources
                .iter()
                .all(|source| self.reaches(source, length)),
            "short source"
        );
        assert!(!self.sources.is_empty(), "nothing to combine");
        assert_eq!(
            self.coefficients.len(),
            rows * self.sources.len(),
            "coefficient count"
        );
        assert!(
            shape.xor_sources <= self.sources.len() && shape.folded_rows <= rows,
            "shape"
        );
        self.dispatch(level, length, outputs);
    }

    /// Whether a source has `length` bytes from the offset on.
    fn reaches(&self, source: &[u8], length: usize) -> bool {
        source
            .len()
            .checked_sub(self.offset)
            .is_some_and(|rest| rest >= length)
    }

    fn dispatch(&self, level: Level, length: usize, outputs: &mut [&mut [u8]]) {
        match (level, self.coefficients) {
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512Gfni, Coefficients::Affine(matrices)) => {
                x86::avx512_gfni(self, matrices, length, outputs);
            }
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2Gfni, Coefficients::Affine(matrices)) => {
                x86::avx2_gfni(self, matrices, length, outputs);
            }
            #[cfg(all(target_arch = "x86_64", feature = "split-tables"))]
            (Level::Avx2, Coefficients::Split(tables)) => {
                x86::avx2(self, tables, length, outputs);
            }
            #[cfg(all(
                target_arch = "aarch64",
                target_endian = "little",
                feature = "split-tables"
            ))]
            (Level::Neon, Coefficients::Split(tables)) => {
                aarch64::neon(self, tables, length, outputs);
            }
            (_, Coefficients::Split(tables)) => scalar::run(self, tables, length, outputs),
            (_, Coefficients::Affine(_)) => {
                unreachable!("{level} does not take affine matrices")
            }
        }
    }
}
