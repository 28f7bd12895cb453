//! A backend in memory, which answers as Larder does.

mod identities;
mod objects;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use parking_lot::Mutex;
use time::OffsetDateTime;

use self::{
    identities::Identities,
    objects::{Objects, PAGE},
};
use super::{
    AccessKey, Backend, BackendError, BackendResult, Caller, Configuration, DeleteFailure, Held,
    IdentityKind, ListedBucket, ListedIdentity, LockMode, NewBucket, NewIdentity, ObjectVersion,
    Profile, Setting, StoredIdentity, Tags, Upload, UploadPage, VersionPage,
};
use crate::provision::KeyPair;

const ACCOUNT: &str = "000000000001";
const MAX_TAGS: usize = 50;

/// Buckets and accounts of one account, kept nowhere.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    state: Mutex<State>,
    ignores_tags: bool,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    /// Names that other accounts have.
    foreign: BTreeSet<String>,
    identities: Identities,
}

#[derive(Debug)]
struct Bucket {
    created: OffsetDateTime,
    tags: Tags,
    can_lock: bool,
    configuration: Configuration,
    policy: Option<String>,
    objects: Objects,
}

impl State {
    fn bucket(&mut self, name: &str) -> BackendResult<&mut Bucket> {
        if self.foreign.contains(name) {
            return Err(BackendError::Denied {
                code: "AccessDenied".to_owned(),
                message: "Access Denied".to_owned(),
            });
        }
        let found = self.buckets.get_mut(name);
        found.ok_or_else(|| BackendError::NoSuchBucket(name.to_owned()))
    }
}

impl MemoryBackend {
    /// One that has nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`MemoryBackend::new`], of a server that takes no tags with the creation of a bucket.
    pub fn ignoring_tags() -> Self {
        Self {
            ignores_tags: true,
            ..Self::default()
        }
    }

    /// Has another account take a name.
    pub fn add_foreign_bucket(&self, name: &str) {
        self.state.lock().foreign.insert(name.to_owned());
    }

    /// Whose key this is, if it counts.
    pub fn user_of_key(&self, access_key: &str) -> Option<String> {
        self.state.lock().identities.user_of_key(access_key)
    }

    /// Writes an object, as a client of the bucket does.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`].
    pub fn put_object(&self, bucket: &str, key: &str) -> BackendResult<()> {
        let mut state = self.state.lock();
        let bucket = state.bucket(bucket)?;
        let retention = bucket.configuration.object_lock.map(|rule| {
            let days = time::Duration::days(i64::from(rule.days));
            (rule.mode, OffsetDateTime::now_utc() + days)
        });
        let held = Held {
            retention,
            legal_hold: false,
        };
        bucket
            .objects
            .put(key, bucket.configuration.versioning, held);
        Ok(())
    }

    /// Deletes an object, as a client of the bucket does: in a bucket with versions there is a delete marker then.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`].
    pub fn delete_object(&self, bucket: &str, key: &str) -> BackendResult<()> {
        let mut state = self.state.lock();
        let bucket = state.bucket(bucket)?;
        bucket.objects.mark(key, bucket.configuration.versioning);
        Ok(())
    }

    /// Puts a legal hold on all versions of an object, or takes it away.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`].
    pub fn hold_object(&self, bucket: &str, key: &str, is_held: bool) -> BackendResult<()> {
        self.state.lock().bucket(bucket)?.objects.hold(key, is_held);
        Ok(())
    }

