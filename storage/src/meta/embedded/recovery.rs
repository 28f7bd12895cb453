//! Opening: the view is brought up to what the logs say, or rebuilt from nothing, before anything is served.
//!
//! 1. *History*: epoch and checkpoint frames tell which commits are settled, which are void, and which are in doubt: those of
//!    the last epoch that no checkpoint covers.
//! 2. *Replay*: settled commits are applied, the highest sequence number of a key winning. Commits in doubt are gathered.
//! 3. *Decision*: a commit in doubt is adopted if its changes are found and its blob can be rebuilt, else void. An
//!    acknowledged one always can be, with at most `m` disks missing. Adopted ones are copied to as many disks as they should be
//!    on, and blobs that lack shards are committed once more, whole: nobody may see what a loss of `m` disks could take.
//! 4. A new epoch starts; its frame, on every disk, names what was adopted, so that a disk that was away can't bring
//!    back what was void.
//! 5. Only now the view takes what was adopted. A crash before leaves everything in doubt, for the next start to decide anew; a
//!    view that had seen it would not forget.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    Caller, Embedded, Pending, append_one,
    body::{CheckpointBody, EpochBody, ViewValue, decode_commit},
    checkpoint::CheckpointState,
    in_order_of_choice,
    locks::{Held, KeyLocks},
    reclaim::stripe_error,
    space::{SegmentSpace, inline_placement},
    wait::Wait,
};
use crate::{
    disk::{
        Address, BlobId, Disk, DiskError, DiskNo, FRAME_HEADER_BYTES, Frame, FrameKind, Health,
        ReadMode, ScannedFrame, Seq,
    },
    meta::{
        Change, MetaError, Transaction,
        keys::heal_key,
        view::{View, ViewChange, ViewError, ViewSource},
    },
    mutation::{self, Mutation},
    stripes::{BlobPlacement, Pool, verify_shard},
};

/// Keys gathered before they are written to the view.
const OVERLAY_KEYS: usize = 50_000;

/// How far the opening is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: ProgressStage,
    /// Log bytes that were looked at.
    pub done_bytes: u64,
    /// Log bytes to look at.
    pub total_bytes: u64,
}

/// What an opening is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressStage {
    /// Replaying what came after the last checkpoint.
    Replay,
    /// Rebuilding the view from the whole logs.
    Rebuild,
}

/// What an opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The epoch that started.
    pub epoch: u32,
    /// Whether the view was rebuilt from nothing.
    pub rebuilt: bool,
    /// Frames replayed.
    pub frames: u64,
    /// Commits in doubt that count.
    pub adopted: u64,
    /// Commits in doubt that don't.
    pub void: u64,
    /// Log bytes that were no valid frames.
    pub damaged_bytes: u64,
    /// Extents from this number on may be orphans.
    pub orphans_from: BlobId,
}

/// Why an engine can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Too few disks for reading everything.
    #[error("{present} disks are here, {needed} needed to read")]
    TooFewDisks {
        /// Here.
        present: usize,
        /// Needed.
        needed: usize,
    },
    /// A disk failed on the way.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The view failed on the way.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A commit failed on the way.
    #[error(transparent)]
    Meta(#[from] MetaError),
}

type Callback<'a> = &'a (dyn Fn(Progress) + Sync);

/// What epoch and checkpoint frames say.
#[derive(Debug, Default)]
pub(super) struct History {
    epoch: u32,
    settled: Seq,
    void: HashSet<Seq>,
    closed: BTreeMap<u32, EpochBody>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Valid,
    Void,
    InDoubt,
}

/// A commit that is neither settled nor void yet.
#[derive(Debug, Default)]
struct Doubt {
    body: Option<Bytes>,
    copies: Vec<(DiskNo, u32)>,
    shards: Vec<(DiskNo, ScannedFrame)>,
}

/// Everything that replay needs and makes.
struct Replay<'a> {
    pool: &'a Pool,
    view: &'a dyn View,
    start: &'a CheckpointState,
    space: &'a SegmentSpace,
    history: History,
    overlay: HashMap<Bytes, ViewValue>,
    deleted: Vec<Bytes>,
    doubts: BTreeMap<Seq, Doubt>,
    adopted: Vec<Seq>,
    report: RecoveryReport,
}

