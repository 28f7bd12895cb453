//! Reading every block of every shard of a blob, whether a reader would want it or not.
//!
//! Reads go past the page cache where that is possible: they show what the devices have. Memory: [`STEP_BYTES`] per shard.
//!
//! Invariant: a shard counts as bad only where its disk answers.

use std::{ops::Range, sync::Arc};

use super::{
    BLOCK_CHECKSUM_BYTES, BlobPlacement, Job, Layout, Pool, ShardPlace,
    block::{BLOCK_STRIDE, to_usize, verify},
};
use crate::{
    disk::{BlobId, Disk, DiskError, DiskNo, FRAME_HEADER_BYTES, Health, ReadAt, ReadMode},
    upkeep::Pace,
};

/// Bytes of one shard that are read at a time.
const STEP_BYTES: u64 = 512 << 10;
/// Shards that are read at the same time.
const SHARDS_AT_ONCE: usize = 4;

/// What became of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardState {
    /// Each block is what it should be.
    Good,
    /// The record names no place, or a disk that is not of this cluster any more.
    Nowhere,
    /// Its disk is not here, or does not answer: nobody can say.
    Away,
    /// Its disk answers, and so many blocks are missing or not what they should be.
    Bad { blocks: u64 },
}

/// What a check of a blob found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlobCheck {
    /// In order of shard.
    pub(crate) shards: Vec<ShardState>,
    /// Bytes that were read and verified, of each shard.
    pub(crate) read_bytes: Vec<u64>,
    /// Stripes of which fewer than `k` blocks are good.
    pub(crate) lost_stripes: u64,
}

impl BlobCheck {
    /// Whether all shards are good.
    pub(crate) fn is_whole(&self) -> bool {
        self.shards.iter().all(|state| *state == ShardState::Good)
    }

    /// Whether some shard is not what its record says, on a disk that answers.
    pub(crate) fn is_damaged(&self) -> bool {
        let bad = |state: &ShardState| matches!(state, ShardState::Bad { .. });
        self.shards.iter().any(bad)
    }

    /// Whether some shard is nowhere.
    pub(crate) fn lacks_shards(&self) -> bool {
        self.shards.contains(&ShardState::Nowhere)
    }
}

/// Blocks of one shard that one job reads.
struct Step {
    disk: Arc<dyn Disk>,
    place: ShardPlace,
    blob: BlobId,
    shard: u8,
    layout: Layout,
    stripes: Range<u64>,
}

/// What one job found: the file to go on with, and per block whether it is good.
type Stepped = (Option<Arc<dyn ReadAt>>, Vec<bool>);

/// Reads all shards of a blob, wherever their disks answer; rests after each step.
pub(crate) async fn check_blob(
    pool: &Arc<Pool>,
    placement: &BlobPlacement,
    pace: &Pace,
) -> BlobCheck {
    let layout = placement.layout();
    let total = placement.shards.len();
    let mut check = BlobCheck {
        shards: placement
            .shards
            .iter()
            .map(|p| state_of(pool, *p))
            .collect(),
        read_bytes: vec![0; total],
        lost_stripes: 0,
    };
    let mut files: Vec<Option<Arc<dyn ReadAt>>> = vec![None; total];
    let step = (STEP_BYTES / BLOCK_STRIDE).max(1);
    let mut first = 0;
    while first < layout.stripes() {
        let stripes = first..layout.stripes().min(first + step);
        first = stripes.end;
        let began = pace.begin();
        let bytes = check_stripes(pool, placement, &stripes, &mut files, &mut check).await;
        pace.rest_since(began, bytes).await;
    }
    check
}

/// What can be said before anything is read.
fn state_of(pool: &Pool, place: ShardPlace) -> ShardState {
    let Some(number) = place.disk() else {
        return ShardState::Nowhere;
    };
    if !pool.disks().iter().any(|disk| disk.number == number) {
        return ShardState::Nowhere;
    }
    match pool.disk(number).map(|disk| disk.health()) {
        None | Some(Health::Failed(_)) => ShardState::Away,
        Some(Health::Good | Health::Full) => ShardState::Good,
    }
}

