//! One run: life after life, until the steps are used up; at the end all is repaired, and everything is compared once more.

use std::{cell::RefCell, fmt, rc::Rc, sync::Arc, time::Duration};

use larder_storage::{
    clock::Clock,
    disk::{Disk, DiskNo, LogDisk},
    meta::Meta,
    mutation::{self, Mutation},
    objects::StoreError,
    rng::{Rng, SeededRng},
    upkeep::heal::Audit,
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    client::{Client, KEYS, Shared},
    clock::SimClock,
    faults::Faults,
    process::{Machine, Process, boot},
    tasks::{Tasks, chance, draw},
    world::{DISKS, End, World},
};

/// Shards that may be lost: the simulation runs 2+2.
const PARITY: usize = 2;
/// How often all is healed between two lives, in percent.
const RECOVERY_PERCENT: u64 = 10;
/// Times that damage may show before all must be whole: first what the records tell, then what only reading shows.
const HEALINGS: u32 = 3;
/// Times that any disks are lost in the end.
const LOSSES: u32 = 3;
/// Steps without anything to do after which all is taken to wait for ever.
const STUCK_STEPS: u32 = 20_000;

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
    let done = simulation.lives().and_then(|()| simulation.last_life());
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

struct Simulation {
    settings: Settings,
    world: World,
    faults: Faults,
    clock: SimClock,
    rng: Arc<SeededRng>,
    shared: Rc<Shared>,
    /// Number of the disk in each slot, in this life.
    slots: Vec<DiskNo>,
    steps: u64,
    done: Summary,
}

