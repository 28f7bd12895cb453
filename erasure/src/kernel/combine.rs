//! The loop that all vector levels share, written once over [`Lane`].
//!
//! Everything here is `inline(always)` into a function that enables the instructions, so that a
//! `Lane`'s methods become single instructions and the accumulators stay in registers: one for each
//! row and each of `UNROLL` vectors. Sources are taken two at a time where the lane has a
//! three-way XOR, so that one of these adds two products.

#![expect(unsafe_code, reason = "vector loads and stores through pointers")]
#![expect(clippy::inline_always, reason = "see above")]
#![expect(
    clippy::needless_range_loop,
    reason = "the loops run over several arrays at once"
)]

use super::{Pass, Start};

/// One vector of bytes, and the instructions on it.
///
/// # Safety
/// All methods may only be called where the processor has the lane's instructions.
pub(super) trait Lane: Copy {
    /// A constant to multiply by, as it lies in memory.
    type Coefficient;
    /// A constant to multiply by, in registers.
    type Multiplier: Copy;
    /// A source vector, made ready for multiplication.
    type Operand: Copy;
    /// Bytes in a vector.
    const BYTES: usize;

    /// All zeros.
    ///
    /// # Safety
    /// See [`Lane`].
    unsafe fn zero() -> Self;
    /// Reads a whole vector; any alignment.
    ///
    /// # Safety
    /// See [`Lane`]; `BYTES` bytes at `from` are readable.
    unsafe fn load(from: *const u8) -> Self;
    /// Reads the first `bytes` of a vector, the rest being zeros; touches nothing beyond.
    ///
    /// # Safety
    /// See [`Lane`]; `bytes < BYTES`, and as many at `from` are readable.
    unsafe fn load_part(from: *const u8, bytes: usize) -> Self;
    /// Writes a whole vector; any alignment.
    ///
    /// # Safety
    /// See [`Lane`]; `BYTES` bytes at `to` are writable.
    unsafe fn store(self, to: *mut u8);
    /// Writes the first `bytes` of the vector; touches nothing beyond.
    ///
    /// # Safety
    /// See [`Lane`]; `bytes < BYTES`, and as many at `to` are writable.
    unsafe fn store_part(self, to: *mut u8, bytes: usize);
    /// Fetches a constant.
    ///
    /// # Safety
    /// See [`Lane`].
    unsafe fn multiplier(coefficient: &Self::Coefficient) -> Self::Multiplier;
    /// Makes a vector ready for several multiplications.
    ///
    /// # Safety
    /// See [`Lane`].
    unsafe fn operand(self) -> Self::Operand;
    /// `operand` times `by`.
    ///
    /// # Safety
    /// See [`Lane`].
    unsafe fn product(operand: Self::Operand, by: Self::Multiplier) -> Self;
    /// Asks for the cache line at `to`, which will be written soon. `to` need not be valid.
    ///
    /// # Safety
    /// See [`Lane`].
    #[inline(always)]
    unsafe fn prefetch_for_write(_to: *mut u8) {}
    /// `self + a`.
    ///
    /// # Safety
    /// See [`Lane`].
    unsafe fn add(self, a: Self) -> Self;
    /// `self + a + b`.
    ///
    /// # Safety
    /// See [`Lane`].
    unsafe fn add_two(self, a: Self, b: Self) -> Self;
}

/// How far ahead of the stores the lines of the outputs are asked for. Stores that miss the level 1
/// cache would otherwise fetch their lines one after the other: with this, stripes that lie in
/// level 2 encode 8 to 12 % faster (Sapphire Rapids; 256 to 1024 bytes are alike).
const PREFETCH_BYTES: usize = 512;

/// A [`Start`] as a constant parameter.
pub(super) const ZERO: u8 = 0;
pub(super) const COPY: u8 = 1;
pub(super) const KEEP: u8 = 2;
pub(super) const SOLVE: u8 = 3;

