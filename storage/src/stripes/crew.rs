//! Work on disks that may hang: nobody waits for a disk that was given up, and what hangs is bounded.
//!
//! A thread in a system call of a disk that does not answer can't be ended. So whoever waits for work on disks waits for the work or
//! for the news that its disk is out ([`Pool::look_after`] brings it), whichever comes first; the thread is left to itself.
//!
//! Invariants:
//! - At most [`JOBS_PER_DISK`] jobs of [`Pool::on_disks`] and [`READS`] reads that are still waited for are under way: threads
//!   that hang are at most so many per disk, and a disk that is out gets no new ones.
//! - Nothing here is held across an await but permits.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::Pool;
use crate::disk::{DiskNo, Health};

/// Jobs of one disk at a time.
const JOBS_PER_DISK: usize = 64;
/// Steps of readers that wait for devices at a time.
const READS: usize = 128;
/// A disk with an operation older than this is silent: readers go round it, if enough others are not.
const SILENT_AFTER: Duration = Duration::from_secs(1);

/// Something that may block, on one disk.
pub(crate) type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// What the pool knows of one disk's answering.
#[derive(Debug)]
pub(super) struct Post {
    permits: Arc<Semaphore>,
    silent: AtomicBool,
}

impl Default for Post {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(JOBS_PER_DISK)),
            silent: AtomicBool::new(false),
        }
    }
}

#[cfg(test)]
impl Post {
    pub(super) fn be_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }
}

/// What is shared by the work on all disks.
#[derive(Debug)]
pub(super) struct Crew {
    reads: Arc<Semaphore>,
    /// Notified when a disk turns silent, is given up, or leaves.
    news: Notify,
}

impl Crew {
    pub(super) fn new() -> Self {
        Self {
            reads: Arc::new(Semaphore::new(READS)),
            news: Notify::new(),
        }
    }
}

/// How a disk answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answering {
    Promptly,
    /// Something on it takes long.
    Slowly,
    /// It is out, or not here.
    Never,
}

/// Jobs and what came of them.
struct Batch<T> {
    state: Mutex<BatchState<T>>,
    settled: Notify,
}

struct BatchState<T> {
    waiting: VecDeque<(usize, Job<T>)>,
    slots: Vec<Slot<T>>,
}

enum Slot<T> {
    Waiting,
    Running,
    Done(T),
    /// Its disk was given up, or it panicked.
    Lost,
}

/// A job under way; dropped without a result (a panic) it is lost.
struct Running<'a, T> {
    batch: &'a Batch<T>,
    index: usize,
    result: Option<T>,
}

impl<T> Batch<T> {
    fn claim(&self) -> Option<(usize, Job<T>)> {
        let mut state = self.state.lock();
        let (index, job) = state.waiting.pop_front()?;
        state.slots[index] = Slot::Running;
        Some((index, job))
    }

    fn work(&self) {
        while let Some((index, job)) = self.claim() {
            let mut running = Running {
                batch: self,
                index,
                result: None,
            };
            running.result = Some(job());
        }
    }

    /// Gives up what is of the disks that are out. True if a thread hangs in one of them.
    fn abandon(&self, is_out: impl Fn(usize) -> bool) -> bool {
        let mut state = self.state.lock();
        let mut hangs = false;
        for (index, slot) in state.slots.iter_mut().enumerate() {
            if matches!(slot, Slot::Waiting | Slot::Running) && is_out(index) {
                hangs |= matches!(slot, Slot::Running);
                *slot = Slot::Lost;
            }
        }
        state.waiting.retain(|(index, _)| !is_out(*index));
        hangs && !state.waiting.is_empty()
    }

    /// The results, once nothing is open any more.
    fn results(&self) -> Option<Vec<Option<T>>> {
        let mut state = self.state.lock();
        let open = |slot: &Slot<T>| matches!(slot, Slot::Waiting | Slot::Running);
        if state.slots.iter().any(open) {
            return None;
        }
        let result = |slot| match slot {
            Slot::Done(result) => Some(result),
            _ => None,
        };
        Some(state.slots.drain(..).map(result).collect())
    }
}

impl<T> Drop for Running<'_, T> {
    fn drop(&mut self) {
        let mut state = self.batch.state.lock();
        // Late, it may find that nobody waits: then what it brings is dropped, outside the lock.
        let result = self.result.take();
        let late = match state.slots.get_mut(self.index) {
            Some(slot @ Slot::Running) => {
                *slot = result.map_or(Slot::Lost, Slot::Done);
                None
            }
            _ => result,
        };
        drop(state);
        drop(late);
        self.batch.settled.notify_one();
    }
}

impl Pool {
    /// Looks whether the disks answer. A disk with an operation that takes longer than `patience` is given up; who waits for it
    /// is told. Cheap; to be called a few times per `patience`.
    pub fn look_after(&self, patience: Duration) {
        let mut news = false;
        for (disk, post) in self.disks().posts() {
            let Ok(disk) = &disk.disk else { continue };
            let age = disk.stalled_for();
            if age.is_some_and(|age| age >= patience) {
                disk.give_up(&format!("no answer for {patience:?}"));
                news = true;
            }
            let silent = age.is_some_and(|age| age >= SILENT_AFTER);
            news |= post.silent.swap(silent, Ordering::Relaxed) != silent && silent;
        }
        if news {
            self.tell_news();
        }
    }

