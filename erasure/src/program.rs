//! A matrix made ready to run: its rows in groups that fit a kernel's registers, coefficients
//! prepared for one level, and the order of work that keeps the sources in cache between groups.

use std::ops::Range;

use crate::Level;
use crate::kernel::{Coefficients, MAX_ROWS, Pass, Prepared, Shape, Start, max_rows};

/// How much of a stripe one round of groups covers, in bytes: well within a level 2 cache.
const BLOCK_BYTES: usize = 512 * 1024;
/// Shortest piece of a shard worth a round of its own.
const MIN_BLOCK_BYTES: usize = 4096;
/// How much of each row is computed at a time when it is only compared.
const TILE_BYTES: usize = 2048;
/// Most sources whose coefficients are picked out at once when not all sources take part.
const MAX_PICKED: usize = 4;

/// One output: where it goes, and what each source is multiplied by.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Index among the outputs handed to [`Program::run`].
    pub(crate) output: usize,
    /// One coefficient for each source.
    pub(crate) coefficients: Vec<u8>,
}

/// How the rows of a program are computed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    /// As sums of products. Ones among the coefficients are found and used.
    Plain,
    /// Row 0 without multiplications: it is the XOR of the first `xor_sources` sources (at least
    /// one) and of rows `1..folded_rows`. For programs of one pass.
    Fold {
        /// Sources in the relation.
        xor_sources: usize,
        /// One more than the number of other rows in the relation.
        folded_rows: usize,
    },
    /// See [`Start::Solve`]. For programs of one pass.
    Solve {
        /// As there.
        plain_first_source: bool,
    },
}

/// Outputs as linear combinations of sources, ready to run at one level.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    level: Level,
    source_count: usize,
    output_count: usize,
    groups: Box<[Group]>,
}

/// Rows that are computed in one pass.
#[derive(Clone, Debug)]
struct Group {
    outputs: Box<[usize]>,
    shape: Shape,
    prepared: Prepared,
}

impl Program {
    /// Prepares `rows`, each of `source_count` coefficients. A `method` other than
    /// [`Method::Plain`] needs [`Self::is_one_pass`].
    pub(crate) fn new(level: Level, source_count: usize, rows: &[Row], method: Method) -> Self {
        let group_count = rows.len().div_ceil(max_rows(level)).max(1);
        debug_assert!(
            group_count == 1 || matches!(method, Method::Plain),
            "one pass"
        );
        let group_rows = rows.len().div_ceil(group_count).max(1);
        let groups = rows
            .chunks(group_rows)
            .map(|rows| Group::new(level, rows, method));
        Self {
            level,
            source_count,
            output_count: rows.len(),
            groups: groups.collect(),
        }
    }

    /// Whether so many rows are computed in one pass.
    pub(crate) fn is_one_pass(level: Level, row_count: usize) -> bool {
        row_count <= max_rows(level)
    }

    /// The level that was chosen.
    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Computes all outputs. Lengths have been checked: there are as many sources and outputs as
    /// the program has, all of one length.
    pub(crate) fn run(&self, sources: &[&[u8]], outputs: &mut [&mut [u8]]) {
        debug_assert_eq!(
            (sources.len(), outputs.len()),
            (self.source_count, self.output_count)
        );
        let length = outputs.first().map_or(0, |output| output.len());
        for block in blocks(length, self.block_bytes(length)) {
            for group in &self.groups {
                let pass = group.pass(sources, block.start);
                self.run_group(group, pass, &block, outputs);
            }
        }
    }

    /// Whether `expected` is what [`Self::run`] would write. Stops at the first tile that differs.
    pub(crate) fn matches(&self, sources: &[&[u8]], expected: &[&[u8]]) -> bool {
        let length = expected.first().map_or(0, |output| output.len());
        let mut tiles = Tiles([[0; TILE_BYTES]; MAX_ROWS]);
        blocks(length, TILE_BYTES).all(|block| {
            self.groups.iter().all(|group| {
                let mut computed = tiles.each(block.len());
                let computed = &mut computed[..group.outputs.len()];
                group.pass(sources, block.start).run(self.level, computed);
                let mut pairs = group.outputs.iter().zip(computed);
                pairs.all(|(&output, computed)| **computed == expected[output][block.clone()])
            })
        })
    }

    /// Computes the share of some of the sources, named by `indices`, in all outputs, and adds it
    /// to them or overwrites them with it. For programs of [`Method::Plain`].
    pub(crate) fn accumulate(
        &self,
        indices: &[u8],
        sources: &[&[u8]],
        outputs: &mut [&mut [u8]],
        mut start: Start,
    ) {
        let length = outputs.first().map_or(0, |output| output.len());
        for block in blocks(length, self.block_bytes(length)) {
            let first = start;
            for (indices, sources) in indices.chunks(MAX_PICKED).zip(sources.chunks(MAX_PICKED)) {
                for group in &self.groups {
                    let part = Part {
                        indices,
                        sources,
                        start,
                    };
                    self.accumulate_group(group, part, &block, outputs);
                }
                start = Start::Keep;
            }
            start = first;
        }
    }

