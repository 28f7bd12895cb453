//! Levelling: what fuller disks hold moves to emptier ones, as after a disk was added.
//!
//! A shard that moves is written to the emptier disk, synced, and named by the record, before the old one goes; small blobs are
//! committed anew, with a shard on each of the emptier disks. Only blobs that lack nothing are moved. While the disks are not level, new blobs have a
//! shard on each of the emptier ones as well ([`Pool::favour`]).
//!
//! Invariants:
//! - No blob ever has fewer good shards than before.
//! - One pass over the records per round, and nothing while the disks are level to within a slack.
//!
//! [`Pool::favour`]: crate::stripes::Pool::favour

pub(super) mod levels;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use self::levels::{Holding, Levels};
use super::{
    AT_ONCE, HealState, Healer, PAGE, ROWS, Round,
    survey::{Standings, blob_of},
    work::{Outcome, units},
};
use crate::{
    disk::{Disk, DiskNo, Health},
    meta::{Revision, embedded::Stored},
    objects::{HealingExtents, StoreError},
    stripes::{BlobPlacement, PoolDisk, Rest, Role},
};

/// A blob and what is to move of it.
struct Move {
    key: Bytes,
    stored: Stored,
    placement: BlobPlacement,
    is_inline: bool,
    shard: usize,
    to: DiskNo,
}

impl Move {
    fn bytes(&self) -> u64 {
        self.placement.layout().shard_bytes()
    }
}

impl Healer {
    /// Differences between disks below this are left as they are. Small in tests, whose disks hold little.
    pub fn set_level_bytes(&self, bytes: u64) {
        self.level_bytes.store(bytes, Ordering::Relaxed);
    }

    /// How level the disks are. From now on new blobs go to the emptier ones first.
    pub(super) async fn look_at_levels(&self) -> Result<Levels, StoreError> {
        let levels = self.levels().await?;
        let is_level = levels.is_level();
        self.pool.favour(if is_level {
            BTreeMap::new()
        } else {
            levels.wanting()
        });
        self.shared.lock().status.left_to_move_bytes =
            if is_level { 0 } else { levels.left_bytes() };
        Ok(levels)
    }

    /// Moves shards until the disks are level, or nothing more can move.
    pub(super) async fn rebalance(
        &self,
        mut levels: Levels,
        round: &mut Round,
    ) -> Result<(), StoreError> {
        if levels.is_level() {
            return Ok(());
        }
        self.set_state(HealState::Levelling);
        let mut from = Some(Bytes::new());
        while let Some(start) = from {
            if self.is_paused().await {
                return Ok(());
            }
            levels.set_wanting(&self.pool.favoured());
            let left = levels.left_bytes();
            self.shared.lock().status.left_to_move_bytes = left;
            if left == 0 {
                break;
            }
            let standings = self.standings()?;
            let (wanted, known) = (levels.clone(), Arc::clone(&standings));
            let wants = move |key: &[u8], stored: &Stored| {
                blob_to_move(key, stored, &wanted, &known).is_some()
            };
            let (rows, next) = self.engine.rows(start, PAGE, ROWS, wants).await?;
            from = next;
            self.move_rows(rows, &mut levels, &standings, round).await;
            self.breath.rest(0).await;
        }
        // What is left can't move: shards are too large for what is lacking, or on disks that have one of the blob already.
        self.shared.lock().status.left_to_move_bytes = 0;
        levels.set_wanting(&self.pool.favoured());
        if levels.is_level() {
            self.pool.favour(BTreeMap::new());
        }
        Ok(())
    }

    async fn move_rows(
        &self,
        rows: Vec<(Bytes, Stored)>,
        levels: &mut Levels,
        standings: &Standings,
        round: &mut Round,
    ) {
        let mut moves = Vec::new();
        for (key, stored) in rows {
            // The page was picked by levels that have changed since.
            let Some((placement, is_inline, (shard, to))) =
                blob_to_move(&key, &stored, levels, standings)
            else {
                continue;
            };
            let from = placement.shards[shard].disk();
            let chosen = Move {
                key,
                stored,
                placement,
                is_inline,
                shard,
                to,
            };
            levels.book(from, to, chosen.bytes());
            moves.push(chosen);
        }
        let mut work = stream::iter(moves)
            .map(|chosen| self.move_one(chosen))
            .buffer_unordered(AT_ONCE);
        while let Some(outcome) = work.next().await {
            match outcome {
                Outcome::Healed => round.moved += 1,
                // Those that have become unreadable, or changed, are healing's or their client's.
                Outcome::Changed => round.failed += 1,
                Outcome::Nothing | Outcome::Waiting | Outcome::Lost => {}
            }
        }
    }

