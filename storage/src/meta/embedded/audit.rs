//! Whether the logs hold, byte by byte, all that they should: what tests ask after healing.
//!
//! Believes nothing that the view says of places: reads every frame on every disk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    Embedded,
    body::{CheckpointBody, decode_commit},
    heal::rows_of,
    recovery::{History, Verdict},
};
use crate::{
    disk::{DiskNo, FrameKind, Health, ScannedFrame, Seq},
    meta::MetaError,
};

/// The disks on which something was found.
type On = BTreeSet<DiskNo>;

/// Every frame on every disk.
#[derive(Default)]
struct Found {
    /// Per key and number: the value of the change, and where it is.
    changes: BTreeMap<(Bytes, Seq), (Option<Bytes>, On)>,
    history: BTreeMap<(u8, Seq), On>,
    verdicts: History,
}

/// A key of which a loss could take, or bring back, something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    /// The key; `None` where it is knowledge about commits.
    pub key: Option<Bytes>,
    /// What is wrong.
    pub what: String,
}

impl Embedded {
    /// What the logs lack of full redundancy. To be called while nothing else goes on.
    ///
    /// # Errors
    /// [`MetaError`]: a disk or the view can't be read.
    pub fn audit_logs(&self) -> Result<Vec<Weakness>, MetaError> {
        let mut found = Found::default();
        let mut good = 0;
        for disk in self.pool.disks().here() {
            if matches!(disk.health(), Health::Failed(_)) {
                continue;
            }
            good += 1;
            for segment in disk.segments()? {
                disk.scan(segment.number, 0, &mut |frame| {
                    found.take(disk.number(), &frame);
                })?;
            }
        }
        let wanted = self.copies_wanted().min(good);
        let mut weak = Vec::new();
        self.audit_rows(&found, wanted, &mut weak)?;
        self.audit_deletions(&found, wanted, &mut weak)?;
        for ((kind, seq), on) in &found.history {
            if on.len() < wanted {
                weak.push(Weakness {
                    key: None,
                    what: format!("frame of kind {kind} of {:x} is on {on:?} only", seq.0),
                });
            }
        }
        Ok(weak)
    }

    fn audit_rows(
        &self,
        found: &Found,
        wanted: usize,
        weak: &mut Vec<Weakness>,
    ) -> Result<(), MetaError> {
        let view = self.view.current()?;
        let (rows, _) = rows_of(&*view, &[], usize::MAX, usize::MAX, &|_, _| true)?;
        for (key, row) in rows {
            let copies = found.changes.get(&(key.clone(), row.seq));
            let on = copies.filter(|(value, _)| *value == row.value);
            let on = on.map_or(On::new(), |(_, on)| on.clone());
            if on.len() < wanted {
                let what = format!("copies on {on:?} only, {wanted} are wanted");
                weak.push(Weakness {
                    key: Some(key),
                    what,
                });
            }
        }
        Ok(())
    }

    /// Where a value of a key is anywhere that is gone, enough disks must know that it is.
    fn audit_deletions(
        &self,
        found: &Found,
        wanted: usize,
        weak: &mut Vec<Weakness>,
    ) -> Result<(), MetaError> {
        let mut newest: BTreeMap<&Bytes, Seq> = BTreeMap::new();
        for ((key, seq), (value, _)) in &found.changes {
            let counts = found.verdicts.verdict(*seq) != Verdict::Void;
            if value.is_some() && counts {
                newest.insert(key, *seq);
            }
        }
        for (key, seq) in newest {
            if self.view.current()?.get(key)?.is_some() {
                continue;
            }
            let later = found
                .changes
                .range((key.clone(), seq)..=(key.clone(), Seq(u64::MAX)));
            let best = later
                .filter(|(_, (value, _))| value.is_none())
                .map(|(_, (_, on))| on.len())
                .max()
                .unwrap_or(0);
            if best < wanted {
                let horizon = self.horizon(None)?;
                let all = found
                    .changes
                    .range((key.clone(), Seq(0))..=(key.clone(), Seq(u64::MAX)));
                let all: Vec<String> = all
                    .map(|((_, seq), (value, on))| {
                        let verdict = found.verdicts.verdict(*seq);
                        format!("{:x} {} {verdict:?} {on:?}", seq.0, value.is_some())
                    })
                    .collect();
                let what = format!(
                    "deleted, which {best} disks know, {wanted} are wanted: {}, horizon {:x}, {all:?}",
                    String::from_utf8_lossy(key),
                    horizon.0
                );
                weak.push(Weakness { key: None, what });
            }
        }
        Ok(())
    }
}

impl Found {
    fn take(&mut self, disk: DiskNo, frame: &ScannedFrame) {
        self.verdicts.read(frame);
        match frame.kind {
            FrameKind::Commit => {
                let body = decode_commit(&frame.meta);
                for change in body.map_or(Vec::new(), |body| body.changes) {
                    let known = self
                        .changes
                        .entry((change.key, frame.seq))
                        .or_insert_with(|| (change.value, On::new()));
                    known.1.insert(disk);
                }
            }
            FrameKind::Checkpoint => {
                let body = CheckpointBody::decode(&frame.meta);
                if body.is_some_and(|body| !body.void.is_empty()) {
                    self.note_history(disk, frame);
                }
            }
            FrameKind::Epoch => self.note_history(disk, frame),
            FrameKind::Shard => {}
        }
    }

    fn note_history(&mut self, disk: DiskNo, frame: &ScannedFrame) {
        let on = self
            .history
            .entry((frame.kind as u8, frame.seq))
            .or_default();
        on.insert(disk);
    }
}
