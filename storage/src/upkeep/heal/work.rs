//! Healing one record.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    FULL_BYTES, Healer, UNIT_BYTES, UNITS, key_of,
    survey::{Need, Standings, Verdict},
};
use crate::{
    meta::{Entry, MetaError, Revision, embedded::Stored},
    mutation::{self, Mutation},
    objects::{HealingExtents, StoreError, extents_of},
    stripes::{BlobPlacement, Rest, ShardCheck, Target, check_extents},
};

/// Lost keys that are kept in mind.
const MAX_LOST: usize = 1024;

/// What came of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There was nothing to do.
    Nothing,
    /// It has all that it can have now.
    Healed,
    /// It changed meanwhile, or something went wrong: it wants another look.
    Changed,
    /// It needs a disk that is not here, or room.
    Waiting,
    /// Too few of its shards are left.
    Lost,
}

/// A blob in extents and what is to be done for it.
struct Extents {
    row: Stored,
    placement: BlobPlacement,
    verdict: Verdict,
    /// Shards that are not what they should be, on disks that are here.
    bad: BTreeSet<usize>,
}

impl Healer {
    /// Heals what an entry of the queue names, and takes it off the queue where nothing is left to do.
    pub(super) async fn heal_entry(&self, entry: Entry, standings: &Standings) -> Outcome {
        if self.lost.lock().contains(&entry.key) {
            return Outcome::Lost;
        }
        match self.try_entry(&entry, standings).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let outcome = self.outcome_of(&error);
                let mut lost = self.lost.lock();
                if outcome == Outcome::Lost && lost.len() < MAX_LOST {
                    lost.insert(entry.key);
                }
                outcome
            }
        }
    }

    async fn try_entry(&self, entry: &Entry, standings: &Standings) -> Result<Outcome, StoreError> {
        let key = key_of(&entry.key);
        let is_deep = !entry.value.is_empty();
        let outcome = self.heal(&key, is_deep, standings).await?;
        if outcome == Outcome::Changed {
            return Ok(outcome);
        }
        let now = self.engine.row(&key).await?;
        let need = now.as_ref().map(|row| standings.judge(&key, row).need);
        let revision = now.map(|row| Revision(row.seq.0));
        match need {
            None | Some(Need::Nothing) => {
                self.store.unqueue(&key, revision, entry.revision).await?;
            }
            // Its rot is healed; what is left, its record tells.
            Some(_) if is_deep => {
                self.store
                    .queue_known(&key, revision, entry.revision)
                    .await?;
            }
            Some(_) => {}
        }
        Ok(outcome)
    }

    /// Heals the record of `key`; `is_deep`: something may be wrong that it does not tell.
    pub(super) async fn heal(
        &self,
        key: &Bytes,
        is_deep: bool,
        standings: &Standings,
    ) -> Result<Outcome, StoreError> {
        let Some(row) = self.engine.row(key).await? else {
            return Ok(Outcome::Nothing);
        };
        let verdict = standings.judge(key, &row);
        match verdict.need {
            Need::Nothing if !is_deep => return Ok(Outcome::Nothing),
            Need::Waiting if !is_deep => return Ok(Outcome::Waiting),
            Need::Lost => return Ok(Outcome::Lost),
            // Too much of it is away for anything.
            Need::Waiting if verdict.spare < 0 => return Ok(Outcome::Waiting),
            _ => {}
        }
        let extents = row.value.as_ref().and_then(|value| extents_of(key, value));
        let outcome = if let Some(placement) = extents {
            let _room = self.room(self.extent_units(&placement)).await;
            self.heal_extents(key, &placement, is_deep, standings)
                .await?
        } else {
            let _room = self.room(units(verdict.bytes)).await;
            let outcome = self.renew(key, &row).await?;
            self.breath.rest(verdict.bytes).await;
            outcome
        };
        if outcome == Outcome::Healed {
            self.note_healed(verdict.bytes);
        }
        Ok(outcome)
    }

    /// Units of memory for a blob in extents: two batches of `k` shards and of what is written. All while clients are served: one blob at
    /// a time then.
    pub(super) fn extent_units(&self, placement: &BlobPlacement) -> u32 {
        let all = u32::try_from(UNITS).unwrap_or(u32::MAX);
        if self.breath.pace.serves_clients() {
            return all;
        }
        let shards = placement.profile.data() as u64 + 1;
        let units = (2 * shards * FULL_BYTES).div_ceil(UNIT_BYTES);
        u32::try_from(units).unwrap_or(u32::MAX).min(all)
    }

    pub(super) async fn room(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.units).acquire_many_owned(units).await.ok()
    }

    /// Commits a record anew, with its blob if it is in the log.
    pub(super) async fn renew(&self, key: &Bytes, row: &Stored) -> Result<Outcome, StoreError> {
        if row.placement_bytes == 0 && mutation::is_active(Mutation::SkipCopyHealing) {
            return Ok(Outcome::Nothing);
        }
        match self.engine.renew(key.clone(), row.seq).await {
            Ok(Some(_)) => Ok(Outcome::Healed),
            Ok(None) | Err(MetaError::Conflict { .. }) => Ok(Outcome::Changed),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the shards anew that are lost or bad; looks for bad ones first if `is_deep`.
    async fn heal_extents(
        &self,
        key: &Bytes,
        named: &BlobPlacement,
        is_deep: bool,
        standings: &Standings,
    ) -> Result<Outcome, StoreError> {
        let mut bad = BTreeSet::new();
        if is_deep {
            bad = self.bad_shards(named).await;
        }
        let mut outcome = Outcome::Nothing;
        // Each attempt writes some shard, or finds a further bad one, or is the last.
        for _ in 0..=named.shards.len() {
            let Some(healing) = self.store.begin_healing(named.blob) else {
                return Ok(Outcome::Changed);
            };
            let Some(extents) = self.extents(key, named, &bad, standings).await? else {
                return Ok(Outcome::Changed);
            };
            let targets = self.targets(&extents, standings);
            if targets.is_empty() {
                drop(healing);
                return self.end_extents(key, &extents, is_deep, outcome).await;
            }
            let what = HealingExtents {
                key: key.clone(),
                revision: Revision(extents.row.seq.0),
                record: extents.row.value.clone().unwrap_or_default(),
                placement: extents.placement.clone(),
                lacks_copies: extents.verdict.lacks_copies,
            };
            let rest: Arc<dyn Rest> = Arc::clone(&self.breath) as Arc<dyn Rest>;
            let healed = self.store.heal_extents(healing, what, targets, rest);
            let Some((_, rebuilt)) = healed.await? else {
                return Ok(Outcome::Changed);
            };
            outcome = Outcome::Healed;
            bad.retain(|shard| !rebuilt.written.contains(shard));
            if rebuilt.rotten.is_subset(&bad) && !bad.is_empty() {
                return Ok(Outcome::Changed);
            }
            bad.extend(rebuilt.rotten);
        }
        Ok(outcome)
    }

    /// After all shards that can be written are.
    async fn end_extents(
        &self,
        key: &Bytes,
        extents: &Extents,
        is_deep: bool,
        outcome: Outcome,
    ) -> Result<Outcome, StoreError> {
        let Extents {
            row, verdict, bad, ..
        } = extents;
        // A copy of the record may be what is damaged.
        if verdict.lacks_copies || (is_deep && outcome == Outcome::Nothing) {
            return self.renew(key, row).await;
        }
        let is_whole = verdict.need == Need::Nothing && bad.is_empty();
        Ok(match outcome {
            Outcome::Nothing if !is_whole => Outcome::Waiting,
            other => other,
        })
    }

    async fn bad_shards(&self, placement: &BlobPlacement) -> BTreeSet<usize> {
        let checks = check_extents(&self.pool, placement, &*self.breath).await;
        let bad = checks.iter().enumerate();
        bad.filter(|(_, check)| **check == ShardCheck::Bad)
            .map(|(shard, _)| shard)
            .collect()
    }

    /// The row of `key` as it is now, if it still names the blob.
    async fn extents(
        &self,
        key: &Bytes,
        named: &BlobPlacement,
        bad: &BTreeSet<usize>,
        standings: &Standings,
    ) -> Result<Option<Extents>, StoreError> {
        let Some(row) = self.engine.row(key).await? else {
            return Ok(None);
        };
        let value = row.value.as_ref();
        let placement = value.and_then(|value| extents_of(key, value));
        let Some(placement) = placement.filter(|now| now.blob == named.blob) else {
            return Ok(None);
        };
        let verdict = standings.judge(key, &row);
        Ok(Some(Extents {
            row,
            placement,
            verdict,
            bad: bad.clone(),
        }))
    }

    /// A disk for each shard that is to be written: its own for a bad one, a free one for a lost one.
    fn targets(&self, extents: &Extents, standings: &Standings) -> Vec<Target> {
        let Extents {
            placement,
            verdict,
            bad,
            ..
        } = extents;
        let own = bad.iter().filter_map(|shard| {
            let disk = placement.shards[*shard].disk()?;
            let disk = self.pool.disk(disk)?;
            standings
                .takes_data(disk.number())
                .then_some((*shard, disk))
        });
        let lost = verdict.lost_shards.iter().copied();
        let free = self
            .pool
            .choose_among(placement.blob, verdict.lost_shards.len(), |disk| {
                standings.is_free_for(placement, disk)
            });
        own.chain(lost.zip(free)).collect()
    }
}

/// Units of memory for a blob in the log.
pub(super) fn units(bytes: u64) -> u32 {
    let units = bytes.div_ceil(UNIT_BYTES).max(1) * 2;
    u32::try_from(units)
        .unwrap_or(u32::MAX)
        .min(u32::try_from(UNITS).unwrap_or(u32::MAX))
}
