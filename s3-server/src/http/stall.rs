//! A deadline for a peer that must move bytes: it runs only while the server waits for the peer.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use larder_storage::clock::Clock;
use parking_lot::Mutex;

use super::STALL_MIN_BYTES;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Watches one direction of one connection or body.
pub(super) struct StallGuard {
    clock: Arc<dyn Clock>,
    timeout: Duration,
    /// Never locked: the mutex makes the guard `Sync`, which futures that only borrow it need.
    sleep: Mutex<Option<Sleep>>,
    moved_bytes: usize,
    /// For good: the connection is of no more use, and a sleep that is over must not be asked again.
    is_stalled: bool,
}

impl StallGuard {
    pub(super) fn new(clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        Self {
            clock,
            timeout,
            sleep: Mutex::new(None),
            moved_bytes: 0,
            is_stalled: false,
        }
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

    /// Called while waiting for the peer: ready when it has been too slow for too long, and ever after.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_stalled {
            return Poll::Ready(());
        }
        let (clock, timeout) = (&self.clock, self.timeout);
        let sleep = self
            .sleep
            .get_mut()
            .get_or_insert_with(|| sleep(Arc::clone(clock), timeout));
        let stalled = sleep.as_mut().poll(cx);
        self.is_stalled = stalled.is_ready();
        stalled
    }
}

impl std::fmt::Debug for StallGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StallGuard")
            .field("moved_bytes", &self.moved_bytes)
            .finish_non_exhaustive()
    }
}

fn sleep(clock: Arc<dyn Clock>, timeout: Duration) -> Sleep {
    Box::pin(async move { clock.sleep(timeout).await })
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::{super::manual_clock::ManualClock, *};

    const TIMEOUT: Duration = Duration::from_secs(30);
    const ALMOST: Duration = Duration::from_secs(29);
    const REST: Duration = Duration::from_secs(1);

    fn guard() -> (Arc<ManualClock>, StallGuard) {
        let clock = Arc::new(ManualClock::default());
        (Arc::clone(&clock), StallGuard::new(clock, TIMEOUT))
    }

    fn is_stalled(guard: &mut StallGuard) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        guard.poll_stalled(&mut cx).is_ready()
    }

    #[test]
    fn a_peer_that_moves_too_little_for_too_long_is_stalled() {
        let (clock, mut guard) = guard();
        assert!(!is_stalled(&mut guard));
        clock.advance(ALMOST);
        guard.moved(STALL_MIN_BYTES - 1);
        assert!(!is_stalled(&mut guard));
        clock.advance(REST);
        assert!(is_stalled(&mut guard));
        assert!(is_stalled(&mut guard), "whoever asks again gets an answer");
    }

    #[test]
    fn enough_bytes_give_a_peer_its_time_anew() {
        let (clock, mut guard) = guard();
        for _ in 0..3 {
            assert!(!is_stalled(&mut guard));
            clock.advance(ALMOST);
            guard.moved(STALL_MIN_BYTES / 2);
            assert!(!is_stalled(&mut guard));
            guard.moved(STALL_MIN_BYTES / 2);
        }
        assert!(!is_stalled(&mut guard));
        clock.advance(TIMEOUT);
        assert!(is_stalled(&mut guard));
    }

    #[test]
    fn time_counts_only_while_the_server_waits() {
        let (clock, mut guard) = guard();
        assert!(!is_stalled(&mut guard));
        guard.moved(STALL_MIN_BYTES);
        clock.advance(TIMEOUT * 10);
        assert!(!is_stalled(&mut guard));
        guard.stop();
        clock.advance(TIMEOUT * 10);
        assert!(!is_stalled(&mut guard));
    }
}
