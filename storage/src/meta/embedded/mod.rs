//! The embedded metadata engine: the truth in the disks' logs, a materialised view beside it.
//!
//! A commit takes its keys' locks, checks its preconditions against the view, appends one frame to each disk that gets a
//! shard of its inline blob or a copy of its changes, waits until the frames are durable, applies the changes to
//! the view, and releases the locks. Commits on different keys share the disks' group commits and nothing else.
//!
//! Invariants:
//! - The view never holds a commit that is not durable on `m+1` disks (or on all good ones, where they are fewer).
//! - Per key the highest sequence number wins, so replaying frames in any order gives the same view.
//! - Every frame above the view's checkpoint position belongs to a commit that the checkpoint may lack, never below.
//!
//! Lock order: key locks, then the sequencer, then a disk's own. No lock but key locks is held across an await.

#[cfg(any(test, feature = "testing"))]
pub mod audit;
mod body;
mod checkpoint;
mod failover;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod fuzzing;
mod heal;
pub(crate) mod inspect;
mod knowledge;
mod locks;
mod log_ends;
mod reclaim;
mod recovery;
mod space;
mod tallies;
#[cfg(test)]
mod tests;
mod wait;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use body::ViewValue as Stored;
pub use checkpoint::CheckpointOutcome;
pub use log_ends::OldDisk;
pub use reclaim::Reclaimed;
pub use recovery::{Damage, Progress, ProgressStage, RecoveryError, RecoveryReport};
pub(crate) use space::inline_placement;

use self::{
    body::ViewValue,
    locks::{Held, KeyLocks},
    log_ends::KnownLogs,
    space::SegmentSpace,
    tallies::{Reservation, Tallies},
    wait::Wait,
};
use super::{
    Change, Committed, Entry, MAX_COMMIT_BYTES, MAX_COMMIT_KEYS, MAX_KEY_BYTES, MAX_VALUE_BYTES,
    Meta, MetaError, Precondition, Revision, Transaction, Versioned,
    keys::{UNTOLD, heal_key},
    tally::{Deltas, Tally, Weigh},
    view::{SwitchView, Turn, View, ViewChange, ViewError},
};
use crate::{
    disk::{Address, Disk, DiskError, DiskNo, FRAME_HEADER_BYTES, Frame, FrameKind, Health, Seq},
    mutation::{self, Mutation},
    stripes::{BlobPlacement, Disks, InlineBlob, Pool, PoolDisk, Role, ShardForm, ShardPlace},
};

/// Bytes queued for one disk's log above which commits wait, unless set.
const MAX_PENDING_BYTES: u64 = 64 << 20;

/// The engine. Made by [`Embedded::open`].
#[derive(Debug)]
pub struct Embedded {
    pool: Arc<Pool>,
    view: Arc<SwitchView>,
    /// Which cluster's: a view of another is of no use.
    cluster: Bytes,
    /// Exchanged with the view: who hangs in the old view may hold some for ever.
    locks: parking_lot::RwLock<Arc<KeyLocks>>,
    sequencer: Mutex<Sequencer>,
    /// Notified whenever a commit leaves the sequencer's flight list.
    settled: Notify,
    /// Where each disk's log stood at the last checkpoint that saw the disk.
    positions: Mutex<BTreeMap<DiskNo, Address>>,
    space: SegmentSpace,
    weigh: Weigh,
    /// Those of the view, exchanged with it.
    tallies: parking_lot::RwLock<Arc<Tallies>>,
    logs: Mutex<KnownLogs>,
    /// One checkpoint or reclaim at a time.
    upkeep: tokio::sync::Mutex<()>,
    /// Held by who moves frames from segment to segment, and by who looks for frames in all of them. Taken before `upkeep`.
    moving: Arc<tokio::sync::Mutex<()>>,
    max_pending_bytes: AtomicU64,
    /// Deletions of which the disks that stay got too few copies.
    short_deletions: AtomicU64,
}

