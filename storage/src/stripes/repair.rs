//! Rebuilding shards that are extents from the others of their blob, some stripes at a time.
//!
//! Reads `k` shards, and further ones only where a block of these turns out to be bad. While a batch of stripes is written the
//! next one is read; memory is bounded by two batches per blob. What is read or written stays out of the page cache, which is the
//! clients'.
//!
//! Invariants:
//! - Nothing is written that was not computed from blocks whose checksums match.
//! - An extent that a record names gets its name only when it is complete and synced; until then what was there stays as it was.

use std::{collections::BTreeSet, fmt::Debug, mem, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    BLOCK_CHECKSUM_BYTES, BlobPlacement, Job, Pool, ShardPlace, StripeError,
    block::{BLOCK_STRIDE, checksum},
    read::{Source, StepError},
    write::{Writers, append_all, sync_all},
};
use crate::{
    disk::{BlobId, Disk, DiskError, ExtentWriter, ReadMode},
    mutation::{self, Mutation},
};

/// A shard to be written anew, and the disk for it.
pub(crate) type Target = (usize, Arc<dyn Disk>);

/// Told after each unit of background work: may make it wait.
#[async_trait]
pub(crate) trait Rest: Send + Sync + Debug {
    /// Bytes of each shard that the next unit should read or write: small ones leave clients short waits, large ones are quicker.
    fn unit_bytes(&self) -> u64;
    /// Resolves when work may go on after `bytes` were read or written.
    async fn rest(&self, bytes: u64);
}

/// What a rebuilding did.
#[derive(Debug, Default)]
pub(crate) struct Rebuilt {
    /// Shards of the targets that are durable now.
    pub(crate) written: Vec<usize>,
    /// Other shards that were met missing or rotten on disks that answer.
    pub(crate) rotten: BTreeSet<usize>,
    /// Bytes read and written.
    pub(crate) moved_bytes: u64,
    /// Whether a disk had no room.
    pub(crate) ran_full: bool,
}

/// How a shard is found to be by reading all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardCheck {
    Good,
    /// Its disk answers, and it is not there or not what it should be.
    Bad,
    /// Nobody can say: it is nowhere, or its disk does not answer.
    Unknown,
}

/// A batch of stripes of the shards that are wanted, as they go to disk.
struct Step {
    shards: Vec<Vec<u8>>,
    rotten: BTreeSet<usize>,
    read_bytes: u64,
}

/// Writes the shards of `targets` anew, each on its disk, from the others. A target whose disk fails meanwhile is left out.
///
/// # Errors
/// [`StripeError::Unreadable`]: fewer than `k` shards of a stripe are good. Nothing is changed then.
pub(crate) async fn rebuild_extents(
    pool: &Arc<Pool>,
    placement: &BlobPlacement,
    targets: &[Target],
    rest: &dyn Rest,
) -> Result<Rebuilt, StripeError> {
    let source = Arc::new(Source::new_once(pool, placement.clone()));
    let wanted: Arc<[usize]> = targets.iter().map(|(shard, _)| *shard).collect();
    let mut writers = open_all(pool, placement, targets).await;
    let mut done = Rebuilt::default();
    let mut batches = Batches::new(&source);
    let mut spare = Vec::new();
    let mut step = match batches.next(rest) {
        Some(stripes) => Some(read(&source, stripes, &wanted, Vec::new()).await?),
        None => None,
    };
    while let Some(Step {
        shards,
        rotten,
        read_bytes,
    }) = step.take()
    {
        let used = shards.first().map_or(0, Vec::len);
        done.rotten.extend(rotten);
        let moved_bytes = read_bytes + (used * shards.len()) as u64;
        done.moved_bytes += moved_bytes;
        let next = async {
            match batches.next(rest) {
                Some(stripes) => {
                    let buffers = mem::take(&mut spare);
                    read(&source, stripes, &wanted, buffers).await.map(Some)
                }
                None => Ok(None),
            }
        };
        let write = append_all(Arc::clone(pool), writers, shards, used);
        let ((written, buffers), next) = tokio::join!(write, next);
        writers = written;
        spare = buffers;
        step = next?;
        if writers.open.iter().all(Option::is_none) {
            break;
        }
        rest.rest(moved_bytes).await;
    }
    done.ran_full = writers.ran_full;
    let synced = sync_all(writers).await;
    let synced = wanted.iter().zip(synced).filter(|(_, synced)| *synced);
    done.written = synced.map(|(shard, _)| *shard).collect();
    Ok(done)
}

/// Reads all shards of a blob in extents, wherever their disks answer.
pub(crate) async fn check_extents(
    pool: &Arc<Pool>,
    placement: &BlobPlacement,
    rest: &dyn Rest,
) -> Vec<ShardCheck> {
    let source = Arc::new(Source::new_once(pool, placement.clone()));
    let mut checks: Vec<ShardCheck> = placement.shards.iter().map(|_| ShardCheck::Good).collect();
    let mut batches = Batches::new(&source);
    while let Some(stripes) = batches.next(rest) {
        for (shard, check) in checks.iter_mut().enumerate() {
            if *check == ShardCheck::Good {
                *check = check_run(&source, shard, stripes.clone()).await;
                rest.rest(shard_bytes(&source, stripes.clone()) as u64)
                    .await;
            }
        }
    }
    checks
}

