//! How many bytes of each segment are dead: what decides which segment is worth rewriting.
//!
//! An estimate that is exact enough: copies are booked with the lengths of key and value, shards with their exact length.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;

use super::body::ViewValue;
use crate::{
    disk::{DiskNo, FRAME_HEADER_BYTES},
    stripes::{BlobPlacement, ShardPlace},
    varint,
};

/// Dead bytes per segment.
#[derive(Debug, Default)]
pub(super) struct SegmentSpace {
    dead: Mutex<BTreeMap<(DiskNo, u32), u64>>,
}

impl SegmentSpace {
    /// Books the frames of a replaced value as dead.
    pub(super) fn bury(&self, key: &[u8], old: &Bytes) {
        if let Some(old) = ViewValue::decode(old) {
            self.bury_value(key, &old);
        }
    }

    /// As [`Self::bury`].
    pub(super) fn bury_value(&self, key: &[u8], old: &ViewValue) {
        let value_bytes = old.value.as_ref().map_or(0, Bytes::len);
        let mut dead = self.dead.lock();
        for (disk, segment) in &old.homes {
            add(
                dead.entry((*disk, *segment)).or_default(),
                (key.len() + value_bytes + 6) as u64,
            );
        }
        let Some((placement, _)) = old
            .value
            .as_ref()
            .and_then(|value| inline_placement(value, old.placement_bytes))
        else {
            for (disk, segment) in &old.homes {
                add(
                    dead.entry((*disk, *segment)).or_default(),
                    FRAME_HEADER_BYTES.into(),
                );
            }
            return;
        };
        let frame_bytes = placement.layout().shard_bytes() + u64::from(FRAME_HEADER_BYTES);
        for place in &placement.shards {
            if let ShardPlace::Log(disk, address) = place {
                add(
                    dead.entry((*disk, address.segment)).or_default(),
                    frame_bytes,
                );
            }
        }
    }

    /// Books a tombstone: it is dead as soon as nothing older is left, which the reclaimer finds out.
    pub(super) fn bury_tombstone(&self, key: &[u8], homes: &[(DiskNo, u32)]) {
        let mut dead = self.dead.lock();
        for home in homes {
            add(
                dead.entry(*home).or_default(),
                key.len() as u64 + 3 + u64::from(FRAME_HEADER_BYTES),
            );
        }
    }

    pub(super) fn dead_bytes(&self, disk: DiskNo, segment: u32) -> u64 {
        self.dead.lock().get(&(disk, segment)).copied().unwrap_or(0)
    }

    /// Books a whole segment as dead.
    pub(super) fn bury_all(&self, disk: DiskNo, segment: u32) {
        self.dead.lock().insert((disk, segment), u64::MAX);
    }

    /// Goes on with the books of `other`.
    pub(super) fn replace(&self, other: Self) {
        *self.dead.lock() = other.dead.into_inner();
    }

    pub(super) fn forget(&self, disk: DiskNo, segment: u32) {
        self.dead.lock().remove(&(disk, segment));
    }

    /// Drops the books of a disk that is gone.
    pub(super) fn forget_disk(&self, gone: DiskNo) {
        self.dead.lock().retain(|(disk, _), _| *disk != gone);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let dead = self.dead.lock();
        let mut out = Vec::with_capacity(dead.len() * 12);
        for ((disk, segment), bytes) in dead.iter() {
            varint::put(&mut out, u64::from(disk.0));
            varint::put(&mut out, u64::from(*segment));
            varint::put(&mut out, *bytes);
        }
        out
    }

    /// What [`Self::encode`] wrote; stops at the first thing that it would not have written.
    pub(super) fn decode(mut input: &[u8]) -> Self {
        let mut dead = BTreeMap::new();
        while let Some((home, bytes)) = take_entry(&mut input) {
            dead.insert(home, bytes);
        }
        Self {
            dead: Mutex::new(dead),
        }
    }
}

fn take_entry(input: &mut &[u8]) -> Option<((DiskNo, u32), u64)> {
    let disk = DiskNo(u16::try_from(varint::take(input)?).ok()?);
    let segment = u32::try_from(varint::take(input)?).ok()?;
    Some(((disk, segment), varint::take(input)?))
}

/// The inline placement at the end of a value.
pub(crate) fn inline_placement(
    value: &Bytes,
    placement_bytes: usize,
) -> Option<(BlobPlacement, usize)> {
    if placement_bytes == 0 {
        return None;
    }
    let at = value.len().checked_sub(placement_bytes)?;
    BlobPlacement::decode(&value[at..]).ok()
}
fn add(sum: &mut u64, bytes: u64) {
    *sum = sum.saturating_add(bytes);
}