/// Gives sequence numbers; whoever holds it appends, so frames of one disk are in order of number.
#[derive(Debug, Default)]
struct Sequencer {
    next: Seq,
    in_flight: BTreeSet<Seq>,
    /// Commits that failed and that no checkpoint frame has named yet.
    void: Vec<Seq>,
    /// Bytes appended to all disks since the last checkpoint.
    appended_bytes: u64,
    /// Commits are refused: the view is being rebuilt.
    is_held: bool,
    /// Grows with each view. Locks of an earlier one count no more.
    generation: u64,
}

impl Sequencer {
    /// Begins an epoch, held. The generation of its locks.
    fn restart(&mut self, epoch: u32) -> u64 {
        let generation = self.generation + 1;
        *self = Self {
            next: Seq::new(epoch, 1),
            is_held: true,
            generation,
            ..Self::default()
        };
        generation
    }
}

/// A commit whose frames are on their way. Finishing it is not optional: the locks are released only when the view
/// agrees with the log.
#[derive(Debug)]
struct Pending {
    engine: Arc<Embedded>,
    seq: Seq,
    changes: Vec<Change>,
    placement_bytes: usize,
    /// Disks and segments that got a copy of the changes.
    copies: Vec<(DiskNo, u32)>,
    /// Disks that got a shard; empty without an inline blob.
    shards: Vec<DiskNo>,
    /// Shards that must be durable.
    shards_needed: usize,
    /// Shards of the blob in all.
    shards_total: usize,
    wait: Arc<Wait>,
    /// Room below the limits that it keeps to.
    reservation: Option<Reservation>,
    /// Once it is on its way into the view.
    effect: Option<Turn<()>>,
    _held: Held,
}

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// A commit, which waits while the view is rebuilt.
    Client,
    /// Recovery itself.
    Recovery,
}

/// Finishes its commit in a task of its own if the future that waits for it is dropped.
struct Detachable(Option<Pending>);

/// A frame that is about to be appended.
struct Planned<'a> {
    disk: &'a Arc<dyn Disk>,
    address: Option<Address>,
    /// Index and blocks of the shard that goes here.
    shard: Option<(u8, &'a Bytes)>,
    copy: bool,
}

#[async_trait]
impl Meta for Arc<Embedded> {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, MetaError> {
        let Some(bytes) = self.view.get(key).await? else {
            return Ok(None);
        };
        let (seq, value) = ViewValue::peek(&bytes).ok_or_else(|| damaged(key))?;
        Ok(Some(Versioned {
            revision: Revision(seq.0),
            value: bytes.slice_ref(value),
        }))
    }

