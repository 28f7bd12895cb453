//! Multipart uploads in progress: starting, parts, looking, giving up.

use bytes::Bytes;

use super::{
    BucketName, Checksum, ChecksumAlgorithm, ChecksumKind, ETag, FinishedBody, Headers, ObjectAcl,
    ObjectKey, ObjectLock, ObjectOwner, PartNumber, Store, StoreError, Tags, UploadId, Written,
    commit::{ATTEMPTS, Data, Draft, to_the_end},
    keys,
    pages::Pages,
    record::{Body, Encryption, GarbageRecord, PartRecord, RecordError, UploadRecord},
};
use crate::{meta::Revision, stripes::InlineBlob};

/// An upload to start.
#[derive(Clone, Debug)]
pub struct CreateUpload {
    /// Where.
    pub bucket: BucketName,
    /// Which object it will be.
    pub key: ObjectKey,
    /// The object's headers.
    pub headers: Headers,
    /// The object's tags.
    pub tags: Tags,
    /// The checksum that the object is to have.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    /// What is to protect the object.
    pub lock: ObjectLock,
    /// The envelope, where its parts are encrypted. See [`Sealing`](super::Sealing).
    pub encryption: Option<Vec<u8>>,
    /// Who is to own the object, and whom it is to let in.
    pub acl: ObjectAcl,
}

/// What is known of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadInfo {
    /// Its identifier.
    pub id: UploadId,
    /// Which object it will be.
    pub key: ObjectKey,
    /// The object's headers.
    pub headers: Headers,
    /// The object's tags.
    pub tags: Tags,
    /// The checksum that the object is to have.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    /// When it was started, milliseconds since the Unix epoch.
    pub initiated_unix_millis: u64,
    /// What is to protect the object.
    pub lock: ObjectLock,
    /// The envelope, where its parts are encrypted. See [`Sealing`](super::Sealing).
    pub encryption: Option<Vec<u8>>,
    /// Who is to own the object, if that is not the bucket's owner.
    pub owner: Option<ObjectOwner>,
}

/// A part to put.
#[derive(Debug)]
pub struct PutPart {
    /// Where.
    pub bucket: BucketName,
    /// Of which object.
    pub key: ObjectKey,
    /// In which upload.
    pub upload: UploadId,
    /// Its number.
    pub number: PartNumber,
    /// Its bytes, from [`Store::blob_writer`].
    pub blob: FinishedBody,
    /// Its entity tag.
    pub etag: ETag,
    /// Its verified checksum.
    pub checksum: Option<Checksum>,
    /// Its checksum by the algorithm that an object has for want of another; not listed.
    pub default_checksum: Option<Checksum>,
}

/// Which parts to list.
#[derive(Clone, Debug)]
pub struct ListParts {
    /// Where.
    pub bucket: BucketName,
    /// Of which object.
    pub key: ObjectKey,
    /// In which upload.
    pub upload: UploadId,
    /// Only those with higher numbers.
    pub after: u16,
    /// Parts at most.
    pub limit: usize,
}

/// A page of parts.
#[derive(Clone, Debug)]
pub struct PartsPage {
    /// The upload.
    pub upload: UploadInfo,
    /// In order of number.
    pub parts: Vec<ListedPart>,
    /// The [`ListParts::after`] of the next page; `None`: this is the last.
    pub next: Option<u16>,
}

/// A part as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// Its number.
    pub number: PartNumber,
    /// Its bytes.
    pub size: u64,
    /// Its entity tag.
    pub etag: ETag,
    /// When it was put, milliseconds since the Unix epoch.
    pub modified_unix_millis: u64,
    /// Its checksum.
    pub checksum: Option<Checksum>,
}

/// An upload's record as found.
#[derive(Clone, Debug)]
pub(super) struct FoundUpload {
    pub(super) key: Bytes,
    pub(super) revision: Revision,
    pub(super) record: UploadRecord,
}

