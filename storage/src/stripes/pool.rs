//! The disks that blobs are spread over, with what readers and writers share.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use larder_erasure::{Codec, Profile};
use parking_lot::{Mutex, RwLock};

use super::{
    BlobPlacement, Disks, INLINE_MAX_BYTES, PoolDisk, Role, ShardPlace, StripeError,
    block::mix,
    crew::{Answering, Crew, Job},
    read::Buffers,
};
use crate::{
    disk::{BlobId, Disk, DiskNo, Health, Seq, Space},
    placement,
};

/// What [`Pool::list_extents`] found.
#[derive(Debug, Default)]
pub(crate) struct ListedExtents {
    /// The disks that were listed.
    pub(crate) disks: BTreeSet<DiskNo>,
    /// In ascending order.
    pub(crate) extents: Vec<(BlobId, u8, DiskNo)>,
}

/// Settings of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// How new blobs are coded.
    pub profile: Profile,
    /// Whether blocking calls go to tokio's blocking threads. Off only in single-threaded tests.
    pub blocking_threads: bool,
}

/// The disks, the codecs, and the blobs in flight.
#[derive(Debug)]
pub struct Pool {
    disks: RwLock<Disks>,
    /// Disks that new blobs go to before others, and how many bytes of shards each is still to get before it is like any other.
    favoured: RwLock<BTreeMap<DiskNo, u64>>,
    options: PoolOptions,
    codecs: RwLock<HashMap<Profile, Arc<Codec>>>,
    next_blob: AtomicU64,
    inline_max_bytes: AtomicU64,
    /// Blobs below were begun by earlier processes.
    first_blob: AtomicU64,
    in_flight: Mutex<BTreeSet<BlobId>>,
    damaged_reads: AtomicU64,
    read_bytes: AtomicU64,
    pub(super) buffers: Arc<Buffers>,
    pub(super) crew: Crew,
}

impl Pool {
    /// A pool of `disks`. Blob numbers start in epoch 0 until [`Pool::set_epoch`].
    pub fn new(disks: Vec<PoolDisk>, options: PoolOptions) -> Arc<Self> {
        Arc::new(Self {
            crew: Crew::new(),
            disks: RwLock::new(Disks::new(disks)),
            favoured: RwLock::default(),
            options,
            codecs: RwLock::default(),
            next_blob: AtomicU64::new(1),
            inline_max_bytes: AtomicU64::new(INLINE_MAX_BYTES),
            first_blob: AtomicU64::new(1),
            in_flight: Mutex::default(),
            damaged_reads: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
            buffers: Arc::default(),
        })
    }

    /// Blob numbers from now on are of `epoch`, so that none is ever given twice.
    pub fn set_epoch(&self, epoch: u32) {
        self.next_blob
            .store(Seq::new(epoch, 1).0, Ordering::Relaxed);
        self.first_blob
            .store(Seq::new(epoch, 1).0, Ordering::Relaxed);
    }

    /// Sets the size up to which blobs travel in the log; [`INLINE_MAX_BYTES`] unless set. Small in tests that want extents.
    pub fn set_inline_max(&self, bytes: u64) {
        self.inline_max_bytes
            .store(bytes.min(INLINE_MAX_BYTES), Ordering::Relaxed);
    }

    pub(super) fn inline_max(&self) -> u64 {
        self.inline_max_bytes.load(Ordering::Relaxed)
    }

    /// The disks as they are now, in order of slot, missing ones included.
    pub fn disks(&self) -> Disks {
        self.disks.read().clone()
    }

    /// Replaces the table of disks by what `change` makes of it. Who holds an older one goes on with it; who waits for a disk that is
    /// no longer there is told. Closing such a disk is the caller's.
    pub fn change_disks(&self, change: impl FnOnce(&mut Vec<PoolDisk>)) {
        let mut current = self.disks.write();
        let mut disks = current.to_vec();
        change(&mut disks);
        *current = current.replaced_by(disks);
        drop(current);
        self.tell_news();
    }

    /// How new blobs are coded.
    pub fn profile(&self) -> Profile {
        self.options.profile
    }

    /// The disk of this number, if it is here.
    pub fn disk(&self, number: DiskNo) -> Option<Arc<dyn Disk>> {
        self.disks.read().entry(number)?.here().map(Arc::clone)
    }

