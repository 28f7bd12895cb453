//! One worker thread that hashes many bodies at once in the lanes of a vector register.
//!
//! Bodies hand their pieces in as [`Bytes`], which are not copied. A body's pieces wait until the
//! worker takes the body, and the worker takes up to [`MAX_LANES`] of them together. To fill its
//! lanes it starts only when every open body has something (at once, when there is only one), or
//! when some body is *urgent*: half of its window is full, or it is at its end.
//!
//! Invariants:
//! - A body holds at most [`WINDOW_BYTES`] plus one piece; whoever hands in more waits.
//! - Whoever waits is urgent, and the worker never sleeps while someone is: no deadlock, however
//!   slowly other bodies come in.
//! - A body is in the ready queue or with the worker at most once, so that its pieces are hashed
//!   in order.
//! - Small bodies never reach the worker: up to [`INLINE_BYTES`] are hashed where they are.
//!
//! Lock order: a body's lock, then the queue's.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf as _, Bytes};
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::md5::Md5;
use super::md5_kernel::{self, BLOCK_BYTES, Level, MAX_LANES};

/// How many bytes of a body may wait for the worker.
const WINDOW_BYTES: usize = 512 * 1024;

/// From how many waiting bytes on a body is urgent: half, so that the other half can fill while
/// the worker is busy with the first.
const URGENT_BYTES: usize = WINDOW_BYTES / 2;

/// Up to how many bytes a body is hashed by its own task: waking the worker costs as much as
/// hashing a few kilobytes.
const INLINE_BYTES: usize = 32 * 1024;

/// Most blocks between two looks at the queue: 32 KiB, about 35 microseconds.
const MAX_ROUND_BLOCKS: usize = 512;

/// The service: share it, and hash each body with a [`Md5Stream`].
///
/// The worker ends when the last clone and the last stream are gone.
#[derive(Clone, Debug)]
pub struct Md5Lanes(Arc<Handle>);

#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.queue.lock().closed = true;
        self.0.wake.notify_all();
    }
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    level: Level,
    all_bytes: AtomicU64,
    parallel_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    /// Bodies that have pieces and are not with the worker.
    ready: VecDeque<Arc<Body>>,
    /// How many of them are urgent.
    urgent: usize,
    /// Bodies that have ever handed in a piece and are not finished.
    open: usize,
    closed: bool,
}

impl Queue {
    fn should_start(&self) -> bool {
        self.urgent > 0 || (!self.ready.is_empty() && self.ready.len() >= self.open.min(MAX_LANES))
    }
}

#[derive(Debug, Default)]
struct Body {
    inner: Mutex<Inner>,
    progress: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// `None` while the worker has it.
    md5: Option<Md5>,
    pieces: VecDeque<Bytes>,
    /// Of the pieces here, not of those that the worker has.
    waiting_bytes: usize,
    is_queued: bool,
    is_urgent: bool,
    is_ending: bool,
}

impl Md5Lanes {
    /// Starts the worker on the fastest level of this machine.
    ///
    /// # Errors
    /// If the thread can't be started.
    pub fn new() -> io::Result<Self> {
        Self::with_level(Level::best())
    }

    /// Starts the worker on a given level; for tests and measurements.
    ///
    /// # Errors
    /// If the thread can't be started.
    pub fn with_level(level: Level) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            level,
            all_bytes: AtomicU64::new(0),
            parallel_bytes: AtomicU64::new(0),
        });
        let worker = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("md5".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// Bytes that the worker has hashed, and how many of them while it had more than one body.
    pub fn hashed_bytes(&self) -> (u64, u64) {
        let shared = &self.0.0;
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (load(&shared.all_bytes), load(&shared.parallel_bytes))
    }
}

/// The MD5 of one body.
#[derive(Debug)]
pub struct Md5Stream {
    lanes: Md5Lanes,
    /// The hasher, until the body is handed to the worker.
    local: Option<Md5>,
    local_bytes: usize,
    body: Arc<Body>,
}

