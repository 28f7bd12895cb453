//! What runs beside the clients: checkpoints, reclaim, the sweep of garbage, healing, and scrub.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use larder_storage::{disk::DiskNo, rng::Rng, upkeep::scrub::DiskTally};

use crate::{
    life::Life,
    process::Process,
    run::Simulation,
    tasks::{chance, draw},
};

/// The upkeep of one life.
pub(crate) struct Upkeep {
    process: Process,
    /// What scrubs found, until it was looked at.
    scrubbed: Rc<RefCell<Vec<(DiskNo, DiskTally)>>>,
}

impl Upkeep {
    pub(crate) fn new(process: &Process) -> Self {
        Self {
            process: process.clone(),
            scrubbed: Rc::default(),
        }
    }

    /// Starts upkeep now and then, one of each kind at a time.
    pub(crate) fn maybe_start_something(&self, life: &mut Life<'_>) {
        let rng = Arc::clone(&life.simulation.rng);
        if !chance(&*rng, 2) {
            return;
        }
        let kinds = ["checkpoint", "reclaim", "sweep", "heal", "scrub"];
        let kind = kinds[draw(&*rng, kinds.len())];
        if life.driver.tasks.count(kind) > 0 {
            if kind == "scrub" && chance(&*rng, 10) {
                self.order_scrub(life, &*rng);
            }
            return;
        }
        let Process {
            engine,
            store,
            healer,
            ..
        } = self.process.clone();
        let tasks = &mut life.driver.tasks;
        match kind {
            "checkpoint" => tasks.add(kind, async move { drop(engine.checkpoint().await) }),
            "reclaim" => tasks.add(kind, async move { drop(engine.reclaim_once().await) }),
            "sweep" => tasks.add(kind, async move { drop(store.sweep_once(5).await) }),
            "heal" => tasks.add(kind, async move {
                healer.queue_damaged().await;
                drop(healer.round().await);
            }),
            _ => tasks.add(kind, self.scrub()),
        }
    }

    /// A pass, or what is left of the one that an earlier life or an order broke off.
    fn scrub(&self) -> impl Future<Output = ()> + 'static {
        let (scrub, found) = (Arc::clone(&self.process.scrub), Rc::clone(&self.scrubbed));
        async move {
            if let Ok(tallies) = scrub.pass_once().await {
                found.borrow_mut().extend(tallies);
            }
        }
    }

    /// Somebody pauses the scrub under way, or wants it anew.
    fn order_scrub(&self, life: &mut Life<'_>, rng: &dyn Rng) {
        let scrub = Arc::clone(&self.process.scrub);
        let pauses = chance(rng, 50);
        life.driver.tasks.add("order", async move {
            drop(if pauses {
                scrub.pause().await
            } else {
                scrub.start(true).await
            });
        });
    }

    /// Only disks that may have lost data can be damaged.
    pub(crate) fn check(&self, simulation: &Simulation) -> Result<(), String> {
        for (disk, tally) in self.scrubbed.borrow_mut().drain(..) {
            if tally.damage > 0 && simulation.is_sound(disk) {
                let DiskNo(number) = disk;
                return Err(format!(
                    "disk {number} is whole, and a scrub says {tally:?}"
                ));
            }
        }
        Ok(())
    }
}
