//! What the view does not show and must not be lost either: deletions, and which commits count.
//!
//! A deletion is a frame on `m+1` disks. As long as any disk may hold an older frame of its key, these copies must stay as many: else a
//! later loss brings the object back. The same holds for epoch and checkpoint frames, which say what is void. The view knows
//! nothing of either, so when a disk was replaced (or its log lost), the logs of the others are read through once, and what has too few
//! copies is appended again where it is missing.
//!
//! Invariants:
//! - Only deletions of commits that are settled are appended again: a frame with a part of a commit that is in doubt could be
//!   taken for all of it.
//! - Only deletions, never values: a value that gets a copy in a young segment would outlive the tombstone that hides it, which
//!   is kept only as long as an old segment is there.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::{
    Embedded,
    body::{CheckpointBody, decode_commit, encode_commit},
    wait::Wait,
};
use crate::{
    disk::{Disk, DiskNo, Frame, FrameKind, Health, ScannedFrame, SegmentInfo, Seq},
    meta::{Change, MetaError, view::View},
    mutation::{self, Mutation},
    stripes::Role,
};

/// Bytes of keys that are held at a time. A pass that meets more is made in parts.
const TABLE_BYTES: usize = 32 << 20;
/// Frames appended before their sync is waited for.
const APPENDS_AT_ONCE: usize = 1024;

/// A pass over all logs. Keeps reclaim from moving frames while it lives.
pub(crate) struct KnowledgePass {
    engine: Arc<Embedded>,
    _moving: OwnedMutexGuard<()>,
    /// Nothing above is touched.
    settled: Seq,
    horizon: Seq,
    /// The disks that the pass is about; their positions here are those of the bits.
    disks: Vec<DiskNo>,
    segments: Vec<(usize, Arc<dyn Disk>, SegmentInfo)>,
    /// The next segment to look at.
    at: usize,
    table: Arc<Mutex<Table>>,
    /// Frames that were appended again.
    appended: u64,
}

/// What one step of a pass did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnowledgeStep {
    /// Bytes read.
    pub(crate) bytes: u64,
    /// Whether the pass is through.
    pub(crate) done: bool,
    /// Frames that the pass has appended again by now.
    pub(crate) appended: u64,
}

/// The position of a disk whose copies don't count.
const NOWHERE: usize = usize::MAX;

/// Where frames were found: a bit per disk, by its position in the pass. More disks than bits cost further copies, no harm.
type Disks = u128;

#[derive(Debug, Default)]
struct Table {
    /// Per key its highest tombstone.
    tombstones: BTreeMap<Bytes, (Seq, Disks)>,
    bytes: usize,
    /// Epoch frames and the checkpoint frames that name void commits.
    history: BTreeMap<(u8, Seq), (Bytes, Disks)>,
    /// Keys whose hash is `part` modulo `parts` are looked at; the others later.
    part: u64,
    parts: u64,
}

impl std::fmt::Debug for KnowledgePass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnowledgePass")
            .field("at", &self.at)
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

impl Table {
    fn takes(&self, key: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish() % self.parts.max(1) == self.part
    }

    fn note_tombstone(&mut self, key: &[u8], seq: Seq, disk: usize) {
        if !self.takes(key) {
            return;
        }
        let bytes = key.len() + 64;
        let mut added = false;
        // A copy: the frame's memory is a segment's.
        let known = self
            .tombstones
            .entry(Bytes::copy_from_slice(key))
            .or_insert_with(|| {
                added = true;
                (seq, 0)
            });
        if known.0 < seq {
            *known = (seq, 0);
        }
        if known.0 == seq {
            known.1 |= bit(disk);
        }
        self.bytes += if added { bytes } else { 0 };
        if self.bytes > TABLE_BYTES {
            self.halve();
        }
    }

    /// Looks at half the keys only, from now on and of those that are known.
    fn halve(&mut self) {
        self.parts = self.parts.max(1) * 2;
        let known = std::mem::take(&mut self.tombstones);
        let kept = known.into_iter().filter(|(key, _)| self.takes(key));
        self.tombstones = kept.collect();
        let bytes = self.tombstones.keys().map(|key| key.len() + 64);
        self.bytes = bytes.sum();
    }

    fn note_history(&mut self, frame: &ScannedFrame, disk: usize) {
        let known = self
            .history
            .entry((frame.kind as u8, frame.seq))
            .or_insert_with(|| (Bytes::copy_from_slice(&frame.meta), 0));
        known.1 |= bit(disk);
    }

    /// Goes on with the next part of the keys; false after the last one.
    fn next_part(&mut self) -> bool {
        self.tombstones.clear();
        self.bytes = 0;
        self.part += 1;
        self.part < self.parts.max(1)
    }
}

