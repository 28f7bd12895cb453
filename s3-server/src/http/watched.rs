//! A body that is given up when its client stands still.
//!
//! HTTP/2 asks for the next chunk only once the client has made room for it. A client that never does would hold the
//! read, its memory and its place among the requests for ever, and answer pings all the while.

use std::{
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use larder_storage::clock::Clock;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::{BodyError, STALL_MIN_BYTES, body::ReadBody};

/// `None` once it was given up.
type Shared = Mutex<Option<Box<ReadBody>>>;

/// A body and the task that watches it, which ends with it.
#[derive(Debug)]
pub struct Watched {
    body: Arc<Shared>,
    watcher: AbortHandle,
}

impl Watched {
    pub(super) fn new(body: Box<ReadBody>, clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        let body = Arc::new(Mutex::new(Some(body)));
        let watcher = tokio::spawn(watch(Arc::downgrade(&body), clock, timeout));
        Self {
            body,
            watcher: watcher.abort_handle(),
        }
    }

    /// Bytes still to be sent; a body that was given up has an end to come, which is an error.
    pub(super) fn remaining_bytes(&self) -> u64 {
        let body = self.body.lock();
        body.as_ref().map_or(1, |body| body.remaining_bytes())
    }

    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut *self.body.lock() {
            Some(body) => body.poll_next(cx),
            None => Poll::Ready(Some(Err(BodyError::Stalled))),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

async fn watch(body: Weak<Shared>, clock: Arc<dyn Clock>, timeout: Duration) {
    let mut before = u64::MAX;
    while let Some(remaining) = body.upgrade().and_then(|body| look(&body, before)) {
        before = remaining;
        clock.sleep(timeout).await;
    }
}

/// What remains of a body of which `before` remained; `None` if it is given up now.
fn look(body: &Shared, before: u64) -> Option<u64> {
    let mut body = body.lock();
    let now = body.as_ref()?;
    let remaining = now.remaining_bytes();
    let is_moving = before - remaining >= STALL_MIN_BYTES as u64;
    if is_moving || now.is_waiting() {
        return Some(remaining);
    }
    tracing::debug!(remaining, "a client does not take what it asked for");
    *body = None;
    None
}