    /// Begins an upload, as a client of the bucket does.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`].
    pub fn begin_upload(&self, bucket: &str, key: &str) -> BackendResult<()> {
        self.state.lock().bucket(bucket)?.objects.begin_upload(key);
        Ok(())
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn caller(&self) -> BackendResult<Caller> {
        Ok(Caller {
            account: ACCOUNT.to_owned(),
            arn: format!("arn:aws:iam::{ACCOUNT}:root"),
        })
    }

    async fn date(&self) -> BackendResult<Option<OffsetDateTime>> {
        Ok(Some(OffsetDateTime::now_utc()))
    }

    async fn create_bucket(&self, bucket: &str, new: &NewBucket) -> BackendResult<()> {
        let mut state = self.state.lock();
        if state.foreign.contains(bucket) {
            return Err(BackendError::BucketAlreadyExists(bucket.to_owned()));
        }
        check_tags(&new.tags)?;
        check_profile(new.profile)?;
        let tags = if self.ignores_tags {
            Tags::new()
        } else {
            new.tags.clone()
        };
        let made = || Bucket {
            created: OffsetDateTime::now_utc(),
            tags,
            can_lock: new.object_lock,
            configuration: Configuration {
                versioning: new.object_lock,
                profile: new.profile,
                ..Configuration::default()
            },
            policy: None,
            objects: Objects::default(),
        };
        state.buckets.entry(bucket.to_owned()).or_insert_with(made);
        Ok(())
    }

    async fn list_buckets(&self, prefix: &str) -> BackendResult<Vec<ListedBucket>> {
        let state = self.state.lock();
        let below = state.buckets.iter();
        let below = below.filter(|(name, _)| name.starts_with(prefix));
        let listed = below.map(|(name, bucket)| ListedBucket {
            name: name.clone(),
            created: bucket.created,
        });
        Ok(listed.collect())
    }

    async fn delete_bucket(&self, bucket: &str) -> BackendResult<()> {
        let mut state = self.state.lock();
        if !state.bucket(bucket)?.objects.is_empty() {
            return Err(BackendError::BucketNotEmpty(bucket.to_owned()));
        }
        state.buckets.remove(bucket);
        Ok(())
    }

    async fn bucket_tags(&self, bucket: &str) -> BackendResult<Tags> {
        Ok(self.state.lock().bucket(bucket)?.tags.clone())
    }

    async fn put_bucket_tags(&self, bucket: &str, tags: &Tags) -> BackendResult<()> {
        check_tags(tags)?;
        tags.clone_into(&mut self.state.lock().bucket(bucket)?.tags);
        Ok(())
    }

    async fn configure(&self, bucket: &str, setting: &Setting) -> BackendResult<()> {
        let mut state = self.state.lock();
        let bucket = state.bucket(bucket)?;
        let configuration = &mut bucket.configuration;
        match setting {
            Setting::Versioning => configuration.versioning = true,
            Setting::ObjectLock(_) if !configuration.versioning => {
                return Err(BackendError::Refused {
                    code: "InvalidBucketState".to_owned(),
                    message: "Versioning must be 'Enabled' on the bucket".to_owned(),
                });
            }
            Setting::ObjectLock(rule) => {
                bucket.can_lock = true;
                configuration.object_lock = Some(*rule);
            }
            Setting::Lifecycle(lifecycle) => configuration.lifecycle = *lifecycle,
            Setting::Encryption(encryption) => {
                configuration.encryption = Some(encryption.clone());
            }
            Setting::Profile(profile) if configuration.profile != Some(*profile) => {
                return Err(super::profile_not_taken(*profile));
            }
            Setting::Profile(_) => {}
            Setting::Quota(quota) => configuration.quota = *quota,
        }
        Ok(())
    }

    async fn configuration(&self, bucket: &str) -> BackendResult<Configuration> {
        Ok(self.state.lock().bucket(bucket)?.configuration.clone())
    }

    async fn bucket_policy(&self, bucket: &str) -> BackendResult<Option<String>> {
        Ok(self.state.lock().bucket(bucket)?.policy.clone())
    }

    async fn put_bucket_policy(&self, bucket: &str, policy: Option<&str>) -> BackendResult<()> {
        self.state.lock().bucket(bucket)?.policy = policy.map(str::to_owned);
        Ok(())
    }

    async fn list_versions(&self, bucket: &str) -> BackendResult<VersionPage> {
        let mut state = self.state.lock();
        let all = state.bucket(bucket)?.objects.versions();
        Ok(VersionPage {
            is_truncated: all.len() > PAGE,
            versions: all.into_iter().take(PAGE).collect(),
        })
    }

    async fn delete_versions(
        &self,
        bucket: &str,
        versions: &[ObjectVersion],
    ) -> BackendResult<Vec<DeleteFailure>> {
        let mut state = self.state.lock();
        let bucket = state.bucket(bucket)?;
        let refused = versions
            .iter()
            .filter(|which| !bucket.objects.delete(which));
        let failure = |which: &ObjectVersion| DeleteFailure {
            version: which.clone(),
            code: "AccessDenied".to_owned(),
            message: "Access Denied because object protected by object lock.".to_owned(),
        };
        Ok(refused.map(failure).collect())
    }

    async fn held(&self, bucket: &str, version: &ObjectVersion) -> BackendResult<Held> {
        Ok(self.state.lock().bucket(bucket)?.objects.held(version))
    }

    async fn list_uploads(&self, bucket: &str) -> BackendResult<UploadPage> {
        let mut state = self.state.lock();
        let uploads = state.bucket(bucket)?.objects.uploads();
        Ok(UploadPage {
            is_truncated: uploads.len() > PAGE,
            uploads: uploads.into_iter().take(PAGE).collect(),
        })
    }

    async fn abort_upload(&self, bucket: &str, upload: &Upload) -> BackendResult<()> {
        self.state.lock().bucket(bucket)?.objects.abort(upload);
        Ok(())
    }

    async fn create_identity(
        &self,
        kind: IdentityKind,
        new: &NewIdentity,
    ) -> BackendResult<StoredIdentity> {
        check_tags(&new.tags)?;
        self.state.lock().identities.create(kind, new, ACCOUNT)
    }

    async fn identity(
        &self,
        kind: IdentityKind,
        name: &str,
    ) -> BackendResult<Option<StoredIdentity>> {
        Ok(self.state.lock().identities.stored(kind, name))
    }

    async fn list_identities(
        &self,
        kind: IdentityKind,
        path: &str,
    ) -> BackendResult<Vec<ListedIdentity>> {
        Ok(self.state.lock().identities.list(kind, path))
    }

    async fn tag_identity(&self, kind: IdentityKind, name: &str, tags: &Tags) -> BackendResult<()> {
        let mut state = self.state.lock();
        let stored = state.identities.stored_mut(kind, name)?;
        let mut all = stored.tags.clone();
        all.extend(tags.clone());
        check_tags(&all)?;
        stored.tags = all;
        Ok(())
    }

    async fn untag_identity(
        &self,
        kind: IdentityKind,
        name: &str,
        keys: &[&str],
    ) -> BackendResult<()> {
        let mut state = self.state.lock();
        let stored = state.identities.stored_mut(kind, name)?;
        stored.tags.retain(|key, _| !keys.contains(&key.as_str()));
        Ok(())
    }

    async fn delete_identity(&self, kind: IdentityKind, name: &str) -> BackendResult<()> {
        self.state.lock().identities.delete(kind, name)
    }

    async fn put_identity_policy(
        &self,
        kind: IdentityKind,
        name: &str,
        policy: &str,
        document: &str,
    ) -> BackendResult<()> {
        let mut state = self.state.lock();
        state.identities.put_policy(kind, name, policy, document)
    }

    async fn identity_policy(
        &self,
        kind: IdentityKind,
        name: &str,
        policy: &str,
    ) -> BackendResult<Option<String>> {
        Ok(self.state.lock().identities.policy(kind, name, policy))
    }

    async fn delete_identity_policy(
        &self,
        kind: IdentityKind,
        name: &str,
        policy: &str,
    ) -> BackendResult<()> {
        let mut state = self.state.lock();
        state.identities.delete_policy(kind, name, policy)
    }

    async fn create_access_key(&self, user: &str, token: &str) -> BackendResult<KeyPair> {
        self.state.lock().identities.create_key(user, token)
    }

    async fn access_keys(&self, user: &str) -> BackendResult<Vec<AccessKey>> {
        self.state.lock().identities.keys(user)
    }

    async fn activate_access_key(
        &self,
        user: &str,
        access_key: &str,
        is_active: bool,
    ) -> BackendResult<()> {
        let mut state = self.state.lock();
        state.identities.activate_key(user, access_key, is_active)
    }

    async fn delete_access_key(&self, user: &str, access_key: &str) -> BackendResult<()> {
        self.state.lock().identities.delete_key(user, access_key)
    }
}

/// As a server of one disk has it.
fn check_profile(profile: Option<Profile>) -> BackendResult<()> {
    match profile.map(|profile| profile.to_string()) {
        Some(asked) if asked != "1+0" => Err(BackendError::Refused {
            code: "InvalidArgument".to_owned(),
            message: format!("profile {asked} is too much for 1 disk"),
        }),
        _ => Ok(()),
    }
}

/// What S3 and IAM both say about tags.
fn check_tags(tags: &Tags) -> BackendResult<()> {
    let fits = |text: &str| {
        let may_be = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
        text.chars().all(may_be)
    };
    let is_good = |(key, value): (&String, &String)| {
        (1..=128).contains(&key.chars().count())
            && value.chars().count() <= 256
            && fits(key)
            && fits(value)
            && !key.to_ascii_lowercase().starts_with("aws:")
    };
    if tags.len() <= MAX_TAGS && tags.iter().all(is_good) {
        return Ok(());
    }
    Err(BackendError::Refused {
        code: "InvalidTag".to_owned(),
        message: "The tag provided was not a valid tag.".to_owned(),
    })
}

/// Whether what is locked like this can be deleted now.
fn is_free(held: &Held) -> bool {
    let is_over = |(_, until): &(LockMode, OffsetDateTime)| *until <= OffsetDateTime::now_utc();
    !held.legal_hold && held.retention.as_ref().is_none_or(is_over)
}