    fn accumulate_group(
        &self,
        group: &Group,
        part: Part<'_>,
        block: &Range<usize>,
        outputs: &mut [&mut [u8]],
    ) {
        let rows = group.outputs.len();
        let (mut matrices, mut tables);
        let coefficients = match &group.prepared {
            Prepared::Affine(all) => {
                matrices = [0; MAX_PICKED * MAX_ROWS];
                Coefficients::Affine(pick(all, rows, part.indices, &mut matrices))
            }
            Prepared::Split(all) => {
                tables = [[0; 32]; MAX_PICKED * MAX_ROWS];
                Coefficients::Split(pick(all, rows, part.indices, &mut tables))
            }
        };
        let xor_sources = if group.shape.xor_sources > 0 {
            part.sources.len()
        } else {
            0
        };
        let shape = Shape {
            start: part.start,
            xor_sources,
            folded_rows: 0,
        };
        let pass = Pass {
            shape,
            coefficients,
            sources: part.sources,
            offset: block.start,
        };
        self.run_group(group, pass, block, outputs);
    }

    /// Runs a pass on the group's share of a block of the outputs.
    fn run_group(
        &self,
        group: &Group,
        pass: Pass<'_>,
        block: &Range<usize>,
        outputs: &mut [&mut [u8]],
    ) {
        let mut rows: [&mut [u8]; MAX_ROWS] = Default::default();
        for (index, output) in outputs.iter_mut().enumerate() {
            if let Some(row) = group.outputs.iter().position(|&of_row| of_row == index) {
                rows[row] = &mut output[block.clone()];
            }
        }
        pass.run(self.level, &mut rows[..group.outputs.len()]);
    }

    /// Length of the pieces in which shards are worked through. A single group reads every byte
    /// once, whatever the order; several groups must find the sources in cache.
    fn block_bytes(&self, length: usize) -> usize {
        if self.groups.len() <= 1 {
            return length;
        }
        let share = BLOCK_BYTES / (self.source_count + self.output_count);
        (share / MIN_BLOCK_BYTES * MIN_BLOCK_BYTES).max(MIN_BLOCK_BYTES)
    }
}

/// Some of the sources of a program.
#[derive(Clone, Copy)]
struct Part<'a> {
    indices: &'a [u8],
    sources: &'a [&'a [u8]],
    start: Start,
}

impl Group {
    fn new(level: Level, rows: &[Row], method: Method) -> Self {
        let source_count = rows.first().map_or(0, |row| row.coefficients.len());
        let column = |source: usize| rows.iter().map(move |row| row.coefficients[source]);
        Self {
            outputs: rows.iter().map(|row| row.output).collect(),
            shape: shape(rows, method),
            prepared: Prepared::new(level, (0..source_count).flat_map(column)),
        }
    }

    fn pass<'a>(&'a self, sources: &'a [&'a [u8]], offset: usize) -> Pass<'a> {
        let coefficients = self.prepared.as_coefficients();
        Pass {
            shape: self.shape,
            coefficients,
            sources,
            offset,
        }
    }
}

/// The kernel's instructions for a method.
fn shape(rows: &[Row], method: Method) -> Shape {
    let source_count = rows.first().map_or(0, |row| row.coefficients.len());
    let ones_column = rows.iter().all(|row| row.coefficients.first() == Some(&1));
    let start = if ones_column {
        Start::Copy
    } else {
        Start::Zero
    };
    match method {
        Method::Plain => {
            let ones_row = rows
                .first()
                .is_some_and(|row| row.coefficients.iter().all(|&c| c == 1));
            let xor_sources = if ones_row { source_count } else { 0 };
            Shape {
                start,
                xor_sources,
                folded_rows: 0,
            }
        }
        Method::Fold {
            xor_sources,
            folded_rows,
        } => Shape {
            start,
            xor_sources,
            folded_rows,
        },
        Method::Solve { plain_first_source } => Shape {
            start: Start::Solve { plain_first_source },
            xor_sources: source_count - rows.len(),
            folded_rows: 0,
        },
    }
}

/// Copies the coefficients of some sources together.
fn pick<'a, C: Copy>(all: &[C], rows: usize, indices: &[u8], picked: &'a mut [C]) -> &'a [C] {
    for (to, &index) in picked.chunks_exact_mut(rows).zip(indices) {
        to.copy_from_slice(&all[usize::from(index) * rows..][..rows]);
    }
    &picked[..rows * indices.len()]
}

/// `0..length` in pieces of `block_bytes`.
fn blocks(length: usize, block_bytes: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length)
        .step_by(block_bytes.max(1))
        .map(move |start| start..length.min(start.saturating_add(block_bytes)))
}

/// Room for a tile of every row of a group.
#[repr(align(64))]
struct Tiles([[u8; TILE_BYTES]; MAX_ROWS]);

impl Tiles {
    fn each(&mut self, length: usize) -> [&mut [u8]; MAX_ROWS] {
        self.0.each_mut().map(|tile| &mut tile[..length])
    }
}
