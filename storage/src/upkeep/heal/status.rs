//! How healing stands, for people.

use std::{collections::BTreeMap, time::Duration};

/// What healing is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealState {
    /// All that can be healed is.
    Idle,
    /// It looks at all metadata for what lacks redundancy.
    Surveying,
    /// It heals.
    Healing,
    /// It moves shards from fuller disks to emptier ones.
    Levelling,
    /// It was told to pause.
    Paused,
    /// There is something to heal that has to wait; the text says for what.
    Waiting(String),
}

/// Objects, parts and other records, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub objects: u64,
    /// Bytes of their contents, before coding.
    pub bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// How healing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealStatus {
    /// What it is doing.
    pub state: HealState,
    /// What lacks redundancy, by the number of further losses that it survives; below 0 it can't be read. As of the last survey, less
    /// what was healed since.
    pub degraded: BTreeMap<i64, Tally>,
    /// Of that, what has to wait for a disk that is not here, or for room.
    pub waiting: Tally,
    /// Objects and parts of which too few shards are left.
    pub lost: Tally,
    /// What this round has healed.
    pub done: Tally,
    /// What this round has to heal in all.
    pub total: Tally,
    /// Bytes healed per second, of late.
    pub bytes_per_second: u64,
    /// How long what is left will take at this rate; `None` where nobody can say.
    pub left: Option<Duration>,
    /// What went wrong last, if anything did since the start.
    pub last_error: Option<String>,
    /// Objects and parts healed since the start.
    pub healed_objects: u64,
    /// Bytes of these.
    pub healed_bytes: u64,
    /// Deletions and other frames that were copied to disks that lacked them, since the start.
    pub restored_frames: u64,
    /// Shards that were moved from fuller disks to emptier ones, and their bytes, since the start.
    pub moved: Tally,
    /// Bytes that are to move to emptier disks until all are level.
    pub left_to_move_bytes: u64,
    /// Surveys made since the start.
    pub surveys: u64,
}

impl Default for HealStatus {
    fn default() -> Self {
        Self {
            state: HealState::Idle,
            degraded: BTreeMap::new(),
            waiting: Tally::default(),
            lost: Tally::default(),
            done: Tally::default(),
            total: Tally::default(),
            bytes_per_second: 0,
            left: None,
            last_error: None,
            healed_objects: 0,
            healed_bytes: 0,
            restored_frames: 0,
            moved: Tally::default(),
            left_to_move_bytes: 0,
            surveys: 0,
        }
    }
}
