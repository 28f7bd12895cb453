//! Putting objects and changing what is known of them.

use bytes::Bytes;

use super::{
    BucketName, Checksum, ETag, Existing, FinishedBody, Headers, ObjectAcl, ObjectKey, ObjectLock,
    Store, StoreError, Tags, VersionId, WriteConditions,
    commit::{ATTEMPTS, Data, Draft, to_the_end},
    keys,
    outbox::{Fact, Happened},
    record::{Body, ObjectRecord},
    versions::{Drafted, FoundVersion},
};
use crate::{
    meta::Revision,
    stripes::{BlobReader, BlobWriter, FinishedBlob, InlineBlob},
};

/// An object to put.
#[derive(Debug)]
pub struct PutObject {
    /// Where.
    pub bucket: BucketName,
    /// Under which key.
    pub key: ObjectKey,
    /// Its bytes, from [`Store::blob_writer`].
    pub blob: FinishedBody,
    /// Its entity tag.
    pub etag: ETag,
    /// Its verified checksum.
    pub checksum: Option<Checksum>,
    /// Its headers.
    pub headers: Headers,
    /// Its tags.
    pub tags: Tags,
    /// What must hold.
    pub conditions: WriteConditions,
    /// What is to protect it. See [`Store::check_lock`].
    pub lock: ObjectLock,
    /// Who is to own it, and whom it is to let in.
    pub acl: ObjectAcl,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its entity tag.
    pub etag: ETag,
    /// Its bytes.
    pub size: u64,
    /// When, milliseconds since the Unix epoch.
    pub modified_unix_millis: u64,
    /// Its checksum.
    pub checksum: Option<Checksum>,
    /// Its version; `None` in a bucket without versions.
    pub version: Option<VersionId>,
}

impl Written {
    pub(super) fn of(record: &ObjectRecord, version: Option<VersionId>) -> Self {
        Self {
            etag: record.etag,
            size: record.size,
            modified_unix_millis: record.modified_unix_millis,
            checksum: record.checksum.clone(),
            version,
        }
    }
}

/// A change of what is known of an object, its data staying what it is.
#[derive(Clone, Debug)]
pub struct UpdateObject {
    /// Where.
    pub bucket: BucketName,
    /// Under which key.
    pub key: ObjectKey,
    /// New headers.
    pub headers: Headers,
    /// New tags; `None` keeps those it has.
    pub tags: Option<Tags>,
    /// Who is to own it now, and whom it is to let in.
    pub acl: ObjectAcl,
    /// What must hold.
    pub conditions: WriteConditions,
}

/// An object's record as found.
#[derive(Debug)]
pub(super) struct FoundObject {
    pub(super) revision: Revision,
    pub(super) record: ObjectRecord,
}

impl Store {
    /// Puts an object in place of what was there. Atomic; on `Ok` it survives power loss and every later read sees it.
    /// On an error what was there is untouched.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::PreconditionFailed`], [`StoreError::NoSuchKey`] (`If-Match` without an object),
    /// [`StoreError::Replaced`], [`StoreError::NoObjectLock`], [`StoreError::MetadataTooLarge`], [`StoreError::Full`]; [`StoreError::Unavailable`]: the outcome is unknown, now it is not visible.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the object put or not.
    pub async fn put_object(&self, request: PutObject) -> Result<Written, StoreError> {
        request.tags.check()?;
        request.acl.check()?;
        let _serving = self.inner.load.serve();
        if request.blob.is_extents() {
            let store = self.clone();
            return to_the_end(async move { store.put_object_now(request).await }).await;
        }
        self.put_object_now(request).await
    }

    async fn put_object_now(&self, request: PutObject) -> Result<Written, StoreError> {
        let PutObject {
            bucket,
            key,
            blob,
            etag,
            checksum,
            headers,
            tags,
            conditions,
            lock,
            acl,
        } = request;
        let size = blob.size();
        let FinishedBody {
            blob, encryption, ..
        } = blob;
        let data = Data::new(blob);
        let record = ObjectRecord {
            checksum,
            headers,
            tags,
            encryption,
            lock,
            acl,
            body: data.body(),
            ..ObjectRecord::new(size, 0, etag)
        };
        let inline = data.inline.clone();
        let result = self
            .replace_object(&bucket, &key, record, inline, &conditions)
            .await;
        data.settle(result)
    }

    async fn replace_object(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        mut record: ObjectRecord,
        inline: Option<InlineBlob>,
        conditions: &WriteConditions,
    ) -> Result<Written, StoreError> {
        let (mut turn, asked) = (None, record.lock);
        for _ in 0..ATTEMPTS {
            let bucket = self.open_bucket(bucket).await?;
            let teller = self.teller(&bucket).await?;
            let head = self.find_head(&bucket, key).await?;
            conditions.check(head.existing())?;
            record.modified_unix_millis = self.now();
            if bucket.lock().is_some() || !asked.is_none() {
                // On the heap: seldom needed.
                record.lock = Box::pin(self.lock_of_new(&bucket, asked)).await?;
            }
            let mut draft = Draft::default();
            let what = (&mut record, inline.clone());
            let drafted = self.draft_latest(&mut draft, &bucket, key, what, head);
            let Drafted::Ready(version) = drafted.await? else {
                continue;
            };
            draft.enter(&bucket);
            let fact = Fact::of(Happened::Created, version, &record);
            teller.tell(&mut draft, self, &bucket, key, fact);
            if self.try_commit(draft).await?.is_some() {
                return Ok(Written::of(&record, version));
            }
            let object_key = keys::object(bucket.id(), key);
            self.inner.turns.take(&object_key, &mut turn).await;
        }
        Err(StoreError::Conflict)
    }

