//! What outlives a process: the disks' images and the view's, and which directories the operator lists.

use std::{collections::BTreeMap, sync::Arc};

use larder_storage::{
    disk::{MemoryVolume, Volume, fault::FaultVolume},
    meta::view::{MemoryView, View, ViewError, ViewSource},
    rng::Rng,
};
use parking_lot::Mutex;

use crate::tasks::chance;

/// Size of each disk, bytes.
pub const DISK_BYTES: u64 = 1 << 30;

/// A data directory. What is mounted there may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dir(pub u32);

impl Dir {
    /// The directory, for people.
    pub fn location(self) -> String {
        format!("disk-{}", self.0)
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The power of the whole machine goes out: what was not synced may be lost, in any combination.
    PowerCut,
    /// The process is killed; the machine runs on.
    Kill,
    /// The store is closed.
    Close,
}

/// The disks and the view, between lives and during one.
#[derive(Debug, Default)]
pub struct World {
    /// What is mounted in each directory.
    pub images: BTreeMap<Dir, MemoryVolume>,
    /// What the process of this life sees of them.
    pub disks: BTreeMap<Dir, FaultVolume<MemoryVolume>>,
    /// The data directories that a start is given, in their order.
    pub listed: Vec<Dir>,
    /// Other lists, one of which may be right instead: a change did not come to its end.
    pub doubts: Vec<Vec<Dir>>,
    view: MemoryView,
    next: u32,
}

/// The view of a process.
#[derive(Debug)]
pub struct SimView(Mutex<MemoryView>);

impl ViewSource for SimView {
    fn open(&self) -> Result<Arc<dyn View>, ViewError> {
        Ok(Arc::new(self.0.lock().clone()))
    }

    fn wipe(&self) -> Result<(), ViewError> {
        *self.0.lock() = MemoryView::default();
        Ok(())
    }
}

impl World {
    /// Empty disks.
    pub fn new(disks: usize) -> Self {
        let mut world = Self::default();
        for _ in 0..disks {
            let dir = world.new_dir();
            world.listed.push(dir);
        }
        world
    }

    /// A directory with a disk fresh from the factory. It is not listed yet.
    pub fn new_dir(&mut self) -> Dir {
        self.next += 1;
        let dir = Dir(self.next);
        self.empty(dir);
        dir
    }

    /// A disk fresh from the factory in the place of what was mounted there.
    pub fn empty(&mut self, dir: Dir) {
        let image = MemoryVolume::new(dir.location(), DISK_BYTES);
        self.images.insert(dir, image);
    }

    /// The directory of this name.
    pub fn dir_at(&self, location: &str) -> Option<Dir> {
        let mut dirs = self.images.keys().copied();
        dirs.find(|dir| dir.location() == location)
    }

    /// What the process of this life sees of `dir`, from now on.
    pub fn plug_in(&mut self, dir: Dir) -> Arc<dyn Volume> {
        let image = self.images.get(&dir).cloned();
        let image = image.unwrap_or_else(|| MemoryVolume::new(dir.location(), 0));
        let disk = FaultVolume::new(image);
        self.disks.insert(dir, disk.clone());
        Arc::new(disk)
    }

    /// The machine is on: what a new process sees.
    pub fn boot(&mut self) -> (Vec<Arc<dyn Volume>>, Arc<SimView>) {
        self.disks.clear();
        let volumes = self.listed.clone().into_iter();
        let volumes = volumes.map(|dir| self.plug_in(dir)).collect();
        let view = SimView(Mutex::new(self.view.clone()));
        (volumes, Arc::new(view))
    }

    /// This is the list; nothing else is plugged in any more.
    pub fn settle_list(&mut self, listed: Vec<Dir>) {
        self.listed = listed;
        self.doubts.clear();
        self.images.retain(|dir, _| self.listed.contains(dir));
    }

    /// The process of this life is no more; whatever it still does reaches nothing. To be called before its tasks are dropped.
    pub fn end(&mut self, end: End, view: &SimView, rng: &dyn Rng) {
        let view = view.0.lock().clone();
        match end {
            End::PowerCut => {
                let images = self.images.values_mut();
                images.for_each(|image| *image = image.crash(rng));
                self.view = view.after_power_cut();
            }
            End::Kill | End::Close => {
                let images = self.images.values_mut();
                images.for_each(|image| *image = image.after_kill());
                // What an engine had not handed to the system yet dies with the process.
                let lost_buffers = end == End::Kill && chance(rng, 50);
                self.view = if lost_buffers {
                    view.after_power_cut()
                } else {
                    view.after_kill()
                };
            }
        }
    }

    /// The view is gone.
    pub fn lose_view(&mut self) {
        self.view = MemoryView::default();
    }

    /// A copy of the view, to come back with.
    pub fn view_image(&self) -> MemoryView {
        self.view.after_kill()
    }

    /// The view is what it once was.
    pub fn restore_view(&mut self, image: &MemoryView) {
        self.view = image.after_kill();
    }

    /// A number that differs where any byte on any disk does.
    pub fn fingerprint(&self) -> u64 {
        let mut state = 0xcbf2_9ce4_8422_2325_u64;
        let mut take = |bytes: &[u8]| {
            for byte in bytes {
                state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for image in self.images.values() {
            for (path, content) in image.files() {
                take(path.as_bytes());
                take(&crate::content::digest(&content));
            }
        }
        state
    }
}
