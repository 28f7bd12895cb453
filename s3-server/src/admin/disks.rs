//! `disks`: which there are; `disks/add`, `disks/drain`, `disks/cancel-drain`, `disks/remove`, `disks/replace`.

use std::path::PathBuf;

use larder_storage::{
    disk::{DiskNo, Health, Role},
    disk_set::{ChangeError, Usage},
    open::{self, Storage},
    upkeep::heal::HealState,
};
use serde::{Deserialize, Serialize};

use super::{AdminCall, AdminError, AdminResult, json};
use crate::http::Response;

/// Below [`super::V1`].
pub const PATH: &str = "disks";
/// Below [`super::V1`].
pub const ADD_PATH: &str = "disks/add";
/// Below [`super::V1`].
pub const CANCEL_DRAIN_PATH: &str = "disks/cancel-drain";
/// Below [`super::V1`].
pub const DRAIN_PATH: &str = "disks/drain";
/// Below [`super::V1`].
pub const REMOVE_PATH: &str = "disks/remove";
/// Below [`super::V1`].
pub const REPLACE_PATH: &str = "disks/replace";

/// All disks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiskList {
    /// `k+m` of new objects.
    pub profile: String,
    /// In the order of the settings.
    pub disks: Vec<DiskEntry>,
}

/// One disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiskEntry {
    /// Its place among the data directories, from 0.
    pub slot: usize,
    /// Its number, which no other disk of the cluster ever has.
    pub number: u16,
    /// Its directory.
    pub directory: String,
    /// `member`, `draining`, or `drained`: it can be removed.
    pub role: String,
    /// `ok`, `full`, or `failed`.
    pub state: String,
    /// What went wrong with it, if it failed.
    pub last_error: Option<String>,
    /// Of the file system.
    pub total_bytes: u64,
    /// Free for Larder.
    pub available_bytes: u64,
    /// Shards of objects and parts on it.
    pub shards: u64,
    /// Their bytes.
    pub shard_bytes: u64,
    /// Copies of records on it.
    pub records: u64,
    /// Shards that have to leave it before it can be removed.
    pub shards_to_move: u64,
    /// Bytes of shards that it gets before other disks, until all are level.
    #[serde(default)]
    pub bytes_to_take: u64,
    /// It came back as it was at an earlier time, and is not up to date yet.
    #[serde(default)]
    pub is_outdated: bool,
    /// What the shards that have to leave it wait for.
    #[serde(default)]
    pub waits_for: Option<String>,
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiskChanged {
    /// The disk.
    pub number: u16,
    /// What to do next.
    pub message: String,
}

/// A disk to add.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "NewDisk"))]
pub(super) struct Add {
    /// The directory: there, empty, and its whole path on the server.
    directory: PathBuf,
}

/// Which disk.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DiskNumber"))]
pub(super) struct Which {
    /// Its number.
    disk: u16,
}

/// A disk to remove.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DiskRemoval"))]
pub(super) struct Remove {
    /// Its number.
    disk: u16,
    /// Although something is left on it.
    #[serde(default)]
    force: bool,
}

/// A disk to replace.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DiskReplacement"))]
pub(super) struct Replace {
    /// Its number.
    disk: u16,
    /// That of the old disk where it is not given.
    directory: Option<PathBuf>,
}

pub(super) async fn list(call: AdminCall<'_>) -> AdminResult<Response> {
    json(&DiskList::of(call.storage()?).await?)
}

pub(super) async fn add(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let Add { directory } = call.body().await?;
    check_path(&directory)?;
    let number = call
        .storage()?
        .add_disk(&directory)
        .await
        .map_err(refused)?;
    call.app().keep_credentials(&directory).await;
    changed(
        number,
        format!(
            "disk {} is {}; put it last in --data before the next start",
            number.0,
            directory.display()
        ),
    )
}

pub(super) async fn drain(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let Which { disk } = call.body().await?;
    let storage = call.storage()?;
    storage
        .disk_set()
        .drain(DiskNo(disk))
        .await
        .map_err(refused)?;
    let next = "is being drained; `larder disk list` says when it can be removed";
    changed(DiskNo(disk), format!("disk {disk} {next}"))
}

pub(super) async fn cancel_drain(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let Which { disk } = call.body().await?;
    let storage = call.storage()?;
    storage
        .disk_set()
        .cancel_drain(DiskNo(disk))
        .await
        .map_err(refused)?;
    changed(DiskNo(disk), format!("disk {disk} is one like any other"))
}