/// Checks some stripes of all shards that can be read; how many bytes that were.
async fn check_stripes(
    pool: &Arc<Pool>,
    placement: &BlobPlacement,
    stripes: &Range<u64>,
    files: &mut [Option<Arc<dyn ReadAt>>],
    check: &mut BlobCheck,
) -> u64 {
    let (mut shards, mut jobs) = (Vec::new(), Vec::new());
    for (shard, place) in placement.shards.iter().enumerate() {
        if matches!(check.shards[shard], ShardState::Nowhere | ShardState::Away) {
            continue;
        }
        let Some(disk) = place.disk().and_then(|number| pool.disk(number)) else {
            check.shards[shard] = ShardState::Away;
            continue;
        };
        let step = Step {
            disk,
            place: *place,
            blob: placement.blob,
            shard: u8::try_from(shard).unwrap_or(u8::MAX),
            layout: placement.layout(),
            stripes: stripes.clone(),
        };
        let file = files[shard].take();
        let job: Job<Option<Stepped>> = Box::new(move || step.run(file));
        jobs.push((step_disk(place), job));
        shards.push(shard);
    }
    let results = pool.on_disks(SHARDS_AT_ONCE.min(jobs.len()), jobs).await;
    let mut good = vec![0_usize; to_usize(stripes.end - stripes.start)];
    let mut bytes = 0;
    for (shard, result) in shards.into_iter().zip(results) {
        let Some((file, blocks)) = result.flatten() else {
            check.shards[shard] = ShardState::Away;
            continue;
        };
        files[shard] = file;
        for (at, is_good) in blocks.iter().enumerate() {
            good[at] += usize::from(*is_good);
            if !is_good {
                check.shards[shard] = one_more_bad(check.shards[shard]);
            }
        }
        let read = run_bytes(placement.layout(), stripes) as u64;
        check.read_bytes[shard] += read;
        bytes += read;
    }
    let lost = good.iter().filter(|good| **good < placement.profile.data());
    check.lost_stripes += lost.count() as u64;
    bytes
}

fn step_disk(place: &ShardPlace) -> DiskNo {
    place.disk().unwrap_or(DiskNo(u16::MAX))
}

fn one_more_bad(state: ShardState) -> ShardState {
    match state {
        ShardState::Bad { blocks } => ShardState::Bad { blocks: blocks + 1 },
        _ => ShardState::Bad { blocks: 1 },
    }
}

/// Bytes of the blocks of `stripes` in one shard.
fn run_bytes(layout: Layout, stripes: &Range<u64>) -> usize {
    let last = stripes.end - 1;
    to_usize((last - stripes.start) * BLOCK_STRIDE) + layout.unit_bytes(last) + BLOCK_CHECKSUM_BYTES
}

impl Step {
    /// `None` where the disk is out.
    fn run(&self, file: Option<Arc<dyn ReadAt>>) -> Option<Stepped> {
        let count = to_usize(self.stripes.end - self.stripes.start);
        let file = match file.map_or_else(|| self.open(), Ok) {
            Ok(file) => file,
            Err(error) if self.is_out(&error) => return None,
            Err(_) => return Some((None, vec![false; count])),
        };
        let mut run = vec![0; run_bytes(self.layout, &self.stripes)];
        let start = self.base() + self.stripes.start * BLOCK_STRIDE;
        let blocks = match file.read_exact_at(&mut run, start, ReadMode::MayBlock) {
            Ok(()) => self.verify_all(&run),
            Err(error) if self.is_out(&error) => return None,
            Err(_) => self.read_by_blocks(&*file),
        };
        Some((Some(file), blocks))
    }

    fn open(&self) -> Result<Arc<dyn ReadAt>, DiskError> {
        match self.place {
            ShardPlace::Missing => Err(DiskError::NotFound),
            ShardPlace::Log(_, address) => self.disk.open_segment_uncached(address.segment),
            ShardPlace::Extent(_) => self.disk.open_extent_uncached(self.blob, self.shard),
        }
    }

    fn base(&self) -> u64 {
        match self.place {
            ShardPlace::Log(_, address) => {
                u64::from(address.offset) + u64::from(FRAME_HEADER_BYTES)
            }
            ShardPlace::Missing | ShardPlace::Extent(_) => 0,
        }
    }

    fn is_out(&self, error: &DiskError) -> bool {
        matches!(error, DiskError::Failed(_)) || matches!(self.disk.health(), Health::Failed(_))
    }

    fn verify_all(&self, run: &[u8]) -> Vec<bool> {
        let mut rest = run;
        let mut good = Vec::new();
        for stripe in self.stripes.clone() {
            let bytes = self.layout.unit_bytes(stripe) + BLOCK_CHECKSUM_BYTES;
            let (block, tail) = rest.split_at_checked(bytes).unwrap_or((&[], &[]));
            rest = tail;
            good.push(verify(block, self.blob, self.shard, stripe));
        }
        good
    }

    /// Tells the blocks that can't be read from those that can.
    fn read_by_blocks(&self, file: &dyn ReadAt) -> Vec<bool> {
        let read = |stripe: u64| {
            let mut block = vec![0; self.layout.unit_bytes(stripe) + BLOCK_CHECKSUM_BYTES];
            let at = self.base() + stripe * BLOCK_STRIDE;
            let read = file.read_exact_at(&mut block, at, ReadMode::MayBlock);
            read.is_ok() && verify(&block, self.blob, self.shard, stripe)
        };
        self.stripes.clone().map(read).collect()
    }
}
