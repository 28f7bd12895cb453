//! The view in sled, a B-tree whose pages live in a log.
//!
//! sled has no write buffer of a settable size: [`ViewSettings::write_buffer_bytes`] does not apply.

use std::{
    fmt,
    ops::Bound,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;

use super::{View, ViewChange, ViewError, ViewSettings, change, disk_usage};

/// A view kept by sled.
pub struct SledView {
    dir: PathBuf,
    db: sled::Db,
}

impl SledView {
    /// Opens the database in `dir`, or makes one.
    ///
    /// # Errors
    /// [`ViewError`]: it is damaged or in use, or the disk fails.
    pub fn open(dir: &Path, settings: ViewSettings) -> Result<Self, ViewError> {
        let config = sled::Config::new()
            .cache_capacity(settings.cache_bytes)
            // Flushing is what `persist` is for.
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        Self::open_config(dir, config)
    }

    /// As [`SledView::open`], with all of sled's settings in the caller's hands: for measuring.
    ///
    /// # Errors
    /// As [`SledView::open`].
    pub fn open_config(dir: &Path, config: sled::Config) -> Result<Self, ViewError> {
        let config = config.path(dir);
        let mut tries = LOCK_TRIES;
        loop {
            match config.open() {
                Err(sled::Error::Io(error)) if is_locked(&error) && tries > 0 => {
                    tries -= 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                opened => {
                    let dir = dir.to_owned();
                    return Ok(Self { dir, db: opened? });
                }
            }
        }
    }
}

/// sled lets go of its lock only when its background threads have noticed that the database was dropped.
fn is_locked(error: &std::io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

/// How often, and after which pause, a lock is tried again: 5 s in all.
const LOCK_TRIES: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

impl View for SledView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        Ok(self
            .db
            .get(key)?
            .map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), ViewError> {
        if from >= to {
            return Ok(());
        }
        for entry in self
            .db
            .range::<&[u8], _>((Bound::Included(from), Bound::Excluded(to)))
        {
            let (key, value) = entry?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, changes: &[ViewChange]) -> Result<(), ViewError> {
        change::check(changes)?;
        let mut batch = sled::Batch::default();
        for change in changes {
            match &change.value {
                Some(value) => batch.insert(&change.key[..], &value[..]),
                None => batch.remove(&change.key[..]),
            }
        }
        Ok(self.db.apply_batch(batch)?)
    }

    fn persist(&self) -> Result<(), ViewError> {
        self.db.flush()?;
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        disk_usage::allocated_bytes(&self.dir)
    }
}

impl fmt::Debug for SledView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledView")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl From<sled::Error> for ViewError {
    fn from(error: sled::Error) -> Self {
        Self(format!("sled: {error}"))
    }
}