impl FoundUpload {
    fn info(self, key: &ObjectKey, id: &UploadId) -> UploadInfo {
        let UploadRecord {
            initiated_unix_millis,
            checksum,
            headers,
            tags,
            lock,
            encryption,
            acl,
            ..
        } = self.record;
        UploadInfo {
            id: *id,
            key: key.clone(),
            headers,
            tags,
            checksum,
            initiated_unix_millis,
            lock,
            encryption: encryption.map(|encryption| encryption.envelope),
            owner: acl.owner,
        }
    }
}

impl Store {
    /// Starts an upload. On `Ok` it survives power loss.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::InvalidTags`], [`StoreError::NoObjectLock`], [`StoreError::RetentionInPast`].
    pub async fn create_upload(&self, request: CreateUpload) -> Result<UploadId, StoreError> {
        let CreateUpload {
            bucket,
            key,
            headers,
            tags,
            checksum,
            lock,
            encryption,
            acl,
        } = request;
        tags.check()?;
        acl.check()?;
        self.check_lock(&bucket, &lock).await?;
        let id = UploadId {
            number: self.new_number(),
            secret: self.inner.rng.next_u64(),
        };
        let encryption = encryption.map(|envelope| Encryption {
            salt: None,
            envelope,
        });
        let record = UploadRecord {
            initiated_unix_millis: self.now(),
            checksum,
            encryption,
            headers,
            tags,
            lock,
            acl,
            ..UploadRecord::default()
        };
        for _ in 0..ATTEMPTS {
            let bucket = self.open_bucket(&bucket).await?;
            let mut draft = Draft::default();
            draft.put(keys::upload(bucket.id(), &key, &id), record.encode());
            draft.enter(&bucket);
            if self.try_commit(draft).await?.is_some() {
                return Ok(id);
            }
        }
        Err(StoreError::Conflict)
    }

    /// What is known of an upload.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchUpload`].
    pub async fn upload(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        id: &UploadId,
    ) -> Result<UploadInfo, StoreError> {
        let bucket = self.open_bucket(bucket).await?;
        Ok(self.find_upload(bucket.id(), key, id).await?.info(key, id))
    }

