//! From a row of directories to a row of disks.

use std::{path::PathBuf, sync::Arc};

use super::{
    Disk, DiskNo, DiskOptions, IdentityError, LocalVolume, LogDisk, LogDiskConfig, Role, Volume,
    identity::{Assembled, AssembledState, Assembly, assemble},
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
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            disk: DiskOptions::default(),
            profile: None,
            clock: Arc::new(SystemClock),
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
    open_with(volumes, options, rng, &mut |config| {
        Ok(Arc::new(LogDisk::open(config)?))
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
    let opened = open_with(volumes, options, rng, &mut |config| {
        let disk = Arc::new(LogDisk::manual(config)?);
        disks.push(Arc::clone(&disk));
        Ok(disk)
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

type OpenDisk<'a> = dyn FnMut(&LogDiskConfig) -> Result<Arc<LogDisk>, super::DiskError> + 'a;

fn open_with(
    volumes: Vec<Arc<dyn Volume>>,
    options: &OpenOptions,
    rng: &dyn Rng,
    open: &mut OpenDisk<'_>,
) -> Result<Opened, IdentityError> {
    let Assembly {
        cluster_id,
        profile,
        disks,
        created,
        mut reports,
        ..
    } = assemble(volumes, options.profile.as_deref(), rng)?;
    let disks = disks
        .into_iter()
        .enumerate()
        .map(|(slot, disk)| open_slot(slot, disk, cluster_id, options, open, &mut reports))
        .collect();
    Ok(Opened {
        cluster_id,
        profile,
        disks,
        created,
        reports,
    })
}

fn open_slot(
    slot: usize,
    disk: Assembled,
    cluster_id: u128,
    options: &OpenOptions,
    open: &mut OpenDisk<'_>,
    reports: &mut Vec<String>,
) -> Slot {
    let Assembled {
        member,
        location,
        replaced,
        state,
    } = disk;
    let number = member.number;
    let state = match state {
        AssembledState::Missing { reason } => SlotState::Missing { reason },
        AssembledState::Present { volume, lock } => {
            let config = LogDiskConfig {
                volume,
                cluster_id,
                number,
                disk_id: member.disk_id,
                options: options.disk,
                clock: Arc::clone(&options.clock),
            };
            match open(&config) {
                Ok(disk) => {
                    disk.hold(lock);
                    SlotState::Present(disk)
                }
                Err(error) => {
                    let reason = format!("{location}: {error}");
                    reports.push(format!(
                        "disk {} (place {slot}) is missing: {reason}",
                        number.0
                    ));
                    SlotState::Missing { reason }
                }
            }
        }
    };
    Slot {
        slot,
        number,
        role: Role::Member,
        location,
        state,
        replaced,
    }
}

#[cfg(test)]
mod tests;
