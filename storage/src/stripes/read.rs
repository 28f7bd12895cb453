//! Reading a blob: only the blocks that a range needs, each verified before it is handed out, rebuilt where it is not good.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    BLOCK_CHECKSUM_BYTES, BlobPlacement, Layout, Pool, ShardPlace, StripeError, UNIT_BYTES,
    block::{BLOCK_STRIDE, to_usize, verify},
    crew::Answering,
};
use crate::{
    disk::{BlobId, DiskError, FRAME_HEADER_BYTES, Health, ReadAt, ReadMode},
    mutation::{self, Mutation},
};

/// Data bytes that one step of a reader fetches (at least one stripe).
const BATCH_BYTES: usize = 512 << 10;

/// A run of a blob's bytes, handed out in order. Holds its files open: it outlives overwrites and deletes.
#[derive(Debug)]
pub struct BlobReader {
    source: Arc<Source>,
    range: Range<u64>,
    next_stripe: u64,
    ready: std::collections::VecDeque<Bytes>,
}

/// What a step needs, shared with blocking threads.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) pool: Arc<Pool>,
    pub(super) placement: BlobPlacement,
    pub(super) layout: Layout,
    /// Per shard, opened when first wanted: the file and where the shard starts in it, or `None` when it can't be had.
    files: Vec<Mutex<FileState>>,
    /// Extents are read from front to back, by nobody else.
    is_once: bool,
    /// Whether a shard was missing or rotten on a disk that answers: what no record tells.
    is_damaged: AtomicBool,
}

#[derive(Clone, Debug)]
enum FileState {
    Unopened,
    Open(Arc<dyn ReadAt>, u64),
    Gone,
}

/// Blocks of one shard, as read: consecutive stripes from `first`.
pub(super) struct Run {
    first: u64,
    bytes: Bytes,
}

/// What kept a step from giving its bytes.
#[derive(Debug)]
pub(super) enum StepError {
    /// Something is not in the page cache: go where blocking is allowed.
    WouldBlock,
    Failed(StripeError),
}

impl BlobReader {
    /// Opens the shards that `range` (of the blob's bytes, end exclusive) needs. Cheap: no data is read.
    ///
    /// # Errors
    /// None today; damage shows in [`BlobReader::next`].
    pub fn open(
        pool: &Arc<Pool>,
        placement: BlobPlacement,
        range: Range<u64>,
    ) -> Result<Self, StripeError> {
        let range = range.start.min(placement.size)..range.end.min(placement.size);
        let source = Source::new(pool, placement);
        let stripes = source.layout.stripes_of(&range);
        let avoid = source.to_avoid();
        let data = source.placement.profile.data();
        for (shard, avoid) in avoid.into_iter().enumerate().take(data) {
            if source.needs(shard, &stripes, &range) {
                source.file(shard, !avoid);
            }
        }
        Ok(Self {
            source: Arc::new(source),
            next_stripe: stripes.start,
            range,
            ready: std::collections::VecDeque::new(),
        })
    }

    /// Shards that could not be opened: the object may have been replaced meanwhile, or is degraded.
    pub fn has_gone_shards(&self) -> bool {
        self.source
            .files
            .iter()
            .any(|file| matches!(*file.lock(), FileState::Gone))
    }

    /// Whether a shard was missing or rotten on a disk that answers, so that it should be healed. What the placement itself tells
    /// does not count.
    pub fn is_damaged(&self) -> bool {
        self.source.is_damaged.load(Ordering::Relaxed)
    }

    /// The next bytes, verified; `None` at the end. Awaits a blocking thread only where the page cache lacks the bytes.
    pub async fn next(&mut self) -> Option<Result<Bytes, StripeError>> {
        if let Some(bytes) = self.ready.pop_front() {
            return Some(Ok(bytes));
        }
        let stripes = self.step_stripes();
        if stripes.is_empty() {
            return None;
        }
        self.next_stripe = stripes.end;
        let range = self.range.clone();
        let cached = self.source.to_avoid();
        let result = match self
            .source
            .step(&stripes, &range, ReadMode::CachedOnly, &cached)
        {
            Err(StepError::WouldBlock) => self.step_blocking(stripes, range).await,
            result => result,
        };
        match result {
            Ok(pieces) => self.ready.extend(pieces),
            Err(StepError::Failed(error)) => return Some(Err(error)),
            Err(StepError::WouldBlock) => return Some(Err(DiskError::NotCached.into())),
        }
        self.ready.pop_front().map(Ok)
    }

