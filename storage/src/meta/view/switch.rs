//! A view that may be exchanged while it is in use: when its disk fails, another one takes its place.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::Notify;

use super::{View, ViewChange, ViewError};

/// A view behind a switch. After the first error it gives nothing but errors until [`SwitchView::replace`].
#[derive(Debug)]
pub struct SwitchView {
    /// `None` after a failure, so that the engine lets go of its files.
    current: RwLock<Option<Arc<dyn View>>>,
    failure: Notify,
}

impl SwitchView {
    /// Starts with `view`.
    pub fn new(view: Arc<dyn View>) -> Self {
        Self {
            current: RwLock::new(Some(view)),
            failure: Notify::new(),
        }
    }

    /// Resolves when the view has failed.
    pub async fn failed(&self) {
        loop {
            let failure = self.failure.notified();
            if self.is_failed() {
                return;
            }
            failure.await;
        }
    }

    /// Whether the view has failed.
    pub fn is_failed(&self) -> bool {
        self.current.read().is_none()
    }

    /// Goes on with `view`.
    pub fn replace(&self, view: Arc<dyn View>) {
        *self.current.write() = Some(view);
    }

    /// Declares the view failed.
    pub fn give_up(&self) {
        *self.current.write() = None;
        self.failure.notify_waiters();
    }

    fn current(&self) -> Result<Arc<dyn View>, ViewError> {
        let current = self.current.read().as_ref().map(Arc::clone);
        current.ok_or_else(|| ViewError("it failed and is being rebuilt elsewhere".to_owned()))
    }

    fn judge<T>(&self, result: Result<T, ViewError>) -> Result<T, ViewError> {
        if let Err(error) = &result
            && !self.is_failed()
        {
            tracing::error!(%error, "the metadata view failed");
            self.give_up();
        }
        result
    }
}

impl View for SwitchView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        self.judge(self.current()?.get(key))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), ViewError> {
        self.judge(self.current()?.scan(from, to, visit))
    }

    fn apply(&self, changes: &[ViewChange]) -> Result<(), ViewError> {
        self.judge(self.current()?.apply(changes))
    }

    fn persist(&self) -> Result<(), ViewError> {
        self.judge(self.current()?.persist())
    }

    fn disk_bytes(&self) -> u64 {
        self.current().map_or(0, |view| view.disk_bytes())
    }
}
