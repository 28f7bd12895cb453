//! Finding the frames of a segment, past damage.
//!
//! Invariant: nothing is visited whose header check and meta check do not both match.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Address, DiskError, FRAME_HEADER_BYTES, ReadMode, ScanEnd, ScannedFrame,
    frame::{FRAME_TRAILER_BYTES, FrameHeader, Salt},
    segment::{HeaderState, SEGMENT_HEADER_BYTES, SegmentHeader},
    volume::VolumeFile,
};

/// Bytes read at a time. Shards up to about this size are read through, larger ones are stepped over.
const WINDOW_BYTES: usize = 256 << 10;

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
        window: Window::new(file, range.end),
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
            let step = step.min(self.window.end - position);
            position += step;
            end.damaged_bytes += step;
        }
        Ok(())
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
}

impl Window {
    fn new(file: Arc<dyn VolumeFile>, end: u64) -> Self {
        Self {
            file,
            bytes: Vec::new(),
            start: 0,
            end,
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
        let left = usize::try_from(self.end - from).unwrap_or(usize::MAX);
        self.bytes.resize(length.max(WINDOW_BYTES).min(left), 0);
        self.start = from;
        let read = self.file.read_at(&mut self.bytes, from, ReadMode::MayBlock);
        let read = match read {
            Err(error @ DiskError::Io { .. }) => self.fill_by_pieces(from, error)?,
            other => other?,
        };
        self.bytes.truncate(read);
        Ok(())
    }

    /// Reads what can be read; the rest counts as zeros, which are no frame.
    fn fill_by_pieces(&mut self, from: u64, error: DiskError) -> Result<usize, DiskError> {
        let (mut filled, mut readable) = (0, false);
        for piece in self.bytes.chunks_mut(PIECE_BYTES) {
            match self
                .file
                .read_at(piece, from + filled as u64, ReadMode::MayBlock)
            {
                Ok(read) if read < piece.len() => return Ok(filled + read),
                Ok(_) => readable = true,
                Err(_) => piece.fill(0),
            }
            filled += piece.len();
        }
        if readable { Ok(filled) } else { Err(error) }
    }
}