    async fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, MetaError> {
        let own = || {
            let (from, to) = (Bytes::copy_from_slice(from), Bytes::copy_from_slice(to));
            move |view: &dyn View| scan_page(view, &from, &to, limit)
        };
        let here = |view: &dyn View| scan_page(view, from, to, limit);
        self.view.read(here, own).await?
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, MetaError> {
        check_limits(&transaction)?;
        if self.view.is_failed() {
            // What can't be applied should not be begun: its outcome would be open.
            return Err(rebuilding());
        }
        self.wait_for_room().await?;
        let held = self.lock(&transaction).await?;
        for precondition in &transaction.preconditions {
            self.check(precondition).await?;
        }
        let reservation = self.reserve(&transaction).await?;
        let mut pending = self.append(transaction, held, Caller::Client)?;
        pending.reservation = reservation;
        Detachable(Some(pending)).finish().await
    }

    fn tally(&self, group: u64) -> Tally {
        self.tallies.read().of(group)
    }
}

/// Up to `limit` entries of `view`.
fn scan_page(
    view: &dyn View,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> Result<Result<Vec<Entry>, MetaError>, ViewError> {
    let mut entries = Vec::new();
    let mut bad = None;
    view.scan(from, to, &mut |key, bytes| {
        if entries.len() == limit {
            return false;
        }
        let Some((seq, value)) = ViewValue::peek(bytes) else {
            bad = Some(damaged(key));
            return false;
        };
        entries.push(Entry {
            key: Bytes::copy_from_slice(key),
            revision: Revision(seq.0),
            value: Bytes::copy_from_slice(value),
        });
        entries.len() < limit
    })?;
    Ok(bad.map_or(Ok(entries), Err))
}

impl Embedded {
    /// Locks the keys of `transaction`. Who holds a lock may hang in a view that does not answer: nobody waits for that.
    async fn lock(&self, transaction: &Transaction) -> Result<Held, MetaError> {
        let locks = Arc::clone(&self.locks.read());
        tokio::select! {
            biased;
            held = locks.lock(transaction) => Ok(held),
            () = self.view.failed() => Err(rebuilding()),
        }
    }

    async fn check(&self, precondition: &Precondition) -> Result<(), MetaError> {
        let found = match self.view.get(&precondition.key).await? {
            None => None,
            Some(bytes) => {
                let (seq, _) = ViewValue::peek(&bytes).ok_or_else(|| damaged(&precondition.key))?;
                Some(Revision(seq.0))
            }
        };
        if found == precondition.revision || mutation::is_active(Mutation::SkipPreconditions) {
            return Ok(());
        }
        Err(MetaError::Conflict {
            key: precondition.key.clone(),
        })
    }

    /// Holds room below the limits of `transaction`. Its keys are locked: what they have now is what it changes.
    async fn reserve(&self, transaction: &Transaction) -> Result<Option<Reservation>, MetaError> {
        if transaction.limits.is_empty() {
            return Ok(None);
        }
        let mut deltas = Deltas::default();
        for change in &transaction.changes {
            let old = self.view.get(&change.key).await?;
            let old = old.as_deref().and_then(ViewValue::peek);
            let old = old.map(|(_, value)| value);
            deltas.row(self.weigh, &change.key, old, change.value.as_deref());
        }
        let tallies = Arc::clone(&self.tallies.read());
        tallies.reserve(&transaction.limits, &deltas).map(Some)
    }

    /// Sets the bytes queued for one disk's log above which commits wait. Default 64 MiB. Larger: more memory where a disk is slow;
    /// smaller: bursts wait that the disk could have absorbed.
    pub fn set_max_pending(&self, bytes: u64) {
        self.max_pending_bytes.store(bytes, Ordering::Relaxed);
    }

    /// A disk is no member any more: nothing is expected of its log.
    pub(crate) fn forget_disk(&self, gone: DiskNo) {
        self.space.forget_disk(gone);
    }

    /// Waits while a disk is too far behind; refuses where it does not even answer.
    async fn wait_for_room(&self) -> Result<(), MetaError> {
        while self.overfull().is_some() {
            let settled = self.settled.notified();
            let news = self.pool.news();
            tokio::pin!(settled, news);
            settled.as_mut().enable();
            news.as_mut().enable();
            let Some(disk) = self.overfull() else { break };
            if self.pool.is_silent(disk.number()) {
                return Err(MetaError::Overloaded(disk.location()));
            }
            tokio::select! {
                () = settled => {}
                () = news => {}
            }
        }
        Ok(())
    }

    /// A disk with more in its queue than it should have; a silent one if there is one, since who waits for another is not told when that
    /// one has caught up.
    fn overfull(&self) -> Option<Arc<dyn Disk>> {
        let limit = self.max_pending_bytes.load(Ordering::Relaxed);
        let disks = self.pool.disks();
        let overfull = disks.here().filter(|disk| disk.pending_bytes() > limit);
        let silent_first = |disk: &&Arc<dyn Disk>| !self.pool.is_silent(disk.number());
        overfull.min_by_key(silent_first).cloned()
    }

    /// Refuses a blob for which too few disks have room, before anything is appended: a frame that is appended may be found
    /// after the next start.
    fn check_room(blob: &InlineBlob) -> Result<(), MetaError> {
        let health = blob.shards.iter().filter_map(|(disk, _)| disk.as_ref());
        let health: Vec<Health> = health.map(|disk| disk.health()).collect();
        let good = health
            .iter()
            .filter(|health| **health == Health::Good)
            .count();
        let needed = Pool::write_quorum(blob.profile);
        if good >= needed {
            return Ok(());
        }
        if health.contains(&Health::Full) {
            return Err(MetaError::Full);
        }
        Err(unavailable(good, needed))
    }

    /// Deletions of which the disks that stay got too few copies, since the start.
    pub(crate) fn short_deletions(&self) -> u64 {
        self.short_deletions.load(Ordering::Relaxed)
    }

    /// Copies of a commit's changes that make it survive the loss of any `m` disks.
    fn copies_wanted(&self) -> usize {
        self.pool.profile().parity() + 1
    }

    /// Takes a number, appends the frames, and returns what is to be waited for.
    fn append(
        self: &Arc<Self>,
        transaction: Transaction,
        held: Held,
        caller: Caller,
    ) -> Result<Pending, MetaError> {
        let Transaction {
            mut changes,
            inline,
            ..
        } = transaction;
        if let Some(blob) = &inline {
            Self::check_room(blob)?;
        }
        let wait = Wait::new();
        let mut sequencer = self.sequencer.lock();
        if caller == Caller::Client
            && (sequencer.is_held || held.generation() != sequencer.generation)
        {
            return Err(rebuilding());
        }
        let seq = sequencer.next;
        let disks = self.pool.disks();
        let mut planned = inline.as_ref().map(plan_inline).unwrap_or_default();
        if inline
            .as_ref()
            .is_some_and(|blob| planned.len() < blob.shards.len())
        {
            changes.push(Change {
                key: heal_key(&changes[0].key),
                value: Some(Bytes::new()),
            });
        }
        self.plan_copies(&disks, seq, &mut planned);
        let needed = Pool::write_quorum(self.pool.profile());
        if inline.is_none() && self.good_disks() < needed {
            return Err(unavailable(planned.len(), needed));
        }
        for plan in planned.iter_mut().take(self.copies_wanted()) {
            plan.copy = true;
        }
        let meta_bytes: usize = changes.iter().map(body::change_bytes).sum::<usize>() + 64 * 8 + 16;
        for plan in &mut planned {
            let shard = plan.shard.map_or(0, |(_, bytes)| bytes.len());
            let bytes =
                u32::try_from(FRAME_HEADER_BYTES as usize + shard + meta_bytes).unwrap_or(u32::MAX);
            plan.address = plan.disk.next_address(bytes, seq).ok();
        }
        let placement_bytes = match &inline {
            Some(blob) => add_placement(&mut changes[0], blob, &planned),
            None => 0,
        };
        let body = body::encode_commit(placement_bytes, &changes);
        let frames = append_frames(&planned, seq, &body, &changes[0].key, &wait);
        sequencer.next = Seq(seq.0 + 1);
        sequencer.in_flight.insert(seq);
        sequencer.appended_bytes += frames.bytes;
        drop(sequencer);
        let profile = inline
            .as_ref()
            .map_or(self.pool.profile(), |blob| blob.profile);
        Ok(Pending {
            engine: Arc::clone(self),
            seq,
            changes,
            placement_bytes,
            copies: frames.copies,
            shards: frames.shards,
            shards_needed: if inline.is_some() {
                Pool::write_quorum(profile)
            } else {
                0
            },
            shards_total: if inline.is_some() { profile.total() } else { 0 },
            wait,
            reservation: None,
            effect: None,
            _held: held,
        })
    }

    fn good_disks(&self) -> usize {
        self.pool
            .disks()
            .iter()
            .filter(|disk| is_usable(disk))
            .count()
    }

    /// Adds disks for copies where the blob goes to too few for them, or where there is none: a rotation over the good ones; disks that are
    /// being drained only where the others are too few.
    fn plan_copies<'a>(&self, disks: &'a Disks, seq: Seq, planned: &mut Vec<Planned<'a>>) {
        for role in [Role::Member, Role::Draining] {
            let lacking = self.copies_wanted().saturating_sub(planned.len());
            if lacking == 0 {
                return;
            }
            let has = |disk: &Arc<dyn Disk>| {
                let mut planned = planned.iter();
                planned.any(|plan| plan.disk.number() == disk.number())
            };
            let further = rotated(disks, role, seq).filter(|disk| !has(disk));
            let further: Vec<_> = further.take(lacking).collect();
            planned.extend(further.into_iter().map(|disk| Planned {
                disk,
                address: None,
                shard: None,
                copy: false,
            }));
        }
    }

    /// Appends further copies of a commit on good disks that have none yet; for when a disk failed under it.
    fn append_copies(&self, pending: &mut Pending, count: usize) {
        let body = body::encode_commit(pending.placement_bytes, &pending.changes);
        let frame = Frame {
            kind: FrameKind::Commit,
            seq: pending.seq,
            shard_index: 0,
            meta: &body,
            shard: &[],
        };
        let disks = self.pool.disks();
        let sequencer = self.sequencer.lock();
        let mut left = count;
        for disk in in_order_of_choice(&disks) {
            let has = pending
                .copies
                .iter()
                .any(|(number, _)| *number == disk.number());
            if left == 0 || has {
                continue;
            }
            if let Some(address) = append_one(disk, &frame, &pending.wait) {
                pending.copies.push((disk.number(), address.segment));
                left -= 1;
            }
        }
        drop(sequencer);
    }

    fn settle(&self, seq: Seq, durable: bool) {
        let mut sequencer = self.sequencer.lock();
        sequencer.in_flight.remove(&seq);
        if !durable {
            sequencer.void.push(seq);
        }
        drop(sequencer);
        self.settled.notify_waiters();
    }

    /// Applies a durable commit to the view and books the space of what it replaces as dead.
    fn apply_changes(
        &self,
        (view, tallies): (&dyn View, &Tallies),
        reservation: Option<Reservation>,
        seq: Seq,
        changes: &[Change],
        first_placement_bytes: usize,
        homes: &[(DiskNo, u32)],
    ) -> Result<(), ViewError> {
        let mut applied = Vec::with_capacity(changes.len() + 1);
        let mut deltas = Deltas::default();
        for (index, change) in changes.iter().enumerate() {
            let old = view.get(&change.key)?;
            if let Some(old) = &old {
                self.space.bury(&change.key, old);
            }
            let old = old.as_deref().and_then(ViewValue::peek);
            let old = old.map(|(_, value)| value);
            deltas.row(self.weigh, &change.key, old, change.value.as_deref());
            let placement_bytes = if index == 0 { first_placement_bytes } else { 0 };
            let value = change.value.clone().map(|value| {
                let homes = homes.to_vec();
                ViewValue {
                    seq,
                    value: Some(value),
                    placement_bytes,
                    homes,
                }
                .encode()
            });
            if value.is_none() {
                self.space.bury_tombstone(&change.key, homes);
            }
            applied.push(ViewChange {
                key: change.key.clone(),
                value,
            });
        }
        tallies.apply(view, applied, &deltas, seq.0, reservation)
    }
}

impl Pending {
    /// Waits, makes up for failed copies, applies. The locks are released when `self` is dropped.
    async fn finish(&mut self) -> Result<Committed, MetaError> {
        let durable = self.make_durable().await?;
        self.take_effect(&durable).await
    }

