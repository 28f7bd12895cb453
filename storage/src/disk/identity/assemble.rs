//! The decision at start-up, slot by slot.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    DISK_FILE, IDENTITY_FORMAT, IdentityError, MOVING_FORMAT, Member, Roster,
    document::{Document, Loaded, Membership, hex},
};
use crate::{
    disk::{
        DiskError, DiskNo, Role,
        floor::{FLOOR_PATH, Floor},
        segments,
        volume::{Volume, VolumeLock},
    },
    rng::Rng,
};

/// A directory is never created: on a mount point whose disk is not mounted it would be made on another disk.
const NO_DIRECTORY: &str = "there is no such directory: create it (mkdir -p) to use it as a new disk, or mount what belongs there";

/// The cluster as it was found or made.
#[derive(Debug)]
pub struct Assembly {
    /// Its id.
    pub cluster_id: u128,
    /// Generation of its membership.
    pub generation: u64,
    /// The profile that was set when it was made.
    pub profile: Option<String>,
    /// Its disks, by slot.
    pub disks: Vec<Assembled>,
    /// Whether it was made just now.
    pub created: bool,
    /// What people should know: replacements, additions, disks that are missing.
    pub reports: Vec<String>,
    membership: Membership,
}

impl Assembly {
    /// For changing the membership while the disks are open; `volumes` in order of slot.
    pub(in crate::disk) fn roster(&self, volumes: Vec<Arc<dyn Volume>>) -> Roster {
        Roster::new(self.membership.clone(), volumes)
    }
}

/// One slot.
#[derive(Debug)]
pub struct Assembled {
    /// Which disk is in it.
    pub member: Member,
    /// What it is there for.
    pub role: Role,
    /// Where it is, or should be, for people.
    pub location: String,
    /// Whether the disk took another one's place, or was added, at this start: it holds nothing yet. Not set in a new cluster.
    pub replaced: bool,
    /// Whether it can be used.
    pub state: AssembledState,
}

/// Whether a slot's disk can be used.
#[derive(Debug)]
pub enum AssembledState {
    /// It can.
    Present {
        /// Where its files are.
        volume: Arc<dyn Volume>,
        /// Keeps others off.
        lock: Box<dyn VolumeLock>,
    },
    /// It can't.
    Missing {
        /// Why.
        reason: String,
    },
}

/// Puts the disks together: formats a new cluster where all directories are empty, replaces a known disk by an empty directory
/// in its place, adds empty directories at the end. `profile` is written down for a new cluster.
///
/// # Errors
/// [`IdentityError`], with nothing changed on disk unless the variant says so.
pub fn assemble(
    volumes: Vec<Arc<dyn Volume>>,
    profile: Option<&str>,
    rng: &dyn Rng,
) -> Result<Assembly, IdentityError> {
    let slots = volumes
        .into_iter()
        .map(inspect)
        .collect::<Result<Vec<_>, _>>()?;
    if slots.is_empty() {
        return Err(IdentityError::NoDirectories);
    }
    match authority(&slots)? {
        Some(membership) => join(slots, membership, rng),
        None => create(slots, profile, rng),
    }
}

/// A directory as found.
pub(super) struct Found {
    volume: Arc<dyn Volume>,
    pub(super) content: Content,
}

pub(super) enum Content {
    Empty(Box<dyn VolumeLock>),
    /// Generation 0: a formatting that may not have come to its end. Holds nothing.
    Forming(Box<Document>, Box<dyn VolumeLock>),
    Disk(Box<Document>, Box<dyn VolumeLock>),
    Unusable(String),
}

impl Found {
    fn path(&self) -> String {
        self.volume.location()
    }

    fn document(&self) -> Option<&Document> {
        match &self.content {
            Content::Disk(document, _) => Some(document),
            Content::Empty(_) | Content::Forming(..) | Content::Unusable(_) => None,
        }
    }

    /// Takes a disk whose formatting was interrupted for what it is in this cluster: a member whose document lags behind, or nothing.
    fn resolve_forming(self, slot: usize, membership: &Membership) -> Self {
        let Self { volume, content } = self;
        let content = match content {
            Content::Forming(document, lock)
                if membership.members.get(slot) == Some(&document.own) =>
            {
                Content::Disk(document, lock)
            }
            Content::Forming(_, lock) => Content::Empty(lock),
            other => other,
        };
        Self { volume, content }
    }
}

