//! Rebuilding lost shards.
//!
//! Let `L` be the data shards that are not among the sources, and `P` the parity shards that are:
//! there are as many of one as of the other. With the parity matrix `c`, each parity source gives
//! an equation for the lost data, `sum over L of c(p, l) d(l) = p + sum over other data of
//! c(p, j) d(j)`. The square matrix `c(P, L)` is inverted; lost data is then a combination of
//! sources, and lost parity a combination of data. Where all
//! lost data is wanted and the XOR parity is a source, the kernel forms the right sides of the
//! equations first and then multiplies these by the inverse, with no more products than encoding
//! takes ([`Method::Solve`]). Else, one of the rows can often be had without products
//! ([`XorRelation`]).

use crate::error::check_lengths;
use crate::matrix::{Square, parity_coefficient};
use crate::program::{Method, Program, Row};
use crate::progressive::ShardSet;
use crate::{Error, Level, Profile};

/// How to rebuild certain shards from certain others, ready to run on any number of stripes and on
/// any sub-range of the shards.
#[derive(Clone, Debug)]
pub struct Plan {
    sources: Box<[u8]>,
    targets: Box<[u8]>,
    program: Program,
}

impl Plan {
    pub(crate) fn new(
        profile: Profile,
        level: Level,
        present: &[u8],
        want: &[u8],
    ) -> Result<Self, Error> {
        check_indices(profile, present, want)?;
        let mut sources = choose_sources(profile, present, want)?;
        let method = choose_method(profile, level, &sources, want);
        let relation = XorRelation {
            first_parity: profile.data(),
        };
        match method {
            Method::Plain => {}
            Method::Fold { .. } => sources.sort_by_key(|&source| !relation.contains(source)),
            Method::Solve { .. } => sources.sort_unstable(),
        }
        let solver = Solver::new(profile, &sources);
        let mut rows = solver.rows(want);
        if let Method::Solve { .. } = method {
            rows.sort_by_key(|row| want[row.output]);
            solver.put_equations(&mut rows);
        } else {
            rows.sort_by_key(|row| !relation.contains(want[row.output]));
        }
        let program = Program::new(level, sources.len(), &rows, method);
        Ok(Self {
            sources: sources.into(),
            targets: want.into(),
            program,
        })
    }

    /// The shards to read, in the order in which [`Self::run`] takes them (which may not be the
    /// order of preference): exactly `k`, or none if nothing is to be rebuilt.
    pub fn sources(&self) -> &[u8] {
        &self.sources
    }

    /// The shards that are rebuilt, in the order asked for.
    pub fn targets(&self) -> &[u8] {
        &self.targets
    }

    /// The level it runs at.
    pub fn level(&self) -> Level {
        self.program.level()
    }

    /// Rebuilds. `src` are in the order of [`Self::sources`], `dst` in the order of
    /// [`Self::targets`], all of one length: whole shards, or the same sub-range of each. Does not
    /// allocate; what `dst` held before does not matter.
    ///
    /// # Errors
    /// [`Error::SourceCount`], [`Error::TargetCount`], [`Error::ShardLengthMismatch`]: a bug of the
    /// caller; nothing was written.
    pub fn run(&self, src: &[&[u8]], dst: &mut [&mut [u8]]) -> Result<(), Error> {
        let (expected, got) = (self.sources.len(), src.len());
        if expected != got {
            return Err(Error::SourceCount { expected, got });
        }
        let (expected, got) = (self.targets.len(), dst.len());
        if expected != got {
            return Err(Error::TargetCount { expected, got });
        }
        let Some(first) = src.first() else {
            return Ok(());
        };
        check_lengths(first.len(), src.iter().map(|shard| shard.len()))?;
        check_lengths(first.len(), dst.iter().map(|shard| shard.len()))?;
        self.program.run(src, dst);
        Ok(())
    }
}

fn check_indices(profile: Profile, present: &[u8], want: &[u8]) -> Result<(), Error> {
    let readable = index_set(profile, present)?;
    index_set(profile, want)?;
    match want.iter().find(|&&index| readable.contains(index)) {
        Some(&index) => Err(Error::WantedPresent { index }),
        None => Ok(()),
    }
}

fn index_set(profile: Profile, indices: &[u8]) -> Result<ShardSet, Error> {
    let mut set = ShardSet::default();
    for &index in indices {
        if usize::from(index) >= profile.total() {
            return Err(Error::IndexOutOfRange {
                limit: profile.total(),
                index,
            });
        }
        if !set.insert(index) {
            return Err(Error::DuplicateShard { index });
        }
    }
    Ok(set)
}

/// The first `k` present shards. Fewer never do: in a code that survives any `m` losses, every
/// shard depends on exactly `k` others.
fn choose_sources(profile: Profile, present: &[u8], want: &[u8]) -> Result<Vec<u8>, Error> {
    if want.is_empty() {
        return Ok(Vec::new());
    }
    let needed = profile.data();
    let first = present.get(..needed);
    first.map(<[u8]>::to_vec).ok_or(Error::TooFewShards {
        needed,
        present: present.len(),
    })
}

/// The method with the fewest products.
fn choose_method(profile: Profile, level: Level, sources: &[u8], want: &[u8]) -> Method {
    let relation = XorRelation {
        first_parity: profile.data(),
    };
    if !Program::is_one_pass(level, want.len()) {
        return Method::Plain;
    }
    let is_data = |&&shard: &&u8| usize::from(shard) < profile.data();
    let lost_count = profile.data() - sources.iter().filter(is_data).count();
    let wants_all_lost = want.iter().filter(is_data).count() == lost_count;
    let has_xor_row = sources
        .iter()
        .any(|&source| usize::from(source) == relation.first_parity);
    if has_xor_row && lost_count >= 2 && want.len() == lost_count && wants_all_lost {
        return Method::Solve {
            plain_first_source: sources.contains(&0),
        };
    }
    relation.folding(sources, want)
}