impl Md5Stream {
    /// A stream that has seen nothing.
    pub fn new(lanes: &Md5Lanes) -> Self {
        let local = Some(Md5::with_level(lanes.0.0.level));
        Self {
            lanes: lanes.clone(),
            local,
            local_bytes: 0,
            body: Arc::default(),
        }
    }

    /// Adds bytes. Returns when they are hashed or queued; waits while the window is full.
    ///
    /// # Cancel safety
    /// None: a call that is dropped may have lost its bytes; drop the stream then.
    pub async fn update(&mut self, data: Bytes) {
        if data.is_empty() || self.hash_inline(&data) {
            return;
        }
        while !self.has_room() {
            self.body.progress.notified().await;
        }
        self.hand_in(data);
    }

    /// The digest of all bytes added.
    ///
    /// # Cancel safety
    /// Dropping the call drops the stream.
    pub async fn finish(self) -> [u8; 16] {
        if let Some(md5) = &self.local {
            return md5.clone().finish();
        }
        self.push_end();
        loop {
            if let Some(md5) = self.take_finished() {
                return md5.finish();
            }
            self.body.progress.notified().await;
        }
    }

    fn hash_inline(&mut self, data: &Bytes) -> bool {
        let Some(md5) = &mut self.local else {
            return false;
        };
        if self.local_bytes + data.len() > INLINE_BYTES {
            return false;
        }
        self.local_bytes += data.len();
        md5.update(data);
        true
    }

    fn has_room(&self) -> bool {
        self.body.inner.lock().waiting_bytes < WINDOW_BYTES
    }

    fn hand_in(&mut self, data: Bytes) {
        let shared = &self.lanes.0.0;
        if let Some(md5) = self.local.take() {
            self.body.inner.lock().md5 = Some(md5);
            shared.queue.lock().open += 1;
        }
        let mut inner = self.body.inner.lock();
        inner.waiting_bytes += data.len();
        inner.pieces.push_back(data);
        shared.enqueue(&self.body, &mut inner);
    }

    fn push_end(&self) {
        let mut inner = self.body.inner.lock();
        inner.is_ending = true;
        self.lanes.0.0.enqueue(&self.body, &mut inner);
    }

    fn take_finished(&self) -> Option<Md5> {
        let mut inner = self.body.inner.lock();
        if inner.pieces.is_empty() {
            inner.md5.take()
        } else {
            None
        }
    }
}

impl Drop for Md5Stream {
    /// Gives up what waits, and no longer makes the worker wait for this body.
    fn drop(&mut self) {
        if self.local.is_some() {
            return;
        }
        let mut inner = self.body.inner.lock();
        inner.pieces.clear();
        inner.waiting_bytes = 0;
        let mut queue = self.lanes.0.0.queue.lock();
        queue.open -= 1;
        // Fewer open bodies: the others may now be all there are.
        if queue.should_start() {
            self.lanes.0.0.wake.notify_one();
        }
    }
}

/// A body in the worker's hands.
struct Job {
    body: Arc<Body>,
    md5: Md5,
    pieces: VecDeque<Bytes>,
}