async fn check_run(source: &Arc<Source>, shard: usize, stripes: Range<u64>) -> ShardCheck {
    let pool = &source.pool;
    if source.placement.shards[shard] == ShardPlace::Missing {
        return ShardCheck::Unknown;
    }
    let is_here = || !source.to_avoid()[shard];
    if !is_here() {
        return ShardCheck::Unknown;
    }
    let reader = Arc::clone(source);
    let avoid = source.to_avoid();
    let work = move || blocks(&reader, shard, &stripes, &avoid).is_some();
    match pool.read_blocking(work, || !is_here()).await {
        Some(true) => ShardCheck::Good,
        Some(false) if is_here() => ShardCheck::Bad,
        _ => ShardCheck::Unknown,
    }
}

/// The stripes of a blob in batches, each as large as it should be when it is its turn.
struct Batches(Range<u64>);

impl Batches {
    fn new(source: &Source) -> Self {
        Self(0..source.layout.stripes())
    }

    fn next(&mut self, rest: &dyn Rest) -> Option<Range<u64>> {
        let Range { start, end } = self.0;
        self.0.start = end.min(start + (rest.unit_bytes() / BLOCK_STRIDE).max(1));
        (start < end).then_some(start..self.0.start)
    }
}

async fn open_all(pool: &Arc<Pool>, placement: &BlobPlacement, targets: &[Target]) -> Writers {
    let blob = placement.blob;
    let job = |(shard, disk): &Target| {
        let (disk, number) = (Arc::clone(disk), disk.number());
        let index = u8::try_from(*shard).unwrap_or(u8::MAX);
        let is_named_there = placement.shards[*shard].disk() == Some(number);
        let job: Job<_> = Box::new(move || {
            let writer = start_extent(&*disk, blob, index, is_named_there);
            let writer = writer.inspect_err(|error| tracing::warn!(%error, "extent not created"));
            writer.map(|writer| (number, writer))
        });
        (number, job)
    };
    let opened = pool.on_disks(1, targets.iter().map(job).collect()).await;
    let is_full = |opened: &Option<Result<_, _>>| matches!(opened, Some(Err(DiskError::Full)));
    Writers {
        pool: Arc::clone(pool),
        ran_full: opened.iter().any(is_full),
        open: opened
            .into_iter()
            .map(|opened| opened.and_then(Result::ok))
            .collect(),
    }
}

/// An extent under a name that means something gets it at the end. Else it has it from the start, which saves a commit of the file system's
/// journal, for which the syncs of clients would wait.
fn start_extent(
    disk: &dyn Disk,
    blob: BlobId,
    index: u8,
    is_named_there: bool,
) -> Result<Box<dyn ExtentWriter>, DiskError> {
    if !is_named_there && let Ok(writer) = disk.create_extent_once(blob, index) {
        return Ok(writer);
    }
    // A crash may have left one there.
    disk.replace_extent(blob, index)
}

/// Reads a batch where it may wait for devices, and goes round disks that fall silent.
async fn read(
    source: &Arc<Source>,
    stripes: Range<u64>,
    wanted: &Arc<[usize]>,
    mut buffers: Vec<Vec<u8>>,
) -> Result<Step, StripeError> {
    loop {
        let avoid = source.to_avoid();
        let known = avoid.clone();
        let (reader, wanted, stripes) = (Arc::clone(source), Arc::clone(wanted), stripes.clone());
        let buffers = mem::take(&mut buffers);
        let work = move || rebuild_batch(&reader, &stripes, &wanted, &avoid, buffers);
        let has_news = || source.to_avoid() != known;
        if let Some(step) = source.pool.read_blocking(work, has_news).await {
            return step;
        }
    }
}

/// The wanted shards of some stripes: from `k` shards that are good in all of them, else stripe by stripe.
fn rebuild_batch(
    source: &Source,
    stripes: &Range<u64>,
    wanted: &[usize],
    avoid: &[bool],
    mut buffers: Vec<Vec<u8>>,
) -> Result<Step, StripeError> {
    buffers.iter_mut().for_each(Vec::clear);
    buffers.resize_with(wanted.len(), Vec::new);
    let mut step = Step {
        shards: buffers,
        rotten: BTreeSet::new(),
        read_bytes: 0,
    };
    if source
        .rebuild_run(stripes, wanted, avoid, &mut step)
        .is_err()
    {
        for stripe in stripes.clone() {
            step.shards.iter_mut().for_each(|shard| {
                shard.truncate(shard_bytes(source, stripes.start..stripe));
            });
            source.rebuild_run(&(stripe..stripe + 1), wanted, avoid, &mut step)?;
        }
    }
    step.rotten.retain(|shard| !wanted.contains(shard));
    Ok(step)
}