/// The XOR of all data shards and the first parity shard is zero.
///
/// Where each of these is either read or rebuilt, one of those rebuilt needs no multiplications:
/// it is the XOR of the others.
#[derive(Clone, Copy)]
struct XorRelation {
    first_parity: usize,
}

impl XorRelation {
    fn contains(self, shard: u8) -> bool {
        usize::from(shard) <= self.first_parity
    }

    /// How to use the relation, if all its shards are there.
    fn folding(self, sources: &[u8], want: &[u8]) -> Method {
        let count = |shards: &[u8]| shards.iter().filter(|&&shard| self.contains(shard)).count();
        let (xor_sources, folded_rows) = (count(sources), count(want));
        let complete = xor_sources + folded_rows == self.first_parity + 1;
        if complete && xor_sources > 0 && folded_rows > 0 {
            return Method::Fold {
                xor_sources,
                folded_rows,
            };
        }
        Method::Plain
    }
}

/// Expresses shards as combinations of the sources.
struct Solver<'a> {
    profile: Profile,
    sources: &'a [u8],
    /// Data shards that are no sources.
    lost: Vec<usize>,
    /// Row `l` holds the coefficients of `lost[l]`.
    solved: Vec<Vec<u8>>,
}

impl<'a> Solver<'a> {
    fn new(profile: Profile, sources: &'a [u8]) -> Self {
        let mut solver = Self {
            profile,
            sources,
            lost: Vec::new(),
            solved: Vec::new(),
        };
        if sources.is_empty() {
            return solver;
        }
        let mut read = ShardSet::default();
        for &source in sources {
            read.insert(source);
        }
        let is_lost = |&index: &u8| !read.contains(index);
        solver.lost = (0..=u8::MAX)
            .take(profile.data())
            .filter(is_lost)
            .map(usize::from)
            .collect();
        solver.solved = solver.solve();
        solver
    }

    fn solve(&self) -> Vec<Vec<u8>> {
        let parity: Vec<usize> = self
            .sources
            .iter()
            .filter_map(|&s| self.parity_row(s))
            .collect();
        let equations = Square::from_fn(self.lost.len(), |row, column| {
            parity_coefficient(self.profile, parity[row], self.lost[column])
        });
        // Always there: every square part of the parity matrix has an inverse.
        let Some(inverse) = equations.inverted() else {
            return Vec::new();
        };
        let coefficients = |l| self.combine(&parity, inverse.row(l));
        (0..self.lost.len()).map(coefficients).collect()
    }

    /// The sum of parity equations with these weights, as coefficients of the sources.
    fn combine(&self, parity: &[usize], weights: &[u8]) -> Vec<u8> {
        let mut weights_left = weights.iter();
        let coefficient = |&source: &u8| match self.parity_row(source) {
            Some(_) => weights_left.next().copied().unwrap_or(0),
            None => sum_of_products(weights.iter().zip(parity).map(|(&weight, &row)| {
                (
                    weight,
                    parity_coefficient(self.profile, row, usize::from(source)),
                )
            })),
        };
        self.sources.iter().map(coefficient).collect()
    }

    /// A row for each wanted shard, in order.
    fn rows(&self, want: &[u8]) -> Vec<Row> {
        let row = |(output, &shard): (usize, &u8)| Row {
            output,
            coefficients: match self.parity_row(shard) {
                Some(row) => self.parity_coefficients(row),
                None => self.data_coefficients(usize::from(shard)),
            },
        };
        want.iter().enumerate().map(row).collect()
    }

    /// Replaces the coefficients of data sources by those of the parity equations: what
    /// [`Method::Solve`] takes. What is left, those of parity sources, is the inverse matrix.
    fn put_equations(&self, rows: &mut [Row]) {
        let equations = self
            .sources
            .iter()
            .filter_map(|&source| self.parity_row(source));
        for (row, equation) in rows.iter_mut().zip(equations) {
            for (coefficient, &source) in row.coefficients.iter_mut().zip(self.sources) {
                if self.parity_row(source).is_none() {
                    let column = usize::from(source);
                    *coefficient = parity_coefficient(self.profile, equation, column);
                }
            }
        }
    }

    fn data_coefficients(&self, shard: usize) -> Vec<u8> {
        let found = self.lost.iter().position(|&lost| lost == shard);
        found
            .and_then(|l| self.solved.get(l))
            .cloned()
            .unwrap_or_default()
    }

    /// Parity row `row`, with lost data put in terms of the sources.
    fn parity_coefficients(&self, row: usize) -> Vec<u8> {
        let of = |column| parity_coefficient(self.profile, row, column);
        let coefficient = |(position, &source): (usize, &u8)| {
            let direct = match self.parity_row(source) {
                Some(_) => 0,
                None => of(usize::from(source)),
            };
            let through_lost = self.lost.iter().zip(&self.solved);
            direct ^ sum_of_products(through_lost.map(|(&l, solved)| (of(l), solved[position])))
        };
        self.sources.iter().enumerate().map(coefficient).collect()
    }

    /// Which parity row a shard is, if it is one.
    fn parity_row(&self, shard: u8) -> Option<usize> {
        usize::from(shard).checked_sub(self.profile.data())
    }
}

fn sum_of_products(pairs: impl Iterator<Item = (u8, u8)>) -> u8 {
    pairs.fold(0, |sum, (a, b)| sum ^ crate::gf256::mul(a, b))
}
