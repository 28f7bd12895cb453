//! S3 semantics: buckets, objects, versions, multipart uploads, listing, conditions, tags, object lock. No HTTP in it.
//!
//! Everything here is written on [`crate::meta::Meta`] and [`crate::stripes`] alone, so it is the same on each metadata engine.
//! Keys are opaque UTF-8 in one flat space: `a`, `a/`, `a//b` and `a/b` are four objects.
//!
//! How a write stays atomic: it reads what it depends on, decides, and commits on the condition that nothing of that has
//! changed; if it has, it starts over, `commit::ATTEMPTS` times at most. No scan is part of a commit.
//! What a commit no longer refers to goes into a garbage task (`garbage`) of the same commit.
//!
//! Invariants:
//! - Extents that a record names are removed only by a garbage task, and never while a reader of this process pins them.
//! - A part record lives as long as an upload or an object's manifest names its upload; it is the only place of its data.
//! - A record names a blob in the log only if the commit of that record carried it.
//! - No object enters a bucket that is gone: each write has a precondition on the bucket's revision.
//! - No version that is locked goes: whatever takes one away has a precondition on the record that it found unlocked.

mod account_quota;
mod accounts;
mod acl;
pub(crate) mod blobs;
mod bucket;
mod bucket_cache;
mod bucket_profile;
mod commit;
mod complete;
mod conditions;
mod delete;
mod documents;
mod error;
mod garbage;
mod heal;
mod identities;
mod keys;
mod lifecycle;
mod list_uploads;
mod list_versions;
mod listing;
mod lock;
mod lock_clock;
mod master_keys;
mod names;
mod object;
mod orphans;
mod outbox;
pub(crate) mod pages;
mod pins;
mod read;
mod record;
mod reseal;
mod sealed;
mod tags;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod upload;
mod usage;
mod versions;

use std::{sync::Arc, time::Duration};

pub use crate::meta::tally::Tally;
pub use accounts::{StoredAccount, StoredSecret};
pub use acl::{MAX_ACL_BYTES, SetAcl};
pub use blobs::PrefixTotal;
use bucket::OpenBucket;
pub use bucket::{Bucket, CreateBucket};
pub use bucket_profile::BucketProfile;
pub use complete::{CombineChecksums, CompletePart, CompleteUpload};
pub use conditions::{ConditionFailed, Existing, IfMatch, ReadConditions, WriteConditions};
pub use delete::DeleteItem;
pub use documents::{Document, DocumentKind, MAX_DOCUMENT_BYTES};
pub use error::{ErrorKind, StoreError};
pub use garbage::Swept;
pub(crate) use heal::{HealingExtents, any_extents_of, extents_of};
pub use identities::{
    ChangeIdentities, ChangeIdentity, IdentityKind, IdentityName, MAX_IDENTITY_BYTES,
    StoredIdentity,
};
pub use larder_erasure::Profile;
pub use lifecycle::{
    Expiration, Expiry, FilterForm, Lifecycle, LifecycleFilter, LifecycleRule, NoncurrentExpiration,
};
pub(crate) use lifecycle::{Expired, Place};
pub use list_uploads::{ListUploads, ListedUpload, UploadEntry, UploadsPage};
pub use list_versions::{ListVersions, ListedVersion, VersionEntry, VersionsPage};
pub use listing::{ListObjects, ListedEntry, ListedObject, Listing};
pub use lock::Governance;
pub use master_keys::KeyCheck;
pub use names::{
    AccountId, BucketName, ETag, MAX_KEY_BYTES, MAX_PARTS, NameError, ObjectKey, PartNumber,
    UploadId, VersionId,
};
pub use object::{PutObject, UpdateObject, Written};
pub use outbox::{Event, Happened, Happening, Herald, Queue, WaitingEvent};
pub use read::{ObjectHandle, ObjectInfo, ObjectPart, ObjectReader};
#[cfg(any(test, feature = "testing"))]
pub(crate) use record::fuzz_records;
pub use record::{
    BucketLock, Checksum, ChecksumAlgorithm, ChecksumKind, DefaultRetention, Headers, ObjectAcl,
    ObjectLock, ObjectOwner, RecordError, Retention, RetentionMode, RetentionPeriod, Tags,
    Versioning,
};
pub use reseal::{Reseal, ResealMemory, ResealPass, ResealPlace, ResealTally, Resealed};
#[cfg(any(test, feature = "testing"))]
pub(crate) use sealed::fuzz_sealed;
pub use sealed::{BodyWriter, DATA_KEY_BYTES, DataKey, FinishedBody, Sealing};
pub use upload::{CreateUpload, ListParts, ListedPart, PartsPage, PutPart, UploadInfo};
pub use usage::{Quota, weigh};
pub use versions::Deleted;

use crate::{
    clock::Clock,
    meta::Meta,
    rng::Rng,
    stripes::{BlobWriter, Pool},
    upkeep::ClientLoad,
};

