//! What people and metrics are told of a scrub.

use std::time::Duration;

use super::{
    DiskTally, Scrub, Stage, Totals, Verified,
    memory::{bucket_key, disk_key},
};
use crate::{disk::DiskNo, meta::Meta, objects::StoreError, upkeep::PaceSettings};

/// What a scrub does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrubState {
    /// Nothing, until the next pass is due.
    Idle,
    /// Reading.
    Running,
    /// Nothing, until somebody says so.
    Paused,
}

/// The pass under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassStatus {
    /// When it began, milliseconds since the Unix epoch.
    pub started_unix_millis: u64,
    /// What it does.
    pub stage: Stage,
    /// Bytes verified so far, of all disks.
    pub bytes: u64,
    /// Bytes that the pass before verified; 0 if there was none.
    pub expected_bytes: u64,
}

/// What is known of one disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskScrubStatus {
    /// Which.
    pub disk: DiskNo,
    /// Where it is.
    pub location: String,
    /// The last full pass over it.
    pub last: Option<Verified>,
    /// What the pass under way has done.
    pub now: DiskTally,
}

/// What is known of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketStatus {
    /// Its name.
    pub name: String,
    /// The last full pass over its objects.
    pub last: Option<Verified>,
}

/// The state of a scrub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubStatus {
    /// What it does.
    pub state: ScrubState,
    /// Within which time every byte is read.
    pub every: Option<Duration>,
    /// Its pace.
    pub pace: PaceSettings,
    /// When the last pass began, if there was one.
    pub last_started_unix_millis: Option<u64>,
    /// The pass under way.
    pub pass: Option<PassStatus>,
    /// The disks in order of slot.
    pub disks: Vec<DiskScrubStatus>,
    /// Since the start of the process.
    pub totals: Totals,
    /// What went wrong last, if anything did since the start.
    pub last_error: Option<String>,
}

impl Scrub {
    /// How it stands. Reads a record per disk.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn status(&self) -> Result<ScrubStatus, StoreError> {
        self.recall().await?;
        let mut disks = Vec::new();
        for disk in &self.pool.disks() {
            disks.push(DiskScrubStatus {
                disk: disk.number,
                location: disk.location.clone(),
                last: self.verified(&disk_key(disk.number)).await?,
                now: DiskTally::default(),
            });
        }
        let expected_bytes = disks.iter().filter_map(|disk| disk.last);
        let expected_bytes = expected_bytes.map(|last| last.bytes).sum();
        let state = self.state.lock();
        let pass = state.memory.pass.as_ref();
        for disk in &mut disks {
            disk.now = pass
                .and_then(|pass| pass.disks.get(&disk.disk).copied())
                .unwrap_or_default();
        }
        Ok(ScrubStatus {
            state: match (state.memory.paused, state.is_running) {
                (true, _) => ScrubState::Paused,
                (false, true) => ScrubState::Running,
                (false, false) => ScrubState::Idle,
            },
            every: self.settings.lock().every,
            pace: state.memory.pace,
            last_started_unix_millis: Some(state.memory.last_started_unix_millis)
                .filter(|millis| *millis > 0),
            pass: pass.map(|pass| PassStatus {
                started_unix_millis: pass.started_unix_millis,
                stage: pass.stage,
                bytes: pass.disks.values().map(|tally| tally.bytes).sum(),
                expected_bytes,
            }),
            disks,
            totals: state.totals,
            last_error: state.last_error.clone(),
        })
    }

    /// What is known of the buckets, in order of name, `limit` at most.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn buckets(&self, limit: usize) -> Result<Vec<BucketStatus>, StoreError> {
        let mut named: Vec<(String, u64)> = self
            .store
            .bucket_ids()
            .await?
            .into_iter()
            .map(|(id, name)| (name, id))
            .collect();
        named.sort_unstable();
        let mut buckets = Vec::new();
        for (name, id) in named.into_iter().take(limit) {
            let last = self.verified(&bucket_key(id)).await?;
            buckets.push(BucketStatus { name, last });
        }
        Ok(buckets)
    }

    async fn verified(&self, key: &[u8]) -> Result<Option<Verified>, StoreError> {
        let found = self.engine.get(key).await?;
        Ok(found.and_then(|found| Verified::decode(&found.value)))
    }
}
