//! `GET scrub`: what the scrub does and when each disk and bucket was last read whole. `POST scrub/start`, `scrub/pause`, `scrub/pace`.

use larder_storage::{
    open::Storage,
    upkeep::{
        PaceSettings,
        scrub::{self, BucketStatus, ScrubState, Stage},
    },
};
use serde::{Deserialize, Serialize};

use super::{AdminCall, AdminError, AdminResult, json};
use crate::http::Response;

/// Below [`super::V1`].
pub const PATH: &str = "scrub";
/// Below [`super::V1`].
pub const START_PATH: &str = "scrub/start";
/// Below [`super::V1`].
pub const PAUSE_PATH: &str = "scrub/pause";
/// Below [`super::V1`].
pub const PACE_PATH: &str = "scrub/pace";
/// Buckets that are told of.
const MAX_BUCKETS: usize = 1000;

/// All that `larder scrub status` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ScrubStatus {
    /// `idle`, `running` or `paused`.
    pub state: String,
    /// Every byte is read within so many seconds; absent where that is off.
    pub every_seconds: Option<u64>,
    /// How fast it may go.
    pub pace: Pace,
    /// When the last pass began, milliseconds since the Unix epoch.
    pub last_started_unix_millis: Option<u64>,
    /// The pass under way.
    pub pass: Option<PassStatus>,
    /// In the order of the settings.
    pub disks: Vec<DiskScrub>,
    /// In order of name, a thousand at most.
    pub buckets: Vec<BucketScrub>,
    /// What went wrong last, if anything did since the start.
    pub last_error: Option<String>,
}

/// How fast background work may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "ScrubPace"))]
pub struct Pace {
    /// Share of the time while clients are served.
    pub share_percent: u8,
    /// Always; absent for no limit.
    pub max_bytes_per_second: Option<u64>,
}

/// The pass under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "ScrubPass"))]
pub struct PassStatus {
    /// When it began.
    pub started_unix_millis: u64,
    /// `logs`, `objects`, `uploads` or `leaks`.
    pub stage: String,
    /// Verified so far.
    pub bytes: u64,
    /// What the pass before verified; 0 without one.
    pub expected_bytes: u64,
}

/// A full pass over something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LastVerified {
    /// When it began.
    pub started_unix_millis: u64,
    /// When it ended.
    pub ended_unix_millis: u64,
    /// Of a disk: read and verified. Of a bucket: of its objects.
    pub bytes: u64,
    /// Shards and copies of records that were missing or damaged.
    pub damage: u64,
}

/// One disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiskScrub {
    /// Its number.
    pub disk: u16,
    /// Its directory.
    pub directory: String,
    /// The last full pass over it; absent if there was none.
    pub last: Option<LastVerified>,
    /// Verified by the pass under way.
    pub bytes: u64,
    /// Damage that it has found.
    pub damage: u64,
    /// Bytes of the log that were no frame, with a frame after them: torn by a crash, or rotten.
    pub skipped_log_bytes: u64,
    /// Extents that no record named, removed.
    pub leaks: u64,
}

/// One bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BucketScrub {
    /// Its name.
    pub bucket: String,
    /// The last full pass over its objects; absent if there was none.
    pub last: Option<LastVerified>,
}

/// What to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "ScrubStart"))]
pub struct Start {
    /// From the beginning, whatever is under way.
    #[serde(default)]
    pub again: bool,
}

/// What to change of the pace; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "ScrubPaceChange"))]
pub struct PaceChange {
    /// 1 to 100.
    pub share_percent: Option<u8>,
    /// 0 for no limit.
    pub max_bytes_per_second: Option<u64>,
}

pub(super) async fn status(call: AdminCall<'_>) -> AdminResult<Response> {
    answer(call.storage()?).await
}

pub(super) async fn start(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let Start { again } = call.body().await?;
    let storage = call.storage()?;
    storage
        .scrub()
        .start(again)
        .await
        .map_err(|error| unavailable(&error))?;
    answer(storage).await
}

pub(super) async fn pause(call: AdminCall<'_>) -> AdminResult<Response> {
    let storage = call.storage()?;
    storage
        .scrub()
        .pause()
        .await
        .map_err(|error| unavailable(&error))?;
    answer(storage).await
}

pub(super) async fn pace(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let change: PaceChange = call.body().await?;
    let storage = call.storage()?;
    let now = storage
        .scrub()
        .status()
        .await
        .map_err(|error| unavailable(&error))?
        .pace;
    let settings = change.apply(now)?;
    let changed = storage.scrub().set_pace(settings).await;
    changed.map_err(|error| unavailable(&error))?;
    answer(storage).await
}

