//! One life under way: its store is opened, looked at, and worked with, a step at a time.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use larder_storage::{
    disk::{Disk, Health},
    meta::{Entry, Meta},
    rng::{Rng, SeededRng},
};

use crate::{
    client::{Client, KEYS},
    driver::Driver,
    operator::Operator,
    process::{Machine, Process},
    run::Simulation,
    tasks::{chance, draw},
    upkeep::Upkeep,
    world::End,
};

/// All rows of objects, with their values.
pub(crate) type Contents = Vec<(Vec<u8>, Vec<u8>)>;

/// A life of a simulation's store.
pub(crate) struct Life<'s> {
    pub(crate) simulation: &'s mut Simulation,
    pub(crate) machine: Machine,
    pub(crate) driver: Driver,
    /// Steps that are left to it.
    pub(crate) left: u64,
}

impl Life<'_> {
    /// Opens, looks at everything, and lets clients and upkeep work until the steps run out.
    pub(crate) async fn live(&mut self, end: End, budget: u64) -> Result<(), String> {
        self.left = if end == End::Close { u64::MAX } else { budget };
        let Some(process) = self.open().await? else {
            return Ok(());
        };
        if !self.settle(&process).await? {
            return Ok(());
        }
        self.left = self.left.min(budget);
        self.start_clients(&process);
        let upkeep = Upkeep::new(&process);
        let mut operator = Operator::new(&process);
        while self.left > 0 {
            upkeep.maybe_start_something(self);
            upkeep.check(self.simulation)?;
            operator.work(self);
            self.maybe_fail();
            self.step().await?;
        }
        if end == End::Close {
            self.close(&process).await?;
            operator.work(self);
        }
        Ok(())
    }

    fn start_clients(&mut self, process: &Process) {
        let Self {
            simulation, driver, ..
        } = self;
        for number in 0..=draw(&*simulation.rng, 4) {
            let rng = SeededRng::new(simulation.rng.next_u64() ^ number as u64);
            let client = Client::new(&simulation.shared, &process.store, rng);
            driver.tasks.add("client", client.run());
        }
    }

    /// Now and then something happens to a fragile disk in use.
    fn maybe_fail(&mut self) {
        let Simulation {
            rng, faults, world, ..
        } = &*self.simulation;
        if chance(&**rng, 1) && chance(&**rng, 30) {
            faults.while_running(world, &**rng);
            self.maybe_hang();
        }
    }

    /// Now and then a fragile disk does not answer any more, with whatever it was asked to write, and is given up.
    fn maybe_hang(&self) {
        let rng = &*self.simulation.rng;
        if !chance(rng, 5) {
            return;
        }
        for disk in self.driver.disks() {
            if self.simulation.is_fragile(disk.number()) && chance(rng, 50) {
                disk.give_up("no answer");
            }
        }
    }

    /// From now on the logs of new disks are written, too.
    fn drive_newcomers(&mut self) {
        for disk in self.machine.disks.lock().drain(..) {
            self.driver.drive(disk);
        }
    }

    async fn close(&mut self, process: &Process) -> Result<(), String> {
        self.simulation.shared.stop.set(true);
        self.finish().await?;
        let engine = Arc::clone(&process.engine);
        let checkpoint = async move { drop(engine.checkpoint().await) };
        self.driver.tasks.add("checkpoint", checkpoint);
        self.finish().await
    }

    /// Lets something go on.
    pub(crate) async fn step(&mut self) -> Result<(), String> {
        self.simulation.steps += 1;
        self.left = self.left.saturating_sub(1);
        self.drive_newcomers();
        self.driver.step().await?;
        self.simulation.shared.check()
    }

    /// Goes on until all tasks are done.
    pub(crate) async fn finish(&mut self) -> Result<(), String> {
        while !self.driver.tasks.is_empty() {
            self.step().await?;
        }
        Ok(())
    }

    /// Runs `work` to its end; `None` if the steps run out before.
    pub(crate) async fn until_done<T: 'static>(
        &mut self,
        work: impl Future<Output = T> + 'static,
    ) -> Result<Option<T>, String> {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        self.driver.tasks.add("work", async move {
            let value = work.await;
            *slot.borrow_mut() = Some(value);
        });
        while self.left > 0 {
            if let Some(value) = result.borrow_mut().take() {
                return Ok(Some(value));
            }
            self.step().await?;
        }
        Ok(result.take())
    }

    /// Runs `work` to its end, which must come, without error.
    pub(crate) async fn must<T: 'static, E: std::fmt::Display + 'static>(
        &mut self,
        what: &str,
        work: impl Future<Output = Result<T, E>> + 'static,
    ) -> Result<T, String> {
        let done = self.until_done(work).await?;
        done.ok_or_else(|| format!("{what} did not end"))?
            .map_err(|error| format!("{what}: {error}"))
    }

    /// Opens the store; `None` if the steps run out before, or there is no bucket.
    pub(crate) async fn open(&mut self) -> Result<Option<Process>, String> {
        let opening = self.machine.open().ok_or("opened twice")?;
        let Some(opened) = self.until_done(opening).await? else {
            return Ok(None);
        };
        let process = opened.map_err(|error| format!("metadata not opened: {error}"))?;
        let done = &mut self.simulation.done;
        done.rebuilds += u64::from(process.report.rebuilt);
        done.adopted += process.report.adopted;
        done.void += process.report.void;
        let disks = process.pool.disks();
        let all_are_well = disks.iter().all(|disk| disk.health() == Health::Good);
        if process.report.adopted > 0 && !all_are_well {
            self.simulation.may_name_what_was_lost = true;
        }
        let store = process.store.clone();
        let from = process.report.orphans_from;
        let swept = async move { store.sweep_orphans(from).await };
        if let Some(Err(error)) = self.until_done(swept).await? {
            return Err(format!("orphans not swept: {error}"));
        }
        let client = Client::new(&self.simulation.shared, &process.store, SeededRng::new(0));
        let profile = self.simulation.shape.bucket;
        let created = async move { client.create_bucket(profile).await };
        // Without enough good disks there is no bucket yet, and nothing to do in this life.
        let created = self.until_done(created).await?;
        Ok(created.and_then(Result::ok).map(|()| process))
    }

    /// Looks at every key: what it is now is decided. False if the steps run out before.
    pub(crate) async fn settle(&mut self, process: &Process) -> Result<bool, String> {
        let shared = Rc::clone(&self.simulation.shared);
        let client = Client::new(&shared, &process.store, SeededRng::new(1));
        for key in KEYS {
            let client = client.clone();
            let look = async move { client.inspect(key).await };
            let Some(seen) = self.until_done(look).await? else {
                return Ok(false);
            };
            let seen = seen.map_err(|what| format!("key {key:?} after opening: {what}"))?;
            shared.history.borrow_mut().settle(key, &seen)?;
        }
        shared.new_life();
        Ok(true)
    }

    /// Everything is listed as what it is.
    pub(crate) async fn check_listing(&mut self, process: &Process) -> Result<(), String> {
        let shared = Rc::clone(&self.simulation.shared);
        let client = Client::new(&shared, &process.store, SeededRng::new(2));
        let list = async move { client.list_all("", 3).await };
        let listed = self.must("listing", list).await?;
        for key in KEYS {
            let known = shared.history.borrow().state(key).flatten();
            let known = known.map(|version| version.etag());
            if listed.get(key).copied() != known {
                return Err(format!("key {key:?} is not listed as what it is"));
            }
        }
        let client = Client::new(&shared, &process.store, SeededRng::new(2));
        let usage = async move { client.usages().await };
        let (counted, listed) = self.must("the bucket's usage", usage).await?;
        if counted == listed {
            return Ok(());
        }
        Err(format!("the usage says {counted:?}, listed are {listed:?}"))
    }

    /// What the metadata says of all objects.
    pub(crate) async fn contents(&mut self, process: &Process) -> Result<Contents, String> {
        let engine = Arc::clone(&process.engine);
        let scan = async move { engine.scan(b"o", b"p", usize::MAX).await };
        let entries = self.must("reading the metadata", scan).await?;
        let entry = |entry: Entry| (entry.key.to_vec(), entry.value.to_vec());
        Ok(entries.into_iter().map(entry).collect())
    }
}