impl History {
    pub(super) fn read(&mut self, frame: &ScannedFrame) {
        self.epoch = self.epoch.max(frame.seq.epoch());
        match frame.kind {
            FrameKind::Epoch => {
                if let Some(body) = EpochBody::decode(&frame.meta) {
                    self.epoch = self.epoch.max(body.epoch);
                    self.settled = self.settled.max(body.settled);
                    self.closed.insert(body.epoch, body);
                }
            }
            FrameKind::Checkpoint => {
                if let Some(body) = CheckpointBody::decode(&frame.meta) {
                    self.settled = self.settled.max(body.settled);
                    self.void.extend(body.void);
                }
            }
            FrameKind::Commit | FrameKind::Shard => {}
        }
    }

    pub(super) fn verdict(&self, seq: Seq) -> Verdict {
        if self.void.contains(&seq) {
            return Verdict::Void;
        }
        let closing = self.closed.range(seq.epoch() + 1..).next();
        match closing {
            Some((_, body)) if seq <= body.settled || body.adopted.binary_search(&seq).is_ok() => {
                Verdict::Valid
            }
            Some(_) => Verdict::Void,
            None if seq <= self.settled => Verdict::Valid,
            None => Verdict::InDoubt,
        }
    }
}

impl Embedded {
    /// Opens the engine on the disks of `pool`, with the view of `views`, which is rebuilt if it is absent or stale.
    /// When it returns, what it serves is durable, and a new epoch has begun.
    ///
    /// # Errors
    /// [`RecoveryError`]: nothing was changed that a further try would miss.
    pub async fn open(
        pool: Arc<Pool>,
        views: Arc<dyn ViewSource>,
        cluster: &str,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<(Arc<Self>, RecoveryReport), RecoveryError> {
        let engine = Arc::new(Self {
            pool,
            view: Arc::default(),
            cluster: Bytes::copy_from_slice(cluster.as_bytes()),
            locks: parking_lot::RwLock::new(Arc::new(KeyLocks::new(0))),
            sequencer: Mutex::default(),
            settled: tokio::sync::Notify::new(),
            positions: Mutex::default(),
            space: SegmentSpace::default(),
            upkeep: tokio::sync::Mutex::new(()),
            moving: Arc::default(),
            max_pending_bytes: super::MAX_PENDING_BYTES.into(),
        });
        let report = engine.rebuild_view(views, progress).await?;
        Ok((engine, report))
    }

    /// Reads the logs into a view of `views`. To be called while nothing is appended. A place of the view that does not answer
    /// is left for the next one.
    pub(super) async fn recover(
        &self,
        views: &Arc<dyn ViewSource>,
        progress: &Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<Recovered, RecoveryError> {
        loop {
            check_present(&self.pool)?;
            let seen = views.watch().map_or(0, |watch| watch.losses());
            let (pool, cluster) = (Arc::clone(&self.pool), self.cluster.clone());
            let (on, shown) = (Arc::clone(views), Arc::clone(progress));
            let work = move || recover(&pool, &*on, &cluster, &*shown);
            let recovered = self.pool.blocking(work);
            let Some(watch) = views.watch() else {
                return recovered.await;
            };
            tokio::select! {
                biased;
                recovered = recovered => return recovered,
                // Its thread is left to itself.
                () = watch.until_more_losses(seen) => {}
            }
        }
    }

    /// Goes on from what recovery found, in a new epoch. To be called with the upkeep lock and while commits are held off.
    pub(super) async fn begin_epoch(
        self: &Arc<Self>,
        recovered: Recovered,
    ) -> Result<RecoveryReport, RecoveryError> {
        let Recovered {
            view,
            space,
            positions,
            epoch,
            report,
            adopted,
        } = recovered;
        self.pool.set_epoch(epoch.epoch);
        let generation = self.sequencer.lock().restart(epoch.epoch);
        *self.locks.write() = Arc::new(KeyLocks::new(generation));
        *self.positions.lock() = positions;
        self.space.replace(space);
        self.view.replace(view);
        let engine = self;
        let mut renewed = engine.renew_blobs(&adopted).await;
        engine.complete_copies(&adopted).await;
        engine
            .append_everywhere(FrameKind::Epoch, &epoch.encode())
            .await;
        let booked = Arc::clone(engine);
        let take_effect = move |view: &dyn View| {
            let mut adopted = adopted.iter();
            adopted.try_for_each(|commit| booked.take_effect(view, commit))
        };
        engine.view.off_thread(take_effect).await?;
        for (pending, durable) in &mut renewed.whole {
            pending.take_effect(durable).await?;
        }
        engine.checkpoint_alone().await?;
        engine.remember_all_degraded(renewed.degraded).await?;
        Ok(report)
    }

    /// Queues these for healing, as recovery: commits are still held off.
    async fn remember_all_degraded(self: &Arc<Self>, keys: Vec<Bytes>) -> Result<(), MetaError> {
        for key in keys {
            let change = Change {
                key: heal_key(&key),
                value: Some(Bytes::new()),
            };
            let transaction = Transaction {
                changes: vec![change],
                ..Transaction::default()
            };
            let mut pending = self.append(transaction, Held::default(), Caller::Recovery)?;
            let durable = pending.make_durable().await?;
            pending.take_effect(&durable).await?;
        }
        Ok(())
    }

    /// Writes blobs of adopted commits that lack shards once more, unless a later one replaces them. Durable, but not in the view yet.
    async fn renew_blobs(self: &Arc<Self>, adopted: &[Adopted]) -> Renewed {
        let mut last = HashMap::new();
        for commit in adopted {
            let keys = commit.changes.iter().map(|change| &change.key);
            last.extend(keys.map(|key| (key, commit.seq)));
        }
        let mut renewed = Renewed::default();
        for commit in adopted.iter().filter(|commit| commit.lacks_shards) {
            let key = &commit.changes[0].key;
            if last.get(key) != Some(&commit.seq) {
                continue;
            }
            match self.renew_blob(commit).await {
                Ok(whole) => renewed.whole.push(whole),
                Err(error) => {
                    tracing::warn!(%error, "an adopted object stays degraded");
                    renewed.degraded.push(key.clone());
                }
            }
        }
        renewed
    }

    async fn renew_blob(
        self: &Arc<Self>,
        commit: &Adopted,
    ) -> Result<(Pending, Vec<DiskNo>), MetaError> {
        let Change { key, value } = commit.changes[0].clone();
        let value = value.unwrap_or_default();
        let (placement, _) = inline_placement(&value, commit.placement_bytes)
            .ok_or_else(|| MetaError::Corrupt("an adopted blob has no placement".into()))?;
        let record = value.slice(..value.len() - commit.placement_bytes);
        let inline = self.recode(placement).await.map_err(stripe_error)?;
        let change = Change {
            key,
            value: Some(record),
        };
        let transaction = Transaction {
            changes: vec![change],
            inline: Some(inline),
            ..Transaction::default()
        };
        // Nothing is served yet, so no lock is needed.
        let mut pending = self.append(transaction, Held::default(), Caller::Recovery)?;
        let durable = pending.make_durable().await?;
        Ok((pending, durable))
    }

    /// Brings an adopted commit's changes into the view. In ascending order of number, after all that is settled.
    fn take_effect(&self, view: &dyn View, commit: &Adopted) -> Result<(), ViewError> {
        self.apply_changes(
            view,
            commit.seq,
            &commit.changes,
            commit.placement_bytes,
            &commit.copies,
        )
    }

    /// Appends the adopted commits to disks that lack their copy.
    async fn complete_copies(&self, adopted: &[Adopted]) {
        let wait = Wait::new();
        let wanted = self.copies_wanted().min(self.good_disks());
        for commit in adopted {
            let meta = &commit.body[..];
            let frame = Frame {
                kind: FrameKind::Commit,
                seq: commit.seq,
                shard_index: 0,
                meta,
                shard: &[],
            };
            let disks = self.pool.disks();
            let _order = self.sequencer.lock();
            let has =
                |disk: &Arc<dyn Disk>| commit.copies.iter().any(|(on, _)| *on == disk.number());
            for disk in in_order_of_choice(&disks)
                .filter(|disk| !has(disk))
                .take(wanted.saturating_sub(commit.copies.len()))
            {
                append_one(disk, &frame, &wait);
            }
        }
        wait.done().await;
    }
}

/// What [`recover`] hands to the engine.
pub(super) struct Recovered {
    view: Arc<dyn View>,
    space: SegmentSpace,
    positions: BTreeMap<DiskNo, Address>,
    epoch: EpochBody,
    report: RecoveryReport,
    /// What was in doubt and counts, in ascending order.
    adopted: Vec<Adopted>,
}

/// A commit that was in doubt and counts.
struct Adopted {
    seq: Seq,
    body: Bytes,
    changes: Vec<Change>,
    placement_bytes: usize,
    /// Disks and segments that have its changes.
    copies: Vec<(DiskNo, u32)>,
    lacks_shards: bool,
}

/// What became of blobs that lacked shards.
#[derive(Default)]
struct Renewed {
    /// Written once more, with the disks on which the new commit is durable.
    whole: Vec<(Pending, Vec<DiskNo>)>,
    /// Keys of those that could not be.
    degraded: Vec<Bytes>,
}

/// The disks that can be read. One that turns out to be unreadable on the way is given up: the rest goes on without it.
fn present(pool: &Pool) -> Vec<Arc<dyn Disk>> {
    let disks = pool.disks();
    let readable = disks
        .here()
        .filter(|disk| !matches!(disk.health(), Health::Failed(_)));
    readable.cloned().collect()
}

/// Whether enough disks are left for reading everything.
fn check_present(pool: &Pool) -> Result<(), RecoveryError> {
    let (present, needed) = (present(pool).len(), pool.profile().data());
    if present < needed {
        return Err(RecoveryError::TooFewDisks { present, needed });
    }
    Ok(())
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

fn recover(
    pool: &Pool,
    views: &dyn ViewSource,
    cluster: &Bytes,
    progress: Callback<'_>,
) -> Result<Recovered, RecoveryError> {
    let (view, mut start) = open_view(pool, views, cluster)?;
    let space = std::mem::take(&mut start.space);
    for disk in present(pool) {
        // What a crashed process left in the page cache is not durable yet, and is about to be believed.
        let from = start.positions.get(&disk.number());
        if let Err(error) = disk.sync_segments(from.map_or(0, |address| address.segment)) {
            disk.give_up(&error.to_string());
        }
    }
    let rebuilt = start.settled == Seq::default();
    let stage = if rebuilt {
        ProgressStage::Rebuild
    } else {
        ProgressStage::Replay
    };
    let mut replay = Replay {
        pool,
        view: &*view,
        start: &start,
        space: &space,
        history: History {
            settled: start.settled,
            epoch: start.settled.epoch(),
            ..History::default()
        },
        overlay: HashMap::new(),
        deleted: Vec::new(),
        doubts: BTreeMap::new(),
        adopted: Vec::new(),
        report: RecoveryReport {
            rebuilt,
            orphans_from: start.oldest_in_flight,
            ..RecoveryReport::default()
        },
    };
    let damaged = replay.scan(
        &mut |replay, _, frame| {
            replay.history.read(&frame);
            Ok(())
        },
        &|_, _| (),
    )?;
    replay.report.damaged_bytes = damaged;
    replay.scan(&mut Replay::take, &|done_bytes, total_bytes| {
        progress(Progress {
            stage,
            done_bytes,
            total_bytes,
        });
    })?;
    check_present(pool)?;
    let adopted = replay.decide();
    replay.flush()?;
    replay.purge()?;
    replay.adopted.sort_unstable();
    replay.adopted.dedup();
    let epoch = EpochBody {
        epoch: replay.history.epoch + 1,
        settled: replay.history.settled,
        adopted: std::mem::take(&mut replay.adopted),
    };
    let mut report = std::mem::take(&mut replay.report);
    drop(replay);
    report.epoch = epoch.epoch;
    let positions = start.positions;
    Ok(Recovered {
        view,
        space,
        positions,
        epoch,
        report,
        adopted,
    })
}

type Visitor<'v, 'a> =
    &'v mut dyn FnMut(&mut Replay<'a>, DiskNo, ScannedFrame) -> Result<(), RecoveryError>;

impl<'a> Replay<'a> {
    /// Visits every frame after the checkpoint's positions, disk by disk; gives up disks that can't be read. Returns the damaged
    /// bytes.
    fn scan(
        &mut self,
        visit: Visitor<'_, 'a>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<u64, RecoveryError> {
        let mut parts = Vec::new();
        for disk in present(self.pool) {
            let from = self
                .start
                .positions
                .get(&disk.number())
                .copied()
                .unwrap_or_default();
            let segments = disk.segments().unwrap_or_else(|error| {
                disk.give_up(&error.to_string());
                Vec::new()
            });
            for segment in segments {
                if segment.number >= from.segment {
                    let offset = if segment.number == from.segment {
                        from.offset
                    } else {
                        0
                    };
                    parts.push((
                        Arc::clone(&disk),
                        segment.number,
                        offset,
                        segment.bytes.saturating_sub(offset.into()),
                    ));
                }
            }
        }
        let total: u64 = parts.iter().map(|part| part.3).sum();
        let (mut done, mut damaged) = (0, 0);
        for (disk, segment, offset, bytes) in parts {
            if matches!(disk.health(), Health::Failed(_)) {
                continue;
            }
            let mut result = Ok(());
            let end = disk.scan(segment, offset, &mut |frame| {
                if result.is_ok() {
                    result = visit(self, disk.number(), frame);
                }
            });
            result?;
            match end {
                Ok(end) => damaged += end.damaged_bytes,
                Err(error) => disk.give_up(&error.to_string()),
            }
            done += bytes;
            progress(done, total);
        }
        Ok(damaged)
    }

    fn take(&mut self, disk: DiskNo, frame: ScannedFrame) -> Result<(), RecoveryError> {
        let is_commit = frame.kind == FrameKind::Commit;
        if frame.seq <= self.start.settled || !(is_commit || frame.kind == FrameKind::Shard) {
            return Ok(());
        }
        self.report.frames += 1;
        match self.history.verdict(frame.seq) {
            Verdict::Valid if is_commit => {
                if frame.seq > self.history.settled {
                    self.adopted.push(frame.seq);
                }
                self.apply(frame.seq, &frame.meta, &[(disk, frame.address.segment)])?;
            }
            // A settled commit's shards are found through its changes.
            Verdict::Void | Verdict::Valid => {}
            Verdict::InDoubt => {
                let doubt = self.doubts.entry(frame.seq).or_default();
                if is_commit {
                    doubt.body = Some(frame.meta.clone());
                    doubt.copies.push((disk, frame.address.segment));
                }
                if frame.shard_bytes > 0 {
                    doubt.shards.push((disk, frame));
                }
            }
        }
        Ok(())
    }

    /// Applies a commit's changes where they are newer than what is known.
    fn apply(
        &mut self,
        seq: Seq,
        body: &Bytes,
        homes: &[(DiskNo, u32)],
    ) -> Result<(), RecoveryError> {
        let Some(body) = decode_commit(body) else {
            tracing::error!(seq = seq.0, "a frame with a good checksum does not decode");
            return Ok(());
        };
        for (index, change) in body.changes.into_iter().enumerate() {
            let placement_bytes = if index == 0 { body.placement_bytes } else { 0 };
            self.apply_change(seq, change, placement_bytes, homes)?;
        }
        if self.overlay.len() >= OVERLAY_KEYS {
            self.flush()?;
        }
        Ok(())
    }

    fn apply_change(
        &mut self,
        seq: Seq,
        change: Change,
        placement_bytes: usize,
        homes: &[(DiskNo, u32)],
    ) -> Result<(), RecoveryError> {
        let known = match self.overlay.get_mut(&change.key) {
            Some(known) if known.seq == seq => {
                known.homes.extend(
                    homes
                        .iter()
                        .filter(|home| !known.homes.contains(home))
                        .copied()
                        .collect::<Vec<_>>(),
                );
                return Ok(());
            }
            Some(known) => Some(known.clone()),
            None => self
                .view
                .get(&change.key)?
                .and_then(|bytes| ViewValue::decode(&bytes)),
        };
        let mut value = ViewValue {
            seq,
            value: change.value,
            placement_bytes,
            homes: homes.to_vec(),
        };
        match known {
            Some(known) if known.seq > seq => {
                self.space.bury(&change.key, &value.encode());
                return Ok(());
            }
            Some(known) if known.seq == seq => {
                value.homes.extend(
                    known
                        .homes
                        .iter()
                        .filter(|home| !homes.contains(home))
                        .copied(),
                );
            }
            Some(known) if known.value.is_some() => self.space.bury(&change.key, &known.encode()),
            _ => {}
        }
        self.overlay.insert(change.key, value);
        Ok(())
    }

    /// Judges what is in doubt; what counts, oldest first.
    fn decide(&mut self) -> Vec<Adopted> {
        let mut adopted = Vec::new();
        for (seq, doubt) in std::mem::take(&mut self.doubts) {
            match self.judge(seq, doubt) {
                Some(commit) => adopted.push(commit),
                None => self.report.void += 1,
            }
        }
        self.report.adopted = adopted.len() as u64;
        self.adopted.extend(adopted.iter().map(|commit| commit.seq));
        adopted
    }

    /// The commit, if its changes are known and its inline blob, if it has one, can be read back.
    fn judge(&self, seq: Seq, doubt: Doubt) -> Option<Adopted> {
        let body = doubt.body.clone()?;
        if mutation::is_active(Mutation::VoidDoubts) {
            return None;
        }
        let decoded = decode_commit(&body)?;
        let value = decoded
            .changes
            .first()
            .and_then(|first| first.value.as_ref());
        let placement = value.and_then(|value| inline_placement(value, decoded.placement_bytes));
        let lacks_shards = match placement {
            None => false,
            Some((placement, _)) => {
                let good = self.good_shards(&placement, &doubt);
                if good < placement.profile.data() {
                    return None;
                }
                // Where no disk is left for a further shard, writing anew gains nothing.
                good < placement.profile.total().min(present(self.pool).len())
            }
        };
        Some(Adopted {
            seq,
            body,
            changes: decoded.changes,
            placement_bytes: decoded.placement_bytes,
            copies: doubt.copies,
            lacks_shards: lacks_shards && !mutation::is_active(Mutation::SkipRenewal),
        })
    }

    fn good_shards(&self, placement: &BlobPlacement, doubt: &Doubt) -> usize {
        doubt
            .shards
            .iter()
            .filter(|(disk, frame)| self.is_good(placement, *disk, frame))
            .count()
    }

    fn is_good(&self, placement: &BlobPlacement, disk: DiskNo, frame: &ScannedFrame) -> bool {
        let read = || -> Result<Vec<u8>, DiskError> {
            let disk = self.pool.disk(disk).ok_or(DiskError::NotFound)?;
            let mut shard = vec![0; frame.shard_bytes as usize];
            let at = u64::from(frame.address.offset) + u64::from(FRAME_HEADER_BYTES);
            disk.open_segment(frame.address.segment)?.read_exact_at(
                &mut shard,
                at,
                ReadMode::MayBlock,
            )?;
            Ok(shard)
        };
        read().is_ok_and(|shard| {
            verify_shard(
                &shard,
                placement.layout(),
                placement.blob,
                frame.shard_index,
            )
        })
    }

    /// Writes the overlay to the view; deletions as marks, until nothing older can come any more.
    fn flush(&mut self) -> Result<(), RecoveryError> {
        let mut changes = Vec::with_capacity(1024);
        for (key, value) in self.overlay.drain() {
            if value.value.is_none() {
                self.deleted.push(key.clone());
            }
            changes.push(ViewChange {
                key,
                value: Some(value.encode()),
            });
            if changes.len() == 1024 {
                self.view.apply(&changes)?;
                changes.clear();
            }
        }
        if !changes.is_empty() {
            self.view.apply(&changes)?;
        }
        Ok(())
    }

    /// Removes the marks of deletions that still hold.
    fn purge(&mut self) -> Result<(), RecoveryError> {
        for keys in std::mem::take(&mut self.deleted).chunks(1024) {
            let mut changes = Vec::with_capacity(keys.len());
            for key in keys {
                let value = self
                    .view
                    .get(key)?
                    .and_then(|bytes| ViewValue::decode(&bytes));
                if let Some(value) = value.filter(|value| value.value.is_none()) {
                    self.space.bury_tombstone(key, &value.homes);
                    changes.push(ViewChange {
                        key: key.clone(),
                        value: None,
                    });
                }
            }
            self.view.apply(&changes)?;
        }
        Ok(())
    }
}
