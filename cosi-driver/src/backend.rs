//! The server that buckets and accounts are made on, in S3's and IAM's own terms.
//!
//! A [`Backend`] does one small thing at a time, each of which is atomic on the server; what has to be done in which order, and again after a crash, is for
//! [`crate::provision`]. There are two: [`MemoryBackend`] for tests and for trying things out, and [`ServerBackend`], which speaks
//! S3 and IAM over HTTP.
//! [`Interrupted`] wraps either and stops it after a number of steps. One suite of tests is run by all of them.
//!
//! Nothing here knows COSI, classes or Kubernetes.

mod interrupted;
mod memory;
pub mod server;
mod types;

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub(crate) mod world;

use std::fmt;

use async_trait::async_trait;
use time::OffsetDateTime;

pub use interrupted::{Interrupted, Interruption};
pub use memory::MemoryBackend;
pub(crate) use server::date_of;
pub use server::{CredentialSource, ServerBackend, ServerSettings};
pub use types::{
    AccessKey, Caller, Configuration, DeleteFailure, Encryption, Held, IdentityKind, Lifecycle,
    ListedBucket, ListedIdentity, LockMode, LockRule, NewBucket, NewIdentity, ObjectVersion,
    Profile, Quota, Setting, StoredIdentity, Tags, Upload, UploadPage, VersionPage,
};

use crate::provision::KeyPair;

/// Result with a [`BackendError`].
pub type BackendResult<T> = Result<T, BackendError>;

/// Why an operation was not done. No message holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// There is no such bucket.
    #[error("there is no bucket {0}")]
    NoSuchBucket(String),
    /// There is one of that name, of another account.
    #[error("another account has a bucket {0}")]
    BucketAlreadyExists(String),
    /// There is something in the bucket.
    #[error("bucket {0} is not empty")]
    BucketNotEmpty(String),
    /// There is no such user, role, policy or key.
    #[error("{0}")]
    NoSuchEntity(String),
    /// There is a user or role of that name.
    #[error("{0}")]
    EntityAlreadyExists(String),
    /// A user or role that something hangs on does not go.
    #[error("{0}")]
    DeleteConflict(String),
    /// Too many, or too large.
    #[error("{0}")]
    LimitExceeded(String),
    /// The request itself is at fault: what was asked for can't be had on this server.
    #[error("{message} ({code})")]
    Refused {
        /// As S3 or IAM calls it.
        code: String,
        /// What the server says.
        message: String,
    },
    /// The driver's credentials are not accepted, or may not do this.
    #[error("{message}")]
    Denied {
        /// As S3 or IAM calls it.
        code: String,
        /// What the server says, and what to do.
        message: String,
    },
    /// No answer, or none that tells: again later. The operation may have been done.
    #[error("{0}")]
    Unavailable(String),
}

/// What a server of buckets and accounts can do. Each operation is done as a whole or not at all, and is durable when it is answered.
///
/// All of them may end with [`BackendError::Denied`] and [`BackendError::Unavailable`], and those of a bucket with [`BackendError::NoSuchBucket`].
#[async_trait]
pub trait Backend: Send + Sync + fmt::Debug {
    /// Who the driver is to the server.
    async fn caller(&self) -> BackendResult<Caller>;

    /// What the server's clock shows, to the second; `None` where it does not say. Nothing is signed for it: a signature with a wrong time would be refused.
    async fn date(&self) -> BackendResult<Option<OffsetDateTime>>;

    /// Makes a bucket with its tags. `Ok` as well where the account has one of that name already, which then stays as it is.
    ///
    /// Not every server takes tags with the creation: whether they came through, [`Backend::bucket_tags`] says.
    ///
    /// # Errors
    /// [`BackendError::BucketAlreadyExists`]: it is another account's. [`BackendError::Refused`]: it can't be as it is asked for, and is not made.
    async fn create_bucket(&self, bucket: &str, new: &NewBucket) -> BackendResult<()>;

    /// The account's buckets whose names begin so, in order.
    async fn list_buckets(&self, prefix: &str) -> BackendResult<Vec<ListedBucket>>;

    /// Deletes a bucket that is empty.
    ///
    /// # Errors
    /// [`BackendError::BucketNotEmpty`].
    async fn delete_bucket(&self, bucket: &str) -> BackendResult<()>;

    /// The tags of a bucket; empty where it has none.
    async fn bucket_tags(&self, bucket: &str) -> BackendResult<Tags>;

    /// Puts these in the place of all tags of a bucket.
    async fn put_bucket_tags(&self, bucket: &str, tags: &Tags) -> BackendResult<()>;

    /// Sets one thing about a bucket.
    ///
    /// # Errors
    /// [`BackendError::Refused`].
    async fn configure(&self, bucket: &str, setting: &Setting) -> BackendResult<()>;

