//! Times without faults: all is healed, and then looked at on every disk; and the end of a run, when more than that is asked.

use std::sync::Arc;

use larder_storage::{
    disk::Role,
    disk_set::ChangeError,
    meta::MetaError,
    objects::StoreError,
    upkeep::{VerifyOutcome, VerifyStep, heal::Audit},
};

use crate::{
    client::bucket,
    life::{Contents, Life},
    process::Process,
    run::Simulation,
    tasks::{chance, draw},
    world::End,
};

/// Times that damage may show before all must be whole: first what the records tell, then what only reading shows.
const HEALINGS: u32 = 3;
/// Times that any disks are lost in the end.
const LOSSES: u32 = 3;

impl Simulation {
    /// A life without faults in which all is healed. On every disk is then all that should be there, so that any others may be hit.
    pub(crate) fn become_whole(&mut self) -> Result<(), String> {
        self.faults.forget();
        self.replace_what_is_refused()?;
        let end = [End::PowerCut, End::Kill, End::Close][draw(&*self.rng, 3)];
        let heal = async |life: &mut Life<'_>| life.heal_all().await;
        self.in_a_life(end, heal).map(drop)
    }

    /// A disk may be too rotten to be opened. Its message tells the operator what to do, and this is the operator.
    fn replace_what_is_refused(&mut self) -> Result<(), String> {
        let Some(machine) = self.boot()? else {
            return Ok(());
        };
        let refused = machine.missing();
        self.end(&machine, End::Kill);
        // All disks are here: this is the list.
        let listed = self.world.listed.clone();
        self.world.settle_list(listed);
        for location in refused {
            if let Some(dir) = self.world.dir_at(&location) {
                self.faults.replace(dir, &mut self.world);
            }
        }
        Ok(())
    }

    /// No more faults: everything is read, the view is rebuilt, and the two are the same. Then any disks are lost, again and again.
    pub(crate) fn last_lives(&mut self) -> Result<(), String> {
        self.faults.forget();
        let before = self.read_all(End::PowerCut)?;
        self.world.lose_view();
        let rebuilt = self.read_all(End::Close)?;
        compare(&before, &rebuilt)?;
        self.become_whole()?;
        for _ in 0..LOSSES {
            self.lose_any_disks();
            self.become_whole()?;
        }
        Ok(())
    }

    fn read_all(&mut self, end: End) -> Result<Contents, String> {
        let read = async |life: &mut Life<'_>| life.read_all().await;
        let contents = self.in_a_life(end, read)?;
        contents.ok_or_else(|| "disks were exchanged in the last life".to_owned())
    }

    /// Whichever disks are emptied, as long as they are no more than may be lost, healing makes all whole again.
    fn lose_any_disks(&mut self) {
        let rng = Arc::clone(&self.rng);
        let mut dirs = self.world.listed.clone();
        for _ in 0..self.shape.parity {
            let dir = dirs.remove(draw(&*rng, dirs.len()));
            tracing::info!(?dir, "emptied");
            self.world.empty(dir);
        }
        if chance(&*rng, 50) {
            self.world.lose_view();
        }
    }
}

