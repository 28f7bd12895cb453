//! Writing a blob: cut into stripes, encoded as they fill, sent to the disks a batch at a time.

use std::sync::Arc;

use bytes::Bytes;
use larder_erasure::{Codec, Profile};
use tokio::task::JoinHandle;

use super::{
    BlobPlacement, Layout, Pool, ShardForm, ShardPlace, StripeError, UNIT_BYTES,
    block::{BLOCK_CHECKSUM_BYTES, checksum, unit_for},
    crew::Job,
};
use crate::{
    disk::{BlobId, Disk, DiskError, DiskNo, ExtentWriter},
    upkeep::{ClientLoad, Serving},
};

/// Blobs up to this size travel in the log with their commit.
pub const INLINE_MAX_BYTES: u64 = 512 << 10;
/// Data bytes that a writer gathers before they go to the disks (at least one stripe).
pub(super) const BATCH_BYTES: usize = 512 << 10;

/// A blob being written. Dropping it removes what was written.
#[derive(Debug)]
pub struct BlobWriter {
    pool: Arc<Pool>,
    codec: Arc<Codec>,
    blob: BlobId,
    announced: Option<u64>,
    taken: u64,
    disks: Vec<Option<Arc<dyn Disk>>>,
    batch: Batch,
    /// The batch that is on its way; `None` before the first.
    sending: Option<Sending>,
    landed: bool,
    /// Told what is done, where the blob is a client's.
    load: Option<Arc<ClientLoad>>,
}

/// Stripes being filled: one buffer per shard, each in the form in which it goes to disk.
#[derive(Debug)]
struct Batch {
    /// Longer than what is used of them: clearing what will be overwritten anyway is a twentieth of a PUT's cost.
    shards: Vec<Vec<u8>>,
    profile: Profile,
    blob: BlobId,
    /// The stripe being filled.
    stripe: u64,
    /// Bytes in it.
    filled: usize,
    /// Payload bytes of its units.
    unit: usize,
    /// Where its blocks start in the buffers: the bytes of each that are complete.
    start: usize,
    /// Bytes per shard at which the batch is sent.
    capacity: usize,
}

/// The extents of a blob being written, per shard; those that are not taken out are removed, off the async threads.
#[derive(Debug)]
pub(super) struct Writers {
    pub(super) pool: Arc<Pool>,
    pub(super) open: Vec<Option<(DiskNo, Box<dyn ExtentWriter>)>>,
    /// Whether some disk had no room.
    pub(super) ran_full: bool,
}

/// A batch on its way to the extents; gives back the extents and the emptied buffers.
type Sending = JoinHandle<(Writers, Vec<Vec<u8>>)>;

/// A blob whose body is complete. Inline shards become durable with the commit; extents are durable already.
#[derive(Debug)]
pub enum FinishedBlob {
    /// No bytes, no shards.
    Empty,
    /// Shards that go into the frames of the commit.
    Inline(InlineBlob),
    /// Shards on the disks.
    Extents(ExtentBlob),
}

/// Durable extents that are removed on drop unless a commit names them.
#[derive(Debug)]
pub struct ExtentBlob {
    pool: Arc<Pool>,
    placement: BlobPlacement,
    keep: bool,
}

/// A small blob's shards, in the form in which they go to disk.
#[derive(Clone, Debug)]
pub struct InlineBlob {
    /// Its identity.
    pub blob: BlobId,
    /// Its length.
    pub size: u64,
    /// How it is coded.
    pub profile: Profile,
    /// Per shard, data first: the disk (`None`: no good one was left) and the blocks.
    pub shards: Vec<(Option<Arc<dyn Disk>>, Bytes)>,
}

impl FinishedBlob {
    /// Length of the blob in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Inline(inline) => inline.size,
            Self::Extents(extents) => extents.placement.size,
        }
    }
}