/// Calls the loop that fits the number of rows and the shape of a pass.
macro_rules! select_loop {
    ($lane:ty, $pass:expr, $coefficients:expr, $length:expr, $outputs:expr,
     [$(($rows:literal, $unroll:literal)),+]) => {
        match ($outputs.len(), $pass.shape.xor_sources > 0, $pass.shape.start) {
            $(
                ($rows, _, Start::Solve { .. }) =>
                    combine::<$lane, $rows, $unroll, true, SOLVE>($pass, $coefficients, $length, $outputs),
                ($rows, false, Start::Zero) =>
                    combine::<$lane, $rows, $unroll, false, ZERO>($pass, $coefficients, $length, $outputs),
                ($rows, false, Start::Copy) =>
                    combine::<$lane, $rows, $unroll, false, COPY>($pass, $coefficients, $length, $outputs),
                ($rows, false, Start::Keep) =>
                    combine::<$lane, $rows, $unroll, false, KEEP>($pass, $coefficients, $length, $outputs),
                ($rows, true, Start::Zero) =>
                    combine::<$lane, $rows, $unroll, true, ZERO>($pass, $coefficients, $length, $outputs),
                ($rows, true, Start::Copy) =>
                    combine::<$lane, $rows, $unroll, true, COPY>($pass, $coefficients, $length, $outputs),
                ($rows, true, Start::Keep) =>
                    combine::<$lane, $rows, $unroll, true, KEEP>($pass, $coefficients, $length, $outputs),
            )+
            _ => unreachable!("a pass has at most {MAX_ROWS} rows"),
        }
    };
}
pub(super) use select_loop;

/// Computes a pass: whole vectors in steps of `UNROLL`, then one at a time, then the tail.
///
/// # Safety
/// The processor has the lane's instructions. The pass was checked by [`Pass::run`]: there are
/// `ROWS` outputs of `length` bytes, each source has `length` bytes from the pass's offset on, and
/// there is a coefficient for each row of each source. Of `START` and the pass's start, and `XOR`
/// and its `xor_sources`, each says what the other says.
#[inline(always)]
pub(super) unsafe fn combine<
    L: Lane,
    const ROWS: usize,
    const UNROLL: usize,
    const XOR: bool,
    const START: u8,
>(
    pass: &Pass<'_>,
    coefficients: &[L::Coefficient],
    length: usize,
    outputs: &mut [&mut [u8]],
) {
    let mut to = [std::ptr::null_mut(); ROWS];
    for (to, output) in to.iter_mut().zip(outputs) {
        *to = output.as_mut_ptr();
    }
    let columns = Columns::<L, ROWS, XOR, START> {
        pass,
        coefficients,
        to,
    };
    let mut at = 0;
    // SAFETY: the blocks lie within `0..length`; everything else is promised by the caller.
    unsafe {
        while length - at >= UNROLL * L::BYTES {
            if at + PREFETCH_BYTES < length {
                columns.prefetch::<UNROLL>(at + PREFETCH_BYTES);
            }
            columns.block::<UNROLL, false>(at, L::BYTES);
            at += UNROLL * L::BYTES;
        }
        while length - at >= L::BYTES {
            columns.block::<1, false>(at, L::BYTES);
            at += L::BYTES;
        }
        if at < length {
            columns.block::<1, true>(at, length - at);
        }
    }
}

/// The arguments of [`combine`], with the outputs as pointers.
struct Columns<'a, L: Lane, const ROWS: usize, const XOR: bool, const START: u8> {
    pass: &'a Pass<'a>,
    coefficients: &'a [L::Coefficient],
    to: [*mut u8; ROWS],
}