    /// Has everybody who waits look again which disks are there and well.
    pub(super) fn tell_news(&self) {
        self.crew.news.notify_waiters();
    }

    pub(super) fn answering(&self, disk: DiskNo) -> Answering {
        let disks = self.disks();
        let Some((entry, post)) = disks.post(disk) else {
            return Answering::Never;
        };
        match entry.disk.as_ref().map(|disk| disk.health()) {
            Err(_) | Ok(Health::Failed(_)) => Answering::Never,
            Ok(_) if post.silent.load(Ordering::Relaxed) => Answering::Slowly,
            Ok(_) => Answering::Promptly,
        }
    }

    /// Resolves when a disk turns silent, is given up, or leaves. To be enabled before the state is looked at.
    pub(crate) fn news(&self) -> tokio::sync::futures::Notified<'_> {
        self.crew.news.notified()
    }

    /// Whether something on this disk takes long.
    pub(crate) fn is_silent(&self, disk: DiskNo) -> bool {
        self.answering(disk) == Answering::Slowly
    }

    fn is_out(&self, number: DiskNo) -> bool {
        self.answering(number) == Answering::Never
    }

    /// Runs jobs, each on its disk, in order and on `threads` threads. What each returned; `None` where its disk is out, or was
    /// given up while the job ran: that job may still end, and what it returns is dropped.
    pub(crate) async fn on_disks<T: Send + 'static>(
        &self,
        threads: usize,
        jobs: Vec<(DiskNo, Job<T>)>,
    ) -> Vec<Option<T>> {
        if !self.has_blocking_threads() {
            return jobs.into_iter().map(|(_, job)| Some(job())).collect();
        }
        let disks: Vec<DiskNo> = jobs.iter().map(|(disk, _)| *disk).collect();
        let batch = Arc::new(Batch {
            state: Mutex::new(BatchState {
                slots: jobs.iter().map(|_| Slot::Waiting).collect(),
                waiting: self.permitted(jobs).await,
            }),
            settled: Notify::new(),
        });
        for _ in 0..threads.min(disks.len()) {
            put_to_work(&batch);
        }
        loop {
            let news = self.crew.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if batch.abandon(|index| self.is_out(disks[index])) {
                put_to_work(&batch);
            }
            if let Some(results) = batch.results() {
                return results;
            }
            tokio::select! {
                () = batch.settled.notified() => {}
                () = news => {}
            }
        }
    }

    /// The jobs with a permit each, without those whose disk is out.
    async fn permitted<T: Send + 'static>(
        &self,
        jobs: Vec<(DiskNo, Job<T>)>,
    ) -> VecDeque<(usize, Job<T>)> {
        // In order of disk: two batches that wait for each other's disks would wait for ever.
        let mut jobs: Vec<_> = jobs.into_iter().enumerate().collect();
        jobs.sort_by_key(|(_, (disk, _))| *disk);
        let mut permitted = Vec::with_capacity(jobs.len());
        for (index, (disk, job)) in jobs {
            let Some(permit) = self.permit(disk).await else {
                continue;
            };
            let job: Job<T> = Box::new(move || {
                let _permit = permit;
                job()
            });
            permitted.push((index, job));
        }
        permitted.sort_by_key(|(index, _)| *index);
        permitted.into()
    }

    async fn permit(&self, disk: DiskNo) -> Option<OwnedSemaphorePermit> {
        let permits = Arc::clone(&self.disks().post(disk)?.1.permits);
        loop {
            let news = self.crew.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if self.is_out(disk) {
                return None;
            }
            tokio::select! {
                biased;
                permit = Arc::clone(&permits).acquire_owned() => return permit.ok(),
                () = news => {}
            }
        }
    }

    /// Runs a read where it may wait for devices. `None`: a disk went silent or out meanwhile that `concerned` has used; the read
    /// is left to itself, and is to be begun anew round that disk.
    pub(super) async fn read_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        is_concerned: impl Fn() -> bool,
    ) -> Option<T> {
        if !self.has_blocking_threads() {
            return Some(work());
        }
        let permit = Arc::clone(&self.crew.reads).acquire_owned().await.ok();
        let permit = Arc::new(Mutex::new(permit));
        let held = Arc::clone(&permit);
        let work = self.blocking(move || {
            let result = work();
            held.lock().take();
            result
        });
        tokio::pin!(work);
        loop {
            let news = self.crew.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            tokio::select! {
                biased;
                result = &mut work => return Some(result),
                () = news => {}
            }
            if is_concerned() {
                permit.lock().take();
                return None;
            }
        }
    }
}

fn put_to_work<T: Send + 'static>(batch: &Arc<Batch<T>>) {
    let batch = Arc::clone(batch);
    tokio::task::spawn_blocking(move || batch.work());
}
