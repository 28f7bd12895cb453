//! The tallies of the rows of a view, kept in the view beside them.
//!
//! A commit's batch has one row more per group that it changes: the new value of one of the group's [`STRIPES`] partial sums, so that commits
//! of one bucket seldom wait for each other. A view that lost batches has lost their tallies with them; replaying a change counts what it
//! changes in the view as it is.
//!
//! Invariant: the partial sums of a group add up to what the rows of the view weigh.
//!
//! Lock order: partial sums in ascending order of group, then sums likewise.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::{
    meta::{
        MetaError,
        tally::{Delta, Deltas, Limit, Tally, Weigh},
        view::{View, ViewChange, ViewError},
    },
    varint,
};

/// Keys of the view that begin with it are partial sums; above every key space and the checkpoint.
const PREFIX: &[u8] = b"\xfftally";
/// Comes after every partial sum.
const AFTER: &[u8] = b"\xfftallz";
/// Partial sums of a group.
const STRIPES: u8 = 8;
const GROUP_BYTES: usize = 8;

/// The tallies of a view.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    groups: RwLock<HashMap<u64, Arc<Group>>>,
}

#[derive(Debug, Default)]
struct Group {
    stripes: [Mutex<Delta>; STRIPES as usize],
    sum: Mutex<Sum>,
}

/// What the partial sums add up to, and what commits under way will add.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    now: Delta,
    reserved: Delta,
}

/// Room that a commit under a limit holds until it is in the view, or failed.
#[derive(Debug)]
pub(super) struct Reservation {
    tallies: Arc<Tallies>,
    held: Vec<(u64, Delta)>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for (group, held) in self.held.drain(..) {
            self.tallies.group(group).sum.lock().release(held);
        }
    }
}

impl Reservation {
    /// Takes what is held for `group`, for who releases it with the sum.
    fn take(&mut self, group: u64) -> Delta {
        let at = self.held.iter().position(|(held, _)| *held == group);
        at.map_or_else(Delta::default, |at| self.held.swap_remove(at).1)
    }
}

impl Sum {
    fn release(&mut self, held: Delta) {
        self.reserved = self.reserved.minus(held);
    }
}

impl Tallies {
    /// Those that `view` has. Groups that have nothing any more are removed from it.
    pub(super) fn load(view: &dyn View) -> Result<Self, ViewError> {
        let mut sums: BTreeMap<u64, Vec<(u8, Delta)>> = BTreeMap::new();
        view.scan(PREFIX, AFTER, &mut |key, value| {
            if let Some(((group, stripe), delta)) = parse_key(key).zip(decode(value)) {
                sums.entry(group).or_default().push((stripe, delta));
            }
            true
        })?;
        let tallies = Self::default();
        let mut gone = Vec::new();
        for (group, stripes) in sums {
            let sum = stripes
                .iter()
                .fold(Delta::default(), |sum, (_, delta)| sum.plus(*delta));
            if sum == Delta::default() {
                gone.extend(stripes.iter().map(|(stripe, _)| removed(group, *stripe)));
                continue;
            }
            let known = tallies.group(group);
            known.sum.lock().now = sum;
            for (stripe, delta) in stripes {
                if let Some(place) = known.stripes.get(usize::from(stripe)) {
                    *place.lock() = delta;
                }
            }
        }
        if !gone.is_empty() {
            view.apply(&gone)?;
        }
        Ok(tallies)
    }

    fn known(&self, group: u64) -> Option<Arc<Group>> {
        self.groups.read().get(&group).map(Arc::clone)
    }

    fn group(&self, group: u64) -> Arc<Group> {
        if let Some(known) = self.known(group) {
            return known;
        }
        Arc::clone(self.groups.write().entry(group).or_default())
    }

    /// What `group` has.
    pub(super) fn of(&self, group: u64) -> Tally {
        let known = self.known(group);
        known.map_or_else(Tally::default, |group| group.sum.lock().now.tally())
    }

