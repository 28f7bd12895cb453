//! The disks that blobs are spread over, with what readers and writers share.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use larder_erasure::{Codec, Profile};
use parking_lot::{Mutex, RwLock};

use super::{BlobPlacement, INLINE_MAX_BYTES, ShardPlace, StripeError, block::mix, read::Buffers};
use crate::{
    disk::{BlobId, Disk, DiskNo, Health, Seq},
    placement,
};

/// A disk's place in the pool.
#[derive(Clone, Debug)]
pub struct PoolDisk {
    /// Position in the configuration, from 0.
    pub slot: usize,
    /// Its number.
    pub number: DiskNo,
    /// Where it is, or should be, for people.
    pub location: String,
    /// The disk, or why it is missing.
    pub disk: Result<Arc<dyn Disk>, String>,
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
    disks: Vec<PoolDisk>,
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
}

impl Pool {
    /// A pool of `disks`. Blob numbers start in epoch 0 until [`Pool::set_epoch`].
    pub fn new(disks: Vec<PoolDisk>, options: PoolOptions) -> Arc<Self> {
        Arc::new(Self {
            disks,
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

    /// The disks in order of slot, missing ones included.
    pub fn disks(&self) -> &[PoolDisk] {
        &self.disks
    }

    /// How new blobs are coded.
    pub fn profile(&self) -> Profile {
        self.options.profile
    }

    /// The disk of this number, if it is here.
    pub fn disk(&self, number: DiskNo) -> Option<&Arc<dyn Disk>> {
        self.disks
            .iter()
            .find(|disk| disk.number == number)?
            .disk
            .as_ref()
            .ok()
    }

    /// A number that no other blob has.
    pub fn new_blob_id(&self) -> BlobId {
        BlobId(self.next_blob.fetch_add(1, Ordering::Relaxed))
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

    /// The disks for the shards of a new blob, in order of shard; `None` where there is none.
    ///
    /// # Errors
    /// [`StripeError::TooFewDisks`], or [`StripeError::Full`] where full disks are the reason.
    pub fn choose(
        &self,
        profile: Profile,
        blob: BlobId,
    ) -> Result<Vec<Option<Arc<dyn Disk>>>, StripeError> {
        let health: Vec<_> = self.disks.iter().map(disk_health).collect();
        let good: Vec<bool> = health
            .iter()
            .map(|health| *health == Some(Health::Good))
            .collect();
        let chosen = placement::choose(&good, profile.total(), mix(blob.0));
        let count = chosen.iter().flatten().count();
        let needed = Self::write_quorum(profile);
        if count < needed {
            let full = health.contains(&Some(Health::Full));
            return Err(if full {
                StripeError::Full
            } else {
                StripeError::TooFewDisks {
                    good: count,
                    needed,
                }
            });
        }
        let disk_of = |slot: usize| self.disks[slot].disk.as_ref().ok().map(Arc::clone);
        Ok(chosen
            .into_iter()
            .map(|slot| slot.and_then(disk_of))
            .collect())
    }

    /// Removes the extents of a blob wherever its disks are here. Absent extents are no error. Blocks.
    pub fn remove_extents(&self, placement: &BlobPlacement) {
        for (index, place) in placement.shards.iter().enumerate() {
            let ShardPlace::Extent(number) = place else {
                continue;
            };
            let Some(disk) = self.disk(*number) else {
                continue;
            };
            let shard = u8::try_from(index).unwrap_or(u8::MAX);
            if let Err(error) = disk.remove_extent(placement.blob, shard) {
                tracing::warn!(%error, disk = number.0, "extent not removed");
            }
        }
    }

    /// Blobs from `from` on that earlier processes began and that have extents somewhere. Blocks.
    pub(crate) fn extents_of_earlier_epochs(&self, from: BlobId) -> HashSet<BlobId> {
        let before = BlobId(self.first_blob.load(Ordering::Relaxed));
        let present = self.disks.iter().filter_map(|disk| disk.disk.as_ref().ok());
        let extents = present.filter_map(|disk| disk.extents().ok()).flatten();
        extents
            .map(|(blob, _)| blob)
            .filter(|blob| (from..before).contains(blob))
            .collect()
    }

    /// Removes every extent of these blobs. Blocks.
    pub(crate) fn remove_all_extents_of(&self, blobs: &HashSet<BlobId>) {
        for disk in self.disks.iter().filter_map(|disk| disk.disk.as_ref().ok()) {
            for (blob, shard) in disk.extents().unwrap_or_default() {
                if blobs.contains(&blob)
                    && let Err(error) = disk.remove_extent(blob, shard)
                {
                    tracing::warn!(%error, disk = disk.number().0, "extent not removed");
                }
            }
        }
    }

    /// [`Pool::remove_extents`] off the async threads. Resolves when the files are gone.
    pub async fn remove_blob(self: &Arc<Self>, placement: &BlobPlacement) {
        if !placement.is_extents() {
            return;
        }
        let (pool, placement) = (Arc::clone(self), placement.clone());
        self.blocking(move || pool.remove_extents(&placement)).await;
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

fn disk_health(disk: &PoolDisk) -> Option<Health> {
    disk.disk.as_ref().ok().map(|disk| disk.health())
}