impl Job {
    /// Works odd bytes in through the tail, until whole blocks are at the front. False at the end.
    fn settle(&mut self) -> bool {
        while let Some(piece) = self.pieces.front_mut() {
            piece.advance(self.md5.fill_tail(piece));
            if piece.len() >= BLOCK_BYTES {
                return true;
            }
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        false
    }

    /// The whole blocks at the front.
    fn front(&self) -> &[u8] {
        let piece = self.pieces.front().map_or(&[][..], |piece| piece);
        &piece[..piece.len() - piece.len() % BLOCK_BYTES]
    }

    fn advance(&mut self, blocks: usize) {
        self.md5.count_blocks(blocks);
        if let Some(piece) = self.pieces.front_mut() {
            piece.advance(blocks * BLOCK_BYTES);
        }
    }
}

impl Shared {
    /// Puts a body that has pieces into the ready queue, and wakes the worker if it should start.
    fn enqueue(&self, body: &Arc<Body>, inner: &mut Inner) {
        if inner.pieces.is_empty() {
            return;
        }
        let is_urgent = inner.is_ending || inner.waiting_bytes >= URGENT_BYTES;
        let is_with_worker = inner.md5.is_none();
        if is_with_worker || (inner.is_queued && (inner.is_urgent || !is_urgent)) {
            return;
        }
        let mut queue = self.queue.lock();
        if !inner.is_queued {
            inner.is_queued = true;
            queue.ready.push_back(Arc::clone(body));
        }
        if is_urgent {
            inner.is_urgent = true;
            queue.urgent += 1;
        }
        if queue.should_start() {
            self.wake.notify_one();
        }
    }

    fn run(&self) {
        let mut jobs: Vec<Job> = Vec::with_capacity(MAX_LANES);
        while self.fill(&mut jobs) {
            self.round(&mut jobs);
        }
    }

    /// Fills free lanes from the queue; waits while there is nothing to do. False at the end.
    fn fill(&self, jobs: &mut Vec<Job>) -> bool {
        let mut bodies = Vec::new();
        {
            let mut queue = self.queue.lock();
            while jobs.is_empty() && !queue.should_start() {
                if queue.closed {
                    return false;
                }
                self.wake.wait(&mut queue);
            }
            let free = MAX_LANES - jobs.len();
            let take = queue.ready.len().min(free);
            bodies.extend(queue.ready.drain(..take));
        }
        jobs.extend(bodies.into_iter().filter_map(|body| self.take(body)));
        true
    }

    fn take(&self, body: Arc<Body>) -> Option<Job> {
        let mut inner = body.inner.lock();
        inner.is_queued = false;
        if std::mem::take(&mut inner.is_urgent) {
            self.queue.lock().urgent -= 1;
        }
        let md5 = inner.md5.take()?;
        let pieces = std::mem::take(&mut inner.pieces);
        inner.waiting_bytes = 0;
        drop(inner);
        // The window is empty again: its owner can fill it while these pieces are hashed.
        body.progress.notify_one();
        Some(Job { body, md5, pieces })
    }

    /// Gives back the jobs that are done, and hashes as many blocks as each of the others has.
    fn round(&self, jobs: &mut Vec<Job>) {
        let mut at = 0;
        while at < jobs.len() {
            if jobs[at].settle() {
                at += 1;
            } else {
                self.give_back(jobs.swap_remove(at));
            }
        }
        let (lanes, mut states) = (jobs.len(), [[0; 4]; MAX_LANES]);
        let mut data: [&[u8]; MAX_LANES] = [&[]; MAX_LANES];
        for (lane, job) in jobs.iter().enumerate() {
            states[lane] = job.md5.state;
            data[lane] = job.front();
        }
        let shortest = data[..lanes]
            .iter()
            .map(|d| d.len() / BLOCK_BYTES)
            .min()
            .unwrap_or(0);
        let blocks = shortest.min(MAX_ROUND_BLOCKS);
        md5_kernel::many(self.level, &mut states[..lanes], &data[..lanes], blocks);
        for (job, state) in jobs.iter_mut().zip(states) {
            job.md5.state = state;
            job.advance(blocks);
        }
        self.count(lanes, blocks);
    }

    fn count(&self, lanes: usize, blocks: usize) {
        let bytes = (lanes * blocks * BLOCK_BYTES) as u64;
        self.all_bytes.fetch_add(bytes, Ordering::Relaxed);
        if lanes > 1 {
            self.parallel_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn give_back(&self, job: Job) {
        let mut inner = job.body.inner.lock();
        inner.md5 = Some(job.md5);
        self.enqueue(&job.body, &mut inner);
        drop(inner);
        job.body.progress.notify_one();
    }
}

#[cfg(test)]
mod tests;
