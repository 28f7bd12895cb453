//! How the objects of a bucket are coded, where that is not as the cluster's are.

use larder_erasure::Profile;

use super::{BucketName, Store, StoreError};
use crate::stripes::UnsuitableProfile;

/// How new objects of a bucket are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketProfile {
    /// What was asked for; `None`: nothing.
    pub asked: Option<Profile>,
    /// What they are written with. The cluster's profile unless another was asked for, and as long as that can't be had.
    pub used: Profile,
}

impl Store {
    /// How new objects of a bucket are coded.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn profile(&self, name: &BucketName) -> Result<BucketProfile, StoreError> {
        let asked = self.known_bucket(name).await?.profile();
        let used = self.inner.pool.profile_for(asked);
        Ok(BucketProfile { asked, used })
    }

    /// Sets how objects and parts are coded whose writes begin from now on; `None`: as the cluster's are. What is there stays as it is. Durable when it
    /// returns.
    ///
    /// # Errors
    /// [`StoreError::UnsuitableProfile`], [`StoreError::NoSuchBucket`].
    pub async fn set_profile(
        &self,
        name: &BucketName,
        profile: Option<Profile>,
    ) -> Result<(), StoreError> {
        profile.map_or(Ok(()), |profile| self.check_profile(profile))?;
        self.change_bucket(name, |_, record, _| {
            let changes = record.profile != profile;
            record.profile = profile;
            Ok(changes)
        })
        .await
    }

    /// Whether a bucket can have this profile.
    ///
    /// # Errors
    /// [`UnsuitableProfile`].
    pub fn check_profile(&self, profile: Profile) -> Result<(), UnsuitableProfile> {
        self.inner.pool.check_profile(profile)
    }
}
