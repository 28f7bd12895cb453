//! Looking at objects and reading them.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    BucketName, Checksum, DataKey, ETag, Headers, ObjectAcl, ObjectKey, ObjectLock, PartNumber,
    Store, StoreError, Tags, VersionId,
    commit::ATTEMPTS,
    keys,
    object::FoundObject,
    pages::Pages,
    pins::Pin,
    record::{Body, Encryption, Manifest, ObjectRecord, PartRecord, RecordError},
    sealed::{BlobKey, BodyReader, Salt, Unsealing},
    versions::FoundVersion,
};
use crate::{meta::Revision, stripes::BlobPlacement};

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
    pub version: Option<VersionId>,
    /// What protects it.
    pub lock: ObjectLock,
    /// The envelope, if it is encrypted: its data key is for [`ObjectHandle::unlock`]. See [`Sealing`](super::Sealing).
    pub encryption: Option<Vec<u8>>,
    /// Who owns it, and whom it lets in.
    pub acl: ObjectAcl,
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
    revision: Revision,
    body: Body,
    info: ObjectInfo,
    /// Of its own blob.
    salt: Option<Salt>,
    key: Option<DataKey>,
    pin: Option<Pin>,
}

impl Store {
    /// The object of this key. Reads metadata only.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchKey`], [`StoreError::DeleteMarker`].
    pub async fn object(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<ObjectHandle, StoreError> {
        self.object_version(bucket, key, None).await
    }

    /// A version of the object of this key; `None`: the latest. Reads metadata only.
    ///
    /// # Errors
    /// As [`Self::object`], and [`StoreError::NoSuchVersion`].
    pub async fn object_version(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<ObjectHandle, StoreError> {
        let bucket = self.open_bucket(bucket).await?;
        let mut found = self.find_version(&bucket, key, version).await?;
        for _ in 0..ATTEMPTS {
            let Some(number) = found.found.pin_number() else {
                return Ok(self.handle(key, found, None));
            };
            let pin = self.inner.pins.pin(number);
            // Only now the sweeper keeps off; it may have come before. See `pins`.
            let again = self.find_version(&bucket, key, version).await?;
            if again.found.revision == found.found.revision {
                return Ok(self.handle(key, found, Some(pin)));
            }
            found = again;
        }
        Err(StoreError::Conflict)
    }

    fn handle(&self, key: &ObjectKey, version: FoundVersion, pin: Option<Pin>) -> ObjectHandle {
        let FoundVersion {
            row: meta_key,
            found: FoundObject { revision, record },
            id,
        } = version;
        let parts = match &record.body {
            Body::Parts(manifest) => parts_of(manifest),
            Body::Empty | Body::Blob(_) | Body::Elsewhere(_) => Vec::new(),
        };
        let (salt, encryption) = match record.encryption {
            Some(Encryption { salt, envelope }) => (salt, Some(envelope)),
            None => (None, None),
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
            version: id,
            lock: record.lock,
            encryption,
            acl: record.acl,
        };
        let body = record.body;
        ObjectHandle {
            store: self.clone(),
            meta_key,
            revision,
            body,
            info,
            salt,
            key: None,
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
        self.revision
    }

    /// Gives it the data key that it was encrypted with; a wrong one makes reads fail.
    pub fn unlock(&mut self, key: DataKey) {
        self.key = Some(key);
    }

    /// Reads `range` (end exclusive) of the object, which was given its data key if it is encrypted.
    ///
    /// # Errors
    /// [`StoreError::InvalidRange`]. [`StoreError::Internal`]: an encrypted object without its data key. [`StoreError::Replaced`]: the object was replaced and its data is gone already: ask for
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
        if self.info.encryption.is_some() && self.key.is_none() {
            return Err(no_data_key());
        }
        let mut reader = ObjectReader {
            store: self.store.clone(),
            upload: 0,
            waiting: VecDeque::new(),
            current: None,
            key: self.key.clone(),
            _pin: self.pin.clone(),
        };
        match &self.body {
            _ if range.is_empty() => {}
            Body::Empty | Body::Elsewhere(_) => {}
            Body::Blob(placement) => {
                let home = Home::Object {
                    meta_key: self.meta_key.clone(),
                    identity: identity(&self.info),
                };
                let place = Place {
                    placement: placement.clone(),
                    salt: self.salt,
                };
                let unsealing = self.unsealing(&place)?;
                let mut current = Current::open(&self.store, home, place, (range, unsealing))?;
                // A shard that is not moved, but gone, is one that the reader rebuilds.
                while current.blob.has_gone_shards() && current.follow(&self.store).await? {}
                reader.current = Some(current);
            }
            Body::Parts(manifest) => {
                reader.upload = manifest.upload.number;
                reader.waiting = manifest.overlaps(&range).into();
                reader.open_next().await?;
            }
        }
        Ok(reader)
    }

    fn unsealing(&self, place: &Place) -> Result<Option<Unsealing>, StoreError> {
        let key = self.key.as_ref().filter(|_| self.info.encryption.is_some());
        key.map(|key| place.unsealing(key, 0, self.info.size))
            .transpose()
    }

    /// The parts with their checksums. Reads a record per part; [`ObjectInfo::parts`] costs nothing.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn parts(&self) -> Result<Vec<ObjectPart>, StoreError> {
        let Body::Parts(manifest) = &self.body else {
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
}

/// What tells an object from another of the same key: bytes, entity tag, time of modification.
type Identity = (u64, ETag, u64);

fn identity(info: &ObjectInfo) -> Identity {
    (info.size, info.etag, info.modified_unix_millis)
}

/// The record that names a blob's place.
#[derive(Clone, Debug)]
enum Home {
    Object { meta_key: Bytes, identity: Identity },
    Part { upload: u64, number: PartNumber },
}

/// Where a body is, and what tells its encryption from that of another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    placement: BlobPlacement,
    salt: Option<Salt>,
}

impl Place {
    fn of_part(part: &PartRecord) -> Result<Self, RecordError> {
        let placement = part.placement.clone().ok_or(RecordError::BadBody)?;
        let salt = part.encryption.as_ref().and_then(|e| e.salt);
        Ok(Self { placement, salt })
    }

    /// What opens this body of so many plain bytes; `part` is 0 for an object's own.
    fn unsealing(&self, key: &DataKey, part: u64, size: u64) -> Result<Unsealing, StoreError> {
        let salt = self.salt.ok_or(RecordError::BadBody)?;
        let key = BlobKey::derive(key, &salt, part);
        let key = Arc::new(key.ok_or_else(no_data_key)?);
        Ok(Unsealing { key, size })
    }
}

/// A bug: whoever reads an encrypted object gets its data key first.
fn no_data_key() -> StoreError {
    StoreError::Internal("encrypted object without its data key".to_owned())
}

/// A blob that is being read.
#[derive(Debug)]
struct Current {
    home: Home,
    place: Place,
    unsealing: Option<Unsealing>,
    /// What is still to come.
    left: Range<u64>,
    blob: BodyReader,
    /// Whether healing was told of its damage.
    is_noted: bool,
}

impl Current {
    fn open(
        store: &Store,
        home: Home,
        place: Place,
        (left, unsealing): (Range<u64>, Option<Unsealing>),
    ) -> Result<Self, StoreError> {
        let (placement, range) = (place.placement.clone(), left.clone());
        let blob = BodyReader::open(&store.inner.pool, placement, range, unsealing.clone())?;
        Ok(Self {
            home,
            place,
            unsealing,
            left,
            blob,
            is_noted: false,
        })
    }

    /// The next bytes. A blob in the log may be moved by upkeep while it is read; then it is read on at its new place.
    async fn next(&mut self, store: &Store) -> Option<Result<Bytes, StoreError>> {
        loop {
            match self.blob.next().await? {
                Ok(bytes) => {
                    self.left.start += bytes.len() as u64;
                    return Some(Ok(bytes));
                }
                Err(error) => match self.follow(store).await {
                    Ok(true) => {}
                    Ok(false) => return Some(Err(error)),
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }

    /// Has the object healed, the first time that a shard of it is found missing or rotten where it should be.
    async fn note_damage(&mut self, store: &Store) {
        if self.is_noted || !self.blob.is_damaged() {
            return;
        }
        self.is_noted = true;
        // Not if its segment is gone because the blob was moved.
        let now = self.home.place(store).await;
        if now.is_ok_and(|now| now == self.place) {
            store.inner.damaged.note(&self.home.key());
        }
    }

    /// Goes to where the blob is now; false if that is where it was.
    async fn follow(&mut self, store: &Store) -> Result<bool, StoreError> {
        if self.place.placement.is_extents() {
            return Ok(false); // Upkeep leaves them where they are, and a pin keeps them.
        }
        let now = self.home.place(store).await?;
        if now == self.place {
            return Ok(false);
        }
        if now.salt != self.place.salt {
            return Err(StoreError::Replaced);
        }
        let what = (self.left.clone(), self.unsealing.clone());
        *self = Self::open(store, self.home.clone(), now, what)?;
        Ok(true)
    }
}

impl Home {
    fn key(&self) -> Bytes {
        match self {
            Self::Object { meta_key, .. } => meta_key.clone(),
            Self::Part { upload, number } => keys::part(*upload, *number),
        }
    }

    async fn place(&self, store: &Store) -> Result<Place, StoreError> {
        match self {
            Self::Object { meta_key, identity } => {
                let found = store.find_object(meta_key).await?.map(|found| found.record);
                let is_same = |record: &ObjectRecord| {
                    *identity == (record.size, record.etag, record.modified_unix_millis)
                };
                let record = found.filter(is_same).ok_or(StoreError::Replaced)?;
                match record.body {
                    Body::Blob(placement) => Ok(Place {
                        placement,
                        salt: record.encryption.and_then(|encryption| encryption.salt),
                    }),
                    _ => Err(StoreError::Replaced),
                }
            }
            Self::Part { upload, number } => {
                let part = store.find_part(*upload, *number).await?;
                Ok(Place::of_part(&part)?)
            }
        }
    }
}

/// A run of an object's bytes, in order. Outlives overwrites and deletes of the object.
#[derive(Debug)]
pub struct ObjectReader {
    store: Store,
    /// Whose parts are waiting.
    upload: u64,
    waiting: VecDeque<(PartNumber, Range<u64>)>,
    current: Option<Current>,
    /// What the parts are encrypted with.
    key: Option<DataKey>,
    _pin: Option<Pin>,
}

impl ObjectReader {
    /// The next bytes; `None` at the end. After an error nothing more comes that makes sense.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        let _serving = self.store.inner.load.serve();
        loop {
            let step = match &mut self.current {
                Some(current) => {
                    let step = current.next(&self.store).await;
                    current.note_damage(&self.store).await;
                    step
                }
                None => return None,
            };
            if step.is_some() {
                return step;
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
            let place = Place::of_part(&part)?;
            let sealed = self.key.as_ref().filter(|_| part.encryption.is_some());
            let number_of = u64::from(number.get());
            let unsealing = sealed.map(|key| place.unsealing(key, number_of, part.size));
            let unsealing = unsealing.transpose()?;
            let home = Home::Part {
                upload: self.upload,
                number,
            };
            let what = (range, unsealing);
            self.current = Some(Current::open(&self.store, home, place, what)?);
        }
        Ok(())
    }
}
