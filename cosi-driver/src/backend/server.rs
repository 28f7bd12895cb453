//! A server over HTTP: buckets by S3, accounts by IAM, and quotas, which neither has a word for, by Larder's admin API.
//!
//! | file | what |
//! |---|---|
//! | `connection` | requests on their way: signed, bounded in time and size, sent again where that may help |
//! | `credentials` | who the driver is; read again when the server refuses them |
//! | `refusal` | what an error of the server means |
//! | `xml`, `documents` | XML as a tree, and what is set about buckets |
//! | `s3`, `iam`, `admin` | what is asked of each API |
//!
//! Every operation may be sent more than once: an answer can be lost after the server has done it. Whoever asks for something to be made has to be content
//! with finding it there.

mod admin;
mod connection;
mod credentials;
mod documents;
mod iam;
mod refusal;
mod s3;
mod xml;

#[cfg(test)]
pub(crate) mod testing;

use async_trait::async_trait;
use time::OffsetDateTime;

pub(crate) use connection::date_of;
pub use connection::{ServerSettings, SettingsError};
pub use credentials::{CredentialSource, CredentialsError};

use self::connection::Connection;
use super::{
    AccessKey, Backend, BackendResult, Caller, Configuration, DeleteFailure, Held, IdentityKind,
    ListedBucket, ListedIdentity, NewBucket, NewIdentity, ObjectVersion, Setting, StoredIdentity,
    Tags, Upload, UploadPage, VersionPage,
};
use crate::provision::KeyPair;

/// A server over HTTP.
#[derive(Debug)]
pub struct ServerBackend {
    connection: Connection,
}

impl ServerBackend {
    /// A backend on the server of `settings`; nothing is asked yet. Reads the file of authorities, and blocks.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn new(settings: ServerSettings) -> Result<Self, SettingsError> {
        let connection = Connection::new(settings)?;
        Ok(Self { connection })
    }
}

#[async_trait]
impl Backend for ServerBackend {
    async fn caller(&self) -> BackendResult<Caller> {
        iam::caller(&self.connection).await
    }

    async fn date(&self) -> BackendResult<Option<OffsetDateTime>> {
        self.connection.date().await
    }

    async fn create_bucket(&self, bucket: &str, new: &NewBucket) -> BackendResult<()> {
        s3::create_bucket(&self.connection, bucket, new).await
    }

    async fn list_buckets(&self, prefix: &str) -> BackendResult<Vec<ListedBucket>> {
        s3::list_buckets(&self.connection, prefix).await
    }

    async fn delete_bucket(&self, bucket: &str) -> BackendResult<()> {
        s3::delete(&self.connection, bucket, "").await
    }

    async fn bucket_tags(&self, bucket: &str) -> BackendResult<Tags> {
        s3::tags(&self.connection, bucket).await
    }

    async fn put_bucket_tags(&self, bucket: &str, tags: &Tags) -> BackendResult<()> {
        s3::put(
            &self.connection,
            bucket,
            "tagging",
            documents::tagging(tags),
        )
        .await
    }

    async fn configure(&self, bucket: &str, setting: &Setting) -> BackendResult<()> {
        match setting {
            Setting::Quota(quota) => admin::set_quota(&self.connection, bucket, *quota).await,
            setting => s3::configure(&self.connection, bucket, setting).await,
        }
    }

    async fn configuration(&self, bucket: &str) -> BackendResult<Configuration> {
        Ok(Configuration {
            quota: admin::quota(&self.connection, bucket).await?,
            ..s3::configuration(&self.connection, bucket).await?
        })
    }

    async fn bucket_policy(&self, bucket: &str) -> BackendResult<Option<String>> {
        s3::policy(&self.connection, bucket).await
    }

    async fn put_bucket_policy(&self, bucket: &str, policy: Option<&str>) -> BackendResult<()> {
        match policy {
            Some(policy) => s3::put(&self.connection, bucket, "policy", policy.to_owned()).await,
            None => s3::delete(&self.connection, bucket, "policy").await,
        }
    }

    async fn list_versions(&self, bucket: &str) -> BackendResult<VersionPage> {
        s3::list_versions(&self.connection, bucket).await
    }

    async fn delete_versions(
        &self,
        bucket: &str,
        versions: &[ObjectVersion],
    ) -> BackendResult<Vec<DeleteFailure>> {
        s3::delete_versions(&self.connection, bucket, versions).await
    }

    async fn held(&self, bucket: &str, version: &ObjectVersion) -> BackendResult<Held> {
        s3::held(&self.connection, bucket, version).await
    }

    async fn list_uploads(&self, bucket: &str) -> BackendResult<UploadPage> {
        s3::list_uploads(&self.connection, bucket).await
    }

    async fn abort_upload(&self, bucket: &str, upload: &Upload) -> BackendResult<()> {
        s3::abort_upload(&self.connection, bucket, upload).await
    }

    async fn create_identity(
        &self,
        kind: IdentityKind,
        new: &NewIdentity,
    ) -> BackendResult<StoredIdentity> {
        iam::create(&self.connection, kind, new).await
    }

    async fn identity(
        &self,
        kind: IdentityKind,
        name: &str,
    ) -> BackendResult<Option<StoredIdentity>> {
        iam::get(&self.connection, kind, name).await
    }

    async fn list_identities(
        &self,
        kind: IdentityKind,
        path: &str,
    ) -> BackendResult<Vec<ListedIdentity>> {
        iam::list(&self.connection, kind, path).await
    }

    async fn tag_identity(&self, kind: IdentityKind, name: &str, tags: &Tags) -> BackendResult<()> {
        iam::tag(&self.connection, kind, name, tags).await
    }

    async fn untag_identity(
        &self,
        kind: IdentityKind,
        name: &str,
        keys: &[&str],
    ) -> BackendResult<()> {
        iam::untag(&self.connection, kind, name, keys).await
    }

    async fn delete_identity(&self, kind: IdentityKind, name: &str) -> BackendResult<()> {
        iam::delete(&self.connection, kind, name).await
    }

    async fn put_identity_policy(
        &self,
        kind: IdentityKind,
        name: &str,
        policy: &str,
        document: &str,
    ) -> BackendResult<()> {
        iam::put_policy(&self.connection, kind, name, policy, document).await
    }

    async fn identity_policy(
        &self,
        kind: IdentityKind,
        name: &str,
        policy: &str,
    ) -> BackendResult<Option<String>> {
        iam::policy(&self.connection, kind, name, policy).await
    }

    async fn delete_identity_policy(
        &self,
        kind: IdentityKind,
        name: &str,
        policy: &str,
    ) -> BackendResult<()> {
        iam::delete_policy(&self.connection, kind, name, policy).await
    }

    async fn create_access_key(&self, user: &str, token: &str) -> BackendResult<KeyPair> {
        iam::create_key(&self.connection, user, token).await
    }

    async fn access_keys(&self, user: &str) -> BackendResult<Vec<AccessKey>> {
        iam::keys(&self.connection, user).await
    }

    async fn activate_access_key(
        &self,
        user: &str,
        access_key: &str,
        is_active: bool,
    ) -> BackendResult<()> {
        iam::activate_key(&self.connection, user, access_key, is_active).await
    }

    async fn delete_access_key(&self, user: &str, access_key: &str) -> BackendResult<()> {
        iam::delete_key(&self.connection, user, access_key).await
    }
}