fn bit(disk: usize) -> Disks {
    u32::try_from(disk)
        .ok()
        .and_then(|disk| Disks::from(1_u8).checked_shl(disk))
        .unwrap_or(0)
}

impl Embedded {
    /// Begins a pass over the logs of all disks that are here.
    ///
    /// # Errors
    /// [`MetaError`]: try again later.
    pub(crate) async fn knowledge_pass(self: &Arc<Self>) -> Result<KnowledgePass, MetaError> {
        let moving = Arc::clone(&self.moving).lock_owned().await;
        let settled = self.checkpoint().await?.settled;
        let mut pass = KnowledgePass {
            engine: Arc::clone(self),
            _moving: moving,
            settled,
            horizon: self.horizon(None)?,
            disks: Vec::new(),
            segments: Vec::new(),
            at: 0,
            table: Arc::default(),
            appended: 0,
        };
        for entry in &self.pool.disks() {
            let here = entry.here().filter(|_| super::is_usable(entry));
            let Some(disk) = here else { continue };
            // What is on a disk that is being drained has to be on the others as well.
            let position = match entry.role {
                Role::Draining => NOWHERE,
                Role::Member => pass.disks.len(),
            };
            if entry.role == Role::Member {
                pass.disks.push(disk.number());
            }
            let segments = disk.segments()?.into_iter();
            pass.segments
                .extend(segments.map(|segment| (position, Arc::clone(disk), segment)));
        }
        Ok(pass)
    }
}

impl KnowledgePass {
    /// Reads one segment, or appends what was found to be missing.
    ///
    /// # Errors
    /// [`MetaError`]: the pass has come to nothing; begin another one.
    pub(crate) async fn step(&mut self) -> Result<KnowledgeStep, MetaError> {
        let Some((position, disk, segment)) = self.segments.get(self.at).cloned() else {
            return self.end_part().await;
        };
        self.at += 1;
        let work = Work {
            view: self.engine.view.current()?,
            table: Arc::clone(&self.table),
            settled: self.settled,
            horizon: self.horizon,
            position,
        };
        let scanned = Arc::clone(&disk);
        let looked = self
            .engine
            .on_disk(&disk, move || work.look_at(&scanned, segment.number));
        tokio::select! {
            biased;
            looked = looked => looked?,
            // The job may hang in it. It changes nothing.
            () = self.engine.view.failed() => return Err(super::rebuilding()),
        };
        Ok(KnowledgeStep {
            bytes: segment.bytes,
            done: false,
            appended: self.appended,
        })
    }

    async fn end_part(&mut self) -> Result<KnowledgeStep, MetaError> {
        self.complete().await?;
        let more = self.table.lock().next_part();
        if more {
            self.at = 0;
        }
        Ok(KnowledgeStep {
            bytes: 0,
            done: !more,
            appended: self.appended,
        })
    }

    /// Appends what has too few copies to disks that lack it.
    async fn complete(&mut self) -> Result<(), MetaError> {
        let lacking = self.lacking();
        for some in lacking.chunks(APPENDS_AT_ONCE) {
            let wait = Wait::new();
            let mut asked = Vec::with_capacity(some.len());
            for (disk, kind, seq, meta) in some {
                let frame = Frame {
                    kind: *kind,
                    seq: *seq,
                    shard_index: 0,
                    meta,
                    shard: &[],
                };
                let sequencer = self.engine.sequencer.lock();
                // The segment's age is that of what else comes into it, not that of the frame.
                let place = disk.next_address(super::bytes_of(&frame), sequencer.next);
                let appended = place
                    .ok()
                    .and_then(|_| super::append_expected(disk, &frame, &wait));
                drop(sequencer);
                let Some(address) = appended else {
                    let out = format!("{} takes no frames", disk.location());
                    return Err(MetaError::Unavailable(out));
                };
                asked.push(disk.number());
                // Dead as soon as nothing older is left: so that reclaim finds its segment some day.
                let home = [(disk.number(), address.segment)];
                self.engine.space.bury_tombstone(meta, &home);
            }
            let durable = wait.done().await;
            if durable.len() < asked.len() {
                return Err(MetaError::Unavailable("a disk failed meanwhile".into()));
            }
            self.appended += asked.len() as u64;
        }
        Ok(())
    }

