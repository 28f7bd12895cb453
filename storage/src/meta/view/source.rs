//! Where views are kept: a directory for the real ones, memory for tests.

use std::{path::PathBuf, sync::Arc};

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
