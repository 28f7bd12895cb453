//! `GET status`: version, disks, space, degraded objects. `GET status/watch?interval=2s`: the same again and again.

use std::{sync::Arc, time::Duration};

use larder_storage::{
    disk::Health,
    open::{self, Storage},
};
use serde::{Deserialize, Serialize};

use super::{AdminCall, AdminError, AdminResult, json, lines};
use crate::{
    app::App,
    config::Span,
    http::Response,
    keyring::{Keyring, Source},
    metrics::Counts,
};

/// Below [`super::V1`].
pub const PATH: &str = "status";
/// Below [`super::V1`].
pub const WATCH_PATH: &str = "status/watch";
/// Between two lines of a watch unless the client says otherwise.
const DEFAULT_INTERVAL: Span = Span::from_secs(2);
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// All that `larder status` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServerStatus {
    /// Larder's version.
    pub version: String,
    /// The region.
    pub region: String,
    /// Since the start.
    pub uptime_seconds: u64,
    /// What was served.
    pub requests: Counts,
    /// The disks.
    pub storage: StorageStatus,
    /// The master keys.
    #[serde(default)]
    pub master_keys: KeysStatus,
}

/// What seals, and what opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeysStatus {
    /// Where the key that seals is from.
    pub source: Source,
    /// Identifiers, that of the key that seals first.
    pub ids: Vec<String>,
}

/// The state of the disks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StorageStatus {
    /// `k+m`.
    pub profile: String,
    /// In the order of the settings.
    pub disks: Vec<DiskStatus>,
    /// Objects and parts that miss shards.
    pub degraded_objects: u64,
}

/// The state of one disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiskStatus {
    /// Its directory.
    pub directory: String,
    /// Its identity; empty where it is not known.
    pub id: String,
    /// `ok`, or what is wrong.
    pub state: String,
    /// Of the file system.
    pub total_bytes: u64,
    /// Free for Larder.
    pub available_bytes: u64,
    /// Taken by Larder.
    pub used_bytes: u64,
    /// Bytes amid its log that the last start found damaged; what they held is read from other disks.
    #[serde(default)]
    pub damaged_log_bytes: u64,
}

pub(super) async fn answer(call: AdminCall<'_>) -> AdminResult<Response> {
    json(&ServerStatus::of(call.app(), call.storage()?).await?)
}

pub(super) fn watch(call: &AdminCall<'_>) -> AdminResult<Response> {
    let interval = interval(call.parameter("interval"))?;
    let (app, storage) = (Arc::clone(call.app()), Arc::clone(call.storage()?));
    Ok(lines(call, |lines| async move {
        loop {
            lines.send(&ServerStatus::of(&app, &storage).await?).await?;
            app.clock.sleep(interval).await;
        }
    }))
}

pub(super) fn interval(given: Option<&str>) -> AdminResult<Duration> {
    let span = given.map_or(Ok(DEFAULT_INTERVAL), str::parse);
    let interval = span.map_err(|why| AdminError::bad_request(format!("interval: {why}")))?;
    Ok(interval.duration().max(MIN_INTERVAL))
}

impl ServerStatus {
    async fn of(app: &App, storage: &Storage) -> AdminResult<Self> {
        let status = storage.status().await?;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            region: app.region.clone(),
            uptime_seconds: app.uptime().as_secs(),
            requests: app.metrics.counts(),
            storage: StorageStatus::from(&status),
            master_keys: app.keyring().map(|ring| KeysStatus::of(ring))?,
        })
    }
}

impl KeysStatus {
    fn of(ring: &Keyring) -> Self {
        let ids = ring.ids();
        Self {
            source: ring.source(),
            ids: ids.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&open::Status> for StorageStatus {
    fn from(status: &open::Status) -> Self {
        Self {
            profile: status.profile.to_string(),
            disks: status.disks.iter().map(DiskStatus::from).collect(),
            degraded_objects: status.degraded_objects,
        }
    }
}

impl From<&open::DiskStatus> for DiskStatus {
    fn from(disk: &open::DiskStatus) -> Self {
        let space = disk.space.unwrap_or_default();
        Self {
            directory: disk.location.clone(),
            id: disk.number.0.to_string(),
            state: match &disk.health {
                Health::Good => "ok".to_owned(),
                Health::Full => "full".to_owned(),
                Health::Failed(reason) => format!("failed: {reason}"),
            },
            total_bytes: space.total_bytes,
            available_bytes: space.free_bytes,
            used_bytes: space.total_bytes.saturating_sub(space.free_bytes),
            damaged_log_bytes: disk.damaged_log_bytes,
        }
    }
}