    /// Waits, makes up for failed copies. The disks on which it is durable then.
    async fn make_durable(&mut self) -> Result<Vec<DiskNo>, MetaError> {
        let mut durable = self.wait.done().await;
        let engine = Arc::clone(&self.engine);
        loop {
            let copies = self.copies_on(&durable);
            let wanted = engine.copies_wanted().min(engine.good_disks());
            if copies >= wanted {
                break;
            }
            let tried = self.copies.len();
            engine.append_copies(self, wanted - copies);
            if self.copies.len() == tried {
                break;
            }
            durable = self.wait.done().await;
        }
        let (copies, shards) = (self.copies_on(&durable), self.shards_on(&durable));
        let enough = copies >= engine.copies_wanted().min(engine.good_disks()).max(1)
            && engine.good_disks() >= Pool::write_quorum(engine.pool.profile());
        if enough && shards >= self.shards_needed {
            return Ok(durable);
        }
        engine.settle(self.seq, false);
        Err(unavailable(shards.max(copies), self.shards_needed.max(1)))
    }

    /// Whether it deletes something, and too few of the disks that have it are there to stay.
    fn lacks_lasting_copies(&self, durable: &[DiskNo]) -> bool {
        let disks = self.engine.pool.disks();
        let stays = |number: &DiskNo| {
            let entry = disks.entry(*number);
            entry.is_some_and(|disk| disk.role == Role::Member)
        };
        let lasting: Vec<DiskNo> = durable.iter().copied().filter(stays).collect();
        self.changes.iter().any(|change| change.value.is_none())
            && self.copies_on(&lasting) < self.engine.copies_wanted()
    }

