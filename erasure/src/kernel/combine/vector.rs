//! What an instruction set brings to the loops of [`combine`](super::combine): vectors, and a way to
//! multiply them by constants.
//!
//! All methods are `inline(always)` in the implementations, so that they become single instructions
//! within a function that enables these.

#![expect(unsafe_code, reason = "vector loads and stores through pointers")]
#![expect(clippy::inline_always, reason = "see above")]

/// Bytes in the longest vector there is.
pub(in crate::kernel) const MOST_BYTES: usize = 64;

/// One vector of bytes, and the instructions on it. Where there are no byte masks, a part of a
/// vector goes by way of the stack.
///
/// # Safety
/// All methods may only be called where the processor has the vector's instructions.
pub(in crate::kernel) trait Vector: Copy {
    /// Bytes in a vector, at most [`MOST_BYTES`].
    const BYTES: usize;

    /// All zeros.
    ///
    /// # Safety
    /// See [`Vector`].
    unsafe fn zero() -> Self;
    /// Reads a whole vector; any alignment.
    ///
    /// # Safety
    /// See [`Vector`]; `BYTES` bytes at `from` are readable.
    unsafe fn load(from: *const u8) -> Self;
    /// Reads the first `bytes` of a vector, the rest being zeros; touches nothing beyond.
    ///
    /// # Safety
    /// See [`Vector`]; `1 <= bytes <= BYTES`, and as many at `from` are readable.
    #[inline(always)]
    unsafe fn load_part(from: *const u8, bytes: usize) -> Self {
        let mut buffer = [0; MOST_BYTES];
        // SAFETY: `bytes` are readable there and fit here; the buffer is as long as any vector.
        unsafe {
            std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), bytes);
            Self::load(buffer.as_ptr())
        }
    }
    /// Writes a whole vector; any alignment.
    ///
    /// # Safety
    /// See [`Vector`]; `BYTES` bytes at `to` are writable.
    unsafe fn store(self, to: *mut u8);
    /// Writes the first `bytes` of the vector; touches nothing beyond.
    ///
    /// # Safety
    /// See [`Vector`]; `1 <= bytes <= BYTES`, and as many at `to` are writable.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, bytes: usize) {
        let mut buffer = [0; MOST_BYTES];
        // SAFETY: the buffer is as long as any vector; `bytes` are writable there.
        unsafe {
            self.store(buffer.as_mut_ptr());
            std::ptr::copy_nonoverlapping(buffer.as_ptr(), to, bytes);
        }
    }
    /// `self + a`.
    ///
    /// # Safety
    /// See [`Vector`].
    unsafe fn add(self, a: Self) -> Self;
    /// `self + a + b`.
    ///
    /// # Safety
    /// See [`Vector`].
    #[inline(always)]
    unsafe fn add_two(self, a: Self, b: Self) -> Self {
        // SAFETY: promised by the caller.
        unsafe { self.add(a.add(b)) }
    }
    /// Asks for the cache line at `to`, which will be written soon. `to` need not be valid.
    ///
    /// # Safety
    /// See [`Vector`].
    #[inline(always)]
    unsafe fn prefetch_for_write(_to: *mut u8) {}
}

/// A way to multiply vectors by constants.
///
/// # Safety
/// All methods may only be called where the processor has the instructions.
pub(in crate::kernel) trait Multiply {
    /// What is multiplied.
    type Vector: Vector;
    /// A constant to multiply by, as it lies in memory.
    type Coefficient;
    /// A constant to multiply by, in registers.
    type Multiplier: Copy;
    /// A vector, made ready for several multiplications.
    type Operand: Copy;

    /// Fetches a constant.
    ///
    /// # Safety
    /// See [`Multiply`].
    unsafe fn multiplier(coefficient: &Self::Coefficient) -> Self::Multiplier;
    /// Makes a vector ready for several multiplications.
    ///
    /// # Safety
    /// See [`Multiply`].
    unsafe fn operand(vector: Self::Vector) -> Self::Operand;
    /// `operand` times `by`.
    ///
    /// # Safety
    /// See [`Multiply`].
    unsafe fn product(operand: Self::Operand, by: Self::Multiplier) -> Self::Vector;
}

/// Defines the function that computes a pass at a level: it checks that the processor has the
/// level's instructions, then runs the loop that fits the number of rows and the shape of the pass,
/// compiled for these instructions. `rows` pairs each number of rows with how many vectors of each
/// are computed at once.
macro_rules! define_kernel {
    ($name:ident($coefficient:ty), $level:expr, $features:literal, $multiply:ty,
     rows: [$(($rows:literal, $unroll:literal)),+]) => {
        #[doc = concat!("Computes a pass with ", $features, ".\n\n# Panics\nIf the processor does not have it.")]
        pub(in crate::kernel) fn $name(
            pass: &$crate::kernel::Pass<'_>,
            coefficients: &[$coefficient],
            length: usize,
            outputs: &mut [&mut [u8]],
        ) {
            use $crate::kernel::combine::{combine, mode, mode_of};

            /// # Safety
            /// The processor has the instructions; the pass was checked by `Pass::run`.
            #[target_feature(enable = $features)]
            unsafe fn loops(
                pass: &$crate::kernel::Pass<'_>,
                coefficients: &[$coefficient],
                length: usize,
                outputs: &mut [&mut [u8]],
            ) {
                // SAFETY: promised by the caller.
                unsafe {
                    match (outputs.len(), mode_of(pass)) {
                        $(
                            ($rows, mode::PRODUCTS) => combine::<$multiply, $rows, $unroll, { mode::PRODUCTS }>(
                                pass, coefficients, length, outputs),
                            ($rows, mode::XOR) => combine::<$multiply, $rows, $unroll, { mode::XOR }>(
                                pass, coefficients, length, outputs),
                            ($rows, mode::XOR_COPY) => combine::<$multiply, $rows, $unroll, { mode::XOR_COPY }>(
                                pass, coefficients, length, outputs),
                            ($rows, mode::SOLVE_PLAIN) => combine::<$multiply, $rows, $unroll, { mode::SOLVE_PLAIN }>(
                                pass, coefficients, length, outputs),
                            ($rows, mode::SOLVE_SPREAD) => combine::<$multiply, $rows, $unroll, { mode::SOLVE_SPREAD }>(
                                pass, coefficients, length, outputs),
                        )+
                        _ => unreachable!("more rows than registers"),
                    }
                }
            }

            assert!($level.is_available(), "no {}", $level);
            // SAFETY: the processor has the instructions; `Pass::run` has checked the pass.
            unsafe { loops(pass, coefficients, length, outputs) }
        }
    };
}
pub(in crate::kernel) use define_kernel;
