//! A clock that stands still until a test moves it, so that deadlines are tested without waiting for them.

use std::{future::Future, pin::Pin, time::Duration};

use larder_storage::clock::Clock;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

#[derive(Debug, Default)]
pub(super) struct ManualClock {
    state: Mutex<State>,
    slept: Notify,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl ManualClock {
    /// Moves time on and wakes whose time has come.
    pub(super) fn advance(&self, by: Duration) {
        let mut state = self.state.lock();
        state.now += by;
        let now = state.now;
        state.sleepers.retain(|(until, _)| *until > now);
    }

    /// Whether anybody waits for time to pass.
    fn has_sleeper(&self) -> bool {
        let state = self.state.lock();
        state
            .sleepers
            .iter()
            .any(|(_, sleeper)| !sleeper.is_closed())
    }

    /// Returns once somebody waits for time to pass.
    pub(super) async fn sleeper(&self) {
        loop {
            let slept = self.slept.notified();
            if self.has_sleeper() {
                return;
            }
            slept.await;
        }
    }
}

impl Clock for ManualClock {
    fn unix_millis(&self) -> u64 {
        u64::try_from(self.monotonic().as_millis()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().now
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let (wake, woken) = oneshot::channel();
        let mut state = self.state.lock();
        let until = state.now + duration;
        state.sleepers.push((until, wake));
        self.slept.notify_waiters();
        Box::pin(async move { drop(woken.await) })
    }
}