    /// Brings the durable commit into the view.
    ///
    /// # Cancel safety
    /// Called again after its future was dropped, it waits for what the first call began.
    async fn take_effect(&mut self, durable: &[DiskNo]) -> Result<Committed, MetaError> {
        let engine = Arc::clone(&self.engine);
        if self.effect.is_none() {
            self.effect = Some(self.begin_effect(durable));
        }
        let Some(effect) = &mut self.effect else {
            return Err(rebuilding());
        };
        let applied = engine.view.outcome(effect).await;
        engine.settle(self.seq, applied.is_ok());
        applied?;
        if self.lacks_lasting_copies(durable) {
            // After it is settled: a pass over the logs that begins now finds it.
            engine.short_deletions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Committed {
            revision: Revision(self.seq.0),
            degraded: self.shards_on(durable) < self.shards_total,
        })
    }

    fn begin_effect(&mut self, durable: &[DiskNo]) -> Turn<()> {
        let homes = self.copies.iter().copied();
        let homes: Vec<_> = homes.filter(|(disk, _)| durable.contains(disk)).collect();
        let (engine, changes) = (Arc::clone(&self.engine), self.changes.clone());
        let (seq, placement_bytes) = (self.seq, self.placement_bytes);
        // A view that is given up meanwhile keeps its own.
        let tallies = Arc::clone(&engine.tallies.read());
        let reservation = self.reservation.take();
        self.engine.view.in_turn(move |view| {
            let at = (view, &*tallies);
            engine.apply_changes(at, reservation, seq, &changes, placement_bytes, &homes)
        })
    }