    /// A number that no other blob has.
    pub fn new_blob_id(&self) -> BlobId {
        BlobId(self.next_blob.fetch_add(1, Ordering::Relaxed))
    }

    /// Per disk, in order of slot, whether a new shard of `blob` may be put there by `is_free`; the disks to take for `count` of them,
    /// spread as those of new blobs are.
    pub(crate) fn choose_among(
        &self,
        blob: BlobId,
        count: usize,
        is_free: impl Fn(DiskNo) -> bool,
    ) -> Vec<Arc<dyn Disk>> {
        let disks = self.disks();
        let favoured = self.favoured();
        let good = |is_favoured: bool| {
            let is_good = |disk: &PoolDisk| {
                disk.health() == Health::Good
                    && self.answering(disk.number) == Answering::Promptly
                    && favoured.contains_key(&disk.number) == is_favoured
                    && is_free(disk.number)
            };
            disks.iter().map(is_good).collect()
        };
        let chosen = choose_in_turn(&[good(true), good(false)], count, mix(blob.0));
        let disk_of = |slot: usize| disks[slot].here().map(Arc::clone);
        chosen.into_iter().flatten().filter_map(disk_of).collect()
    }

    /// The disks that take data.
    pub(crate) fn disks_with_room(&self) -> BTreeSet<DiskNo> {
        let disks = self.disks();
        let good = disks.iter().filter(|disk| disk.health() == Health::Good);
        good.map(|disk| disk.number).collect()
    }

    /// Blocks that were missing or rotten when a reader wanted them, since the start.
    pub fn damaged_reads(&self) -> u64 {
        self.damaged_reads.load(Ordering::Relaxed)
    }

    /// Bytes of shards that readers took from the disks, since the start.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn count_read(&self, bytes: usize) {
        self.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_damage(&self) {
        self.damaged_reads.fetch_add(1, Ordering::Relaxed);
    }

    /// The lowest number that a blob still being written may have: extents at or above it are not orphans.
    pub fn oldest_in_flight(&self) -> BlobId {
        let next = BlobId(self.next_blob.load(Ordering::Relaxed));
        self.in_flight
            .lock()
            .first()
            .copied()
            .unwrap_or(next)
            .min(next)
    }

    /// A new blob number that counts as in flight until [`Pool::landed`].
    pub(super) fn take_off(&self) -> BlobId {
        let mut in_flight = self.in_flight.lock();
        let blob = self.new_blob_id();
        in_flight.insert(blob);
        blob
    }

    pub(super) fn landed(&self, blob: BlobId) {
        self.in_flight.lock().remove(&blob);
    }

    /// The codec of `profile`, built once.
    pub fn codec(&self, profile: Profile) -> Arc<Codec> {
        if let Some(codec) = self.codecs.read().get(&profile) {
            return Arc::clone(codec);
        }
        let codec = Arc::new(Codec::new(profile));
        Arc::clone(self.codecs.write().entry(profile).or_insert(codec))
    }

    /// Good disks that a write needs: `k+1`, or `k` where `m <= 1`.
    pub fn write_quorum(profile: Profile) -> usize {
        profile.data() + usize::from(profile.parity() > 1)
    }

