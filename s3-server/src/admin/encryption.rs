//! `GET encryption`: the master keys, and how wrapping anew stands; `GET encryption/watch?interval=2s`: the same again and again.
//! `POST encryption/rewrap`: has all that other master keys sealed be sealed by the first one.

use std::sync::Arc;

use larder_storage::objects::ResealTally;
use serde::{Deserialize, Serialize};

use super::{AdminCall, AdminError, AdminResult, json, lines, status::interval};
use crate::{app::App, http::Response, keyring::Source};

/// Below [`super::V1`].
pub const PATH: &str = "encryption";
/// Below [`super::V1`].
pub const WATCH_PATH: &str = "encryption/watch";
/// Below [`super::V1`].
pub const REWRAP_PATH: &str = "encryption/rewrap";

/// All that `larder encryption status` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EncryptionDocument {
    /// Where the key that seals is from.
    pub source: Source,
    /// The key that seals first.
    pub keys: Vec<KeyDocument>,
    /// `idle` or `running`.
    pub state: String,
    /// When the last pass began, milliseconds since the Unix epoch; 0: never.
    pub started_unix_millis: u64,
    /// When the last one that came to its end did so; 0: none.
    pub ended_unix_millis: u64,
    /// What the pass under way has done, or the last one.
    pub done: RewrapTally,
    /// Secrets of accounts and users sealed anew since the start of the server.
    pub secrets: u64,
    /// Secrets that did not open.
    pub secrets_failed: u64,
    /// What went wrong last, if anything did in the pass under way.
    pub last_error: Option<String>,
}

/// A master key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "MasterKey"))]
pub struct KeyDocument {
    /// Its identifier.
    pub id: String,
    /// Whether it is the one that seals.
    pub seals: bool,
    /// Whether something may be sealed by it, so that a start needs it.
    pub is_needed: bool,
}

/// Uploads, objects and versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RewrapTally {
    /// Looked at.
    pub looked_at: u64,
    /// Wrapped anew.
    pub rewrapped: u64,
    /// That can't be, or can't be read now.
    pub failed: u64,
    /// Bytes of small ones that were written again in the log, encrypted as they were.
    pub moved_bytes: u64,
}

pub(super) async fn answer(call: AdminCall<'_>) -> AdminResult<Response> {
    json(&EncryptionDocument::of(call.app()).await?)
}

pub(super) fn watch(call: &AdminCall<'_>) -> AdminResult<Response> {
    let interval = interval(call.parameter("interval"))?;
    let app = Arc::clone(call.app());
    Ok(lines(call, |lines| async move {
        loop {
            lines.send(&EncryptionDocument::of(&app).await?).await?;
            app.clock.sleep(interval).await;
        }
    }))
}

pub(super) async fn rewrap(call: AdminCall<'_>) -> AdminResult<Response> {
    call.app().rewrap.start(call.app()).await?;
    answer(call).await
}

impl EncryptionDocument {
    async fn of(app: &App) -> AdminResult<Self> {
        let (ring, store) = (app.keyring()?, app.store()?);
        let checks = store.key_checks().await.map_err(|error| {
            AdminError::unavailable(format!("the metadata does not answer, try again: {error}"))
        })?;
        let status = app.rewrap.status();
        let memory = status.memory;
        let sealing = ring.sealing_id();
        let keys = ring.ids().into_iter().map(|id| KeyDocument {
            seals: id == sealing,
            is_needed: checks.iter().any(|check| check.id == id.as_str()),
            id: id.to_string(),
        });
        let state = memory.pass.as_ref().map_or("idle", |_| "running");
        let done = memory.pass.map_or(memory.last, |pass| pass.tally);
        Ok(Self {
            source: ring.source(),
            keys: keys.collect(),
            state: state.to_owned(),
            started_unix_millis: memory.started_unix_millis,
            ended_unix_millis: memory.ended_unix_millis,
            done: done.into(),
            secrets: status.secrets,
            secrets_failed: status.secrets_failed,
            last_error: status.last_error,
        })
    }
}

impl From<ResealTally> for RewrapTally {
    fn from(tally: ResealTally) -> Self {
        Self {
            looked_at: tally.looked_at,
            rewrapped: tally.resealed,
            failed: tally.failed,
            moved_bytes: tally.moved_bytes,
        }
    }
}
