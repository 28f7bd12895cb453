//! The reference: one row, one source, one byte at a time.

use super::{MAX_ROWS, Pass, Start};
use crate::gf256::SplitTable;

/// Computes a pass whose arguments have been checked.
pub(super) fn run(
    pass: &Pass<'_>,
    tables: &[SplitTable],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    if pass.shape.start.is_solve() {
        return solve(pass, tables, length, outputs);
    }
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

/// Both steps of [`Start::Solve`].
fn solve(pass: &Pass<'_>, tables: &[SplitTable], length: usize, outputs: &mut [&mut [u8]]) {
    let rows = outputs.len();
    let (others, own) = pass.sources.split_at(pass.shape.xor_sources);
    for (row, output) in outputs.iter_mut().enumerate() {
        output.copy_from_slice(&own[row][pass.offset..][..length]);
        for (j, source) in others.iter().enumerate() {
            let source = &source[pass.offset..][..length];
            match row {
                0 => add(output, source),
                _ => add_product(output, source, &tables[j * rows + row]),
            }
        }
    }
    let tables = &tables[others.len() * rows..];
    for i in 0..length {
        let mut sums = [0; MAX_ROWS];
        for (sum, output) in sums.iter_mut().zip(&*outputs) {
            *sum = output[i];
        }
        for row in 1..rows {
            let products = (0..rows).map(|from| product(sums[from], &tables[from * rows + row]));
            let solved = products.fold(0, |sum, product| sum ^ product);
            outputs[row][i] = solved;
            outputs[0][i] ^= solved;
        }
    }
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
        *to ^= product(*from, table);
    }
}

fn product(byte: u8, table: &SplitTable) -> u8 {
    table[usize::from(byte & 15)] ^ table[16 + usize::from(byte >> 4)]
}
