//! Where views are kept: a directory for the real ones, memory for tests.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{Engine, View, ViewError, ViewSettings, ViewSource, open};

/// A view in a directory of its own.
#[derive(Clone, Debug)]
pub struct ViewDir {
    /// The engine to use.
    pub engine: Engine,
    /// The directory, created when needed; nothing else may be in it.
    pub dir: PathBuf,
    /// The engine's settings.
    pub settings: ViewSettings,
}

impl ViewSource for ViewDir {
    fn open(&self) -> Result<Arc<dyn View>, ViewError> {
        open(self.engine, &self.dir, self.settings)
    }

    fn wipe(&self) -> Result<(), ViewError> {
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ViewError(format!("remove {}: {error}", self.dir.display())))
            }
            _ => Ok(()),
        }
    }
}

/// The directories for a view, in order of preference, and whether one may be used now.
pub trait Places: Send + Sync {
    /// All of them. They may be others each time.
    fn dirs(&self) -> Vec<PathBuf>;
    /// Whether this one may be used. May block.
    fn is_usable(&self, dir: &Path) -> bool;
}

/// A single place.
impl Places for PathBuf {
    fn dirs(&self) -> Vec<PathBuf> {
        vec![self.clone()]
    }

    fn is_usable(&self, _dir: &Path) -> bool {
        true
    }
}

/// A view in the first of several directories that can be used; a place that failed is not tried again.
pub struct ViewPlaces {
    engine: Engine,
    settings: ViewSettings,
    places: Box<dyn Places>,
    failed: Mutex<BTreeSet<PathBuf>>,
}

impl std::fmt::Debug for ViewPlaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let failed = &*self.failed.lock();
        f.debug_struct("ViewPlaces")
            .field("dirs", &self.places.dirs())
            .field("failed", failed)
            .finish_non_exhaustive()
    }
}

impl ViewPlaces {
    /// Views of `engine` in one of `places`.
    pub fn new(engine: Engine, settings: ViewSettings, places: impl Places + 'static) -> Self {
        Self {
            engine,
            settings,
            places: Box::new(places),
            failed: Mutex::default(),
        }
    }

    fn may_use(&self, dir: &Path) -> bool {
        !self.failed.lock().contains(dir) && self.places.is_usable(dir)
    }

    /// Does `work` at the first place where it succeeds.
    fn first<T>(&self, work: impl Fn(&ViewDir) -> Result<T, ViewError>) -> Result<T, ViewError> {
        let mut last = ViewError("no disk is left for the metadata view".to_owned());
        for dir in self.places.dirs() {
            if !self.may_use(&dir) {
                continue;
            }
            let place = ViewDir {
                engine: self.engine,
                dir: dir.clone(),
                settings: self.settings,
            };
            match work(&place) {
                Ok(value) => return Ok(value),
                Err(error) => last = error,
            }
            tracing::warn!(error = %last, dir = %dir.display(), "no place for the metadata view");
            self.failed.lock().insert(dir);
        }
        // The next try may find that one of them is well again.
        self.failed.lock().clear();
        Err(last)
    }
}

impl ViewSource for ViewPlaces {
    /// What can't be opened where it is can perhaps be wiped: the first usable place alone is tried.
    fn open(&self) -> Result<Arc<dyn View>, ViewError> {
        let dirs = self.places.dirs();
        let dir = dirs.iter().find(|dir| self.may_use(dir));
        let dir = dir.ok_or_else(|| ViewError("no disk is left for it".to_owned()))?;
        open(self.engine, dir, self.settings)
    }

    fn wipe(&self) -> Result<(), ViewError> {
        // A place is empty and can be written, or it is not taken.
        self.first(|place| {
            place.wipe()?;
            place.open().map(drop)
        })
    }
}
