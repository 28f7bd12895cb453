//! Waiting until a commit's frames are durable.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::disk::{Completion, DiskError, DiskNo};

/// Collects the outcomes of one commit's frames, one per disk.
#[derive(Debug, Default)]
pub(super) struct Wait {
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    outstanding: usize,
    durable: Vec<DiskNo>,
}

impl Wait {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// One more frame is on its way. To be called before the frame is appended.
    pub(super) fn expect_one(&self) {
        self.state.lock().outstanding += 1;
    }

    /// The frame was refused after all.
    pub(super) fn forget_one(&self) {
        self.state.lock().outstanding -= 1;
    }

    /// Resolves when every frame is durable or failed, with the disks on which it is durable.
    pub(super) async fn done(&self) -> Vec<DiskNo> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Vec<DiskNo>> {
        self.waker.register(context.waker());
        let state = self.state.lock();
        if state.outstanding == 0 {
            Poll::Ready(state.durable.clone())
        } else {
            Poll::Pending
        }
    }
}

impl Completion for Wait {
    fn complete(&self, disk: DiskNo, result: Result<(), DiskError>) {
        let mut state = self.state.lock();
        match result {
            Ok(()) => state.durable.push(disk),
            // One line for each frame in the queue of a disk that died; why it did was said once, louder.
            Err(error) => tracing::debug!(%error, disk = disk.0, "frame not durable"),
        }
        state.outstanding -= 1;
        let last = state.outstanding == 0;
        drop(state);
        if last {
            self.waker.wake();
        }
    }
}
