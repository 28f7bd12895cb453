//! What goes wrong with disks, beyond the power.
//!
//! Invariant: only the *fragile* directories of a run, `m` at most, are hit by what costs data. All else must never lose a byte.

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
    world::{Dir, World},
};

/// Which disks may lose data in a run, and what they once were.
#[derive(Debug, Default)]
pub struct Faults {
    fragile: Vec<Dir>,
    old: Vec<(Dir, MemoryVolume)>,
    old_view: Option<MemoryView>,
    /// Places in the list that were exchanged and must be put back after they were refused.
    swapped: Option<(usize, usize)>,
    /// Directories that do not answer in this life.
    vanished: Vec<Dir>,
    /// Disks more may become fragile.
    spare: usize,
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
    /// Draws up to `most` fragile ones of `dirs`.
    pub fn new(rng: &dyn Rng, dirs: &[Dir], most: usize) -> Self {
        let mut fragile = dirs.to_vec();
        while fragile.len() > most {
            fragile.remove(draw(rng, fragile.len()));
        }
        if chance(rng, 30) {
            fragile.truncate(draw(rng, most + 1));
        }
        Self {
            spare: most - fragile.len(),
            fragile,
            ..Self::default()
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
        for dir in self.fragile.clone() {
            if !world.listed.contains(&dir) {
                continue;
            }
            let fate = rng.next_u64() % 100;
            tracing::info!(?dir, fate, "between lives");
            match fate {
                0..10 => self.replace(dir, world),
                10..25 => self.vanished.push(dir),
                25..40 => self.old.push((dir, world.images[&dir].after_kill())),
                40..50 => self.come_back_old(dir, world, rng),
                50..75 => rot(&world.images[&dir], rng),
                _ => {}
            }
        }
        // With a disk that does not answer, an exchange is not always found out before it is too late to take it back; nor while
        // there is doubt about the list.
        let place = |dir: &Dir| world.listed.iter().position(|other| other == dir);
        if let [first, second] = &self.fragile[..]
            && let Some((first, second)) = place(first).zip(place(second))
            && self.vanished.is_empty()
            && world.doubts.is_empty()
            && chance(rng, 10)
        {
            world.listed.swap(first, second);
            self.swapped = Some((first, second));
        }
    }

    /// An empty disk takes the place of the one in `dir` for good: the old one would be refused.
    pub fn replace(&mut self, dir: Dir, world: &mut World) {
        tracing::info!(?dir, "replaced");
        world.empty(dir);
        self.old.retain(|(of, _)| *of != dir);
    }

    fn come_back_old(&self, dir: Dir, world: &mut World, rng: &dyn Rng) {
        let images: Vec<_> = self.old.iter().filter(|(of, _)| *of == dir).collect();
        if !images.is_empty() {
            let (_, image) = images[draw(rng, images.len())];
            world.images.insert(dir, image.after_kill());
        }
    }

    /// A disk is plugged in. It may be one of those that lose data, if these are not too many with it.
    pub fn join(&mut self, dir: Dir, rng: &dyn Rng) {
        if self.spare > 0 && chance(rng, 50) {
            self.spare -= 1;
            self.fragile.push(dir);
        }
    }

    /// `new` takes the place of a disk that may have lost data.
    pub fn succeed(&mut self, old: Dir, new: Dir) {
        if self.is_fragile(old) {
            self.fragile.push(new);
        }
    }

    /// A disk is plugged in no more. What it has lost already counts as before.
    pub fn leave(&mut self, dir: Dir) {
        self.fragile.retain(|other| *other != dir);
        self.old.retain(|(of, _)| *of != dir);
    }

    /// All is whole again: from now on other disks may be hit.
    pub fn redraw(&mut self, rng: &dyn Rng, dirs: &[Dir], most: usize) {
        let old_view = self.old_view.take();
        *self = Self::new(rng, dirs, most);
        self.old_view = old_view;
    }

    /// Every disk answers again.
    pub fn forget(&mut self) {
        self.vanished.clear();
    }

    /// The machine is on: what does not answer?
    pub fn at_boot(&self, world: &World) {
        for dir in &self.vanished {
            let Some(disk) = world.disks.get(dir) else {
                continue;
            };
            for operation in [
                Operation::Read,
                Operation::Write,
                Operation::Sync,
                Operation::Open,
                Operation::List,
                Operation::Remove,
            ] {
                disk.inject(fault(operation, 0, u64::MAX, Effect::Errno(EIO)));
            }
        }
    }

    /// Whether a disk may have lost data or does not answer.
    pub fn is_fragile(&self, dir: Dir) -> bool {
        self.fragile.contains(&dir)
    }

    /// Exchanged disks were accepted, as both were new: this is their place now.
    pub fn keep_swapped(&mut self) {
        self.swapped = None;
    }

    /// Puts exchanged disks back; whether there were any, so that a refusal was right.
    pub fn unswap(&mut self, world: &mut World) -> bool {
        let Some((first, second)) = self.swapped.take() else {
            return false;
        };
        world.listed.swap(first, second);
        true
    }

    /// Now and then something happens to a fragile disk in use.
    pub fn while_running(&self, world: &World, rng: &dyn Rng) {
        if self.fragile.is_empty() {
            return;
        }
        let dir = self.fragile[draw(rng, self.fragile.len())];
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
        tracing::info!(?dir, ?operation, ?effect, after, times, "fault");
        if let Some(disk) = world.disks.get(&dir) {
            disk.inject(fault(operation, after, times, effect));
        }
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