impl ExtentBlob {
    /// Where the shards are.
    pub fn placement(&self) -> &BlobPlacement {
        &self.placement
    }

    /// A commit names the extents now: they stay.
    pub fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for ExtentBlob {
    fn drop(&mut self) {
        self.pool.landed(self.placement.blob);
        if !self.keep {
            self.pool.remove_later(&self.placement);
        }
    }
}

impl Batch {
    fn new(profile: Profile, blob: BlobId, announced: Option<u64>) -> Self {
        let data = profile.data();
        let stripes = (BATCH_BYTES / (UNIT_BYTES * data)).max(1);
        let capacity = stripes * (UNIT_BYTES + BLOCK_CHECKSUM_BYTES);
        // A small blob of known size gets buffers of its own size: most PUTs of a busy store are small.
        let exact = announced.map(|size| Layout::new(size, profile).shard_bytes());
        let reserve = exact.map_or(capacity, |bytes| {
            super::block::to_usize(bytes).min(capacity)
        });
        let shards = (0..profile.total()).map(|_| Vec::with_capacity(reserve));
        let mut batch = Self {
            shards: shards.collect(),
            profile,
            blob,
            stripe: 0,
            filled: 0,
            unit: 0,
            start: 0,
            capacity,
        };
        batch.open_stripe(announced);
        batch
    }

    /// Makes room for the next stripe, of which `rest` bytes or more are to come (`None`: unknown, so a full one).
    fn open_stripe(&mut self, rest: Option<u64>) {
        let full = UNIT_BYTES as u64 * self.profile.data() as u64;
        self.unit = unit_for(rest.unwrap_or(full), self.profile.data() as u64);
        self.filled = 0;
        let end = self.start + self.unit + BLOCK_CHECKSUM_BYTES;
        for shard in self.shards.iter_mut().filter(|shard| shard.len() < end) {
            shard.resize(end, 0);
        }
    }

    fn is_stripe_full(&self) -> bool {
        self.filled == self.unit * self.profile.data()
    }

    /// Copies from the front of `bytes` until the stripe is full.
    fn fill(&mut self, bytes: &mut Bytes) {
        while !bytes.is_empty() && !self.is_stripe_full() {
            let (unit, within) = (self.filled / self.unit, self.filled % self.unit);
            let count = bytes.len().min(self.unit - within);
            let piece = bytes.split_to(count);
            let at = self.start + within;
            self.shards[unit][at..at + count].copy_from_slice(&piece);
            self.filled += count;
        }
    }

    /// Shortens the last stripe's units to what it holds: `ceil(filled / k)` bytes each, the last ones padded.
    fn shorten(&mut self) {
        let (data, start) = (self.profile.data(), self.start);
        let unit = self.filled.div_ceil(data);
        if unit == self.unit {
            for at in self.filled..unit * data {
                self.shards[at / unit][start + at % unit] = 0;
            }
            return;
        }
        let mut rest = Vec::with_capacity(unit * data);
        for index in 0..data {
            let taken = self.filled.saturating_sub(index * self.unit).min(self.unit);
            rest.extend_from_slice(&self.shards[index][start..start + taken]);
        }
        rest.resize(unit * data, 0);
        for (shard, piece) in self.shards.iter_mut().zip(rest.chunks_exact(unit)) {
            shard[start..start + unit].copy_from_slice(piece);
        }
        self.unit = unit;
    }

    /// Encodes the stripe and appends each block's checksum.
    fn close_stripe(&mut self, codec: &Codec) -> Result<(), StripeError> {
        let end = self.start + self.unit;
        let range = self.start..end;
        let (data, parity) = self.shards.split_at_mut(self.profile.data());
        let sources: Vec<&[u8]> = data.iter().map(|shard| &shard[range.clone()]).collect();
        let mut targets: Vec<&mut [u8]> = parity
            .iter_mut()
            .map(|shard| &mut shard[range.clone()])
            .collect();
        codec.encode(&sources, &mut targets)?;
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            let sum = checksum(&shard[range.clone()], self.blob, index, self.stripe);
            shard[end..end + BLOCK_CHECKSUM_BYTES].copy_from_slice(&sum.to_le_bytes());
        }
        self.start = end + BLOCK_CHECKSUM_BYTES;
        self.stripe += 1;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.start >= self.capacity
    }
}