    async fn move_one(&self, chosen: Move) -> Outcome {
        let bytes = chosen.bytes();
        let moved = if chosen.is_inline {
            self.move_inline(&chosen).await
        } else {
            self.move_extent(&chosen).await
        };
        match moved {
            Ok(true) => {
                self.note_moved(bytes);
                Outcome::Healed
            }
            Ok(false) => Outcome::Nothing,
            Err(error) => self.outcome_of(&error),
        }
    }

    /// Commits a small blob anew: new ones go to the emptier disks first.
    async fn move_inline(&self, chosen: &Move) -> Result<bool, StoreError> {
        let _room = self.room(units(chosen.placement.size)).await;
        let outcome = self.renew(&chosen.key, &chosen.stored).await?;
        self.breath.rest(chosen.placement.size).await;
        Ok(outcome == Outcome::Healed)
    }

    async fn move_extent(&self, chosen: &Move) -> Result<bool, StoreError> {
        let placement = &chosen.placement;
        let _room = self.room(self.extent_units(placement)).await;
        let is_good = |disk: &Arc<dyn Disk>| disk.health() == Health::Good;
        let Some(disk) = self.pool.disk(chosen.to).filter(is_good) else {
            return Ok(false);
        };
        let Some(healing) = self.store.begin_healing(placement.blob) else {
            return Ok(false);
        };
        let what = HealingExtents {
            key: chosen.key.clone(),
            revision: Revision(chosen.stored.seq.0),
            record: chosen.stored.value.clone().unwrap_or_default(),
            placement: placement.clone(),
            lacks_copies: false,
        };
        let rest: Arc<dyn Rest> = Arc::clone(&self.breath) as Arc<dyn Rest>;
        let targets = vec![(chosen.shard, disk)];
        let Some((_, rebuilt)) = self
            .store
            .heal_extents(healing, what, targets, rest)
            .await?
        else {
            return Ok(false);
        };
        self.pool.took(chosen.to, chosen.bytes());
        if !rebuilt.rotten.is_empty() {
            self.store.queue_for_healing([chosen.key.clone()]).await?;
        }
        Ok(true)
    }

    fn note_moved(&self, bytes: u64) {
        let now = self.clock.monotonic();
        let mut shared = self.shared.lock();
        shared.status.moved.add(bytes);
        let left = &mut shared.status.left_to_move_bytes;
        *left = left.saturating_sub(bytes);
        shared.measure(now);
    }

    /// What each member that answers holds, against what it should.
    async fn levels(&self) -> Result<Levels, StoreError> {
        let spaces = self.pool.spaces().await;
        let disks = self.pool.disks();
        let members = disks.iter().filter(|disk| disk.role == Role::Member);
        let holding = |disk: &PoolDisk| {
            let holding = Holding {
                size_bytes: spaces.get(&disk.number)?.total_bytes,
                held_bytes: 0,
                takes_data: disk.health() == Health::Good,
            };
            Some((disk.number, holding))
        };
        let holdings = members.filter_map(holding).collect::<BTreeMap<_, _>>();
        let counted = Arc::new(Mutex::new((holdings, 0_u64)));
        let mut from = Some(Bytes::new());
        while let Some(start) = from {
            let into = Arc::clone(&counted);
            let count = move |key: &[u8], stored: &Stored| {
                let (holdings, one_of_each) = &mut *into.lock();
                count_blob(key, stored, holdings, one_of_each);
                false
            };
            from = self.engine.rows(start, ROWS, ROWS, count).await?.1;
            self.breath.rest(0).await;
        }
        let (holdings, one_of_each) = &*counted.lock();
        let least = self.level_bytes.load(Ordering::Relaxed);
        Ok(Levels::of(holdings, *one_of_each, least))
    }
}

fn count_blob(
    key: &[u8],
    stored: &Stored,
    holdings: &mut BTreeMap<DiskNo, Holding>,
    one_of_each_bytes: &mut u64,
) {
    let blob = stored
        .value
        .as_ref()
        .and_then(|value| blob_of(key, stored, value));
    let Some((placement, _)) = blob else {
        return;
    };
    let bytes = placement.layout().shard_bytes();
    *one_of_each_bytes = one_of_each_bytes.saturating_add(bytes);
    for disk in placement.shards.iter().filter_map(|place| place.disk()) {
        if let Some(holding) = holdings.get_mut(&disk) {
            holding.held_bytes = holding.held_bytes.saturating_add(bytes);
        }
    }
}

/// The blob of a row, whether it is in the log, and what should move of it.
fn blob_to_move(
    key: &[u8],
    stored: &Stored,
    levels: &Levels,
    standings: &Standings,
) -> Option<(BlobPlacement, bool, (usize, DiskNo))> {
    let value = stored.value.as_ref()?;
    let (placement, is_inline) = blob_of(key, stored, value)?;
    let chosen = levels.move_of(&placement)?;
    standings
        .may_move(key, stored, &placement, is_inline)
        .then_some((placement, is_inline, chosen))
}