    fn copies_on(&self, durable: &[DiskNo]) -> usize {
        let copies = self.copies.iter();
        copies.filter(|(disk, _)| durable.contains(disk)).count()
    }

    fn shards_on(&self, durable: &[DiskNo]) -> usize {
        let shards = self.shards.iter();
        shards.filter(|disk| durable.contains(disk)).count()
    }

    /// The key to queue for healing, if the commit became degraded only after its changes were fixed.
    fn degraded_late(&self, committed: Committed) -> Option<Bytes> {
        let queued = heal_key(&self.changes[0].key);
        let known = self.changes.iter().any(|change| change.key == queued);
        (committed.degraded && !known).then_some(queued)
    }
}

impl Embedded {
    /// Queues an object for healing whose shard was lost between append and sync.
    async fn remember_degraded(self: &Arc<Self>, queued: Bytes) {
        let change = Change {
            key: queued,
            value: Some(Bytes::from_static(UNTOLD)),
        };
        let transaction = Transaction {
            changes: vec![change],
            ..Transaction::default()
        };
        if let Err(error) = self.commit(transaction).await {
            tracing::warn!(%error, "degraded object not queued for healing");
        }
    }
}

impl Detachable {
    async fn finish(mut self) -> Result<Committed, MetaError> {
        let Some(pending) = self.0.as_mut() else {
            return Err(MetaError::Unavailable("commit finished twice".into()));
        };
        let result = pending.finish().await;
        let degraded = result
            .as_ref()
            .ok()
            .and_then(|committed| pending.degraded_late(*committed));
        let engine = Arc::clone(&pending.engine);
        // Releases the locks: the next commit may need one of them.
        self.0 = None;
        if let Some(queued) = degraded {
            engine.remember_degraded(queued).await;
        }
        result
    }
}

impl Drop for Detachable {
    fn drop(&mut self) {
        if let Some(pending) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { Self(Some(pending)).finish().await });
        }
    }
}

