//! Time that only the simulation moves.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use larder_storage::clock::Clock;
use parking_lot::Mutex;

/// 2026-01-01, so that times look like times.
const START_UNIX_MILLIS: u64 = 1_767_225_600_000;

/// A clock that stands still until [`SimClock::advance`].
#[derive(Clone, Debug, Default)]
pub struct SimClock(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    now: Duration,
    sleepers: Vec<(Duration, Waker)>,
}

impl SimClock {
    /// Moves time on and wakes who slept until then.
    pub fn advance(&self, by: Duration) {
        let mut state = self.0.lock();
        state.now += by;
        let now = state.now;
        let (due, rest) = std::mem::take(&mut state.sleepers)
            .into_iter()
            .partition::<Vec<_>, _>(|(until, _)| *until <= now);
        state.sleepers = rest;
        drop(state);
        for (_, waker) in due {
            waker.wake();
        }
    }
}

impl Clock for SimClock {
    fn unix_millis(&self) -> u64 {
        let millis = self.0.lock().now.as_millis();
        START_UNIX_MILLIS + u64::try_from(millis).unwrap_or(u64::MAX - START_UNIX_MILLIS)
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().now
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let until = self.monotonic() + duration;
        Box::pin(Sleep { clock: self, until })
    }
}

struct Sleep<'c> {
    clock: &'c SimClock,
    until: Duration,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.0.lock();
        if state.now >= self.until {
            return Poll::Ready(());
        }
        state.sleepers.push((self.until, context.waker().clone()));
        Poll::Pending
    }
}
