//! Whether the logs hold what the view says they hold: each live record's copies, each live shard in the log.
//!
//! Segments are read front to back, and what is intact in them is noted as a set of hashes ([`Intact`]); then the view is walked, and what it
//! names in those segments but is not in the set is suspect. So each byte of the logs is read once, in order, whatever the records' keys; the
//! view is walked once per [`Intact`], whose size the caller bounds. A suspect is no damage yet: it may have been written, moved or
//! replaced meanwhile. The caller reads its segment again, and asks again whether the record is still the same.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    ops::RangeInclusive,
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Embedded,
    body::{ViewValue, decode_commit},
    checkpoint::CHECKPOINT_KEY,
    space::inline_placement,
};
use crate::{
    disk::{Address, Disk, DiskError, DiskNo, FrameKind, ScannedFrame, Seq},
    meta::{MetaError, view::View},
    stripes::{BlobPlacement, ShardPlace, verify_shard},
};

/// Something that the view says is in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Trace {
    /// A copy of a record, somewhere in a segment.
    Copy(DiskNo, u32),
    /// A shard, in the frame at this address.
    Shard(DiskNo, Address),
}

impl Trace {
    /// Where it is.
    pub(crate) fn segment(self) -> (DiskNo, u32) {
        match self {
            Self::Copy(disk, segment) => (disk, segment),
            Self::Shard(disk, address) => (disk, address.segment),
        }
    }
}

/// Something that should be in a segment and was not found intact there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suspect {
    /// The record.
    pub(crate) key: Bytes,
    /// When it was written.
    pub(crate) seq: Seq,
    /// What was not found.
    pub(crate) trace: Trace,
}

/// What was found intact: 8 bytes per thing.
#[derive(Debug, Default)]
pub(crate) struct Intact {
    hashes: Vec<u64>,
    is_sorted: bool,
}

impl Intact {
    fn note(&mut self, trace: Trace, key: &[u8], seq: Seq) {
        self.hashes.push(hash(trace, key, seq));
        self.is_sorted = false;
    }

    /// How many things were noted.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Adds what `other` has.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.hashes.extend(other.hashes);
        self.is_sorted = false;
    }

    /// To be called before it is asked.
    pub(crate) fn sort(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.is_sorted = true;
    }

    fn has(&self, trace: Trace, key: &[u8], seq: Seq) -> bool {
        debug_assert!(self.is_sorted, "asked before it was sorted");
        self.hashes.binary_search(&hash(trace, key, seq)).is_ok()
    }
}

fn hash(trace: Trace, key: &[u8], seq: Seq) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((trace, key, seq))
}

/// The segments that an [`Intact`] speaks of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cover {
    /// Per disk the numbers of the segments, those that are not there any more included.
    pub(crate) segments: BTreeMap<DiskNo, RangeInclusive<u32>>,
    /// What was written from here on may have come too late.
    pub(crate) before: Seq,
}

impl Cover {
    fn has(&self, trace: Trace) -> bool {
        let (disk, segment) = trace.segment();
        let range = self.segments.get(&disk);
        range.is_some_and(|range| range.contains(&segment))
    }
}

/// A step of a walk over the view.
#[derive(Debug)]
pub(crate) struct SuspectPage {
    pub(crate) suspects: Vec<Suspect>,
    /// Where to go on.
    pub(crate) next: Option<Vec<u8>>,
}

/// How far a step through a segment came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogStep {
    pub(crate) next: Option<u64>,
    /// Bytes of frames whose checks match.
    pub(crate) frame_bytes: u64,
    pub(crate) skipped_bytes: u64,
    pub(crate) unreadable_bytes: u64,
}

impl Embedded {
    /// The number of the next commit.
    pub(crate) fn next_seq(&self) -> Seq {
        self.sequencer.lock().next
    }

    /// Reads about `limit_bytes` of a segment and notes what is intact in it. Blocks.
    ///
    /// # Errors
    /// [`DiskError`], as [`Disk::inspect`].
    pub(crate) fn inspect_log(
        &self,
        disk: &Arc<dyn Disk>,
        segment: u32,
        offset: u64,
        limit_bytes: u64,
        intact: &mut Intact,
    ) -> Result<LogStep, DiskError> {
        let mut frame_bytes = 0;
        let number = disk.number();
        let inspected = disk.inspect(segment, offset, limit_bytes, &mut |frame, shard| {
            frame_bytes += u64::from(frame.frame_bytes);
            self.note_frame(number, &frame, shard, intact);
        })?;
        Ok(LogStep {
            next: inspected.next,
            frame_bytes,
            skipped_bytes: inspected.skipped_bytes,
            unreadable_bytes: inspected.unreadable_bytes,
        })
    }