fn check_limits(transaction: &Transaction) -> Result<(), MetaError> {
    let changes = &transaction.changes;
    let mut seen: Vec<&Bytes> = changes.iter().map(|change| &change.key).collect();
    seen.sort_unstable();
    if seen.windows(2).any(|pair| pair[0] == pair[1])
        || seen.first().is_some_and(|key| key.is_empty())
    {
        return Err(MetaError::TooLarge(
            "a key is changed twice, or empty".into(),
        ));
    }
    let keys = changes.len() + transaction.preconditions.len();
    let bytes: usize = changes.iter().map(body::change_bytes).sum();
    let value_too_long = |change: &Change| {
        change
            .value
            .as_ref()
            .is_some_and(|value| value.len() > MAX_VALUE_BYTES)
    };
    if changes.is_empty() || keys > MAX_COMMIT_KEYS || bytes > MAX_COMMIT_BYTES {
        return Err(MetaError::TooLarge(format!("{keys} keys, {bytes} bytes")));
    }
    if let Some(change) = changes
        .iter()
        .find(|c| c.key.len() > MAX_KEY_BYTES || value_too_long(c))
    {
        return Err(MetaError::TooLarge(format!(
            "key or value of {} bytes",
            body::change_bytes(change)
        )));
    }
    if transaction.inline.is_some() && changes[0].value.is_none() {
        return Err(MetaError::TooLarge(
            "an inline blob needs a value to be named in".into(),
        ));
    }
    Ok(())
}

/// Whether this disk takes records.
fn is_usable(disk: &PoolDisk) -> bool {
    !matches!(disk.health(), Health::Failed(_))
}

/// The usable disks of this role, a different one first each time.
fn rotated(disks: &Disks, role: Role, seq: Seq) -> impl Iterator<Item = &Arc<dyn Disk>> {
    let usable = disks
        .iter()
        .filter(|disk| disk.role == role && is_usable(disk));
    let usable: Vec<_> = usable.filter_map(PoolDisk::here).collect();
    let start = usize::try_from(seq.0 % usable.len().max(1) as u64).unwrap_or(0);
    let count = usable.len();
    usable.into_iter().cycle().skip(start).take(count)
}

/// The usable disks, those that are being drained last.
fn in_order_of_choice(disks: &Disks) -> impl Iterator<Item = &Arc<dyn Disk>> {
    let of = |role: Role| {
        let usable = disks
            .iter()
            .filter(move |disk| disk.role == role && is_usable(disk));
        usable.filter_map(PoolDisk::here)
    };
    of(Role::Member).chain(of(Role::Draining))
}

/// Whether a shard may go to this disk: a place on one that refuses it must not be named.
fn takes_data(disk: &Arc<dyn Disk>) -> bool {
    disk.health() == Health::Good
}

fn plan_inline(blob: &InlineBlob) -> Vec<Planned<'_>> {
    let mut planned = Vec::with_capacity(blob.shards.len());
    for (index, (disk, bytes)) in blob.shards.iter().enumerate() {
        if let Some(disk) = disk.as_ref().filter(|disk| takes_data(disk)) {
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            planned.push(Planned {
                disk,
                address: None,
                shard: Some((index, bytes)),
                copy: false,
            });
        }
    }
    planned
}