impl BlobWriter {
    /// Starts a blob of `announced` bytes, if known, on disks that are good now.
    ///
    /// # Errors
    /// [`StripeError::TooFewDisks`], [`StripeError::Full`].
    pub fn new(
        pool: &Arc<Pool>,
        profile: Profile,
        announced: Option<u64>,
    ) -> Result<Self, StripeError> {
        let blob = pool.take_off();
        let disks = pool
            .choose(profile, blob)
            .inspect_err(|_| pool.landed(blob))?;
        Ok(Self {
            codec: pool.codec(profile),
            pool: Arc::clone(pool),
            blob,
            announced,
            taken: 0,
            disks,
            batch: Batch::new(profile, blob, announced),
            sending: None,
            landed: false,
            load: None,
        })
    }

    /// This blob, as one that a client writes.
    #[must_use]
    pub fn for_client(mut self, load: Arc<ClientLoad>) -> Self {
        self.load = Some(load);
        self
    }

    fn serve(&self) -> Option<Serving> {
        self.load.as_ref().map(ClientLoad::serve)
    }

    /// Takes the next bytes of the body. Awaits the disks when a batch is full and the one before is still on its way.
    ///
    /// # Errors
    /// [`StripeError::LengthMismatch`] when more comes than was announced; [`StripeError::TooFewDisks`] when disks fail.
    ///
    /// # Cancel safety
    /// Not cancel safe: drop the writer.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StripeError> {
        let _serving = self.serve();
        self.taken += bytes.len() as u64;
        if let Some(expected_bytes) = self.announced.filter(|expected| self.taken > *expected) {
            return Err(StripeError::LengthMismatch {
                expected_bytes,
                got_bytes: self.taken,
            });
        }
        while !bytes.is_empty() {
            if self.batch.is_stripe_full() {
                self.next_stripe(bytes.len()).await?;
            }
            self.batch.fill(&mut bytes);
        }
        Ok(())
    }

    /// Closes the full stripe, sends the batch if it is full, and opens the next stripe; `waiting` bytes of the taken
    /// ones are not in a stripe yet.
    async fn next_stripe(&mut self, waiting: usize) -> Result<(), StripeError> {
        self.batch.close_stripe(&self.codec)?;
        if self.batch.is_full() {
            self.send().await?;
        }
        let placed = self.taken - waiting as u64;
        self.batch
            .open_stripe(self.announced.map(|announced| announced - placed));
        Ok(())
    }

    /// Ends the blob. Large blobs' extents are durable when this returns.
    ///
    /// # Errors
    /// [`StripeError::LengthMismatch`], or as [`BlobWriter::write`].
    pub async fn finish(mut self) -> Result<FinishedBlob, StripeError> {
        let _serving = self.serve();
        if let Some(expected_bytes) = self.announced.filter(|expected| self.taken != *expected) {
            return Err(StripeError::LengthMismatch {
                expected_bytes,
                got_bytes: self.taken,
            });
        }
        if self.taken == 0 {
            return Ok(FinishedBlob::Empty);
        }
        if self.batch.filled > 0 {
            self.batch.shorten();
            self.batch.close_stripe(&self.codec)?;
        }
        if self.sending.is_none() && self.taken <= self.pool.inline_max() {
            return Ok(FinishedBlob::Inline(self.into_inline()));
        }
        self.send().await?;
        self.finish_extents().await
    }

    fn into_inline(mut self) -> InlineBlob {
        let used = self.batch.start;
        let shards = std::mem::take(&mut self.batch.shards)
            .into_iter()
            .map(|mut shard| {
                shard.truncate(used);
                Bytes::from(shard)
            });
        let disks = std::mem::take(&mut self.disks);
        for disk in disks.iter().flatten() {
            self.pool.took(disk.number(), used as u64);
        }
        InlineBlob {
            blob: self.blob,
            size: self.taken,
            profile: self.batch.profile,
            shards: disks.into_iter().zip(shards).collect(),
        }
    }

    /// Hands the batch to the disks and takes empty buffers for the next.
    async fn send(&mut self) -> Result<(), StripeError> {
        let (writers, spare) = self.idle().await?;
        let spare = spare.unwrap_or_else(|| {
            self.batch
                .shards
                .iter()
                .map(|_| Vec::with_capacity(self.batch.capacity))
                .collect()
        });
        let full = std::mem::replace(&mut self.batch.shards, spare);
        let used = std::mem::take(&mut self.batch.start);
        let pool = Arc::clone(&self.pool);
        self.sending = Some(tokio::spawn(append_all(pool, writers, full, used)));
        Ok(())
    }

    /// Waits until no batch is on its way; creates the extents the first time.
    async fn idle(&mut self) -> Result<(Writers, Option<Vec<Vec<u8>>>), StripeError> {
        let (writers, spare) = match self.sending.take() {
            Some(task) => {
                let (writers, buffers) = task.await.map_err(|error| {
                    StripeError::Disk(DiskError::Failed(format!("writer task: {error}")))
                })?;
                (writers, Some(buffers))
            }
            None => (self.create_extents().await, None),
        };
        let good = writers.open.iter().flatten().count();
        let needed = Pool::write_quorum(self.batch.profile);
        if good < needed {
            return Err(too_few(good, needed, writers.ran_full));
        }
        Ok((writers, spare))
    }

    async fn create_extents(&mut self) -> Writers {
        create_all(&self.pool, &self.disks, self.blob).await
    }

    async fn finish_extents(mut self) -> Result<FinishedBlob, StripeError> {
        let (writers, _) = self.idle().await?;
        let ran_full = writers.ran_full;
        let synced = sync_all(writers).await;
        let shards = synced.iter().zip(&self.disks).map(|(ok, disk)| match disk {
            Some(disk) if *ok => ShardPlace::Extent(disk.number()),
            _ => ShardPlace::Missing,
        });
        let placement = BlobPlacement {
            blob: self.blob,
            size: self.taken,
            profile: self.batch.profile,
            form: ShardForm::Extent,
            shards: shards.collect(),
        };
        let good = placement.shards.len() - placement.missing_shards();
        for disk in placement.shards.iter().filter_map(|place| place.disk()) {
            self.pool.took(disk, placement.layout().shard_bytes());
        }
        // From here the guard removes what was written if the commit does not come.
        self.landed = true;
        let blob = ExtentBlob {
            pool: Arc::clone(&self.pool),
            placement,
            keep: false,
        };
        let needed = Pool::write_quorum(self.batch.profile);
        if good < needed {
            return Err(too_few(good, needed, ran_full));
        }
        Ok(FinishedBlob::Extents(blob))
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.landed {
            self.pool.landed(self.blob);
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        let left = self.open.iter_mut().filter_map(Option::take);
        let removal = |(disk, writer)| (disk, Box::new(move || drop(writer)) as Job<()>);
        self.pool.run_later(left.map(removal).collect());
    }
}

