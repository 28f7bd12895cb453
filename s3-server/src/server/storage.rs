//! Opening the store: the only file that knows how it is put together.

use std::sync::Arc;

use async_trait::async_trait;
use larder_storage::{
    Engine, OpenSettings, Profile, Progress, clock::Clock, objects::Store, rng::Rng,
};

use super::ServerError;
use crate::{
    admin::{DiskStatus, StatusSource, StorageStatus},
    config::{MetaEngine, ProfileSetting, Settings},
};

/// An open store and what is known of its disks.
#[derive(Debug)]
pub(super) struct Disks {
    /// The store.
    pub(super) store: Store,
    /// The profile of new objects.
    pub(super) profile: ProfileSetting,
    directories: Vec<String>,
}

/// Opens the disks of `settings`; recovery shows its progress in the log.
///
/// # Errors
/// [`ServerError::Open`].
pub(super) async fn open(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
) -> Result<Disks, ServerError> {
    let wanted = OpenSettings {
        data: settings.data.clone(),
        profile: settings.profile.map(|p| Profile {
            data: p.data,
            parity: p.parity,
        }),
        engine: match settings.meta_engine {
            MetaEngine::Fjall => Engine::Fjall,
            MetaEngine::Sled => Engine::Sled,
        },
    };
    let opened = larder_storage::open(wanted, clock, rng, &show).await;
    let opened = opened.map_err(|error| ServerError::Open(error.to_string()))?;
    for report in &opened.reports {
        tracing::warn!("{report}");
    }
    let Profile { data, parity } = opened.profile;
    Ok(Disks {
        store: opened.store,
        profile: ProfileSetting { data, parity },
        directories: settings
            .data
            .iter()
            .map(|dir| dir.display().to_string())
            .collect(),
    })
}

fn show(progress: Progress) {
    let Progress { phase, done, total } = progress;
    tracing::info!(done, total, "{phase}");
}

impl Disks {
    /// What `larder status` asks.
    pub(super) fn status(&self) -> Arc<dyn StatusSource> {
        Arc::new(Status {
            profile: self.profile.to_string(),
            directories: self.directories.clone(),
        })
    }

    /// Lets go of the disks.
    pub(super) fn close(self) {
        drop(self.store);
    }
}

#[derive(Debug)]
struct Status {
    profile: String,
    directories: Vec<String>,
}

#[async_trait]
impl StatusSource for Status {
    async fn status(&self) -> StorageStatus {
        let disk = |directory: &String| DiskStatus {
            directory: directory.clone(),
            state: "ok".to_owned(),
            ..DiskStatus::default()
        };
        StorageStatus {
            profile: self.profile.clone(),
            disks: self.directories.iter().map(disk).collect(),
            degraded_objects: 0,
        }
    }

    fn is_writable(&self) -> bool {
        true
    }
}
