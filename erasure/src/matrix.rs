//! The parity matrix, and inversion of square matrices over the field.
//!
//! Parity shard `r` is the sum over `j` of `parity_coefficient(profile, r, j)` times data shard
//! `j`. The matrix is the systematic form of an extended Vandermonde matrix, with columns and rows
//! scaled so that its first row and first column are all ones (the form known from Jerasure, and
//! klauspost/reedsolomon's `WithJerasureMatrix`). Every square submatrix of it is invertible
//! because it is a Cauchy matrix with scaled rows and columns: with the points `j` for data shard
//! `j`, `k + r` for parity shard `r` and infinity for the last one, all distinct,
//!
//! ```text
//! c(r, j) = (k + j) / (k + r + j) * (k + r) / k        with + as XOR,
//! c(m - 1, j) = (k + j) / k                            the limit at infinity.
//! ```
//!
//! The ones make the first parity shard the plain XOR of the data, and save `k + m - 1` of the
//! `k * m` multiplications of an encoding.

use crate::Profile;
use crate::gf256::{div, inverse, mul};

/// Names the parity matrix of this module in stored metadata.
///
/// A stripe can be decoded only with the matrix that encoded it. Another matrix, should one ever
/// be added, gets another number; this number never changes its meaning. Zero is never used.
pub const MATRIX_ID: u8 = 1;

/// What data shard `column` is multiplied by on its way into parity shard `row`.
///
/// `row < profile.parity()` and `column < profile.data()`.
pub(crate) fn parity_coefficient(profile: Profile, row: usize, column: usize) -> u8 {
    debug_assert!(row < profile.parity() && column < profile.data());
    let (origin, column) = (point(profile.data()), point(column));
    if row == 0 {
        return 1;
    }
    let scaled = div(origin ^ column, origin);
    if row + 1 == profile.parity() {
        return scaled;
    }
    let row = point(profile.data() + row);
    mul(scaled, div(row, row ^ column))
}

/// A shard's point on the field; a profile has at most 255 shards, so that it always fits.
fn point(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

/// A square matrix, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Square {
    size: usize,
    cells: Vec<u8>,
}

impl Square {
    /// The matrix whose cells are `cell(row, column)`.
    pub(crate) fn from_fn(size: usize, mut cell: impl FnMut(usize, usize) -> u8) -> Self {
        let mut cells = Vec::with_capacity(size * size);
        for row in 0..size {
            cells.extend((0..size).map(|column| cell(row, column)));
        }
        Self { size, cells }
    }

    /// The cells of a row.
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        &self.cells[row * self.size..][..self.size]
    }

    /// The inverse, or `None` if there is none. Gauss and Jordan's method, with row exchanges.
    pub(crate) fn inverted(mut self) -> Option<Self> {
        let mut result = Self::from_fn(self.size, |row, column| u8::from(row == column));
        for pivot in 0..self.size {
            let found = (pivot..self.size).find(|&row| self.row(row)[pivot] != 0)?;
            self.swap_rows(pivot, found);
            result.swap_rows(pivot, found);
            let scale = inverse(self.row(pivot)[pivot]);
            self.scale_row(pivot, scale);
            result.scale_row(pivot, scale);
            for row in (0..self.size).filter(|&row| row != pivot) {
                let factor = self.row(row)[pivot];
                self.add_scaled_row(row, pivot, factor);
                result.add_scaled_row(row, pivot, factor);
            }
        }
        Some(result)
    }

    fn swap_rows(&mut self, a: usize, b: usize) {
        if a != b {
            for column in 0..self.size {
                self.cells
                    .swap(a * self.size + column, b * self.size + column);
            }
        }
    }

    fn scale_row(&mut self, row: usize, factor: u8) {
        for cell in &mut self.cells[row * self.size..][..self.size] {
            *cell = mul(*cell, factor);
        }
    }

    fn add_scaled_row(&mut self, row: usize, from: usize, factor: u8) {
        if factor != 0 {
            for column in 0..self.size {
                let product = mul(self.cells[from * self.size + column], factor);
                self.cells[row * self.size + column] ^= product;
            }
        }
    }
}

#[cfg(test)]
mod tests;