pub(super) async fn remove(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let Remove { disk, force } = call.body().await?;
    let storage = call.storage()?;
    let directory = directory_of(storage, disk).await?;
    storage
        .remove_disk(DiskNo(disk), force)
        .await
        .map_err(refused)?;
    changed(
        DiskNo(disk),
        format!("disk {disk} is removed; take {directory} out of --data before the next start"),
    )
}

pub(super) async fn replace(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let Replace { disk, directory } = call.body().await?;
    let storage = call.storage()?;
    let old = directory_of(storage, disk).await?;
    let directory = directory.unwrap_or_else(|| PathBuf::from(&old));
    check_path(&directory)?;
    let number = storage
        .replace_disk(DiskNo(disk), &directory)
        .await
        .map_err(refused)?;
    call.app().keep_credentials(&directory).await;
    let new = directory.display().to_string();
    let next = if new == old {
        String::new()
    } else {
        format!("; put {new} in the place of {old} in --data before the next start")
    };
    let message = format!(
        "disk {} in {new} takes the place of disk {disk}{next}",
        number.0
    );
    changed(number, message)
}

fn changed(number: DiskNo, message: String) -> AdminResult<Response> {
    tracing::info!("{message}");
    json(&DiskChanged {
        number: number.0,
        message,
    })
}

/// The server's working directory is nothing that an administrator should have to know.
fn check_path(directory: &std::path::Path) -> AdminResult<()> {
    if directory.is_absolute() {
        return Ok(());
    }
    let directory = directory.display();
    let message = format!("give the directory's whole path on the server: {directory} is relative");
    Err(AdminError::bad_request(message))
}

async fn directory_of(storage: &Storage, disk: u16) -> AdminResult<String> {
    let status = storage.status().await?;
    let found = status.disks.into_iter().find(|d| d.number.0 == disk);
    let unknown = || AdminError::not_found(format!("there is no disk {disk}"));
    found.map(|disk| disk.location).ok_or_else(unknown)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: ChangeError) -> AdminError {
    let message = error.to_string();
    match error {
        ChangeError::NoSuchDisk { .. } => AdminError::not_found(message),
        ChangeError::NotWritten { .. } | ChangeError::Unavailable(_) => {
            AdminError::unavailable(message)
        }
        ChangeError::Directory(_)
        | ChangeError::NotMade { .. }
        | ChangeError::Works { .. }
        | ChangeError::TooFewLeft { .. }
        | ChangeError::NoRoom { .. }
        | ChangeError::NotDrained { .. } => AdminError::conflict(message),
    }
}

impl DiskList {
    async fn of(storage: &Storage) -> AdminResult<Self> {
        let status = storage.status().await?;
        let usage = storage.disk_set().usage().await?;
        let drained = storage.disk_set().drained(&usage).await;
        let wanting = storage.wanting();
        let waits_for = match storage.healer().status().state {
            HealState::Waiting(what) => Some(what),
            _ => None,
        };
        let entry = |disk: &open::DiskStatus| {
            let entry = DiskEntry::of(disk, &usage, drained.contains(&disk.number));
            DiskEntry {
                bytes_to_take: wanting.get(&disk.number).copied().unwrap_or_default(),
                waits_for: waits_for.clone().filter(|_| entry.shards_to_move > 0),
                ..entry
            }
        };
        Ok(Self {
            profile: status.profile.to_string(),
            disks: status.disks.iter().map(entry).collect(),
        })
    }
}

impl DiskEntry {
    fn of(disk: &open::DiskStatus, usage: &Usage, is_drained: bool) -> Self {
        let (space, on) = (disk.space.unwrap_or_default(), usage.on(disk.number));
        let (state, last_error) = match &disk.health {
            Health::Good => ("ok", None),
            Health::Full => ("full", None),
            Health::Failed(reason) => ("failed", Some(reason.clone())),
        };
        let role = match disk.role {
            Role::Draining if is_drained => "drained",
            Role::Draining => "draining",
            Role::Member => "member",
        };
        Self {
            slot: disk.slot,
            number: disk.number.0,
            directory: disk.location.clone(),
            role: role.to_owned(),
            state: state.to_owned(),
            last_error,
            total_bytes: space.total_bytes,
            available_bytes: space.free_bytes,
            shards: on.shards,
            shard_bytes: on.bytes,
            records: on.records,
            shards_to_move: match disk.role {
                Role::Draining => on.shards,
                Role::Member => 0,
            },
            bytes_to_take: 0,
            is_outdated: disk.is_outdated,
            waits_for: None,
        }
    }
}
