//! Every order of pushes, flushes, closing and giving up that the model checker comes to.

use parking_lot::Mutex as Plain;
use shuttle::thread;

use super::*;
use crate::{
    clock::SystemClock,
    disk::{DiskOptions, FrameKind, MemoryVolume, Seq, queue::Owner, volume::ensure_dir},
    rng::SeededRng,
    sync::modelled,
};

/// Orders tried per test.
const RUNS: usize = 3000;
const PUSHERS: u64 = 3;
const FRAMES_EACH: u64 = 2;

/// Segment and offset of a frame that was told to be durable, or the error.
type Told = Vec<Result<(String, usize), DiskError>>;

/// What a run has seen. Its locks are held by no one who waits.
#[derive(Debug, Default)]
struct Seen {
    /// In the order in which they were told.
    told: Plain<Told>,
    /// Frames that were taken.
    taken: Plain<usize>,
}

#[derive(Debug)]
struct Waiter {
    seen: Arc<Seen>,
    volume: MemoryVolume,
    marker: Vec<u8>,
}

impl Completion for Waiter {
    fn complete(&self, _: DiskNo, result: Result<(), DiskError>) {
        let told = result.map(|()| self.durable_place());
        self.seen.told.lock().push(told);
    }
}

impl Waiter {
    /// Where the frame is in what a power cut leaves.
    fn durable_place(&self) -> (String, usize) {
        let left = self.volume.crash(&SeededRng::new(1)).files();
        let find = |bytes: &Vec<u8>| {
            let mut windows = bytes.windows(self.marker.len());
            windows.position(|window| window == self.marker)
        };
        let mut places = left
            .into_iter()
            .filter_map(|(path, bytes)| Some((path, find(&bytes)?)));
        places.next().expect("told before it was durable")
    }
}

struct World {
    volume: MemoryVolume,
    status: Arc<Status>,
    writer: Arc<Writer>,
    seen: Arc<Seen>,
}

impl World {
    fn new() -> Self {
        let volume = MemoryVolume::new("model", 1 << 30);
        ensure_dir(&volume, LOG_DIR).unwrap();
        let shared: Arc<dyn Volume> = Arc::new(volume.clone());
        let owner = Owner {
            cluster: 1,
            number: DiskNo(1),
            disk_id: 9,
        };
        let options = DiskOptions::default();
        let status = Arc::new(Status::new(
            Arc::clone(&shared),
            Arc::new(SystemClock),
            options,
        ));
        let segments = Arc::new(Segments::open(Arc::clone(&shared), &owner).unwrap());
        // So small that frames fall into several segments.
        let queue = Queue::new(owner, 160, 0);
        let writer = Writer::new(DiskNo(1), shared, Arc::clone(&status), segments, queue);
        Self {
            volume,
            status,
            writer: Arc::new(writer),
            seen: Arc::default(),
        }
    }

    fn spawn_writer(&self) -> thread::JoinHandle<()> {
        let writer = Arc::clone(&self.writer);
        thread::spawn(move || writer.run())
    }

    fn spawn_pushers(&self) -> Vec<thread::JoinHandle<()>> {
        let push = |pusher| {
            let (volume, writer, seen) = (
                self.volume.clone(),
                Arc::clone(&self.writer),
                Arc::clone(&self.seen),
            );
            thread::spawn(move || {
                for index in 0..FRAMES_EACH {
                    push(&volume, &writer, &seen, pusher * FRAMES_EACH + index);
                }
            })
        };
        (0..PUSHERS).map(push).collect()
    }

    /// What is true whatever happened: who was taken was told, once, and nobody else.
    fn check_told(&self) -> Told {
        let told = self.seen.told.lock().clone();
        assert_eq!(told.len(), *self.seen.taken.lock(), "told once each");
        assert_eq!(self.writer.pending_bytes(), 0);
        let durable: Vec<_> = told.iter().flatten().collect();
        assert!(
            durable.is_sorted(),
            "order in the log is order of durability"
        );
        told
    }
}

fn push(volume: &MemoryVolume, writer: &Writer, seen: &Arc<Seen>, number: u64) {
    let marker = format!("frame number {number}!").into_bytes();
    let done: Arc<dyn Completion> = Arc::new(Waiter {
        seen: Arc::clone(seen),
        volume: volume.clone(),
        marker: marker.clone(),
    });
    let frame = Frame {
        kind: FrameKind::Commit,
        seq: Seq(number + 1),
        shard_index: 0,
        meta: &marker,
        shard: &[],
    };
    if writer.push(&frame, Some(done)).is_ok() {
        *seen.taken.lock() += 1;
    }
}

fn check(body: impl Fn() + Send + Sync + 'static) {
    modelled(|| shuttle::check_random(body, RUNS));
}

#[test]
fn all_that_was_queued_before_closing_is_durable_and_told_in_order() {
    check(|| {
        let world = World::new();
        let writer = world.spawn_writer();
        for pusher in world.spawn_pushers() {
            pusher.join().unwrap();
        }
        world.writer.close();
        writer.join().unwrap();
        assert!(world.writer.wait_until_ended());
        let told = world.check_told();
        assert_eq!(told.len() as u64, PUSHERS * FRAMES_EACH);
        assert!(told.iter().all(Result::is_ok));
        assert!(world.volume.files().len() > 1, "several segments");
    });
}

#[test]
fn closing_amid_pushes_tells_everyone_who_was_taken() {
    check(|| {
        let world = World::new();
        let writer = world.spawn_writer();
        let pushers = world.spawn_pushers();
        world.writer.close();
        for pusher in pushers {
            pusher.join().unwrap();
        }
        writer.join().unwrap();
        let told = world.check_told();
        assert!(told.iter().all(Result::is_ok));
    });
}

#[test]
fn giving_up_tells_everyone_once_and_nothing_succeeds_after_it() {
    check(|| {
        let world = World::new();
        let writer = world.spawn_writer();
        let pushers = world.spawn_pushers();
        let error = world.status.fail(&DiskError::Failed("it hangs".to_owned()));
        world.writer.give_up(&error);
        assert!(world.writer.is_given_up());
        world.writer.close();
        world.writer.wait_until_ended();
        for pusher in pushers {
            pusher.join().unwrap();
        }
        writer.join().unwrap();
        let told = world.check_told();
        // A failure is for good: no frame is told well after one that was not.
        let first_bad = told.iter().position(Result::is_err);
        let after = told.iter().skip(first_bad.unwrap_or(told.len()));
        assert!(after.clone().all(Result::is_err), "{told:?}");
    });
}

#[test]
fn two_who_flush_do_not_tell_the_same_or_leave_anyone() {
    check(|| {
        let world = World::new();
        let pushers = world.spawn_pushers();
        let flush = || {
            let writer = Arc::clone(&world.writer);
            thread::spawn(move || writer.flush_once())
        };
        let told: usize = [flush(), flush()]
            .into_iter()
            .map(|flusher| flusher.join().unwrap())
            .sum();
        for pusher in pushers {
            pusher.join().unwrap();
        }
        let rest = world.writer.flush_once();
        assert_eq!(told + rest, world.check_told().len());
    });
}