    /// Waits for the devices; goes round a disk that falls silent meanwhile, where the others are enough.
    async fn step_blocking(
        &self,
        stripes: Range<u64>,
        range: Range<u64>,
    ) -> Result<Vec<Bytes>, StepError> {
        loop {
            let source = Arc::clone(&self.source);
            let (stripes, range) = (stripes.clone(), range.clone());
            let avoid = self.source.to_avoid();
            let known = avoid.clone();
            let work = move || source.step(&stripes, &range, ReadMode::MayBlock, &avoid);
            let has_news = || self.source.to_avoid() != known;
            if let Some(result) = self.source.pool.read_blocking(work, has_news).await {
                return result;
            }
        }
    }

    fn step_stripes(&self) -> Range<u64> {
        let layout = self.source.layout;
        let end = layout.stripes_of(&self.range).end;
        let step = (BATCH_BYTES as u64 / layout.stripe_bytes()).max(1);
        self.next_stripe
            ..end
                .min(self.next_stripe.saturating_add(step))
                .max(self.next_stripe)
    }
}

impl Source {
    pub(super) fn new(pool: &Arc<Pool>, placement: BlobPlacement) -> Self {
        let files = placement.shards.iter();
        let files = files.map(|_| Mutex::new(FileState::Unopened)).collect();
        Self {
            pool: Arc::clone(pool),
            layout: placement.layout(),
            placement,
            files,
            is_once: false,
            is_damaged: AtomicBool::new(false),
        }
    }

    /// For reading extents from front to back, when nobody will read them again soon.
    pub(super) fn new_once(pool: &Arc<Pool>, placement: BlobPlacement) -> Self {
        Self {
            is_once: true,
            ..Self::new(pool, placement)
        }
    }

    /// Counts a block that can't be had; notes it if the placement does not tell.
    fn count_damage(&self, shard: usize) {
        self.pool.count_damage();
        let disk = self.placement.shards[shard].disk();
        if disk.is_some_and(|disk| self.pool.answering(disk) == Answering::Promptly) {
            self.is_damaged.store(true, Ordering::Relaxed);
        }
    }

    /// Whether any byte of `range` in `stripes` is in data shard `shard`.
    fn needs(&self, shard: usize, stripes: &Range<u64>, range: &Range<u64>) -> bool {
        !self.wanted_stripes(shard, stripes, range).is_empty()
    }

    /// The stripes of which data shard `shard` has bytes of `range`: consecutive, since only the ends can be without.
    fn wanted_stripes(&self, shard: usize, stripes: &Range<u64>, range: &Range<u64>) -> Range<u64> {
        let has = |stripe: u64| !self.layout.overlap(stripe, shard, range).is_empty();
        let mut wanted = stripes.clone();
        while !wanted.is_empty() && !has(wanted.start) {
            wanted.start += 1;
        }
        while !wanted.is_empty() && !has(wanted.end - 1) {
            wanted.end -= 1;
        }
        wanted
    }

    /// Per shard whether its disk is better not asked: it is out, or silent while enough others are not.
    pub(super) fn to_avoid(&self) -> Vec<bool> {
        let answering: Vec<Answering> = self
            .placement
            .shards
            .iter()
            .map(|place| {
                let disk = place.disk();
                disk.map_or(Answering::Never, |disk| self.pool.answering(disk))
            })
            .collect();
        let prompt = answering
            .iter()
            .filter(|a| **a == Answering::Promptly)
            .count();
        let enough = prompt >= self.placement.profile.data();
        let avoid = |answering: &Answering| match answering {
            Answering::Promptly => false,
            Answering::Slowly => enough,
            Answering::Never => true,
        };
        answering.iter().map(avoid).collect()
    }

    fn file(&self, shard: usize, may_open: bool) -> Option<(Arc<dyn ReadAt>, u64)> {
        let mut state = self.files[shard].lock();
        if may_open && matches!(*state, FileState::Unopened) {
            *state = self
                .open(shard)
                .map_or(FileState::Gone, |(file, base)| FileState::Open(file, base));
        }
        match &*state {
            FileState::Open(file, base) => Some((Arc::clone(file), *base)),
            _ => None,
        }
    }

    fn open(&self, shard: usize) -> Option<(Arc<dyn ReadAt>, u64)> {
        let place = self.placement.shards[shard];
        let disk = self.pool.disk(place.disk()?)?;
        let opened = match place {
            ShardPlace::Missing => return None,
            ShardPlace::Log(_, address) => {
                let base = u64::from(address.offset) + u64::from(FRAME_HEADER_BYTES);
                disk.open_segment(address.segment).map(|file| (file, base))
            }
            ShardPlace::Extent(_) => {
                let (blob, index) = (self.placement.blob, u8::try_from(shard).unwrap_or(u8::MAX));
                let opened = if self.is_once {
                    disk.open_extent_once(blob, index)
                } else {
                    disk.open_extent(blob, index)
                };
                opened.map(|file| (file, 0))
            }
        };
        opened
            .inspect_err(|error| tracing::debug!(%error, shard, "shard not opened"))
            .ok()
    }

