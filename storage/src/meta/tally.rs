//! Sums that an engine keeps beside its rows: how much there is in each bucket.
//!
//! What a row counts is said by a [`Weigh`], which looks at the row alone. So a sum is a function of the rows that there are: it needs no
//! record of its own in the logs, no sync, and no key that writes would wait for each other at, and it is exact again after
//! whatever happens to the view. Rows are counted by *group*, which is a bucket's number.

use std::{fmt, sync::Arc};

use super::MetaError;

/// How much a group has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tally {
    /// Versions of objects, noncurrent ones too; delete markers don't count.
    pub objects: u64,
    /// Bytes of all of these.
    pub bytes: u64,
    /// Delete markers.
    pub delete_markers: u64,
}

impl Tally {
    /// What all of them have together.
    pub(crate) fn sum(tallies: impl Iterator<Item = Self>) -> Self {
        tallies.fold(Self::default(), |sum, tally| Self {
            objects: sum.objects.saturating_add(tally.objects),
            bytes: sum.bytes.saturating_add(tally.bytes),
            delete_markers: sum.delete_markers.saturating_add(tally.delete_markers),
        })
    }
}

/// What a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// For which group.
    pub group: u64,
    /// How much.
    pub tally: Tally,
}

/// What the row of this key and value counts; `None`: nothing. Must depend on nothing else, and not on what the engine appends to a value.
pub type Weigh = fn(key: &[u8], value: &[u8]) -> Option<Weight>;

/// A bound on the sum of some groups, which a commit may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What the groups are together, such as an account; for messages.
    pub of: &'static str,
    /// Which ones.
    pub groups: Arc<[u64]>,
    /// Objects in all of them.
    pub max_objects: Option<u64>,
    /// Bytes in all of them.
    pub max_bytes: Option<u64>,
}

/// A limit that a commit would pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverLimit {
    /// See [`Limit::of`].
    pub of: &'static str,
    /// What is limited.
    pub what: Limited,
    /// How much there would be.
    pub would_be: u64,
    /// How much there may be.
    pub limit: u64,
}

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// [`Tally::objects`].
    Objects,
    /// [`Tally::bytes`].
    Bytes,
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Limited::Objects => "objects",
            Limited::Bytes => "bytes",
        };
        write!(
            f,
            "{} {what} would be in the {}, {} may be",
            self.would_be, self.of, self.limit
        )
    }
}

/// What changes make of a tally.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) objects: i64,
    pub(crate) bytes: i64,
    pub(crate) delete_markers: i64,
}

impl Delta {
    fn of(tally: Tally) -> Self {
        Self {
            objects: tally.objects.cast_signed(),
            bytes: tally.bytes.cast_signed(),
            delete_markers: tally.delete_markers.cast_signed(),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            objects: self.objects.wrapping_add(other.objects),
            bytes: self.bytes.wrapping_add(other.bytes),
            delete_markers: self.delete_markers.wrapping_add(other.delete_markers),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        self.plus(Self {
            objects: other.objects.wrapping_neg(),
            bytes: other.bytes.wrapping_neg(),
            delete_markers: other.delete_markers.wrapping_neg(),
        })
    }

    /// The tally that a sum of changes from nothing is.
    pub(crate) fn tally(self) -> Tally {
        let from_nothing = |sum: i64| u64::try_from(sum).unwrap_or_default();
        Tally {
            objects: from_nothing(self.objects),
            bytes: from_nothing(self.bytes),
            delete_markers: from_nothing(self.delete_markers),
        }
    }

    /// What it adds, leaving out what it takes away.
    pub(crate) fn growth(self) -> Self {
        Self {
            objects: self.objects.max(0),
            bytes: self.bytes.max(0),
            delete_markers: self.delete_markers.max(0),
        }
    }
}

/// What the changes of a commit make of the tallies of groups; in ascending order, and no group for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deltas(Vec<(u64, Delta)>);

impl Deltas {
    /// Adds that a row changes from `old` to `new`.
    pub(crate) fn row(&mut self, weigh: Weigh, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        if let Some(weight) = new.and_then(|value| weigh(key, value)) {
            self.add(weight.group, Delta::of(weight.tally));
        }
        if let Some(weight) = old.and_then(|value| weigh(key, value)) {
            self.add(
                weight.group,
                Delta::default().minus(Delta::of(weight.tally)),
            );
        }
    }

    fn add(&mut self, group: u64, delta: Delta) {
        match self.0.binary_search_by_key(&group, |(group, _)| *group) {
            Ok(at) => {
                self.0[at].1 = self.0[at].1.plus(delta);
                if self.0[at].1 == Delta::default() {
                    self.0.remove(at);
                }
            }
            Err(_) if delta == Delta::default() => {}
            Err(at) => self.0.insert(at, (group, delta)),
        }
    }

    /// By group, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Delta)> + '_ {
        self.0.iter().copied()
    }

    fn of(&self, group: u64) -> Delta {
        let found = self.0.binary_search_by_key(&group, |(group, _)| *group);
        found.map_or_else(|_| Delta::default(), |at| self.0[at].1)
    }
}

impl Limit {
    /// Whether `deltas` may be added, where `now` says what each group has. What makes a sum no larger always may be.
    ///
    /// # Errors
    /// [`MetaError::OverLimit`].
    pub(crate) fn check(
        &self,
        deltas: &Deltas,
        now: impl Fn(u64) -> Tally,
    ) -> Result<(), MetaError> {
        let groups = self.groups.iter();
        let has = Tally::sum(groups.clone().map(|group| now(*group)));
        let gets = groups.fold(Delta::default(), |gets, group| gets.plus(deltas.of(*group)));
        let over = |what, has: u64, gets: i64, limit: Option<u64>| {
            let would_be = has.saturating_add_signed(gets);
            let limit = limit.filter(|limit| gets > 0 && would_be > *limit)?;
            Some(OverLimit {
                of: self.of,
                what,
                would_be,
                limit,
            })
        };
        let over = over(
            Limited::Objects,
            has.objects,
            gets.objects,
            self.max_objects,
        )
        .or_else(|| over(Limited::Bytes, has.bytes, gets.bytes, self.max_bytes));
        over.map_or(Ok(()), |over| Err(MetaError::OverLimit(over)))
    }
}

impl Limit {
    /// Whether an object of `bytes` may come into `group` in place of one of `replaced` bytes, or of none, where `now` says what each group has.
    ///
    /// # Errors
    /// [`MetaError::OverLimit`].
    pub(crate) fn check_one_more(
        &self,
        group: u64,
        now: impl Fn(u64) -> Tally,
        replaced: Option<u64>,
        bytes: u64,
    ) -> Result<(), MetaError> {
        let comes = Delta {
            objects: i64::from(replaced.is_none()),
            bytes: bytes
                .cast_signed()
                .saturating_sub(replaced.unwrap_or(0).cast_signed()),
            delete_markers: 0,
        };
        let mut deltas = Deltas::default();
        deltas.add(group, comes);
        self.check(&deltas, now)
    }
}

/// Nothing counts: for engines without buckets.
pub fn weightless(_: &[u8], _: &[u8]) -> Option<Weight> {
    None
}
