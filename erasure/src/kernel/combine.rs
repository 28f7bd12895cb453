//! The loop that all vector levels share, written once over [`Multiply`] and its [`Vector`].
//!
//! Everything here is `inline(always)` into a function that enables the instructions, so that their
//! methods become single instructions and the accumulators stay in registers: one for each row and
//! each of `UNROLL` vectors. Sources are taken two at a time, so that where there is a three-way XOR
//! one of these adds two products.

#![expect(unsafe_code, reason = "vector loads and stores through pointers")]
#![expect(clippy::inline_always, reason = "see above")]
#![expect(
    clippy::needless_range_loop,
    reason = "the loops run over several arrays at once"
)]

use super::{Pass, Start};

pub(super) mod vector;
use vector::{MOST_BYTES, Multiply, Vector};

/// How far ahead of the stores the lines of the outputs are asked for. Stores that miss the level 1
/// cache would otherwise fetch their lines one after the other: with this, stripes that lie in
/// level 2 encode 8 to 12 % faster (Sapphire Rapids; 256 to 1024 bytes are alike).
const PREFETCH_BYTES: usize = 512;

/// How a loop treats row 0, and whether it ends with solving: a [`Pass`]'s shape as a constant.
pub(super) mod mode {
    /// Row 0 is a sum of products like the others.
    pub(in crate::kernel) const PRODUCTS: u8 = 0;
    /// Row 0 is an XOR of sources and rows.
    pub(in crate::kernel) const XOR: u8 = 1;
    /// [`Start::Solve`](super::Start::Solve) with a plain first source.
    pub(in crate::kernel) const SOLVE_PLAIN: u8 = 2;
    /// [`Start::Solve`](super::Start::Solve) without one.
    pub(in crate::kernel) const SOLVE_SPREAD: u8 = 3;
    /// As [`XOR`], with [`Start::Copy`](super::Start::Copy): encoding. Works without being told
    /// apart, but reads source 0 once for each row then, which costs up to 15 %.
    pub(in crate::kernel) const XOR_COPY: u8 = 4;
}

/// The mode of a pass.
pub(super) fn mode_of(pass: &Pass<'_>) -> u8 {
    match pass.shape.start {
        Start::Solve {
            plain_first_source: true,
        } => mode::SOLVE_PLAIN,
        Start::Solve {
            plain_first_source: false,
        } => mode::SOLVE_SPREAD,
        Start::Copy if pass.shape.xor_sources > 0 => mode::XOR_COPY,
        _ if pass.shape.xor_sources > 0 => mode::XOR,
        _ => mode::PRODUCTS,
    }
}

/// Computes a pass: whole vectors in steps of `UNROLL`, then what is left, at most a vector at a
/// time. What the sums start from is given by pointers, not by a loop of its own for each
/// [`Start`]: those took a minute to compile. A branch within the loop, on the other hand, makes the
/// compiler keep the sums in memory, at half the speed.
///
/// # Safety
/// The processor has the instructions. The pass was checked by [`Pass::run`]: there are
/// `ROWS` outputs of `length` bytes, each source has `length` bytes from the pass's offset on, and
/// there is a coefficient for each row of each source. `MODE` is the pass's.
#[inline(always)]
pub(super) unsafe fn combine<
    M: Multiply,
    const ROWS: usize,
    const UNROLL: usize,
    const MODE: u8,
>(
    pass: &Pass<'_>,
    coefficients: &[M::Coefficient],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    let mut to = [std::ptr::null_mut(); ROWS];
    for (to, output) in to.iter_mut().zip(outputs) {
        *to = output.as_mut_ptr();
    }
    let columns = Columns::<M, ROWS, MODE>::new(pass, coefficients, to);
    let mut at = 0;
    // SAFETY: the blocks lie within `0..length`; everything else is promised by the caller.
    unsafe {
        while length - at >= UNROLL * M::Vector::BYTES {
            if at + PREFETCH_BYTES < length {
                columns.prefetch::<UNROLL>(at + PREFETCH_BYTES);
            }
            columns.block::<UNROLL, false>(at, M::Vector::BYTES);
            at += UNROLL * M::Vector::BYTES;
        }
        while at < length {
            columns.block::<1, true>(at, M::Vector::BYTES.min(length - at));
            at += M::Vector::BYTES;
        }
    }
}

