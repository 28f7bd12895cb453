use std::time::Duration;

use super::*;
use crate::{
    disk::fault::{Hang, ManualClock},
    meta::view::{MemoryView, switch::SwitchView},
};

const PATIENCE: Duration = Duration::from_secs(2);

/// A view whose calls hang until they are released.
#[derive(Debug)]
struct HangingView(MemoryView, Hang);

impl View for HangingView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        self.1.hold();
        self.0.get(key)
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), ViewError> {
        self.1.hold();
        self.0.scan(from, to, visit)
    }

    fn apply(&self, changes: &[ViewChange]) -> Result<(), ViewError> {
        self.1.hold();
        self.0.apply(changes)
    }

    fn persist(&self) -> Result<(), ViewError> {
        self.1.hold();
        self.0.persist()
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}

struct World {
    clock: Arc<ManualClock>,
    watch: Arc<ViewWatch>,
    hang: Hang,
    switch: Arc<SwitchView>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let watch = ViewWatch::new(Arc::clone(&clock) as _);
        let hang = Hang::default();
        let flight = watch.begin("test".into(), || ());
        let view = HangingView(MemoryView::default(), hang.clone());
        let switch = Arc::new(SwitchView::default());
        switch.replace(Arc::new(WatchedView::new(Arc::new(view), flight)));
        switch.serve();
        Self {
            clock,
            watch,
            hang,
            switch,
        }
    }

    async fn hangs(&self, count: usize) {
        let hang = self.hang.clone();
        let hangs = tokio::task::spawn_blocking(move || hang.wait_for(count));
        hangs.await.unwrap();
    }
}

/// With as many threads as a hanging view may catch, and one more.
#[tokio::test(flavor = "multi_thread", worker_threads = 5)]
async fn readers_of_a_view_that_hangs_are_told_and_the_runtime_goes_on() {
    assert_eq!(READS_IN_PLACE, 4, "this test has one thread more");
    let world = World::new();
    let read = |switch: Arc<SwitchView>| async move { switch.get(b"key").await };
    let reads: Vec<_> = (0..40)
        .map(|_| tokio::spawn(read(Arc::clone(&world.switch))))
        .collect();
    world.hangs(40).await;
    world.clock.advance(PATIENCE);
    world.watch.look_after(PATIENCE);
    world.switch.failed().await;
    let told = || reads.iter().filter(|read| read.is_finished()).count();
    while told() < 40 - READS_IN_PLACE {
        tokio::task::yield_now().await;
    }
    assert!(world.switch.get(b"key").await.is_err());
    let healthy = Arc::new(MemoryView::default());
    world.switch.replace(healthy);
    world.switch.serve();
    world.hang.release();
    for read in reads {
        let late = read.await.unwrap();
        assert!(
            late.is_err(),
            "what a view says after it was given up is not believed"
        );
    }
    assert_eq!(
        world.switch.get(b"key").await.unwrap(),
        None,
        "late errors of the old view do no harm to the new one"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_hangs_holds_up_nobody() {
    let world = World::new();
    let mut turns: Vec<_> = (0..3)
        .map(|_| world.switch.in_turn(|view| view.apply(&[])))
        .collect();
    world.hangs(1).await;
    world.clock.advance(PATIENCE);
    world.watch.look_after(PATIENCE);
    for turn in &mut turns {
        assert!(world.switch.outcome(turn).await.is_err());
    }
    world.hang.release();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_in_turn_is_done_in_order_and_survives_a_dropped_waiter() {
    let world = World::new();
    world.hang.release();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut turns: Vec<_> = (0..100)
        .map(|number| {
            let order = Arc::clone(&order);
            world.switch.in_turn(move |view| {
                view.apply(&[])?;
                order.lock().push(number);
                Ok(())
            })
        })
        .collect();
    for turn in &mut turns {
        // Dropped at once: the outcome is still there for who asks again.
        drop(world.switch.outcome(turn));
        world.switch.outcome(turn).await.unwrap();
    }
    assert_eq!(*order.lock(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upkeep_never_reads_on_a_thread_of_the_runtime() {
    let world = World::new();
    world.hang.release();
    let view = world.switch.current().unwrap();
    let flight = view.flight().unwrap();
    assert!(flight.in_place().is_some());
    let place = in_background(async { flight.in_place().is_some() }).await;
    assert!(!place);
    assert!(flight.in_place().is_some(), "refusals are not counted");
    let all: Vec<_> = (0..READS_IN_PLACE).map(|_| flight.in_place()).collect();
    assert!(all.iter().all(Option::is_some));
    assert!(flight.in_place().is_none(), "one too many");
    drop(all);
    assert!(flight.in_place().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_may_take_longer_than_a_read() {
    let world = World::new();
    let sync = tokio::spawn({
        let switch = Arc::clone(&world.switch);
        async move { switch.off_thread(|view| view.persist()).await }
    });
    world.hangs(1).await;
    world.clock.advance(PATIENCE);
    world.watch.look_after(PATIENCE);
    let view = world.switch.current().unwrap();
    assert!(
        view.flight().unwrap().in_place().is_some(),
        "and is no reason to read elsewhere"
    );
    world.clock.advance(PATIENCE * (LONG_CALLS - 1));
    world.watch.look_after(PATIENCE);
    assert!(sync.await.unwrap().is_err());
    world.hang.release();
}

#[test]
fn loading_counts_as_answering_while_entries_are_taken() {
    let world = World::new();
    world.hang.release();
    let view = world.switch.current().unwrap();
    let (clock, watch) = (Arc::clone(&world.clock), Arc::clone(&world.watch));
    let entries = (0..5000_u32).map(move |number| {
        clock.advance(Duration::from_millis(5));
        watch.look_after(PATIENCE);
        let key = Bytes::copy_from_slice(&number.to_be_bytes());
        Ok((key.clone(), key))
    });
    let mut entries = entries;
    view.load(&mut entries).unwrap();
    assert_eq!(world.watch.losses(), 0);
    let clock = Arc::clone(&world.clock);
    let watch = Arc::clone(&world.watch);
    let mut stalled = (0..5000_u32).map(move |number| {
        clock.advance(Duration::from_millis(500));
        watch.look_after(PATIENCE);
        let key = Bytes::copy_from_slice(&(number + 5000).to_be_bytes());
        Ok((key.clone(), key))
    });
    assert!(view.load(&mut stalled).is_err());
    assert_eq!(world.watch.losses(), 1);
}
