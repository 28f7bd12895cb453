//! A deadline for a peer that must move bytes: it runs only while the server waits for the peer.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use larder_storage::clock::Clock;
use parking_lot::Mutex;

use super::{STALL_MIN_BYTES, STALL_TIMEOUT};

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Watches one direction of one connection or body.
pub(super) struct StallGuard {
    clock: Arc<dyn Clock>,
    /// Never locked: the mutex makes the guard `Sync`, which futures that only borrow it need.
    sleep: Mutex<Option<Sleep>>,
    moved_bytes: usize,
}

impl StallGuard {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sleep: Mutex::new(None), moved_bytes: 0 }
    }

    /// The peer moved `bytes`. Enough of them stop the deadline until the next wait.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.moved_bytes = self.moved_bytes.saturating_add(bytes);
        if self.moved_bytes >= STALL_MIN_BYTES {
            self.stop();
        }
    }

    /// The peer owes nothing now.
    pub(super) fn stop(&mut self) {
        *self.sleep.get_mut() = None;
        self.moved_bytes = 0;
    }

    /// Called while waiting for the peer: ready when it has been too slow for too long.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let clock = &self.clock;
        let sleep = self.sleep.get_mut().get_or_insert_with(|| sleep(Arc::clone(clock)));
        sleep.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for StallGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StallGuard").field("moved_bytes", &self.moved_bytes).finish_non_exhaustive()
    }
}

fn sleep(clock: Arc<dyn Clock>) -> Sleep {
    Box::pin(async move { clock.sleep(STALL_TIMEOUT).await })
}
