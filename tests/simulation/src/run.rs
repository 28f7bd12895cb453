//! One run: life after life, until the steps are used up; at the end all is repaired, and everything is compared once more.

use std::{collections::BTreeMap, fmt, rc::Rc, sync::Arc};

use larder_storage::{
    disk::{DiskNo, IdentityError},
    mutation::{self, Mutation},
    rng::{Rng, SeededRng},
    stripes::{Pool, PoolDisk},
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    client::Shared,
    clock::SimClock,
    driver::Driver,
    faults::Faults,
    life::Life,
    process::{Machine, boot},
    shape::Shape,
    tasks::{chance, draw},
    world::{Dir, End, World},
};

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
    /// Times that a disk was added, drained, removed or replaced.
    pub changes: u64,
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
    pub(crate) shape: Shape,
    pub(crate) world: World,
    pub(crate) faults: Faults,
    clock: SimClock,
    pub(crate) rng: Arc<SeededRng>,
    pub(crate) shared: Rc<Shared>,
    /// Whether disks come and go.
    pub(crate) has_operator: bool,
    /// Commits were adopted that could not be made whole, for want of disks: sound disks may lack shards that were never synced.
    pub(crate) may_name_what_was_lost: bool,
    /// The directory of each disk of this life.
    dirs: BTreeMap<DiskNo, Dir>,
    /// Steps so far.
    pub(crate) steps: u64,
    pub(crate) done: Summary,
}

impl Simulation {
    fn new(settings: Settings) -> Self {
        let rng = Arc::new(SeededRng::new(settings.seed));
        let shape = Shape::draw(&*rng);
        let world = World::new(shape.disks);
        Self {
            settings,
            faults: Faults::new(&*rng, &world.listed, shape.parity),
            has_operator: chance(&*rng, 60),
            shape,
            world,
            clock: SimClock::default(),
            shared: Shared::new(settings.seed),
            rng,
            may_name_what_was_lost: false,
            dirs: BTreeMap::new(),
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
                let parity = self.shape.parity;
                self.faults.redraw(&*rng, &self.world.listed, parity);
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
        for disk in machine.disks.lock().drain(..) {
            driver.drive(disk);
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
        let rng = Arc::clone(&self.rng);
        let mut lists = vec![self.world.listed.clone()];
        lists.append(&mut self.world.doubts);
        let first = draw(&*rng, lists.len());
        lists.rotate_left(first);
        let mut refusals = Vec::new();
        // Of the lists that may be right one must be accepted.
        for at in 0..lists.len() {
            self.world.listed.clone_from(&lists[at]);
            match self.boot_once() {
                Ok(machine) => {
                    lists.remove(at);
                    self.world.doubts = lists;
                    return Ok(Some(machine));
                }
                Err(_) if self.faults.unswap(&mut self.world) => return Ok(None),
                Err(error) => refusals.push(error.to_string()),
            }
        }
        Err(format!("disks refused: {refusals:?}"))
    }

    fn boot_once(&mut self) -> Result<Machine, IdentityError> {
        let (life, listed) = (self.done.lives, &self.world.listed);
        tracing::info!(life, ?listed, faults = %self.faults, "boots");
        let (faults, world, rng) = (&self.faults, &mut self.world, &self.rng);
        // A disk is gone from the start, or answers just long enough to be counted among the present ones.
        let at_once = chance(&**rng, 50);
        let machine = boot(world, &self.shape, &self.clock, rng, |world| {
            if at_once {
                faults.at_boot(world);
            }
        })?;
        self.faults.keep_swapped();
        self.note_numbers(&machine.pool);
        if !at_once {
            self.faults.at_boot(&self.world);
        }
        Ok(machine)
    }

    /// Notes which disk is where now.
    pub(crate) fn note_numbers(&mut self, pool: &Pool) {
        let disks = pool.disks();
        let dir = |disk: &PoolDisk| Some((disk.number, self.world.dir_at(&disk.location)?));
        self.dirs = disks.iter().filter_map(dir).collect();
    }

    /// The machine, or the process on it, is no more.
    pub(crate) fn end(&mut self, machine: &Machine, end: End) {
        self.done.power_cuts += u64::from(end == End::PowerCut);
        let rng = Arc::clone(&self.rng);
        self.world.end(end, &machine.view, &*rng);
    }

    /// Whether a disk of this life may have lost data, or does not answer.
    pub(crate) fn is_fragile(&self, disk: DiskNo) -> bool {
        let dir = self.dirs.get(&disk);
        dir.is_some_and(|dir| self.faults.is_fragile(*dir))
    }

    /// Whether a disk of this life must have all that it ever had.
    pub(crate) fn is_sound(&self, disk: DiskNo) -> bool {
        self.dirs.contains_key(&disk) && !self.is_fragile(disk) && !self.may_name_what_was_lost
    }
}

fn new_runtime() -> Result<Runtime, String> {
    let runtime = Builder::new_current_thread().build();
    runtime.map_err(|error| format!("no runtime: {error}"))
}
