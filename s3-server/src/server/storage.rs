//! Opening the store: the only file that knows how it is put together.

use std::{
    io::IsTerminal as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressStyle};
use larder_storage::{
    clock::Clock,
    disk::{DiskOptions, OpenOptions},
    meta::{
        embedded::{Progress, ProgressStage},
        view::Engine,
    },
    open::{OpenSettings, Storage},
    rng::Rng,
    upkeep::UpkeepSettings,
};

use super::ServerError;
use crate::{
    config::{MetaEngine, ProfileSetting, Settings},
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
    let profile = settings.profile.map(|profile| profile.to_string().parse());
    let profile = profile
        .transpose()
        .map_err(|error| ServerError::Open(format!("profile: {error}")))?;
    let wanted = OpenSettings {
        data: settings.data.clone(),
        profile,
        engine: match settings.meta_engine {
            MetaEngine::Fjall => Engine::Fjall,
            MetaEngine::Sled => Engine::Sled,
        },
        view_dir: settings.view_dir.clone(),
        disks: OpenOptions {
            disk: DiskOptions {
                segment_bytes: settings.segment_mib << 20,
                ..DiskOptions::default()
            },
            clock: Arc::clone(&clock),
            ..OpenOptions::default()
        },
        disk_timeout: settings.disk_timeout.duration(),
        md5: Md5::digest,
    };
    let opened = larder_storage::open::open(wanted, clock, rng, progress_shown()).await;
    let storage = Arc::new(opened.map_err(|error| ServerError::Open(error.to_string()))?);
    for report in storage.reports() {
        tracing::warn!("{report}");
    }
    report_recovery(&storage);
    let upkeep = tokio::spawn(storage.upkeep(UpkeepSettings::default()));
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
    if found.damaged_bytes > 0 {
        tracing::warn!(
            bytes = found.damaged_bytes,
            "log bytes were torn or rotten and are not used"
        );
    }
}

/// Shows how far the opening is: a bar on a terminal, else a line in the log for each tenth of the way.
fn progress_shown() -> Arc<dyn Fn(Progress) + Send + Sync> {
    if std::io::stderr().is_terminal() {
        progress_bar()
    } else {
        progress_log()
    }
}

fn what(stage: ProgressStage) -> &'static str {
    match stage {
        ProgressStage::Replay => "replaying the logs",
        ProgressStage::Rebuild => "rebuilding the metadata view from the logs",
    }
}

fn progress_bar() -> Arc<dyn Fn(Progress) + Send + Sync> {
    let template = "{msg} [{bar:40}] {bytes}/{total_bytes}, {eta} left";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style.progress_chars("=> "));
    Arc::new(move |progress| {
        bar.set_message(what(progress.stage));
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
        if progress.done_bytes == progress.total_bytes {
            bar.finish_and_clear();
        }
    })
}

fn progress_log() -> Arc<dyn Fn(Progress) + Send + Sync> {
    let shown = AtomicU64::new(0);
    Arc::new(move |progress| {
        let tenth = progress.done_bytes * 10 / progress.total_bytes.max(1);
        if shown.swap(tenth, Ordering::Relaxed) != tenth {
            let (done, total) = (progress.done_bytes >> 20, progress.total_bytes >> 20);
            tracing::info!(
                "{}: {tenth}0 %, {done} of {total} MiB",
                what(progress.stage)
            );
        }
    })
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
