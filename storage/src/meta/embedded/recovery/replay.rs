//! From the logs to the view, in one pass: frames are sorted away as they come, doubts are kept apart, and the view gets the outcome in
//! order of its keys.
//!
//! Memory: [`RUN_BYTES`] of commits, what is in doubt (the commits since the last checkpoint, which a server makes every 64 MiB of
//! log), the numbers of void commits, and one read buffer per sorted run.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{
    Adopted, Callback, Damage, Progress, ProgressStage, Recovered, RecoveryError, RecoveryReport,
    check_present,
    history::{History, Verdict},
    present,
    scan::{Reading, Taker, read_all},
    sorted::{Item, Merge, RUN_BYTES, Scratch, Sorter},
};
use crate::{
    disk::{
        Address, Disk, DiskError, DiskNo, FRAME_HEADER_BYTES, FrameKind, ReadMode, ScannedFrame,
        Seq,
    },
    meta::{
        embedded::{
            body::{EpochBody, ViewValue, decode_commit},
            checkpoint::CheckpointState,
            log_ends::{LogEnds, old_disks},
            space::{SegmentSpace, inline_placement},
            tallies::Recount,
        },
        tally::{Deltas, Weigh},
        view::{View, ViewChange, ViewError, ViewSource},
    },
    mutation::{self, Mutation},
    stripes::{BlobPlacement, Pool, verify_shard},
};

/// Changes applied to the view at a time.
const BATCH: usize = 1024;
/// Segments with damage that are named one by one.
const MAX_DAMAGES: usize = 1000;

/// A commit that is neither settled nor void yet.
#[derive(Debug, Default)]
struct Doubt {
    /// Its changes as they were found, and where: reclaim may have appended a part of them again.
    bodies: Vec<(Bytes, Vec<(DiskNo, u32)>)>,
    shards: Vec<(DiskNo, Address, u32, u8)>,
}

/// What the logs have said so far.
struct Gathered<'a> {
    /// The view has everything up to here.
    since: Seq,
    history: History,
    doubts: BTreeMap<Seq, Doubt>,
    sorter: Sorter,
    report: RecoveryReport,
    progress: Callback<'a>,
}

impl Taker for Gathered<'_> {
    fn take(&mut self, disk: DiskNo, frame: ScannedFrame) -> Result<(), RecoveryError> {
        if self.history.read(&frame) {
            self.release()?;
        }
        let is_commit = frame.kind == FrameKind::Commit;
        if frame.seq <= self.since || !(is_commit || frame.kind == FrameKind::Shard) {
            return Ok(());
        }
        self.report.frames += 1;
        let home = (disk, frame.address.segment);
        if self.history.verdict(frame.seq) != Verdict::InDoubt {
            // A settled commit's shards are found through its changes.
            if is_commit {
                self.sorter.add(frame.seq, frame.meta, &[home])?;
            }
            return Ok(());
        }
        let doubt = self.doubts.entry(frame.seq).or_default();
        if frame.shard_bytes > 0 {
            let shard = (disk, frame.address, frame.shard_bytes, frame.shard_index);
            doubt.shards.push(shard);
        }
        if is_commit {
            doubt.add(frame.meta, home);
        }
        Ok(())
    }

    fn damage(&mut self, damage: Damage) {
        self.report.damaged_bytes += damage.bytes + damage.tail_bytes;
        if self.report.damages.len() < MAX_DAMAGES {
            self.report.damages.push(damage);
        }
    }

    fn progress(&mut self, done_bytes: u64, total_bytes: u64) {
        let stage = if self.report.rebuilt {
            ProgressStage::Rebuild
        } else {
            ProgressStage::Replay
        };
        (self.progress)(Progress {
            stage,
            done_bytes,
            total_bytes,
        });
    }
}

impl Doubt {
    fn add(&mut self, body: Bytes, home: (DiskNo, u32)) {
        match self.bodies.iter_mut().find(|(known, _)| *known == body) {
            Some((_, homes)) => homes.push(home),
            None => self.bodies.push((body, vec![home])),
        }
    }

