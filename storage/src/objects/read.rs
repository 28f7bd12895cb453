//! Looking at objects and reading them.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;

use super::{
    BucketName, Checksum, ETag, Headers, ObjectKey, PartNumber, Store, StoreError, Tags,
    commit::ATTEMPTS,
    keys,
    object::FoundObject,
    pages::Pages,
    pins::Pin,
    record::{Body, Manifest, ObjectRecord, PartRecord, RecordError},
};
use crate::{
    meta::Revision,
    stripes::{BlobPlacement, BlobReader},
};

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: ObjectKey,
    /// Its bytes.
    pub size: u64,
    /// Its entity tag.
    pub etag: ETag,
    /// When it was put, milliseconds since the Unix epoch.
    pub modified_unix_millis: u64,
    /// Its headers.
    pub headers: Headers,
    /// Its tags.
    pub tags: Tags,
    /// Its checksum.
    pub checksum: Option<Checksum>,
    /// Its parts, without their checksums (see [`ObjectHandle::parts`]); empty unless it was uploaded in parts.
    pub parts: Vec<ObjectPart>,
    /// Its version; `None` in a bucket without versions.
    pub version_id: Option<String>,
}

/// A part of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPart {
    /// Its number.
    pub number: PartNumber,
    /// Its bytes.
    pub size: u64,
    /// Its checksum.
    pub checksum: Option<Checksum>,
}

/// An object as it was at one moment. While a handle or a reader of it lives, its data stays readable in this process.
#[derive(Debug)]
pub struct ObjectHandle {
    store: Store,
    meta_key: Bytes,
    found: FoundData,
    info: ObjectInfo,
    pin: Option<Pin>,
}

#[derive(Debug)]
struct FoundData {
    revision: Revision,
    body: Body,
}

impl Store {
    /// The object of this key. Reads metadata only.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchKey`].
    pub async fn object(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<ObjectHandle, StoreError> {
        let bucket = self.open_bucket(bucket).await?;
        let meta_key = keys::object(bucket.id(), key);
        let mut found = self
            .find_object(&meta_key)
            .await?
            .ok_or(StoreError::NoSuchKey)?;
        for _ in 0..ATTEMPTS {
            let Some(number) = found.pin_number() else {
                return Ok(self.handle(key, meta_key, found, None));
            };
            let pin = self.inner.pins.pin(number);
            // Only now the sweeper keeps off; it may have come before. See `pins`.
            let again = self
                .find_object(&meta_key)
                .await?
                .ok_or(StoreError::NoSuchKey)?;
            if again.revision == found.revision {
                return Ok(self.handle(key, meta_key, found, Some(pin)));
            }
            found = again;
        }
        Err(StoreError::Conflict)
    }

    fn handle(
        &self,
        key: &ObjectKey,
        meta_key: Bytes,
        found: FoundObject,
        pin: Option<Pin>,
    ) -> ObjectHandle {
        let FoundObject { revision, record } = found;
        let parts = match &record.body {
            Body::Parts(manifest) => parts_of(manifest),
            Body::Empty | Body::Blob(_) => Vec::new(),
        };
        let info = ObjectInfo {
            key: key.clone(),
            size: record.size,
            etag: record.etag,
            modified_unix_millis: record.modified_unix_millis,
            headers: record.headers,
            tags: record.tags,
            checksum: record.checksum,
            parts,
            version_id: None,
        };
        let found = FoundData {
            revision,
            body: record.body,
        };
        ObjectHandle {
            store: self.clone(),
            meta_key,
            found,
            info,
            pin,
        }
    }

    async fn find_part(&self, upload: u64, number: PartNumber) -> Result<PartRecord, StoreError> {
        let found = self.inner.meta.get(&keys::part(upload, number)).await?;
        let found = found.ok_or_else(|| {
            StoreError::Unreadable(format!(
                "part {number} of upload {upload:016x} has no record"
            ))
        })?;
        Ok(PartRecord::decode(&found.value)?)
    }
}

fn parts_of(manifest: &Manifest) -> Vec<ObjectPart> {
    let part = |(number, size)| ObjectPart {
        number,
        size,
        checksum: None,
    };
    manifest.parts().map(part).collect()
}

impl ObjectHandle {
    /// What is known of it.
    pub fn info(&self) -> &ObjectInfo {
        &self.info
    }

    /// When it was last written, for [`super::WriteConditions::if_unchanged`]. A change of its tags counts, and so does
    /// upkeep that moves its data.
    pub fn revision(&self) -> Revision {
        self.found.revision
    }