/// What drives one life: its tasks, its disks, and how eagerly each disk is written.
struct Driver<'a> {
    rng: Arc<SeededRng>,
    clock: SimClock,
    tasks: Tasks<'a>,
    disks: Vec<Arc<LogDisk>>,
    eagerness: Vec<u64>,
    idle: u32,
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
                self.faults.forget();
                self.become_whole()?;
                self.faults.redraw(&*rng, DISKS, PARITY);
            }
        }
        Ok(())
    }

    /// A life without faults in which all is healed. On every disk is then all that should be there, so that any others may be hit.
    fn become_whole(&mut self) -> Result<Option<Contents>, String> {
        let Some(mut machine) = self.boot()? else {
            return Ok(None);
        };
        let refused = machine.slots_missing();
        if !refused.is_empty() {
            // Too rotten to be opened. Its message tells the operator what to do, and this is the operator.
            self.end(&machine, End::Kill);
            drop(machine);
            for slot in refused {
                self.faults.replace(slot, &mut self.world);
            }
            let Some(again) = self.boot()? else {
                return Ok(None);
            };
            machine = again;
        }
        let runtime = new_runtime()?;
        let mut driver = self.driver(&machine);
        let contents = runtime.block_on(self.heal_all(&machine, &mut driver));
        let end = [End::PowerCut, End::Kill, End::Close][draw(&*self.rng, 3)];
        self.end(&machine, end);
        drop(driver);
        drop(runtime);
        contents.map(Some)
    }

    async fn heal_all(
        &mut self,
        machine: &Machine,
        driver: &mut Driver<'_>,
    ) -> Result<Contents, String> {
        let mut left = u64::MAX;
        let Some(process) = self.open(machine, driver, &mut left).await? else {
            return Err("no bucket although all disks are here".to_owned());
        };
        self.settle(&process, driver, &mut left).await?;
        self.heal_and_audit(&process, driver).await?;
        let contents = self.contents(&process, driver).await?;
        self.finish(driver).await?;
        Ok(contents)
    }

    /// Heals; has what no record tells queued, as scrub would; heals that; then nothing may be missing anywhere.
    async fn heal_and_audit(
        &mut self,
        process: &Process,
        driver: &mut Driver<'_>,
    ) -> Result<(), String> {
        let mut last = Audit::default();
        for _ in 0..HEALINGS {
            self.heal(process, driver).await?;
            last = process
                .healer
                .audit()
                .await
                .map_err(|error| error.to_string())?;
            if last.is_clean() {
                self.done.audits += 1;
                return Ok(());
            }
            let (healer, audit) = (Arc::clone(&process.healer), last.clone());
            let queue = async move { healer.queue_found(&audit).await };
            self.until_done(driver, &mut u64::MAX.clone(), queue)
                .await?
                .ok_or("nothing queued")?
                .map_err(|error| format!("damage not queued: {error}"))?;
        }
        Err(format!("after healing: {last:?}"))
    }

    async fn heal(&mut self, process: &Process, driver: &mut Driver<'_>) -> Result<(), String> {
        for _ in 0..HEALINGS * 10 {
            let (healer, store) = (Arc::clone(&process.healer), process.store.clone());
            let round = async move {
                let round = healer.round().await?;
                let swept = store.sweep_once(1000).await?;
                Ok::<_, StoreError>((round, swept))
            };
            let done = self
                .until_done(driver, &mut u64::MAX.clone(), round)
                .await?;
            let (round, swept) = done
                .ok_or("healing does not end")?
                .map_err(|error| format!("not healed: {error}"))?;
            if round.healed + round.failed + round.restored_frames == 0 && swept.tasks == 0 {
                return Ok(());
            }
        }
        Err("healing finds something to do again and again".to_owned())
    }

    async fn contents(
        &mut self,
        process: &Process,
        driver: &mut Driver<'_>,
    ) -> Result<Contents, String> {
        let engine = Arc::clone(&process.engine);
        let scan = async move { engine.scan(b"o", b"p", usize::MAX).await };
        let scanned = self.until_done(driver, &mut u64::MAX.clone(), scan).await?;
        let entries = scanned
            .ok_or("the scan did not end")?
            .map_err(|error| format!("contents not read: {error}"))?;
        let entry = |entry: larder_storage::meta::Entry| (entry.key.to_vec(), entry.value.to_vec());
        Ok(entries.into_iter().map(entry).collect())
    }

    /// Whichever disks are emptied, as long as they are no more than may be lost, healing makes all whole again.
    fn lose_any_disks(&mut self) -> Result<(), String> {
        let rng = Arc::clone(&self.rng);
        for _ in 0..LOSSES {
            let first = draw(&*rng, DISKS);
            let distance = 1 + draw(&*rng, DISKS - 1);
            let slots = [first, (first + distance) % DISKS];
            tracing::info!(?slots, "emptied");
            for slot in slots {
                self.world.images[slot] = self.world.empty_disk();
            }
            if chance(&*rng, 50) {
                self.world.lose_view();
            }
            self.become_whole()?;
        }
        Ok(())
    }

    fn life(&mut self) -> Result<(), String> {
        let Some(machine) = self.boot()? else {
            return Ok(());
        };
        let end = match self.rng.next_u64() % 100 {
            0..60 => End::PowerCut,
            60..85 => End::Kill,
            _ => End::Close,
        };
        let budget = 50 + self.rng.next_u64() % 4000;
        let runtime = new_runtime()?;
        let mut driver = self.driver(&machine);
        let result = runtime.block_on(self.live(&machine, &mut driver, end, budget));
        self.end(&machine, end);
        // Only now: what the tasks still do on their way out reaches nothing.
        drop(driver);
        drop(runtime);
        result
    }

    /// Puts the disks together; `None` if exchanged disks were refused, as they have to be unless both are new.
    fn boot(&mut self) -> Result<Option<Machine>, String> {
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

    fn end(&mut self, machine: &Machine, end: End) {
        self.done.power_cuts += u64::from(end == End::PowerCut);
        let rng = Arc::clone(&self.rng);
        self.world.end(end, &machine.view, &*rng);
    }

    fn driver<'a>(&self, machine: &Machine) -> Driver<'a> {
        let eagerness = |_: &Arc<LogDisk>| [1, 5, 25][draw(&*self.rng, 3)];
        Driver {
            rng: Arc::clone(&self.rng),
            clock: self.clock.clone(),
            tasks: Tasks::default(),
            eagerness: machine.disks.iter().map(eagerness).collect(),
            disks: machine.disks.clone(),
            idle: 0,
        }
    }

    async fn live(
        &mut self,
        machine: &Machine,
        driver: &mut Driver<'_>,
        end: End,
        budget: u64,
    ) -> Result<(), String> {
        let mut steps_left = if end == End::Close { u64::MAX } else { budget };
        let Some(process) = self.open(machine, driver, &mut steps_left).await? else {
            return Ok(());
        };
        if !self.settle(&process, driver, &mut steps_left).await? {
            return Ok(());
        }
        steps_left = steps_left.min(budget);
        for number in 0..=draw(&*self.rng, 4) {
            let rng = SeededRng::new(self.rng.next_u64() ^ number as u64);
            let client = Client::new(&self.shared, &process.store, rng);
            driver.tasks.add("client", client.run());
        }
        while steps_left > 0 {
            self.upkeep(&process, driver);
            if chance(&*self.rng, 1) && chance(&*self.rng, 30) {
                self.faults.while_running(&self.world, &*self.rng);
                self.hang(driver);
            }
            self.step(driver, &mut steps_left).await?;
        }
        if end == End::Close {
            self.shared.stop.set(true);
            self.finish(driver).await?;
            let engine = Arc::clone(&process.engine);
            driver.tasks.add("checkpoint", async move {
                drop(engine.checkpoint().await);
            });
            self.finish(driver).await?;
        }
        Ok(())
    }

    async fn step(&mut self, driver: &mut Driver<'_>, left: &mut u64) -> Result<(), String> {
        self.steps += 1;
        *left = left.saturating_sub(1);
        driver.step().await?;
        self.shared.check()
    }

    async fn finish(&mut self, driver: &mut Driver<'_>) -> Result<(), String> {
        while !driver.tasks.is_empty() {
            self.step(driver, &mut u64::MAX.clone()).await?;
        }
        Ok(())
    }

    /// Runs `work` to its end; `None` if the steps run out before.
    async fn until_done<T: 'static>(
        &mut self,
        driver: &mut Driver<'_>,
        left: &mut u64,
        work: impl Future<Output = T> + 'static,
    ) -> Result<Option<T>, String> {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        driver.tasks.add("work", async move {
            let value = work.await;
            *slot.borrow_mut() = Some(value);
        });
        while *left > 0 {
            if let Some(value) = result.borrow_mut().take() {
                return Ok(Some(value));
            }
            self.step(driver, left).await?;
        }
        Ok(result.take())
    }

    async fn open(
        &mut self,
        machine: &Machine,
        driver: &mut Driver<'_>,
        left: &mut u64,
    ) -> Result<Option<Process>, String> {
        let opened = self.until_done(driver, left, machine.open()).await?;
        let Some(opened) = opened else {
            return Ok(None);
        };
        let process = opened.map_err(|error| format!("metadata not opened: {error}"))?;
        self.done.rebuilds += u64::from(process.report.rebuilt);
        self.done.adopted += process.report.adopted;
        self.done.void += process.report.void;
        let store = process.store.clone();
        let from = process.report.orphans_from;
        let swept = async move { store.sweep_orphans(from).await };
        let swept = self.until_done(driver, left, swept).await?;
        if let Some(Err(error)) = swept {
            return Err(format!("orphans not swept: {error}"));
        }
        let client = Client::new(&self.shared, &process.store, SeededRng::new(0));
        let created = async move { client.create_bucket().await };
        // Without enough good disks there is no bucket yet, and nothing to do in this life.
        let created = self.until_done(driver, left, created).await?;
        Ok(created.and_then(Result::ok).map(|()| process))
    }

    /// Looks at every key: what it is now is decided. False if the steps run out before.
    async fn settle(
        &mut self,
        process: &Process,
        driver: &mut Driver<'_>,
        left: &mut u64,
    ) -> Result<bool, String> {
        let client = Client::new(&self.shared, &process.store, SeededRng::new(1));
        for key in KEYS {
            let client = client.clone();
            let look = async move { client.inspect(key).await };
            let Some(seen) = self.until_done(driver, left, look).await? else {
                return Ok(false);
            };
            let seen = seen.map_err(|what| format!("key {key:?} after opening: {what}"))?;
            self.shared.history.borrow_mut().settle(key, &seen)?;
        }
        self.shared.new_life();
        Ok(true)
    }

    /// Starts upkeep now and then, one of each kind at a time.
    fn upkeep(&mut self, process: &Process, driver: &mut Driver<'_>) {
        if !chance(&*self.rng, 2) {
            return;
        }
        let (engine, store) = (Arc::clone(&process.engine), process.store.clone());
        match self.rng.next_u64() % 4 {
            0 if driver.tasks.count("checkpoint") == 0 => {
                let work = async move { drop(engine.checkpoint().await) };
                driver.tasks.add("checkpoint", work);
            }
            1 if driver.tasks.count("reclaim") == 0 => {
                let work = async move { drop(engine.reclaim_once().await) };
                driver.tasks.add("reclaim", work);
            }
            2 if driver.tasks.count("sweep") == 0 => {
                let work = async move { drop(store.sweep_once(5).await) };
                driver.tasks.add("sweep", work);
            }
            3 if driver.tasks.count("heal") == 0 => {
                let healer = Arc::clone(&process.healer);
                let work = async move {
                    healer.queue_damaged().await;
                    drop(healer.round().await);
                };
                driver.tasks.add("heal", work);
            }
            _ => {}
        }
    }

    /// Now and then a fragile disk does not answer any more, with whatever it was asked to write, and is given up.
    fn hang(&self, driver: &Driver<'_>) {
        if !chance(&*self.rng, 5) {
            return;
        }
        let fragile = self.faults.fragile();
        let numbers = fragile.iter().filter_map(|slot| self.slots.get(*slot));
        for disk in &driver.disks {
            if numbers.clone().any(|number| *number == disk.number()) && chance(&*self.rng, 50) {
                disk.give_up("no answer");
            }
        }
    }

    /// No more faults: everything is read, the view is rebuilt, and the two are the same.
    fn last_life(&mut self) -> Result<(), String> {
        self.faults.forget();
        let Some(machine) = self.boot()? else {
            return Err("disks were exchanged in the last life".to_owned());
        };
        let runtime = new_runtime()?;
        let mut driver = self.driver(&machine);
        let contents = runtime.block_on(self.check_all(&machine, &mut driver));
        self.end(&machine, End::PowerCut);
        drop(driver);
        drop(runtime);
        let contents = contents?;
        self.world.lose_view();
        let Some(machine) = self.boot()? else {
            return Err("disks were exchanged in the last life".to_owned());
        };
        let runtime = new_runtime()?;
        let mut driver = self.driver(&machine);
        let rebuilt = runtime.block_on(self.check_all(&machine, &mut driver))?;
        self.end(&machine, End::Close);
        compare_contents(&contents, &rebuilt)?;
        drop(driver);
        drop(runtime);
        self.become_whole()?;
        self.lose_any_disks()
    }

    async fn check_all(
        &mut self,
        machine: &Machine,
        driver: &mut Driver<'_>,
    ) -> Result<Contents, String> {
        let mut left = u64::MAX;
        let Some(process) = self.open(machine, driver, &mut left).await? else {
            return Err("no bucket at the end".to_owned());
        };
        self.settle(&process, driver, &mut left).await?;
        self.check_listing(&process, driver).await?;
        let contents = self.contents(&process, driver).await?;
        self.finish(driver).await?;
        Ok(contents)
    }

    async fn check_listing(
        &mut self,
        process: &Process,
        driver: &mut Driver<'_>,
    ) -> Result<(), String> {
        let client = Client::new(&self.shared, &process.store, SeededRng::new(2));
        let list = async move { client.list_all("", 3).await };
        let listed = self.until_done(driver, &mut u64::MAX.clone(), list).await?;
        let listed = listed
            .ok_or("the listing did not end")?
            .map_err(|error| format!("not listed: {error}"))?;
        for key in KEYS {
            let known = self.shared.history.borrow().state(key).flatten();
            let known = known.map(|version| version.etag());
            if listed.get(key).copied() != known {
                return Err(format!("key {key:?} is not listed as what it is"));
            }
        }
        Ok(())
    }
}

