//! Group commit: what waits goes out with one write per segment and one sync, then all who wait are told.
//!
//! Invariants:
//! - One writer at a time ([`Writer::flush_once`] holds the writer's lock throughout).
//! - A completion is told `Ok` only after its frame, its segment's header and its segment's name are synced.
//! - After the first failure nothing is written any more, and all that waits is told `Err`.
//! - Whoever waits is told by whoever takes the completion out of the queue's lock: the writer, or [`Writer::give_up`]. Never both.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    Address, Completion, DiskError, DiskNo, Frame,
    queue::{Batch, Queue, Run, WriterState, tell_all},
    segment::{LOG_DIR, segment_path},
    segments::Segments,
    status::Status,
    volume::{Volume, VolumeFile},
};
use crate::{
    mutation::{self, Mutation},
    sync::{Condvar, Mutex},
};

/// The queue and what empties it.
#[derive(Debug)]
pub(super) struct Writer {
    number: DiskNo,
    volume: Arc<dyn Volume>,
    status: Arc<Status>,
    segments: Arc<Segments>,
    queue: Mutex<Queue>,
    wake: Condvar,
    ended: Condvar,
    /// Bytes queued or being written.
    pending_bytes: AtomicU64,
    work: Mutex<Work>,
}

/// Says that the writer has ended, also by a panic.
struct Ended<'a>(&'a Writer);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().writer = WriterState::Ended;
        self.0.ended.notify_all();
    }
}

/// What only the writer touches.
#[derive(Debug, Default)]
struct Work {
    /// Swapped with the queue's batch.
    spare: Batch,
    /// The segment that is being written.
    current: Option<(u32, Arc<dyn VolumeFile>)>,
}

impl Writer {
    pub(super) fn new(
        number: DiskNo,
        volume: Arc<dyn Volume>,
        status: Arc<Status>,
        segments: Arc<Segments>,
        queue: Queue,
    ) -> Self {
        Self {
            number,
            volume,
            status,
            segments,
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            ended: Condvar::new(),
            pending_bytes: AtomicU64::new(0),
            work: Mutex::default(),
        }
    }

    pub(super) fn pending_bytes(&self) -> u64 {
        self.pending_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn place(&self, bytes: u32, seq: super::Seq) -> Result<Address, DiskError> {
        let mut queue = self.queue.lock();
        queue.accepts()?;
        queue.place(bytes, seq)
    }

    pub(super) fn push(
        &self,
        frame: &Frame<'_>,
        done: Option<Arc<dyn Completion>>,
    ) -> Result<Address, DiskError> {
        let mut queue = self.queue.lock();
        queue.accepts()?;
        let (address, size) = queue.push(frame)?;
        queue.batch.completions.extend(done);
        self.pending_bytes
            .fetch_add(u64::from(size), Ordering::Relaxed);
        if std::mem::take(&mut queue.writer_idle) {
            self.wake.notify_one();
        }
        Ok(address)
    }

    /// Writes until told to close. The body of the writer thread.
    pub(super) fn run(&self) {
        let _ended = Ended(self);
        while self.wait_for_work() {
            self.flush_once();
        }
    }

    /// Waits until the writer has ended; false if it hangs and is not waited for.
    pub(super) fn wait_until_ended(&self) -> bool {
        let mut queue = self.queue.lock();
        while queue.writer == WriterState::Working {
            self.ended.wait(&mut queue);
        }
        queue.writer == WriterState::Ended
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.queue.lock().writer == WriterState::GivenUp
    }

    /// The highest number that a segment ever had.
    pub(super) fn last_segment(&self) -> u32 {
        self.queue.lock().last_segment()
    }

    /// The next segment has a higher number.
    pub(super) fn skip_segments(&self, up_to: u32) {
        self.queue.lock().skip_segments(up_to);
    }

    /// Tells all who wait that the disk is out, though a batch may be under way; nothing more is queued or written.
    pub(super) fn give_up(&self, error: &DiskError) {
        let mut queue = self.queue.lock();
        queue.failure.get_or_insert_with(|| error.clone());
        if queue.writer == WriterState::Working {
            queue.writer = WriterState::GivenUp;
        }
        let mut waiting = std::mem::take(&mut queue.writing);
        let mut batch = std::mem::take(&mut queue.batch);
        self.ended.notify_all();
        drop(queue);
        waiting.append(&mut batch.completions);
        self.pending_bytes
            .fetch_sub(batch.frame_bytes(), Ordering::Relaxed);
        tell_all(&mut waiting, self.number, &Err(error.clone()));
    }

    /// Tells the writer to stop once the queue is empty.
    pub(super) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closing = true;
        self.wake.notify_all();
    }