pub(super) fn inspect(volume: Arc<dyn Volume>) -> Result<Found, IdentityError> {
    let content = match volume.lock() {
        Ok(lock) => content(&*volume, lock)?,
        Err(DiskError::Io {
            errno: libc::EWOULDBLOCK,
            ..
        }) => {
            return Err(IdentityError::InUse {
                path: volume.location(),
            });
        }
        Err(DiskError::NotFound) => Content::Unusable(NO_DIRECTORY.to_owned()),
        Err(error) => Content::Unusable(error.to_string()),
    };
    Ok(Found { volume, content })
}

/// Refuses a directory in which anything is of a later format, before a byte of any directory is changed.
fn check_formats(volume: &dyn Volume) -> Result<(), IdentityError> {
    let floor = || Some((FLOOR_PATH.to_owned(), Floor::newer_format(volume)?));
    match segments::newer_format(volume).or_else(floor) {
        None => Ok(()),
        Some((file, found)) => Err(IdentityError::NewerFormat {
            path: format!("{}/{file}", volume.location()),
            found,
            supported: IDENTITY_FORMAT,
        }),
    }
}

fn content(volume: &dyn Volume, lock: Box<dyn VolumeLock>) -> Result<Content, IdentityError> {
    let path = volume.location();
    match Document::load(volume) {
        Ok(Loaded::Document(document)) if document.membership.generation == 0 => {
            Ok(Content::Forming(document, lock))
        }
        Ok(Loaded::Document(document)) => {
            check_formats(volume)?;
            Ok(Content::Disk(document, lock))
        }
        Ok(Loaded::Newer(found)) => Err(IdentityError::NewerFormat {
            path,
            found,
            supported: MOVING_FORMAT,
        }),
        Ok(Loaded::Damaged(why)) => Ok(Content::Unusable(format!("{DISK_FILE} is damaged: {why}"))),
        Err(DiskError::NotFound) => content_without_document(volume, lock),
        Err(error) => Ok(Content::Unusable(error.to_string())),
    }
}

fn content_without_document(
    volume: &dyn Volume,
    lock: Box<dyn VolumeLock>,
) -> Result<Content, IdentityError> {
    // mkfs makes lost+found; an interrupted formatting leaves the temporary file.
    let ours = |name: &str| name == "lost+found" || name.strip_suffix(".tmp") == Some(DISK_FILE);
    match volume.list("") {
        Ok(entries) => match entries.into_iter().find(|entry| !ours(&entry.name)) {
            None => Ok(Content::Empty(lock)),
            Some(entry) => Err(IdentityError::NotEmpty {
                path: volume.location(),
                example: entry.name,
            }),
        },
        Err(error) => Ok(Content::Unusable(error.to_string())),
    }
}

/// The membership that counts, if any disk holds one.
fn authority(slots: &[Found]) -> Result<Option<Membership>, IdentityError> {
    let Some(cluster_id) = common_cluster(slots)? else {
        return Ok(None);
    };
    let documents = || {
        slots
            .iter()
            .filter_map(|slot| Some((slot, slot.document()?)))
    };
    let generation = documents()
        .map(|(_, d)| d.membership.generation)
        .max()
        .unwrap_or(0);
    let newest = || documents().filter(|(_, d)| d.membership.generation == generation);
    let holders = |membership: &Membership| {
        newest()
            .filter(|(_, d)| d.membership == *membership)
            .count()
    };
    let Some((best_slot, best)) = newest().max_by_key(|(_, d)| holders(&d.membership)) else {
        return Ok(None);
    };
    let best_holders = holders(&best.membership);
    let rival = newest()
        .find(|(_, d)| d.membership != best.membership && holders(&d.membership) == best_holders);
    debug_assert_eq!(best.membership.cluster_id, cluster_id, "checked before");
    match rival {
        Some((other, _)) => Err(IdentityError::Conflict {
            path: best_slot.path(),
            other: other.path(),
            generation,
        }),
        None => Ok(Some(best.membership.clone())),
    }
}