    /// Reads `range` (end exclusive) of the object.
    ///
    /// # Errors
    /// [`StoreError::InvalidRange`]. [`StoreError::Replaced`]: the object was replaced and its data is gone already: ask for
    /// it again.
    pub async fn read(&self, range: Range<u64>) -> Result<ObjectReader, StoreError> {
        let Range { start, end } = range;
        if start > end || end > self.info.size {
            return Err(StoreError::InvalidRange {
                start,
                end,
                size: self.info.size,
            });
        }
        let mut reader = ObjectReader {
            store: self.store.clone(),
            upload: 0,
            waiting: VecDeque::new(),
            current: None,
            _pin: self.pin.clone(),
        };
        match &self.found.body {
            _ if range.is_empty() => {}
            Body::Empty => {}
            Body::Blob(placement) => reader.current = Some(self.open(placement, range).await?),
            Body::Parts(manifest) => {
                reader.upload = manifest.upload.number;
                reader.waiting = manifest.overlaps(&range).into();
                reader.open_next().await?;
            }
        }
        Ok(reader)
    }

    /// The parts with their checksums. Reads a record per part; [`ObjectInfo::parts`] costs nothing.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn parts(&self) -> Result<Vec<ObjectPart>, StoreError> {
        let Body::Parts(manifest) = &self.found.body else {
            return Ok(Vec::new());
        };
        let (from, to) = keys::parts(manifest.upload.number, 0);
        let mut pages = Pages::new(&*self.store.inner.meta, from, to, self.info.parts.len());
        let mut parts = Vec::with_capacity(self.info.parts.len());
        while let Some(entry) = pages.next().await? {
            let number = keys::parse_part(&entry.key).ok_or(RecordError::BadKey)?;
            if manifest.contains(number) {
                let PartRecord { size, checksum, .. } = PartRecord::decode(&entry.value)?;
                parts.push(ObjectPart {
                    number,
                    size,
                    checksum,
                });
            }
        }
        Ok(parts)
    }

    /// Opens the blob; where upkeep has moved it since the record was read, at its new place.
    async fn open(
        &self,
        placement: &BlobPlacement,
        range: Range<u64>,
    ) -> Result<BlobReader, StoreError> {
        let pool = &self.store.inner.pool;
        let mut reader = BlobReader::open(pool, placement.clone(), range.clone())?;
        let mut revision = self.found.revision;
        for _ in 0..ATTEMPTS {
            if !reader.has_gone_shards() {
                break;
            }
            let now = self.store.find_object(&self.meta_key).await?;
            let now = now
                .filter(|now| self.is_same(&now.record))
                .ok_or(StoreError::Replaced)?;
            let Body::Blob(moved) = now.record.body else {
                return Err(StoreError::Replaced);
            };
            if now.revision == revision {
                break; // It is degraded, then: the reader rebuilds.
            }
            revision = now.revision;
            reader = BlobReader::open(pool, moved, range.clone())?;
        }
        Ok(reader)
    }

    fn is_same(&self, now: &ObjectRecord) -> bool {
        let was = (
            self.info.size,
            self.info.etag,
            self.info.modified_unix_millis,
        );
        was == (now.size, now.etag, now.modified_unix_millis)
    }
}

/// A run of an object's bytes, in order. Outlives overwrites and deletes of the object.
#[derive(Debug)]
pub struct ObjectReader {
    store: Store,
    /// Whose parts are waiting.
    upload: u64,
    waiting: VecDeque<(PartNumber, Range<u64>)>,
    current: Option<BlobReader>,
    _pin: Option<Pin>,
}

impl ObjectReader {
    /// The next bytes; `None` at the end. After an error nothing more comes that makes sense.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        loop {
            let step = match &mut self.current {
                Some(blob) => blob.next().await,
                None => return None,
            };
            if let Some(result) = step {
                return Some(result.map_err(StoreError::from));
            }
            self.current = None;
            if let Err(error) = self.open_next().await {
                return Some(Err(error));
            }
        }
    }

    async fn open_next(&mut self) -> Result<(), StoreError> {
        if let Some((number, range)) = self.waiting.pop_front() {
            let part = self.store.find_part(self.upload, number).await?;
            let placement = part.placement.ok_or(RecordError::BadBody)?;
            self.current = Some(BlobReader::open(&self.store.inner.pool, placement, range)?);
        }
        Ok(())
    }
}
