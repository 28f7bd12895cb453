//! The part of ISA-L's C interface that is compared. `isal-sys` builds the library, but has no
//! declarations of the erasure code functions.

use std::ffi::c_int;

// Links the library.
use isal_sys as _;

unsafe extern "C" {
    fn gf_gen_cauchy1_matrix(matrix: *mut u8, rows: c_int, columns: c_int);
    fn gf_invert_matrix(matrix: *mut u8, inverse: *mut u8, size: c_int) -> c_int;
    fn ec_init_tables(columns: c_int, rows: c_int, matrix: *mut u8, tables: *mut u8);
    fn ec_encode_data(
        length: c_int,
        columns: c_int,
        rows: c_int,
        tables: *mut u8,
        sources: *mut *mut u8,
        outputs: *mut *mut u8,
    );
}

/// Rows of coefficients, expanded into ISA-L's tables.
pub struct Tables {
    columns: usize,
    rows: usize,
    tables: Vec<u8>,
}

impl Tables {
    fn new(columns: usize, mut matrix: Vec<u8>) -> Self {
        let rows = matrix.len() / columns;
        let mut tables = vec![0; 32 * columns * rows];
        // SAFETY: both buffers have the sizes that ISA-L documents.
        unsafe {
            ec_init_tables(
                int(columns),
                int(rows),
                matrix.as_mut_ptr(),
                tables.as_mut_ptr(),
            )
        };
        Self {
            columns,
            rows,
            tables,
        }
    }

    /// Encodes `k+m` with ISA-L's Cauchy matrix.
    pub fn encoding(k: usize, m: usize) -> Self {
        Self::new(k, generator(k, m).split_off(k * k))
    }

    /// Rebuilds the first `lost` data shards from the other data shards and the first parity
    /// shards, with ISA-L's Cauchy matrix.
    pub fn rebuilding(k: usize, m: usize, lost: usize) -> Self {
        let generator = generator(k, m);
        let mut sources = generator[lost * k..][..k * k].to_vec();
        let mut inverse = vec![0; k * k];
        // SAFETY: both matrices are k by k.
        let failed =
            unsafe { gf_invert_matrix(sources.as_mut_ptr(), inverse.as_mut_ptr(), int(k)) };
        assert_eq!(failed, 0, "singular");
        inverse.truncate(lost * k);
        Self::new(k, inverse)
    }

    /// Runs the library's dispatched kernel.
    pub fn run(&mut self, sources: &[&[u8]], outputs: &mut [&mut [u8]]) {
        assert!(sources.len() == self.columns && outputs.len() == self.rows);
        let length = outputs[0].len();
        assert!(sources.iter().all(|source| source.len() == length));
        assert!(outputs.iter().all(|output| output.len() == length));
        let mut from = [std::ptr::null_mut(); 32];
        let mut to = [std::ptr::null_mut(); 32];
        for (from, source) in from.iter_mut().zip(sources) {
            *from = source.as_ptr().cast_mut();
        }
        for (to, output) in to.iter_mut().zip(outputs) {
            *to = output.as_mut_ptr();
        }
        // SAFETY: as many pointers to `length` bytes as the tables say; sources are only read.
        unsafe {
            ec_encode_data(
                int(length),
                int(self.columns),
                int(self.rows),
                self.tables.as_mut_ptr(),
                from.as_mut_ptr(),
                to.as_mut_ptr(),
            );
        }
    }
}

fn generator(k: usize, m: usize) -> Vec<u8> {
    let mut matrix = vec![0; (k + m) * k];
    // SAFETY: the matrix has k + m rows of k columns.
    unsafe { gf_gen_cauchy1_matrix(matrix.as_mut_ptr(), int(k + m), int(k)) };
    matrix
}

fn int(number: usize) -> c_int {
    number.try_into().expect("a small number")
}
