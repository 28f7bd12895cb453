//! Buckets: made, looked for, listed.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    BucketInfo, BucketSummary, Parameters, ProvisionError, Provisioner,
    bucket_state::{self, BucketState},
    fault::failed,
    provisioner::Inner,
};
use crate::{
    backend::{BackendError, ListedBucket, NewBucket, Tags},
    parameters::{BucketParameters, EndpointKind, text::differences},
};

/// How often creation looks again whether what it did has come about.
const ATTEMPTS: usize = 4;
/// How many are asked about at the same time.
pub(super) const PARALLEL: usize = 16;

impl Provisioner {
    /// Makes a bucket, or finds that it was made like this before.
    ///
    /// # Errors
    /// [`ProvisionError::Invalid`] for the name or parameters; [`ProvisionError::Conflict`]: there is such a bucket, made with other parameters or not by
    /// this driver.
    ///
    /// # Cancel safety
    /// May be dropped at any point, and called again.
    pub async fn create_bucket(
        &self,
        name: &str,
        parameters: &Parameters,
    ) -> Result<BucketInfo, ProvisionError> {
        check_name(name)?;
        let asked = BucketParameters::parse(parameters)?;
        let _only = self.inner.locks.lock(name).await;
        for _ in 0..ATTEMPTS {
            if self.inner.make(name, &asked).await? {
                return self.inner.info(name, EndpointKind::Internal);
            }
        }
        Err(ProvisionError::Unavailable(format!(
            "bucket {name} changes all the time: somebody else works on it"
        )))
    }

    /// A bucket that there is, whoever made it. One that is in the trash is taken out.
    ///
    /// # Errors
    /// [`ProvisionError::NotFound`].
    pub async fn existing_bucket(&self, id: &str) -> Result<BucketInfo, ProvisionError> {
        if check_name(id).is_err() {
            return Err(no_bucket(id));
        }
        let _only = self.inner.locks.lock(id).await;
        let tags = self.inner.tags_of_existing(id).await?;
        self.inner.take_from_trash(id, &tags).await?;
        self.inner.info(id, EndpointKind::Internal)
    }

    /// The buckets that this driver made, by name.
    ///
    /// # Errors
    /// [`ProvisionError::Denied`], [`ProvisionError::Unavailable`].
    pub async fn buckets(&self) -> Result<Vec<BucketSummary>, ProvisionError> {
        let all = self.inner.backend.list_buckets("").await.map_err(failed)?;
        let inner = &self.inner;
        let asked = stream::iter(all).map(|listed| inner.summary(listed));
        let found: Vec<_> = asked.buffered(PARALLEL).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }
}

impl Inner {
    /// One step towards the bucket; whether it is there as it was asked for.
    async fn make(&self, name: &str, asked: &BucketParameters) -> Result<bool, ProvisionError> {
        let tags = match self.backend.bucket_tags(name).await {
            // Another account's can't be asked about, but is known when it is to be made.
            Err(BackendError::NoSuchBucket(_) | BackendError::Denied { .. }) => {
                return self.create(name, asked).await.map(|()| false);
            }
            other => other.map_err(failed)?,
        };
        let Some(state) = BucketState::of(&self.settings.driver, &tags) else {
            return self.adopt(name, &tags, asked).await.map(|()| false);
        };
        check_same(name, &state, asked)?;
        if state.trashed_until.is_some() {
            self.take_from_trash(name, &tags).await?;
            return Ok(false);
        }
        if !state.is_configured {
            self.set_up(name, tags, asked).await?;
        }
        Ok(true)
    }

    async fn create(&self, name: &str, asked: &BucketParameters) -> Result<(), ProvisionError> {
        self.check_server(asked)?;
        let new = NewBucket {
            tags: self.new_tags(asked),
            object_lock: asked.object_lock.is_some(),
            profile: asked.erasure_profile,
        };
        match self.backend.create_bucket(name, &new).await {
            Err(BackendError::BucketAlreadyExists(_)) => Err(ProvisionError::Conflict(format!(
                "another account has a bucket {name} already: names are the server's, not the account's"
            ))),
            other => other.map_err(failed),
        }
    }

    /// Tags of a new bucket. One that has nothing to be set is done with its creation.
    fn new_tags(&self, asked: &BucketParameters) -> Tags {
        let mut tags =
            bucket_state::new_tags(&self.settings.driver, &asked.canonical(), &asked.tags);
        if asked.settings().is_empty() {
            bucket_state::configured(&mut tags);
        }
        tags
    }