    /// Writes and syncs all that is queued now, and tells those who wait. Returns how many frames' waiters were told.
    pub(super) fn flush_once(&self) -> usize {
        let mut work = self.work.lock();
        let Work { spare, current } = &mut *work;
        let told = self.take_batch(spare);
        if !spare.is_empty() {
            let result = self
                .status
                .check()
                .and_then(|()| self.write(spare, current));
            let result = result.map_err(|error| self.fail(&error));
            self.finish(spare, &result);
        }
        told
    }

    /// Whether there is something to write; false when there never will be again.
    fn wait_for_work(&self) -> bool {
        let mut queue = self.queue.lock();
        while queue.batch.is_empty() {
            if queue.closing {
                return false;
            }
            queue.writer_idle = true;
            self.wake.wait(&mut queue);
        }
        queue.writer_idle = false;
        true
    }

    fn fail(&self, error: &DiskError) -> DiskError {
        let error = self.status.fail(error);
        // What was queued meanwhile is told by the next flush, for which the status check fails.
        self.queue.lock().failure = Some(error.clone());
        error
    }

    /// Swaps the queue's batch with an empty one; who waits for it stays in the queue. Returns how many they are.
    fn take_batch(&self, spare: &mut Batch) -> usize {
        let mut queue = self.queue.lock();
        let Queue { batch, writing, .. } = &mut *queue;
        std::mem::swap(spare, batch);
        std::mem::swap(&mut spare.completions, writing);
        writing.len()
    }

    fn finish(&self, batch: &mut Batch, result: &Result<(), DiskError>) {
        std::mem::swap(&mut batch.completions, &mut self.queue.lock().writing);
        let bytes = batch.bytes.len() as u64;
        let frames = batch.frame_bytes();
        self.pending_bytes.fetch_sub(frames, Ordering::Relaxed);
        batch.complete(self.number, result);
        self.status.wrote(bytes);
    }

    fn write(
        &self,
        batch: &Batch,
        current: &mut Option<(u32, Arc<dyn VolumeFile>)>,
    ) -> Result<(), DiskError> {
        let mut names_changed = false;
        for run in &batch.runs {
            let file = self.file_for(run, current)?;
            let bytes = batch.bytes.get(run.bytes.clone()).unwrap_or_default();
            file.write_at(bytes, u64::from(run.offset))?;
            // A sealed segment is durable before the next one gets its first byte.
            if !mutation::is_active(Mutation::SkipLogSync) {
                file.sync_data()?;
            }
            names_changed |= run.offset == 0;
        }
        if names_changed && !mutation::is_active(Mutation::SkipSegmentNameSync) {
            self.volume.sync_dir(LOG_DIR)?;
        }
        for run in &batch.runs {
            let end_bytes = u64::from(run.offset) + run.bytes.len() as u64;
            self.segments.advance(run.segment, end_bytes, run.opened_at);
        }
        Ok(())
    }

    fn file_for(
        &self,
        run: &Run,
        current: &mut Option<(u32, Arc<dyn VolumeFile>)>,
    ) -> Result<Arc<dyn VolumeFile>, DiskError> {
        match current {
            Some((segment, file)) if *segment == run.segment => Ok(Arc::clone(file)),
            _ => {
                let file = self.volume.create(&segment_path(run.segment))?;
                *current = Some((run.segment, Arc::clone(&file)));
                Ok(file)
            }
        }
    }
}

#[cfg(test)]
mod interleavings;
