//! The names of one directory: what a process sees, what a power cut certainly leaves, and the changes between the two.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    sync::Arc,
};

use crate::{content::Seq, fate::Fate, node::Node};

/// Names and what they lead to.
pub(crate) type Names = BTreeMap<OsString, Arc<Node>>;

#[derive(Debug, Default)]
pub(crate) struct Directory {
    live: Names,
    durable: Names,
    /// In the order in which they came.
    pending: Vec<(Seq, NameChange)>,
}

#[derive(Debug)]
pub(crate) enum NameChange {
    Link(OsString, Arc<Node>),
    Unlink(OsString),
    /// Within the directory. Both names change or neither: file systems promise that much.
    Rename(OsString, OsString, Arc<Node>),
}

impl Directory {
    /// A directory as it is after a power cut: nothing is open.
    pub(crate) fn settled(names: Names) -> Self {
        Self {
            live: names.clone(),
            durable: names,
            pending: Vec::new(),
        }
    }

    pub(crate) fn get(&self, name: &OsStr) -> Option<&Arc<Node>> {
        self.live.get(name)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.live
    }

    pub(crate) fn unsynced_count(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn change(&mut self, seq: Seq, change: NameChange) {
        change.apply(&mut self.live);
        self.pending.push((seq, change));
    }

    /// Makes all changes up to `upto` durable.
    pub(crate) fn sync(&mut self, upto: Seq) {
        let covered = self.pending.partition_point(|(seq, _)| *seq <= upto);
        for (_, change) in self.pending.drain(..covered) {
            change.apply(&mut self.durable);
        }
    }

    /// The names that a power cut leaves.
    pub(crate) fn survivors(&self, fate: &mut Fate) -> Names {
        let mut names = self.durable.clone();
        for (_, change) in &self.pending {
            if fate.keeps() {
                change.apply(&mut names);
            }
        }
        names
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link(name, node) => {
                names.insert(name.clone(), Arc::clone(node));
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), Arc::clone(node));
            }
        }
    }
}
