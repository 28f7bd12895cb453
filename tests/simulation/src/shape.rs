//! How many disks a run begins with, and how its blobs are coded.

use larder_erasure::Profile;
use larder_storage::{open::default_profile, rng::Rng};

use crate::tasks::draw;

/// Disks that a run has at most.
pub const MOST_DISKS: usize = 7;

/// What is set for a run.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Disks at the beginning.
    pub disks: usize,
    /// The profile; by number of disks where there is none.
    profile: Option<Profile>,
    /// What the bucket asks for, if it has a profile of its own.
    pub bucket: Option<Profile>,
    /// Disks that may be lost at a time, whatever becomes of the others.
    pub parity: usize,
}

impl Shape {
    /// Mostly four disks and 2+2.
    pub fn draw(rng: &dyn Rng) -> Self {
        let (disks, profile) = match rng.next_u64() % 100 {
            0..50 => (4, Some((2, 2))),
            50..65 => (3, Some((2, 1))),
            65..75 => (5 + draw(rng, 2), Some((2, 2))),
            75..85 => (5 + draw(rng, 2), Some((3, 2))),
            _ => (3 + draw(rng, 4), None),
        };
        let profile = profile.and_then(|(data, parity)| Profile::new(data, parity).ok());
        let mut shape = Self {
            disks,
            profile,
            bucket: None,
            parity: 0,
        };
        // What is written first may stay: more disks make later blobs safer, not these.
        shape.parity = shape.profile(disks).parity();
        if draw(rng, 3) == 0 {
            shape.bucket = profile_within(disks, shape.parity, rng);
            shape.parity = shape.bucket.map_or(shape.parity, Profile::parity);
        }
        shape
    }

    /// How new blobs are coded where so many disks are there to stay.
    pub fn profile(&self, disks: usize) -> Profile {
        let profile = self.profile.or_else(|| default_profile(disks));
        profile.unwrap_or_else(|| unreachable!("there is a profile for any number of disks"))
    }
}

/// Any profile that a bucket can have on so many disks, in a cluster that spares `parity` of them; with parity.
fn profile_within(disks: usize, parity: usize, rng: &dyn Rng) -> Option<Profile> {
    let parity = 1 + draw(rng, parity);
    let data = 1 + draw(rng, disks - parity);
    let number = |count: usize| u8::try_from(count).ok();
    Profile::new(number(data)?, number(parity)?).ok()
}