/// The cluster of the disks; that of most of them is right where they differ, the first one's in a draw.
fn common_cluster(slots: &[Found]) -> Result<Option<u128>, IdentityError> {
    let clusters: Vec<u128> = slots
        .iter()
        .filter_map(|s| Some(s.document()?.membership.cluster_id))
        .collect();
    let count = |id: u128| clusters.iter().filter(|other| **other == id).count();
    // `rev`: of equal ones `max_by_key` takes the last.
    let Some(expected) = clusters.iter().rev().max_by_key(|id| count(**id)).copied() else {
        return Ok(None);
    };
    let is_other = |document: &Document| document.membership.cluster_id != expected;
    match slots
        .iter()
        .find(|slot| slot.document().is_some_and(is_other))
    {
        Some(slot) => Err(IdentityError::OtherCluster {
            path: slot.path(),
            found: hex(slot.document().map_or(0, |d| d.membership.cluster_id)),
            expected: hex(expected),
        }),
        None => Ok(Some(expected)),
    }
}

fn create(
    slots: Vec<Found>,
    profile: Option<&str>,
    rng: &dyn Rng,
) -> Result<Assembly, IdentityError> {
    let is_unusable = |slot: &Found| matches!(slot.content, Content::Unusable(_));
    if slots.iter().all(is_unusable) {
        return Err(nothing_readable(&slots));
    }
    slots.iter().try_for_each(check_usable_as_new)?;
    let membership = Membership::draw(slots.len(), profile, rng)?;
    let forming = Membership {
        generation: 0,
        ..membership.clone()
    };
    let slots = forming.format_all(slots)?;
    let slots = membership.format_all(slots)?;
    let mut assembly = Assembly::of(&membership);
    assembly.created = true;
    assembly
        .reports
        .push(format!("formatted a new cluster of {} disks", slots.len()));
    let settled = slots.into_iter().enumerate();
    assembly.disks = settled
        .map(|(slot, found)| membership.settle(slot, found, false).1)
        .collect();
    Ok(assembly)
}

fn join(
    slots: Vec<Found>,
    mut membership: Membership,
    rng: &dyn Rng,
) -> Result<Assembly, IdentityError> {
    let resolved = slots.into_iter().enumerate();
    let slots: Vec<Found> = resolved
        .map(|(slot, found)| found.resolve_forming(slot, &membership))
        .collect();
    membership.check_count(&slots)?;
    membership.check_surplus(&slots)?;
    for (slot, found) in slots.iter().enumerate() {
        membership.check_place(slot, found)?;
    }
    let mut reports = Vec::new();
    let fresh = membership.take_in(&slots, rng, &mut reports)?;
    let found = membership.confirm_places(&slots);
    membership.generation += u64::from(found || !fresh.is_empty());
    let mut assembly = Assembly::of(&membership);
    assembly.reports = reports;
    for (slot, found) in slots.into_iter().enumerate() {
        let disk = assembly.settle(&membership, slot, found, fresh.contains(&slot));
        assembly.disks.push(disk);
    }
    Ok(assembly)
}

fn check_usable_as_new(found: &Found) -> Result<(), IdentityError> {
    match &found.content {
        Content::Unusable(reason) => Err(IdentityError::NewDiskUnusable {
            path: found.path(),
            reason: reason.clone(),
        }),
        Content::Empty(_) | Content::Forming(..) | Content::Disk(..) => Ok(()),
    }
}

fn nothing_readable(slots: &[Found]) -> IdentityError {
    let reason = slots
        .first()
        .map_or(String::new(), |slot| match &slot.content {
            Content::Unusable(reason) => reason.clone(),
            Content::Empty(_) | Content::Forming(..) | Content::Disk(..) => String::new(),
        });
    let path = slots.first().map_or(String::new(), Found::path);
    IdentityError::NothingReadable { path, reason }
}

fn random_id(rng: &dyn Rng) -> u128 {
    (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64())
}

impl Assembly {
    fn of(membership: &Membership) -> Self {
        Self {
            cluster_id: membership.cluster_id,
            generation: membership.generation,
            profile: membership.profile.clone(),
            disks: Vec::new(),
            created: false,
            reports: Vec::new(),
            membership: membership.clone(),
        }
    }

    /// Settles a slot; a disk that can't be written is out, and said to be.
    fn settle(
        &mut self,
        membership: &Membership,
        slot: usize,
        found: Found,
        fresh: bool,
    ) -> Assembled {
        let path = found.path();
        let (_, disk) = membership.settle(slot, found, fresh);
        if let AssembledState::Missing { reason } = &disk.state {
            let DiskNo(number) = disk.member.number;
            self.reports.push(format!(
                "disk {number} ({path}, place {slot}) is missing: {reason}"
            ));
        }
        disk
    }
}

