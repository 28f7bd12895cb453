//! Rebuilding shards that are extents from the others of their blob, some stripes at a time.
//!
//! Reads `k` shards, and further ones only where a block of these turns out to be bad. While a batch of stripes is written the
//! next one is read; memory is bounded by two batches per blob.
//!
//! Invariants:
//! - Nothing is written that was not computed from blocks whose checksums match.
//! - An extent gets its name only when it is complete and synced; until then what was there stays as it was.

use std::{collections::BTreeSet, fmt::Debug, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    BLOCK_CHECKSUM_BYTES, BlobPlacement, Job, Pool, ShardPlace, StripeError,
    block::checksum,
    read::{BATCH_BYTES, Source, StepError},
    write::{Writers, append_all, sync_all},
};
use crate::{
    disk::{Disk, DiskError, ReadMode},
    mutation::{self, Mutation},
};

/// A shard to be written anew, and the disk for it.
pub(crate) type Target = (usize, Arc<dyn Disk>);

/// Told after each unit of background work, some hundred KiB: may make it wait.
#[async_trait]
pub(crate) trait Rest: Send + Sync + Debug {
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
    let source = Arc::new(Source::new(pool, placement.clone()));
    let wanted: Arc<[usize]> = targets.iter().map(|(shard, _)| *shard).collect();
    let mut writers = open_all(pool, placement, targets).await;
    let mut done = Rebuilt::default();
    let mut batches = batches(&source);
    let mut step = match batches.next() {
        Some(stripes) => Some(read(&source, stripes, &wanted).await?),
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
            match batches.next() {
                Some(stripes) => read(&source, stripes, &wanted).await.map(Some),
                None => Ok(None),
            }
        };
        let write = append_all(Arc::clone(pool), writers, shards, used);
        let ((written, _), next) = tokio::join!(write, next);
        writers = written;
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
    let source = Arc::new(Source::new(pool, placement.clone()));
    let mut checks: Vec<ShardCheck> = placement.shards.iter().map(|_| ShardCheck::Good).collect();
    for stripes in batches(&source) {
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

/// The stripes of a blob in batches.
fn batches(source: &Source) -> impl Iterator<Item = Range<u64>> + use<> {
    let count = source.layout.stripes();
    let per_batch = (BATCH_BYTES as u64 / source.layout.stripe_bytes()).max(1);
    let starts = (0..count).step_by(usize::try_from(per_batch).unwrap_or(1));
    starts.map(move |start| start..(start + per_batch).min(count))
}

async fn open_all(pool: &Arc<Pool>, placement: &BlobPlacement, targets: &[Target]) -> Writers {
    let blob = placement.blob;
    let job = |(shard, disk): &Target| {
        let (disk, number) = (Arc::clone(disk), disk.number());
        let index = u8::try_from(*shard).unwrap_or(u8::MAX);
        let job: Job<_> = Box::new(move || {
            let writer = disk.replace_extent(blob, index);
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

/// Reads a batch where it may wait for devices, and goes round disks that fall silent.
async fn read(
    source: &Arc<Source>,
    stripes: Range<u64>,
    wanted: &Arc<[usize]>,
) -> Result<Step, StripeError> {
    loop {
        let avoid = source.to_avoid();
        let known = avoid.clone();
        let (reader, wanted, stripes) = (Arc::clone(source), Arc::clone(wanted), stripes.clone());
        let work = move || rebuild_batch(&reader, &stripes, &wanted, &avoid);
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
) -> Result<Step, StripeError> {
    let mut step = Step {
        shards: wanted.iter().map(|_| Vec::new()).collect(),
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
        let lost: Vec<usize> = wanted
            .iter()
            .copied()
            .filter(|shard| !good.iter().any(|(found, _)| found == shard))
            .collect();
        for (at, stripe) in stripes.clone().enumerate() {
            let of_stripe: Vec<(u8, Bytes)> = good
                .iter()
                .map(|(shard, blocks)| (index(*shard), blocks[at].clone()))
                .collect();
            let rebuilt = self.decode(stripe, &of_stripe, &lost)?;
            for (shard, out) in wanted.iter().zip(&mut step.shards) {
                let found = of_stripe.iter().find(|(found, _)| *found == index(*shard));
                let found = found.map(|(_, payload)| payload);
                let payload = lost.iter().position(|lost| lost == shard);
                if let Some(payload) = payload.map(|at| &rebuilt[at]).or(found) {
                    self.push_block(payload, *shard, stripe, out);
                }
            }
        }
        Ok(())
    }

    fn push_block(&self, payload: &[u8], shard: usize, stripe: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(payload.len() + BLOCK_CHECKSUM_BYTES);
        out.extend_from_slice(payload);
        if mutation::is_active(Mutation::HealWrongShard) {
            out[start] ^= 1;
        }
        let sum = checksum(&out[start..], self.placement.blob, index(shard), stripe);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// `k` shards with good blocks in all of `stripes`, if there are so many: first those that are not to be replaced.
    fn gather(
        &self,
        stripes: &Range<u64>,
        wanted: &[usize],
        avoid: &[bool],
        step: &mut Step,
    ) -> Vec<(usize, Vec<Bytes>)> {
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
                Some(blocks) => good.push((shard, blocks)),
                None => drop(step.rotten.insert(shard)),
            }
            step.read_bytes += shard_bytes(self, stripes.clone()) as u64;
        }
        good
    }
}

fn index(shard: usize) -> u8 {
    u8::try_from(shard).unwrap_or(u8::MAX)
}