/// Computes an MD5: handed in, because hashing is not this crate's matter.
pub type Md5 = fn(&[u8]) -> [u8; 16];

/// Settings of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The least bytes of a part that is not the last. Default 5 MiB, as AWS; less suits tests.
    pub min_part_bytes: u64,
    /// Age at which an upload in progress counts as abandoned. Default 7 days. Shorter frees space earlier, but
    /// an upload that takes longer fails.
    pub abandoned_upload_age: Duration,
    /// How often abandoned uploads are looked for, which reads all uploads in progress. Default 1 hour.
    pub abandoned_upload_interval: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            min_part_bytes: 5 << 20,
            abandoned_upload_age: Duration::from_hours(7 * 24),
            abandoned_upload_interval: Duration::from_hours(1),
        }
    }
}

/// The object store: a cheap handle, cloned freely.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
    /// Says what is told of writes through this handle.
    herald: Option<Arc<dyn Herald>>,
}

#[derive(Debug)]
struct Inner {
    meta: Arc<dyn Meta>,
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    md5: Md5,
    options: StoreOptions,
    buckets: bucket_cache::BucketCache,
    pins: Arc<pins::Pins>,
    turns: commit::Turns,
    load: Arc<ClientLoad>,
    sweep: garbage::SweepState,
    healing: Arc<heal::HealingBlobs>,
    damaged: heal::DamagedObjects,
    lock_clock: lock_clock::LockClock,
    lifecycle: lifecycle::LifecycleState,
    outbox: outbox::Outbox,
}

impl Store {
    /// A store on `meta` and the disks of `pool`, with default settings.
    pub fn new(
        meta: Arc<dyn Meta>,
        pool: Arc<Pool>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        md5: Md5,
    ) -> Self {
        let load = Arc::new(ClientLoad::new(Arc::clone(&clock)));
        let inner = Inner {
            meta,
            pool,
            clock,
            rng,
            md5,
            options: StoreOptions::default(),
            buckets: bucket_cache::BucketCache::default(),
            pins: Arc::default(),
            turns: commit::Turns::default(),
            load,
            sweep: garbage::SweepState::default(),
            healing: Arc::default(),
            damaged: heal::DamagedObjects::default(),
            lock_clock: lock_clock::LockClock::default(),
            lifecycle: lifecycle::LifecycleState::default(),
            outbox: outbox::Outbox::default(),
        };
        Self {
            inner: Arc::new(inner),
            herald: None,
        }
    }

    /// A store like this one with other settings; nothing else is shared but metadata and disks, so call it before use.
    #[must_use]
    pub fn with_options(self, options: StoreOptions) -> Self {
        let Inner {
            meta,
            pool,
            clock,
            rng,
            md5,
            ..
        } = &*self.inner;
        let other = Self::new(
            Arc::clone(meta),
            Arc::clone(pool),
            Arc::clone(clock),
            Arc::clone(rng),
            *md5,
        );
        match Arc::try_unwrap(other.inner) {
            Ok(inner) => Self {
                inner: Arc::new(Inner { options, ..inner }),
                herald: None,
            },
            Err(inner) => Self {
                inner,
                herald: None,
            },
        }
    }

    /// Starts a body for `bucket`, of `size` bytes if known. Dropping the writer, or what it gives, removes what was written.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; [`StoreError::Unavailable`] or [`StoreError::Full`] before a byte was taken.
    pub async fn blob_writer(
        &self,
        bucket: &BucketName,
        size: Option<u64>,
    ) -> Result<BodyWriter, StoreError> {
        let bucket = self.open_bucket(bucket).await?;
        Ok(BodyWriter::plain(self.client_blob(&bucket, size)?, size))
    }

    /// As [`Self::blob_writer`], for a body that is to lie on the disks encrypted.
    ///
    /// # Errors
    /// As [`Self::blob_writer`].
    pub async fn sealed_blob_writer(
        &self,
        bucket: &BucketName,
        size: Option<u64>,
        sealing: Sealing,
    ) -> Result<BodyWriter, StoreError> {
        let bucket = self.open_bucket(bucket).await?;
        let blob = self.client_blob(&bucket, size.map(sealed::sealed_bytes))?;
        BodyWriter::sealed(blob, size, sealing, &*self.inner.rng)
    }

    fn client_blob(
        &self,
        bucket: &OpenBucket,
        size: Option<u64>,
    ) -> Result<BlobWriter, StoreError> {
        let pool = &self.inner.pool;
        let profile = pool.profile_for(bucket.profile());
        let writer = BlobWriter::new(pool, profile, size)?;
        Ok(writer.for_client(Arc::clone(&self.inner.load)))
    }

    /// Whether clients are being served: what background work goes by.
    pub fn load(&self) -> &Arc<ClientLoad> {
        &self.inner.load
    }

    fn now(&self) -> u64 {
        self.inner.clock.unix_millis()
    }

    /// A number that nothing else has: names buckets, uploads and garbage tasks.
    fn new_number(&self) -> u64 {
        self.inner.pool.new_blob_id().0
    }
}