    /// What is set about a bucket.
    async fn configuration(&self, bucket: &str) -> BackendResult<Configuration>;

    /// The policy of a bucket, if it has one.
    async fn bucket_policy(&self, bucket: &str) -> BackendResult<Option<String>>;

    /// Sets the policy of a bucket, or takes it away.
    async fn put_bucket_policy(&self, bucket: &str, policy: Option<&str>) -> BackendResult<()>;

    /// The first versions and delete markers in a bucket, at most a thousand.
    async fn list_versions(&self, bucket: &str) -> BackendResult<VersionPage>;

    /// Deletes versions and delete markers, at most a thousand; those that can't be are answered.
    async fn delete_versions(
        &self,
        bucket: &str,
        versions: &[ObjectVersion],
    ) -> BackendResult<Vec<DeleteFailure>>;

    /// What keeps a version from being deleted.
    async fn held(&self, bucket: &str, version: &ObjectVersion) -> BackendResult<Held>;

    /// The first uploads of a bucket that were not completed, at most a thousand.
    async fn list_uploads(&self, bucket: &str) -> BackendResult<UploadPage>;

    /// Gives up an upload; `Ok` where there is none of that name any more.
    async fn abort_upload(&self, bucket: &str, upload: &Upload) -> BackendResult<()>;

    /// Makes a user or a role with its tags.
    ///
    /// # Errors
    /// [`BackendError::EntityAlreadyExists`], [`BackendError::LimitExceeded`].
    async fn create_identity(
        &self,
        kind: IdentityKind,
        new: &NewIdentity,
    ) -> BackendResult<StoredIdentity>;

    /// A user or a role with its tags; `None` where there is none of that name.
    async fn identity(
        &self,
        kind: IdentityKind,
        name: &str,
    ) -> BackendResult<Option<StoredIdentity>>;

    /// The users or roles whose path begins so, without their tags.
    async fn list_identities(
        &self,
        kind: IdentityKind,
        path: &str,
    ) -> BackendResult<Vec<ListedIdentity>>;

    /// Adds tags, or gives those of the same keys new values.
    async fn tag_identity(&self, kind: IdentityKind, name: &str, tags: &Tags) -> BackendResult<()>;

    /// Takes tags away; `Ok` where there are none of these keys.
    async fn untag_identity(
        &self,
        kind: IdentityKind,
        name: &str,
        keys: &[&str],
    ) -> BackendResult<()>;

    /// Deletes a user or role that nothing hangs on.
    ///
    /// # Errors
    /// [`BackendError::NoSuchEntity`], [`BackendError::DeleteConflict`].
    async fn delete_identity(&self, kind: IdentityKind, name: &str) -> BackendResult<()>;

    /// Sets one of its inline policies.
    ///
    /// # Errors
    /// [`BackendError::NoSuchEntity`], [`BackendError::LimitExceeded`].
    async fn put_identity_policy(
        &self,
        kind: IdentityKind,
        name: &str,
        policy: &str,
        document: &str,
    ) -> BackendResult<()>;

    /// One of its inline policies, as it was put; `None` where there is none.
    async fn identity_policy(
        &self,
        kind: IdentityKind,
        name: &str,
        policy: &str,
    ) -> BackendResult<Option<String>>;

    /// Takes an inline policy away.
    ///
    /// # Errors
    /// [`BackendError::NoSuchEntity`].
    async fn delete_identity_policy(
        &self,
        kind: IdentityKind,
        name: &str,
        policy: &str,
    ) -> BackendResult<()>;

    /// An access key of a user: the one that was made under this token, or a new one.
    ///
    /// # Errors
    /// [`BackendError::NoSuchEntity`]; [`BackendError::LimitExceeded`]: the user has two others.
    async fn create_access_key(&self, user: &str, token: &str) -> BackendResult<KeyPair>;

    /// The access keys of a user, without their secrets.
    async fn access_keys(&self, user: &str) -> BackendResult<Vec<AccessKey>>;

    /// Makes a key count, or not.
    ///
    /// # Errors
    /// [`BackendError::NoSuchEntity`].
    async fn activate_access_key(
        &self,
        user: &str,
        access_key: &str,
        is_active: bool,
    ) -> BackendResult<()>;

    /// Deletes a key.
    ///
    /// # Errors
    /// [`BackendError::NoSuchEntity`].
    async fn delete_access_key(&self, user: &str, access_key: &str) -> BackendResult<()>;
}

/// Whoever made the bucket did not ask for it, or the server does not know profiles.
fn profile_not_taken(profile: Profile) -> BackendError {
    BackendError::Refused {
        code: "NoProfile".to_owned(),
        message: format!(
            "the bucket has no profile {profile}: the server took no notice of it, and can't be a Larder of this release"
        ),
    }
}
