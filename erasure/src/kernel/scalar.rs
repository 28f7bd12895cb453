//! The reference: one row, one source, one byte at a time.

use super::{Pass, Start};
use crate::gf256::SplitTable;

/// Computes a pass whose arguments have been checked.
pub(super) fn run(
    pass: &Pass<'_>,
    tables: &[SplitTable],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    let rows = outputs.len();
    for (row, output) in outputs.iter_mut().enumerate() {
        if pass.shape.start != Start::Keep {
            output.fill(0);
        }
        for (j, source) in pass.sources.iter().enumerate() {
            let source = &source[pass.offset..][..length];
            if row > 0 || pass.shape.xor_sources == 0 {
                add_product(output, source, &tables[j * rows + row]);
            } else if j < pass.shape.xor_sources {
                add(output, source);
            }
        }
    }
    fold(outputs, pass.shape.folded_rows);
}

fn fold(outputs: &mut [&mut [u8]], folded_rows: usize) {
    if let Some((first, others)) = outputs.split_first_mut() {
        for other in others.iter().take(folded_rows.saturating_sub(1)) {
            add(first, other);
        }
    }
}

fn add(output: &mut [u8], source: &[u8]) {
    for (to, from) in output.iter_mut().zip(source) {
        *to ^= from;
    }
}

fn add_product(output: &mut [u8], source: &[u8], table: &SplitTable) {
    for (to, from) in output.iter_mut().zip(source) {
        *to ^= table[usize::from(from & 15)] ^ table[16 + usize::from(from >> 4)];
    }
}
