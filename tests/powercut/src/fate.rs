//! What becomes of unsynced changes when the power goes, and the count of it.

use crate::chance::Chance;

/// How much of what was not synced a cut leaves on one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Any part, drawn for each file and directory on its own; on some disks all of it, on some nothing.
    Any,
    /// Nothing: what a disk with a large cache loses.
    Nothing,
}

/// Draws the fate of each change, and counts.
#[derive(Debug)]
pub(crate) struct Fate {
    chance: Chance,
    /// Fixed for the whole disk, or drawn per file.
    disk_percent: Option<u64>,
    percent: u64,
    /// Changes of names and pieces of writes that survived.
    pub(crate) kept: u64,
    /// Those that did not.
    pub(crate) lost: u64,
}

impl Fate {
    pub(crate) fn new(seed: u64, policy: Policy) -> Self {
        let mut chance = Chance::new(seed);
        let disk_percent = match (policy, chance.next() % 5) {
            (Policy::Nothing, _) | (Policy::Any, 0) => Some(0),
            (Policy::Any, 1) => Some(100),
            (Policy::Any, _) => None,
        };
        Self {
            chance,
            disk_percent,
            percent: 0,
            kept: 0,
            lost: 0,
        }
    }

    /// Another file or directory: how much of it survives is drawn anew.
    pub(crate) fn next_node(&mut self) {
        let drawn = self.chance.next() % 101;
        self.percent = self.disk_percent.unwrap_or(drawn);
    }

    /// Whether the next change survives.
    pub(crate) fn keeps(&mut self) -> bool {
        let keeps = self.chance.percent(self.percent);
        if keeps {
            self.kept += 1;
        } else {
            self.lost += 1;
        }
        keeps
    }

    /// Whether the length of a file is durable before its bytes are.
    pub(crate) fn length_goes_ahead(&mut self) -> bool {
        self.disk_percent != Some(0) && self.chance.percent(25)
    }
}
