//! The materialised view: an embedded key-value store that holds what the logs say.
//!
//! A view is a cache. It may lose what was applied since the last [`View::persist`] and may be deleted at any time; the
//! embedded engine replays or rebuilds it from the logs. So engines need no sync of their own on [`View::apply`],
//! but a batch must be atomic: after a crash each batch is there or not.
//!
//! [`open`] opens one of the engines of [`Engine`]; [`MemoryView`] is the model that they are tested against.
//! Every implementation runs the suite in `conformance`, and all share these limits: keys of 1 to
//! [`MAX_VIEW_KEY_BYTES`], values of at most [`MAX_VIEW_VALUE_BYTES`]; of two changes of one key in a batch
//! the later wins.
//!
//! Invariants: an engine's types do not leave its file; nothing here knows the logs, revisions or S3.

mod change;
#[cfg(test)]
mod conformance;
mod disk_usage;
mod engine;
mod fjall;
mod memory;
mod sled;
mod source;
mod switch;
mod watch;

use std::{fmt::Debug, sync::Arc};

use bytes::Bytes;

pub(crate) use self::switch::Turn;
pub use self::{
    change::{MAX_VIEW_KEY_BYTES, MAX_VIEW_VALUE_BYTES},
    engine::{Engine, UnknownEngine, ViewSettings, open},
    fjall::FjallView,
    memory::MemoryView,
    sled::SledView,
    source::{Places, ViewDir, ViewPlaces},
    switch::SwitchView,
    watch::{Flight, READS_IN_PLACE, ViewWatch, WatchedView, in_background},
};

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewChange {
    /// Which key.
    pub key: Bytes,
    /// `None` removes.
    pub value: Option<Bytes>,
}

/// An ordered key-value store in one directory.
pub trait View: Send + Sync + Debug {
    /// The value of `key`, as of the last `apply`. May read the disk.
    ///
    /// # Errors
    /// [`ViewError`]: the view is damaged or its disk fails.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError>;
    /// Visits entries with `from <= key < to` in ascending order until `visit` returns false.
    ///
    /// # Errors
    /// As [`View::get`].
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), ViewError>;
    /// Applies all changes atomically; visible when it returns, durable only after [`View::persist`].
    ///
    /// # Errors
    /// As [`View::get`].
    fn apply(&self, changes: &[ViewChange]) -> Result<(), ViewError>;
    /// Puts entries with new keys, in ascending order, into the view. Faster than [`View::apply`] where there are many; not atomic: the
    /// caller starts from an empty view again if it does not come to its end.
    ///
    /// # Errors
    /// As [`View::get`], and the first one among the entries.
    fn load(
        &self,
        entries: &mut dyn Iterator<Item = Result<(Bytes, Bytes), ViewError>>,
    ) -> Result<(), ViewError> {
        let mut changes = Vec::with_capacity(LOAD_BATCH);
        loop {
            for entry in entries.take(LOAD_BATCH) {
                let (key, value) = entry?;
                let value = Some(value);
                changes.push(ViewChange { key, value });
            }
            if changes.is_empty() {
                return Ok(());
            }
            self.apply(&changes)?;
            changes.clear();
        }
    }
    /// All that was applied before the call survives power loss when it returns. Blocks, perhaps for long.
    ///
    /// # Errors
    /// As [`View::get`].
    fn persist(&self) -> Result<(), ViewError>;
    /// Bytes that the view takes on disk.
    fn disk_bytes(&self) -> u64;
    /// Where the calls of this view are entered, if they are watched.
    fn flight(&self) -> Option<&Arc<Flight>> {
        None
    }
}

/// Entries in a batch of [`View::load`] where the engine knows nothing better.
const LOAD_BATCH: usize = 1024;

/// Where a view is kept: opens it, or makes room for a new one.
pub trait ViewSource: Send + Sync + Debug {
    /// Opens the view, empty if there is none. Blocks.
    ///
    /// # Errors
    /// [`ViewError`]: damaged; [`ViewSource::wipe`] and try again.
    fn open(&self) -> Result<Arc<dyn View>, ViewError>;
    /// Removes the view and all that is in it. No view of it may be open. Blocks.
    ///
    /// # Errors
    /// [`ViewError`]: it can't be removed.
    fn wipe(&self) -> Result<(), ViewError>;
    /// The directory of the view that was opened last, if it has one.
    fn place(&self) -> Option<std::path::PathBuf> {
        None
    }
    /// What watches the views that are opened here, if they may hang.
    fn watch(&self) -> Option<&Arc<ViewWatch>> {
        None
    }
}

/// The view is damaged or its disk fails.
#[derive(Clone, Debug, thiserror::Error)]
#[error("view: {0}")]
pub struct ViewError(pub String);
