//! Tasks whose next one to run is drawn, not the first in a queue: each order of their steps is a run of its own.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use larder_storage::rng::Rng;

/// A set of tasks, polled one at a time.
#[derive(Default)]
pub struct Tasks<'a> {
    tasks: Vec<Task<'a>>,
}

struct Task<'a> {
    name: &'static str,
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    woken: Arc<Flag>,
    waker: Waker,
}

#[derive(Debug)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Tasks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.tasks.iter().map(|task| task.name))
            .finish()
    }
}

impl<'a> Tasks<'a> {
    /// Adds a task, ready to run.
    pub fn add(&mut self, name: &'static str, future: impl Future<Output = ()> + 'a) {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        self.tasks.push(Task {
            name,
            future: Box::pin(future),
            woken,
            waker,
        });
    }

    /// How many are not done, of this name.
    pub fn count(&self, name: &str) -> usize {
        self.tasks.iter().filter(|task| task.name == name).count()
    }

    /// Whether all are done.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Polls one of those that can go on, drawn by `rng`; false where all wait for something.
    pub fn step(&mut self, rng: &dyn Rng) -> bool {
        let is_woken = |task: &Task<'_>| task.woken.0.load(Ordering::Relaxed);
        let ready: Vec<usize> = (0..self.tasks.len())
            .filter(|at| is_woken(&self.tasks[*at]))
            .collect();
        if ready.is_empty() {
            return false;
        }
        let at = ready[draw(rng, ready.len())];
        let task = &mut self.tasks[at];
        task.woken.0.store(false, Ordering::Relaxed);
        let mut context = Context::from_waker(&task.waker);
        if let Poll::Ready(()) = task.future.as_mut().poll(&mut context) {
            self.tasks.remove(at);
        }
        true
    }
}

/// Lets others go on first.
pub async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A number below `limit`, which is not 0.
pub fn draw(rng: &dyn Rng, limit: usize) -> usize {
    usize::try_from(rng.next_u64() % limit.max(1) as u64).unwrap_or(0)
}

/// True in `percent` of 100 draws.
pub fn chance(rng: &dyn Rng, percent: u64) -> bool {
    rng.next_u64() % 100 < percent
}
