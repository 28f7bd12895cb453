//! What every volume and every disk must do: one suite each, run by all implementations and wrappers.
//!
//! A suite panics where the implementation is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test support: a panic is the verdict"
)]

mod disk_suite;
mod volume_suite;

pub use self::{
    disk_suite::{DiskFixture, disk_suite},
    volume_suite::volume_suite,
};

use std::sync::{Arc, mpsc};

use super::{Completion, DiskError, DiskNo};

/// Collects outcomes in the order in which they are told.
#[derive(Debug)]
pub struct Outcomes {
    tell: mpsc::Sender<(u64, Result<(), DiskError>)>,
    told: mpsc::Receiver<(u64, Result<(), DiskError>)>,
}

#[derive(Debug)]
struct Tell {
    tag: u64,
    to: mpsc::Sender<(u64, Result<(), DiskError>)>,
}

impl Completion for Tell {
    fn complete(&self, _disk: DiskNo, result: Result<(), DiskError>) {
        // The collector may be gone: then nobody wants to know.
        drop(self.to.send((self.tag, result)));
    }
}

impl Default for Outcomes {
    fn default() -> Self {
        let (tell, told) = mpsc::channel();
        Self { tell, told }
    }
}

impl Outcomes {
    /// A completion whose outcome arrives here under `tag`.
    pub fn expect(&self, tag: u64) -> Option<Arc<dyn Completion>> {
        Some(Arc::new(Tell {
            tag,
            to: self.tell.clone(),
        }))
    }

    /// Waits for the next outcome.
    pub fn next(&self) -> (u64, Result<(), DiskError>) {
        self.told.recv().unwrap()
    }

    /// What has been told by now.
    pub fn so_far(&self) -> Vec<(u64, Result<(), DiskError>)> {
        self.told.try_iter().collect()
    }
}
