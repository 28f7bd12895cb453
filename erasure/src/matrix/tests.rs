use super::*;
use crate::gf256::tests::bitwise_mul;

fn profile(data: usize, parity: usize) -> Profile {
    Profile::new(u8::try_from(data).unwrap(), u8::try_from(parity).unwrap()).unwrap()
}

fn rows(profile: Profile) -> Vec<Vec<u8>> {
    let row = |r| {
        (0..profile.data())
            .map(|j| parity_coefficient(profile, r, j))
            .collect()
    };
    (0..profile.parity()).map(row).collect()
}

fn hex_rows(text: &str) -> String {
    let rows = rows(text.parse().unwrap());
    let hex = |row: &[u8]| {
        row.iter()
            .fold(String::new(), |hex, cell| hex + &format!("{cell:02x}"))
    };
    rows.iter()
        .map(|row| hex(row))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Frozen for ever: stripes on disk depend on it. A change needs a new `MATRIX_ID` beside this one.
#[test]
fn common_profiles_have_the_frozen_matrix() {
    assert_eq!(MATRIX_ID, 1);
    assert_eq!(crate::FIELD_POLYNOMIAL, 0x11d);
    assert_eq!(hex_rows("4+2"), "01010101 01468fc8");
    assert_eq!(hex_rows("6+3"), "010101010101 01e197ac52c8 017bf58ff48e");
}

#[test]
fn first_row_and_first_column_are_ones_in_every_profile() {
    for data in 1..=255 {
        for parity in 0..=255 - data {
            let profile = profile(data, parity);
            assert!((0..data).all(|j| parity == 0 || parity_coefficient(profile, 0, j) == 1));
            assert!((0..parity).all(|r| parity_coefficient(profile, r, 0) == 1));
        }
    }
}

/// The construction by column operations on an extended Vandermonde matrix, as Jerasure does it:
/// the closed form must agree with it.
fn by_elimination(profile: Profile) -> Vec<Vec<u8>> {
    let (k, n) = (profile.data(), profile.total());
    let power = |base: u8, exponent: usize| (0..exponent).fold(1, |p, _| bitwise_mul(p, base));
    let row = |r: usize| (0..k).map(|j| power(u8::try_from(r).unwrap(), j)).collect();
    let mut matrix: Vec<Vec<u8>> = (0..n).map(row).collect();
    if profile.parity() > 0 {
        matrix[n - 1] = (0..k).map(|j| u8::from(j + 1 == k)).collect();
    }
    for pivot in 0..k {
        let scale = inverse(matrix[pivot][pivot]);
        scale_column(&mut matrix, pivot, scale);
        for column in (0..k).filter(|&column| column != pivot) {
            let factor = matrix[pivot][column];
            for row in &mut matrix {
                row[column] ^= mul(factor, row[pivot]);
            }
        }
    }
    normalised(matrix.split_off(k))
}

/// Scales columns, then rows, so that the first row and the first column are ones.
fn normalised(mut parity: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    for column in 0..parity.first().map_or(0, Vec::len) {
        let scale = inverse(parity[0][column]);
        scale_column(&mut parity, column, scale);
    }
    for row in &mut parity {
        let scale = inverse(row[0]);
        for cell in row {
            *cell = mul(*cell, scale);
        }
    }
    parity
}

fn scale_column(matrix: &mut [Vec<u8>], column: usize, scale: u8) {
    for row in matrix {
        row[column] = mul(row[column], scale);
    }
}

#[test]
fn closed_form_equals_elimination_of_the_extended_vandermonde_matrix() {
    for (data, parity) in (1..=20).flat_map(|k| (0..=20 - k.min(20)).map(move |m| (k, m))) {
        let profile = profile(data, parity);
        assert_eq!(rows(profile), by_elimination(profile), "{profile}");
    }
    for (data, parity) in [(100, 20), (20, 100), (200, 55), (251, 4), (2, 253)] {
        let profile = profile(data, parity);
        assert_eq!(rows(profile), by_elimination(profile), "{profile}");
    }
}

fn members(set: u32) -> Vec<usize> {
    (0..32).filter(|index| (set >> index) & 1 == 1).collect()
}

/// A code is maximum distance separable exactly if every square part of its parity matrix has an
/// inverse: a part's columns are the lost data shards, its rows the parity shards that replace them.
#[test]
fn every_square_part_has_an_inverse_for_up_to_22_shards() {
    for total in 2..=22 {
        for parity in 1..total {
            let matrix = rows(profile(total - parity, parity));
            for row_set in 1..1u32 << parity {
                let chosen: Vec<&[u8]> = members(row_set).iter().map(|&r| &*matrix[r]).collect();
                assert_parts_have_inverses(&chosen, total - parity);
            }
        }
    }
}

/// Tries every choice of as many columns as there are rows.
fn assert_parts_have_inverses(rows: &[&[u8]], column_count: usize) {
    let has_inverse = |columns: &[usize]| {
        let part = Square::from_fn(rows.len(), |row, column| rows[row][columns[column]]);
        part.inverted().is_some()
    };
    for column_set in 1..1u32 << column_count {
        if column_set.count_ones() as usize == rows.len() {
            let columns = members(column_set);
            assert!(has_inverse(&columns), "columns {columns:?} of {rows:?}");
        }
    }
}

/// The proof for every profile there is. A matrix whose cells are `a(r) b(j) / (x(r) + y(j))`, with
/// no `a` or `b` zero and all of `x` and `y` different, is a Cauchy matrix with scaled rows and
/// columns, and every square part of it has an inverse; so it is if one `x` is infinite, where the
/// cells are `a(r) b(j)`. With `y(j) = j` and `x(r) = k + r`, the last one infinite: the cells times
/// `x(r) + y(j)` must be products of a row's and a column's number.
#[test]
fn every_profile_has_a_scaled_cauchy_matrix() {
    for total in 2..=255 {
        for parity in 1..total {
            let profile = profile(total - parity, parity);
            let scales: Vec<Vec<u8>> = rows(profile)
                .iter()
                .enumerate()
                .map(|(r, row)| without_distances(profile, r, row))
                .collect();
            for row in &scales {
                // A multiple of the first row, by a number other than zero.
                let factor = div(row[0], scales[0][0]);
                let is_multiple = |(&a, &b): (&u8, &u8)| a != 0 && a == mul(factor, b);
                assert!(row.iter().zip(&scales[0]).all(is_multiple), "{profile}");
            }
        }
    }
}

/// The cells of row `r`, each times the distance of its points.
fn without_distances(profile: Profile, r: usize, row: &[u8]) -> Vec<u8> {
    if r > 0 && r + 1 == profile.parity() {
        return row.to_vec();
    }
    let x = point(profile.data() + r);
    row.iter()
        .enumerate()
        .map(|(j, &cell)| mul(cell, x ^ point(j)))
        .collect()
}

#[test]
fn an_inverse_times_the_matrix_is_one_and_a_singular_matrix_has_none() {
    let cells = Square::from_fn(3, |row, column| {
        parity_coefficient(profile(6, 3), row, column)
    });
    let inverse = cells.clone().inverted().unwrap();
    for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
        let cell = (0..3).fold(0, |sum, x| sum ^ mul(inverse.row(i)[x], cells.row(x)[j]));
        assert_eq!(cell, u8::from(i == j));
    }
    assert!(
        Square::from_fn(2, |_, column| [3, 5][column])
            .inverted()
            .is_none()
    );
}
