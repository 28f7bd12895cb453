//! The bytes of one file: what a process sees, what a power cut certainly leaves, and the changes between the two.

use crate::fate::Fate;

/// What a disk writes as a whole.
const SECTOR_BYTES: u64 = 512;

/// A number that grows with each change of a disk: a sync covers what came before it.
pub(crate) type Seq = u64;

#[derive(Debug, Default)]
pub(crate) struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// In the order in which they came.
    pending: Vec<(Seq, Change)>,
}

#[derive(Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Resize { len_bytes: u64 },
}

impl Content {
    pub(crate) fn len_bytes(&self) -> u64 {
        self.live.len() as u64
    }

    pub(crate) fn unsynced_count(&self) -> usize {
        self.pending.len()
    }

    /// The bytes from `offset`, `size` of them or up to the end.
    pub(crate) fn read(&self, offset: u64, size: u64) -> &[u8] {
        let end = offset.saturating_add(size).min(self.len_bytes());
        self.live.get(index(offset)..index(end)).unwrap_or_default()
    }

    pub(crate) fn write(&mut self, seq: Seq, offset: u64, bytes: &[u8]) {
        put(&mut self.live, offset, bytes);
        let bytes = bytes.to_vec();
        self.pending.push((seq, Change::Write { offset, bytes }));
    }

    pub(crate) fn resize(&mut self, seq: Seq, len_bytes: u64) {
        self.live.resize(index(len_bytes), 0);
        self.pending.push((seq, Change::Resize { len_bytes }));
    }

    /// Makes all changes up to `upto` durable.
    pub(crate) fn sync(&mut self, upto: Seq) {
        let covered = self.pending.partition_point(|(seq, _)| *seq <= upto);
        for (_, change) in self.pending.drain(..covered) {
            match change {
                Change::Write { offset, bytes } => put(&mut self.durable, offset, &bytes),
                Change::Resize { len_bytes } => self.durable.resize(index(len_bytes), 0),
            }
        }
    }

    /// What a power cut leaves of it.
    pub(crate) fn survivor(&self, fate: &mut Fate) -> Self {
        let mut bytes = self.durable.clone();
        for (_, change) in &self.pending {
            match change {
                Change::Write { offset, bytes: new } => tear(&mut bytes, *offset, new, fate),
                Change::Resize { len_bytes } if fate.keeps() => bytes.resize(index(*len_bytes), 0),
                Change::Resize { .. } => {}
            }
        }
        if bytes.len() < self.live.len() && fate.length_goes_ahead() {
            bytes.resize(self.live.len(), 0);
        }
        Self {
            live: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
        }
    }
}

/// Lands each sector of a write on its own, or not.
fn tear(image: &mut Vec<u8>, offset: u64, bytes: &[u8], fate: &mut Fate) {
    let mut rest = bytes;
    let mut at = offset;
    while !rest.is_empty() {
        let to_boundary = index(SECTOR_BYTES - at % SECTOR_BYTES);
        let (piece, after) = rest.split_at(to_boundary.min(rest.len()));
        if fate.keeps() {
            put(image, at, piece);
        }
        at += piece.len() as u64;
        rest = after;
    }
}

fn put(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = index(offset);
    let end = start + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    if let Some(place) = image.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}

/// An offset within memory.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
