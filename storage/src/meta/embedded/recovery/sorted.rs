//! Changes in order of key, in bounded memory: what does not fit is written out as sorted runs, which are merged at the end.
//!
//! A change is kept once, with all the places where its commit was found. Frames of one commit may differ: reclaim appends again what
//! is still needed of it, and that may be another part in each segment. Runs lie beside the view, and are a cache of a cache: nobody
//! syncs them, and they are removed with the view or when they were merged.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, HashMap, hash_map::Entry},
    fs::{self, File},
    io::{Read as _, Write as _},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    disk::{DiskNo, Seq},
    meta::{
        embedded::body::{ViewValue, decode_commit},
        view::{Flight, ViewError},
    },
    varint,
};

/// Bytes of commits in memory before they are sorted and written out.
pub(super) const RUN_BYTES: usize = 96 << 20;
/// What a commit takes beside its body, roughly.
const COMMIT_BYTES: usize = 200;
/// Bytes of a run that are read or written at a time.
const BUFFER_BYTES: usize = 256 << 10;

type Home = (DiskNo, u32);

/// One change of a commit, and where it was found.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) key: Bytes,
    pub(super) value: ViewValue,
}

/// Where runs are written, and whose calls they count among.
#[derive(Clone, Debug)]
pub(super) struct Scratch {
    pub(super) dir: PathBuf,
    pub(super) flight: Option<Arc<Flight>>,
}

/// Gathers commits in any order.
#[derive(Debug)]
pub(super) struct Sorter {
    scratch: Option<Scratch>,
    run_bytes: usize,
    commits: HashMap<Seq, (Bytes, Vec<Home>)>,
    /// Other parts of commits that are there already.
    parts: Vec<(Seq, (Bytes, Vec<Home>))>,
    bytes: usize,
    runs: Vec<PathBuf>,
}

impl Sorter {
    /// Without `scratch` everything stays in memory.
    pub(super) fn new(scratch: Option<Scratch>, run_bytes: usize) -> Self {
        Self {
            scratch,
            run_bytes,
            commits: HashMap::new(),
            parts: Vec::new(),
            bytes: 0,
            runs: Vec::new(),
        }
    }

    /// A copy of a commit's changes, or of a part of them, found at `homes`.
    pub(super) fn add(&mut self, seq: Seq, body: Bytes, homes: &[Home]) -> Result<(), ViewError> {
        let body_bytes = body.len();
        match self.commits.entry(seq) {
            Entry::Occupied(mut known) if known.get().0 == body => {
                add_homes(&mut known.get_mut().1, homes);
                return Ok(());
            }
            Entry::Occupied(_) => self.parts.push((seq, (body, homes.to_vec()))),
            Entry::Vacant(free) => {
                let mut found = Vec::with_capacity(4);
                add_homes(&mut found, homes);
                free.insert((body, found));
            }
        }
        self.bytes += body_bytes + COMMIT_BYTES;
        if self.bytes >= self.run_bytes && self.scratch.is_some() {
            self.write_run()?;
        }
        Ok(())
    }

    fn take_sorted(&mut self) -> Vec<Item> {
        self.bytes = 0;
        let commits = std::mem::take(&mut self.commits);
        let parts = std::mem::take(&mut self.parts);
        sorted(commits.into_iter().chain(parts))
    }

    /// Everything in order: by key, then the newest first.
    pub(super) fn finish(mut self) -> Result<Merge, ViewError> {
        let last = Run::Memory(self.take_sorted().into_iter());
        let mut merge = Merge {
            runs: vec![last],
            heads: BinaryHeap::new(),
            scratch: self.scratch,
        };
        for path in &self.runs {
            merge.runs.push(Run::File(RunReader {
                file: File::open(path)?,
                flight: merge.scratch.as_ref().and_then(|s| s.flight.clone()),
                buffer: Vec::new(),
                at: 0,
            }));
        }
        for run in 0..merge.runs.len() {
            merge.advance(run)?;
        }
        Ok(merge)
    }

    fn write_run(&mut self) -> Result<(), ViewError> {
        let items = self.take_sorted();
        let Some(scratch) = &self.scratch else {
            return Ok(());
        };
        if self.runs.is_empty() {
            scratch.run(|| fs::create_dir_all(&scratch.dir))?;
        }
        let path = scratch.dir.join(format!("{}.run", self.runs.len()));
        let mut file = scratch.run(|| File::create(&path))?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES * 2);
        for item in items {
            let value = item.value.encode();
            varint::put(&mut buffer, item.key.len() as u64);
            varint::put(&mut buffer, value.len() as u64);
            buffer.extend_from_slice(&item.key);
            buffer.extend_from_slice(&value);
            if buffer.len() >= BUFFER_BYTES {
                scratch.run(|| file.write_all(&buffer))?;
                buffer.clear();
            }
        }
        scratch.run(|| file.write_all(&buffer))?;
        self.runs.push(path);
        Ok(())
    }
}

impl Scratch {
    fn run<T>(&self, work: impl FnOnce() -> std::io::Result<T>) -> Result<T, ViewError> {
        watched(self.flight.as_ref(), work)
    }
}