    pub(super) fn block_bytes(&self, stripe: u64) -> usize {
        self.layout.unit_bytes(stripe) + BLOCK_CHECKSUM_BYTES
    }

    /// The bytes of `range` in `stripes`, in order.
    fn step(
        &self,
        stripes: &Range<u64>,
        range: &Range<u64>,
        mode: ReadMode,
        avoid: &[bool],
    ) -> Result<Vec<Bytes>, StepError> {
        let data = self.placement.profile.data();
        let mut runs = Vec::with_capacity(data);
        for shard in 0..data {
            let wanted = self.wanted_stripes(shard, stripes, range);
            runs.push(if wanted.is_empty() {
                None
            } else {
                self.read_run(shard, wanted, mode, avoid)?
            });
        }
        let mut pieces = Vec::new();
        for stripe in stripes.clone() {
            self.stripe_pieces(stripe, range, &runs, (mode, avoid), &mut pieces)?;
        }
        Ok(pieces)
    }

    /// The blocks of `stripes` of one shard, unverified; `None` when they can't be read.
    pub(super) fn read_run(
        &self,
        shard: usize,
        stripes: Range<u64>,
        mode: ReadMode,
        avoid: &[bool],
    ) -> Result<Option<Run>, StepError> {
        // What is in the page cache may be had of a disk that does not answer; opening a file may not.
        let file = match mode {
            ReadMode::MayBlock if avoid[shard] => None,
            _ => self.file(shard, !avoid[shard]),
        };
        let Some((file, base)) = file else {
            self.count_damage(shard);
            return Ok(None);
        };
        let start = stripes.start * BLOCK_STRIDE;
        let last = stripes.end - 1;
        let bytes = to_usize(last * BLOCK_STRIDE - start) + self.block_bytes(last);
        let mut buffer = Buffers::take(&self.pool.buffers, bytes);
        match file.read_exact_at(buffer.as_mut(), base + start, mode) {
            Ok(()) => {
                self.pool.count_read(bytes);
                Ok(Some(Run {
                    first: stripes.start,
                    bytes: Bytes::from_owner(buffer),
                }))
            }
            Err(DiskError::NotCached) => Err(StepError::WouldBlock),
            Err(error) => {
                tracing::debug!(%error, shard, "shard not read");
                self.count_damage(shard);
                Ok(None)
            }
        }
    }

    /// The verified payload of this shard's block of `stripe` in `run`.
    pub(super) fn block(&self, run: Option<&Run>, shard: usize, stripe: u64) -> Option<Bytes> {
        let run = run?;
        let at = to_usize((stripe - run.first) * BLOCK_STRIDE);
        let block = run.bytes.slice(at..at + self.block_bytes(stripe));
        let index = u8::try_from(shard).unwrap_or(u8::MAX);
        if !verify(&block, self.placement.blob, index, stripe)
            && !mutation::is_active(Mutation::SkipBlockChecksum)
        {
            tracing::warn!(blob = self.placement.blob.0, shard, stripe, "rotten block");
            self.count_damage(shard);
            return None;
        }
        Some(block.slice(..block.len() - BLOCK_CHECKSUM_BYTES))
    }

