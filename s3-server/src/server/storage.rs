//! Opening the store: the only file that knows how it is put together.

use std::{path::PathBuf, sync::Arc, time::Duration};

use larder_storage::{
    clock::Clock,
    disk::{DiskOptions, OpenOptions},
    meta::{embedded::Damage, view::Engine},
    open::{OpenSettings, Storage},
    rng::Rng,
    upkeep::{ScrubSettings, UpkeepSettings},
};

use super::{ServerError, progress::progress_shown};
use crate::{
    config::{DEFAULT_LIFECYCLE_DAY, MetaEngine, ProfileSetting, Settings},
    hash::Md5,
};

/// An open store and what runs beside it.
#[derive(Debug)]
pub(super) struct Disks {
    /// The storage.
    pub(super) storage: Arc<Storage>,
    /// The profile of new objects.
    pub(super) profile: ProfileSetting,
    upkeep: tokio::task::JoinHandle<()>,
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
    let disks = OpenOptions {
        disk: DiskOptions {
            segment_bytes: settings.segment_mib << 20,
            ..DiskOptions::default()
        },
        clock: Arc::clone(&clock),
        ..OpenOptions::default()
    };
    let wanted = open_settings(settings, disks)?;
    let opened = larder_storage::open::open(wanted, clock, rng, progress_shown()).await;
    let storage = Arc::new(opened.map_err(|error| ServerError::Open(error.to_string()))?);
    for report in storage.reports() {
        tracing::warn!("{report}");
    }
    report_recovery(&storage);
    let day = settings.lifecycle_day;
    if day != DEFAULT_LIFECYCLE_DAY {
        tracing::warn!(%day, "a day of lifecycle rules is shorter or longer than a day: objects expire accordingly");
    }
    storage.store().set_lifecycle_day(day.duration());
    let upkeep = UpkeepSettings {
        scrub: ScrubSettings {
            every: (settings.scrub_days > 0)
                .then(|| Duration::from_hours(24).saturating_mul(settings.scrub_days)),
        },
        ..UpkeepSettings::default()
    };
    let upkeep = tokio::spawn(storage.upkeep(upkeep));
    let (data, parity) = (storage.profile().data(), storage.profile().parity());
    let byte = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
    Ok(Disks {
        profile: ProfileSetting {
            data: byte(data),
            parity: byte(parity),
        },
        storage,
        upkeep,
    })
}

/// What to open, but for `disks`.
///
/// # Errors
/// [`ServerError::Open`]: the profile is none.
pub(super) fn open_settings(
    settings: &Settings,
    disks: OpenOptions,
) -> Result<OpenSettings, ServerError> {
    let profile = settings.profile.map(ProfileSetting::profile).transpose();
    let profile = profile.map_err(ServerError::Open)?;
    Ok(OpenSettings {
        data: settings.data.clone(),
        profile,
        engine: match settings.meta_engine {
            MetaEngine::Fjall => Engine::Fjall,
            MetaEngine::Sled => Engine::Sled,
        },
        view_dir: settings.view_dir.clone(),
        disks,
        disk_timeout: settings.disk_timeout.duration(),
        md5: Md5::digest,
    })
}

fn report_recovery(storage: &Storage) {
    let found = storage.recovery();
    tracing::info!(
        epoch = found.epoch,
        rebuilt = found.rebuilt,
        frames = found.frames,
        adopted = found.adopted,
        void = found.void,
        "metadata is up to date"
    );
    for old in &found.old_disks {
        let ((found, _), (expected, _)) = (old.found, old.expected);
        tracing::warn!(
            disk = %old.location, number = old.disk.0, last_segment = found, expected_segment = expected,
            "this disk came back as it was at an earlier time (restored from a snapshot or a copy), or has lost the end of its log: \
             what it lacks is healed from the others"
        );
    }
    for damage in &found.damages {
        let Damage {
            location,
            segment,
            bytes,
            tail_bytes,
            ..
        } = damage;
        if *bytes > 0 {
            tracing::warn!(disk = %location, segment, bytes, "log bytes are rotten or can't be read: what they held is read from other disks");
        }
        if *tail_bytes > 0 {
            tracing::info!(disk = %location, segment, bytes = tail_bytes, "the end of a log was torn, as a crash does");
        }
    }
}

impl Disks {
    /// Those of the directories `data` whose disks can be used.
    pub(super) fn good_directories(&self, data: &[PathBuf]) -> Vec<PathBuf> {
        let good = self.storage.good_locations();
        let is_good = |dir: &&PathBuf| good.contains(&dir.display().to_string());
        data.iter().filter(is_good).cloned().collect()
    }

    /// Writes out what a faster start needs.
    pub(super) async fn close(self) {
        self.storage.close().await;
        // It may be stuck on a disk that does not answer: the process ends without it then.
        self.upkeep.abort();
        if let Err(error) = self.upkeep.await
            && !error.is_cancelled()
        {
            tracing::error!(%error, "upkeep ended badly");
        }
    }
}
