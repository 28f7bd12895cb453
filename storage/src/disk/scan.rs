//! Finding the frames of a segment, past damage.
//!
//! Invariant: nothing is visited whose header check and meta check do not both match.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Address, DiskError, FRAME_HEADER_BYTES, Inspected, ReadMode, ScanEnd, ScannedFrame,
    frame::{FRAME_TRAILER_BYTES, FrameHeader, Salt},
    segment::{HeaderState, SEGMENT_HEADER_BYTES, SegmentHeader},
    volume::VolumeFile,
};

/// Bytes read at a time. Shards up to about this size are read through, larger ones are stepped over.
const WINDOW_BYTES: usize = 256 << 10;
/// The same where shards are read as well, whatever their size: devices like long reads.
const INSPECT_WINDOW_BYTES: usize = 1 << 20;

/// What is read at a time around unreadable sectors.
const PIECE_BYTES: usize = 4 << 10;

/// Visits the frames of the first `end` bytes of `file` from `from` on (0 = the first frame).
pub(super) fn scan(
    file: Arc<dyn VolumeFile>,
    segment: u32,
    salt: Salt,
    range: std::ops::Range<u64>,
    visit: &mut dyn FnMut(ScannedFrame),
) -> Result<ScanEnd, DiskError> {
    let mut scan = Scan {
        window: Window::new(file, range.end, WINDOW_BYTES),
        segment,
        salt,
    };
    let mut end = ScanEnd {
        valid_bytes: range.start,
        damaged_bytes: 0,
    };
    if range.start < u64::from(SEGMENT_HEADER_BYTES) {
        end = scan.segment_header()?;
    }
    scan.frames(&mut end, visit)?;
    Ok(end)
}

/// Visits the frames, with their shard parts, that begin in the first `limit` bytes of `range`; goes on to the end of the last of
/// them. Each byte is read about once.
pub(super) fn inspect(
    file: Arc<dyn VolumeFile>,
    segment: u32,
    salt: Salt,
    range: std::ops::Range<u64>,
    limit: u64,
    visit: &mut dyn FnMut(ScannedFrame, &[u8]),
) -> Result<Inspected, DiskError> {
    let mut scan = Scan {
        window: Window::new(file, range.end, INSPECT_WINDOW_BYTES),
        segment,
        salt,
    };
    let mut position = range.start;
    if position < u64::from(SEGMENT_HEADER_BYTES) {
        position = scan.segment_header()?.valid_bytes;
    }
    scan.frames_with_shards(position, range.start.saturating_add(limit), visit)
}

struct Scan {
    window: Window,
    segment: u32,
    salt: Salt,
}

/// What is at a place.
enum Found {
    Frame(ScannedFrame),
    /// A sound header, but the frame is cut or its metadata part is damaged: nothing else can be within its length.
    Broken(u64),
    Nothing,
}

impl Scan {
    fn segment_header(&mut self) -> Result<ScanEnd, DiskError> {
        let first = u64::from(SEGMENT_HEADER_BYTES);
        let bytes = self.window.get(0, SEGMENT_HEADER_BYTES as usize)?;
        let good = bytes
            .and_then(<[u8]>::first_chunk)
            .is_some_and(|bytes| matches!(SegmentHeader::decode(bytes), HeaderState::Good(_)));
        let damaged_bytes = if good { 0 } else { first.min(self.window.end) };
        Ok(ScanEnd {
            valid_bytes: first.min(self.window.end),
            damaged_bytes,
        })
    }

    fn frames(
        &mut self,
        end: &mut ScanEnd,
        visit: &mut dyn FnMut(ScannedFrame),
    ) -> Result<(), DiskError> {
        let mut position = end.valid_bytes;
        while position < self.window.end {
            let step = match self.frame_at(position)? {
                Found::Frame(frame) => {
                    position += u64::from(frame.frame_bytes);
                    end.valid_bytes = position;
                    visit(frame);
                    continue;
                }
                Found::Broken(bytes) => bytes,
                Found::Nothing => 1,
            };
            let step = step.min(self.window.end.saturating_sub(position).max(1));
            position += step;
            end.damaged_bytes += step;
        }
        Ok(())
    }

    fn frames_with_shards(
        &mut self,
        mut position: u64,
        stop: u64,
        visit: &mut dyn FnMut(ScannedFrame, &[u8]),
    ) -> Result<Inspected, DiskError> {
        let (mut skipped, mut skipped_before) = (0, 0);
        // Not in the middle of a stretch without a frame: whether one follows is not known there.
        while position < self.window.end && (position < stop || skipped > 0) {
            // All of the frame at once, so that the window moves over each byte once.
            let header = self.header_at(position)?;
            if let Some(header) = header {
                self.window.get(position, header.frame_bytes() as usize)?;
            }
            match self.frame_at(position)? {
                Found::Frame(frame) => {
                    let shard_at = position + u64::from(FRAME_HEADER_BYTES);
                    position += u64::from(frame.frame_bytes);
                    let shard = self.window.get(shard_at, frame.shard_bytes as usize)?;
                    visit(frame, shard.unwrap_or_default());
                    skipped_before += std::mem::take(&mut skipped);
                }
                Found::Broken(bytes) => {
                    let broken = bytes.min(self.window.end.saturating_sub(position).max(1));
                    position += broken;
                    skipped += broken;
                }
                Found::Nothing => {
                    position += 1;
                    skipped += 1;
                }
            }
        }
        Ok(Inspected {
            next: (position < self.window.end).then_some(position),
            skipped_bytes: skipped_before,
            unreadable_bytes: self.window.unreadable,
        })
    }

