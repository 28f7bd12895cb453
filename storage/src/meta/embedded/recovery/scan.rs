//! Reading the logs of all disks at once: a thread for each disk, and one place where all that they find comes together.
//!
//! Invariants:
//! - What is read and not yet taken is bounded: [`CHUNK_BYTES`] (or one frame) per disk in the making and in the queue.
//! - Nobody waits for a disk that was given up; what it had brought by then counts.
//! - Frames of one disk come in the order of its log.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::{Damage, RecoveryError};
use crate::disk::{Address, Disk, DiskNo, Health, ScanEnd, ScannedFrame, SegmentInfo};

/// Metadata bytes that a disk's thread gathers before it hands them over.
const CHUNK_BYTES: usize = 256 << 10;
/// Frames, likewise.
const CHUNK_FRAMES: usize = 1024;
/// How often it is looked whether a disk that brings nothing was given up.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A disk to read, and from where.
#[derive(Debug)]
pub(super) struct Reading {
    disk: Arc<dyn Disk>,
    from: Address,
    segments: Vec<(u32, u32, u64)>,
}

/// What a disk's thread says.
enum Said {
    Frames(Vec<ScannedFrame>),
    /// A segment is through: its bytes, and what was damaged.
    Segment(u64, Option<Damage>),
    Done,
}

/// Takes what is found.
pub(super) trait Taker {
    fn take(&mut self, disk: DiskNo, frame: ScannedFrame) -> Result<(), RecoveryError>;
    fn damage(&mut self, damage: Damage);
    fn progress(&mut self, done_bytes: u64, total_bytes: u64);
}

impl Reading {
    pub(super) fn new(disk: Arc<dyn Disk>, from: Address) -> Self {
        let segments = disk.segments().unwrap_or_else(|error| {
            disk.give_up(&error.to_string());
            Vec::new()
        });
        let wanted = segments.iter().filter(|s| s.number >= from.segment);
        let part = |segment: &SegmentInfo| {
            let offset = if segment.number == from.segment {
                from.offset
            } else {
                0
            };
            (
                segment.number,
                offset,
                segment.bytes.saturating_sub(offset.into()),
            )
        };
        let segments = wanted.map(part).collect();
        Self {
            disk,
            from,
            segments,
        }
    }

    fn total_bytes(&self) -> u64 {
        self.segments.iter().map(|(_, _, bytes)| bytes).sum()
    }

    /// Reads the log; gives the disk up if it can't be read. `say` returns false when nobody listens any more.
    fn read(&self, say: &mut dyn FnMut(Said) -> bool) {
        // What a crashed process left in the page cache is not durable yet, and is about to be believed.
        if let Err(error) = self.disk.sync_segments(self.from.segment) {
            self.disk.give_up(&error.to_string());
        } else {
            self.read_segments(say);
        }
        say(Said::Done);
    }

    fn read_segments(&self, say: &mut dyn FnMut(Said) -> bool) {
        for (segment, offset, bytes) in &self.segments {
            let (mut chunk, mut meta_bytes, mut heard) = (Vec::new(), 0, true);
            let end = self.disk.scan(*segment, *offset, &mut |frame| {
                meta_bytes += frame.meta.len();
                chunk.push(frame);
                if meta_bytes >= CHUNK_BYTES || chunk.len() >= CHUNK_FRAMES {
                    meta_bytes = 0;
                    heard = heard && say(Said::Frames(std::mem::take(&mut chunk)));
                }
            });
            heard = heard && say(Said::Frames(chunk));
            let damage = match end {
                Ok(end) => self.damage(*segment, u64::from(*offset) + bytes, &end),
                Err(error) => {
                    self.disk.give_up(&error.to_string());
                    return;
                }
            };
            if !heard || !say(Said::Segment(*bytes, damage)) {
                return;
            }
        }
    }

    fn damage(&self, segment: u32, end_bytes: u64, end: &ScanEnd) -> Option<Damage> {
        let tail_bytes = end_bytes
            .saturating_sub(end.valid_bytes)
            .min(end.damaged_bytes);
        (end.damaged_bytes > 0).then(|| Damage {
            disk: self.disk.number(),
            location: self.disk.location(),
            segment,
            bytes: end.damaged_bytes - tail_bytes,
            tail_bytes,
        })
    }
}

/// Counts what is through.
struct Done {
    bytes: u64,
    total_bytes: u64,
}

impl Done {
    fn hear(
        &mut self,
        taker: &mut dyn Taker,
        disk: DiskNo,
        said: Said,
    ) -> Result<(), RecoveryError> {
        match said {
            Said::Frames(frames) => {
                let mut frames = frames.into_iter();
                return frames.try_for_each(|frame| taker.take(disk, frame));
            }
            Said::Segment(bytes, damage) => {
                self.bytes += bytes;
                taker.progress(self.bytes, self.total_bytes);
                if let Some(damage) = damage {
                    taker.damage(damage);
                }
            }
            Said::Done => {}
        }
        Ok(())
    }
}

/// Reads all of these logs. Without `threads` one after the other, on this thread: for simulation.
pub(super) fn read_all(
    readings: Vec<Reading>,
    threads: bool,
    taker: &mut dyn Taker,
) -> Result<(), RecoveryError> {
    let total_bytes = readings.iter().map(Reading::total_bytes).sum();
    let mut done = Done {
        bytes: 0,
        total_bytes,
    };
    if threads {
        return read_at_once(readings, &mut done, taker);
    }
    for reading in readings {
        let (number, mut result) = (reading.disk.number(), Ok(()));
        reading.read(&mut |said| {
            result = done.hear(taker, number, said);
            result.is_ok()
        });
        result?;
    }
    Ok(())
}

fn read_at_once(
    readings: Vec<Reading>,
    done: &mut Done,
    taker: &mut dyn Taker,
) -> Result<(), RecoveryError> {
    let (say, hear) = mpsc::sync_channel(readings.len().max(1));
    let mut pending = BTreeMap::new();
    for reading in readings {
        let (number, say) = (reading.disk.number(), say.clone());
        pending.insert(number, Arc::clone(&reading.disk));
        let work = move || reading.read(&mut |said| say.send((number, said)).is_ok());
        let name = format!("log-{}", number.0);
        if let Err(error) = thread::Builder::new().name(name).spawn(work)
            && let Some(disk) = pending.remove(&number)
        {
            disk.give_up(&format!("no thread to read it: {error}"));
        }
    }
    drop(say);
    while !pending.is_empty() {
        match hear.recv_timeout(LOOK_EVERY) {
            Ok((number, said)) if pending.contains_key(&number) => {
                if matches!(said, Said::Done) {
                    pending.remove(&number);
                }
                done.hear(taker, number, said)?;
            }
            // Left behind before.
            Ok(_) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => {
                pending.retain(|_, disk| !matches!(disk.health(), Health::Failed(_)));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
    Ok(())
}
