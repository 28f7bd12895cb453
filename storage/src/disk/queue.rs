//! What waits to be written: the bytes of many frames, cut into one run per segment.
//!
//! Invariants:
//! - The bytes of a run lie one after the other in its segment, so that each run is one write.
//! - A batch is reused after it was written: in steady state nothing is allocated.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Address, Completion, DiskError, DiskNo, Frame, Seq,
    frame::{encode_into, frame_bytes},
    segment::{SEGMENT_HEADER_BYTES, SegmentHeader, segment_salt},
};

/// Capacity that an emptied batch keeps.
const KEEP_BYTES: usize = 16 << 20;

/// Which disk of which cluster this is, as far as the log writes it down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) cluster: u128,
    pub(super) number: DiskNo,
    pub(super) disk_id: u128,
}

/// Bytes of one segment within a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) segment: u32,
    /// Where in the segment they go; 0 means that the segment's header is among them and the file is to be created.
    pub(super) offset: u32,
    /// Where in the batch they are.
    pub(super) bytes: Range<usize>,
    /// The segment's `opened_at`.
    pub(super) opened_at: Seq,
}

/// What goes out with one sync.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) runs: Vec<Run>,
    pub(super) completions: Vec<Arc<dyn Completion>>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Bytes of the frames alone, without segment headers.
    pub(super) fn frame_bytes(&self) -> u64 {
        let headers = self.runs.iter().filter(|run| run.offset == 0).count() as u64;
        self.bytes.len() as u64 - headers * u64::from(SEGMENT_HEADER_BYTES)
    }

    /// Tells all who wait, in order, and empties the batch.
    pub(super) fn complete(&mut self, disk: DiskNo, result: &Result<(), DiskError>) {
        tell_all(&mut self.completions, disk, result);
        self.runs.clear();
        if self.bytes.capacity() > KEEP_BYTES && self.bytes.len() < self.bytes.capacity() / 4 {
            self.bytes.clear();
            self.bytes.shrink_to(KEEP_BYTES);
        }
        self.bytes.clear();
    }

    fn run_for(&mut self, tail: &Tail, owner: &Owner) -> &mut Run {
        let continues = self
            .runs
            .last()
            .is_some_and(|run| run.segment == tail.segment);
        if !continues {
            let start = self.bytes.len();
            let mut offset = tail.offset;
            if tail.is_new() {
                offset = 0;
                self.bytes.extend_from_slice(&tail.header(owner).encode());
            }
            let bytes = start..self.bytes.len();
            self.runs.push(Run {
                segment: tail.segment,
                offset,
                bytes,
                opened_at: tail.opened_at,
            });
        }
        let last = self.runs.len() - 1;
        &mut self.runs[last]
    }
}

/// Tells all who wait, in order.
pub(super) fn tell_all(
    completions: &mut Vec<Arc<dyn Completion>>,
    disk: DiskNo,
    result: &Result<(), DiskError>,
) {
    for completion in completions.drain(..) {
        // One waiter's panic must not leave the others waiting for ever, nor end the writer.
        let tell = AssertUnwindSafe(|| completion.complete(disk, result.clone()));
        if catch_unwind(tell).is_err() {
            tracing::error!(disk = disk.0, "a completion panicked");
        }
    }
}

/// Where the next frame goes.
#[derive(Clone, Copy, Debug)]
struct Tail {
    segment: u32,
    offset: u32,
    opened_at: Seq,
}

impl Tail {
    /// Whether nothing has been queued for the segment, not even its header.
    fn is_new(&self) -> bool {
        self.offset == SEGMENT_HEADER_BYTES
    }

    fn header(&self, owner: &Owner) -> SegmentHeader {
        let Owner {
            cluster, number, ..
        } = *owner;
        SegmentHeader {
            segment: self.segment,
            cluster,
            disk: number,
            opened_at: self.opened_at,
        }
    }
}

/// Whether the writer may still come for what is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriterState {
    Working,
    /// The disk was given up: the writer may hang, and nobody waits for it.
    GivenUp,
    Ended,
}