    fn frame_at(&mut self, position: u64) -> Result<Found, DiskError> {
        let Some(header) = self.header_at(position)? else {
            return Ok(Found::Nothing);
        };
        let frame_bytes = header.frame_bytes();
        let tail_at = position + u64::from(FRAME_HEADER_BYTES + header.shard_bytes);
        let tail_bytes = (header.meta_bytes + FRAME_TRAILER_BYTES) as usize;
        let tail = self.window.get(tail_at, tail_bytes)?;
        let Some(meta) = tail.and_then(|tail| header.verify_meta(tail)) else {
            return Ok(Found::Broken(u64::from(frame_bytes)));
        };
        let meta = Bytes::copy_from_slice(meta);
        let Some(address) = self.address(position) else {
            return Ok(Found::Nothing);
        };
        let FrameHeader {
            kind,
            seq,
            shard_index,
            shard_bytes,
            ..
        } = header;
        Ok(Found::Frame(ScannedFrame {
            address,
            kind,
            seq,
            shard_index,
            meta,
            shard_bytes,
            frame_bytes,
        }))
    }

    fn header_at(&mut self, position: u64) -> Result<Option<FrameHeader>, DiskError> {
        let Some(address) = self.address(position) else {
            return Ok(None);
        };
        let bytes = self.window.get(position, FRAME_HEADER_BYTES as usize)?;
        Ok(bytes
            .and_then(<[u8]>::first_chunk)
            .and_then(|bytes| FrameHeader::decode(bytes, self.salt, address.offset)))
    }

    fn address(&self, position: u64) -> Option<Address> {
        Some(Address {
            segment: self.segment,
            offset: u32::try_from(position).ok()?,
        })
    }
}

/// A stretch of the file in memory that moves with the scan.
struct Window {
    file: Arc<dyn VolumeFile>,
    bytes: Vec<u8>,
    start: u64,
    /// Where the part of the file that counts ends.
    end: u64,
    /// Bytes read at a time.
    size: usize,
    /// Bytes that the device could not read so far.
    unreadable: u64,
}

impl Window {
    fn new(file: Arc<dyn VolumeFile>, end: u64, size: usize) -> Self {
        Self {
            file,
            bytes: Vec::new(),
            start: 0,
            end,
            size,
            unreadable: 0,
        }
    }

    /// The bytes of a range, or `None` where it goes past the end.
    fn get(&mut self, from: u64, length: usize) -> Result<Option<&[u8]>, DiskError> {
        let to = from.saturating_add(length as u64);
        if to > self.end {
            return Ok(None);
        }
        if from < self.start || to > self.start + self.bytes.len() as u64 {
            self.fill(from, length)?;
        }
        let at = usize::try_from(from - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(at..at.saturating_add(length)))
    }

    fn fill(&mut self, from: u64, length: usize) -> Result<(), DiskError> {
        let kept = self.keep_from(from);
        let left = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
        let whole = length.max(self.size).min(left).max(kept);
        self.bytes.resize(whole, 0);
        self.start = from;
        let at = from + kept as u64;
        let fresh = self.bytes.get_mut(kept..).unwrap_or_default();
        let read = self.file.read_at(fresh, at, ReadMode::MayBlock);
        let read = match read {
            Err(error @ DiskError::Io { .. }) => self.fill_by_pieces(kept, at, error)?,
            other => other?,
        };
        self.bytes.truncate(kept + read);
        if kept + read < whole {
            // The file is shorter than it should be: nothing comes after.
            self.end = from + (kept + read) as u64;
        }
        Ok(())
    }

    /// Moves what the window has from `from` on to its beginning; how much that is.
    fn keep_from(&mut self, from: u64) -> usize {
        let ahead = from.checked_sub(self.start);
        let ahead = ahead.and_then(|ahead| usize::try_from(ahead).ok());
        match ahead.filter(|ahead| *ahead <= self.bytes.len()) {
            Some(ahead) => {
                self.bytes.drain(..ahead);
                self.bytes.len()
            }
            None => 0,
        }
    }

    /// Reads what can be read; the rest counts as zeros, which are no frame.
    fn fill_by_pieces(
        &mut self,
        kept: usize,
        from: u64,
        error: DiskError,
    ) -> Result<usize, DiskError> {
        let (mut filled, mut readable) = (0, kept > 0);
        let fresh = self.bytes.get_mut(kept..).unwrap_or_default();
        for piece in fresh.chunks_mut(PIECE_BYTES) {
            match self
                .file
                .read_at(piece, from + filled as u64, ReadMode::MayBlock)
            {
                Ok(read) if read < piece.len() => return Ok(filled + read),
                Ok(_) => readable = true,
                Err(_) => {
                    self.unreadable += piece.len() as u64;
                    piece.fill(0);
                }
            }
            filled += piece.len();
        }
        if readable { Ok(filled) } else { Err(error) }
    }
}
