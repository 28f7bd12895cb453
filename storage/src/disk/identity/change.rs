//! Changing the membership of a cluster that is open: a disk comes, is drained, goes, or takes another's place.
//!
//! A change is a document of the next generation for every disk, as at a start, and is crash-safe for the same reason: whichever
//! of them are written, the next start finds the old membership or the new one. A newcomer is written first: while no other disk knows of
//! it, it is a directory that nobody asks for, and may be handed in again.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    DISK_FILE, IdentityError, Member,
    assemble::{Content, inspect},
    document::{Document, Membership, hex},
};
use crate::{
    disk::{
        DiskError, DiskNo, Role, segments,
        volume::{Volume, VolumeLock},
    },
    rng::Rng,
};

/// The membership of an open cluster.
#[derive(Debug)]
pub struct Roster {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    membership: Membership,
    /// Where the disks' files are, by number.
    volumes: BTreeMap<DiskNo, Arc<dyn Volume>>,
    /// The highest generation that any disk may have been given.
    spent_generation: u64,
}

/// One `disk.json` to be written.
pub(crate) type Write = Box<dyn FnOnce() -> Result<(), DiskError> + Send>;

/// A membership that is not in force yet.
#[derive(Debug)]
pub struct Proposal {
    membership: Membership,
    volumes: BTreeMap<DiskNo, Arc<dyn Volume>>,
}

/// A directory that may become a disk.
#[derive(Debug)]
pub struct Newcomer {
    /// Its identity.
    pub member: Member,
    /// Its place.
    pub slot: usize,
    /// The cluster's id.
    pub cluster_id: u128,
    /// Where its files are.
    pub volume: Arc<dyn Volume>,
    /// Keeps others off.
    pub lock: Box<dyn VolumeLock>,
}

/// Which place a newcomer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One of its own, after the others.
    Last,
    /// That of this disk.
    Of(DiskNo),
}

