//! Where views are kept: a directory for the real ones, memory for tests.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

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

/// Whether a place may be used now.
type IsUsable = dyn Fn(usize) -> bool + Send + Sync;

/// A view in the first of several directories that can be used; a place that failed is not tried again.
pub struct ViewPlaces {
    engine: Engine,
    settings: ViewSettings,
    /// In order of preference.
    dirs: Vec<PathBuf>,
    is_usable: Box<IsUsable>,
    failed: Mutex<BTreeSet<usize>>,
}

impl std::fmt::Debug for ViewPlaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let failed = &*self.failed.lock();
        f.debug_struct("ViewPlaces")
            .field("dirs", &self.dirs)
            .field("failed", failed)
            .finish_non_exhaustive()
    }
}

impl ViewPlaces {
    /// Views of `engine` in one of `dirs`, whose n-th may be used while `is_usable(n)`.
    pub fn new(
        engine: Engine,
        settings: ViewSettings,
        dirs: Vec<PathBuf>,
        is_usable: impl Fn(usize) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            engine,
            settings,
            dirs,
            is_usable: Box::new(is_usable),
            failed: Mutex::default(),
        }
    }

    /// Does `work` at the first place where it succeeds.
    fn first<T>(&self, work: impl Fn(&ViewDir) -> Result<T, ViewError>) -> Result<T, ViewError> {
        let mut last = ViewError("no disk is left for the metadata view".to_owned());
        for (number, dir) in self.dirs.iter().enumerate() {
            if self.failed.lock().contains(&number) || !(self.is_usable)(number) {
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
            self.failed.lock().insert(number);
        }
        // The next try may find that one of them is well again.
        self.failed.lock().clear();
        Err(last)
    }
}

impl ViewSource for ViewPlaces {
    /// What can't be opened where it is can perhaps be wiped: the first usable place alone is tried.
    fn open(&self) -> Result<Arc<dyn View>, ViewError> {
        let usable =
            |number: &usize| !self.failed.lock().contains(number) && (self.is_usable)(*number);
        let number = (0..self.dirs.len()).find(usable);
        let number = number.ok_or_else(|| ViewError("no disk is left for it".to_owned()))?;
        open(self.engine, &self.dirs[number], self.settings)
    }

    fn wipe(&self) -> Result<(), ViewError> {
        // A place is empty and can be written, or it is not taken.
        self.first(|place| {
            place.wipe()?;
            place.open().map(drop)
        })
    }
}