    fn lacking(&self) -> Vec<(Arc<dyn Disk>, FrameKind, Seq, Bytes)> {
        let good = self.good_disks();
        let wanted = self.engine.copies_wanted().min(good.len());
        let table = self.table.lock();
        let mut lacking = Vec::new();
        for (key, (seq, on)) in &table.tombstones {
            if mutation::is_active(Mutation::SkipTombstones) {
                break;
            }
            let meta: Bytes = encode_commit(0, &[tombstone(key)]).into();
            for disk in missing_on(&good, *on, wanted, *seq) {
                lacking.push((disk, FrameKind::Commit, *seq, meta.clone()));
            }
        }
        for ((kind, seq), (meta, on)) in &table.history {
            let kind = if *kind == FrameKind::Epoch as u8 {
                FrameKind::Epoch
            } else {
                FrameKind::Checkpoint
            };
            for disk in missing_on(&good, *on, good.len(), *seq) {
                lacking.push((disk, kind, *seq, meta.clone()));
            }
        }
        lacking
    }

    fn good_disks(&self) -> Vec<(usize, Arc<dyn Disk>)> {
        let disks = self.engine.pool.disks();
        let good = disks.here().filter_map(|disk| {
            let number = disk.number();
            let position = self.disks.iter().position(|known| *known == number)?;
            let is_out = matches!(disk.health(), Health::Failed(_));
            (!is_out).then(|| (position, Arc::clone(disk)))
        });
        good.collect()
    }
}

/// Disks for further copies, so that there are `wanted`; another one first for each number.
fn missing_on(
    good: &[(usize, Arc<dyn Disk>)],
    on: Disks,
    wanted: usize,
    seq: Seq,
) -> Vec<Arc<dyn Disk>> {
    let has = |position: usize| on & bit(position) != 0;
    let count = good.iter().filter(|(position, _)| has(*position)).count();
    let start = usize::try_from(seq.0 % good.len().max(1) as u64).unwrap_or(0);
    let rotated = good.iter().cycle().skip(start).take(good.len());
    rotated
        .filter(|(position, _)| !has(*position))
        .take(wanted.saturating_sub(count))
        .map(|(_, disk)| Arc::clone(disk))
        .collect()
}

fn tombstone(key: &Bytes) -> Change {
    Change {
        key: key.clone(),
        value: None,
    }
}

/// What the reading of a segment needs.
struct Work {
    view: Arc<dyn View>,
    table: Arc<Mutex<Table>>,
    settled: Seq,
    horizon: Seq,
    position: usize,
}

impl Work {
    fn look_at(&self, disk: &Arc<dyn Disk>, segment: u32) -> Result<(), MetaError> {
        let mut result = Ok(());
        disk.scan(segment, 0, &mut |frame| {
            if result.is_ok() {
                result = self.note(&frame);
            }
        })?;
        result
    }

    fn note(&self, frame: &ScannedFrame) -> Result<(), MetaError> {
        match frame.kind {
            FrameKind::Epoch => self.table.lock().note_history(frame, self.position),
            FrameKind::Checkpoint => {
                let body = CheckpointBody::decode(&frame.meta);
                if body.is_some_and(|body| !body.void.is_empty()) {
                    self.table.lock().note_history(frame, self.position);
                }
            }
            FrameKind::Commit if frame.seq >= self.horizon && frame.seq <= self.settled => {
                self.note_deletions(frame)?;
            }
            FrameKind::Commit | FrameKind::Shard => {}
        }
        Ok(())
    }

    fn note_deletions(&self, frame: &ScannedFrame) -> Result<(), MetaError> {
        // What does not decode is for recovery and scrub to report.
        let changes = decode_commit(&frame.meta).map_or(Vec::new(), |body| body.changes);
        for change in changes.into_iter().filter(|change| change.value.is_none()) {
            if self.view.get(&change.key)?.is_none() {
                let mut table = self.table.lock();
                table.note_tombstone(&change.key, frame.seq, self.position);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    #[test]
    fn a_table_that_is_halved_comes_to_every_key_in_some_part() {
        let mut table = Table::default();
        let mut seen = BTreeMap::new();
        for part in 0.. {
            for number in 0..1000 {
                table.note_tombstone(&key(number), Seq(5), 1);
                if part == 0 && number == 500 {
                    table.halve();
                    table.halve();
                }
            }
            assert!(table.tombstones.len() < 500, "{}", table.tombstones.len());
            for key in table.tombstones.keys() {
                *seen.entry(key.clone()).or_insert(0) += 1;
            }
            if !table.next_part() {
                break;
            }
        }
        assert_eq!(seen.len(), 1000);
        assert!(seen.values().all(|count| *count == 1));
    }

    #[test]
    fn of_a_key_only_the_highest_tombstone_counts() {
        let mut table = Table::default();
        for (seq, disk) in [(5, 0), (7, 1), (5, 2), (7, 3)] {
            table.note_tombstone(&key(1), Seq(seq), disk);
        }
        assert_eq!(table.tombstones[&key(1)], (Seq(7), 0b1010));
    }
}