    fn note_frame(&self, disk: DiskNo, frame: &ScannedFrame, shard: &[u8], intact: &mut Intact) {
        let seq = frame.seq;
        match frame.kind {
            FrameKind::Commit => {
                let Some(body) = decode_commit(&frame.meta) else {
                    return;
                };
                let copy = Trace::Copy(disk, frame.address.segment);
                for change in &body.changes {
                    if change.value.is_some() {
                        intact.note(copy, &change.key, seq);
                    }
                }
                if let Some(first) = body.changes.first()
                    && let Some(value) = &first.value
                    && let Some((placement, _)) = inline_placement(value, body.placement_bytes)
                {
                    note_shard(disk, frame, shard, &placement, &first.key, intact);
                }
            }
            FrameKind::Shard => {
                // What the shard is of only its record tells. Of a record that is gone nobody wants to know.
                if let Some(placement) = self.current_placement(&frame.meta, seq) {
                    note_shard(disk, frame, shard, &placement, &frame.meta, intact);
                }
            }
            FrameKind::Epoch | FrameKind::Checkpoint => {}
        }
    }

    fn current_placement(&self, key: &[u8], seq: Seq) -> Option<BlobPlacement> {
        let current = ViewValue::decode(&self.view.current().ok()?.get(key).ok()??)?;
        let value = current.value.filter(|_| current.seq == seq)?;
        inline_placement(&value, current.placement_bytes).map(|(placement, _)| placement)
    }

    /// Walks `limit` entries of the view from `from` on and gives what it names within `cover` and is not in `intact`.
    ///
    /// # Errors
    /// [`MetaError`]: the view fails.
    pub(crate) async fn suspects(
        &self,
        cover: Arc<Cover>,
        intact: Arc<Intact>,
        from: Vec<u8>,
        limit: usize,
    ) -> Result<SuspectPage, MetaError> {
        let look = move |view: &dyn View| {
            let mut suspects = Vec::new();
            let (mut seen, mut next) = (0, None);
            view.scan(&from, CHECKPOINT_KEY, &mut |key, bytes| {
                if seen == limit {
                    next = Some(key.to_vec());
                    return false;
                }
                seen += 1;
                suspect_traces(&cover, &intact, key, bytes, &mut suspects);
                true
            })?;
            Ok(SuspectPage { suspects, next })
        };
        Ok(self.view.off_thread(look).await?)
    }

    /// Whether the record is still the one that a suspect was found in, and still says that the trace is there.
    ///
    /// # Errors
    /// [`MetaError`]: the view fails.
    pub(crate) async fn still_names(&self, suspect: &Suspect) -> Result<bool, MetaError> {
        let Some(bytes) = self.view.get(&suspect.key).await? else {
            return Ok(false);
        };
        let current = ViewValue::decode(&bytes).filter(|current| current.seq == suspect.seq);
        Ok(current.is_some_and(|current| traces(&current).contains(&suspect.trace)))
    }

    /// Whether the things are intact, by what was read again.
    pub(crate) fn is_intact(intact: &Intact, suspect: &Suspect) -> bool {
        intact.has(suspect.trace, &suspect.key, suspect.seq)
    }

    /// Writes a record anew, with copies (and shards, if they are in the log) on good disks, unless it has changed.
    ///
    /// # Errors
    /// [`MetaError`]: it stays as it is.
    pub(crate) async fn renew_copies(
        self: &Arc<Self>,
        key: Bytes,
        seq: Seq,
    ) -> Result<(), MetaError> {
        match self.renew(key, seq).await.map(drop) {
            Err(MetaError::Conflict { .. }) => Ok(()),
            result => result,
        }
    }
}

fn note_shard(
    disk: DiskNo,
    frame: &ScannedFrame,
    shard: &[u8],
    placement: &BlobPlacement,
    key: &[u8],
    intact: &mut Intact,
) {
    let index = frame.shard_index;
    let is_here =
        placement.shards.get(usize::from(index)) == Some(&ShardPlace::Log(disk, frame.address));
    if is_here && verify_shard(shard, placement.layout(), placement.blob, index) {
        intact.note(Trace::Shard(disk, frame.address), key, frame.seq);
    }
}

fn suspect_traces(
    cover: &Cover,
    intact: &Intact,
    key: &[u8],
    bytes: &[u8],
    suspects: &mut Vec<Suspect>,
) {
    let Some((seq, _)) = ViewValue::peek(bytes).filter(|(seq, _)| *seq < cover.before) else {
        return;
    };
    let Some(value) = ViewValue::decode(&Bytes::copy_from_slice(bytes)) else {
        return;
    };
    for trace in traces(&value) {
        if cover.has(trace) && !intact.has(trace, key, seq) {
            suspects.push(Suspect {
                key: Bytes::copy_from_slice(key),
                seq,
                trace,
            });
        }
    }
}

/// All that a record says is in logs.
fn traces(value: &ViewValue) -> Vec<Trace> {
    let copies = value.homes.iter();
    let mut traces: Vec<_> = copies.map(|(d, s)| Trace::Copy(*d, *s)).collect();
    let placement = value.value.as_ref();
    let placement = placement.and_then(|v| inline_placement(v, value.placement_bytes));
    for place in placement.map(|(p, _)| p.shards).unwrap_or_default() {
        if let ShardPlace::Log(disk, address) = place {
            traces.push(Trace::Shard(disk, address));
        }
    }
    traces
}
