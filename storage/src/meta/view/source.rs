//! Where views are kept: a directory for the real ones, memory for tests.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    Engine, View, ViewError, ViewSettings, ViewSource, open,
    watch::{Flight, ViewWatch, WatchedView, place_name},
};
use crate::clock::Clock;

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

/// A view in the first of several directories that can be used; a place that failed or hung is not tried again.
pub struct ViewPlaces {
    engine: Engine,
    settings: ViewSettings,
    places: Box<dyn Places>,
    failed: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// Where the view was opened last.
    current: Mutex<Option<PathBuf>>,
    watch: Arc<ViewWatch>,
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
    /// Views of `engine` in one of `places`. They are watched by `clock`.
    pub fn new(
        engine: Engine,
        settings: ViewSettings,
        places: impl Places + 'static,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            engine,
            settings,
            places: Box::new(places),
            failed: Arc::default(),
            current: Mutex::default(),
            watch: ViewWatch::new(clock),
        }
    }

    fn dir(&self, dir: PathBuf) -> ViewDir {
        ViewDir {
            engine: self.engine,
            dir,
            settings: self.settings,
        }
    }

    /// The watched calls of a place, if it can be used. Even looking at it may hang.
    fn begin(&self, dir: &Path) -> Option<Arc<Flight>> {
        if self.failed.lock().contains(dir) {
            return None;
        }
        let (failed, place) = (Arc::clone(&self.failed), dir.to_owned());
        let flight = self.watch.begin(place_name(dir), move || {
            failed.lock().insert(place.clone());
        });
        let usable = flight.run("look", || Ok(self.places.is_usable(dir)));
        usable.unwrap_or(false).then_some(flight)
    }
}

impl ViewSource for ViewPlaces {
    /// What can't be opened where it is can perhaps be wiped: the first usable place alone is tried.
    fn open(&self) -> Result<Arc<dyn View>, ViewError> {
        let dirs = self.places.dirs().into_iter();
        let mut usable = dirs.filter_map(|dir| Some((self.begin(&dir)?, dir)));
        let none = || ViewError("no disk is left for it".to_owned());
        let (flight, dir) = usable.next().ok_or_else(none)?;
        let view = flight.run_long("open", || self.dir(dir.clone()).open())?;
        *self.current.lock() = Some(dir);
        Ok(Arc::new(WatchedView::new(view, flight)))
    }

    /// A place is empty and can be written, or it is not taken.
    fn wipe(&self) -> Result<(), ViewError> {
        let mut last = ViewError("no disk is left for the metadata view".to_owned());
        for dir in self.places.dirs() {
            let Some(flight) = self.begin(&dir) else {
                continue;
            };
            let place = self.dir(dir.clone());
            let wiped = flight
                .run_long("remove", || place.wipe())
                .and_then(|()| flight.run_long("open", || place.open().map(drop)));
            match wiped {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
            tracing::warn!(error = %last, dir = %dir.display(), "no place for the metadata view");
            self.failed.lock().insert(dir);
        }
        // The next try may find that one of them is well again.
        self.failed.lock().clear();
        Err(last)
    }

    fn place(&self) -> Option<PathBuf> {
        self.current.lock().clone()
    }

    fn watch(&self) -> Option<&Arc<ViewWatch>> {
        Some(&self.watch)
    }
}