    /// Holds room for `deltas` if all `limits` allow them, beside what others hold.
    ///
    /// # Errors
    /// [`MetaError::OverLimit`].
    pub(super) fn reserve(
        self: &Arc<Self>,
        limits: &[Limit],
        deltas: &Deltas,
    ) -> Result<Reservation, MetaError> {
        let limited = limits.iter().flat_map(|limit| limit.groups.iter().copied());
        let changed = deltas.iter().map(|(group, _)| group);
        let all: BTreeMap<_, _> = limited
            .chain(changed)
            .map(|group| (group, self.group(group)))
            .collect();
        let mut held: BTreeMap<u64, MutexGuard<'_, Sum>> = all
            .iter()
            .map(|(group, known)| (*group, known.sum.lock()))
            .collect();
        let now = |group| {
            let sum = held.get(&group).map_or_else(Sum::default, |sum| **sum);
            sum.now.plus(sum.reserved).tally()
        };
        for limit in limits {
            limit.check(deltas, now)?;
        }
        let mut reservation = Reservation {
            tallies: Arc::clone(self),
            held: Vec::new(),
        };
        for (group, delta) in deltas.iter() {
            if let Some(sum) = held.get_mut(&group) {
                sum.reserved = sum.reserved.plus(delta.growth());
                reservation.held.push((group, delta.growth()));
            }
        }
        Ok(reservation)
    }

    /// Applies `changes`, which make `deltas` of the tallies, to `view`, and counts them. `spread` chooses among the partial sums.
    pub(super) fn apply(
        &self,
        view: &dyn View,
        mut changes: Vec<ViewChange>,
        deltas: &Deltas,
        spread: u64,
        reservation: Option<Reservation>,
    ) -> Result<(), ViewError> {
        let stripe = u8::try_from(spread % u64::from(STRIPES)).unwrap_or_default();
        let groups: Vec<_> = deltas
            .iter()
            .map(|(group, delta)| (group, delta, self.group(group)))
            .collect();
        let mut held = Vec::with_capacity(groups.len());
        for (group, delta, known) in &groups {
            let partial = known.stripes[usize::from(stripe)].lock();
            let sum = partial.plus(*delta);
            changes.push(ViewChange {
                key: key(*group, stripe),
                value: Some(encode(sum)),
            });
            held.push((partial, sum));
        }
        view.apply(&changes)?;
        for (partial, sum) in &mut held {
            **partial = *sum;
        }
        drop(held);
        let mut reservation = reservation;
        for (group, delta, known) in &groups {
            let reserved = reservation.as_mut().map(|held| held.take(*group));
            let mut sum = known.sum.lock();
            sum.now = sum.now.plus(*delta);
            sum.release(reserved.unwrap_or_default());
        }
        Ok(())
    }
}

/// Counts what is brought into a view at a start, before anything else changes it.
#[derive(Debug)]
pub(super) struct Recount {
    weigh: Weigh,
    sums: HashMap<u64, Delta>,
}

impl Recount {
    /// Goes on from what `view` has.
    pub(super) fn of(view: &dyn View, weigh: Weigh) -> Result<Self, ViewError> {
        let mut sums = HashMap::new();
        view.scan(PREFIX, AFTER, &mut |key, value| {
            if let Some(((group, 0), delta)) = parse_key(key).zip(decode(value)) {
                sums.insert(group, delta);
            }
            true
        })?;
        Ok(Self { weigh, sums })
    }

    /// A row changes.
    pub(super) fn row(
        &mut self,
        deltas: &mut Deltas,
        key: &[u8],
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) {
        deltas.row(self.weigh, key, old, new);
    }

    /// What belongs into the batch, or after the last one, that makes these `deltas`.
    pub(super) fn changes(&mut self, deltas: &Deltas) -> Vec<ViewChange> {
        let count = |(group, delta)| {
            let sum = self.sums.entry(group).or_default();
            *sum = sum.plus(delta);
            ViewChange {
                key: key(group, 0),
                value: Some(encode(*sum)),
            }
        };
        deltas.iter().map(count).collect()
    }
}

fn key(group: u64, stripe: u8) -> Bytes {
    [PREFIX, &group.to_be_bytes(), &[stripe]].concat().into()
}

fn removed(group: u64, stripe: u8) -> ViewChange {
    ViewChange {
        key: key(group, stripe),
        value: None,
    }
}

fn parse_key(key: &[u8]) -> Option<(u64, u8)> {
    let (group, stripe) = key.strip_prefix(PREFIX)?.split_at_checked(GROUP_BYTES)?;
    let group = u64::from_be_bytes(group.try_into().ok()?);
    match stripe {
        [stripe] => Some((group, *stripe)),
        _ => None,
    }
}

fn encode(sum: Delta) -> Bytes {
    let mut out = Vec::with_capacity(16);
    for number in [sum.objects, sum.bytes, sum.delete_markers] {
        varint::put_signed(&mut out, number);
    }
    out.into()
}

fn decode(mut bytes: &[u8]) -> Option<Delta> {
    let input = &mut bytes;
    Some(Delta {
        objects: varint::take_signed(input)?,
        bytes: varint::take_signed(input)?,
        delete_markers: varint::take_signed(input)?,
    })
}
