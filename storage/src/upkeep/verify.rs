//! Proving, now, that everything under a prefix can be read: every block of every shard of every object.
//!
//! Nothing is remembered: whoever asks drives it, and stops it by dropping it. Damage that it meets is queued for healing.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Pace, PaceSettings};
use crate::{
    clock::Clock,
    objects::{
        BucketName, Store, StoreError,
        blobs::{BlobWalk, NamedBlob, PrefixTotal, WalkPosition, Walked},
    },
    stripes::{BlobCheck, Pool, ShardState, check_blob},
};

/// Blobs that are read at the same time.
const BLOBS_AT_ONCE: usize = 4;
/// How often an object is looked at again that changes meanwhile.
const ATTEMPTS: usize = 10;

/// What is known of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedObject {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub size: u64,
    /// What was found.
    pub outcome: VerifyOutcome,
}

/// How an object is found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyOutcome {
    /// Every block of every shard is what it should be.
    Whole,
    /// All of it can be read, but it would survive fewer losses than it should.
    Degraded {
        /// Shards that are missing, damaged, or on disks that do not answer; of the worst of its blobs.
        shards: u64,
    },
    /// It can't be read, or not all of it.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyStep {
    /// Bytes of shards that were read since the step before.
    Read {
        /// How many.
        bytes: u64,
        /// Bytes of data in the blobs that are through.
        data_bytes: u64,
    },
    /// An object is through.
    Object(VerifiedObject),
}

/// A verification under way.
#[derive(Debug)]
pub struct Verification {
    store: Store,
    pool: Arc<Pool>,
    pace: Arc<Pace>,
    walk: BlobWalk,
    /// The worst of the object whose blobs are read now.
    worst: VerifyOutcome,
    /// What the walk gave and has not been looked at.
    waiting: Option<Walked>,
    /// Looks at the object that comes next.
    attempts: usize,
    /// Where the object that is looked at begins.
    object: WalkPosition,
    is_inside: bool,
}

impl Verification {
    /// Begins one. `at_full_speed`: without regard to clients; otherwise it takes a share of the time while clients are served.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub(crate) async fn begin(
        store: Store,
        pool: Arc<Pool>,
        clock: Arc<dyn Clock>,
        bucket: &BucketName,
        prefix: &str,
        at_full_speed: bool,
    ) -> Result<(Self, PrefixTotal), StoreError> {
        let total = store.total_of_prefix(bucket, prefix).await?;
        let walk = store.walk_prefix(bucket, prefix).await?;
        let share_percent = if at_full_speed { 100 } else { 25 };
        let pace = Pace::new(
            clock,
            Arc::clone(store.load()),
            PaceSettings {
                share_percent,
                max_bytes_per_second: None,
            },
        );
        let verification = Self {
            object: walk.position(),
            store,
            pool,
            pace,
            walk,
            worst: VerifyOutcome::Whole,
            waiting: None,
            attempts: 0,
            is_inside: false,
        };
        Ok((verification, total))
    }

    /// Reads on; `None` when everything is through.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn next(&mut self) -> Result<Option<VerifyStep>, StoreError> {
        let mut blobs: Vec<NamedBlob> = Vec::new();
        while blobs.len() < BLOBS_AT_ONCE {
            if !self.is_inside && self.waiting.is_none() {
                self.object = self.walk.position();
                self.is_inside = true;
            }
            let walked = match self.waiting.take() {
                Some(waiting) => Some(waiting),
                None => self.walk.next().await?,
            };
            match walked {
                Some(Walked::Blob(blob)) => blobs.push(blob),
                other if !blobs.is_empty() => {
                    self.waiting = other;
                    break;
                }
                None => return Ok(None),
                Some(Walked::End { name, size, .. }) => {
                    return Ok(Some(self.end_of_object(name, size)));
                }
                Some(Walked::Unknown { name, error, .. }) => {
                    self.note(VerifyOutcome::Unreadable { reason: error });
                    // A record that does not decode has no end; one that lacks parts has.
                    if let Some(name) = name {
                        return Ok(Some(self.end_of_object(name, 0)));
                    }
                }
            }
        }
        self.read(blobs).await.map(Some)
    }

    fn end_of_object(&mut self, key: String, size: u64) -> VerifyStep {
        self.is_inside = false;
        self.attempts = 0;
        VerifyStep::Object(VerifiedObject {
            key,
            size,
            outcome: std::mem::replace(&mut self.worst, VerifyOutcome::Whole),
        })
    }

    async fn read(&mut self, blobs: Vec<NamedBlob>) -> Result<VerifyStep, StoreError> {
        let checks = blobs
            .iter()
            .map(|blob| check_blob(&self.pool, &blob.placement, &self.pace));
        let checks = join_all(checks).await;
        let (mut bytes, mut data_bytes) = (0, 0);
        for (blob, check) in blobs.iter().zip(&checks) {
            bytes += check.read_bytes.iter().sum::<u64>();
            if check.is_whole() {
                data_bytes += blob.placement.size;
                continue;
            }
            if !self.store.is_named(blob).await? && self.attempts < ATTEMPTS {
                self.look_again();
                return Ok(VerifyStep::Read {
                    bytes,
                    data_bytes: 0,
                });
            }
            data_bytes += blob.placement.size;
            self.note(outcome(blob, check));
            let key = std::slice::from_ref(&blob.key);
            if check.is_damaged() {
                self.store.queue_damaged_for_healing(key).await?;
            } else if check.lacks_shards() {
                self.store.queue_lacking_for_healing(key).await?;
            }
        }
        Ok(VerifyStep::Read { bytes, data_bytes })
    }

    /// Goes back to the beginning of the object, which was replaced, moved or deleted meanwhile.
    fn look_again(&mut self) {
        self.attempts += 1;
        self.waiting = None;
        self.worst = VerifyOutcome::Whole;
        self.walk.go_back(&self.object);
    }

    fn note(&mut self, found: VerifyOutcome) {
        if badness(&found) > badness(&self.worst) {
            self.worst = found;
        }
    }
}

fn badness(outcome: &VerifyOutcome) -> u64 {
    match outcome {
        VerifyOutcome::Whole => 0,
        VerifyOutcome::Degraded { shards } => *shards,
        VerifyOutcome::Unreadable { .. } => u64::MAX,
    }
}

fn outcome(blob: &NamedBlob, check: &BlobCheck) -> VerifyOutcome {
    let lost = check.shards.iter().filter(|s| **s != ShardState::Good);
    let shards = lost.count() as u64;
    if check.lost_stripes == 0 {
        return VerifyOutcome::Degraded { shards };
    }
    let needed = blob.placement.profile.data();
    let stripes = check.lost_stripes;
    let places: Vec<String> = blob
        .placement
        .shards
        .iter()
        .zip(&check.shards)
        .filter(|(_, state)| **state != ShardState::Good)
        .map(|(place, state)| format!("{place} {}", describe(*state)))
        .collect();
    VerifyOutcome::Unreadable {
        reason: format!(
            "{stripes} stripes have fewer than {needed} good blocks: {}",
            places.join(", ")
        ),
    }
}

fn describe(state: ShardState) -> String {
    match state {
        ShardState::Good => "is good".to_owned(),
        ShardState::Nowhere => "is missing".to_owned(),
        ShardState::Away => "does not answer".to_owned(),
        ShardState::Bad { blocks } => format!("has {blocks} bad blocks"),
    }
}
