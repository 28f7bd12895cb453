//! How far each disk's log is known to go: what tells a disk that comes back as it was at an earlier time from one that was only away.
//!
//! Epoch and checkpoint frames say of each disk up to where its log was durable. A disk whose log ends before that was put back to an earlier
//! state (a snapshot, an old copy), or has lost files. What it has of its *past*, the segments up to the one that it should have, can't be
//! relied on: deletions that others have forgotten since are still undone there. So
//! - no further segment gets a number of those that are missing, which records may name;
//! - a record that only the past of such disks has does not count, while enough other disks are here;
//! - the past is rewritten by healing as if all of it were dead: what is alive moves, the rest goes with its segments;
//! - its deletions are not relied on until the logs have been looked through (`Healer`).
//!
//! Invariant: that a disk came back is written on the others before anything is appended to it, and in each such frame until it is brought up to
//! date.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Embedded;
use crate::{
    disk::{Address, Disk, DiskNo, Health, Seq},
    stripes::{Disks, Pool},
    varint,
};

/// What epoch and checkpoint frames say of the logs, behind all else. Frames of earlier releases say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogEnds {
    /// Per disk, up to where its log was durable.
    pub(super) ends: BTreeMap<DiskNo, Address>,
    /// Disks that came back as they were at an earlier time: segments up to this one are their past.
    pub(super) past: BTreeMap<DiskNo, u32>,
}

/// A disk that came back as it was at an earlier time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldDisk {
    /// The disk.
    pub disk: DiskNo,
    /// Where it is.
    pub location: String,
    /// Where its log ends: segment, and offset in it.
    pub found: (u32, u64),
    /// Up to where it was durable once.
    pub expected: (u32, u64),
}

impl LogEnds {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        varint::put(out, self.ends.len() as u64);
        for (disk, end) in &self.ends {
            varint::put(out, u64::from(disk.0));
            varint::put(out, u64::from(end.segment));
            varint::put(out, u64::from(end.offset));
        }
        varint::put(out, self.past.len() as u64);
        for (disk, segment) in &self.past {
            varint::put(out, u64::from(disk.0));
            varint::put(out, u64::from(*segment));
        }
    }

    /// What [`Self::put`] wrote, from the front of `input`.
    pub(super) fn take(input: &mut &[u8]) -> Option<Self> {
        let mut logs = Self::default();
        for _ in 0..varint::take(input)? {
            let disk = take_disk(input)?;
            let end = Address {
                segment: u32::try_from(varint::take(input)?).ok()?,
                offset: u32::try_from(varint::take(input)?).ok()?,
            };
            logs.ends.insert(disk, end);
        }
        for _ in 0..varint::take(input)? {
            let disk = take_disk(input)?;
            let segment = u32::try_from(varint::take(input)?).ok()?;
            logs.past.insert(disk, segment);
        }
        Some(logs)
    }

    /// Takes what another frame says to account.
    pub(super) fn extend(&mut self, ends: BTreeMap<DiskNo, Address>) {
        for (disk, end) in ends {
            let known = self.ends.entry(disk).or_default();
            *known = end.max(*known);
        }
    }

    /// Whether all of these places are in the past of disks that came back old.
    pub(super) fn are_past(&self, homes: &[(DiskNo, u32)]) -> bool {
        let is_past = |(disk, segment): &(DiskNo, u32)| {
            let past = self.past.get(disk);
            past.is_some_and(|past| segment <= past)
        };
        !homes.is_empty() && homes.iter().all(is_past)
    }

    /// Goes on with what the disks have now; forgets those that are gone.
    fn refresh(&mut self, disks: &Disks, doubted: &BTreeSet<DiskNo>) {
        self.ends.retain(|disk, _| disks.entry(*disk).is_some());
        self.past.retain(|disk, _| disks.entry(*disk).is_some());
        let now = disks
            .here()
            .filter_map(|disk| Some((disk.number(), durable_end(&**disk)?)));
        self.extend(now.collect());
        for disk in disks.here() {
            let number = disk.number();
            let is_done = self.past.get(&number).is_some_and(|past| {
                let segments = disk.segments();
                segments.is_ok_and(|all| all.first().is_none_or(|first| first.number > *past))
            });
            if is_done && !doubted.contains(&number) {
                self.past.remove(&number);
            }
        }
    }
}

fn take_disk(input: &mut &[u8]) -> Option<DiskNo> {
    Some(DiskNo(u16::try_from(varint::take(input)?).ok()?))
}

/// Up to where a log is durable.
fn durable_end(disk: &dyn Disk) -> Option<Address> {
    if matches!(disk.health(), Health::Failed(_)) {
        return None;
    }
    let segments = disk.segments().ok()?;
    let last = segments.last()?;
    Some(Address {
        segment: last.number,
        offset: u32::try_from(last.bytes).unwrap_or(u32::MAX),
    })
}

