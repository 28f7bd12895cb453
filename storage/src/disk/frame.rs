//! Frames: what the log is made of.
//!
//! ```text
//! 0   header check  u64  CRC-64/NVME of salt (u64), offset of the frame (u32), header bytes 8..24
//! 8   meta_bytes    u24  length of the metadata part
//! 11  shard_bytes   u24  length of the shard part
//! 14  seq           u64
//! 22  kind          u8   see [`FrameKind`]
//! 23  shard_index   u8
//! 24  shard part
//! ..  metadata part
//! ..  meta check    u64  CRC-64/NVME of the metadata part, XOR header check
//! ```
//!
//! All numbers are little endian. The shard part carries block checksums of its own and is in neither check.
//!
//! Invariants:
//! - A header can be judged alone, so that searching for the next frame after damage takes time linear in the bytes searched,
//!   whatever they are.
//! - The salt belongs to one segment of one disk and is known to nobody outside: bytes that a user stored can't pass for a
//!   frame, and neither can a frame of another segment, or of this one at another place.
//! - The meta check depends on the header check, so that no metadata part goes with another frame's header.

use crc_fast::{CrcAlgorithm, checksum};

use super::{DiskError, FRAME_HEADER_BYTES, Frame, FrameKind, MAX_FRAME_BYTES, Seq};

/// Bytes after the metadata part.
pub const FRAME_TRAILER_BYTES: u32 = 8;

const HEADER: usize = FRAME_HEADER_BYTES as usize;

/// Ties frames to one segment of one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt(pub u64);

/// A decoded header whose check matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// What the frame is for.
    pub kind: FrameKind,
    /// The commit it belongs to.
    pub seq: Seq,
    /// Which shard.
    pub shard_index: u8,
    /// Length of the metadata part.
    pub meta_bytes: u32,
    /// Length of the shard part.
    pub shard_bytes: u32,
    check: u64,
}

/// Bytes of a frame with these parts, trailer included. The limit of [`MAX_FRAME_BYTES`] does not count the trailer.
///
/// # Errors
/// [`DiskError::FrameTooLarge`].
pub(super) fn frame_bytes(meta_bytes: usize, shard_bytes: usize) -> Result<u32, DiskError> {
    let parts = (meta_bytes as u64).saturating_add(shard_bytes as u64);
    let bytes = parts.saturating_add(u64::from(FRAME_HEADER_BYTES));
    match u32::try_from(bytes) {
        Ok(size) if size <= MAX_FRAME_BYTES => Ok(size + FRAME_TRAILER_BYTES),
        _ => Err(DiskError::FrameTooLarge { bytes }),
    }
}

/// Appends the encoding of `frame`, whose header will lie at `offset` of the segment with this salt.
///
/// # Errors
/// [`DiskError::FrameTooLarge`]; `out` is unchanged then.
pub(super) fn encode_into(
    out: &mut Vec<u8>,
    frame: &Frame<'_>,
    salt: Salt,
    offset: u32,
) -> Result<(), DiskError> {
    frame_bytes(frame.meta.len(), frame.shard.len())?;
    let mut header = [0; HEADER];
    header[8..11].copy_from_slice(&u24(frame.meta.len()));
    header[11..14].copy_from_slice(&u24(frame.shard.len()));
    header[14..22].copy_from_slice(&frame.seq.0.to_le_bytes());
    header[22] = frame.kind as u8;
    header[23] = frame.shard_index;
    let check = header_check(&header, salt, offset);
    header[..8].copy_from_slice(&check.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(frame.shard);
    out.extend_from_slice(frame.meta);
    out.extend_from_slice(&meta_check(frame.meta, check).to_le_bytes());
    Ok(())
}

impl FrameHeader {
    /// The header at `offset` of the segment with this salt, if these bytes are one.
    pub(super) fn decode(bytes: &[u8; HEADER], salt: Salt, offset: u32) -> Option<Self> {
        // The kind first: it sends most wrong places away before anything is computed.
        let kind = FrameKind::from_u8(bytes[22])?;
        let meta_bytes = from_u24([bytes[8], bytes[9], bytes[10]]);
        let shard_bytes = from_u24([bytes[11], bytes[12], bytes[13]]);
        frame_bytes(meta_bytes as usize, shard_bytes as usize).ok()?;
        let check = u64_at(bytes, 0);
        let header = Self {
            kind,
            seq: Seq(u64_at(bytes, 14)),
            shard_index: bytes[23],
            meta_bytes,
            shard_bytes,
            check,
        };
        (header_check(bytes, salt, offset) == check).then_some(header)
    }

    /// Length of the whole frame.
    pub(super) fn frame_bytes(&self) -> u32 {
        FRAME_HEADER_BYTES + self.shard_bytes + self.meta_bytes + FRAME_TRAILER_BYTES
    }

    /// The metadata part out of `tail`, the metadata part and its check, if they belong to this header.
    pub(super) fn verify_meta<'a>(&self, tail: &'a [u8]) -> Option<&'a [u8]> {
        let (meta, check) = tail.split_last_chunk::<{ FRAME_TRAILER_BYTES as usize }>()?;
        let matches = meta.len() == self.meta_bytes as usize
            && meta_check(meta, self.check) == u64::from_le_bytes(*check);
        matches.then_some(meta)
    }
}

impl FrameKind {
    fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Commit),
            2 => Some(Self::Shard),
            3 => Some(Self::Epoch),
            4 => Some(Self::Checkpoint),
            _ => None,
        }
    }
}

/// CRC-64/NVME.
pub(super) fn crc64(bytes: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

fn header_check(header: &[u8; HEADER], salt: Salt, offset: u32) -> u64 {
    let mut covered = [0; 28];
    covered[..8].copy_from_slice(&salt.0.to_le_bytes());
    covered[8..12].copy_from_slice(&offset.to_le_bytes());
    covered[12..].copy_from_slice(&header[8..]);
    crc64(&covered)
}

fn meta_check(meta: &[u8], header_check: u64) -> u64 {
    crc64(meta) ^ header_check
}

/// The lower three bytes; the callers have checked the bound.
fn u24(value: usize) -> [u8; 3] {
    let [a, b, c, ..] = (value as u64).to_le_bytes();
    [a, b, c]
}

fn from_u24([a, b, c]: [u8; 3]) -> u32 {
    u32::from_le_bytes([a, b, c, 0])
}

fn u64_at(bytes: &[u8; HEADER], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests;