/// What sums start from when that is nothing.
#[repr(align(64))]
struct Zeros([u8; MOST_BYTES]);
static ZEROS: Zeros = Zeros([0; MOST_BYTES]);

/// The arguments of [`combine`], with the outputs as pointers.
struct Columns<'a, M: Multiply, const ROWS: usize, const MODE: u8> {
    pass: &'a Pass<'a>,
    coefficients: &'a [M::Coefficient],
    to: [*mut u8; ROWS],
    /// Where each row's sum starts from, at distances from the beginning that are masked with
    /// `from_mask`: all ones, or zero to stay at the beginning.
    from: [*const u8; ROWS],
    from_mask: usize,
    /// The first source that is added.
    first_source: usize,
}

impl<'a, M: Multiply, const ROWS: usize, const MODE: u8> Columns<'a, M, ROWS, MODE> {
    /// Whether the loop ends with solving.
    const SOLVE: bool = MODE == mode::SOLVE_PLAIN || MODE == mode::SOLVE_SPREAD;

    /// Works out what the sums start from; `to` are the outputs.
    #[inline(always)]
    fn new(pass: &'a Pass<'a>, coefficients: &'a [M::Coefficient], to: [*mut u8; ROWS]) -> Self {
        const { assert!(M::Vector::BYTES <= MOST_BYTES, "zeros for a vector") };
        let source = |j: usize| pass.sources[j].as_ptr().wrapping_add(pass.offset);
        let mut from = [ZEROS.0.as_ptr(); ROWS];
        for (row, from) in from.iter_mut().enumerate() {
            *from = match pass.shape.start {
                Start::Zero => *from,
                Start::Copy => source(0),
                Start::Keep => to[row].cast_const(),
                Start::Solve { .. } => source(pass.shape.xor_sources + row),
            };
        }
        let from_mask = if pass.shape.start == Start::Zero {
            0
        } else {
            usize::MAX
        };
        let plain_first = pass.shape.start == Start::Copy || MODE == mode::SOLVE_PLAIN;
        let first_source = usize::from(plain_first);
        Self {
            pass,
            coefficients,
            to,
            from,
            from_mask,
            first_source,
        }
    }

    /// Computes `VECTORS` vectors of every row from byte `at` on, or, where `PART`, the first
    /// `bytes` (at least one) of one vector.
    ///
    /// # Safety
    /// As for [`combine`]; the bytes lie within the outputs.
    #[inline(always)]
    unsafe fn block<const VECTORS: usize, const PART: bool>(&self, at: usize, bytes: usize) {
        let source_count = self.pass.sources.len();
        let shape = self.pass.shape;
        // SAFETY: all indices below are below the counts that the caller vouches for.
        unsafe {
            let mut sums = [[M::Vector::zero(); ROWS]; VECTORS];
            self.start::<VECTORS, PART>(&mut sums, at, bytes);
            let mut j = self.first_source;
            if MODE == mode::PRODUCTS {
                self.add::<VECTORS, PART, false>(&mut sums, &mut j, source_count, at, bytes);
            } else {
                self.add::<VECTORS, PART, true>(&mut sums, &mut j, shape.xor_sources, at, bytes);
            }
            if Self::SOLVE {
                self.solve(&mut sums);
            } else if MODE == mode::XOR || MODE == mode::XOR_COPY {
                while j < source_count {
                    self.add_products::<VECTORS, PART>(&mut sums, j, 1, at, bytes);
                    j += 1;
                }
                self.fold(&mut sums);
            }
            self.finish::<VECTORS, PART>(&sums, at, bytes);
        }
    }

    /// Asks for the cache lines of the block of every row at byte `at`.
    ///
    /// # Safety
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn prefetch<const VECTORS: usize>(&self, at: usize) {
        for to in self.to {
            for v in 0..VECTORS {
                // SAFETY: promised by the caller.
                unsafe {
                    M::Vector::prefetch_for_write(to.wrapping_add(at + v * M::Vector::BYTES));
                };
            }
        }
    }

