//! Disks that come and go while a store serves: added, drained, removed, replaced.
//!
//! Each step is a new membership, durable on the disks before it is acted upon where that is the safe order, after where the other is:
//! a newcomer is written to only when all know of it; a disk that leaves is written to no more before anybody forgets it. So whatever a
//! crash leaves is a membership under which nothing is missing.
//!
//! Invariants:
//! - One change at a time.
//! - A membership is in force only when so many disks hold it that the loss of any `m` leaves one that does.

mod usage;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

pub use self::usage::{DiskUsage, Loss, Usage};

use crate::{
    disk::{
        BlobId, Disk, DiskError, DiskNo, Health, IdentityError, LogDisk, OpenOptions, Place, Role,
        Roster, Volume,
        identity::{Newcomer, Proposal, Write},
        open_newcomer,
    },
    meta::{MetaError, embedded::Embedded},
    mutation::{self, Mutation},
    rng::Rng,
    stripes::{Disks, Job, Pool, PoolDisk},
    upkeep::heal::Healer,
};

/// How long a new directory may take for becoming a disk.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a disk can't come or go.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The directory can't be a new disk.
    #[error(transparent)]
    Directory(#[from] IdentityError),
    /// The directory could not be made a disk.
    #[error("{path} could not be made a disk: {reason}")]
    NotMade {
        /// The directory.
        path: String,
        /// Why.
        reason: String,
    },
    /// No such disk.
    #[error("there is no disk {number}; there are {known}")]
    NoSuchDisk {
        /// Its number.
        number: u16,
        /// The numbers that there are.
        known: String,
    },
    /// A disk that works is not to be replaced.
    #[error(
        "disk {number} ({location}) works: only a disk that failed or is missing can be replaced; for one that works, add a new disk, \
         drain this one, and remove it"
    )]
    Works {
        /// Its number.
        number: u16,
        /// Its directory.
        location: String,
    },
    /// Fewer disks would be left than a profile needs.
    #[error(
        "disk {number} can't be taken out: {left} disks would be left, and {what} have profile {profile}, which needs {needed}; add a disk first, or \
         replace this one"
    )]
    TooFewLeft {
        /// Its number.
        number: u16,
        /// Disks that would be left.
        left: usize,
        /// What has the profile.
        what: &'static str,
        /// The profile.
        profile: String,
        /// Disks that it needs.
        needed: usize,
    },
    /// The others have too little room for what a disk holds.
    #[error(
        "disk {number} ({location}) can't be drained: it holds {needed_bytes} bytes of objects, and the other disks have room for {room_bytes} of them; \
         {} more are needed: add a disk, or delete objects",
        needed_bytes.saturating_sub(*room_bytes)
    )]
    NoRoom {
        /// Its number.
        number: u16,
        /// Its directory.
        location: String,
        /// Bytes of shards on it.
        needed_bytes: u64,
        /// What the others can take of them.
        room_bytes: u64,
    },
    /// Something is still on a disk that is to be removed.
    #[error(
        "disk {number} ({location}) is not drained: {left}. Without it, {weakened} objects and other records would be kept less safely than now, \
         and {unreadable} could not be read any more. Drain it first (a dead disk, too: what it held is made anew from the others), or use --force"
    )]
    NotDrained {
        /// Its number.
        number: u16,
        /// Its directory.
        location: String,
        /// What is on it.
        left: String,
        /// Records with less redundancy without it.
        weakened: u64,
        /// Records that can't be read without it.
        unreadable: u64,
    },
    /// The metadata can't be read or written now.
    #[error("{0}; try again")]
    Unavailable(#[from] MetaError),
    /// The membership could not be written to enough disks.
    #[error(
        "the change could not be written to enough disks ({written} of {needed}): {reason}; try again when they work"
    )]
    NotWritten {
        /// Disks that have it.
        written: usize,
        /// Disks that should.
        needed: usize,
        /// What went wrong on one of them.
        reason: String,
    },
}

/// Makes a disk of a directory that has its identity.
pub type OpenNewcomer =
    dyn Fn(Newcomer, &OpenOptions) -> Result<Arc<LogDisk>, DiskError> + Send + Sync;