/// The pending batch and the arithmetic of addresses.
#[derive(Debug)]
pub(super) struct Queue {
    owner: Owner,
    segment_bytes: u32,
    /// The highest segment number that was ever given.
    last_segment: u32,
    tail: Option<Tail>,
    pub(super) batch: Batch,
    /// Who waits for the batch that is being written: kept here, so that they can be told while its writer hangs.
    pub(super) writing: Vec<Arc<dyn Completion>>,
    /// Set when the disk is out: nothing is queued any more.
    pub(super) failure: Option<DiskError>,
    pub(super) closing: bool,
    /// Whether the writer sleeps and wants to be woken.
    pub(super) writer_idle: bool,
    pub(super) writer: WriterState,
}

impl Queue {
    pub(super) fn new(owner: Owner, segment_bytes: u32, last_segment: u32) -> Self {
        Self {
            owner,
            segment_bytes,
            last_segment,
            tail: None,
            batch: Batch::default(),
            writing: Vec::new(),
            failure: None,
            closing: false,
            writer_idle: false,
            writer: WriterState::Working,
        }
    }

    /// The error of a queue that takes nothing any more.
    pub(super) fn accepts(&self) -> Result<(), DiskError> {
        match &self.failure {
            Some(error) => Err(error.clone()),
            None if self.closing => Err(DiskError::Failed("the disk is closed".to_owned())),
            None => Ok(()),
        }
    }

    /// Where a frame of `bytes` will start. Rolls to a new segment where it would not fit, or where the segment says of itself that
    /// nothing in it is as old as `seq`: nothing is queued by that, a segment without frames never gets a file.
    pub(super) fn place(&mut self, bytes: u32, seq: Seq) -> Result<Address, DiskError> {
        match &mut self.tail {
            Some(tail) if tail.is_new() => tail.opened_at = tail.opened_at.min(seq),
            Some(tail) if tail.opened_at > seq => drop(self.roll(seq)?),
            _ => {}
        }
        self.fit(bytes, seq)
    }

    fn fit(&mut self, bytes: u32, seq: Seq) -> Result<Address, DiskError> {
        let tail = match self.tail {
            Some(tail) if tail.is_new() || tail.offset + bytes <= self.segment_bytes => tail,
            _ => self.roll(seq)?,
        };
        Ok(Address {
            segment: tail.segment,
            offset: tail.offset,
        })
    }

    /// Queues a frame and returns its address and size. Where it goes does not depend on its age: a deletion may be older than its
    /// segment says.
    pub(super) fn push(&mut self, frame: &Frame<'_>) -> Result<(Address, u32), DiskError> {
        let size = frame_bytes(frame.meta.len(), frame.shard.len())?;
        let address = self.fit(size, frame.seq)?;
        let Some(tail) = &mut self.tail else {
            return Err(no_segment_left());
        };
        let salt = segment_salt(self.owner.disk_id, tail.segment);
        self.batch.run_for(tail, &self.owner);
        encode_into(&mut self.batch.bytes, frame, salt, address.offset)?;
        let end = self.batch.bytes.len();
        self.batch.run_for(tail, &self.owner).bytes.end = end;
        tail.offset += size;
        Ok((address, size))
    }

    pub(super) fn last_segment(&self) -> u32 {
        self.last_segment
    }

    /// The next segment has a higher number.
    pub(super) fn skip_segments(&mut self, up_to: u32) {
        if up_to > self.last_segment {
            self.last_segment = up_to;
            self.tail = None;
        }
    }

    fn roll(&mut self, seq: Seq) -> Result<Tail, DiskError> {
        let segment = self
            .last_segment
            .checked_add(1)
            .ok_or_else(no_segment_left)?;
        let tail = Tail {
            segment,
            offset: SEGMENT_HEADER_BYTES,
            opened_at: seq,
        };
        self.last_segment = segment;
        self.tail = Some(tail);
        Ok(tail)
    }
}

fn no_segment_left() -> DiskError {
    DiskError::Failed("all segment numbers are used up".to_owned())
}
