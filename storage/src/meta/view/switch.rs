//! A view that may be exchanged while it is in use: when its disk fails or hangs, another one takes its place.
//!
//! Invariant: what a view says after another one took its place, or after it was given up, reaches nobody.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::Notify;

use super::{View, ViewError, watch::Outcome};

/// A view behind a switch. After the first error it gives nothing but errors until [`SwitchView::replace`].
#[derive(Debug, Default)]
pub struct SwitchView {
    /// `None` after a failure, so that the engine lets go of its files.
    current: RwLock<Option<Arc<dyn View>>>,
    /// Whether requests may read it: not before all is in it that was acknowledged.
    is_served: AtomicBool,
    changed: Notify,
}

impl SwitchView {
    /// Resolves when the view has failed, or does not answer.
    pub async fn failed(&self) {
        loop {
            let changed = self.changed.notified();
            let Some(view) = self.current.read().clone() else {
                return;
            };
            let Some(flight) = view.flight() else {
                changed.await;
                continue;
            };
            tokio::select! {
                () = changed => {}
                () = flight.until_given_up() => {
                    self.give_up(&view);
                    return;
                }
            }
        }
    }

    /// Whether the view has failed.
    pub fn is_failed(&self) -> bool {
        let current = self.current.read();
        current.as_ref().is_none_or(is_out)
    }

    /// Goes on with `view`. Requests may not read it before [`SwitchView::serve`].
    pub fn replace(&self, view: Arc<dyn View>) {
        self.is_served.store(false, Ordering::SeqCst);
        *self.current.write() = Some(view);
        self.changed.notify_waiters();
    }

    /// Lets requests read the view.
    pub fn serve(&self) {
        self.is_served.store(true, Ordering::SeqCst);
    }

    /// Declares the view failed, whichever it is.
    pub fn give_up_current(&self) {
        let view = self.current.write().take();
        self.changed.notify_waiters();
        let_go(view);
    }

    /// Closes the view, on this thread: its files can be removed when this returns.
    pub(crate) fn close_current(&self) {
        let view = self.current.write().take();
        self.changed.notify_waiters();
        drop(view);
    }

    /// Declares `view` failed, if it is still this one.
    fn give_up(&self, view: &Arc<dyn View>) {
        let mut current = self.current.write();
        if current.as_ref().is_some_and(|now| Arc::ptr_eq(now, view)) {
            let gone = current.take();
            drop(current);
            self.changed.notify_waiters();
            let_go(gone);
        }
    }

    pub(crate) fn current(&self) -> Result<Arc<dyn View>, ViewError> {
        let current = self.current.read().as_ref().map(Arc::clone);
        let current = current.filter(|view| !is_out(view));
        current.ok_or_else(rebuilding)
    }

    fn judge<T>(&self, view: &Arc<dyn View>, result: Result<T, ViewError>) -> Result<T, ViewError> {
        if let Err(error) = &result {
            if !is_out(view) && !self.is_failed() {
                tracing::error!(%error, "the metadata view failed");
            }
            self.give_up(view);
        }
        result
    }

    /// Reads for a request: on this thread while the view answers, else on another. `work` may be called there, with what `own` makes.
    pub(crate) async fn read<T: Send + 'static, W>(
        &self,
        here: impl FnOnce(&dyn View) -> Result<T, ViewError>,
        elsewhere: impl FnOnce() -> W,
    ) -> Result<T, ViewError>
    where
        W: FnOnce(&dyn View) -> Result<T, ViewError> + Send + 'static,
    {
        let view = self.current()?;
        if !self.is_served.load(Ordering::SeqCst) {
            return Err(rebuilding());
        }
        let result = match view.flight() {
            None => here(&*view),
            Some(flight) => {
                if let Some(_place) = flight.in_place() {
                    here(&*view)
                } else {
                    let work = elsewhere();
                    flight.off_thread(Arc::clone(&view), work).await
                }
            }
        };
        self.judge(&view, result)
    }

    /// The value of `key`, for a request.
    ///
    /// # Errors
    /// [`ViewError`]: the view failed.
    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        let own = || {
            let key = Bytes::copy_from_slice(key);
            move |view: &dyn View| view.get(&key)
        };
        self.read(|view| view.get(key), own).await
    }

    /// Does something that may take long, or that nobody may hang in.
    pub(crate) async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn View) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, ViewError> {
        let view = self.current()?;
        let result = match view.flight() {
            None => work(&*view),
            Some(flight) => flight.off_thread(Arc::clone(&view), work).await,
        };
        self.judge(&view, result)
    }

    /// Does something after all that was given here before. The outcome is to be handed to [`SwitchView::outcome`].
    pub(crate) fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn View) -> Result<T, ViewError> + Send + 'static,
    ) -> Turn<T> {
        let view = match self.current() {
            Ok(view) => view,
            Err(error) => {
                return Turn {
                    outcome: Outcome::known(Err(error)),
                    view: None,
                };
            }
        };
        let outcome = match view.flight() {
            None => Outcome::known(work(&*view)),
            Some(flight) => flight.in_turn(&view, work),
        };
        Turn {
            outcome,
            view: Some(view),
        }
    }

    /// Waits for the outcome.
    ///
    /// # Cancel safety
    /// Asked again after its future was dropped, it goes on waiting.
    pub(crate) async fn outcome<T>(&self, turn: &mut Turn<T>) -> Result<T, ViewError> {
        let result = turn.outcome.get().await;
        match &turn.view {
            Some(view) => self.judge(view, result),
            None => result,
        }
    }
}

/// Work that waits for its turn.
#[derive(Debug)]
pub(crate) struct Turn<T> {
    outcome: Outcome<T>,
    view: Option<Arc<dyn View>>,
}

fn rebuilding() -> ViewError {
    ViewError("it failed and is being rebuilt elsewhere".to_owned())
}

fn is_out(view: &Arc<dyn View>) -> bool {
    view.flight().is_some_and(|flight| flight.is_given_up())
}

/// Closing a view may take long, or for ever: on a thread of its own.
fn let_go(view: Option<Arc<dyn View>>) {
    match (view, tokio::runtime::Handle::try_current()) {
        (Some(view), Ok(runtime)) if view.flight().is_some() => {
            runtime.spawn_blocking(move || drop(view));
        }
        (view, _) => drop(view),
    }
}