impl Roster {
    pub(super) fn new(membership: Membership, volumes: Vec<Arc<dyn Volume>>) -> Self {
        let numbers = membership.members.iter().map(|member| member.number);
        let state = State {
            volumes: numbers.zip(volumes).collect(),
            spent_generation: membership.generation,
            membership,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// The numbers of all disks, by slot.
    pub fn numbers(&self) -> Vec<DiskNo> {
        let state = self.state.lock();
        let members = state.membership.members.iter();
        members.map(|member| member.number).collect()
    }

    /// Has the profile of a cluster that knows none written down with the next change.
    pub fn remember_profile(&self, profile: &str) {
        let mut state = self.state.lock();
        let known = &mut state.membership.profile;
        known.get_or_insert_with(|| profile.to_owned());
    }

    /// Takes an empty directory for a new disk. Nothing is written yet.
    ///
    /// # Errors
    /// [`IdentityError`]: it is not empty, another's, in use, or can't be used.
    pub fn admit(
        &self,
        volume: Arc<dyn Volume>,
        place: Place,
        rng: &dyn Rng,
    ) -> Result<(Newcomer, Proposal), IdentityError> {
        let mut proposal = self.proposal();
        let membership = &mut proposal.membership;
        let lock = vacant(&volume, membership)?;
        let member = membership.draw_member(rng)?;
        let slot = membership.seat(member, place);
        let path = volume.location();
        membership.joined_at.insert(member.number, path);
        proposal.volumes.insert(member.number, Arc::clone(&volume));
        proposal.tidy();
        let newcomer = Newcomer {
            member,
            slot,
            cluster_id: proposal.membership.cluster_id,
            volume,
            lock,
        };
        Ok((newcomer, proposal))
    }

    /// Gives a disk another role.
    pub fn with_role(&self, number: DiskNo, role: Role) -> Proposal {
        let mut proposal = self.proposal();
        match role {
            Role::Draining => proposal.membership.draining.insert(number),
            Role::Member => proposal.membership.draining.remove(&number),
        };
        proposal
    }

    /// Without a disk. Those behind it move up by a place.
    pub fn without(&self, number: DiskNo) -> Proposal {
        let mut proposal = self.proposal();
        let members = &mut proposal.membership.members;
        members.retain(|member| member.number != number);
        proposal.tidy();
        proposal
    }

    /// The membership as it is, under the next generation: takes back what a change that failed may have left on some disks.
    pub fn unchanged(&self) -> Proposal {
        self.proposal()
    }

    /// `proposal` is in force.
    pub fn accept(&self, proposal: Proposal) {
        let mut state = self.state.lock();
        state.membership = proposal.membership;
        state.volumes = proposal.volumes;
    }

    fn proposal(&self) -> Proposal {
        let mut state = self.state.lock();
        state.spent_generation += 1;
        let mut membership = state.membership.clone();
        membership.generation = state.spent_generation;
        Proposal {
            membership,
            volumes: state.volumes.clone(),
        }
    }
}

impl Proposal {
    /// The disks there are then, by slot.
    pub fn numbers(&self) -> Vec<DiskNo> {
        let members = self.membership.members.iter();
        members.map(|member| member.number).collect()
    }

    /// What is to be written, in order of slot. Each one blocks.
    pub(crate) fn writes(&self) -> Vec<(DiskNo, Write)> {
        let members = self.membership.members.iter().enumerate();
        members
            .filter_map(|(slot, member)| {
                let volume = Arc::clone(self.volumes.get(&member.number)?);
                let document = self.membership.document(slot);
                let write: Write = Box::new(move || document.store(&*volume));
                Some((member.number, write))
            })
            .collect()
    }

    /// Forgets what is said of disks that are no members any more.
    fn tidy(&mut self) {
        let membership = &mut self.membership;
        membership.forget_strangers();
        let members = &membership.members;
        self.volumes
            .retain(|number, _| members.iter().any(|member| member.number == *number));
    }
}

impl Membership {
    /// Drops what is said of disks that are no members any more.
    pub(super) fn forget_strangers(&mut self) {
        let members = &self.members;
        let is_member = |number: &DiskNo| members.iter().any(|member| member.number == *number);
        self.draining.retain(|number| is_member(number));
        self.joined_at.retain(|number, _| is_member(number));
    }

    fn seat(&mut self, member: Member, place: Place) -> usize {
        let of = |number| self.members.iter().position(|m| m.number == number);
        let slot = match place {
            Place::Last => None,
            Place::Of(number) => of(number),
        };
        if let Some(slot) = slot {
            self.members[slot] = member;
            return slot;
        }
        self.members.push(member);
        self.members.len() - 1
    }
}

/// Locks a directory that a disk may be made in.
fn vacant(
    volume: &Arc<dyn Volume>,
    membership: &Membership,
) -> Result<Box<dyn VolumeLock>, IdentityError> {
    let path = volume.location();
    match inspect(Arc::clone(volume))?.content {
        Content::Empty(lock) | Content::Forming(_, lock) => Ok(lock),
        Content::Unusable(reason) => Err(IdentityError::NewDiskUnusable { path, reason }),
        Content::Disk(document, lock) => {
            refuse_others(&path, &document, membership)?;
            if holds_anything(&**volume) {
                let DiskNo(found) = document.own.number;
                return Err(IdentityError::HoldsData { path, found });
            }
            // Left by a change that did not come to its end.
            Ok(lock)
        }
    }
}

fn refuse_others(
    path: &str,
    document: &Document,
    membership: &Membership,
) -> Result<(), IdentityError> {
    if document.membership.cluster_id != membership.cluster_id {
        return Err(IdentityError::OtherCluster {
            path: path.to_owned(),
            found: hex(document.membership.cluster_id),
            expected: hex(membership.cluster_id),
        });
    }
    let own = &document.own;
    if membership.members.iter().any(|member| member == own) {
        return Err(IdentityError::IsMember {
            path: path.to_owned(),
            found: own.number.0,
        });
    }
    Ok(())
}

/// Whether there is more in it than an identity and what opening it makes.
fn holds_anything(volume: &dyn Volume) -> bool {
    let known = |name: &str| {
        name == DISK_FILE
            || name.strip_suffix(".tmp") == Some(DISK_FILE)
            || ["lost+found", "log", "extents", "view"].contains(&name)
    };
    let names = volume.list("");
    let is_strange = names.is_ok_and(|names| names.iter().any(|entry| !known(&entry.name)));
    let extents = volume.list("extents");
    is_strange || segments::are_there(volume) || extents.is_ok_and(|names| !names.is_empty())
}
