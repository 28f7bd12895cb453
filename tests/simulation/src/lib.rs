//! Larder's storage crate in a seeded, single-threaded world whose disks crash, tear, rot and lie.
//!
//! A run is a number of *lives* of one store on three to seven disks, which come and go. In each life the store opens, every key is read and compared, random
//! clients put, overwrite, delete, copy, complete uploads, tag and list, upkeep and scrub run, disks fail; then the life ends by a power cut, by a
//! kill, or by a clean stop. Nothing but the seed decides what happens: which task is polled next, when a disk's log is written, what
//! of the unsynced bytes a power cut leaves.
//!
//! [`history`] holds what is checked: per key every answer must fit one order of the operations, an acknowledged write is there
//! byte for byte after every end of a life, one that was not acknowledged is there whole or not at all.
//!
//! Invariants:
//! - One seed gives one run, whatever the machine does: no thread, no clock, no hash order takes part.
//! - Faults that cost data hit at most `m` disks between two times of full redundancy.

pub mod client;
pub mod clock;
pub mod content;
pub mod driver;
pub mod faults;
pub mod history;
mod life;
mod operator;
pub mod process;
pub mod run;
pub mod shape;
pub mod tasks;
mod upkeep;
mod whole;
pub mod world;

pub use run::{Failure, Settings, Summary, run};