    /// Puts a part, in place of an earlier one of its number. Atomic and durable as [`Store::put_object`].
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchUpload`], [`StoreError::Full`], [`StoreError::Unavailable`].
    ///
    /// # Cancel safety
    /// Dropping the future may leave the part put or not.
    pub async fn put_part(&self, request: PutPart) -> Result<Written, StoreError> {
        let _serving = self.inner.load.serve();
        if request.blob.is_extents() {
            let store = self.clone();
            return to_the_end(async move { store.put_part_now(request).await }).await;
        }
        self.put_part_now(request).await
    }

    async fn put_part_now(&self, request: PutPart) -> Result<Written, StoreError> {
        let PutPart {
            bucket,
            key,
            upload,
            number,
            blob,
            etag,
            checksum,
            default_checksum,
        } = request;
        let size = blob.size();
        let FinishedBody {
            blob, encryption, ..
        } = blob;
        let data = Data::new(blob);
        let placement = match data.body() {
            Body::Blob(placement) => Some(placement),
            Body::Empty | Body::Parts(_) | Body::Elsewhere(_) => None,
        };
        let part = PartRecord {
            size,
            modified_unix_millis: 0,
            etag,
            checksum,
            default_checksum,
            encryption,
            unknown: Vec::new(),
            placement,
        };
        let inline = data.inline.clone();
        let place = PartPlace {
            bucket: &bucket,
            key: &key,
            upload: &upload,
            number,
        };
        data.settle(self.replace_part(&place, part, inline).await)
    }

    async fn replace_part(
        &self,
        place: &PartPlace<'_>,
        mut part: PartRecord,
        inline: Option<InlineBlob>,
    ) -> Result<Written, StoreError> {
        let part_key = keys::part(place.upload.number, place.number);
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            let bucket = self.open_bucket(place.bucket).await?;
            let upload = self
                .find_upload(bucket.id(), place.key, place.upload)
                .await?;
            if upload.record.encryption.is_some() != part.encryption.is_some() {
                return Err(StoreError::Internal(
                    "a part is not encrypted as its upload is".to_owned(),
                ));
            }
            let old = self.inner.meta.get(&part_key).await?;
            let old_part = old
                .as_ref()
                .map(|old| PartRecord::decode(&old.value))
                .transpose()?;
            part.modified_unix_millis = self.now();
            let mut draft = Draft::default();
            draft.put(part_key.clone(), part.encode());
            draft.queue_healing(&part_key, part.placement.as_ref());
            draft.inline(inline.clone());
            draft.expect(part_key.clone(), old.map(|old| old.revision));
            draft.expect(upload.key.clone(), Some(upload.revision));
            if upload.record.is_completing {
                let reopened = UploadRecord {
                    is_completing: false,
                    ..upload.record
                };
                draft.put(upload.key, reopened.encode());
            }
            self.discard_part(&mut draft, old_part.as_ref());
            if self.try_commit(draft).await?.is_some() {
                return Ok(written(&part));
            }
            self.inner.turns.take(&part_key, &mut turn).await;
        }
        Err(StoreError::Conflict)
    }

    /// A page of the parts of an upload.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchUpload`].
    pub async fn list_parts(&self, request: ListParts) -> Result<PartsPage, StoreError> {
        let ListParts {
            bucket,
            key,
            upload,
            after,
            limit,
        } = request;
        let info = self.upload(&bucket, &key, &upload).await?;
        let mut page = PartsPage {
            upload: info,
            parts: Vec::new(),
            next: None,
        };
        if limit == 0 {
            return Ok(page);
        }
        let (from, to) = keys::parts(upload.number, after);
        let mut pages = Pages::new(&*self.inner.meta, from, to, limit);
        while let Some(entry) = pages.next().await? {
            if page.parts.len() == limit {
                page.next = page.parts.last().map(|part| part.number.get());
                break;
            }
            page.parts.push(listed(&entry.key, &entry.value)?);
        }
        Ok(page)
    }

    /// Gives an upload up; its parts are removed in due course.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchUpload`].
    pub async fn abort_upload(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        id: &UploadId,
    ) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let bucket = self.open_bucket(bucket).await?;
            let upload = self.find_upload(bucket.id(), key, id).await?;
            if self.drop_upload(upload.key, upload.revision, id).await? {
                return Ok(());
            }
        }
        Err(StoreError::Conflict)
    }

    /// Deletes an upload's record and leaves its parts to the sweeper; `false` if it changed meanwhile.
    pub(super) async fn drop_upload(
        &self,
        key: Bytes,
        revision: Revision,
        id: &UploadId,
    ) -> Result<bool, StoreError> {
        let mut draft = Draft::default();
        draft.delete(key.clone());
        draft.expect(key, Some(revision));
        self.discard(&mut draft, &GarbageRecord::parts_of(id));
        Ok(self.try_commit(draft).await?.is_some())
    }

    pub(super) async fn find_upload(
        &self,
        bucket_id: u64,
        key: &ObjectKey,
        id: &UploadId,
    ) -> Result<FoundUpload, StoreError> {
        let key = keys::upload(bucket_id, key, id);
        let found = self
            .inner
            .meta
            .get(&key)
            .await?
            .ok_or(StoreError::NoSuchUpload)?;
        let record = UploadRecord::decode(&found.value)?;
        Ok(FoundUpload {
            key,
            revision: found.revision,
            record,
        })
    }
}

/// Where a part goes.
#[derive(Debug)]
struct PartPlace<'a> {
    bucket: &'a BucketName,
    key: &'a ObjectKey,
    upload: &'a UploadId,
    number: PartNumber,
}

fn written(part: &PartRecord) -> Written {
    Written {
        etag: part.etag,
        size: part.size,
        modified_unix_millis: part.modified_unix_millis,
        checksum: part
            .checksum
            .as_ref()
            .or(part.default_checksum.as_ref())
            .cloned(),
        version: None,
    }
}

fn listed(key: &[u8], record: &[u8]) -> Result<ListedPart, RecordError> {
    let number = keys::parse_part(key).ok_or(RecordError::BadKey)?;
    let PartRecord {
        size,
        modified_unix_millis,
        etag,
        checksum,
        ..
    } = PartRecord::decode(record)?;
    Ok(ListedPart {
        number,
        size,
        etag,
        modified_unix_millis,
        checksum,
    })
}