    /// All of its changes, and where all of them are. A part is shorter than the whole.
    fn whole(&mut self) -> Option<(Bytes, Vec<(DiskNo, u32)>)> {
        let bodies = std::mem::take(&mut self.bodies).into_iter();
        bodies.max_by_key(|(body, _)| body.len())
    }
}

impl Gathered<'_> {
    /// Sorts away what is not in doubt any more: the oldest.
    fn release(&mut self) -> Result<(), RecoveryError> {
        while let Some((seq, _)) = self.doubts.first_key_value()
            && self.history.verdict(*seq) != Verdict::InDoubt
            && let Some((seq, doubt)) = self.doubts.pop_first()
        {
            for (body, homes) in doubt.bodies {
                self.sorter.add(seq, body, &homes)?;
            }
        }
        Ok(())
    }
}

/// Reads the logs into a view of `views`.
pub(super) fn recover(
    pool: &Pool,
    views: &dyn ViewSource,
    cluster: &Bytes,
    weigh: Weigh,
    progress: Callback<'_>,
) -> Result<Recovered, RecoveryError> {
    let (view, mut start) = open_view(pool, views, cluster)?;
    let space = std::mem::take(&mut start.space);
    let scratch = views.place().map(|dir| Scratch {
        dir: dir.join("sorting"),
        flight: view.flight().cloned(),
    });
    let mut gathered = Gathered {
        since: start.settled,
        history: History::since(start.settled),
        doubts: BTreeMap::new(),
        sorter: Sorter::new(scratch, RUN_BYTES),
        report: RecoveryReport {
            rebuilt: start.settled == Seq::default(),
            orphans_from: start.oldest_in_flight,
            ..RecoveryReport::default()
        },
        progress,
    };
    let from = |disk: &Arc<dyn Disk>| start.positions.get(&disk.number()).copied();
    let readings = present(pool).into_iter().map(|disk| {
        let from = from(&disk).unwrap_or_default();
        Reading::new(disk, from)
    });
    read_all(
        readings.collect(),
        pool.has_blocking_threads(),
        &mut gathered,
    )?;
    check_present(pool)?;
    let Gathered {
        mut history,
        doubts,
        sorter,
        mut report,
        ..
    } = gathered;
    report.old_disks = old_disks(pool, &history.logs);
    for old in &report.old_disks {
        history.logs.past.insert(old.disk, old.expected.0);
    }
    let adopted = decide(pool, doubts);
    report.void = adopted.void;
    report.adopted = adopted.commits.len() as u64;
    let outcome = Outcome {
        history: &history,
        counts_past: counts_past(pool, &history.logs),
        space: &space,
        merge: sorter.finish()?,
        keys: 0,
        recount: Recount::of(&*view, weigh)?,
        progress,
    };
    report.keys = if report.rebuilt {
        outcome.load(&*view)?
    } else {
        outcome.merge_into(&*view)?
    };
    let epoch = epoch_after(&history, &adopted.commits);
    report.epoch = epoch.epoch;
    Ok(Recovered {
        view,
        space,
        positions: start.positions,
        epoch,
        report,
        adopted: adopted.commits,
    })
}

fn epoch_after(history: &History, adopted: &[Adopted]) -> EpochBody {
    let mut all = history.adopted();
    all.extend(adopted.iter().map(|commit| commit.seq));
    all.sort_unstable();
    all.dedup();
    EpochBody {
        epoch: history.epoch + 1,
        settled: history.settled,
        adopted: all,
        logs: history.logs.clone(),
    }
}

/// With as many disks lost as may be, what disks that came back old have is all that there is.
fn counts_past(pool: &Pool, logs: &LogEnds) -> bool {
    let sound = present(pool).into_iter();
    let sound = sound.filter(|disk| !logs.past.contains_key(&disk.number()));
    sound.count() + pool.profile().parity() < pool.disks().len()
}