    /// The disks for the shards of a new blob, in order of shard; `None` where there is none. Disks that are being drained are taken
    /// only where the others are too few: that a blob is whole counts for more than that a disk empties soon.
    ///
    /// # Errors
    /// [`StripeError::TooFewDisks`], or [`StripeError::Full`] where full disks are the reason.
    pub fn choose(
        &self,
        profile: Profile,
        blob: BlobId,
    ) -> Result<Vec<Option<Arc<dyn Disk>>>, StripeError> {
        let disks = self.disks();
        let health: Vec<Health> = disks.iter().map(PoolDisk::health).collect();
        let favoured = self.favoured();
        let good = |wanted: &dyn Fn(&PoolDisk) -> bool| {
            let is_good =
                |(disk, health): (&PoolDisk, &Health)| wanted(disk) && *health == Health::Good;
            disks.iter().zip(&health).map(is_good).collect::<Vec<_>>()
        };
        let is_member = |disk: &PoolDisk| disk.role == Role::Member;
        let is_favoured = |disk: &PoolDisk| favoured.contains_key(&disk.number);
        let choices = [
            good(&|disk| is_member(disk) && is_favoured(disk)),
            good(&|disk| is_member(disk) && !is_favoured(disk)),
            good(&|disk| !is_member(disk)),
        ];
        let mut chosen = choose_in_turn(&choices, profile.total(), mix(blob.0));
        if !favoured.is_empty() {
            // Or each read of what is written now would begin with those.
            let turn = mix(!blob.0) % profile.total().max(1) as u64;
            chosen.rotate_left(usize::try_from(turn).unwrap_or_default());
        }
        let count = chosen.iter().flatten().count();
        let needed = Self::write_quorum(profile);
        if count < needed {
            return Err(if health.contains(&Health::Full) {
                StripeError::Full
            } else {
                StripeError::TooFewDisks {
                    good: count,
                    needed,
                }
            });
        }
        let disk_of = |slot: usize| disks[slot].here().map(Arc::clone);
        Ok(chosen
            .into_iter()
            .map(|slot| slot.and_then(disk_of))
            .collect())
    }

    /// Until the next call, new blobs have a shard on each of these disks, as far as they have shards, until it has got so many bytes.
    pub(crate) fn favour(&self, wanting: BTreeMap<DiskNo, u64>) {
        *self.favoured.write() = wanting;
    }

    /// The disks that new blobs go to before others, and how many bytes of shards each is still to get.
    pub fn favoured(&self) -> BTreeMap<DiskNo, u64> {
        self.favoured.read().clone()
    }

    /// A disk has got a shard.
    pub(crate) fn took(&self, disk: DiskNo, bytes: u64) {
        if !self.favoured.read().contains_key(&disk) {
            return;
        }
        let mut favoured = self.favoured.write();
        let left = favoured.get_mut(&disk).map(|left| {
            *left = left.saturating_sub(bytes);
            *left
        });
        if left == Some(0) {
            favoured.remove(&disk);
        }
    }

    /// Removes the extents of a blob wherever its disks are here. Absent extents are no error. Resolves when the files are gone,
    /// or their disks given up.
    pub async fn remove_blob(&self, placement: &BlobPlacement) {
        self.on_disks(1, self.removals(placement)).await;
    }

    /// [`Pool::remove_blob`], without waiting where that is possible.
    pub(super) fn remove_later(self: &Arc<Self>, placement: &BlobPlacement) {
        self.run_later(self.removals(placement));
    }

    fn removals(&self, placement: &BlobPlacement) -> Vec<(DiskNo, Job<()>)> {
        let blob = placement.blob;
        let removal = |(index, place): (usize, &ShardPlace)| {
            let ShardPlace::Extent(number) = place else {
                return None;
            };
            let disk = self.disk(*number)?;
            let shard = u8::try_from(index).unwrap_or(u8::MAX);
            let job: Job<()> = Box::new(move || remove_extent(&*disk, blob, shard));
            Some((*number, job))
        };
        let places = placement.shards.iter().enumerate();
        places.filter_map(removal).collect()
    }

    /// Runs jobs whose outcome nobody waits for, off the async threads where there are any.
    pub(super) fn run_later(self: &Arc<Self>, jobs: Vec<(DiskNo, Job<()>)>) {
        if jobs.is_empty() {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if self.has_blocking_threads() => {
                let pool = Arc::clone(self);
                runtime.spawn(async move { pool.on_disks(1, jobs).await });
            }
            _ => jobs.into_iter().for_each(|(_, job)| job()),
        }
    }

    /// One job for each disk that is here.
    fn for_each_disk<T>(&self, job: impl Fn(Arc<dyn Disk>) -> Job<T>) -> Vec<(DiskNo, Job<T>)> {
        let disks = self.disks();
        disks
            .here()
            .map(|disk| (disk.number(), job(Arc::clone(disk))))
            .collect()
    }

    /// Blobs below were begun by earlier processes.
    pub(crate) fn first_blob(&self) -> BlobId {
        BlobId(self.first_blob.load(Ordering::Relaxed))
    }

