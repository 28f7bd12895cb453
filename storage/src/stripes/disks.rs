//! Which disks there are: a table that is replaced as a whole while readers and writers go on with the one that they have.

use std::{ops::Deref, sync::Arc};

use super::crew::Post;
use crate::disk::{Disk, DiskNo, Health, Slot, SlotState};

pub use crate::disk::Role;

/// A disk's place in the pool.
#[derive(Clone, Debug)]
pub struct PoolDisk {
    /// Position in the configuration, from 0.
    pub slot: usize,
    /// Its number.
    pub number: DiskNo,
    /// What it is there for.
    pub role: Role,
    /// Where it is, or should be, for people.
    pub location: String,
    /// The disk, or why it is missing.
    pub disk: Result<Arc<dyn Disk>, String>,
}

impl PoolDisk {
    /// The disk, if it is here, failed or not.
    pub fn here(&self) -> Option<&Arc<dyn Disk>> {
        self.disk.as_ref().ok()
    }

    /// Whether it can be used; a missing one is failed.
    pub fn health(&self) -> Health {
        match &self.disk {
            Ok(disk) => disk.health(),
            Err(reason) => Health::Failed(reason.clone()),
        }
    }
}

impl From<Slot> for PoolDisk {
    fn from(slot: Slot) -> Self {
        Self {
            slot: slot.slot,
            number: slot.number,
            role: slot.role,
            location: slot.location,
            disk: match slot.state {
                SlotState::Present(disk) => Ok(disk),
                SlotState::Missing { reason } => Err(reason),
            },
        }
    }
}

/// The disks at one moment, in order of slot, missing ones included. Cheap to clone. What is looked up in one of these stays
/// consistent with it; who works for long looks again.
#[derive(Clone, Debug)]
pub struct Disks(Arc<Table>);

#[derive(Debug)]
struct Table {
    disks: Vec<PoolDisk>,
    /// What is known of each one's answering.
    posts: Vec<Arc<Post>>,
}

impl Disks {
    pub(super) fn new(disks: Vec<PoolDisk>) -> Self {
        let posts = disks.iter().map(|_| Arc::default()).collect();
        Self(Arc::new(Table { disks, posts }))
    }

    /// These disks instead, with what is known of those that stay.
    pub(super) fn replaced_by(&self, disks: Vec<PoolDisk>) -> Self {
        let post = |disk: &PoolDisk| {
            let known = self.position(disk.number).filter(|at| {
                // One that was opened anew starts with a clean slate.
                match (&self[*at].disk, &disk.disk) {
                    (Ok(old), Ok(new)) => Arc::ptr_eq(old, new),
                    _ => false,
                }
            });
            known.map_or_else(Arc::default, |at| Arc::clone(&self.0.posts[at]))
        };
        let posts = disks.iter().map(post).collect();
        Self(Arc::new(Table { disks, posts }))
    }

    fn position(&self, number: DiskNo) -> Option<usize> {
        self.iter().position(|disk| disk.number == number)
    }

    /// The entry of this number.
    pub fn entry(&self, number: DiskNo) -> Option<&PoolDisk> {
        self.iter().find(|disk| disk.number == number)
    }

    /// The disks that are here, failed or not.
    pub fn here(&self) -> impl Iterator<Item = &Arc<dyn Disk>> {
        self.iter().filter_map(PoolDisk::here)
    }

    pub(super) fn posts(&self) -> impl Iterator<Item = (&PoolDisk, &Arc<Post>)> {
        self.iter().zip(&self.0.posts)
    }

    pub(super) fn post(&self, number: DiskNo) -> Option<(&PoolDisk, &Arc<Post>)> {
        self.posts().find(|(disk, _)| disk.number == number)
    }
}

impl Deref for Disks {
    type Target = [PoolDisk];

    fn deref(&self) -> &[PoolDisk] {
        &self.0.disks
    }
}

impl<'a> IntoIterator for &'a Disks {
    type Item = &'a PoolDisk;
    type IntoIter = std::slice::Iter<'a, PoolDisk>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
