//! Giving back the space of mostly dead segments.
//!
//! What is alive in the victim is committed anew (read, verified, coded again, so that moving also heals); tombstones that
//! may still be needed are appended again as they are; then the view is persisted, so that no start looks for the segment, and the file is removed.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{
    Embedded,
    body::{CheckpointBody, ViewValue, decode_commit, encode_commit},
    space::inline_placement,
    wait::Wait,
};
use crate::{
    disk::{Disk, DiskNo, Frame, FrameKind, Health, ScannedFrame, SegmentInfo, Seq},
    meta::{Change, Committed, Meta, MetaError, Precondition, Revision, Transaction},
    mutation::{self, Mutation},
    stripes::{BlobPlacement, BlobReader, BlobWriter, FinishedBlob, InlineBlob, Job, StripeError},
};

/// A segment with at least this share of dead bytes is rewritten, in percent.
const VICTIM_PERCENT: u64 = 40;
/// If this share of all logs is dead, the oldest segment is rewritten though it may be mostly alive, in percent: so
/// tombstones find an end, too.
const TOTAL_PERCENT: u64 = 20;
/// Commits that move records at the same time.
const MOVES_AT_ONCE: usize = 32;

/// What one reclaim did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Bytes of the segment that was removed.
    pub freed_bytes: u64,
    /// Records that were moved.
    pub moved: u64,
}

/// A segment to rewrite, and its disk.
type Victim = (Arc<dyn Disk>, SegmentInfo);

/// What must survive the removal of a segment.
#[derive(Debug, Default)]
struct Survivors {
    /// Keys whose current value is in the segment, with the number of that value.
    alive: BTreeMap<Bytes, Seq>,
    /// Frames to append again as they are.
    kept: Vec<(FrameKind, Seq, Bytes)>,
}

impl Embedded {
    /// Rewrites and removes one segment, if one is worth it. `None`: nothing to do.
    ///
    /// # Errors
    /// [`MetaError`]: the segment stays; nothing is lost.
    pub async fn reclaim_once(self: &Arc<Self>) -> Result<Option<Reclaimed>, MetaError> {
        let _keep_frames = self.moving.lock().await;
        let _one_at_a_time = self.upkeep.lock().await;
        let engine = Arc::clone(self);
        let Some((disk, segment)) = self.pool.blocking(move || engine.victim()).await? else {
            return Ok(None);
        };
        let result = self.rewrite(&disk, segment).await;
        if matches!(result, Err(MetaError::Corrupt(_))) {
            // What can't be moved stays. Other segments get their turn: it would be chosen for ever.
            self.space.forget(disk.number(), segment.number);
        }
        result.map(Some)
    }

    async fn rewrite(
        self: &Arc<Self>,
        disk: &Arc<dyn Disk>,
        segment: SegmentInfo,
    ) -> Result<Reclaimed, MetaError> {
        // A commit with a frame in the segment may still be on its way to the view, which would not know it for alive.
        let last = Seq(self.sequencer.lock().next.0 - 1);
        self.wait_until_settled(last).await;
        let (engine, victim) = (Arc::clone(self), Arc::clone(disk));
        let survivors = self.on_disk(disk, move || engine.survivors(&victim, segment.number));
        let survivors = tokio::select! {
            survivors = survivors => survivors?,
            // The job may hang in it. It changes nothing.
            () = self.view.failed() => return Err(super::rebuilding()),
        };
        let moved = self.move_alive(survivors.alive).await?;
        self.append_again(disk, &survivors.kept).await;
        if disk.health() != Health::Good && !survivors.kept.is_empty() {
            return Err(MetaError::Unavailable(format!(
                "{} failed while reclaiming",
                disk.location()
            )));
        }
        let settled = self.checkpoint_alone().await?.settled;
        // The checkpoint's own mark must be durable before older views are declared stale.
        self.view.off_thread(|view| view.persist()).await?;
        let victim = Arc::clone(disk);
        self.on_disk(disk, move || -> Result<(), MetaError> {
            victim.set_trim_floor(settled)?;
            Ok(victim.remove_segment(segment.number)?)
        })
        .await?;
        self.space.forget(disk.number(), segment.number);
        Ok(Reclaimed {
            freed_bytes: segment.bytes,
            moved,
        })
    }