/// The disks that are here and whose logs end before what is known of them.
pub(super) fn old_disks(pool: &Pool, known: &LogEnds) -> Vec<OldDisk> {
    let disks = pool.disks();
    let old = |disk: &Arc<dyn Disk>| {
        let expected = *known.ends.get(&disk.number())?;
        let segments = disk.segments().ok()?;
        let last = segments
            .last()
            .map_or((0, 0), |last| (last.number, last.bytes));
        let ends_before = if expected.segment == last.0 {
            u64::from(expected.offset) > last.1
        } else {
            expected.segment > disk.last_segment()
        };
        ends_before.then(|| OldDisk {
            disk: disk.number(),
            location: disk.location(),
            found: last,
            expected: (expected.segment, expected.offset.into()),
        })
    };
    let usable = |disk: &&Arc<dyn Disk>| !matches!(disk.health(), Health::Failed(_));
    disks.here().filter(usable).filter_map(old).collect()
}

/// What is known of logs while the store is open.
#[derive(Debug, Default)]
pub(super) struct KnownLogs {
    logs: LogEnds,
    /// Disks whose logs may lack deletions that they should have, because they came back old.
    doubted: BTreeSet<DiskNo>,
}

impl KnownLogs {
    pub(super) fn new(logs: LogEnds) -> Self {
        let doubted = logs.past.keys().copied().collect();
        Self { logs, doubted }
    }
}

impl Embedded {
    /// What the next epoch or checkpoint frame says of the logs.
    pub(super) fn log_ends(&self) -> LogEnds {
        let disks = self.pool.disks();
        let KnownLogs { logs, doubted } = &mut *self.logs.lock();
        logs.refresh(&disks, doubted);
        logs.clone()
    }

    /// Disks that came back as they were at an earlier time and are not up to date yet.
    pub fn outdated_disks(&self) -> BTreeSet<DiskNo> {
        self.log_ends().past.into_keys().collect()
    }

    /// Whether disks that came back old still have segments of their past.
    pub(crate) fn has_a_past(&self) -> bool {
        let past = self.logs.lock().logs.past.clone();
        past.into_iter().any(|(number, up_to)| {
            let segments = self.pool.disk(number).and_then(|disk| disk.segments().ok());
            let first = segments.as_ref().and_then(|segments| segments.first());
            first.is_some_and(|first| first.number <= up_to)
        })
    }

    /// Disks whose logs may lack deletions that they should have, because they came back old.
    pub(crate) fn doubted_disks(&self) -> BTreeSet<DiskNo> {
        self.logs.lock().doubted.clone()
    }

    /// The logs of these disks have been looked through, and it is remembered.
    pub(crate) fn trust_disks(&self, disks: &BTreeSet<DiskNo>) {
        self.logs
            .lock()
            .doubted
            .retain(|disk| !disks.contains(disk));
    }

    /// Before anything is appended to disks that have just come back old: the others know, and no number is given twice.
    pub(super) async fn take_back_old_disks(&self, old: &[OldDisk], settled: Seq) {
        if old.is_empty() {
            return;
        }
        let is_old = |number: DiskNo| old.iter().any(|old| old.disk == number);
        let body = super::body::CheckpointBody {
            settled,
            void: Vec::new(),
            logs: self.log_ends(),
        };
        let kind = crate::disk::FrameKind::Checkpoint;
        self.append_to(kind, &body.encode(), |number| !is_old(number))
            .await;
        for old in old {
            if let Some(disk) = self.pool.disk(old.disk) {
                disk.skip_segments(old.expected.0);
            }
        }
    }

    /// The past of these disks is to be rewritten: nothing in it is needed for long.
    pub(super) fn bury_the_past(&self) {
        let past = self.logs.lock().logs.past.clone();
        for (number, up_to) in past {
            let segments = self.pool.disk(number).and_then(|disk| disk.segments().ok());
            let segments = segments.unwrap_or_default().into_iter();
            for segment in segments.filter(|segment| segment.number <= up_to) {
                self.space.bury_all(number, segment.number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_known_survives_the_round_trip(
            ends in prop::collection::btree_map(any::<u16>(), (any::<u32>(), any::<u32>()), 0..5),
            past in prop::collection::btree_map(any::<u16>(), any::<u32>(), 0..3), more: Vec<u8>,
        ) {
            let end = |(disk, (segment, offset))| (DiskNo(disk), Address { segment, offset });
            let logs = LogEnds {
                ends: ends.into_iter().map(end).collect(),
                past: past.into_iter().map(|(disk, segment)| (DiskNo(disk), segment)).collect(),
            };
            let mut bytes = Vec::new();
            logs.put(&mut bytes);
            bytes.extend_from_slice(&more);
            let mut input = &bytes[..];
            prop_assert_eq!(LogEnds::take(&mut input), Some(logs));
            prop_assert_eq!(input, &more[..]);
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            drop(LogEnds::take(&mut &bytes[..]));
        }
    }
}