    /// Pushes the bytes of `range` that are in `stripe`, rebuilding the blocks that are not good.
    fn stripe_pieces(
        &self,
        stripe: u64,
        range: &Range<u64>,
        runs: &[Option<Run>],
        how: (ReadMode, &[bool]),
        pieces: &mut Vec<Bytes>,
    ) -> Result<(), StepError> {
        let mut missing = Vec::new();
        for (shard, run) in runs.iter().enumerate() {
            let part = self.layout.overlap(stripe, shard, range);
            if part.is_empty() {
                continue;
            }
            if let Some(payload) = self.block(run.as_ref(), shard, stripe) {
                pieces.push(payload.slice(part));
            } else {
                missing.push((shard, pieces.len(), part));
                pieces.push(Bytes::new());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let wanted: Vec<usize> = missing.iter().map(|(shard, ..)| *shard).collect();
        let rebuilt = self.rebuild(stripe, &wanted, how)?;
        for ((_, at, part), payload) in missing.into_iter().zip(rebuilt) {
            pieces[at] = payload.slice(part);
        }
        Ok(())
    }

    /// The payloads of the `wanted` shards' blocks of `stripe`, from any `k` other good ones.
    fn rebuild(
        &self,
        stripe: u64,
        wanted: &[usize],
        (mode, avoid): (ReadMode, &[bool]),
    ) -> Result<Vec<Bytes>, StepError> {
        let profile = self.placement.profile;
        let mut good: Vec<(u8, Bytes)> = Vec::with_capacity(profile.data());
        for shard in (0..profile.total()).filter(|shard| !wanted.contains(shard)) {
            if good.len() == profile.data() {
                break;
            }
            let run = self.read_run(shard, stripe..stripe + 1, mode, avoid)?;
            if let Some(payload) = self.block(run.as_ref(), shard, stripe) {
                good.push((u8::try_from(shard).unwrap_or(u8::MAX), payload));
            }
        }
        if good.len() < profile.data() {
            return Err(StepError::Failed(self.too_few(stripe, good.len())));
        }
        self.decode(stripe, &good, wanted)
            .map_err(|error| StepError::Failed(error.into()))
    }

    pub(super) fn decode(
        &self,
        stripe: u64,
        good: &[(u8, Bytes)],
        wanted: &[usize],
    ) -> Result<Vec<Bytes>, larder_erasure::Error> {
        let codec = self.pool.codec(self.placement.profile);
        let present: Vec<u8> = good.iter().map(|(shard, _)| *shard).collect();
        let want: Vec<u8> = wanted
            .iter()
            .map(|s| u8::try_from(*s).unwrap_or(u8::MAX))
            .collect();
        let plan = codec.plan(&present, &want)?;
        let payload_of = |source: &u8| good.iter().find(|(shard, _)| shard == source);
        let sources: Vec<&[u8]> = plan
            .sources()
            .iter()
            .filter_map(payload_of)
            .map(|(_, bytes)| &bytes[..])
            .collect();
        let mut out = vec![vec![0_u8; self.layout.unit_bytes(stripe)]; plan.targets().len()];
        let mut targets: Vec<&mut [u8]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        plan.run(&sources, &mut targets)?;
        let rebuilt_of = |shard: &u8| plan.targets().iter().position(|target| target == shard);
        Ok(want
            .iter()
            .filter_map(rebuilt_of)
            .map(|at| Bytes::from(std::mem::take(&mut out[at])))
            .collect())
    }

    /// Why a stripe of which so many shards are good can't be read now.
    fn too_few(&self, stripe: u64, good: usize) -> StripeError {
        let needed = self.placement.profile.data();
        let disks = self.pool.disks();
        let is_away = |place: &&ShardPlace| {
            let entry = place.disk().and_then(|number| disks.entry(number));
            entry.is_some_and(|entry| matches!(entry.health(), Health::Failed(_)))
        };
        let away = self.placement.shards.iter().filter(is_away).count();
        if good + away < needed {
            return self.unreadable(stripe, good);
        }
        StripeError::DisksAway {
            blob: self.placement.blob.0,
            stripe,
            good,
            needed,
            away,
        }
    }

    pub(super) fn unreadable(&self, stripe: u64, good: usize) -> StripeError {
        let shards = self.placement.shards.iter().zip(&self.files);
        let describe = |(place, file): (&ShardPlace, &Mutex<FileState>)| match &*file.lock() {
            FileState::Gone => format!("{place} is gone"),
            FileState::Open(..) | FileState::Unopened => place.to_string(),
        };
        StripeError::Unreadable {
            blob: self.placement.blob.0,
            stripe,
            good,
            needed: self.placement.profile.data(),
            places: shards.map(describe).collect::<Vec<_>>().join(", "),
        }
    }
}

/// Read buffers that are used again: fresh memory for each read costs more (page faults) than the read itself.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

/// Buffers kept for reuse; with [`BATCH_BYTES`] at `k = 1` at most 16 MiB.
const SPARE_BUFFERS: usize = 32;
/// Reads below this size use plain allocations: the allocator is quick there.
const POOLED_BYTES: usize = UNIT_BYTES / 2;

/// A buffer that goes back to its pool when the last slice of it is dropped.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    home: Option<Arc<Buffers>>,
}

impl Buffers {
    /// A buffer of `bytes` with arbitrary contents.
    fn take(home: &Arc<Self>, bytes: usize) -> Buffer {
        if bytes < POOLED_BYTES {
            return Buffer {
                bytes: vec![0; bytes],
                used: bytes,
                home: None,
            };
        }
        let mut spare = home.0.lock().pop().unwrap_or_default();
        if spare.len() < bytes {
            spare.resize(bytes, 0);
        }
        Buffer {
            bytes: spare,
            used: bytes,
            home: Some(Arc::clone(home)),
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.used]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            let mut spare = home.0.lock();
            if spare.len() < SPARE_BUFFERS {
                spare.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

/// The identity under which blocks are verified, for tools that look at shards outside a reader.
pub(crate) fn verify_shard(shard: &[u8], layout: Layout, blob: BlobId, index: u8) -> bool {
    let mut offset = 0;
    for stripe in 0..layout.stripes() {
        let bytes = layout.unit_bytes(stripe) + BLOCK_CHECKSUM_BYTES;
        let Some(block) = shard.get(offset..offset + bytes) else {
            return false;
        };
        if !verify(block, blob, index, stripe) {
            return false;
        }
        offset += bytes;
    }
    offset == shard.len()
}