/// What a [`DiskSet`] works on.
pub struct DiskSetParts {
    /// The disks.
    pub pool: Arc<Pool>,
    /// Their metadata.
    pub engine: Arc<Embedded>,
    /// What moves shards off disks, and makes them anew.
    pub healer: Arc<Healer>,
    /// Their membership.
    pub roster: Roster,
    /// How they are opened.
    pub options: OpenOptions,
    /// Where ids come from.
    pub rng: Arc<dyn Rng>,
    /// Opens a new one.
    pub open: Box<OpenNewcomer>,
}

/// The disks of an open store, for changing which there are.
pub struct DiskSet {
    parts: DiskSetParts,
    one_at_a_time: tokio::sync::Mutex<()>,
    /// Blobs below may have been begun while the disk got shards like any other.
    drained_from: Mutex<BTreeMap<DiskNo, BlobId>>,
}

impl std::fmt::Debug for DiskSetParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskSetParts")
            .field("roster", &self.roster)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for DiskSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskSet")
            .field("roster", &self.parts.roster)
            .finish_non_exhaustive()
    }
}

impl DiskSetParts {
    /// Parts whose newcomers have threads of their own.
    pub fn new(
        pool: &Arc<Pool>,
        engine: &Arc<Embedded>,
        healer: &Arc<Healer>,
        roster: Roster,
        options: OpenOptions,
        rng: Arc<dyn Rng>,
    ) -> Self {
        Self {
            pool: Arc::clone(pool),
            engine: Arc::clone(engine),
            healer: Arc::clone(healer),
            roster,
            options,
            rng,
            open: Box::new(open_newcomer),
        }
    }
}

