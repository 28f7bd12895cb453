//! What outlives a process: the disks' images and the view's.

use std::sync::Arc;

use larder_storage::{
    disk::{MemoryVolume, Volume, fault::FaultVolume},
    meta::view::{MemoryView, View, ViewError, ViewSource},
    rng::Rng,
};
use parking_lot::Mutex;

use crate::tasks::chance;

/// Disks of the world.
pub const DISKS: usize = 4;
/// Size of each, bytes.
pub const DISK_BYTES: u64 = 1 << 30;

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
#[derive(Debug)]
pub struct World {
    /// The image of each slot.
    pub images: Vec<MemoryVolume>,
    /// What the process of this life sees of them.
    pub disks: Vec<FaultVolume<MemoryVolume>>,
    view: MemoryView,
    next_name: u32,
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
    pub fn new() -> Self {
        let mut world = Self {
            images: Vec::new(),
            disks: Vec::new(),
            view: MemoryView::default(),
            next_name: 0,
        };
        for _ in 0..DISKS {
            let image = world.empty_disk();
            world.images.push(image);
        }
        world
    }

    /// A disk fresh from the factory.
    pub fn empty_disk(&mut self) -> MemoryVolume {
        self.next_name += 1;
        MemoryVolume::new(format!("disk-{}", self.next_name), DISK_BYTES)
    }

    /// The machine is on: what a new process sees.
    pub fn boot(&mut self) -> (Vec<Arc<dyn Volume>>, Arc<SimView>) {
        self.disks = self.images.iter().cloned().map(FaultVolume::new).collect();
        let volumes = self.disks.iter().cloned();
        let volumes = volumes.map(|disk| Arc::new(disk) as Arc<dyn Volume>);
        (
            volumes.collect(),
            Arc::new(SimView(Mutex::new(self.view.clone()))),
        )
    }

    /// The process of this life is no more; whatever it still does reaches nothing. To be called before its tasks are dropped.
    pub fn end(&mut self, end: End, view: &SimView, rng: &dyn Rng) {
        let view = view.0.lock().clone();
        match end {
            End::PowerCut => {
                self.images = self.images.iter().map(|image| image.crash(rng)).collect();
                self.view = view.after_power_cut();
            }
            End::Kill | End::Close => {
                self.images = self.images.iter().map(MemoryVolume::after_kill).collect();
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
        for image in &self.images {
            for (path, content) in image.files() {
                take(path.as_bytes());
                take(&crate::content::digest(&content));
            }
        }
        state
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
