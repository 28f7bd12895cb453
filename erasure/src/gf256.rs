//! The field GF(2^8): bytes, with XOR as addition and polynomial multiplication modulo
//! [`FIELD_POLYNOMIAL`]. Also the two forms of "multiply by a constant" that vector units take.

/// The polynomial that defines the field: x^8 + x^4 + x^3 + x^2 + 1.
pub const FIELD_POLYNOMIAL: u16 = 0x11d;

/// Powers of the generator 2, twice over, so that a sum of two logarithms needs no reduction.
static EXP: [u8; 510] = power_table();
/// Logarithms to base 2; the entry for 0 means nothing.
static LOG: [u8; 256] = logarithm_table();

/// `a * b`.
pub(crate) fn mul(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    EXP[usize::from(LOG[usize::from(a)]) + usize::from(LOG[usize::from(b)])]
}

/// `1 / a`. The caller makes sure that `a` is not zero (which would give 1 here).
pub(crate) fn inverse(a: u8) -> u8 {
    debug_assert_ne!(a, 0, "zero has no inverse");
    EXP[255 - usize::from(LOG[usize::from(a)])]
}

/// `a / b`, for `b` other than zero.
pub(crate) fn div(a: u8, b: u8) -> u8 {
    mul(a, inverse(b))
}

/// Multiplication by `c` as the 8 by 8 bit matrix that `gf2p8affineqb` takes: byte `7 - i` holds
/// the row that makes bit `i` of the product.
pub(crate) fn affine_matrix(c: u8) -> u64 {
    let mut rows = [0u8; 8];
    for bit in 0..8 {
        let column = mul(c, 1 << bit);
        for (i, row) in rows.iter_mut().enumerate() {
            *row |= ((column >> i) & 1) << bit;
        }
    }
    u64::from_be_bytes(rows)
}

/// Products of `c` with every low nibble (first 16 bytes) and every high nibble (last 16).
pub(crate) type SplitTable = [u8; 32];

/// The [`SplitTable`] of `c`.
pub(crate) fn split_table(c: u8) -> SplitTable {
    let mut table = [0; 32];
    for nibble in 0..16u8 {
        table[usize::from(nibble)] = mul(c, nibble);
        table[usize::from(nibble) + 16] = mul(c, nibble << 4);
    }
    table
}

/// Doubles `a`, without tables.
const fn double(a: u8) -> u8 {
    const REDUCTION: u8 = FIELD_POLYNOMIAL.to_le_bytes()[0];
    (a << 1) ^ if a & 0x80 == 0 { 0 } else { REDUCTION }
}

const fn power_table() -> [u8; 510] {
    let mut table = [0; 510];
    let mut power = 1u8;
    let mut exponent = 0;
    while exponent < table.len() {
        table[exponent] = power;
        power = double(power);
        exponent += 1;
    }
    table
}

const fn logarithm_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut power = 1u8;
    let mut exponent = 0u8;
    while exponent < 255 {
        table[power as usize] = exponent;
        power = double(power);
        exponent += 1;
    }
    table
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The definition of multiplication, bit by bit, without tables: the reference for all tests.
    pub(crate) fn bitwise_mul(a: u8, b: u8) -> u8 {
        let mut product = 0u16;
        for bit in 0..8 {
            if (b >> bit) & 1 == 1 {
                product ^= u16::from(a) << bit;
            }
        }
        for bit in (8..16).rev() {
            if (product >> bit) & 1 == 1 {
                product ^= FIELD_POLYNOMIAL << (bit - 8);
            }
        }
        product.to_le_bytes()[0]
    }

    /// What `gf2p8affineqb` does to one byte.
    fn apply_affine(matrix: u64, x: u8) -> u8 {
        let rows = matrix.to_be_bytes();
        let odd = |row: u8| u8::from((row & x).count_ones() % 2 == 1);
        (0..8).fold(0, |sum, i| sum | (odd(rows[i]) << i))
    }

    #[test]
    fn every_product_equals_the_bitwise_definition() {
        for a in 0..=255 {
            for b in 0..=255 {
                let expected = bitwise_mul(a, b);
                let table = split_table(a);
                let split = table[usize::from(b & 15)] ^ table[16 + usize::from(b >> 4)];
                assert_eq!(mul(a, b), expected, "{a} * {b}");
                assert_eq!(split, expected, "split {a} * {b}");
                assert_eq!(
                    apply_affine(affine_matrix(a), b),
                    expected,
                    "affine {a} * {b}"
                );
            }
        }
    }

    #[test]
    fn every_inverse_multiplies_to_one() {
        for a in 1..=255 {
            assert_eq!(bitwise_mul(a, inverse(a)), 1);
            assert_eq!(div(a, a), 1);
        }
    }
}
