//! Lines on their way to where they are kept: a bounded queue, and a thread that empties it.

use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use larder_storage::clock::Clock;
use parking_lot::{Condvar, Mutex};

use super::line::{Lost, timestamp};

/// Lines that wait hold at most so much.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// How long to wait after a write that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where lines end up.
pub(super) trait Sink: Send {
    /// Writes whole lines.
    ///
    /// # Errors
    /// How far it came, and why not further; what is left is given again.
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten>;

    /// The place of before is no longer the place.
    fn reopen(&mut self);
}

/// A write that did not come to its end.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) written_bytes: usize,
    pub(super) error: io::Error,
}

/// Standard output.
#[derive(Debug)]
pub(super) struct Stdout;

impl Sink for Stdout {
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        let mut out = io::stdout().lock();
        write_all(&mut out, lines)?;
        out.flush().map_err(|error| Unwritten {
            written_bytes: lines.len(),
            error,
        })
    }

    fn reopen(&mut self) {}
}

/// As [`io::Write::write_all`], but says how far it came.
pub(super) fn write_all(to: &mut impl io::Write, bytes: &[u8]) -> Result<(), Unwritten> {
    let mut written_bytes = 0;
    while written_bytes < bytes.len() {
        let error = match to.write(&bytes[written_bytes..]) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(count) => {
                written_bytes += count;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        return Err(Unwritten {
            written_bytes,
            error,
        });
    }
    Ok(())
}

/// What became of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that were taken.
    pub lines: u64,
    /// Others, for which there was no room.
    pub lost_lines: u64,
    /// Writes that failed.
    pub failed_writes: u64,
    /// Bytes that wait.
    pub waiting_bytes: u64,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    /// Lost, and not told yet.
    lost: u64,
    is_to_reopen: bool,
    is_closed: bool,
    is_done: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// For the thread: there is something to do.
    work: Condvar,
    /// For who closes: the thread is done.
    done: Condvar,
    lines: AtomicU64,
    lost_lines: AtomicU64,
    failed_writes: AtomicU64,
    clock: Arc<dyn Clock>,
}

/// The queue with its thread.
#[derive(Debug)]
pub(super) struct Writer(Arc<Shared>);

impl Writer {
    /// Starts a thread that writes to `sink`.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(sink: Box<dyn Sink>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            lines: AtomicU64::default(),
            lost_lines: AtomicU64::default(),
            failed_writes: AtomicU64::default(),
            clock,
        });
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || of_thread.run(sink))?;
        Ok(Self(shared))
    }

    /// Queues a line, or counts it as lost.
    pub(super) fn add(&self, line: &[u8]) {
        let shared = &*self.0;
        let mut queue = shared.queue.lock();
        if queue.is_closed || queue.lines.len() + line.len() > MAX_WAITING_BYTES {
            queue.lost += 1;
            shared.lost_lines.fetch_add(1, Ordering::Relaxed);
            return;
        }
        shared.lines.fetch_add(1, Ordering::Relaxed);
        let was_empty = queue.lines.is_empty();
        queue.lines.extend_from_slice(line);
        drop(queue);
        if was_empty {
            shared.work.notify_one();
        }
    }

    pub(super) fn reopen(&self) {
        self.0.queue.lock().is_to_reopen = true;
        self.0.work.notify_one();
    }

    pub(super) fn close(&self, patience: Duration) {
        let mut queue = self.0.queue.lock();
        queue.is_closed = true;
        self.0.work.notify_one();
        let is_open = |queue: &mut Queue| !queue.is_done;
        let waited = self.0.done.wait_while_for(&mut queue, is_open, patience);
        if waited.timed_out() {
            tracing::warn!("the end of the audit log can't be written");
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            lines: read(&self.0.lines),
            lost_lines: read(&self.0.lost_lines),
            failed_writes: read(&self.0.failed_writes),
            waiting_bytes: self.0.queue.lock().lines.len() as u64,
        }
    }
}

impl Drop for Writer {
    /// The thread ends once it has written what waits.
    fn drop(&mut self) {
        self.0.queue.lock().is_closed = true;
        self.0.work.notify_one();
    }
}

/// What the thread is to do next.
enum Work {
    Write(Vec<u8>),
    Reopen,
    End,
}

impl Shared {
    fn run(&self, mut sink: Box<dyn Sink>) {
        let mut is_failing = false;
        loop {
            match self.next() {
                Work::Write(lines) => self.write(&mut *sink, &lines, &mut is_failing),
                Work::Reopen => sink.reopen(),
                Work::End => break,
            }
        }
        self.queue.lock().is_done = true;
        self.done.notify_all();
    }

    fn next(&self) -> Work {
        let mut queue = self.queue.lock();
        loop {
            if queue.is_to_reopen {
                queue.is_to_reopen = false;
                return Work::Reopen;
            }
            if !queue.lines.is_empty() || queue.lost > 0 {
                let mut lines = std::mem::take(&mut queue.lines);
                let lost = std::mem::take(&mut queue.lost);
                drop(queue);
                self.tell(lost, &mut lines);
                return Work::Write(lines);
            }
            if queue.is_closed {
                return Work::End;
            }
            self.work.wait(&mut queue);
        }
    }

    /// That lines are missing here.
    fn tell(&self, lost_lines: u64, lines: &mut Vec<u8>) {
        if lost_lines == 0 {
            return;
        }
        tracing::warn!(
            lines = lost_lines,
            "lines of the audit log are lost: more came than could be written"
        );
        let time = timestamp(self.clock.unix_millis());
        let line = serde_json::to_vec(&Lost { time, lost_lines });
        lines.extend_from_slice(&line.unwrap_or_default());
        lines.push(b'\n');
    }

    /// Tries until all is written; meanwhile new lines wait.
    fn write(&self, sink: &mut dyn Sink, mut lines: &[u8], is_failing: &mut bool) {
        while let Err(Unwritten {
            written_bytes,
            error,
        }) = sink.write(lines)
        {
            lines = lines.get(written_bytes..).unwrap_or_default();
            self.failed_writes.fetch_add(1, Ordering::Relaxed);
            if !std::mem::replace(is_failing, true) {
                tracing::warn!(%error, "the audit log can't be written: lines wait, up to 8 MiB of them");
            }
            if self.pause() {
                sink.reopen();
            }
        }
        if std::mem::take(is_failing) {
            tracing::info!("the audit log is written again");
        }
    }

    /// Waits before another try; whether the place is to be opened again.
    fn pause(&self) -> bool {
        let mut queue = self.queue.lock();
        self.work.wait_for(&mut queue, RETRY_AFTER);
        std::mem::take(&mut queue.is_to_reopen)
    }
}
