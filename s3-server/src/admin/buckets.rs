//! `buckets`: how much is in each, how much may be, and how objects are coded; `buckets/quota` and `buckets/profile` set the latter two.

use larder_storage::objects::{
    Bucket, BucketName, BucketProfile, Quota, Store, StoreError, Tally, Versioning,
};
use serde::{Deserialize, Serialize};

use super::{AdminCall, AdminError, AdminResult, json};
use crate::{config::ProfileSetting, http::Response};

/// Below [`super::V1`]. With `?bucket=` only that one.
pub const PATH: &str = "buckets";
/// Below [`super::V1`].
pub const QUOTA_PATH: &str = "buckets/quota";
/// Below [`super::V1`].
pub const PROFILE_PATH: &str = "buckets/profile";

/// Buckets with their usage, in order of name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BucketList {
    /// They.
    pub buckets: Vec<BucketEntry>,
}

/// A bucket with its usage: exact, with every write that was answered before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BucketEntry {
    /// Its name.
    pub name: String,
    /// The account that it is of, twelve digits.
    pub owner: String,
    /// When it was created, milliseconds since the Unix epoch.
    pub created_unix_millis: u64,
    /// `off`, `enabled` or `suspended`.
    pub versioning: String,
    /// Versions of objects, noncurrent ones too, without delete markers.
    pub objects: u64,
    /// Bytes of all of them, as clients sent them.
    pub bytes: u64,
    /// Delete markers.
    pub delete_markers: u64,
    /// Bytes that may be there.
    pub max_bytes: Option<u64>,
    /// Objects that may be there, counted as [`BucketEntry::objects`].
    pub max_objects: Option<u64>,
    /// The profile that was asked for, such as `2+1`; `null`: the cluster's.
    pub profile: Option<String>,
    /// What new objects are written with: another one than was asked for as long as that can't be had.
    pub profile_used: String,
}

/// A new quota; what is `null` or left out has no bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct QuotaChange {
    /// Of this bucket.
    pub bucket: String,
    /// Bytes that may be there.
    pub max_bytes: Option<u64>,
    /// Objects that may be there.
    pub max_objects: Option<u64>,
}

/// How objects are to be coded whose writes begin from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProfileChange {
    /// In this bucket.
    pub bucket: String,
    /// Data and parity shards, such as `2+1`; `null`: as the cluster's are.
    pub profile: Option<String>,
}

impl BucketEntry {
    /// A bucket and what is known of it.
    fn new(bucket: &Bucket, usage: Tally, quota: Quota, profile: BucketProfile) -> Self {
        let versioning = match bucket.versioning {
            Versioning::Off => "off",
            Versioning::Enabled => "enabled",
            Versioning::Suspended => "suspended",
        };
        Self {
            name: bucket.name.as_str().to_owned(),
            owner: bucket.owner.to_string(),
            created_unix_millis: bucket.created_unix_millis,
            versioning: versioning.to_owned(),
            objects: usage.objects,
            bytes: usage.bytes,
            delete_markers: usage.delete_markers,
            max_bytes: quota.max_bytes,
            max_objects: quota.max_objects,
            profile: profile.asked.map(|profile| profile.to_string()),
            profile_used: profile.used.to_string(),
        }
    }
}

/// Up to `limit` buckets; those that go meanwhile are left out.
///
/// # Errors
/// Those of the store.
pub(super) async fn entries(store: &Store, limit: usize) -> Result<Vec<BucketEntry>, StoreError> {
    let mut entries = Vec::new();
    for bucket in store.list_buckets(None, "", None, limit).await? {
        match entry(store, bucket).await {
            Ok(entry) => entries.push(entry),
            Err(StoreError::NoSuchBucket) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}

async fn entry(store: &Store, bucket: Bucket) -> Result<BucketEntry, StoreError> {
    let usage = store.usage(&bucket.name).await?;
    let quota = store.quota(&bucket.name).await?;
    let profile = store.profile(&bucket.name).await?;
    Ok(BucketEntry::new(&bucket, usage, quota, profile))
}

pub(super) async fn list(call: AdminCall<'_>) -> AdminResult<Response> {
    let store = call.storage()?.store();
    let Some(name) = call.parameter("bucket") else {
        let entries = entries(store, usize::MAX).await;
        let buckets = entries.map_err(AdminError::internal)?;
        return json(&BucketList { buckets });
    };
    let bucket = one(store, name).await?;
    json(&BucketList {
        buckets: vec![bucket],
    })
}

pub(super) async fn set_quota(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let QuotaChange {
        bucket,
        max_bytes,
        max_objects,
    } = call.body().await?;
    let store = call.storage()?.store();
    let quota = Quota {
        max_bytes,
        max_objects,
    };
    let set = store.set_quota(&parse(&bucket)?, quota).await;
    set.map_err(|error| refused(error, &bucket))?;
    tracing::info!(bucket, ?max_bytes, ?max_objects, "quota set");
    json(&one(store, &bucket).await?)
}

pub(super) async fn set_profile(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let ProfileChange { bucket, profile } = call.body().await?;
    let store = call.storage()?.store();
    let checked: Option<ProfileSetting> = profile
        .map(|text| text.parse())
        .transpose()
        .map_err(AdminError::bad_request)?;
    let parsed = checked.map(ProfileSetting::profile).transpose();
    let parsed = parsed.map_err(AdminError::bad_request)?;
    let set = store.set_profile(&parse(&bucket)?, parsed).await;
    set.map_err(|error| refused(error, &bucket))?;
    let profile = checked.map_or_else(|| "the cluster's".to_owned(), String::from);
    tracing::info!(bucket, profile, "profile set");
    json(&one(store, &bucket).await?)
}

async fn one(store: &Store, name: &str) -> AdminResult<BucketEntry> {
    let bucket = store.bucket(&parse(name)?).await;
    let bucket = bucket.map_err(|error| refused(error, name))?;
    let found = entry(store, bucket).await;
    found.map_err(|error| refused(error, name))
}

fn parse(name: &str) -> AdminResult<BucketName> {
    BucketName::parse(name)
        .map_err(|error| AdminError::bad_request(format!("{name:?} is no bucket's name: {error}")))
}

fn refused(error: StoreError, name: &str) -> AdminError {
    match error {
        StoreError::NoSuchBucket => AdminError::not_found(format!(
            "there is no bucket {name}: `larder bucket list` shows which there are"
        )),
        StoreError::UnsuitableProfile(why) => AdminError::bad_request(format!(
            "{why}: `larder status` shows profile and disks of the cluster"
        )),
        other => AdminError::internal(other),
    }
}
