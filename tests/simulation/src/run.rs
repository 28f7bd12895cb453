//! One run: life after life, until the steps are used up; at the end all is repaired, and everything is compared once more.

use std::{fmt, rc::Rc, sync::Arc};

use larder_storage::{
    disk::DiskNo,
    mutation::{self, Mutation},
    rng::{Rng, SeededRng},
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    client::Shared,
    clock::SimClock,
    driver::Driver,
    faults::Faults,
    life::Life,
    process::{Machine, boot},
    tasks::chance,
    world::{DISKS, End, World},
};

/// Shards that may be lost: the simulation runs 2+2.
const PARITY: usize = 2;
/// How often all is healed between two lives, in percent.
const RECOVERY_PERCENT: u64 = 10;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Decides everything.
    pub seed: u64,
    /// Steps of clients, disks and upkeep, over all lives.
    pub steps: u64,
    /// A bug to run with.
    pub mutation: Option<Mutation>,
}

impl Settings {
    /// The run of a seed, of the usual length.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            steps: 12_000,
            mutation: None,
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Times that the store was opened.
    pub lives: u64,
    /// Lives that ended by a power cut.
    pub power_cuts: u64,
    /// Operations that got an answer.
    pub answered: u64,
    /// Views that were rebuilt from nothing.
    pub rebuilds: u64,
    /// Commits in doubt that recoveries adopted.
    pub adopted: u64,
    /// Commits in doubt that recoveries voided.
    pub void: u64,
    /// Times that all was healed and then looked at on every disk.
    pub audits: u64,
    /// Of all bytes on all disks at the end: the same for each run of a seed.
    pub fingerprint: u64,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The run that shows it.
    pub seed: u64,
    /// In which life.
    pub life: u64,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, life, what } = self;
        write!(
            f,
            "seed {seed}, life {life}: {what}\nreplay it with: LARDER_SIM_SEEDS={seed} make sim"
        )
    }
}

impl std::error::Error for Failure {}

/// Runs a seed.
///
/// # Errors
/// [`Failure`]: the store broke a promise.
pub fn run(settings: Settings) -> Result<Summary, Failure> {
    mutation::set(settings.mutation);
    let mut simulation = Simulation::new(settings);
    let done = simulation.lives().and_then(|()| simulation.last_lives());
    mutation::set(None);
    match done {
        Ok(()) => Ok(simulation.summary()),
        Err(what) => Err(Failure {
            seed: settings.seed,
            life: simulation.done.lives,
            what,
        }),
    }
}

/// The world of a run, and what is known of it.
pub(crate) struct Simulation {
    settings: Settings,
    pub(crate) world: World,
    pub(crate) faults: Faults,
    clock: SimClock,
    pub(crate) rng: Arc<SeededRng>,
    pub(crate) shared: Rc<Shared>,
    /// Number of the disk in each slot, in this life.
    slots: Vec<DiskNo>,
    /// Steps so far.
    pub(crate) steps: u64,
    pub(crate) done: Summary,
}

impl Simulation {
    fn new(settings: Settings) -> Self {
        let rng = Arc::new(SeededRng::new(settings.seed));
        Self {
            settings,
            world: World::new(),
            faults: Faults::new(&*rng, DISKS, PARITY),
            clock: SimClock::default(),
            shared: Shared::new(settings.seed),
            rng,
            slots: Vec::new(),
            steps: 0,
            done: Summary::default(),
        }
    }

    fn summary(&self) -> Summary {
        Summary {
            answered: self.shared.history.borrow().answered,
            fingerprint: self.world.fingerprint(),
            ..self.done
        }
    }

    fn lives(&mut self) -> Result<(), String> {
        while self.steps < self.settings.steps {
            let rng = Arc::clone(&self.rng);
            if self.done.lives > 0 {
                self.faults.between_lives(&mut self.world, &*rng);
            }
            self.life()?;
            if chance(&*rng, RECOVERY_PERCENT) {
                self.become_whole()?;
                self.faults.redraw(&*rng, DISKS, PARITY);
            }
        }
        Ok(())
    }

    fn life(&mut self) -> Result<(), String> {
        let end = match self.rng.next_u64() % 100 {
            0..60 => End::PowerCut,
            60..85 => End::Kill,
            _ => End::Close,
        };
        let budget = 50 + self.rng.next_u64() % 4000;
        let live = async |life: &mut Life<'_>| life.live(end, budget).await;
        self.in_a_life(end, live).map(drop)
    }

    /// Boots, does `work`, and ends by `end`; `None` if exchanged disks were refused.
    pub(crate) fn in_a_life<T>(
        &mut self,
        end: End,
        work: impl AsyncFnOnce(&mut Life<'_>) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let Some(machine) = self.boot()? else {
            return Ok(None);
        };
        let mut driver = Driver::new(&self.rng, &self.clock);
        for disk in &machine.disks {
            driver.drive(Arc::clone(disk));
        }
        let runtime = new_runtime()?;
        let mut life = Life {
            simulation: self,
            machine,
            driver,
            left: u64::MAX,
        };
        let result = runtime.block_on(work(&mut life));
        let Life {
            machine, driver, ..
        } = life;
        self.end(&machine, end);
        // Only now: what the tasks still do on their way out reaches nothing.
        drop(driver);
        drop(runtime);
        result.map(Some)
    }

    /// Puts the disks together; `None` if exchanged disks were refused, as they have to be unless both are new.
    pub(crate) fn boot(&mut self) -> Result<Option<Machine>, String> {
        self.done.lives += 1;
        tracing::info!(life = self.done.lives, faults = %self.faults, "boots");
        let (faults, world, rng) = (&self.faults, &mut self.world, &self.rng);
        // A disk is gone from the start, or answers just long enough to be counted among the present ones.
        let at_once = chance(&**rng, 50);
        let booted = boot(world, &self.clock, rng, |world| {
            if at_once {
                faults.at_boot(world);
            }
        });
        match booted {
            Err(_) if self.faults.unswap(&mut self.world) => Ok(None),
            Err(error) => Err(format!("disks refused: {error}")),
            Ok(machine) => {
                self.faults.keep_swapped();
                let slots = machine.pool.disks();
                self.slots = slots.iter().map(|disk| disk.number).collect();
                if !at_once {
                    self.faults.at_boot(&self.world);
                }
                Ok(Some(machine))
            }
        }
    }

    /// The machine, or the process on it, is no more.
    pub(crate) fn end(&mut self, machine: &Machine, end: End) {
        self.done.power_cuts += u64::from(end == End::PowerCut);
        let rng = Arc::clone(&self.rng);
        self.world.end(end, &machine.view, &*rng);
    }

    /// Whether a disk of this life may have lost data, or does not answer.
    pub(crate) fn is_fragile(&self, disk: DiskNo) -> bool {
        let mut fragile = self.faults.fragile().iter();
        fragile.any(|slot| self.slots.get(*slot) == Some(&disk))
    }

    /// Whether a disk of this life must have all that it ever had.
    pub(crate) fn is_sound(&self, disk: DiskNo) -> bool {
        self.slots.contains(&disk) && !self.is_fragile(disk)
    }
}

fn new_runtime() -> Result<Runtime, String> {
    let runtime = Builder::new_current_thread().build();
    runtime.map_err(|error| format!("no runtime: {error}"))
}
