//! Rebuilding the metadata view from the disks alone, with the store closed: what `larder rebuild` does.

use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::Arc,
};

use crate::{
    disk::Health,
    meta::{
        Entry, Meta, MetaError,
        embedded::{Embedded, Progress, RecoveryReport},
    },
    objects::weigh,
    open::{OpenError, OpenSettings, Parts},
    rng::Rng,
    stripes::PoolDisk,
};

/// Entries read at a time for a comparison.
const PAGE: usize = 1000;

/// Why the view could not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The disks can't be opened, or the logs not be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The view can't be read.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// None of the directories is a disk; opening them would make a new cluster.
    #[error("none of the data directories holds a disk of Larder: nothing to rebuild from")]
    NoDisks,
}

/// What a rebuild did.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// What was found in the logs.
    pub recovery: RecoveryReport,
    /// What people should know about the disks.
    pub reports: Vec<String>,
    /// Disks that could not be used, with the reason.
    pub missing: Vec<String>,
    /// Whether the result is what was there before.
    pub compared: Compared,
}

/// The outcome of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// It was not asked for.
    No,
    /// There was no view that was up to date.
    NothingBefore,
    /// Both have the same keys with the same revisions and values.
    Equal {
        /// So many.
        keys: u64,
    },
    /// They differ: a bug, or more disks were lost than the profile allows.
    Different {
        /// Keys before.
        before: u64,
        /// Keys now.
        now: u64,
    },
}

/// What a view says of all its keys, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest {
    keys: u64,
    hashes: [u64; 2],
}

/// Rebuilds the view of the disks of `settings`, which no process may have open. With `compare` it is first read as it is, if it is up to
/// date, and compared with the new one; to that end it is brought up to date.
///
/// # Errors
/// [`RebuildError`]. The view may be gone then: the next start rebuilds it.
pub async fn rebuild(
    settings: OpenSettings,
    rng: Arc<dyn Rng>,
    compare: bool,
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
) -> Result<Rebuilt, RebuildError> {
    let is_disk = |dir: &std::path::PathBuf| dir.join("disk.json").exists();
    if !settings.data.iter().any(is_disk) {
        return Err(RebuildError::NoDisks);
    }
    let parts = Parts::open(&settings, &rng).await?;
    let done = rebuild_with(&parts, compare, progress).await;
    let disks = parts.pool.disks();
    let missing = disks.iter().filter_map(why_missing).collect();
    parts.pool.close().await;
    let (recovery, compared) = done?;
    Ok(Rebuilt {
        recovery,
        reports: parts.reports,
        missing,
        compared,
    })
}

fn why_missing(disk: &PoolDisk) -> Option<String> {
    match disk.health() {
        Health::Failed(reason) if reason.contains(&disk.location) => Some(reason),
        Health::Failed(reason) => Some(format!("{}: {reason}", disk.location)),
        Health::Good | Health::Full => None,
    }
}

async fn rebuild_with(
    parts: &Parts,
    compare: bool,
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
) -> Result<(RecoveryReport, Compared), RebuildError> {
    let views = || Arc::clone(&parts.views);
    if !compare {
        views()
            .wipe()
            .map_err(|error| OpenError::Recovery(error.into()))?;
    }
    let (pool, shown) = (Arc::clone(&parts.pool), Arc::clone(&progress));
    let opened = Embedded::open(pool, views(), &parts.cluster, weigh, shown).await;
    let (engine, report) = opened.map_err(OpenError::Recovery)?;
    if !compare {
        return Ok((report, Compared::No));
    }
    if report.rebuilt {
        return Ok((report, Compared::NothingBefore));
    }
    let before = digest(&engine).await?;
    let report = engine.rebuild_anew(views(), progress).await;
    let report = report.map_err(OpenError::Recovery)?;
    let now = digest(&engine).await?;
    let compared = if before == now {
        Compared::Equal { keys: now.keys }
    } else {
        let (before, now) = (before.keys, now.keys);
        Compared::Different { before, now }
    };
    Ok((report, compared))
}

async fn digest(engine: &Arc<Embedded>) -> Result<Digest, MetaError> {
    let mut digest = Digest::default();
    let mut from = vec![0];
    loop {
        let page = engine.scan(&from, &[0xff], PAGE).await?;
        let full = page.len() == PAGE;
        for entry in page {
            digest.take(&entry);
            from = entry.key.to_vec();
            from.push(0);
        }
        if !full {
            return Ok(digest);
        }
    }
}

impl Digest {
    fn take(&mut self, entry: &Entry) {
        self.keys += 1;
        for (salt, hash) in (1..).zip(&mut self.hashes) {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(salt);
            hasher.write_u64(*hash);
            hasher.write_usize(entry.key.len());
            hasher.write(&entry.key);
            hasher.write_u64(entry.revision.0);
            hasher.write(&entry.value);
            *hash = hasher.finish();
        }
    }
}