fn shard_bytes(source: &Source, stripes: Range<u64>) -> usize {
    stripes.map(|stripe| source.block_bytes(stripe)).sum()
}

/// The payloads of a shard's blocks in `stripes`; `None` unless all are good.
fn blocks(
    source: &Source,
    shard: usize,
    stripes: &Range<u64>,
    avoid: &[bool],
) -> Option<Vec<Bytes>> {
    let run = match source.read_run(shard, stripes.clone(), ReadMode::MayBlock, avoid) {
        Ok(run) => run?,
        Err(StepError::WouldBlock | StepError::Failed(_)) => return None,
    };
    let block = |stripe| source.block(Some(&run), shard, stripe);
    stripes.clone().map(block).collect()
}

impl Source {
    /// Appends the wanted shards' blocks of `stripes` to `step`.
    fn rebuild_run(
        &self,
        stripes: &Range<u64>,
        wanted: &[usize],
        avoid: &[bool],
        step: &mut Step,
    ) -> Result<(), StripeError> {
        let good = self.gather(stripes, wanted, avoid, step);
        let needed = self.placement.profile.data();
        if good.len() < needed {
            return Err(self.unreadable(stripes.start, good.len()));
        }
        let wanted: Vec<u8> = wanted.iter().copied().map(index).collect();
        let present: Vec<u8> = good.iter().map(|(shard, _)| *shard).collect();
        let is_lost = |shard: &u8| !present.contains(shard);
        let lost: Vec<u8> = wanted.iter().copied().filter(is_lost).collect();
        let plan = if lost.is_empty() {
            None
        } else {
            let codec = self.pool.codec(self.placement.profile);
            Some(codec.plan(&present, &lost)?)
        };
        for (at, stripe) in stripes.clone().enumerate() {
            let payload_of = |wanted: u8| {
                let found = good.iter().find(|(shard, _)| *shard == wanted);
                found.map_or(&[][..], |(_, blocks)| &blocks[at][..])
            };
            let bytes = self.layout.unit_bytes(stripe);
            let mut payloads: Vec<(u8, &mut [u8])> = wanted
                .iter()
                .zip(&mut step.shards)
                .map(|(shard, out)| (*shard, room_for(bytes, out)))
                .collect();
            if let Some(plan) = &plan {
                let sources: Vec<&[u8]> = plan.sources().iter().copied().map(payload_of).collect();
                plan.run(&sources, &mut in_order(plan.targets(), &mut payloads))?;
            }
            for (shard, payload) in payloads.iter_mut().filter(|(shard, _)| !is_lost(shard)) {
                payload.copy_from_slice(payload_of(*shard));
            }
            for (shard, out) in wanted.iter().zip(&mut step.shards) {
                self.close_block(*shard, stripe, out);
            }
        }
        Ok(())
    }

    /// Puts its checksum behind the payload that `out` ends with.
    fn close_block(&self, shard: u8, stripe: u64, out: &mut Vec<u8>) {
        let start = out.len() - self.layout.unit_bytes(stripe);
        if mutation::is_active(Mutation::HealWrongShard) {
            out[start] ^= 1;
        }
        let sum = checksum(&out[start..], self.placement.blob, shard, stripe);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// `k` shards with good blocks in all of `stripes`, if there are so many: first those that are not to be replaced.
    fn gather(
        &self,
        stripes: &Range<u64>,
        wanted: &[usize],
        avoid: &[bool],
        step: &mut Step,
    ) -> Vec<(u8, Vec<Bytes>)> {
        let places = &self.placement.shards;
        let others = (0..places.len()).filter(|shard| !wanted.contains(shard));
        let candidates = others.chain(wanted.iter().copied());
        let mut good = Vec::new();
        for shard in candidates {
            if good.len() == self.placement.profile.data() {
                break;
            }
            if places[shard] == ShardPlace::Missing || avoid[shard] {
                continue;
            }
            match blocks(self, shard, stripes, avoid) {
                Some(blocks) => good.push((index(shard), blocks)),
                None => drop(step.rotten.insert(shard)),
            }
            step.read_bytes += shard_bytes(self, stripes.clone()) as u64;
        }
        good
    }
}

/// Lengthens `out` by `bytes` and the room for a checksum to come.
fn room_for(bytes: usize, out: &mut Vec<u8>) -> &mut [u8] {
    let start = out.len();
    out.reserve(bytes + BLOCK_CHECKSUM_BYTES);
    out.resize(start + bytes, 0);
    &mut out[start..]
}

/// The payloads of `shards`, in this order.
fn in_order<'a>(shards: &[u8], payloads: &'a mut [(u8, &mut [u8])]) -> Vec<&'a mut [u8]> {
    let place = |shard: &u8| shards.iter().position(|target| target == shard);
    let mut placed: Vec<(usize, &mut [u8])> = payloads
        .iter_mut()
        .filter_map(|(shard, payload)| Some((place(shard)?, &mut **payload)))
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, payload)| payload).collect()
}

fn index(shard: usize) -> u8 {
    u8::try_from(shard).unwrap_or(u8::MAX)
}