    /// Sets the sums to what they start from.
    #[inline(always)]
    unsafe fn start<const VECTORS: usize, const PART: bool>(
        &self,
        sums: &mut [[M::Vector; ROWS]; VECTORS],
        at: usize,
        bytes: usize,
    ) {
        // SAFETY: as for `block`; `from` has as many bytes as the outputs, or those of a vector if
        // the distance is masked out.
        unsafe {
            if MODE == mode::XOR_COPY {
                let source = self.source::<VECTORS, PART>(0, at, bytes);
                for v in 0..VECTORS {
                    sums[v] = [source[v]; ROWS];
                }
                return;
            }
            for row in 0..ROWS {
                for v in 0..VECTORS {
                    let distance = (at + v * M::Vector::BYTES) & self.from_mask;
                    sums[v][row] = read::<M::Vector, PART>(self.from[row].add(distance), bytes);
                }
            }
            if MODE == mode::SOLVE_PLAIN {
                let source = self.source::<VECTORS, PART>(0, at, bytes);
                for v in 0..VECTORS {
                    for row in 0..ROWS {
                        sums[v][row] = sums[v][row].add(source[v]);
                    }
                }
            }
        }
    }

    /// Adds sources `j..end` to all rows, two at a time.
    #[inline(always)]
    unsafe fn add<const VECTORS: usize, const PART: bool, const FIRST_PLAIN: bool>(
        &self,
        sums: &mut [[M::Vector; ROWS]; VECTORS],
        j: &mut usize,
        end: usize,
        at: usize,
        bytes: usize,
    ) {
        // SAFETY: as for `block`.
        unsafe {
            while *j + 2 <= end {
                self.add_pair::<VECTORS, PART, FIRST_PLAIN>(sums, *j, at, bytes);
                *j += 2;
            }
            if *j < end {
                self.add_one::<VECTORS, PART, FIRST_PLAIN>(sums, *j, at, bytes);
                *j += 1;
            }
        }
    }

    /// Adds sources `j` and `j + 1` to all rows.
    #[inline(always)]
    unsafe fn add_pair<const VECTORS: usize, const PART: bool, const FIRST_PLAIN: bool>(
        &self,
        sums: &mut [[M::Vector; ROWS]; VECTORS],
        j: usize,
        at: usize,
        bytes: usize,
    ) {
        // SAFETY: as for `block`.
        unsafe {
            let a = self.source::<VECTORS, PART>(j, at, bytes);
            let b = self.source::<VECTORS, PART>(j + 1, at, bytes);
            if FIRST_PLAIN {
                for v in 0..VECTORS {
                    sums[v][0] = sums[v][0].add_two(a[v], b[v]);
                }
            }
            let (a, b) = (operands::<M, VECTORS>(a), operands::<M, VECTORS>(b));
            for row in usize::from(FIRST_PLAIN)..ROWS {
                let (by_a, by_b) = (self.multiplier(j, row), self.multiplier(j + 1, row));
                for v in 0..VECTORS {
                    let (a, b) = (M::product(a[v], by_a), M::product(b[v], by_b));
                    sums[v][row] = sums[v][row].add_two(a, b);
                }
            }
        }
    }

    /// Adds source `j` to all rows.
    #[inline(always)]
    unsafe fn add_one<const VECTORS: usize, const PART: bool, const FIRST_PLAIN: bool>(
        &self,
        sums: &mut [[M::Vector; ROWS]; VECTORS],
        j: usize,
        at: usize,
        bytes: usize,
    ) {
        // SAFETY: as for `block`.
        unsafe {
            if FIRST_PLAIN {
                let source = self.source::<VECTORS, PART>(j, at, bytes);
                for v in 0..VECTORS {
                    sums[v][0] = sums[v][0].add(source[v]);
                }
            }
            self.add_products::<VECTORS, PART>(sums, j, usize::from(FIRST_PLAIN), at, bytes);
        }
    }

    /// Adds the products of source `j` to rows `first_row..`.
    #[inline(always)]
    unsafe fn add_products<const VECTORS: usize, const PART: bool>(
        &self,
        sums: &mut [[M::Vector; ROWS]; VECTORS],
        j: usize,
        first_row: usize,
        at: usize,
        bytes: usize,
    ) {
        // SAFETY: as for `block`.
        unsafe {
            let source = operands::<M, VECTORS>(self.source::<VECTORS, PART>(j, at, bytes));
            for row in first_row..ROWS {
                let by = self.multiplier(j, row);
                for v in 0..VECTORS {
                    sums[v][row] = sums[v][row].add(M::product(source[v], by));
                }
            }
        }
    }