impl Membership {
    /// A new cluster.
    fn draw(count: usize, profile: Option<&str>, rng: &dyn Rng) -> Result<Self, IdentityError> {
        let mut membership = Self {
            cluster_id: random_id(rng),
            generation: 1,
            members: Vec::new(),
            next_number: 0,
            profile: profile.map(str::to_owned),
            draining: BTreeSet::new(),
            joined_at: BTreeMap::new(),
        };
        for _ in 0..count {
            let member = membership.draw_member(rng)?;
            membership.members.push(member);
        }
        Ok(membership)
    }

    /// Writes every slot's document; all or an error.
    fn format_all(&self, slots: Vec<Found>) -> Result<Vec<Found>, IdentityError> {
        slots
            .into_iter()
            .enumerate()
            .map(|(slot, found)| self.format(slot, found))
            .collect()
    }

    fn format(&self, slot: usize, found: Found) -> Result<Found, IdentityError> {
        let path = found.path();
        let document = Box::new(self.document(slot));
        let volume = Arc::clone(&found.volume);
        match self.settle(slot, found, true) {
            (
                Ok(()),
                Assembled {
                    state: AssembledState::Present { lock, .. },
                    ..
                },
            ) => Ok(Found {
                volume,
                content: Content::Disk(document, lock),
            }),
            (Err(source), _) => Err(IdentityError::Format { path, source }),
            (
                _,
                Assembled {
                    state: AssembledState::Missing { reason },
                    ..
                },
            ) => Err(IdentityError::NewDiskUnusable { path, reason }),
        }
    }

    /// What `disk.json` of a slot is to say.
    pub(super) fn document(&self, slot: usize) -> Document {
        Document {
            own: self.members[slot],
            slot,
            membership: self.clone(),
        }
    }

    /// Refuses too few directories, and so many empty ones that they are more likely not mounted than new.
    fn check_count(&self, slots: &[Found]) -> Result<(), IdentityError> {
        let expected = self.members.len();
        if slots.len() < expected {
            return Err(IdentityError::TooFewDirectories {
                expected,
                got: slots.len(),
                missing: self.not_among(slots),
            });
        }
        let is_empty = |slot: &&Found| matches!(slot.content, Content::Empty(_));
        let empty = slots.iter().take(expected).filter(is_empty).count();
        if empty * 2 > expected {
            return Err(IdentityError::MostlyEmpty { expected, empty });
        }
        Ok(())
    }

    /// The members that are none of these directories, for people.
    fn not_among(&self, slots: &[Found]) -> String {
        let is_here = |member: &Member| {
            let own = |found: &Found| found.document().is_some_and(|d| d.own == *member);
            slots.iter().any(own)
        };
        let missing = self.members.iter().enumerate();
        let missing = missing.filter(|(_, member)| !is_here(member));
        let name = |(slot, member): (usize, &Member)| {
            let at = self.joined_at.get(&member.number);
            let at = at.map_or_else(String::new, |path| format!(", put in at {path}"));
            format!(
                "disk {} (place {slot}, counted from 0{at})",
                member.number.0
            )
        };
        missing.map(name).collect::<Vec<_>>().join(", ")
    }

    /// Refuses a directory that is no disk and has pushed disks of the cluster out of their places: a removed one, most likely; and an
    /// empty one in the place of a disk that was put in elsewhere.
    fn check_surplus(&self, slots: &[Found]) -> Result<(), IdentityError> {
        let belongs = |found: &Found| {
            let own = found.document()?.own;
            self.members.iter().position(|member| *member == own)
        };
        let is_pushed = |given: usize| {
            let mut behind = slots.iter().skip(given + 1);
            behind.any(|found| belongs(found) == Some(given))
        };
        for (given, (found, member)) in slots.iter().zip(&self.members).enumerate() {
            if found.document().is_some() {
                continue;
            }
            let (path, DiskNo(expected)) = (found.path(), member.number);
            if is_pushed(given) {
                return Err(IdentityError::Surplus {
                    path,
                    given,
                    expected,
                });
            }
            let joined_at = self.joined_at.get(&member.number);
            if let Some(joined_at) = joined_at.filter(|joined_at| **joined_at != path)
                && matches!(found.content, Content::Empty(_))
            {
                return Err(IdentityError::PutInElsewhere {
                    path,
                    given,
                    expected,
                    joined_at: joined_at.clone(),
                });
            }
        }
        Ok(())
    }

