//! Files that are read again when they change.
//!
//! They are looked at by what the file system says of them, not by its events: a Kubernetes Secret is replaced by renaming a directory above it,
//! which is no event of the file.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// How often whoever watches looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Some files, and what they were like when they were last looked at.
#[derive(Debug)]
pub(crate) struct WatchedFiles {
    paths: Vec<PathBuf>,
    seen: Option<Vec<State>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Missing,
    Here(Stamp),
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl WatchedFiles {
    /// Files that were not looked at yet.
    pub(crate) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            paths: paths.into_iter().collect(),
            seen: None,
        }
    }

    /// Whether one of them is another than at the last look; true at the first. To be asked before they are read, so that no change is missed. Blocks.
    pub(crate) fn has_changed(&mut self) -> bool {
        let now: Vec<_> = self.paths.iter().map(|path| State::of(path)).collect();
        let has_changed = self.seen.as_ref() != Some(&now);
        self.seen = Some(now);
        has_changed
    }
}

impl State {
    fn of(path: &Path) -> Self {
        fs::metadata(path).map_or(Self::Missing, |metadata| Self::Here(Stamp::of(&metadata)))
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}
