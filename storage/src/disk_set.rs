//! Disks that come and go while a store serves: added, drained, removed, replaced.
//!
//! Each step is a new membership, durable on the disks before it is acted upon where that is the safe order, after where the other is:
//! a newcomer is written to only when all know of it; a disk that leaves is written to no more before anybody forgets it. So whatever a
//! crash leaves is a membership under which nothing is missing.
//!
//! Invariants:
//! - One change at a time.
//! - A membership is in force only when so many disks hold it that the loss of any `m` leaves one that does.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    disk::{
        Disk, DiskError, DiskNo, Health, IdentityError, LogDisk, OpenOptions, Place, Role, Roster,
        Volume,
        identity::{Newcomer, Proposal, Write},
        open_newcomer,
    },
    meta::embedded::Embedded,
    rng::Rng,
    stripes::{Disks, Job, Pool, PoolDisk},
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
        "disk {number} can't be drained: {left} disks would be left, and {what} with profile {profile} need {needed}; add a disk first"
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
        roster: Roster,
        options: OpenOptions,
        rng: Arc<dyn Rng>,
    ) -> Self {
        Self {
            pool: Arc::clone(pool),
            engine: Arc::clone(engine),
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
        })
    }

    /// Makes an empty directory a further disk. When it returns, new objects go there too.
    ///
    /// # Errors
    /// [`ChangeError`]: it is no disk; the same directory may be handed in again.
    pub async fn add(self: &Arc<Self>, volume: Arc<dyn Volume>) -> Result<DiskNo, ChangeError> {
        let _alone = self.one_at_a_time.lock().await;
        self.welcome(volume, Place::Last).await
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
        Ok(new)
    }

    /// Has a disk that is being drained be one like any other again.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn cancel_drain(self: &Arc<Self>, number: DiskNo) -> Result<(), ChangeError> {
        let _alone = self.one_at_a_time.lock().await;
        self.entry(number)?;
        self.set_role(number, Role::Member).await
    }

    /// Has a disk get nothing new, and what it holds move to the others. Remembered over restarts.
    ///
    /// # Errors
    /// [`ChangeError`]: it goes on as before.
    pub async fn drain(self: &Arc<Self>, number: DiskNo) -> Result<(), ChangeError> {
        let _alone = self.one_at_a_time.lock().await;
        self.entry(number)?;
        self.check_left_without(number)?;
        self.set_role(number, Role::Draining).await
    }

    fn check_left_without(&self, number: DiskNo) -> Result<(), ChangeError> {
        let stays = |disk: &&PoolDisk| disk.role == Role::Member && disk.number != number;
        let left = self.parts.pool.disks().iter().filter(stays).count();
        let profile = self.parts.pool.profile();
        if left >= profile.total() {
            return Ok(());
        }
        Err(ChangeError::TooFewLeft {
            number: number.0,
            left,
            what: "new objects",
            profile: profile.to_string(),
            needed: profile.total(),
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
