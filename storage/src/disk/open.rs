//! From a row of directories to a row of disks.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::{
    Disk, DiskError, DiskNo, DiskOptions, IdentityError, LocalVolume, LogDisk, LogDiskConfig, Role,
    Volume, VolumeLock,
    identity::{Assembled, AssembledState, Newcomer, Roster, assemble},
    inflight::InFlight,
    volume::patient::all_patient,
};
use crate::{
    clock::{Clock, SystemClock},
    rng::Rng,
};

/// How disks are opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Settings of each disk.
    pub disk: DiskOptions,
    /// The profile that a new cluster writes down, as text (`4+2`). Has no effect on a cluster that exists.
    pub profile: Option<String>,
    /// Paces looks at the free space.
    pub clock: Arc<dyn Clock>,
    /// A disk with an operation that takes longer is missing, and the others go on. `None`: waits for ever.
    pub patience: Option<Duration>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            disk: DiskOptions::default(),
            profile: None,
            clock: Arc::new(SystemClock),
            patience: None,
        }
    }
}

/// The disks of a cluster.
#[derive(Debug)]
pub struct Opened {
    /// The cluster's id.
    pub cluster_id: u128,
    /// The profile that was set when the cluster was made.
    pub profile: Option<String>,
    /// All disks, by slot.
    pub disks: Vec<Slot>,
    /// Whether the cluster was made just now.
    pub created: bool,
    /// What people should know, a line each.
    pub reports: Vec<String>,
    /// For changing which disks there are.
    pub roster: Roster,
}

/// One of the data directories.
#[derive(Debug)]
pub struct Slot {
    /// Its position among them, from 0.
    pub slot: usize,
    /// Number of the disk in it.
    pub number: DiskNo,
    /// What the disk is there for.
    pub role: Role,
    /// The directory, for people.
    pub location: String,
    /// Whether the disk can be used.
    pub state: SlotState,
    /// Whether the disk was replaced (or added) at this start: it is empty and wants healing. Told once: whoever heals has to
    /// remember it across a crash. Not set in a new cluster.
    pub replaced: bool,
}

/// Whether a disk can be used.
#[derive(Debug)]
pub enum SlotState {
    /// It can.
    Present(Arc<dyn Disk>),
    /// It can't: the server goes on without it if enough others are there.
    Missing {
        /// Why, with the path.
        reason: String,
    },
}

/// Opens the disks in these directories, in their order; formats them all if all are empty.
///
/// # Errors
/// [`IdentityError`]: the directories don't go together; says which and what to do.
pub fn open_local(
    slots: &[PathBuf],
    options: &OpenOptions,
    rng: &dyn Rng,
) -> Result<Opened, IdentityError> {
    let volume = |path: &PathBuf| Arc::new(LocalVolume::new(path)) as Arc<dyn Volume>;
    open_volumes(slots.iter().map(volume).collect(), options, rng)
}

/// As [`open_local`], on any volumes.
///
/// # Errors
/// As [`open_local`].
pub fn open_volumes(
    volumes: Vec<Arc<dyn Volume>>,
    options: &OpenOptions,
    rng: &dyn Rng,
) -> Result<Opened, IdentityError> {
    open_with(volumes, options, rng, &mut |wanted| {
        open_all(wanted, options.patience)
    })
}

/// As [`open_volumes`], without threads: returns the present disks too, for [`LogDisk::flush_once`].
///
/// # Errors
/// As [`open_local`].
#[cfg(any(test, feature = "testing"))]
pub fn open_manual(
    volumes: Vec<Arc<dyn Volume>>,
    options: &OpenOptions,
    rng: &dyn Rng,
) -> Result<(Opened, Vec<Arc<LogDisk>>), IdentityError> {
    let mut disks = Vec::new();
    let opened = open_with(volumes, options, rng, &mut |wanted| {
        let mut open = |config: &LogDiskConfig, lock| {
            let disk = Arc::new(LogDisk::manual(config)?);
            disk.hold(lock);
            disks.push(Arc::clone(&disk));
            Ok(disk)
        };
        let opened = wanted.into_iter();
        opened
            .map(|wanted| (wanted.slot, open(&wanted.config, wanted.lock)))
            .collect()
    })?;
    Ok((opened, disks))
}

/// A new cluster of `count` disks in memory, each of `disk_bytes`, and the volumes under them.
///
/// # Errors
/// As [`open_local`].
#[cfg(any(test, feature = "testing"))]
pub fn memory(
    count: usize,
    disk_bytes: u64,
    options: &OpenOptions,
    rng: &dyn Rng,
) -> Result<(Vec<super::MemoryVolume>, Opened), IdentityError> {
    let volume = |slot| super::MemoryVolume::new(format!("memory-{slot}"), disk_bytes);
    let volumes: Vec<_> = (0..count).map(volume).collect();
    let shared = volumes
        .iter()
        .map(|volume| Arc::new(volume.clone()) as Arc<dyn Volume>);
    let opened = open_volumes(shared.collect(), options, rng)?;
    Ok((volumes, opened))
}

/// A disk that is to be opened.
struct Wanted {
    slot: usize,
    config: LogDiskConfig,
    lock: Box<dyn VolumeLock>,
}

/// What became of the disk in a slot.
type Opening = (usize, Result<Arc<LogDisk>, DiskError>);
type OpenAll<'a> = dyn FnMut(Vec<Wanted>) -> Vec<Opening> + 'a;