    /// Runs `work` on `disk`, off the async threads and not beyond the disk's being given up.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        disk: &Arc<dyn Disk>,
        work: impl FnOnce() -> Result<T, MetaError> + Send + 'static,
    ) -> Result<T, MetaError> {
        let jobs: Vec<(DiskNo, Job<_>)> = vec![(disk.number(), Box::new(work))];
        let result = self.pool.on_disks(1, jobs).await.pop().flatten();
        let out = || MetaError::Unavailable(format!("{} is out", disk.location()));
        result.unwrap_or_else(|| Err(out()))
    }

    /// The segment to rewrite: the deadest, or the oldest where dead bytes are spread thinly.
    fn victim(&self) -> Result<Option<Victim>, MetaError> {
        let mut sealed = Vec::new();
        let (mut total, mut dead) = (0, 0);
        let disks = self.pool.disks();
        let usable = |disk: &&Arc<dyn Disk>| !matches!(disk.health(), Health::Failed(_));
        for disk in disks.here().filter(usable) {
            for segment in disk
                .segments()?
                .into_iter()
                .filter(|segment| !segment.active)
            {
                let bytes = self
                    .space
                    .dead_bytes(disk.number(), segment.number)
                    .min(segment.bytes);
                total += segment.bytes;
                dead += bytes;
                sealed.push((Arc::clone(disk), segment, bytes));
            }
        }
        let share = |dead: u64, bytes: u64| dead * 100 / bytes.max(1);
        let deadest = sealed
            .iter()
            .max_by_key(|(_, segment, dead)| share(*dead, segment.bytes));
        if let Some((disk, segment, bytes)) = deadest
            && share(*bytes, segment.bytes) >= VICTIM_PERCENT
        {
            return Ok(Some((Arc::clone(disk), *segment)));
        }
        if share(dead, total) < TOTAL_PERCENT {
            return Ok(None);
        }
        let oldest = sealed
            .into_iter()
            .min_by_key(|(_, segment, _)| segment.opened_at);
        Ok(oldest.map(|(disk, segment, _)| (disk, segment)))
    }

    fn survivors(&self, disk: &Arc<dyn Disk>, segment: u32) -> Result<Survivors, MetaError> {
        let horizon = self.horizon(Some((disk.number(), segment)))?;
        let mut survivors = Survivors::default();
        let mut result = Ok(());
        disk.scan(segment, 0, &mut |frame| {
            if result.is_ok() {
                result = self.sort_frame(&frame, horizon, &mut survivors);
            }
        })?;
        result.map(|()| survivors)
    }

    /// Tombstones below this number have nothing left to hide: every remaining segment of every disk is younger.
    pub(super) fn horizon(&self, victim: Option<(DiskNo, u32)>) -> Result<Seq, MetaError> {
        let mut horizon = Seq(u64::MAX);
        for disk in &self.pool.disks() {
            // What a missing disk still holds is not known: keep everything for its return.
            let Ok(disk) = &disk.disk else {
                return Ok(Seq::default());
            };
            let segments = disk.segments()?;
            let others = segments
                .iter()
                .filter(|s| victim != Some((disk.number(), s.number)));
            horizon = horizon.min(others.map(|s| s.opened_at).min().unwrap_or(horizon));
        }
        Ok(horizon)
    }

    fn sort_frame(
        &self,
        frame: &ScannedFrame,
        horizon: Seq,
        survivors: &mut Survivors,
    ) -> Result<(), MetaError> {
        match frame.kind {
            FrameKind::Epoch => survivors
                .kept
                .push((frame.kind, frame.seq, frame.meta.clone())),
            FrameKind::Checkpoint => {
                let void =
                    CheckpointBody::decode(&frame.meta).is_some_and(|body| !body.void.is_empty());
                if void {
                    survivors
                        .kept
                        .push((frame.kind, frame.seq, frame.meta.clone()));
                }
            }
            FrameKind::Shard => self.note_alive(&frame.meta, frame.seq, survivors)?,
            FrameKind::Commit => {
                let Some(body) = decode_commit(&frame.meta) else {
                    let message = format!("changes of commit {} do not decode", frame.seq.0);
                    return Err(MetaError::Corrupt(message));
                };
                let mut tombstones = Vec::new();
                for change in body.changes {
                    if change.value.is_some() {
                        self.note_alive(&change.key, frame.seq, survivors)?;
                    } else if frame.seq >= horizon
                        && self.view.current()?.get(&change.key)?.is_none()
                    {
                        tombstones.push(change);
                    }
                }
                if !tombstones.is_empty() {
                    let meta = encode_commit(0, &tombstones).into();
                    survivors.kept.push((FrameKind::Commit, frame.seq, meta));
                }
            }
        }
        Ok(())
    }

    fn note_alive(
        &self,
        key: &Bytes,
        seq: Seq,
        survivors: &mut Survivors,
    ) -> Result<(), MetaError> {
        if let Some(bytes) = self.view.current()?.get(key)?
            && ViewValue::peek(&bytes).is_some_and(|(current, _)| current == seq)
        {
            survivors.alive.insert(key.clone(), seq);
        }
        Ok(())
    }

    async fn move_alive(self: &Arc<Self>, alive: BTreeMap<Bytes, Seq>) -> Result<u64, MetaError> {
        let count = alive.len() as u64;
        if mutation::is_active(Mutation::SkipMoves) {
            return Ok(count);
        }
        let mut moves = stream::iter(alive)
            .map(|(key, seq)| {
                let engine = Arc::clone(self);
                async move { engine.move_one(key, seq).await }
            })
            .buffer_unordered(MOVES_AT_ONCE);
        while let Some(moved) = moves.next().await {
            match moved {
                // Replaced meanwhile: nothing to move any more.
                Ok(()) | Err(MetaError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    async fn move_one(self: Arc<Self>, key: Bytes, seq: Seq) -> Result<(), MetaError> {
        self.renew(key, seq).await.map(drop)
    }

    /// Commits the value of `key` once more, if it is still at `seq`: its copies and the shards of its inline blob get new places
    /// among the disks that are good now. Needs `k` good shards. `None`: it is not at `seq` any more.
    ///
    /// # Errors
    /// [`MetaError::Conflict`]: it was replaced meanwhile. Others: it stays as it is.
    pub(crate) async fn renew(
        self: &Arc<Self>,
        key: Bytes,
        seq: Seq,
    ) -> Result<Option<Committed>, MetaError> {
        let Some(bytes) = self.view.get(&key).await? else {
            return Ok(None);
        };
        let Some(current) = ViewValue::decode(&bytes).filter(|current| current.seq == seq) else {
            return Ok(None);
        };
        let Some(mut value) = current.value else {
            return Ok(None);
        };
        let record_bytes = value.len().checked_sub(current.placement_bytes);
        let record_bytes = record_bytes.ok_or_else(|| super::damaged(&key))?;
        let inline = if current.placement_bytes == 0 {
            None
        } else {
            // Without its placement the record would name no shards any more, and the segment that has them would go.
            let placement = inline_placement(&value, current.placement_bytes);
            let (placement, _) = placement.ok_or_else(|| super::damaged(&key))?;
            Some(self.recode(placement).await.map_err(stripe_error)?)
        };
        value.truncate(record_bytes);
        let transaction = Transaction {
            changes: vec![Change {
                key: key.clone(),
                value: Some(value),
            }],
            preconditions: vec![Precondition {
                key,
                revision: Some(Revision(seq.0)),
            }],
            inline,
            ..Transaction::default()
        };
        self.commit(transaction).await.map(Some)
    }

    /// Reads an inline blob and codes it anew, with its own profile.
    pub(super) async fn recode(&self, placement: BlobPlacement) -> Result<InlineBlob, StripeError> {
        let (size, profile) = (placement.size, placement.profile);
        let mut reader = BlobReader::open(&self.pool, placement, 0..size)?;
        let mut writer = BlobWriter::new(&self.pool, profile, Some(size))?;
        while let Some(bytes) = reader.next().await {
            writer.write(bytes?).await?;
        }
        match writer.finish().await? {
            FinishedBlob::Inline(inline) => Ok(inline),
            other => Err(StripeError::LengthMismatch {
                expected_bytes: size,
                got_bytes: other.size(),
            }),
        }
    }

    async fn append_again(&self, disk: &Arc<dyn Disk>, kept: &[(FrameKind, Seq, Bytes)]) {
        let wait = Wait::new();
        for (kind, seq, meta) in kept {
            let frame = Frame {
                kind: *kind,
                seq: *seq,
                shard_index: 0,
                meta,
                shard: &[],
            };
            let sequencer = self.sequencer.lock();
            if disk
                .next_address(super::bytes_of(&frame), sequencer.next)
                .is_ok()
            {
                super::append_expected(disk, &frame, &wait);
            }
        }
        wait.done().await;
    }
}

pub(super) fn stripe_error(error: StripeError) -> MetaError {
    match error {
        StripeError::Full => MetaError::Full,
        other => MetaError::Unavailable(other.to_string()),
    }
}
