//! Disks that came back as they were at an earlier time: what they still have of their past is rewritten.
//!
//! Until then it is only left out of account, and such a disk counts among those that may be lost.

use super::{Healer, Round};
use crate::stripes::Rest;

impl Healer {
    /// Rewrites the segments that are the past of disks which came back old: what is alive moves, the rest goes.
    pub(super) async fn rewrite_the_past(&self, round: &mut Round) {
        while self.engine.has_a_past() && !self.is_paused().await {
            match self.engine.reclaim_once().await {
                Ok(Some(done)) => {
                    round.healed += 1;
                    self.breath.rest(done.freed_bytes).await;
                }
                Ok(None) => return,
                Err(error) => {
                    self.note_error(&error.into());
                    round.failed += 1;
                    return;
                }
            }
        }
    }
}