impl<L: Lane, const ROWS: usize, const XOR: bool, const START: u8>
    Columns<'_, L, ROWS, XOR, START>
{
    /// Computes `VECTORS` vectors of every row from byte `at` on, or, where `PART`, the first
    /// `bytes` of one vector.
    ///
    /// # Safety
    /// As for [`combine`]; the bytes lie within the outputs.
    #[inline(always)]
    unsafe fn block<const VECTORS: usize, const PART: bool>(&self, at: usize, bytes: usize) {
        let source_count = self.pass.sources.len();
        let xor_sources = if XOR {
            self.pass.shape.xor_sources
        } else {
            source_count
        };
        // SAFETY: all indices below are below the counts that the caller vouches for.
        unsafe {
            let mut sums = [[L::zero(); ROWS]; VECTORS];
            let mut j = self.start::<VECTORS, PART>(&mut sums, at, bytes);
            while j + 2 <= xor_sources {
                self.add_pair::<VECTORS, PART, XOR>(&mut sums, j, at, bytes);
                j += 2;
            }
            if j < xor_sources {
                self.add_one::<VECTORS, PART, XOR>(&mut sums, j, at, bytes);
                j += 1;
            }
            if START == SOLVE {
                self.solve(&mut sums);
            } else if XOR {
                while j < source_count {
                    self.add_one_below::<VECTORS, PART>(&mut sums, j, at, bytes);
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
                unsafe { L::prefetch_for_write(to.wrapping_add(at + v * L::BYTES)) };
            }
        }
    }

    /// Sets the sums to what they start from, and says which source comes next.
    #[inline(always)]
    unsafe fn start<const VECTORS: usize, const PART: bool>(
        &self,
        sums: &mut [[L; ROWS]; VECTORS],
        at: usize,
        bytes: usize,
    ) -> usize {
        // SAFETY: as for `block`.
        unsafe {
            if START == KEEP {
                for row in 0..ROWS {
                    for (v, sums) in sums.iter_mut().enumerate() {
                        sums[row] = read::<L, PART>(self.to[row].add(at + v * L::BYTES), bytes);
                    }
                }
                return 0;
            }
            if START == SOLVE {
                return self.start_solving::<VECTORS, PART>(sums, at, bytes);
            }
            if START == COPY {
                let source = self.source::<VECTORS, PART>(0, at, bytes);
                for (sums, source) in sums.iter_mut().zip(source) {
                    *sums = [source; ROWS];
                }
                return 1;
            }
        }
        0
    }

    /// Adds sources `j` and `j + 1` to all rows.
    #[inline(always)]
    unsafe fn add_pair<const VECTORS: usize, const PART: bool, const FIRST_PLAIN: bool>(
        &self,
        sums: &mut [[L; ROWS]; VECTORS],
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
            let (a, b) = (operands(a), operands(b));
            for row in usize::from(FIRST_PLAIN)..ROWS {
                let (by_a, by_b) = (self.multiplier(j, row), self.multiplier(j + 1, row));
                for v in 0..VECTORS {
                    let (a, b) = (L::product(a[v], by_a), L::product(b[v], by_b));
                    sums[v][row] = sums[v][row].add_two(a, b);
                }
            }
        }
    }

    /// Adds source `j` to all rows.
    #[inline(always)]
    unsafe fn add_one<const VECTORS: usize, const PART: bool, const FIRST_PLAIN: bool>(
        &self,
        sums: &mut [[L; ROWS]; VECTORS],
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

    /// Adds source `j` to all rows but the first.
    #[inline(always)]
    unsafe fn add_one_below<const VECTORS: usize, const PART: bool>(
        &self,
        sums: &mut [[L; ROWS]; VECTORS],
        j: usize,
        at: usize,
        bytes: usize,
    ) {
        // SAFETY: as for `block`.
        unsafe { self.add_products::<VECTORS, PART>(sums, j, 1, at, bytes) }
    }

    /// Adds the products of source `j` to rows `first_row..`.
    #[inline(always)]
    unsafe fn add_products<const VECTORS: usize, const PART: bool>(
        &self,
        sums: &mut [[L; ROWS]; VECTORS],
        j: usize,
        first_row: usize,
        at: usize,
        bytes: usize,
    ) {
        // SAFETY: as for `block`.
        unsafe {
            let source = operands(self.source::<VECTORS, PART>(j, at, bytes));
            for row in first_row..ROWS {
                let by = self.multiplier(j, row);
                for v in 0..VECTORS {
                    sums[v][row] = sums[v][row].add(L::product(source[v], by));
                }
            }
        }
    }

    /// Whether source 0 has only ones, when solving.
    #[inline(always)]
    fn plain_first_source(&self) -> bool {
        matches!(
            self.pass.shape.start,
            Start::Solve {
                plain_first_source: true
            }
        )
    }

    /// Sets each sum to its own one of the last sources, and adds the first one if it is plain.
    #[inline(always)]
    unsafe fn start_solving<const VECTORS: usize, const PART: bool>(
        &self,
        sums: &mut [[L; ROWS]; VECTORS],
        at: usize,
        bytes: usize,
    ) -> usize {
        // SAFETY: as for `block`; there are `ROWS` sources after the first `xor_sources`.
        unsafe {
            for row in 0..ROWS {
                let own = self.pass.shape.xor_sources + row;
                let own = self.source::<VECTORS, PART>(own, at, bytes);
                for v in 0..VECTORS {
                    sums[v][row] = own[v];
                }
            }
            if !self.plain_first_source() {
                return 0;
            }
            let source = self.source::<VECTORS, PART>(0, at, bytes);
            for v in 0..VECTORS {
                for row in 0..ROWS {
                    sums[v][row] = sums[v][row].add(source[v]);
                }
            }
        }
        1
    }

    /// The second step of [`Start::Solve`].
    #[inline(always)]
    unsafe fn solve<const VECTORS: usize>(&self, sums: &mut [[L; ROWS]; VECTORS]) {
        let plain = self.plain_first_source();
        let matrix = self.pass.shape.xor_sources;
        // SAFETY: as for `block`.
        unsafe {
            let mut solved = [[L::zero(); ROWS]; VECTORS];
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
                    let operand = sums[v][from].operand();
                    for row in 1..ROWS {
                        let product = L::product(operand, self.multiplier(matrix + from, row));
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
    unsafe fn fold<const VECTORS: usize>(&self, sums: &mut [[L; ROWS]; VECTORS]) {
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
        sums: &[[L; ROWS]; VECTORS],
        at: usize,
        bytes: usize,
    ) {
        for row in 0..ROWS {
            for (v, sums) in sums.iter().enumerate() {
                // SAFETY: as for `block`.
                unsafe {
                    let to = self.to[row].add(at + v * L::BYTES);
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
    ) -> [L; VECTORS] {
        // SAFETY: as for `block`; `j` is below the number of sources.
        unsafe {
            let from = self
                .pass
                .sources
                .get_unchecked(j)
                .as_ptr()
                .add(self.pass.offset + at);
            let mut vectors = [L::zero(); VECTORS];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = read::<L, PART>(from.add(v * L::BYTES), bytes);
            }
            vectors
        }
    }

    /// What source `j` is multiplied by in a row.
    #[inline(always)]
    unsafe fn multiplier(&self, j: usize, row: usize) -> L::Multiplier {
        // SAFETY: there is a coefficient for each row of each source.
        unsafe { L::multiplier(self.coefficients.get_unchecked(j * ROWS + row)) }
    }
}

#[inline(always)]
unsafe fn read<L: Lane, const PART: bool>(from: *const u8, bytes: usize) -> L {
    // SAFETY: the bytes are there: a vector's, or fewer where `PART`.
    unsafe {
        if PART {
            L::load_part(from, bytes)
        } else {
            L::load(from)
        }
    }
}

#[inline(always)]
unsafe fn operands<L: Lane, const VECTORS: usize>(vectors: [L; VECTORS]) -> [L::Operand; VECTORS] {
    // SAFETY: the processor has the instructions.
    unsafe {
        let mut operands = [L::zero().operand(); VECTORS];
        for (operand, vector) in operands.iter_mut().zip(vectors) {
            *operand = vector.operand();
        }
        operands
    }
}
