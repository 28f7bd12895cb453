//! The operator: adds disks, drains them, takes that back, removes and replaces them, at any moment and in any order.
//!
//! A life may end amid a change. Then the next start is given the directories as they were before or as they would be after, and has to
//! refuse the wrong ones by name ([`World::doubts`]).
//!
//! Invariants:
//! - What a removed disk held is gone at once: nobody may count on it.
//! - Only fragile disks are replaced, or removed by force: that loses what is on them.
//!
//! [`World::doubts`]: crate::world::World::doubts

use std::{cell::RefCell, rc::Rc, sync::Arc};

use larder_storage::{
    disk::{DiskNo, Health, Role},
    disk_set::ChangeError,
    rng::Rng,
    stripes::PoolDisk,
};

use crate::{
    life::Life,
    process::Process,
    run::Simulation,
    shape::MOST_DISKS,
    tasks::{chance, draw},
    world::Dir,
};

/// What the operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Add(Dir),
    Drain(DiskNo),
    CancelDrain(DiskNo),
    Remove(Dir, DiskNo, bool),
    Replace(Dir, DiskNo, Dir),
}

impl Change {
    /// The directories to list once it is done.
    fn listed(self, before: &[Dir]) -> Vec<Dir> {
        let mut listed = before.to_vec();
        match self {
            Self::Add(new) => listed.push(new),
            Self::Remove(old, ..) => listed.retain(|dir| *dir != old),
            Self::Replace(old, _, new) => {
                if let Some(place) = listed.iter_mut().find(|dir| **dir == old) {
                    *place = new;
                }
            }
            Self::Drain(_) | Self::CancelDrain(_) => {}
        }
        listed
    }
}

/// The operator of one life.
pub(crate) struct Operator {
    process: Process,
    under_way: Option<Change>,
    done: Rc<RefCell<Option<Result<(), ChangeError>>>>,
}

impl Operator {
    pub(crate) fn new(process: &Process) -> Self {
        Self {
            process: process.clone(),
            under_way: None,
            done: Rc::default(),
        }
    }

    /// Takes note of what is through, and now and then begins a change, one at a time.
    pub(crate) fn work(&mut self, life: &mut Life<'_>) {
        self.take_note(life);
        let rng = Arc::clone(&life.simulation.rng);
        if !life.simulation.has_operator || life.simulation.shared.stop.get() {
            return;
        }
        if self.under_way.is_some() || !rng.next_u64().is_multiple_of(400) {
            return;
        }
        if let Some(change) = self.draw(life.simulation, &*rng) {
            self.begin(life, change);
        }
    }

    fn draw(&self, simulation: &mut Simulation, rng: &dyn Rng) -> Option<Change> {
        let disks = self.process.pool.disks();
        let draining = disks.iter().filter(|disk| disk.role == Role::Draining);
        let draining: Vec<&PoolDisk> = draining.collect();
        let disk = match &draining[..] {
            [_, ..] if chance(rng, 50) => draining[draw(rng, draining.len())],
            _ => &disks[draw(rng, disks.len())],
        };
        let dir = simulation.world.dir_at(&disk.location)?;
        let is_fragile = simulation.faults.is_fragile(dir);
        let has_failed = matches!(disk.health(), Health::Failed(_));
        let change = match disk.role {
            _ if is_fragile && has_failed && chance(rng, 50) => {
                Change::Replace(dir, disk.number, simulation.world.new_dir())
            }
            _ if disks.len() < MOST_DISKS && chance(rng, 40) => {
                Change::Add(simulation.world.new_dir())
            }
            Role::Member if is_fragile && chance(rng, 10) => Change::Remove(dir, disk.number, true),
            Role::Member => Change::Drain(disk.number),
            Role::Draining if chance(rng, 20) => Change::CancelDrain(disk.number),
            Role::Draining => Change::Remove(dir, disk.number, false),
        };
        Some(change)
    }

    fn begin(&mut self, life: &mut Life<'_>, change: Change) {
        tracing::info!(?change, "begins");
        let world = &mut life.simulation.world;
        let after = change.listed(&world.listed);
        if after != world.listed {
            world.doubts.push(after);
        }
        let volume = match change {
            Change::Add(new) => Some(world.plug_in(new)),
            Change::Replace(old, _, new) => {
                life.simulation.faults.succeed(old, new);
                Some(world.plug_in(new))
            }
            _ => None,
        };
        let (process, done) = (self.process.clone(), Rc::clone(&self.done));
        let set = Arc::clone(&process.disk_set);
        let shared = Rc::clone(&life.simulation.shared);
        let work = async move {
            let result = match (change, volume) {
                (Change::Add(_), Some(volume)) => set.add(volume).await.map(drop),
                (Change::Replace(_, old, _), Some(volume)) => {
                    set.replace(old, volume).await.map(drop)
                }
                (Change::Drain(number), _) => set.drain(number).await,
                (Change::CancelDrain(number), _) => set.cancel_drain(number).await,
                (Change::Remove(_, number, force), _) => set.remove(number, force).await,
                (Change::Add(_) | Change::Replace(..), None) => Ok(()),
            };
            if let (Ok(()), Change::Remove(_, number, false)) = (&result, change)
                && let Err(what) = check_removed(&process, number).await
            {
                shared.fail(what);
            }
            *done.borrow_mut() = Some(result);
        };
        life.driver.tasks.add("operator", work);
        self.under_way = Some(change);
    }

    /// Takes note of a change that is through.
    fn take_note(&mut self, life: &mut Life<'_>) {
        let Some(result) = self.done.borrow_mut().take() else {
            return;
        };
        let Some(change) = self.under_way.take() else {
            return;
        };
        tracing::info!(?change, ?result, "is through");
        let Simulation {
            world,
            faults,
            rng,
            done,
            ..
        } = &mut *life.simulation;
        if result.is_err() {
            // What is listed is right; but a disk that was away may know of the change that was taken back.
            return;
        }
        done.changes += 1;
        match change {
            Change::Add(new) => faults.join(new, &**rng),
            Change::Replace(old, ..) | Change::Remove(old, ..) => faults.leave(old),
            Change::Drain(_) | Change::CancelDrain(_) => return,
        }
        let listed = change.listed(&world.listed);
        world.settle_list(listed);
        life.simulation.note_numbers(&self.process.pool);
    }
}

/// Where all other disks are well, nothing may be missing after a disk was removed that was said to be drained.
async fn check_removed(process: &Process, number: DiskNo) -> Result<(), String> {
    let is_well = |disk: &PoolDisk| disk.health() == Health::Good;
    let before = process.pool.disks().iter().all(is_well);
    let Ok(usage) = process.disk_set.usage().await else {
        return Ok(());
    };
    let on = usage.on(number);
    if before && process.pool.disks().iter().all(is_well) && !on.is_empty() {
        let DiskNo(number) = number;
        return Err(format!(
            "disk {number} was removed as drained, and records name it: {on:?}"
        ));
    }
    Ok(())
}