/// Appends the placement of `blob` to the first change's value; returns its length.
fn add_placement(change: &mut Change, blob: &InlineBlob, planned: &[Planned<'_>]) -> usize {
    let place = |index: usize| {
        let mut plans = planned.iter();
        let plan = plans.find(|plan| {
            plan.shard
                .is_some_and(|(shard, _)| usize::from(shard) == index)
        });
        plan.and_then(|plan| Some(ShardPlace::Log(plan.disk.number(), plan.address?)))
            .unwrap_or(ShardPlace::Missing)
    };
    let placement = BlobPlacement {
        blob: blob.blob,
        size: blob.size,
        profile: blob.profile,
        form: ShardForm::Inline,
        shards: (0..blob.shards.len()).map(place).collect(),
    };
    let mut value = change.value.take().map(Vec::from).unwrap_or_default();
    let before = value.len();
    placement.encode_into(&mut value);
    let bytes = value.len() - before;
    change.value = Some(value.into());
    bytes
}

/// What became of a commit's frames.
struct Appended {
    copies: Vec<(DiskNo, u32)>,
    shards: Vec<DiskNo>,
    bytes: u64,
}

fn append_frames(
    planned: &[Planned<'_>],
    seq: Seq,
    body: &[u8],
    key: &Bytes,
    wait: &Arc<Wait>,
) -> Appended {
    let mut appended = Appended {
        copies: Vec::new(),
        shards: Vec::new(),
        bytes: 0,
    };
    for plan in planned.iter().filter(|plan| plan.address.is_some()) {
        if !plan.copy && plan.shard.is_none() {
            continue;
        }
        let (shard_index, shard) = plan
            .shard
            .map_or((0, &[][..]), |(index, bytes)| (index, &bytes[..]));
        let frame = if plan.copy {
            Frame {
                kind: FrameKind::Commit,
                seq,
                shard_index,
                meta: body,
                shard,
            }
        } else {
            Frame {
                kind: FrameKind::Shard,
                seq,
                shard_index,
                meta: key,
                shard,
            }
        };
        let Some(address) = append_expected(plan.disk, &frame, wait) else {
            continue;
        };
        debug_assert_eq!(
            Some(address),
            plan.address,
            "the sequencer reserves what it appends"
        );
        appended.bytes += (frame.meta.len() + shard.len()) as u64 + u64::from(FRAME_HEADER_BYTES);
        if plan.copy {
            appended.copies.push((plan.disk.number(), address.segment));
        }
        if plan.shard.is_some() {
            appended.shards.push(plan.disk.number());
        }
    }
    appended
}

fn append_expected(disk: &Arc<dyn Disk>, frame: &Frame<'_>, wait: &Arc<Wait>) -> Option<Address> {
    wait.expect_one();
    let done: Arc<dyn crate::disk::Completion> = Arc::<Wait>::clone(wait);
    match disk.append(frame, Some(done)) {
        Ok(address) => Some(address),
        Err(error) => {
            wait.forget_one();
            tracing::debug!(%error, disk = disk.number().0, "frame refused");
            None
        }
    }
}

/// Reserves and appends one frame. To be called under the sequencer.
fn append_one(disk: &Arc<dyn Disk>, frame: &Frame<'_>, wait: &Arc<Wait>) -> Option<Address> {
    disk.next_address(bytes_of(frame), frame.seq).ok()?;
    append_expected(disk, frame, wait)
}

/// Bytes that `frame` takes, as [`Disk::next_address`] counts them.
fn bytes_of(frame: &Frame<'_>) -> u32 {
    let parts = frame.meta.len().saturating_add(frame.shard.len());
    u32::try_from(parts)
        .unwrap_or(u32::MAX)
        .saturating_add(FRAME_HEADER_BYTES)
}

fn rebuilding() -> MetaError {
    MetaError::Unavailable("metadata is being rebuilt".into())
}

fn unavailable(got: usize, needed: usize) -> MetaError {
    MetaError::Unavailable(format!("written to {got} disks, {needed} needed"))
}

fn damaged(key: &[u8]) -> MetaError {
    MetaError::Corrupt(format!(
        "value of key {} does not decode",
        String::from_utf8_lossy(key)
    ))
}

impl From<ViewError> for MetaError {
    /// A view that fails is rebuilt elsewhere: it is worth a retry.
    fn from(error: ViewError) -> Self {
        Self::Unavailable(format!("metadata view: {}", error.0))
    }
}

impl From<DiskError> for MetaError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Full => Self::Full,
            other => Self::Unavailable(other.to_string()),
        }
    }
}