    fn role(&self, number: DiskNo) -> Role {
        if self.draining.contains(&number) {
            Role::Draining
        } else {
            Role::Member
        }
    }

    pub(super) fn draw_member(&mut self, rng: &dyn Rng) -> Result<Member, IdentityError> {
        let number = u16::try_from(self.next_number).map_err(|_| IdentityError::NoNumberLeft)?;
        self.next_number += 1;
        Ok(Member {
            number: DiskNo(number),
            disk_id: random_id(rng),
        })
    }

    /// Refuses a disk that is not the one expected in this place.
    fn check_place(&self, slot: usize, found: &Found) -> Result<(), IdentityError> {
        let Some(document) = found.document() else {
            return Ok(());
        };
        let own_id = document.own.disk_id;
        let DiskNo(number) = document.own.number;
        match self
            .members
            .iter()
            .position(|member| member.disk_id == own_id)
        {
            Some(belongs) if belongs == slot => Ok(()),
            Some(belongs) => Err(IdentityError::WrongSlot {
                path: found.path(),
                found: number,
                belongs,
                given: slot,
            }),
            None => Err(IdentityError::ReplacedSince {
                path: found.path(),
                found: number,
                given: slot,
                expected: self.expected_in(slot),
            }),
        }
    }

    fn expected_in(&self, slot: usize) -> String {
        match self.members.get(slot) {
            Some(member) => format!("disk {}", member.number.0),
            None => "none, or an empty directory".to_owned(),
        }
    }

    /// Gives numbers to the empty directories and returns their slots. Raises the generation if there are any.
    fn take_in(
        &mut self,
        slots: &[Found],
        rng: &dyn Rng,
        reports: &mut Vec<String>,
    ) -> Result<Vec<usize>, IdentityError> {
        let mut fresh = Vec::new();
        for (slot, found) in slots.iter().enumerate() {
            let known = self.members.get(slot).copied();
            if known.is_none() {
                check_usable_as_new(found)?;
            } else if !matches!(found.content, Content::Empty(_)) {
                continue;
            }
            let member = self.draw_member(rng)?;
            reports.push(arrival(known, member, slot, &found.path()));
            match self.members.get_mut(slot) {
                Some(place) => *place = member,
                None => self.members.push(member),
            }
            fresh.push(slot);
        }
        self.forget_strangers();
        Ok(fresh)
    }

    /// Forgets where disks were put in while the cluster served that are found in their places now. True if there were any.
    fn confirm_places(&mut self, slots: &[Found]) -> bool {
        let before = self.joined_at.len();
        for (slot, found) in slots.iter().enumerate() {
            if found.document().is_some() {
                self.joined_at.remove(&self.members[slot].number);
            }
        }
        self.joined_at.len() < before
    }

    /// Writes the document of a slot where it is not the one that is there.
    fn settle(
        &self,
        slot: usize,
        found: Found,
        replaced: bool,
    ) -> (Result<(), DiskError>, Assembled) {
        let member = self.members[slot];
        let role = self.role(member.number);
        let document = self.document(slot);
        let Found { volume, content } = found;
        let location = volume.location();
        let (lock, stored) = match content {
            Content::Unusable(reason) => {
                let state = AssembledState::Missing { reason };
                return (
                    Ok(()),
                    Assembled {
                        member,
                        role,
                        location,
                        replaced,
                        state,
                    },
                );
            }
            Content::Disk(old, lock) if *old == document => (lock, Ok(())),
            Content::Disk(_, lock) | Content::Forming(_, lock) | Content::Empty(lock) => {
                (lock, document.store(&*volume))
            }
        };
        let state = match &stored {
            Ok(()) => AssembledState::Present { volume, lock },
            Err(error) => AssembledState::Missing {
                reason: error.to_string(),
            },
        };
        (
            stored,
            Assembled {
                member,
                role,
                location,
                replaced,
                state,
            },
        )
    }
}

fn arrival(known: Option<Member>, member: Member, slot: usize, path: &str) -> String {
    let DiskNo(number) = member.number;
    match known {
        Some(old) => format!(
            "disk {} is replaced by disk {number} ({path}, place {slot}), which is empty: what the old one held is read through the others",
            old.number.0
        ),
        None => format!("disk {number} ({path}, place {slot}) is added"),
    }
}