    /// Whether a write of `key` would fail its conditions now, so that nobody sends a body in vain. It says nothing of
    /// later: the write decides again when it is committed.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], and those of [`WriteConditions::check`].
    pub async fn check_conditions(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        conditions: &WriteConditions,
    ) -> Result<(), StoreError> {
        if *conditions == WriteConditions::default() {
            return Ok(());
        }
        let bucket = self.open_bucket(bucket).await?;
        let head = self.find_head(&bucket, key).await?;
        conditions.check(head.existing())
    }

    /// Replaces headers (and tags) of an object without touching its data: a copy onto itself. Its time of modification is
    /// now. Atomic and durable as [`Self::put_object`]. Not for buckets with versions, where such a copy is a version of its own.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchKey`], [`StoreError::PreconditionFailed`], [`StoreError::Replaced`].
    pub async fn update_headers(&self, request: UpdateObject) -> Result<Written, StoreError> {
        let UpdateObject {
            bucket,
            key,
            headers,
            tags,
            acl,
            conditions,
        } = request;
        acl.check()?;
        tags.as_ref().map_or(Ok(()), Tags::check)?;
        let created = Some(Happened::Created);
        let record = self.modify_object(&bucket, &key, None, created, |found| {
            conditions.check(Some(found.existing()))?;
            let record = &mut found.record;
            record.headers = headers.clone();
            record.acl = acl.clone();
            if let Some(tags) = &tags {
                record.tags = tags.clone();
            }
            record.modified_unix_millis = self.now();
            Ok(())
        });
        Ok(Written::of(&record.await?, None))
    }

    /// Changes a record, its bytes staying what they are.
    ///
    /// Extents and parts stay where they are. A blob in the log is written again with the commit: the engine takes shards
    /// for alive only by the commit that carried them, so a record must never name those of another commit.
    /// `what` is what is told of it.
    pub(super) async fn modify_object(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        what: Option<Happened>,
        change: impl Fn(&mut FoundObject) -> Result<(), StoreError>,
    ) -> Result<ObjectRecord, StoreError> {
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            let bucket = self.open_bucket(bucket).await?;
            let teller = self.teller(&bucket).await?;
            let FoundVersion {
                row: object_key,
                mut found,
                id,
            } = self.find_version(&bucket, key, version).await?;
            change(&mut found)?;
            let FoundObject {
                revision,
                mut record,
            } = found;
            let mut draft = Draft::default();
            match self.code_again(&object_key, revision, &record.body).await {
                Ok(Some(inline)) => {
                    record.body = Body::Empty;
                    draft.inline(Some(inline));
                }
                Ok(None) => {}
                // Upkeep has moved the blob since the record was read.
                Err(_) if self.revision_of(&object_key).await? != Some(revision) => continue,
                Err(error) => return Err(error),
            }
            draft.put(object_key.clone(), record.encode());
            draft.expect(object_key.clone(), Some(revision));
            if let Some(what) = what {
                let fact = Fact::now(what, id, self.now()).with(&record);
                teller.tell(&mut draft, self, &bucket, key, fact);
            }
            if self.try_commit(draft).await?.is_some() {
                return Ok(record);
            }
            self.inner.turns.take(&object_key, &mut turn).await;
        }
        Err(StoreError::Conflict)
    }

    pub(super) async fn revision_of(
        &self,
        object_key: &Bytes,
    ) -> Result<Option<Revision>, StoreError> {
        let found = self.find_object(object_key).await?;
        Ok(found.map(|found| found.revision))
    }

    /// The blob of `body`, to travel with another commit, if it is in the log.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] if the record is no longer of this revision, and the blob elsewhere.
    pub(super) async fn code_again(
        &self,
        object_key: &Bytes,
        revision: Revision,
        body: &Body,
    ) -> Result<Option<InlineBlob>, StoreError> {
        let placement = match body {
            Body::Blob(placement) if !placement.is_extents() => placement,
            _ => return Ok(None),
        };
        let (pool, size) = (&self.inner.pool, placement.size);
        let mut reader = BlobReader::open(pool, placement.clone(), 0..size)?;
        if reader.has_gone_shards() && self.revision_of(object_key).await? != Some(revision) {
            return Err(StoreError::Replaced);
        }
        let mut writer = BlobWriter::new(pool, placement.profile, Some(size))?;
        while let Some(bytes) = reader.next().await {
            writer.write(bytes?).await?;
        }
        match writer.finish().await? {
            FinishedBlob::Inline(inline) => Ok(Some(inline)),
            FinishedBlob::Empty | FinishedBlob::Extents(_) => Err(StoreError::Internal(format!(
                "blob of {size} bytes left the log"
            ))),
        }
    }

    /// The record under an object's key.
    pub(super) async fn find_object(&self, key: &Bytes) -> Result<Option<FoundObject>, StoreError> {
        let Some(found) = self.inner.meta.get(key).await? else {
            return Ok(None);
        };
        let record = ObjectRecord::decode(&found.value)?;
        Ok(Some(FoundObject {
            revision: found.revision,
            record,
        }))
    }
}

impl FoundObject {
    /// What the conditions of a write are about.
    pub(super) fn existing(&self) -> Existing {
        Existing {
            etag: self.record.etag,
            revision: self.revision,
        }
    }

    /// The number that keeps its data from the sweeper, if it has data outside the log.
    pub(super) fn pin_number(&self) -> Option<u64> {
        match &self.record.body {
            Body::Blob(placement) if placement.is_extents() => Some(placement.blob.0),
            Body::Parts(manifest) => Some(manifest.upload.number),
            Body::Blob(_) | Body::Empty | Body::Elsewhere(_) => None,
        }
    }
}
