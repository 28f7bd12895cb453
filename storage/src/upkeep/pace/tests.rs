use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::*;

const UNIT: u64 = 256 << 10;
const MS: Duration = Duration::from_millis(1);

/// A clock on which sleeping moves time, in steps of whole milliseconds as real timers do.
#[derive(Default)]
struct TestClock {
    now: Mutex<Duration>,
    at_next_sleep: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for TestClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TestClock({:?})", self.now)
    }
}

impl TestClock {
    fn advance(&self, by: Duration) {
        *self.now.lock() += by;
    }

    fn at_next_sleep(&self, what: impl FnOnce() + Send + 'static) {
        *self.at_next_sleep.lock() = Some(Box::new(what));
    }
}

impl Clock for TestClock {
    fn unix_millis(&self) -> u64 {
        0
    }

    fn monotonic(&self) -> Duration {
        *self.now.lock()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if let Some(what) = self.at_next_sleep.lock().take() {
            what();
        }
        let millis = duration.as_nanos().div_ceil(MS.as_nanos());
        self.advance(MS * u32::try_from(millis).unwrap());
        Box::pin(std::future::ready(()))
    }
}

struct World {
    clock: Arc<TestClock>,
    load: Arc<ClientLoad>,
    pace: Arc<Pace>,
}

impl World {
    fn new(share_percent: u8, max_bytes_per_second: Option<u64>) -> Self {
        let clock = Arc::new(TestClock::default());
        let load = Arc::new(ClientLoad::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let settings = PaceSettings {
            share_percent,
            max_bytes_per_second,
        };
        let pace = Pace::new(
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(&load),
            settings,
        );
        Self { clock, load, pace }
    }

    /// One unit of work that takes `busy`.
    fn work(&self, busy: Duration) {
        self.clock.advance(busy);
        finish(self.pace.rest(busy, UNIT));
    }

    /// The time that `count` units take.
    fn time_of(&self, count: u32, busy: Duration) -> Duration {
        let start = self.clock.monotonic();
        for _ in 0..count {
            self.work(busy);
        }
        self.clock.monotonic().saturating_sub(start)
    }
}

/// Polls what never waits for anything but the test's clock.
fn finish(future: impl Future<Output = ()>) {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(()));
}

fn is_about(got: Duration, wanted: Duration) -> bool {
    got >= wanted.mul_f64(0.98) && got <= wanted.mul_f64(1.02)
}

#[test]
fn goes_at_full_speed_while_nobody_is_served() {
    let world = World::new(25, None);
    assert_eq!(world.time_of(1000, MS), MS * 1000);
}

#[test]
fn takes_its_share_of_the_time_while_clients_are_served() {
    for share in [1, 10, 25, 50, 100] {
        let world = World::new(share, None);
        let _serving = world.load.serve();
        for busy in [MS / 5, MS, MS * 30] {
            let wanted = busy * 1000 * 100 / u32::from(share);
            let took = world.time_of(1000, busy);
            assert!(is_about(took, wanted), "{share} % of {busy:?}: {took:?}");
        }
    }
}

#[test]
fn workers_share_the_share() {
    let world = World::new(25, None);
    let _serving = world.load.serve();
    let start = world.clock.monotonic();
    for _ in 0..500 {
        // Two units at the same time.
        world.clock.advance(MS * 10);
        finish(world.pace.rest(MS * 10, UNIT));
        finish(world.pace.rest(MS * 10, UNIT));
    }
    let took = world.clock.monotonic().saturating_sub(start);
    assert!(took >= MS * 10 * 1000 * 4 * 9 / 10, "{took:?}");
}

#[test]
fn speeds_up_a_moment_after_the_last_client_was_served() {
    let world = World::new(1, None);
    drop(world.load.serve());
    assert!(world.load.is_active());
    // 1 % of the time: a second of work would be followed by 99 of rest.
    let took = world.time_of(1, Duration::from_secs(1));
    assert_eq!(
        took,
        Duration::from_secs(1),
        "served more than a moment ago"
    );
    drop(world.load.serve());
    let took = world.time_of(1, MS * 100);
    assert!(
        took >= QUIET_AFTER && took <= QUIET_AFTER + LOOK + MS * 10,
        "the rest ends with the moment: {took:?}"
    );
    assert_eq!(world.time_of(100, MS), MS * 100, "nothing is owed any more");
}

#[test]
fn the_byte_rate_holds_whether_clients_are_served_or_not() {
    let world = World::new(50, Some(64 << 20));
    let wanted = Duration::from_secs(1) / 4;
    assert!(is_about(world.time_of(64, MS / 2), wanted), "nobody");
    let _serving = world.load.serve();
    assert!(is_about(world.time_of(64, MS / 2), wanted), "somebody");
    let took = world.time_of(64, MS * 10);
    assert!(
        is_about(took, MS * 10 * 64 * 2),
        "the share is less: {took:?}"
    );
}

#[test]
fn new_settings_end_a_rest() {
    let world = World::new(25, Some(1));
    let pace = Arc::clone(&world.pace);
    world
        .clock
        .at_next_sleep(move || pace.set(PaceSettings::default()));
    // Three days at a byte a second.
    assert!(world.time_of(1, MS) <= MS + LOOK);
    assert_eq!(world.pace.settings(), PaceSettings::default());
}

#[test]
fn a_unit_that_hung_does_not_stop_the_others_for_minutes() {
    let world = World::new(10, None);
    let _serving = world.load.serve();
    let hung = Duration::from_mins(5);
    let took = world.time_of(1, hung);
    assert!(took <= hung + LONGEST_BUSY * 10, "{took:?}");
}

#[test]
fn absurd_settings_do_no_harm() {
    for (share, rate) in [(0, None), (255, Some(u64::MAX)), (0, Some(0))] {
        let settings = PaceSettings {
            share_percent: share,
            max_bytes_per_second: rate,
        };
        assert!(settings.time_for(LONGEST_BUSY) <= LONGEST_BUSY * 100);
        assert!(settings.time_of(u64::MAX) <= Duration::from_nanos(u64::MAX));
    }
}