    /// The extents of all disks that can be listed, of the blobs that `wanted` picks.
    pub(crate) async fn list_extents(
        &self,
        wanted: impl Fn(BlobId) -> bool + Send + Sync + 'static,
    ) -> ListedExtents {
        let wanted = Arc::new(wanted);
        let jobs = self.for_each_disk(|disk| {
            let wanted = Arc::clone(&wanted);
            Box::new(move || {
                let mut extents = disk.extents().ok()?;
                extents.retain(|(blob, _)| wanted(*blob));
                Some((disk.number(), extents))
            })
        });
        let mut listed = ListedExtents::default();
        for (disk, extents) in self
            .on_disks(jobs.len(), jobs)
            .await
            .into_iter()
            .flatten()
            .flatten()
        {
            listed.disks.insert(disk);
            let extents = extents.into_iter();
            listed
                .extents
                .extend(extents.map(|(blob, shard)| (blob, shard, disk)));
        }
        listed.extents.sort_unstable();
        listed
    }

    /// Removes single extents.
    pub(crate) async fn remove_extents(&self, extents: Vec<(BlobId, u8, DiskNo)>) {
        let job = |(blob, shard, number): (BlobId, u8, DiskNo)| {
            let disk = self.disk(number)?;
            let job: Job<()> = Box::new(move || remove_extent(&*disk, blob, shard));
            Some((number, job))
        };
        let jobs = extents.into_iter().filter_map(job).collect();
        self.on_disks(1, jobs).await;
    }

    /// Blobs from `from` on that earlier processes began and that have extents somewhere.
    pub(crate) async fn extents_of_earlier_epochs(&self, from: BlobId) -> HashSet<BlobId> {
        let before = BlobId(self.first_blob.load(Ordering::Relaxed));
        let jobs = self.for_each_disk(|disk| Box::new(move || disk.extents().unwrap_or_default()));
        let extents = self.on_disks(jobs.len(), jobs).await;
        let blobs = extents
            .into_iter()
            .flatten()
            .flatten()
            .map(|(blob, _)| blob);
        blobs.filter(|blob| (from..before).contains(blob)).collect()
    }

    /// Removes every extent of these blobs.
    pub(crate) async fn remove_all_extents_of(&self, blobs: HashSet<BlobId>) {
        let blobs = Arc::new(blobs);
        let jobs = self.for_each_disk(|disk| {
            let blobs = Arc::clone(&blobs);
            Box::new(move || {
                let extents = disk.extents().unwrap_or_default();
                for (blob, shard) in extents.into_iter().filter(|(blob, _)| blobs.contains(blob)) {
                    remove_extent(&*disk, blob, shard);
                }
            })
        });
        self.on_disks(jobs.len(), jobs).await;
    }

    /// Space of the disks that are here and not out.
    pub async fn spaces(&self) -> HashMap<DiskNo, Space> {
        let jobs = self.for_each_disk(|disk| Box::new(move || (disk.number(), disk.space())));
        let found = self.on_disks(jobs.len(), jobs).await;
        found.into_iter().flatten().collect()
    }

    /// Closes the disks, all at once. Resolves when they are closed or given up.
    pub async fn close(&self) {
        // Not as jobs: a disk that is out has to be closed as well, which does not wait then.
        let jobs = self.for_each_disk(|disk| Box::new(move || disk.close()));
        let closing = jobs.into_iter().map(|(_, job)| self.blocking(job));
        futures_util::future::join_all(closing).await;
    }

    pub(crate) fn has_blocking_threads(&self) -> bool {
        self.options.blocking_threads
    }

    /// Runs `work`, which may block, where it holds up no other task.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if !self.options.blocking_threads {
            return work();
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// Slots for `shards` shards: of the first choice as far as they go, then of the next.
fn choose_in_turn(choices: &[Vec<bool>], shards: usize, spread: u64) -> Vec<Option<usize>> {
    let mut chosen = vec![None; shards];
    for choice in choices {
        let empty = chosen.iter_mut().filter(|slot| slot.is_none());
        let empty: Vec<_> = empty.collect();
        let further = placement::choose(choice, empty.len(), spread);
        for (slot, further) in empty.into_iter().zip(further) {
            *slot = further;
        }
    }
    chosen
}

fn remove_extent(disk: &dyn Disk, blob: BlobId, shard: u8) {
    if let Err(error) = disk.remove_extent(blob, shard) {
        tracing::warn!(%error, disk = disk.number().0, "extent not removed");
    }
}