type Contents = Vec<(Vec<u8>, Vec<u8>)>;

fn compare_contents(before: &Contents, rebuilt: &Contents) -> Result<(), String> {
    if before == rebuilt {
        return Ok(());
    }
    let differs = before.iter().zip(rebuilt).find(|(a, b)| a != b);
    let key = differs.map(|((key, _), _)| String::from_utf8_lossy(key).into_owned());
    Err(format!(
        "the rebuilt view has {} objects, the one before {}; the first difference is at {key:?}",
        rebuilt.len(),
        before.len()
    ))
}

fn new_runtime() -> Result<Runtime, String> {
    let runtime = Builder::new_current_thread().build();
    runtime.map_err(|error| format!("no runtime: {error}"))
}

impl Driver<'_> {
    async fn step(&mut self) -> Result<(), String> {
        let did_something = match self.rng.next_u64() % 100 {
            0..50 => self.tasks.step(&*self.rng),
            50..75 => self.write_one_log(),
            _ => {
                tokio::task::yield_now().await;
                false
            }
        };
        if chance(&*self.rng, 10) {
            let by = Duration::from_millis(self.rng.next_u64() % 50);
            self.clock.advance(by);
        }
        self.idle = if did_something { 0 } else { self.idle + 1 };
        if self.idle > STUCK_STEPS {
            return Err(format!(
                "everything waits for ever at {:?}: {:?}",
                self.clock.monotonic(),
                self.tasks
            ));
        }
        Ok(())
    }

    /// Writes the log of a disk, the eager ones more often. What hangs is only slow here: in the end each is written.
    fn write_one_log(&mut self) -> bool {
        let total: u64 = self.eagerness.iter().sum();
        let mut at = self.rng.next_u64() % total.max(1);
        for (disk, eagerness) in self.disks.iter().zip(&self.eagerness) {
            if at < *eagerness {
                return disk.flush_once() > 0;
            }
            at -= eagerness;
        }
        false
    }
}