/// The view and its checkpoint; an empty view where the old one is missing, of another cluster, or older than what was trimmed.
fn open_view(
    pool: &Pool,
    views: &dyn ViewSource,
    cluster: &Bytes,
) -> Result<(Arc<dyn View>, CheckpointState), RecoveryError> {
    let floor = present(pool)
        .iter()
        .map(|disk| disk.trim_floor())
        .max()
        .unwrap_or_default();
    if let Ok(view) = views.open() {
        match CheckpointState::load(&*view) {
            Ok(Some(state)) if state.cluster == *cluster && state.settled >= floor => {
                return Ok((view, state));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "metadata view is damaged and will be rebuilt"),
        }
    }
    views.wipe()?;
    Ok((views.open()?, CheckpointState::default()))
}

/// What the logs say of the keys, in order.
struct Outcome<'a> {
    history: &'a History,
    /// Whether a record counts that only disks which came back old have.
    counts_past: bool,
    space: &'a SegmentSpace,
    merge: Merge,
    keys: u64,
    recount: Recount,
    progress: Callback<'a>,
}

impl Outcome<'_> {
    /// The newest valid change of the next key; the space of the others is booked as dead.
    fn next(&mut self) -> Result<Option<Item>, ViewError> {
        loop {
            let Some(item) = self.merge.next()? else {
                return Ok(None);
            };
            let mut newest = self.valid(&item).then_some(item);
            while let Some(item) = self.older_than(newest.as_ref())? {
                if !self.valid(&item) {
                    continue;
                }
                match &newest {
                    Some(newest) => self.space.bury_value(&newest.key, &item.value),
                    None => newest = Some(item),
                }
            }
            if newest.is_some() {
                return Ok(newest);
            }
        }
    }

    fn older_than(&mut self, newest: Option<&Item>) -> Result<Option<Item>, ViewError> {
        let is_same = newest.is_some_and(|newest| self.merge.next_key() == Some(&newest.key));
        if is_same { self.merge.next() } else { Ok(None) }
    }

    fn valid(&self, item: &Item) -> bool {
        let value = &item.value;
        // A deletion counts wherever it is found.
        let is_past =
            !self.counts_past && value.value.is_some() && self.history.logs.are_past(&value.homes);
        !is_past && self.history.verdict(value.seq) == Verdict::Valid
    }

    fn count(&mut self) {
        self.keys += 1;
        if self.keys.is_multiple_of(10_000) {
            (self.progress)(Progress {
                stage: ProgressStage::Load,
                done_bytes: self.keys,
                total_bytes: 0,
            });
        }
    }

    /// Fills an empty view. Returns how many keys it has then.
    fn load(mut self, view: &dyn View) -> Result<u64, ViewError> {
        let mut deltas = Deltas::default();
        let mut entries = std::iter::from_fn(|| {
            loop {
                match self.next() {
                    Ok(Some(item)) if item.value.value.is_some() => {
                        self.count();
                        let value = item.value.value.as_deref();
                        self.recount.row(&mut deltas, &item.key, None, value);
                        return Some(Ok((item.key, item.value.encode())));
                    }
                    Ok(Some(item)) => self.space.bury_tombstone(&item.key, &item.value.homes),
                    Ok(None) => return None,
                    Err(error) => return Some(Err(error)),
                }
            }
        });
        view.load(&mut entries)?;
        for changes in self.recount.changes(&deltas).chunks(BATCH) {
            view.apply(changes)?;
        }
        Ok(self.keys)
    }

    /// Brings a view up to date. Returns how many keys changed.
    fn merge_into(mut self, view: &dyn View) -> Result<u64, ViewError> {
        let (mut changes, mut deltas) = (Vec::with_capacity(BATCH), Deltas::default());
        while let Some(item) = self.next()? {
            let Some(change) = self.change(view, item, &mut deltas)? else {
                continue;
            };
            changes.push(change);
            self.count();
            if changes.len() == BATCH {
                self.apply(view, &mut changes, &mut deltas)?;
            }
        }
        self.apply(view, &mut changes, &mut deltas)?;
        Ok(self.keys)
    }

    /// Applies a batch, and what it makes of the tallies.
    fn apply(
        &mut self,
        view: &dyn View,
        changes: &mut Vec<ViewChange>,
        deltas: &mut Deltas,
    ) -> Result<(), ViewError> {
        if changes.is_empty() {
            return Ok(());
        }
        changes.extend(self.recount.changes(&std::mem::take(deltas)));
        view.apply(changes)?;
        changes.clear();
        Ok(())
    }

    /// What `item` changes in the view, which may have seen it already.
    fn change(
        &mut self,
        view: &dyn View,
        item: Item,
        deltas: &mut Deltas,
    ) -> Result<Option<ViewChange>, ViewError> {
        let Item { key, mut value } = item;
        let known = view.get(&key)?;
        let known = known.and_then(|bytes| ViewValue::decode(&bytes));
        let old = known.as_ref().and_then(|known| known.value.clone());
        match known {
            Some(known) if known.seq > value.seq => {
                self.space.bury_value(&key, &value);
                return Ok(None);
            }
            Some(known) if known.seq == value.seq => {
                let more = known.homes.into_iter();
                let more: Vec<_> = more.filter(|home| !value.homes.contains(home)).collect();
                value.homes.extend(more);
            }
            Some(known) => self.space.bury_value(&key, &known),
            None => {}
        }
        self.recount
            .row(deltas, &key, old.as_deref(), value.value.as_deref());
        let encoded = value.value.is_some().then(|| value.encode());
        if encoded.is_none() {
            self.space.bury_tombstone(&key, &value.homes);
        }
        Ok(Some(ViewChange {
            key,
            value: encoded,
        }))
    }
}