fn open_with(
    volumes: Vec<Arc<dyn Volume>>,
    options: &OpenOptions,
    rng: &dyn Rng,
    open: &mut OpenAll<'_>,
) -> Result<Opened, IdentityError> {
    let patient = match options.patience {
        Some(patience) => all_patient(&volumes, patience),
        None => volumes.clone(),
    };
    let assembly = assemble(patient, options.profile.as_deref(), rng)?;
    let roster = assembly.roster(volumes.clone());
    let (cluster_id, mut reports) = (assembly.cluster_id, assembly.reports);
    let raw = volumes.into_iter();
    let mut raw: HashMap<_, _> = raw.map(|volume| (volume.location(), volume)).collect();
    let mut slots = Vec::new();
    let mut wanted = Vec::new();
    for (slot, disk) in assembly.disks.into_iter().enumerate() {
        let Assembled {
            member,
            role,
            location,
            replaced,
            state,
        } = disk;
        let reason = match state {
            AssembledState::Missing { reason } => reason,
            AssembledState::Present { volume, lock } => {
                // From here on the disk itself watches its operations.
                let volume = raw.remove(&volume.location()).unwrap_or(volume);
                let config = LogDiskConfig {
                    volume,
                    cluster_id,
                    number: member.number,
                    disk_id: member.disk_id,
                    options: options.disk,
                    clock: Arc::clone(&options.clock),
                };
                wanted.push(Wanted { slot, config, lock });
                "not open yet".to_owned()
            }
        };
        slots.push(Slot {
            slot,
            number: member.number,
            role,
            location,
            state: SlotState::Missing { reason },
            replaced,
        });
    }
    for (slot, opened) in open(wanted) {
        let number = slots[slot].number.0;
        slots[slot].state = match opened {
            Ok(disk) => SlotState::Present(disk),
            Err(error) => {
                let reason = format!("{}: {error}", slots[slot].location);
                reports.push(format!("disk {number} (place {slot}) is missing: {reason}"));
                SlotState::Missing { reason }
            }
        };
    }
    Ok(Opened {
        cluster_id,
        profile: assembly.profile,
        disks: slots,
        created: assembly.created,
        reports,
        roster,
    })
}

/// Opens a disk that has just got its identity.
///
/// # Errors
/// [`DiskError`]: the directory can't be used.
pub fn open_newcomer(newcomer: Newcomer, options: &OpenOptions) -> Result<Arc<LogDisk>, DiskError> {
    open_newcomer_with(newcomer, options, &LogDisk::open)
}

/// As [`open_newcomer`], without a thread: see [`LogDisk::flush_once`].
///
/// # Errors
/// As [`open_newcomer`].
#[cfg(any(test, feature = "testing"))]
pub fn open_newcomer_manual(
    newcomer: Newcomer,
    options: &OpenOptions,
) -> Result<Arc<LogDisk>, DiskError> {
    open_newcomer_with(newcomer, options, &LogDisk::manual)
}

fn open_newcomer_with(
    newcomer: Newcomer,
    options: &OpenOptions,
    open: &dyn Fn(&LogDiskConfig) -> Result<LogDisk, DiskError>,
) -> Result<Arc<LogDisk>, DiskError> {
    let Newcomer {
        member,
        cluster_id,
        volume,
        lock,
        ..
    } = newcomer;
    let disk = open(&LogDiskConfig {
        volume,
        cluster_id,
        number: member.number,
        disk_id: member.disk_id,
        options: options.disk,
        clock: Arc::clone(&options.clock),
    })?;
    disk.hold(lock);
    Ok(Arc::new(disk))
}

/// How often a disk that is being opened is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Opens disks, each on a thread of its own. One with an operation that takes longer than `patience` is given up; its
/// thread is left to itself, and keeps the disk locked until it comes back.
fn open_all(wanted: Vec<Wanted>, patience: Option<Duration>) -> Vec<Opening> {
    let (done, outcomes) = mpsc::channel();
    let mut pending = BTreeMap::new();
    for Wanted { slot, config, lock } in wanted {
        let flight = InFlight::new(Arc::clone(&config.clock));
        pending.insert(slot, Arc::clone(&flight));
        let done = done.clone();
        let work = move || {
            let opened = LogDisk::open_in(&config, flight);
            let opened = opened.map(|disk| {
                disk.hold(lock);
                Arc::new(disk)
            });
            // Nobody listens if it was given up: it is closed then.
            drop(done.send((slot, opened)));
        };
        if let Err(error) = thread::Builder::new().spawn(work) {
            tracing::error!(%error, slot, "no thread to open a disk");
        }
    }
    drop(done);
    let mut opened = Vec::new();
    while !pending.is_empty() {
        match outcomes.recv_timeout(LOOK_EVERY) {
            Ok((slot, outcome)) => {
                if pending.remove(&slot).is_some() {
                    opened.push((slot, outcome));
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                opened.extend(give_up_stalled(&mut pending, patience));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let lost = || Err(DiskError::Failed("opening it ended badly".to_owned()));
                opened.extend(
                    std::mem::take(&mut pending)
                        .into_keys()
                        .map(|slot| (slot, lost())),
                );
            }
        }
    }
    opened
}

fn give_up_stalled(
    pending: &mut BTreeMap<usize, Arc<InFlight>>,
    patience: Option<Duration>,
) -> Vec<Opening> {
    let Some(patience) = patience else {
        return Vec::new();
    };
    let stalled = pending.iter().filter_map(|(slot, flight)| {
        let (what, _) = flight.oldest().filter(|(_, age)| *age >= patience)?;
        let why = format!("no answer for {patience:?} ({what})");
        flight.give_up(&why);
        Some((*slot, Err(DiskError::Failed(why))))
    });
    let stalled: Vec<Opening> = stalled.collect();
    for (slot, _) in &stalled {
        pending.remove(slot);
    }
    stalled
}

#[cfg(test)]
mod tests;