impl PaceChange {
    fn apply(self, now: PaceSettings) -> AdminResult<PaceSettings> {
        let share_percent = self.share_percent.unwrap_or(now.share_percent);
        if !(1..=100).contains(&share_percent) {
            return Err(AdminError::bad_request(
                "the share is a percentage from 1 to 100",
            ));
        }
        let max_bytes_per_second = match self.max_bytes_per_second {
            None => now.max_bytes_per_second,
            Some(0) => None,
            limit => limit,
        };
        Ok(PaceSettings {
            share_percent,
            max_bytes_per_second,
        })
    }
}

async fn answer(storage: &Storage) -> AdminResult<Response> {
    let status = storage
        .scrub()
        .status()
        .await
        .map_err(|error| unavailable(&error))?;
    let buckets = storage.scrub().buckets(MAX_BUCKETS).await;
    json(&ScrubStatus::new(
        &status,
        &buckets.map_err(|error| unavailable(&error))?,
    ))
}

fn unavailable(error: &larder_storage::objects::StoreError) -> AdminError {
    AdminError::unavailable(format!("the metadata does not answer, try again: {error}"))
}

impl ScrubStatus {
    fn new(status: &scrub::ScrubStatus, buckets: &[BucketStatus]) -> Self {
        let state = match status.state {
            ScrubState::Idle => "idle",
            ScrubState::Running => "running",
            ScrubState::Paused => "paused",
        };
        Self {
            state: state.to_owned(),
            every_seconds: status.every.map(|every| every.as_secs()),
            pace: Pace {
                share_percent: status.pace.share_percent,
                max_bytes_per_second: status.pace.max_bytes_per_second,
            },
            last_started_unix_millis: status.last_started_unix_millis,
            pass: status.pass.as_ref().map(PassStatus::from),
            disks: status.disks.iter().map(DiskScrub::from).collect(),
            buckets: buckets.iter().map(BucketScrub::from).collect(),
            last_error: status.last_error.clone(),
        }
    }
}

impl From<&scrub::PassStatus> for PassStatus {
    fn from(pass: &scrub::PassStatus) -> Self {
        let stage = match pass.stage {
            Stage::Logs => "logs",
            Stage::Objects => "objects",
            Stage::Uploads => "uploads",
            Stage::Leaks => "leaks",
        };
        Self {
            started_unix_millis: pass.started_unix_millis,
            stage: stage.to_owned(),
            bytes: pass.bytes,
            expected_bytes: pass.expected_bytes,
        }
    }
}

impl From<scrub::Verified> for LastVerified {
    fn from(last: scrub::Verified) -> Self {
        Self {
            started_unix_millis: last.started_unix_millis,
            ended_unix_millis: last.ended_unix_millis,
            bytes: last.bytes,
            damage: last.damage,
        }
    }
}

impl From<&scrub::DiskScrubStatus> for DiskScrub {
    fn from(disk: &scrub::DiskScrubStatus) -> Self {
        Self {
            disk: disk.disk.0,
            directory: disk.location.clone(),
            last: disk.last.map(LastVerified::from),
            bytes: disk.now.bytes,
            damage: disk.now.damage,
            skipped_log_bytes: disk.now.skipped_log_bytes,
            leaks: disk.now.leaks,
        }
    }
}

impl From<&BucketStatus> for BucketScrub {
    fn from(bucket: &BucketStatus) -> Self {
        Self {
            bucket: bucket.name.clone(),
            last: bucket.last.map(LastVerified::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_of_the_pace_does_not_name_stays() {
        let now = PaceSettings {
            share_percent: 30,
            max_bytes_per_second: Some(1000),
        };
        let change = |share_percent, max_bytes_per_second| {
            let change = PaceChange {
                share_percent,
                max_bytes_per_second,
            };
            change.apply(now).ok()
        };
        let settings = |share_percent, max_bytes_per_second| {
            Some(PaceSettings {
                share_percent,
                max_bytes_per_second,
            })
        };
        assert_eq!(change(None, None), Some(now));
        assert_eq!(change(Some(50), None), settings(50, Some(1000)));
        assert_eq!(change(None, Some(7)), settings(30, Some(7)));
        assert_eq!(change(None, Some(0)), settings(30, None));
        assert_eq!(change(Some(0), None), None);
        assert_eq!(change(Some(101), None), None);
    }
}