    /// Takes a bucket without any tags for ours that was made a moment ago on a server that takes no tags with the creation. Such a bucket has nothing in it,
    /// and is the account's own.
    async fn adopt(
        &self,
        name: &str,
        tags: &Tags,
        asked: &BucketParameters,
    ) -> Result<(), ProvisionError> {
        let is_new = tags.is_empty() && self.is_own(name).await? && self.is_empty(name).await?;
        if !is_new {
            return Err(ProvisionError::Conflict(format!(
                "there is a bucket {name} already that {} has not made: to use it, name it as existing bucket",
                self.settings.driver
            )));
        }
        self.check_server(asked)?;
        let tags = self.new_tags(asked);
        let put = self.backend.put_bucket_tags(name, &tags).await;
        put.map_err(failed)
    }

    async fn set_up(
        &self,
        name: &str,
        mut tags: Tags,
        asked: &BucketParameters,
    ) -> Result<(), ProvisionError> {
        for setting in asked.settings() {
            let set = self.backend.configure(name, &setting).await;
            set.map_err(failed)?;
        }
        bucket_state::configured(&mut tags);
        let put = self.backend.put_bucket_tags(name, &tags).await;
        put.map_err(failed)
    }

    /// What the server itself has to be like.
    fn check_server(&self, asked: &BucketParameters) -> Result<(), ProvisionError> {
        let region = &self.settings.region;
        if let Some(asked) = asked.region.as_ref().filter(|asked| *asked != region) {
            return Err(ProvisionError::Invalid(format!(
                "parameter region of the BucketClass is {asked}, and this server's is {region}"
            )));
        }
        Ok(())
    }

    pub(super) async fn is_own(&self, name: &str) -> Result<bool, ProvisionError> {
        let listed = self.backend.list_buckets(name).await.map_err(failed)?;
        Ok(listed.iter().any(|listed| listed.name == name))
    }

    async fn is_empty(&self, name: &str) -> Result<bool, ProvisionError> {
        let versions = self.backend.list_versions(name).await.map_err(failed)?;
        let uploads = self.backend.list_uploads(name).await.map_err(failed)?;
        Ok(versions.versions.is_empty() && uploads.uploads.is_empty())
    }

    /// The tags of a bucket that may be anybody's, as long as the driver may ask about it.
    pub(super) async fn tags_of_existing(&self, id: &str) -> Result<Tags, ProvisionError> {
        match self.backend.bucket_tags(id).await {
            Err(BackendError::NoSuchBucket(_)) => Err(no_bucket(id)),
            other => other.map_err(failed),
        }
    }

    /// `None`: another driver's, or nobody's, or gone meanwhile.
    async fn summary(&self, listed: ListedBucket) -> Result<Option<BucketSummary>, ProvisionError> {
        let tags = match self.backend.bucket_tags(&listed.name).await {
            Err(BackendError::NoSuchBucket(_)) => return Ok(None),
            other => other.map_err(failed)?,
        };
        let state = BucketState::of(&self.settings.driver, &tags);
        Ok(state.map(|state| BucketSummary {
            id: listed.name,
            created: listed.created,
            parameters: state.parameters.unwrap_or_default(),
            trashed_until: state.trashed_until,
        }))
    }
}

fn no_bucket(id: &str) -> ProvisionError {
    ProvisionError::NotFound(format!("there is no bucket {id:?}"))
}

fn check_same(
    name: &str,
    state: &BucketState,
    asked: &BucketParameters,
) -> Result<(), ProvisionError> {
    let Some(there) = &state.parameters else {
        return Err(ProvisionError::Conflict(format!(
            "the tags of bucket {name} that say what it was made with were changed: put them right, or take the bucket as an existing one"
        )));
    };
    let differs = differences(there, &asked.canonical());
    if differs.is_empty() {
        return Ok(());
    }
    Err(ProvisionError::Conflict(format!(
        "there is a bucket {name} already, made with other parameters: {}",
        differs.join("; ")
    )))
}

/// What S3 lets a bucket be called.
pub(super) fn check_name(name: &str) -> Result<(), ProvisionError> {
    let may_be = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    let is_end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let is_address = name.parse::<std::net::Ipv4Addr>().is_ok();
    let is_good = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| may_be(*b))
        && is_end(bytes.first())
        && is_end(bytes.last())
        && !name.contains("..")
        && !is_address;
    if is_good {
        return Ok(());
    }
    let short: String = name.chars().take(80).collect();
    Err(ProvisionError::Invalid(format!(
        "{short:?} can't be a bucket's name: 3 to 63 small letters, digits, dots and hyphens, with a letter or digit at both ends (COSI before 0.2.2 puts the name of the BucketClass in front: give it a short one in small letters)"
    )))
}

#[cfg(test)]
mod tests;