/// Spreads what came of jobs for some of the shards over all of them.
fn scatter<T>(total: usize, shards: &[usize], results: Vec<Option<T>>) -> Vec<Option<T>> {
    let mut all: Vec<Option<T>> = (0..total).map(|_| None).collect();
    for (shard, result) in shards.iter().zip(results) {
        all[*shard] = result;
    }
    all
}

fn too_few(good: usize, needed: usize, ran_full: bool) -> StripeError {
    if ran_full {
        return StripeError::Full;
    }
    StripeError::TooFewDisks { good, needed }
}

async fn create_all(pool: &Arc<Pool>, disks: &[Option<Arc<dyn Disk>>], blob: BlobId) -> Writers {
    let (mut shards, mut jobs) = (Vec::new(), Vec::new());
    for (shard, disk) in disks.iter().enumerate() {
        let Some(disk) = disk.clone() else { continue };
        let index = u8::try_from(shard).unwrap_or(u8::MAX);
        let number = disk.number();
        let job: Job<_> = Box::new(move || {
            let writer = disk.create_extent(blob, index);
            let writer = writer.inspect_err(|error| tracing::warn!(%error, "extent not created"));
            writer.map(|writer| (number, writer))
        });
        shards.push(shard);
        jobs.push((number, job));
    }
    let created = pool.on_disks(1, jobs).await;
    let ran_full = created
        .iter()
        .any(|made| matches!(made, Some(Err(DiskError::Full))));
    let created = created.into_iter().map(|made| made.and_then(Result::ok));
    Writers {
        pool: Arc::clone(pool),
        open: scatter(disks.len(), &shards, created.collect()),
        ran_full,
    }
}

