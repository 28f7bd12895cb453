//! Which profiles blobs can be written with beside the cluster's own.

use larder_erasure::Profile;

use super::Pool;
use crate::disk::Role;

/// Why nothing can be written with a profile here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsuitableProfile {
    /// More shards than disks.
    #[error("profile {profile} needs {} disks, and there are {disks}", profile.total())]
    TooWide {
        /// The profile.
        profile: Profile,
        /// The disks that are there to stay.
        disks: usize,
    },
    /// The records of what is written would be lost before its shards are: there are as many copies of them as the cluster's profile has parity
    /// shards, and one more.
    #[error(
        "with profile {profile} any {} disks may be lost, but only {} of this cluster's, whose profile is {cluster}",
        profile.parity(),
        cluster.parity()
    )]
    TooSafe {
        /// The profile.
        profile: Profile,
        /// The cluster's.
        cluster: Profile,
    },
}

impl Pool {
    /// Whether blobs can be written with `profile`, with all that it promises.
    ///
    /// # Errors
    /// [`UnsuitableProfile`].
    pub fn check_profile(&self, profile: Profile) -> Result<(), UnsuitableProfile> {
        let cluster = self.profile();
        let disks = self.disks();
        let disks = disks
            .iter()
            .filter(|disk| disk.role == Role::Member)
            .count();
        if profile.total() > disks {
            return Err(UnsuitableProfile::TooWide { profile, disks });
        }
        if profile.parity() > cluster.parity() {
            return Err(UnsuitableProfile::TooSafe { profile, cluster });
        }
        Ok(())
    }

    /// The profile to write with where `asked` is wanted: the cluster's in its place as long as disks have become too few for it, or the cluster's parity
    /// too little.
    pub fn profile_for(&self, asked: Option<Profile>) -> Profile {
        let asked = asked.filter(|profile| self.check_profile(*profile).is_ok());
        asked.unwrap_or_else(|| self.profile())
    }
}