/// Writing and reading runs may hang as the view beside them may.
fn watched<T>(
    flight: Option<&Arc<Flight>>,
    work: impl FnOnce() -> std::io::Result<T>,
) -> Result<T, ViewError> {
    let work = || work().map_err(ViewError::from);
    match flight {
        Some(flight) => flight.run_long("sort", work),
        None => work(),
    }
}

fn add_homes(known: &mut Vec<Home>, more: &[Home]) {
    for home in more {
        if !known.contains(home) {
            known.push(*home);
        }
    }
}

fn sorted(commits: impl Iterator<Item = (Seq, (Bytes, Vec<Home>))>) -> Vec<Item> {
    let mut items = Vec::with_capacity(commits.size_hint().0);
    for (seq, (body, homes)) in commits {
        let Some(body) = decode_commit(&body) else {
            tracing::error!(seq = seq.0, "a frame with a good checksum does not decode");
            continue;
        };
        for (index, change) in body.changes.into_iter().enumerate() {
            let value = ViewValue {
                seq,
                value: change.value,
                placement_bytes: if index == 0 { body.placement_bytes } else { 0 },
                homes: homes.clone(),
            };
            let key = change.key;
            items.push(Item { key, value });
        }
    }
    items.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    items
}

impl Item {
    fn order(&self) -> (&[u8], Reverse<Seq>) {
        (&self.key, Reverse(self.value.seq))
    }
}

/// A sorted run.
#[derive(Debug)]
enum Run {
    Memory(std::vec::IntoIter<Item>),
    File(RunReader),
}

#[derive(Debug)]
struct RunReader {
    file: File,
    flight: Option<Arc<Flight>>,
    buffer: Vec<u8>,
    at: usize,
}

/// The next item of a run.
#[derive(Debug)]
struct Head {
    item: Item,
    run: usize,
}

/// All runs as one.
#[derive(Debug)]
pub(super) struct Merge {
    runs: Vec<Run>,
    heads: BinaryHeap<Head>,
    scratch: Option<Scratch>,
}

impl Run {
    fn next(&mut self) -> Result<Option<Item>, ViewError> {
        match self {
            Self::Memory(items) => Ok(items.next()),
            Self::File(reader) => reader.next(),
        }
    }
}

impl RunReader {
    fn next(&mut self) -> Result<Option<Item>, ViewError> {
        loop {
            if let Some((item, bytes)) = decode(&self.buffer[self.at..]) {
                self.at += bytes;
                return Ok(Some(item));
            }
            if !self.fill()? {
                let rest = self.buffer.len() - self.at;
                return match rest {
                    0 => Ok(None),
                    _ => Err(ViewError(format!(
                        "{rest} bytes at the end of a sorted run"
                    ))),
                };
            }
        }
    }

    fn fill(&mut self) -> Result<bool, ViewError> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + BUFFER_BYTES, 0);
        let (file, free) = (&mut self.file, &mut self.buffer[before..]);
        let read = watched(self.flight.as_ref(), || file.read(free))?;
        self.buffer.truncate(before + read);
        Ok(read > 0)
    }
}

/// The first item of a run's bytes, and its length.
fn decode(bytes: &[u8]) -> Option<(Item, usize)> {
    let mut input = bytes;
    let key_bytes = usize::try_from(varint::take(&mut input)?).ok()?;
    let value_bytes = usize::try_from(varint::take(&mut input)?).ok()?;
    let key = Bytes::copy_from_slice(varint::take_bytes(&mut input, key_bytes)?);
    let value = Bytes::copy_from_slice(varint::take_bytes(&mut input, value_bytes)?);
    let value = ViewValue::decode(&value)?;
    Some((Item { key, value }, bytes.len() - input.len()))
}

impl Merge {
    fn advance(&mut self, run: usize) -> Result<(), ViewError> {
        if let Some(item) = self.runs[run].next()? {
            self.heads.push(Head { item, run });
        }
        Ok(())
    }

    /// The next item; copies of one change are one.
    pub(super) fn next(&mut self) -> Result<Option<Item>, ViewError> {
        let Some(mut first) = self.pop()? else {
            return Ok(None);
        };
        while self
            .heads
            .peek()
            .is_some_and(|head| head.item.order() == first.order())
        {
            if let Some(copy) = self.pop()? {
                add_homes(&mut first.value.homes, &copy.value.homes);
            }
        }
        Ok(Some(first))
    }

    /// The key that comes next.
    pub(super) fn next_key(&self) -> Option<&Bytes> {
        self.heads.peek().map(|head| &head.item.key)
    }

    fn pop(&mut self) -> Result<Option<Item>, ViewError> {
        let Some(Head { item, run }) = self.heads.pop() else {
            return Ok(None);
        };
        self.advance(run)?;
        Ok(Some(item))
    }
}

impl Drop for Merge {
    fn drop(&mut self) {
        let Some(scratch) = &self.scratch else { return };
        if self.runs.len() > 1
            && let Err(error) = scratch.run(|| fs::remove_dir_all(&scratch.dir))
        {
            tracing::warn!(%error, "sorted runs not removed");
        }
    }
}

impl Ord for Head {
    /// The largest is what a heap gives first: what comes first in order.
    fn cmp(&self, other: &Self) -> Ordering {
        other.item.order().cmp(&self.item.order())
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests;