/// Appends what is used of each shard's buffer to its extent; the extent of a disk that fails or hangs is dropped, the
/// others go on.
pub(super) async fn append_all(
    pool: Arc<Pool>,
    mut writers: Writers,
    mut buffers: Vec<Vec<u8>>,
    used: usize,
) -> (Writers, Vec<Vec<u8>>) {
    let (mut shards, mut jobs) = (Vec::new(), Vec::new());
    for (shard, (open, buffer)) in writers.open.iter_mut().zip(&mut buffers).enumerate() {
        let Some((disk, writer)) = open.take() else {
            continue;
        };
        let buffer = std::mem::take(buffer);
        let job: Job<_> = Box::new(move || append_one(writer, buffer, used));
        shards.push(shard);
        jobs.push((disk, job));
    }
    let disks: Vec<DiskNo> = jobs.iter().map(|(disk, _)| *disk).collect();
    let results = pool.on_disks(1, jobs).await;
    for ((shard, disk), result) in shards.into_iter().zip(disks).zip(results) {
        // What a hanging thread holds is lost: the next batch gets a new buffer.
        if let Some((appended, buffer)) = result {
            writers.ran_full |= matches!(appended, Err(DiskError::Full));
            writers.open[shard] = appended.ok().map(|writer| (disk, writer));
            buffers[shard] = buffer;
        }
    }
    (writers, buffers)
}

fn append_one(
    mut writer: Box<dyn ExtentWriter>,
    buffer: Vec<u8>,
    used: usize,
) -> (Result<Box<dyn ExtentWriter>, DiskError>, Vec<u8>) {
    let appended = writer.append(&buffer[..used]);
    let appended = appended.inspect_err(|error| tracing::warn!(%error, "extent not written"));
    (appended.map(|()| writer), buffer)
}

/// Whether each shard's extent is durable.
pub(super) async fn sync_all(mut writers: Writers) -> Vec<bool> {
    let (mut shards, mut jobs) = (Vec::new(), Vec::new());
    for (shard, open) in writers.open.iter_mut().enumerate() {
        let Some((disk, writer)) = open.take() else {
            continue;
        };
        let job: Job<_> = Box::new(move || {
            let synced = writer.finish();
            let synced = synced.inspect_err(|error| tracing::warn!(%error, "extent not synced"));
            synced.is_ok()
        });
        shards.push(shard);
        jobs.push((disk, job));
    }
    let synced = writers.pool.on_disks(jobs.len(), jobs).await;
    let synced = scatter(writers.open.len(), &shards, synced);
    synced.into_iter().map(Option::unwrap_or_default).collect()
}