impl Life<'_> {
    /// Opens, with all disks here, and decides what every key is.
    async fn open_whole(&mut self) -> Result<Process, String> {
        self.left = u64::MAX;
        let process = self.open().await?;
        let process = process.ok_or("no bucket although all disks are here")?;
        self.settle(&process).await?;
        Ok(process)
    }

    async fn read_all(&mut self) -> Result<Contents, String> {
        let process = self.open_whole().await?;
        self.check_listing(&process).await?;
        let contents = self.contents(&process).await?;
        self.finish().await?;
        Ok(contents)
    }

    async fn heal_all(&mut self) -> Result<(), String> {
        let process = self.open_whole().await?;
        self.maybe_drain(&process).await?;
        self.heal_and_audit(&process).await?;
        self.remove_drained(&process).await?;
        self.verify(&process).await?;
        // What the pass under way has found of disks that may be damaged now is not to count against others later.
        let scrub = Arc::clone(&process.scrub);
        let forget = async move { scrub.start(true).await };
        self.must("forgetting the scrub under way", forget).await?;
        self.simulation.may_name_what_was_lost = false;
        self.finish().await
    }

    /// Heals what the records tell, then what a scrub finds; then nothing may be missing anywhere.
    async fn heal_and_audit(&mut self, process: &Process) -> Result<(), String> {
        let mut last = Audit::default();
        for _ in 0..HEALINGS {
            self.heal(process).await?;
            let audit = process.healer.audit().await;
            last = audit.map_err(|error| error.to_string())?;
            if last.is_clean() {
                self.simulation.done.audits += 1;
                return Ok(());
            }
            self.scrub(process).await?;
            self.distrust_rotten_deletions(process, &last).await?;
        }
        Err(format!("after healing: {last:?}"))
    }

    /// Now and then a disk is to go.
    async fn maybe_drain(&mut self, process: &Process) -> Result<(), String> {
        let rng = Arc::clone(&self.simulation.rng);
        if !self.simulation.has_operator || chance(&*rng, 50) {
            return Ok(());
        }
        let disks = process.pool.disks();
        let number = disks[draw(&*rng, disks.len())].number;
        let set = Arc::clone(&process.disk_set);
        let drain = async move { set.drain(number).await };
        match self.until_done(drain).await? {
            Some(Ok(())) => {}
            Some(Err(ChangeError::TooFewLeft { .. })) => return Ok(()),
            other => return Err(format!("draining {number:?}: {other:?}")),
        }
        // Whoever can't wait is told what is on it.
        let set = Arc::clone(&process.disk_set);
        let usage = async move { set.usage().await };
        let on = self.must("looking at disks", usage).await?.on(number);
        let set = Arc::clone(&process.disk_set);
        let drained = async move {
            let usage = set.usage().await?;
            Ok::<_, MetaError>(set.drained(&usage).await)
        };
        let drained = self.must("looking for drained disks", drained).await?;
        if drained.contains(&number) && !on.is_empty() {
            return Err(format!("{number:?} is called drained, and holds {on:?}"));
        }
        Ok(())
    }

    /// Where all is healed, nothing is left on a disk that is being drained: it can go, and nothing else is to be done.
    async fn remove_drained(&mut self, process: &Process) -> Result<(), String> {
        let disks = process.pool.disks();
        let draining = disks.iter().filter(|disk| disk.role == Role::Draining);
        for disk in draining {
            let (set, number) = (Arc::clone(&process.disk_set), disk.number);
            let remove = async move { set.remove(number, false).await };
            self.must("removing what is drained", remove).await?;
            self.simulation.done.changes += 1;
            if let Some(gone) = self.simulation.world.dir_at(&disk.location) {
                let mut listed = self.simulation.world.listed.clone();
                listed.retain(|dir| *dir != gone);
                self.simulation.world.settle_list(listed);
                self.simulation.faults.leave(gone);
            }
            let audit = process.healer.audit().await;
            let audit = audit.map_err(|error| error.to_string())?;
            if !audit.is_clean() {
                return Err(format!(
                    "disk {} was drained, and without it: {audit:?}",
                    number.0
                ));
            }
        }
        Ok(())
    }

    /// A whole pass.
    async fn scrub(&mut self, process: &Process) -> Result<(), String> {
        let scrub = Arc::clone(&process.scrub);
        let pass = async move {
            scrub.start(true).await?;
            scrub.pass_once().await
        };
        let found = self.must("the scrub", pass).await?;
        tracing::info!(?found, "scrubbed");
        Ok(())
    }

    /// Deletions that rotted in a log are what no scrub looks for: as many disks as may be lost have them, too.
    async fn distrust_rotten_deletions(
        &mut self,
        process: &Process,
        audit: &Audit,
    ) -> Result<(), String> {
        let only = Audit {
            unknown: audit.unknown.clone(),
            ..Audit::default()
        };
        let healer = Arc::clone(&process.healer);
        let queue = async move { healer.queue_found(&only).await };
        self.must("distrusting logs", queue).await
    }

    async fn heal(&mut self, process: &Process) -> Result<(), String> {
        for _ in 0..HEALINGS * 10 {
            let (healer, store) = (Arc::clone(&process.healer), process.store.clone());
            let round = async move {
                let round = healer.round().await?;
                let swept = store.sweep_once(1000).await?;
                Ok::<_, StoreError>((round, swept))
            };
            let (round, swept) = self.must("healing", round).await?;
            if round.healed + round.failed + round.restored_frames == 0 && swept.tasks == 0 {
                return Ok(());
            }
        }
        Err("healing finds something to do again and again".to_owned())
    }

    /// What an operator is told by `larder verify`: everything is whole.
    async fn verify(&mut self, process: &Process) -> Result<(), String> {
        let scrub = Arc::clone(&process.scrub);
        let verify = async move {
            let begun = scrub.verify(&bucket()?, "", true).await;
            let (mut verification, _) = begun?;
            let mut found = Vec::new();
            while let Some(step) = verification.next().await? {
                if let VerifyStep::Object(object) = step {
                    found.push(object);
                }
            }
            Ok::<_, StoreError>(found)
        };
        let found = self.must("verifying", verify).await?;
        let broken = found
            .iter()
            .find(|object| object.outcome != VerifyOutcome::Whole);
        match broken {
            Some(object) => Err(format!("healed, and verified as {object:?}")),
            None => Ok(()),
        }
    }
}

fn compare(before: &Contents, rebuilt: &Contents) -> Result<(), String> {
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
