//! Which engine keeps the view, and opening it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    str::FromStr,
    sync::Arc,
};

use super::{FjallView, SledView, View, ViewError};

/// An embedded key-value store. The default was decided by measuring: `docs/decisions/0001-view-engine.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Engine {
    /// `fjall` 3: a log-structured merge tree. The default.
    #[default]
    Fjall,
    /// `sled` 0.34: a B-tree on a log-structured page store.
    Sled,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 2] = [Self::Fjall, Self::Sled];

    /// Its name in settings, and that of its directory within the view's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fjall => "fjall",
            Self::Sled => "sled",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, UnknownEngine> {
        let known = Self::ALL.into_iter().find(|engine| engine.name() == name);
        known.ok_or_else(|| UnknownEngine(name.to_owned()))
    }
}

/// The name of no engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown view engine {0:?}, known are \"fjall\" and \"sled\"")]
pub struct UnknownEngine(pub String);

/// How much memory a view may take. With the defaults fjall's fixed part is at most 72 MiB (the cache
/// and five write buffers) beside what the allocator adds; about 50 MiB were measured at work. Each
/// key adds about 23 bytes of index and filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewSettings {
    /// Bytes of blocks kept in memory beside the page cache of the operating system. Default 32 MiB. More makes reads of a
    /// large view cheaper; less costs a system call and a decompression per miss.
    pub cache_bytes: u64,
    /// Bytes of changes gathered in memory before they are written out as one sorted file; fjall only. Default
    /// 8 MiB. Up to five such buffers exist at once while writing out lags behind. More makes compaction cheaper;
    /// less bounds memory and the pause of a sync. Fixed when the view is created: to change it, delete the view.
    pub write_buffer_bytes: u64,
}

impl Default for ViewSettings {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            write_buffer_bytes: 8 << 20,
        }
    }
}

/// Opens the view in `dir`, or makes an empty one there. An engine keeps to its own directory below `dir`, and
/// a view of another engine is refused: it could be taken for current later.
///
/// # Errors
/// [`ViewError`]: the view is damaged, in use, of another engine, or its disk fails. To go on, delete `dir` and
/// rebuild the view from the logs.
pub fn open(
    engine: Engine,
    dir: &Path,
    settings: ViewSettings,
) -> Result<Arc<dyn View>, ViewError> {
    refuse_other_engines(engine, dir)?;
    let dir = dir.join(engine.name());
    std::fs::create_dir_all(&dir)
        .map_err(|error| ViewError(format!("make {}: {error}", dir.display())))?;
    // Both engines stop with a panic at some kinds of damage. A damaged view is no reason to stop the server.
    catch_unwind(AssertUnwindSafe(|| open_in(engine, &dir, settings)))
        .unwrap_or_else(|_| Err(ViewError(format!("{engine} cannot read {}", dir.display()))))
}

fn open_in(engine: Engine, dir: &Path, settings: ViewSettings) -> Result<Arc<dyn View>, ViewError> {
    Ok(match engine {
        Engine::Fjall => Arc::new(FjallView::open(dir, settings)?),
        Engine::Sled => Arc::new(SledView::open(dir, settings)?),
    })
}

fn refuse_other_engines(engine: Engine, dir: &Path) -> Result<(), ViewError> {
    let others = Engine::ALL.into_iter().filter(|other| *other != engine);
    match others
        .into_iter()
        .find(|other| dir.join(other.name()).exists())
    {
        None => Ok(()),
        Some(other) => Err(ViewError(format!(
            "{} was made by {other}, not {engine}: delete it to have it rebuilt",
            dir.display()
        ))),
    }
}
