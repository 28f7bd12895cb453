//! Files that are read again when they change.
//!
//! They are looked at by what the file system says of them, not by its events: a Kubernetes Secret is replaced by renaming a directory above it,
//! which is no event of the file.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use larder_storage::clock::Clock;

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

/// Why a document can't be used: the operator corrects the file.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It can't be read.
    #[error("{what} file {}: {source}", path.display())]
    Unreadable {
        /// What it is of.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has not the right form. The text is never shown: it may hold a secret.
    #[error("{what} file {}: {reason}", path.display())]
    Malformed {
        /// What it is of.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Puts what a text says in place and says how many things that are, or what is wrong with it.
type Take = Box<dyn FnMut(&str) -> Result<usize, String> + Send>;

/// A document that is read again whenever its file has changed.
pub struct WatchedDocument {
    what: &'static str,
    path: PathBuf,
    max_bytes: u64,
    files: WatchedFiles,
    take: Take,
}

impl fmt::Debug for WatchedDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedDocument")
            .field("what", &self.what)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl WatchedDocument {
    /// The document at `path`, of `what` (a plural), taken for the first time. Blocks.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub(crate) fn open(
        what: &'static str,
        path: &Path,
        max_bytes: u64,
        take: impl FnMut(&str) -> Result<usize, String> + Send + 'static,
    ) -> Result<Self, DocumentError> {
        let mut document = Self {
            what,
            path: path.to_owned(),
            max_bytes,
            files: WatchedFiles::new([path.to_owned()]),
            take: Box::new(take),
        };
        document.look()?;
        Ok(document)
    }

    /// Takes it again whenever it has changed, for ever. A state of it that can't be used is logged, and what was taken before stays.
    pub(crate) async fn watch(mut self, clock: Arc<dyn Clock>) {
        loop {
            clock.sleep(LOOK_EVERY).await;
            let look = move || {
                let looked = self.look();
                (self, looked)
            };
            let Ok((document, looked)) = tokio::task::spawn_blocking(look).await else {
                return;
            };
            self = document;
            let what = self.what;
            match looked {
                Ok(None) => {}
                Ok(Some(count)) => {
                    tracing::info!(path = %self.path.display(), count, "{what} read anew");
                }
                Err(error) => tracing::warn!("{error}; the {what} stay as they were"),
            }
        }
    }

    /// How many things were taken; `None` if nothing has changed. What went wrong is told once per state of the file.
    pub(crate) fn look(&mut self) -> Result<Option<usize>, DocumentError> {
        if !self.files.has_changed() {
            return Ok(None);
        }
        let (what, path) = (self.what, &self.path);
        let text = read(path, self.max_bytes).map_err(|source| DocumentError::Unreadable {
            what,
            path: path.clone(),
            source,
        })?;
        let count = (self.take)(&text).map_err(|reason| DocumentError::Malformed {
            what,
            path: path.clone(),
            reason,
        })?;
        Ok(Some(count))
    }
}

fn read(path: &Path, max_bytes: u64) -> io::Result<String> {
    if fs::metadata(path)?.len() > max_bytes {
        let message = format!("larger than {} MiB", max_bytes >> 20);
        return Err(io::Error::other(message));
    }
    fs::read_to_string(path)
}
