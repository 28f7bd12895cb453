//! `GET heal`: how healing stands; `GET heal/watch?interval=2s`: the same again and again. `POST heal/start`, `heal/pause`,
//! `heal/pace`.

use std::sync::Arc;

use larder_storage::{
    objects::StoreError,
    open::Storage,
    upkeep::{
        PaceSettings,
        heal::{HealState, HealStatus, Tally},
    },
};
use serde::{Deserialize, Serialize};

use super::{AdminCall, AdminError, AdminResult, json, lines, status::interval};
use crate::http::Response;

/// Below [`super::V1`].
pub const PATH: &str = "heal";
/// Below [`super::V1`].
pub const WATCH_PATH: &str = "heal/watch";
/// Below [`super::V1`].
pub const START_PATH: &str = "heal/start";
/// Below [`super::V1`].
pub const PAUSE_PATH: &str = "heal/pause";
/// Below [`super::V1`].
pub const PACE_PATH: &str = "heal/pace";

/// All that `larder heal status` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HealDocument {
    /// `idle`, `surveying`, `healing`, `levelling`, `paused` or `waiting`.
    pub state: String,
    /// What it waits for.
    pub reason: Option<String>,
    /// What lacks redundancy, by the number of further losses that it survives, the worst first.
    pub degraded: Vec<LevelDocument>,
    /// Of that, what has to wait for a disk or for room.
    pub waiting: TallyDocument,
    /// Of what too few shards are left.
    pub lost: TallyDocument,
    /// What this round has healed.
    pub done: TallyDocument,
    /// What this round has to heal.
    pub total: TallyDocument,
    /// Bytes healed per second, of late.
    pub bytes_per_second: u64,
    /// How long the rest will take.
    pub left_seconds: Option<u64>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Since the start of the server.
    pub healed: TallyDocument,
    /// Shards moved from fuller disks to emptier ones, since the start of the server.
    #[serde(default)]
    pub moved: TallyDocument,
    /// Bytes of shards that are to move until the disks are level.
    #[serde(default)]
    pub left_to_move_bytes: u64,
    /// Surveys since the start of the server; 0: nothing is known yet.
    pub surveys: u64,
    /// How fast it goes.
    pub pace: PaceDocument,
}

/// Objects, parts and other records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "HealTally"))]
pub struct TallyDocument {
    /// How many.
    pub objects: u64,
    /// Bytes of their contents.
    pub bytes: u64,
}

/// What survives the same number of further losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "HealLevel"))]
pub struct LevelDocument {
    /// Further losses that it survives; below 0 it can't be read.
    pub spare: i64,
    /// How many.
    pub objects: u64,
    /// Bytes of their contents.
    pub bytes: u64,
}

/// How fast healing goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "HealPace"))]
pub struct PaceDocument {
    /// Share of the time while clients are served.
    pub share_percent: u8,
    /// At most, always.
    pub max_bytes_per_second: Option<u64>,
}

/// What is to change of the pace; the rest stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "HealPaceChange"))]
pub struct PaceChange {
    /// From 1 to 100.
    pub share_percent: Option<u8>,
    /// 0: no limit.
    pub max_bytes_per_second: Option<u64>,
}

pub(super) fn answer(call: &AdminCall<'_>) -> AdminResult<Response> {
    json(&HealDocument::of(call.storage()?))
}

pub(super) fn watch(call: &AdminCall<'_>) -> AdminResult<Response> {
    let interval = interval(call.parameter("interval"))?;
    let (app, storage) = (Arc::clone(call.app()), Arc::clone(call.storage()?));
    Ok(lines(call, |lines| async move {
        loop {
            lines.send(&HealDocument::of(&storage)).await?;
            app.clock.sleep(interval).await;
        }
    }))
}

pub(super) async fn start(call: AdminCall<'_>) -> AdminResult<Response> {
    let healer = call.storage()?.healer();
    healer
        .start()
        .await
        .map_err(|error| not_remembered(&error))?;
    answer(&call)
}

pub(super) async fn pause(call: AdminCall<'_>) -> AdminResult<Response> {
    let healer = call.storage()?.healer();
    healer
        .pause()
        .await
        .map_err(|error| not_remembered(&error))?;
    answer(&call)
}

