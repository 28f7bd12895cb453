//! When the view fails or hangs while the store serves (its disk died, its directory was emptied), another one is built from the logs.
//!
//! The same as a start: commits are held off, recovery reads the logs, and a new epoch begins. What was acknowledged is in the
//! logs of the other disks; what failed only because the view did is in doubt, and is decided as after a crash.

use std::sync::Arc;

use super::{
    Embedded, Seq,
    recovery::{Progress, RecoveryError, RecoveryReport},
};
use crate::meta::view::ViewSource;

impl Embedded {
    /// Resolves when the view has failed: until [`Embedded::rebuild_view`], requests are answered "unavailable".
    pub async fn view_failed(&self) {
        self.view.failed().await;
    }

    /// Gives the view up where it is: another one is built elsewhere.
    pub(crate) fn leave_view(&self, why: &str) {
        tracing::warn!(why, "leaving the metadata view");
        self.view.give_up_current();
    }

    /// Builds a new view, at a place of `views`, from the logs. Commits wait outside meanwhile; when it returns, all is served again.
    ///
    /// # Errors
    /// [`RecoveryError`]: the store stays unavailable; try again.
    pub async fn rebuild_view(
        self: &Arc<Self>,
        views: Arc<dyn ViewSource>,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<RecoveryReport, RecoveryError> {
        let _one_at_a_time = self.upkeep.lock().await;
        self.sequencer.lock().is_held = true;
        loop {
            self.wait_until_settled(Seq(u64::MAX)).await;
            let seen = views.watch().map_or(0, |watch| watch.losses());
            let recovered = self.recover(&views, &progress).await?;
            match self.begin_epoch(recovered).await {
                Ok(report) => {
                    self.view.serve();
                    self.sequencer.lock().is_held = false;
                    return Ok(report);
                }
                // It hung when it was nearly done. There are only so many places.
                Err(_) if views.watch().is_some_and(|watch| watch.losses() > seen) => {}
                Err(error) => {
                    self.view.give_up_current();
                    return Err(error);
                }
            }
        }
    }

    /// Removes the view and builds a new one in its place, from the logs alone. Nobody may use the engine meanwhile.
    ///
    /// # Errors
    /// As [`Embedded::rebuild_view`].
    pub(crate) async fn rebuild_anew(
        self: &Arc<Self>,
        views: Arc<dyn ViewSource>,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<RecoveryReport, RecoveryError> {
        let (engine, place) = (Arc::clone(self), Arc::clone(&views));
        let wipe = move || {
            engine.view.close_current();
            place.wipe()
        };
        self.pool.blocking(wipe).await?;
        self.rebuild_view(views, progress).await
    }
}