/// What was in doubt, judged.
struct Judged {
    commits: Vec<Adopted>,
    void: u64,
}

/// Judges what is in doubt; what counts, oldest first.
fn decide(pool: &Pool, doubts: BTreeMap<Seq, Doubt>) -> Judged {
    let mut judged = Judged {
        commits: Vec::new(),
        void: 0,
    };
    for (seq, doubt) in doubts {
        match judge(pool, seq, doubt) {
            Some(commit) => judged.commits.push(commit),
            None => judged.void += 1,
        }
    }
    judged
}

/// The commit, if its changes are known and its inline blob, if it has one, can be read back.
fn judge(pool: &Pool, seq: Seq, mut doubt: Doubt) -> Option<Adopted> {
    let (body, copies) = doubt.whole()?;
    if mutation::is_active(Mutation::VoidDoubts) {
        return None;
    }
    let decoded = decode_commit(&body)?;
    let first = decoded.changes.first();
    let value = first.and_then(|first| first.value.as_ref());
    let placement = value.and_then(|value| inline_placement(value, decoded.placement_bytes));
    let lacks_shards = match placement {
        None => false,
        Some((placement, _)) => {
            let good = good_shards(pool, &placement, &doubt.shards);
            if good < placement.profile.data() {
                return None;
            }
            // Where no disk is left for a further shard, writing anew gains nothing.
            good < placement.profile.total().min(present(pool).len())
        }
    };
    Some(Adopted {
        seq,
        body,
        changes: decoded.changes,
        placement_bytes: decoded.placement_bytes,
        copies,
        lacks_shards: lacks_shards && !mutation::is_active(Mutation::SkipRenewal),
    })
}

fn good_shards(
    pool: &Pool,
    placement: &BlobPlacement,
    shards: &[(DiskNo, Address, u32, u8)],
) -> usize {
    let is_good = |(disk, address, bytes, index): &&(DiskNo, Address, u32, u8)| {
        let shard = read_shard(pool, *disk, *address, *bytes);
        shard.is_ok_and(|shard| verify_shard(&shard, placement.layout(), placement.blob, *index))
    };
    shards.iter().filter(is_good).count()
}

fn read_shard(
    pool: &Pool,
    disk: DiskNo,
    address: Address,
    shard_bytes: u32,
) -> Result<Vec<u8>, DiskError> {
    let disk = pool.disk(disk).ok_or(DiskError::NotFound)?;
    let mut shard = vec![0; shard_bytes as usize];
    let at = u64::from(address.offset) + u64::from(FRAME_HEADER_BYTES);
    let segment = disk.open_segment(address.segment)?;
    segment.read_exact_at(&mut shard, at, ReadMode::MayBlock)?;
    Ok(shard)
}
