//! What epoch and checkpoint frames say: which commits are settled, which are void, which are in doubt.
//!
//! Invariant: more frames never bring a commit back into doubt. So what is no longer in doubt may be sorted away while the logs are
//! still being read; whether it is void is asked again when all is read.

use std::collections::{BTreeMap, HashSet};

use crate::{
    disk::{FrameKind, ScannedFrame, Seq},
    meta::embedded::{
        body::{CheckpointBody, EpochBody},
        log_ends::LogEnds,
    },
};

/// What was read so far.
#[derive(Debug, Default)]
pub(in crate::meta::embedded) struct History {
    /// The highest epoch seen.
    pub(in crate::meta::embedded) epoch: u32,
    /// Everything up to this number is durable, or void.
    pub(in crate::meta::embedded) settled: Seq,
    void: HashSet<Seq>,
    /// How far the logs go.
    pub(in crate::meta::embedded) logs: LogEnds,
    /// Number of the frame that said which disks came back old.
    logs_seq: Seq,
    closed: BTreeMap<u32, EpochBody>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::meta::embedded) enum Verdict {
    Valid,
    Void,
    InDoubt,
}

impl History {
    /// Before anything is read: a view that has everything up to `settled`.
    pub(in crate::meta::embedded) fn since(settled: Seq) -> Self {
        Self {
            epoch: settled.epoch(),
            settled,
            ..Self::default()
        }
    }

    /// Takes a frame to account. True if that may have settled something.
    pub(in crate::meta::embedded) fn read(&mut self, frame: &ScannedFrame) -> bool {
        self.epoch = self.epoch.max(frame.seq.epoch());
        match frame.kind {
            FrameKind::Epoch => {
                let Some(mut body) = EpochBody::decode(&frame.meta) else {
                    return false;
                };
                self.note_logs(frame.seq, std::mem::take(&mut body.logs));
                self.close(body)
            }
            FrameKind::Checkpoint => {
                let Some(body) = CheckpointBody::decode(&frame.meta) else {
                    return false;
                };
                self.void.extend(body.void);
                self.note_logs(frame.seq, body.logs);
                self.settle(body.settled)
            }
            FrameKind::Commit | FrameKind::Shard => false,
        }
    }

    /// The newest says which disks are still as they were at an earlier time.
    fn note_logs(&mut self, seq: Seq, logs: LogEnds) {
        self.logs.extend(logs.ends);
        if seq >= self.logs_seq {
            self.logs_seq = seq;
            self.logs.past = logs.past;
        }
    }

    fn close(&mut self, body: EpochBody) -> bool {
        self.epoch = self.epoch.max(body.epoch);
        self.settle(body.settled);
        self.closed.insert(body.epoch, body).is_none()
    }

    fn settle(&mut self, settled: Seq) -> bool {
        let news = settled > self.settled;
        self.settled = self.settled.max(settled);
        news
    }

    pub(in crate::meta::embedded) fn verdict(&self, seq: Seq) -> Verdict {
        if self.void.contains(&seq) {
            return Verdict::Void;
        }
        let closing = self.closed.range(seq.epoch() + 1..).next();
        match closing {
            Some((_, body)) if seq <= body.settled || body.adopted.binary_search(&seq).is_ok() => {
                Verdict::Valid
            }
            Some(_) => Verdict::Void,
            None if seq <= self.settled => Verdict::Valid,
            None => Verdict::InDoubt,
        }
    }

    /// What was adopted and is not settled yet: the next epoch has to name it again. Ascending.
    pub(in crate::meta::embedded) fn adopted(&self) -> Vec<Seq> {
        let adopted = self.closed.values().flat_map(|body| &body.adopted).copied();
        let mut open: Vec<Seq> = adopted
            .filter(|seq| *seq > self.settled && self.verdict(*seq) == Verdict::Valid)
            .collect();
        open.sort_unstable();
        open.dedup();
        open
    }
}