pub(super) async fn pace(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let change: PaceChange = call.body().await?;
    let healer = call.storage()?.healer();
    let pace = change.apply(healer.pace())?;
    healer
        .set_pace(pace)
        .await
        .map_err(|error| not_remembered(&error))?;
    answer(&call)
}

/// The change holds until the next start.
fn not_remembered(error: &StoreError) -> AdminError {
    AdminError::unavailable(format!(
        "done, but it will not be remembered over a restart: {error}; try again"
    ))
}

impl PaceChange {
    fn apply(self, mut pace: PaceSettings) -> AdminResult<PaceSettings> {
        if let Some(share) = self.share_percent {
            if !(1..=100).contains(&share) {
                let message = format!("share_percent is {share}: write a number from 1 to 100");
                return Err(AdminError::bad_request(message));
            }
            pace.share_percent = share;
        }
        if let Some(limit) = self.max_bytes_per_second {
            pace.max_bytes_per_second = Some(limit).filter(|limit| *limit > 0);
        }
        Ok(pace)
    }
}

impl HealDocument {
    fn of(storage: &Storage) -> Self {
        let healer = storage.healer();
        let pace = healer.pace();
        Self {
            pace: PaceDocument {
                share_percent: pace.share_percent,
                max_bytes_per_second: pace.max_bytes_per_second,
            },
            ..Self::from(&healer.status())
        }
    }
}

impl From<&HealStatus> for HealDocument {
    fn from(status: &HealStatus) -> Self {
        let (state, reason) = match &status.state {
            HealState::Idle => ("idle", None),
            HealState::Surveying => ("surveying", None),
            HealState::Healing => ("healing", None),
            HealState::Levelling => ("levelling", None),
            HealState::Paused => ("paused", None),
            HealState::Waiting(why) => ("waiting", Some(why.clone())),
        };
        let level = |(spare, tally): (&i64, &Tally)| LevelDocument {
            spare: *spare,
            objects: tally.objects,
            bytes: tally.bytes,
        };
        Self {
            state: state.to_owned(),
            reason,
            degraded: status.degraded.iter().map(level).collect(),
            waiting: status.waiting.into(),
            lost: status.lost.into(),
            done: status.done.into(),
            total: status.total.into(),
            bytes_per_second: status.bytes_per_second,
            left_seconds: status.left.map(|left| left.as_secs()),
            last_error: status.last_error.clone(),
            healed: TallyDocument {
                objects: status.healed_objects,
                bytes: status.healed_bytes,
            },
            moved: status.moved.into(),
            left_to_move_bytes: status.left_to_move_bytes,
            surveys: status.surveys,
            pace: PaceDocument::default(),
        }
    }
}

impl From<Tally> for TallyDocument {
    fn from(tally: Tally) -> Self {
        Self {
            objects: tally.objects,
            bytes: tally.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_pace_leaves_the_rest() {
        let pace = PaceSettings::default();
        let limited = PaceChange {
            max_bytes_per_second: Some(5),
            ..PaceChange::default()
        };
        let limited = limited.apply(pace).unwrap();
        assert_eq!(limited.share_percent, pace.share_percent);
        assert_eq!(limited.max_bytes_per_second, Some(5));
        let unlimited = PaceChange {
            max_bytes_per_second: Some(0),
            share_percent: Some(80),
        };
        let unlimited = unlimited.apply(limited).unwrap();
        assert_eq!(unlimited.max_bytes_per_second, None);
        assert_eq!(unlimited.share_percent, 80);
        for share_percent in [0, 101] {
            let wrong = PaceChange {
                share_percent: Some(share_percent),
                ..PaceChange::default()
            };
            assert!(wrong.apply(pace).is_err());
        }
    }

    #[test]
    fn the_worst_comes_first_and_says_what_it_waits_for() {
        let mut status = HealStatus {
            state: HealState::Waiting("disk 3".to_owned()),
            ..HealStatus::default()
        };
        let tally = Tally {
            objects: 1,
            bytes: 2,
        };
        status
            .degraded
            .extend([(1, tally), (-1, tally), (0, tally)]);
        let document = HealDocument::from(&status);
        assert_eq!(document.state, "waiting");
        assert_eq!(document.reason.as_deref(), Some("disk 3"));
        let spare: Vec<_> = document.degraded.iter().map(|level| level.spare).collect();
        assert_eq!(spare, [-1, 0, 1]);
    }
}