impl DiskSet {
    /// The disks of `parts`.
    pub fn new(parts: DiskSetParts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            one_at_a_time: tokio::sync::Mutex::default(),
            drained_from: Mutex::default(),
        })
    }

    /// Makes an empty directory a further disk. When it returns, new objects go there too.
    ///
    /// # Errors
    /// [`ChangeError`]: it is no disk; the same directory may be handed in again.
    pub async fn add(self: &Arc<Self>, volume: Arc<dyn Volume>) -> Result<DiskNo, ChangeError> {
        let _alone = self.one_at_a_time.lock().await;
        let number = self.welcome(volume, Place::Last).await?;
        self.parts.healer.wake();
        Ok(number)
    }

    /// Puts an empty directory in the place of a disk that failed or is missing. What that one held is healed onto it.
    ///
    /// # Errors
    /// [`ChangeError`]: the old one keeps its place; the same directory may be handed in again.
    pub async fn replace(
        self: &Arc<Self>,
        number: DiskNo,
        volume: Arc<dyn Volume>,
    ) -> Result<DiskNo, ChangeError> {
        let _alone = self.one_at_a_time.lock().await;
        let old = self.entry(number)?;
        if !matches!(old.health(), Health::Failed(_)) {
            return Err(ChangeError::Works {
                number: number.0,
                location: old.location,
            });
        }
        if let Ok(disk) = old.disk {
            // It is out already; but its directory may be the one that is handed in.
            self.close(disk).await;
        }
        let new = self.welcome(volume, Place::Of(number)).await?;
        self.parts.engine.forget_disk(number);
        self.parts.healer.wake();
        Ok(new)
    }

    /// Has a disk that is being drained be one like any other again.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn cancel_drain(self: &Arc<Self>, number: DiskNo) -> Result<(), ChangeError> {
        let _alone = self.one_at_a_time.lock().await;
        self.entry(number)?;
        self.set_role(number, Role::Member).await?;
        self.parts.healer.wake();
        Ok(())
    }

    /// Has a disk get nothing new, and what it holds move to the others. Remembered over restarts.
    ///
    /// # Errors
    /// [`ChangeError`]: it goes on as before.
    pub async fn drain(self: &Arc<Self>, number: DiskNo) -> Result<(), ChangeError> {
        let _alone = self.one_at_a_time.lock().await;
        let entry = self.entry(number)?;
        let usage = self.usage().await?;
        self.check_left_without(number, &usage)?;
        self.check_room_without(&entry, &usage).await?;
        self.set_role(number, Role::Draining).await?;
        self.note_drain(number);
        self.copy_deletions().await
    }

    /// Forgets a disk on which nothing is left. With `force` also one on which there is: what it held is made anew from the others,
    /// where these suffice.
    ///
    /// # Errors
    /// [`ChangeError`]: it stays; [`ChangeError::NotDrained`] says what would be lost.
    pub async fn remove(self: &Arc<Self>, number: DiskNo, force: bool) -> Result<(), ChangeError> {
        let _alone = self.one_at_a_time.lock().await;
        let entry = self.entry(number)?;
        let usage = self.usage().await?;
        self.check_left_without(number, &usage)?;
        let left = self.left_on(&entry, &usage).await;
        if let Some(left) = left.filter(|_| !force) {
            return Err(self.not_drained(&entry, left).await?);
        }
        let pool = &self.parts.pool;
        pool.change_disks(|disks| disks.retain(|disk| disk.number != number));
        let proposal = self.parts.roster.without(number);
        if let Err(error) = self.put_in_force(proposal, &BTreeSet::new()).await {
            pool.change_disks(|disks| {
                disks.push(entry);
                disks.sort_by_key(|disk| disk.slot);
            });
            return Err(error);
        }
        let numbers = self.parts.roster.numbers();
        pool.change_disks(|disks| renumber(disks, &numbers));
        self.drained_from.lock().remove(&number);
        self.parts.engine.forget_disk(number);
        if let Ok(disk) = entry.disk {
            self.close(disk).await;
        }
        if force {
            self.copy_deletions().await?;
        }
        self.parts.healer.wake();
        Ok(())
    }

    /// The logs of the disks that stay may lack deletions that are on the one that goes: they are looked through.
    async fn copy_deletions(&self) -> Result<(), ChangeError> {
        let disks = self.parts.pool.disks();
        let numbers: Vec<DiskNo> = disks.iter().map(|disk| disk.number).collect();
        let distrusted = self.parts.healer.distrust(&numbers).await;
        self.parts.healer.wake();
        distrusted.map_err(|error| MetaError::Unavailable(error.to_string()).into())
    }

    /// What the records name on which disk.
    ///
    /// # Errors
    /// [`MetaError`]: the metadata can't be read now.
    pub async fn usage(&self) -> Result<Usage, MetaError> {
        Usage::of(&self.parts.pool, &self.parts.engine).await
    }

    /// The disks that can be removed: they are being drained, and nothing is on them any more.
    pub async fn drained(&self, usage: &Usage) -> BTreeSet<DiskNo> {
        let mut drained = BTreeSet::new();
        for disk in &self.parts.pool.disks() {
            if self.left_on(disk, usage).await.is_none() {
                drained.insert(disk.number);
            }
        }
        drained
    }

    /// Why a disk can't be removed yet.
    async fn left_on(&self, entry: &PoolDisk, usage: &Usage) -> Option<String> {
        let on = usage.on(entry.number);
        if entry.role == Role::Draining && mutation::is_active(Mutation::RemoveTooEarly) {
            return None;
        }
        if !on.is_empty() {
            let DiskUsage {
                shards, records, ..
            } = on;
            return Some(format!(
                "{shards} shards and {records} copies of records are on it"
            ));
        }
        if entry.role != Role::Draining {
            return Some("new objects go there".to_owned());
        }
        let from = self.drained_from.lock().get(&entry.number).copied();
        let is_under_way = from.is_some_and(|from| self.parts.pool.oldest_in_flight() < from);
        if is_under_way {
            return Some("uploads that began before are still under way".to_owned());
        }
        let knows_all = self.parts.healer.knows_all().await;
        (!knows_all).then(|| "deletions are being copied to the others".to_owned())
    }

    async fn not_drained(
        &self,
        entry: &PoolDisk,
        left: String,
    ) -> Result<ChangeError, ChangeError> {
        let DiskSetParts { pool, engine, .. } = &self.parts;
        let disks = pool.disks();
        let is_usable = |disk: &&PoolDisk| !matches!(disk.health(), Health::Failed(_));
        let usable = disks.iter().filter(is_usable).map(|disk| disk.number);
        let usable: BTreeSet<DiskNo> = usable.collect();
        let is_left = move |number| usable.contains(&number);
        let loss = Loss::without(engine, entry.number, is_left).await?;
        Ok(ChangeError::NotDrained {
            number: entry.number.0,
            location: entry.location.clone(),
            left,
            weakened: loss.weakened,
            unreadable: loss.unreadable,
        })
    }

    fn note_drain(&self, number: DiskNo) {
        let next = self.parts.pool.new_blob_id();
        self.drained_from.lock().insert(number, next);
    }

    fn check_left_without(&self, number: DiskNo, usage: &Usage) -> Result<(), ChangeError> {
        let stays = |disk: &&PoolDisk| disk.role == Role::Member && disk.number != number;
        let left = self.parts.pool.disks().iter().filter(stays).count();
        let new = self.parts.pool.profile();
        let wide = usage.widest.filter(|wide| wide.total() > new.total());
        let (what, profile) = match wide {
            Some(wide) => ("some objects", wide),
            None => ("new objects", new),
        };
        if left >= profile.total() {
            return Ok(());
        }
        Err(ChangeError::TooFewLeft {
            number: number.0,
            left,
            what,
            profile: profile.to_string(),
            needed: profile.total(),
        })
    }

    /// Of each blob a disk can take one shard; so one with much room is of little use if it has a shard of most already.
    async fn check_room_without(&self, entry: &PoolDisk, usage: &Usage) -> Result<(), ChangeError> {
        if entry.role == Role::Draining {
            return Ok(());
        }
        let spaces = self.parts.pool.spaces().await;
        let disks = self.parts.pool.disks();
        let takes = |disk: &&PoolDisk| {
            disk.role == Role::Member
                && disk.number != entry.number
                && disk.health() == Health::Good
        };
        let room = |disk: &PoolDisk| {
            let free = spaces.get(&disk.number).map_or(0, |space| space.free_bytes);
            let reserve = spaces
                .get(&disk.number)
                .map_or(0, |space| self.parts.options.disk.reserve_bytes(*space));
            let further = usage
                .one_of_each_bytes
                .saturating_sub(usage.on(disk.number).bytes);
            free.saturating_sub(reserve).min(further)
        };
        let room_bytes = disks
            .iter()
            .filter(takes)
            .map(room)
            .fold(0, u64::saturating_add);
        // What other disks are being drained of goes there as well.
        let others = disks.iter().filter(|disk| disk.role == Role::Draining);
        let promised = others
            .map(|disk| usage.on(disk.number).bytes)
            .fold(0, u64::saturating_add);
        let room_bytes = room_bytes.saturating_sub(promised);
        let needed_bytes = usage.on(entry.number).bytes;
        if needed_bytes <= room_bytes {
            return Ok(());
        }
        Err(ChangeError::NoRoom {
            number: entry.number.0,
            location: entry.location.clone(),
            needed_bytes,
            room_bytes,
        })
    }

    async fn set_role(self: &Arc<Self>, number: DiskNo, role: Role) -> Result<(), ChangeError> {
        if self.entry(number)?.role == role {
            return Ok(());
        }
        let proposal = self.parts.roster.with_role(number, role);
        self.put_in_force(proposal, &BTreeSet::new()).await?;
        self.parts.pool.change_disks(|disks| {
            for disk in disks.iter_mut().filter(|disk| disk.number == number) {
                disk.role = role;
            }
        });
        Ok(())
    }

    async fn welcome(
        self: &Arc<Self>,
        volume: Arc<dyn Volume>,
        place: Place,
    ) -> Result<DiskNo, ChangeError> {
        let location = volume.location();
        let (disk, proposal) = self.make_disk(volume, place).await?;
        let number = disk.number();
        let written = BTreeSet::from([number]);
        if let Err(error) = self.put_in_force(proposal, &written).await {
            self.close(disk).await;
            return Err(error);
        }
        let numbers = self.parts.roster.numbers();
        self.parts.pool.change_disks(|disks| {
            let entry = PoolDisk {
                slot: 0,
                number,
                role: Role::Member,
                location,
                disk: Ok(disk),
            };
            seat(disks, entry, &numbers);
        });
        Ok(number)
    }

    /// The directory as a disk of its own, of which nobody else knows yet.
    async fn make_disk(
        self: &Arc<Self>,
        volume: Arc<dyn Volume>,
        place: Place,
    ) -> Result<(Arc<dyn Disk>, Proposal), ChangeError> {
        let path = volume.location();
        let set = Arc::clone(self);
        let work = self.parts.pool.blocking(move || set.make(volume, place));
        let late = self.parts.options.clock.sleep(WELCOME_TIMEOUT);
        tokio::select! {
            made = work => made,
            () = late => Err(ChangeError::NotMade {
                path,
                reason: format!("it does not answer within {WELCOME_TIMEOUT:?}"),
            }),
        }
    }

    fn make(
        &self,
        volume: Arc<dyn Volume>,
        place: Place,
    ) -> Result<(Arc<dyn Disk>, Proposal), ChangeError> {
        let DiskSetParts {
            roster,
            rng,
            options,
            open,
            ..
        } = &self.parts;
        let path = volume.location();
        let not_made = |error: DiskError| ChangeError::NotMade {
            path: path.clone(),
            reason: error.to_string(),
        };
        let (newcomer, proposal) = roster.admit(volume, place, &**rng)?;
        let number = newcomer.member.number;
        let own = |write: &(DiskNo, Write)| write.0 == number;
        let write = proposal.writes().into_iter().find(own);
        write
            .map_or(Ok(()), |(_, write)| write())
            .map_err(not_made)?;
        let disk = open(newcomer, options).map_err(not_made)?;
        Ok((disk, proposal))
    }

    /// Writes a membership to the disks, of which `written` have it already. On `Ok` it counts, whatever happens.
    async fn put_in_force(
        &self,
        proposal: Proposal,
        written: &BTreeSet<DiskNo>,
    ) -> Result<(), ChangeError> {
        let has = self.write(&proposal, written).await;
        let outcome = self.check_written(&proposal, has);
        if outcome.is_ok() {
            self.parts.roster.accept(proposal);
            return outcome;
        }
        // Some may have it; a start must not find it there as the newest.
        let restored = self.parts.roster.unchanged();
        self.write(&restored, &BTreeSet::new()).await;
        self.parts.roster.accept(restored);
        outcome
    }

    /// How many disks have the membership, and what went wrong on one of the others.
    async fn write(&self, proposal: &Proposal, written: &BTreeSet<DiskNo>) -> (usize, String) {
        let pool = &self.parts.pool;
        let disks = pool.disks();
        let is_usable = |number: &DiskNo| {
            let entry = disks.entry(*number);
            entry.is_some_and(|disk| !matches!(disk.health(), Health::Failed(_)))
        };
        let writes = proposal.writes().into_iter();
        let writes = writes.filter(|(number, _)| !written.contains(number) && is_usable(number));
        let jobs: Vec<(DiskNo, Job<Result<(), DiskError>>)> = writes.collect();
        let numbers: Vec<DiskNo> = jobs.iter().map(|(number, _)| *number).collect();
        let (mut has, mut reason) = (written.len(), "they failed".to_owned());
        let outcomes = pool.on_disks(jobs.len(), jobs).await;
        for (number, outcome) in numbers.into_iter().zip(outcomes) {
            match outcome {
                Some(Ok(())) => has += 1,
                Some(Err(error)) => {
                    tracing::warn!(%error, disk = number.0, "membership not written");
                    reason = error.to_string();
                }
                None => {}
            }
        }
        (has, reason)
    }

    fn check_written(
        &self,
        proposal: &Proposal,
        (written, reason): (usize, String),
    ) -> Result<(), ChangeError> {
        let copies = self.parts.pool.profile().parity() + 1;
        let needed = copies.min(proposal.numbers().len());
        if written >= needed {
            return Ok(());
        }
        Err(ChangeError::NotWritten {
            written,
            needed,
            reason,
        })
    }

    fn entry(&self, number: DiskNo) -> Result<PoolDisk, ChangeError> {
        let disks = self.parts.pool.disks();
        let entry = disks.entry(number).cloned();
        entry.ok_or_else(|| ChangeError::NoSuchDisk {
            number: number.0,
            known: known(&disks),
        })
    }

    async fn close(&self, disk: Arc<dyn Disk>) {
        self.parts.pool.blocking(move || disk.close()).await;
    }
}

fn known(disks: &Disks) -> String {
    let numbers: Vec<String> = disks.iter().map(|disk| disk.number.0.to_string()).collect();
    numbers.join(", ")
}

/// Brings the table to the disks in `numbers`, of which `entry` is new.
fn seat(disks: &mut Vec<PoolDisk>, entry: PoolDisk, numbers: &[DiskNo]) {
    disks.push(entry);
    renumber(disks, numbers);
}

/// Gives the disks in `numbers` their slots; others leave the table.
fn renumber(disks: &mut Vec<PoolDisk>, numbers: &[DiskNo]) {
    let slot_of = |number: DiskNo| numbers.iter().position(|other| *other == number);
    disks.retain_mut(|disk| match slot_of(disk.number) {
        Some(slot) => {
            disk.slot = slot;
            true
        }
        None => false,
    });
    disks.sort_by_key(|disk| disk.slot);
}
