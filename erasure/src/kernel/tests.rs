use super::*;
use crate::gf256::tests::bitwise_mul;

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

fn run(level: Level, shape: Shape, coefficients: &[u8], source: &[&[u8]], rows: &mut [Vec<u8>]) {
    let prepared = Prepared::new(level, coefficients.iter().copied());
    let coefficients = prepared.as_coefficients();
    let pass = Pass {
        shape,
        coefficients,
        sources: source,
        offset: 0,
    };
    let mut rows: Vec<&mut [u8]> = rows.iter_mut().map(Vec::as_mut_slice).collect();
    pass.run(level, &mut rows);
}

#[test]
fn every_level_gives_every_product() {
    let bytes: Vec<u8> = (0..=255).collect();
    let shape = Shape {
        start: Start::Zero,
        xor_sources: 0,
        folded_rows: 0,
    };
    for level in levels() {
        for factor in 0..=255 {
            let mut row = [vec![0xaa; 256]];
            run(level, shape, &[factor], &[&bytes], &mut row);
            let expected: Vec<u8> = bytes
                .iter()
                .map(|&byte| bitwise_mul(factor, byte))
                .collect();
            assert_eq!(row[0], expected, "{level} times {factor}");
        }
    }
}

/// The definition of a pass for one byte column.
fn expected(shape: Shape, coefficients: &[u8], column: &[u8], before: &[u8]) -> Vec<u8> {
    let rows = before.len();
    let keep = |byte: &u8| if shape.start == Start::Keep { *byte } else { 0 };
    let mut sums: Vec<u8> = before.iter().map(keep).collect();
    for (j, &byte) in column.iter().enumerate() {
        for row in 0..rows {
            sums[row] ^= match (row, shape.xor_sources) {
                (0, 1..) if j < shape.xor_sources => byte,
                (0, 1..) => 0,
                _ => bitwise_mul(coefficients[j * rows + row], byte),
            };
        }
    }
    sums[0] = (1..shape.folded_rows).fold(sums[0], |sum, row| sum ^ sums[row]);
    sums
}

/// Every loop there is: each number of rows, start and shape, with odd and even source counts.
#[test]
fn every_loop_of_every_level_equals_the_definition() {
    for level in levels() {
        for rows in 1..=max_rows(level) {
            for sources in 1..=5 {
                for shape in shapes(rows, sources) {
                    check_loop(level, rows, sources, shape);
                }
            }
        }
    }
}

fn shapes(rows: usize, sources: usize) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for start in [Start::Zero, Start::Copy, Start::Keep] {
        shapes.push(Shape {
            start,
            xor_sources: 0,
            folded_rows: 0,
        });
        for xor_sources in 1..=sources {
            let folds = (0..=rows).map(|folded_rows| Shape {
                start,
                xor_sources,
                folded_rows,
            });
            shapes.extend(folds);
        }
    }
    shapes
}

fn check_loop(level: Level, rows: usize, sources: usize, shape: Shape) {
    let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0];
    let mut coefficients: Vec<u8> = (0..rows * sources).map(|i| byte(i + 7)).collect();
    if shape.start == Start::Copy {
        coefficients[..rows].fill(1);
    }
    for length in [0, 1, 15, 64, 193, 321] {
        let shard = |j: usize| {
            (0..length)
                .map(|i| byte(i * 31 + j + 1))
                .collect::<Vec<u8>>()
        };
        let data: Vec<Vec<u8>> = (0..sources).map(shard).collect();
        let before: Vec<Vec<u8>> = (0..rows).map(|row| shard(100 + row)).collect();
        let mut outputs = before.clone();
        let slices: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        run(level, shape, &coefficients, &slices, &mut outputs);
        for i in 0..length {
            let column = |shards: &[Vec<u8>]| shards.iter().map(|s| s[i]).collect::<Vec<u8>>();
            let expected = expected(shape, &coefficients, &column(&data), &column(&before));
            assert_eq!(
                column(&outputs),
                expected,
                "{level} {shape:?} {rows} rows, byte {i}"
            );
        }
    }
}

#[test]
#[should_panic(expected = "short source")]
fn a_source_that_is_too_short_is_caught_before_any_access() {
    let shape = Shape {
        start: Start::Zero,
        xor_sources: 0,
        folded_rows: 0,
    };
    run(Level::detect(), shape, &[3], &[&[0; 9]], &mut [vec![0; 10]]);
}
