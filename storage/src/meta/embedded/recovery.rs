//! Opening: the view is brought up to what the logs say, or rebuilt from nothing, before anything is served.
//!
//! 1. *One pass* over the logs of all disks at once (`scan`): epoch and checkpoint frames tell which commits are settled, which are void,
//!    and which are in doubt, those of the last epoch that no checkpoint covers (`history`). Changes of commits that are no longer in
//!    doubt are sorted by key, in bounded memory (`sorted`).
//! 2. *Decision*: a commit in doubt is adopted if its changes are found and its blob can be rebuilt, else void. An
//!    acknowledged one always can be, with at most `m` disks missing. Adopted ones are copied to as many disks as they should be
//!    on, and blobs that lack shards are committed once more, whole: nobody may see what a loss of `m` disks could take.
//! 3. *Outcome* (`replay`): now that all is known, the highest valid sequence number of each key wins, and the view gets the keys in order: an
//!    empty one as sorted tables, another one as changes.
//! 4. A new epoch starts; its frame, on every disk, names what was adopted, so that a disk that was away can't bring
//!    back what was void.
//! 5. Only now the view takes what was adopted. A crash before leaves everything in doubt, for the next start to decide anew; a
//!    view that had seen it would not forget.

mod history;
mod replay;
mod scan;
mod sorted;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;

#[cfg(any(test, feature = "testing"))]
pub(super) use self::history::{History, Verdict};
use self::replay::recover;
use super::{
    Caller, Embedded, Pending, append_one,
    body::EpochBody,
    in_order_of_choice,
    locks::{Held, KeyLocks},
    log_ends::{KnownLogs, OldDisk},
    reclaim::stripe_error,
    space::{SegmentSpace, inline_placement},
    tallies::Tallies,
    wait::Wait,
};
use crate::{
    disk::{Address, BlobId, Disk, DiskError, DiskNo, Frame, FrameKind, Health, Seq},
    meta::{
        Change, MetaError, Transaction,
        keys::heal_key,
        tally::Weigh,
        view::{View, ViewError, ViewSource},
    },
    stripes::Pool,
};

/// How far the opening is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: ProgressStage,
    /// Log bytes that were looked at; keys where the view is filled.
    pub done_bytes: u64,
    /// Log bytes to look at; 0 where it is not known.
    pub total_bytes: u64,
}

/// What an opening is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressStage {
    /// Replaying what came after the last checkpoint.
    Replay,
    /// Rebuilding the view from the whole logs.
    Rebuild,
    /// Putting what was found into the view.
    Load,
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
    /// Keys that the view has if it was rebuilt, or that were brought up to date.
    pub keys: u64,
    /// Log bytes that were no valid frames, torn ends included.
    pub damaged_bytes: u64,
    /// Where they are; at most a thousand segments are named.
    pub damages: Vec<Damage>,
    /// Disks that came back as they were at an earlier time.
    pub old_disks: Vec<OldDisk>,
    /// Extents from this number on may be orphans.
    pub orphans_from: BlobId,
}

/// Log bytes of one segment that were no valid frames. What they held is read from other disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The disk.
    pub disk: DiskNo,
    /// Where it is.
    pub location: String,
    /// The segment.
    pub segment: u32,
    /// Bytes amid good frames: rot, or sectors that can't be read.
    pub bytes: u64,
    /// Bytes after the last good frame: what a crash tears.
    pub tail_bytes: u64,
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
        weigh: Weigh,
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
            weigh,
            tallies: parking_lot::RwLock::default(),
            logs: Mutex::default(),
            upkeep: tokio::sync::Mutex::new(()),
            moving: Arc::default(),
            max_pending_bytes: super::MAX_PENDING_BYTES.into(),
            short_deletions: 0.into(),
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
            let weigh = self.weigh;
            let work = move || recover(&pool, &*on, &cluster, weigh, &*shown);
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
            mut epoch,
            report,
            adopted,
        } = recovered;
        self.pool.set_epoch(epoch.epoch);
        let generation = self.sequencer.lock().restart(epoch.epoch);
        *self.locks.write() = Arc::new(KeyLocks::new(generation));
        *self.positions.lock() = positions;
        self.space.replace(space);
        *self.logs.lock() = KnownLogs::new(std::mem::take(&mut epoch.logs));
        self.bury_the_past();
        self.view.replace(view);
        let engine = self;
        engine
            .take_back_old_disks(&report.old_disks, epoch.settled)
            .await;
        let mut renewed = engine.renew_blobs(&adopted).await;
        engine.complete_copies(&adopted).await;
        epoch.logs = engine.log_ends();
        engine
            .append_everywhere(FrameKind::Epoch, &epoch.encode())
            .await;
        let booked = Arc::clone(engine);
        let take_effect = move |view: &dyn View| {
            let tallies = Arc::new(Tallies::load(view)?);
            *booked.tallies.write() = Arc::clone(&tallies);
            let mut adopted = adopted.iter();
            adopted.try_for_each(|commit| booked.take_effect((view, &tallies), commit))
        };
        engine.view.off_thread(take_effect).await?;
        for (pending, durable) in &mut renewed.whole {
            pending.take_effect(durable).await?;
        }
        engine.checkpoint_alone().await?;
        match engine.remember_all_degraded(renewed.degraded).await {
            // With as many disks missing as may be, nothing can be written, and all must be read.
            Err(MetaError::Unavailable(why)) => {
                tracing::warn!(
                    why,
                    "adopted objects that stay degraded are not queued for healing"
                );
            }
            remembered => remembered?,
        }
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
    fn take_effect(&self, at: (&dyn View, &Tallies), commit: &Adopted) -> Result<(), ViewError> {
        self.apply_changes(
            at,
            None,
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
