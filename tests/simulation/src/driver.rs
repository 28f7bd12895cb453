//! What drives one life: its tasks, its disks, and how eagerly each disk is written.

use std::{fmt, sync::Arc, time::Duration};

use larder_storage::{
    clock::Clock,
    disk::LogDisk,
    rng::{Rng, SeededRng},
};

use crate::{
    clock::SimClock,
    tasks::{Tasks, chance, draw},
};

/// Steps without anything to do after which all is taken to wait for ever.
const STUCK_STEPS: u32 = 20_000;
/// How often time leaps, in steps: far enough for what is done now and then only.
const STEPS_PER_LEAP: u64 = 1500;
/// How far.
const LEAP: Duration = Duration::from_secs(31);

/// Tasks and disks, of which one goes on in each step.
pub struct Driver {
    rng: Arc<SeededRng>,
    clock: SimClock,
    /// What is under way.
    pub tasks: Tasks<'static>,
    disks: Vec<(Arc<LogDisk>, u64)>,
    idle: u32,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clock, tasks, .. } = self;
        write!(f, "at {:?}: {tasks:?}", clock.monotonic())
    }
}

impl Driver {
    /// Without tasks or disks.
    pub fn new(rng: &Arc<SeededRng>, clock: &SimClock) -> Self {
        Self {
            rng: Arc::clone(rng),
            clock: clock.clone(),
            tasks: Tasks::default(),
            disks: Vec::new(),
            idle: 0,
        }
    }

    /// From now on the log of `disk` is written, too.
    pub fn drive(&mut self, disk: Arc<LogDisk>) {
        let eagerness = [1, 5, 25][draw(&*self.rng, 3)];
        self.disks.push((disk, eagerness));
    }

    /// The disks.
    pub fn disks(&self) -> impl Iterator<Item = &Arc<LogDisk>> {
        self.disks.iter().map(|(disk, _)| disk)
    }

    /// Something goes on.
    ///
    /// # Errors
    /// Everything waits for ever.
    pub async fn step(&mut self) -> Result<(), String> {
        let did_something = match self.rng.next_u64() % 100 {
            0..50 => self.tasks.step(&*self.rng),
            50..75 => self.write_one_log(),
            _ => {
                tokio::task::yield_now().await;
                false
            }
        };
        self.let_time_pass();
        self.idle = if did_something { 0 } else { self.idle + 1 };
        if self.idle > STUCK_STEPS {
            return Err(format!("everything waits for ever {self:?}"));
        }
        Ok(())
    }

    fn let_time_pass(&self) {
        if chance(&*self.rng, 10) {
            let by = Duration::from_millis(self.rng.next_u64() % 50);
            self.clock.advance(by);
        }
        if self.rng.next_u64().is_multiple_of(STEPS_PER_LEAP) {
            self.clock.advance(LEAP);
        }
    }

    /// Writes the log of a disk, the eager ones more often. What hangs is only slow here: in the end each is written.
    fn write_one_log(&mut self) -> bool {
        let total: u64 = self.disks.iter().map(|(_, eagerness)| eagerness).sum();
        let mut at = self.rng.next_u64() % total.max(1);
        for (disk, eagerness) in &self.disks {
            if at < *eagerness {
                return disk.flush_once() > 0;
            }
            at -= eagerness;
        }
        false
    }
}
