//! `larder rebuild`: makes the metadata view anew from the disks of a server that is stopped.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use larder_storage::{
    disk::OpenOptions,
    rebuild::{Compared, Rebuilt, rebuild},
    rng::SystemRng,
};
use serde::Serialize;

use super::{Outcome, print};
use crate::{
    config::{FileSettings, MetaEngine, ProfileSetting, Settings, Span},
    server::{open_settings, progress_shown, start_logs},
};

/// Make the metadata view anew from the disks alone, while the server is stopped.
///
/// The view is a cache of what the logs of the disks say; a server that finds it missing or damaged does the same by itself. As many
/// disks as the profile has parity may be missing. Nothing but the view is changed, but that commits which a crash left open are settled, as
/// a start of the server does.
#[derive(Debug, Args)]
pub(super) struct RebuildArgs {
    /// The server's data directories; /srv/disk{1...4} names four.
    #[arg(long, env = "LARDER_DATA", value_name = "DIR", num_args = 1.., value_delimiter = ',')]
    data: Option<Vec<String>>,
    /// The server's profile, such as 2+2 [default: by number of disks].
    #[arg(long, env = "LARDER_PROFILE", value_name = "K+M")]
    profile: Option<ProfileSetting>,
    /// A TOML file with the server's settings.
    #[arg(long, env = "LARDER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The engine of the view [default: fjall].
    #[arg(long, env = "LARDER_META_ENGINE", value_enum)]
    meta_engine: Option<MetaEngine>,
    /// Where the server keeps its view [default: on the first good disk].
    #[arg(long, env = "LARDER_VIEW_DIR", value_name = "DIR")]
    view_dir: Option<PathBuf>,
    /// A disk with an operation that takes longer is left out [default: 30s].
    #[arg(long, env = "LARDER_DISK_TIMEOUT", value_name = "TIME")]
    disk_timeout: Option<Span>,
    /// Check that the new view equals the one it replaces, if that can be brought up to date; fail if not.
    #[arg(long, visible_alias = "verify")]
    compare: bool,
    /// Print a summary as JSON.
    #[arg(long)]
    json: bool,
}

/// The new view is not what the old one was.
#[derive(Debug, thiserror::Error)]
#[error("the rebuilt view differs from the one it replaced: {before} keys before, {now} now")]
struct DifferentError {
    before: u64,
    now: u64,
}

pub(super) fn run(args: RebuildArgs) -> Outcome {
    let (config, compare, json) = (args.config.clone(), args.compare, args.json);
    let settings = Settings::resolve(args.into(), config.as_deref())?;
    start_logs(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let clock = Arc::new(larder_storage::clock::SystemClock);
    let began = larder_storage::clock::Clock::monotonic(&*clock);
    let wanted = open_settings(&settings, OpenOptions::default())?;
    let work = rebuild(wanted, Arc::new(SystemRng), compare, progress_shown());
    let rebuilt = runtime.block_on(work)?;
    let took = larder_storage::clock::Clock::monotonic(&*clock).saturating_sub(began);
    let summary = Summary::new(&rebuilt, took.as_secs_f64());
    if json {
        print(&(serde_json::to_string_pretty(&summary)? + "\n"))?;
    } else {
        print(&summary.text())?;
    }
    match rebuilt.compared {
        Compared::Different { before, now } => Err(Box::new(DifferentError { before, now })),
        Compared::No | Compared::NothingBefore | Compared::Equal { .. } => Ok(()),
    }
}

impl From<RebuildArgs> for FileSettings {
    fn from(args: RebuildArgs) -> Self {
        Self {
            data: args.data,
            profile: args.profile,
            meta_engine: args.meta_engine,
            view_dir: args.view_dir,
            disk_timeout: args.disk_timeout,
            log_level: Some("warn".to_owned()),
            ..Self::default()
        }
    }
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Summary {
    keys: u64,
    frames: u64,
    seconds: f64,
    adopted: u64,
    void: u64,
    /// `equal`, `different`, `nothing to compare`, or none.
    compared: Option<&'static str>,
    missing_disks: Vec<String>,
    damaged: Vec<DamagedSegment>,
    damaged_bytes: u64,
}

#[derive(Debug, Serialize)]
struct DamagedSegment {
    disk: String,
    segment: u32,
    bytes: u64,
    torn_bytes: u64,
}

impl Summary {
    fn new(rebuilt: &Rebuilt, seconds: f64) -> Self {
        let found = &rebuilt.recovery;
        let damaged = found.damages.iter().map(|damage| DamagedSegment {
            disk: damage.location.clone(),
            segment: damage.segment,
            bytes: damage.bytes,
            torn_bytes: damage.tail_bytes,
        });
        Self {
            keys: found.keys,
            frames: found.frames,
            seconds,
            adopted: found.adopted,
            void: found.void,
            compared: match rebuilt.compared {
                Compared::No => None,
                Compared::NothingBefore => Some("nothing to compare"),
                Compared::Equal { .. } => Some("equal"),
                Compared::Different { .. } => Some("different"),
            },
            missing_disks: rebuilt.missing.clone(),
            damaged: damaged.collect(),
            damaged_bytes: found.damaged_bytes,
        }
    }

    fn text(&self) -> String {
        let mut lines = vec![format!(
            "The view has {} keys, out of {} frames, in {:.1} s.",
            self.keys, self.frames, self.seconds
        )];
        if self.adopted + self.void > 0 {
            lines.push(format!(
                "Of the commits that were left open {} count and {} do not.",
                self.adopted, self.void
            ));
        }
        lines.extend(
            self.missing_disks
                .iter()
                .map(|why| format!("Missing: {why}")),
        );
        lines.extend(self.damaged.iter().map(|damage| {
            format!(
                "Damage: {} segment {}: {} bytes, and {} at a torn end",
                damage.disk, damage.segment, damage.bytes, damage.torn_bytes
            )
        }));
        match self.compared {
            Some("equal") => lines.push("It equals the view that it replaces.".to_owned()),
            Some("nothing to compare") => {
                lines.push("There was no view up to date to compare it with.".to_owned());
            }
            _ => {}
        }
        lines.join("\n") + "\n"
    }
}
