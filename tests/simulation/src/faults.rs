//! What goes wrong with disks, beyond the power.
//!
//! Invariant: only the *fragile* slots of a run, `m` at most, are hit by what costs data. All else must never lose a byte.

use std::fmt;

use larder_storage::{
    disk::{
        MemoryVolume,
        fault::{Effect, Fault, Operation},
    },
    meta::view::MemoryView,
    rng::Rng,
};

use crate::{
    tasks::{chance, draw},
    world::World,
};

/// Which disks may lose data in a run, and what they once were.
#[derive(Debug)]
pub struct Faults {
    fragile: Vec<usize>,
    old: Vec<(usize, MemoryVolume)>,
    old_view: Option<MemoryView>,
    /// Slots that were exchanged and must be put back after they were refused.
    swapped: Option<(usize, usize)>,
    /// Slots that do not answer in this life.
    vanished: Vec<usize>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fragile,
            swapped,
            vanished,
            ..
        } = self;
        write!(
            f,
            "fragile {fragile:?}, vanished {vanished:?}, swapped {swapped:?}"
        )
    }
}

impl Faults {
    /// Draws up to `most` fragile slots of `slots`.
    pub fn new(rng: &dyn Rng, slots: usize, most: usize) -> Self {
        let mut fragile: Vec<usize> = (0..slots).collect();
        while fragile.len() > most {
            fragile.remove(draw(rng, fragile.len()));
        }
        if chance(rng, 30) {
            fragile.truncate(draw(rng, most + 1));
        }
        Self {
            fragile,
            old: Vec::new(),
            old_view: None,
            swapped: None,
            vanished: Vec::new(),
        }
    }

    /// Between two lives, before the machine is switched on again.
    pub fn between_lives(&mut self, world: &mut World, rng: &dyn Rng) {
        self.vanished.clear();
        if chance(rng, 15) {
            world.lose_view();
        } else if chance(rng, 10)
            && let Some(view) = &self.old_view
        {
            world.restore_view(view);
        }
        if chance(rng, 30) {
            self.old_view = Some(world.view_image());
        }
        for slot in self.fragile.clone() {
            let fate = rng.next_u64() % 100;
            tracing::info!(slot, fate, "between lives");
            match fate {
                0..10 => self.replace(slot, world),
                10..25 => self.vanished.push(slot),
                25..40 => self.old.push((slot, world.images[slot].after_kill())),
                40..50 => self.come_back_old(slot, world, rng),
                50..75 => rot(&world.images[slot], rng),
                _ => {}
            }
        }
        // With a disk that does not answer, an exchange is not always found out before it is too late to take it back.
        if let [first, second] = self.fragile[..]
            && self.vanished.is_empty()
            && chance(rng, 10)
        {
            world.images.swap(first, second);
            self.swapped = Some((first, second));
        }
    }

    /// An empty disk takes the place of the one in `slot` for good: the old one would be refused.
    pub fn replace(&mut self, slot: usize, world: &mut World) {
        tracing::info!(slot, "replaced");
        world.images[slot] = world.empty_disk();
        self.old.retain(|(of, _)| *of != slot);
    }

    fn come_back_old(&self, slot: usize, world: &mut World, rng: &dyn Rng) {
        let images: Vec<_> = self.old.iter().filter(|(of, _)| *of == slot).collect();
        if !images.is_empty() {
            world.images[slot] = images[draw(rng, images.len())].1.after_kill();
        }
    }

    /// All is whole again: from now on other disks may be hit.
    pub fn redraw(&mut self, rng: &dyn Rng, slots: usize, most: usize) {
        let old_view = self.old_view.take();
        *self = Self::new(rng, slots, most);
        self.old_view = old_view;
    }

    /// Every disk answers again.
    pub fn forget(&mut self) {
        self.vanished.clear();
    }

    /// The machine is on: what does not answer?
    pub fn at_boot(&self, world: &World) {
        for slot in &self.vanished {
            for operation in [
                Operation::Read,
                Operation::Write,
                Operation::Sync,
                Operation::Open,
                Operation::List,
                Operation::Remove,
            ] {
                world.disks[*slot].inject(fault(operation, 0, u64::MAX, Effect::Errno(EIO)));
            }
        }
    }

    /// Disks of this life that may have lost data or do not answer.
    pub fn fragile(&self) -> &[usize] {
        &self.fragile
    }

    /// Exchanged disks were accepted, as both were new: this is their place now.
    pub fn keep_swapped(&mut self) {
        if self.swapped.take().is_some() {
            self.old.clear();
        }
    }

    /// Puts exchanged disks back; whether there were any, so that a refusal was right.
    pub fn unswap(&mut self, world: &mut World) -> bool {
        let Some((first, second)) = self.swapped.take() else {
            return false;
        };
        world.images.swap(first, second);
        true
    }

    /// Now and then something happens to a fragile disk in use.
    pub fn while_running(&self, world: &World, rng: &dyn Rng) {
        if self.fragile.is_empty() {
            return;
        }
        let slot = self.fragile[draw(rng, self.fragile.len())];
        let after = rng.next_u64() % 20;
        let times = 1 + rng.next_u64() % 3;
        let bit = draw(rng, 1 << 20);
        let keep_bytes = draw(rng, 5000);
        let (operation, effect) = match rng.next_u64() % 8 {
            0 => (Operation::Write, Effect::Errno(EIO)),
            1 => (Operation::Sync, Effect::Errno(EIO)),
            2 | 3 => (Operation::Read, Effect::Errno(EIO)),
            4 => (Operation::Write, Effect::TornWrite { keep_bytes }),
            5 => (Operation::Read, Effect::BitFlip { bit }),
            6 => (Operation::Write, Effect::BitFlip { bit }),
            _ => (Operation::Write, Effect::Errno(ENOSPC)),
        };
        tracing::info!(slot, ?operation, ?effect, after, times, "fault");
        world.disks[slot].inject(fault(operation, after, times, effect));
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn fault(operation: Operation, after: u64, times: u64, effect: Effect) -> Fault {
    Fault {
        operation,
        path: "",
        after,
        times,
        effect,
    }
}

/// Some files lose bits, sectors, their end, or are gone. Not `disk.json`: without it the directory is refused, and an operator has
/// to look.
fn rot(image: &MemoryVolume, rng: &dyn Rng) {
    let files: Vec<String> = image
        .files()
        .into_keys()
        .filter(|path| path != "disk.json")
        .collect();
    if files.is_empty() {
        return;
    }
    for _ in 0..=draw(rng, 3) {
        let path = &files[draw(rng, files.len())];
        let (kind, at, length) = (rng.next_u64() % 4, rng.next_u64(), draw(rng, 2000));
        let rotten = image.tamper(path, |bytes| {
            if bytes.is_empty() {
                return;
            }
            let at = usize::try_from(at % bytes.len() as u64).unwrap_or(0);
            match kind {
                0 | 1 => bytes[at] ^= 1 << (length % 8),
                2 => {
                    let end = (at + length).min(bytes.len());
                    bytes[at..end].fill(0);
                }
                _ => bytes.truncate(at),
            }
        });
        drop(rotten);
    }
}