    /// The second step of [`Start::Solve`].
    #[inline(always)]
    unsafe fn solve<const VECTORS: usize>(&self, sums: &mut [[M::Vector; ROWS]; VECTORS]) {
        let plain = MODE == mode::SOLVE_PLAIN;
        let matrix = self.pass.shape.xor_sources;
        // SAFETY: as for `block`.
        unsafe {
            let mut solved = [[M::Vector::zero(); ROWS]; VECTORS];
            for v in 0..VECTORS {
                if !plain {
                    // As the coefficients add up to zero, row 0 can be spread over the others.
                    for row in 1..ROWS {
                        sums[v][row] = sums[v][row].add(sums[v][0]);
                    }
                }
            }
            for from in 0..ROWS {
                if from == 0 && !plain {
                    continue;
                }
                for v in 0..VECTORS {
                    let operand = M::operand(sums[v][from]);
                    for row in 1..ROWS {
                        let product = M::product(operand, self.multiplier(matrix + from, row));
                        solved[v][row] = solved[v][row].add(product);
                    }
                }
            }
            for v in 0..VECTORS {
                for row in 1..ROWS {
                    sums[v][row] = solved[v][row];
                    sums[v][0] = sums[v][0].add(solved[v][row]);
                }
            }
        }
    }

    /// Adds the folded rows to the first.
    #[inline(always)]
    unsafe fn fold<const VECTORS: usize>(&self, sums: &mut [[M::Vector; ROWS]; VECTORS]) {
        for row in 1..ROWS {
            if row < self.pass.shape.folded_rows {
                for sums in &mut *sums {
                    // SAFETY: the processor has the instructions.
                    sums[0] = unsafe { sums[0].add(sums[row]) };
                }
            }
        }
    }

    /// Writes the sums to the outputs.
    #[inline(always)]
    unsafe fn finish<const VECTORS: usize, const PART: bool>(
        &self,
        sums: &[[M::Vector; ROWS]; VECTORS],
        at: usize,
        bytes: usize,
    ) {
        for row in 0..ROWS {
            for (v, sums) in sums.iter().enumerate() {
                // SAFETY: as for `block`.
                unsafe {
                    let to = self.to[row].add(at + v * M::Vector::BYTES);
                    if PART {
                        sums[row].store_part(to, bytes);
                    } else {
                        sums[row].store(to);
                    }
                }
            }
        }
    }

    /// The vectors of source `j`.
    #[inline(always)]
    unsafe fn source<const VECTORS: usize, const PART: bool>(
        &self,
        j: usize,
        at: usize,
        bytes: usize,
    ) -> [M::Vector; VECTORS] {
        // SAFETY: as for `block`; `j` is below the number of sources.
        unsafe {
            let from = self
                .pass
                .sources
                .get_unchecked(j)
                .as_ptr()
                .add(self.pass.offset + at);
            let mut vectors = [M::Vector::zero(); VECTORS];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = read::<M::Vector, PART>(from.add(v * M::Vector::BYTES), bytes);
            }
            vectors
        }
    }

    /// What source `j` is multiplied by in a row.
    #[inline(always)]
    unsafe fn multiplier(&self, j: usize, row: usize) -> M::Multiplier {
        // SAFETY: there is a coefficient for each row of each source.
        unsafe { M::multiplier(self.coefficients.get_unchecked(j * ROWS + row)) }
    }
}

#[inline(always)]
unsafe fn read<V: Vector, const PART: bool>(from: *const u8, bytes: usize) -> V {
    // SAFETY: the bytes are there: a vector's, or fewer where `PART`.
    unsafe {
        if PART {
            V::load_part(from, bytes)
        } else {
            V::load(from)
        }
    }
}

#[inline(always)]
unsafe fn operands<M: Multiply, const VECTORS: usize>(
    vectors: [M::Vector; VECTORS],
) -> [M::Operand; VECTORS] {
    // SAFETY: the processor has the instructions.
    unsafe {
        let mut operands = [M::operand(M::Vector::zero()); VECTORS];
        for (operand, vector) in operands.iter_mut().zip(vectors) {
            *operand = M::operand(vector);
        }
        operands
    }
}
