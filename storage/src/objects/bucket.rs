//! Buckets.

use std::sync::Arc;

use bytes::Bytes;
use larder_erasure::Profile;

use super::{
    AccountId, BucketLock, BucketName, Deleted, DocumentKind, Quota, Store, StoreError, VersionId,
    Versioning,
    account_quota::Ceiling,
    commit::{ATTEMPTS, Draft},
    documents::{Documents, discard_pages, put_pages},
    keys,
    lock_clock::draft_time_mark,
    pages::Pages,
    record::{BucketRecord, DocumentPlace, GarbageRecord, RecordError},
};
use crate::meta::{Revision, Versioned};

/// Buckets read at a time for a listing.
const LIST_PAGE: usize = 1000;

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: BucketName,
    /// When it was created, milliseconds since the Unix epoch.
    pub created_unix_millis: u64,
    /// The region that was asked for.
    pub region: String,
    /// Whether it keeps versions.
    pub versioning: Versioning,
    /// Whose it is.
    pub owner: AccountId,
    /// Its object lock, if it has that.
    pub lock: Option<BucketLock>,
}

impl Bucket {
    fn of(name: BucketName, record: &BucketRecord) -> Self {
        Self {
            name,
            created_unix_millis: record.created_unix_millis,
            region: record.region.clone(),
            versioning: record.versioning,
            owner: record.owner,
            lock: record.lock,
        }
    }
}

/// A bucket to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateBucket {
    /// Its name.
    pub name: BucketName,
    /// Its region.
    pub region: String,
    /// Whose it is to be.
    pub owner: AccountId,
    /// Its object lock, if it is to have that: then it keeps versions.
    pub lock: Option<BucketLock>,
    /// The document of its tags, if it is to have that from its first moment on.
    pub tags: Option<Bytes>,
    /// How its objects are to be coded; `None`: as the cluster's are.
    pub profile: Option<Profile>,
}

impl CreateBucket {
    /// A bucket without a region, of the first account.
    pub fn new(name: BucketName) -> Self {
        Self {
            name,
            region: String::new(),
            owner: AccountId::default(),
            lock: None,
            tags: None,
            profile: None,
        }
    }
}

/// A bucket as last read.
#[derive(Clone, Debug)]
pub(super) struct OpenBucket {
    pub(super) key: Bytes,
    pub(super) revision: Revision,
    record: Arc<BucketRecord>,
    documents: Arc<Documents>,
    /// The quota of its account, where objects may be written by it.
    ceiling: Option<Arc<Ceiling>>,
}

impl OpenBucket {
    fn decode(key: Bytes, found: &Versioned) -> Result<Self, RecordError> {
        let record = Arc::new(BucketRecord::decode(&found.value)?);
        Ok(Self {
            key,
            revision: found.revision,
            record,
            documents: Arc::default(),
            ceiling: None,
        })
    }

    /// Where its document of this kind is, if it has one.
    pub(super) fn document_place(&self, kind: DocumentKind) -> Option<DocumentPlace> {
        let mut places = self.record.documents.iter();
        places.find(|place| place.kind == kind).copied()
    }

    /// Whether somebody is to be told of what happens in it.
    pub(super) fn tells(&self) -> bool {
        self.document_place(DocumentKind::Notifications).is_some()
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        let name = self.key.get(1..).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    pub(super) fn owner(&self) -> AccountId {
        self.record.owner
    }

    /// Its documents as far as they were read.
    pub(super) fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Its identifier, the base of its objects' keys.
    pub(super) fn id(&self) -> u64 {
        self.record.id
    }

    pub(super) fn quota(&self) -> Quota {
        self.record.quota
    }

    /// How new objects are to be coded, where that is not as the cluster's are.
    pub(super) fn profile(&self) -> Option<Profile> {
        self.record.profile
    }

    pub(super) fn ceiling(&self) -> Option<&Ceiling> {
        self.ceiling.as_deref()
    }

    pub(super) fn lock(&self) -> Option<BucketLock> {
        self.record.lock
    }

    pub(super) fn versioning(&self) -> Versioning {
        self.record.versioning
    }

    /// The identifier of an object that stands under its own key; `None` where there are no versions.
    pub(super) fn null_version(&self) -> Option<VersionId> {
        (self.versioning() != Versioning::Off).then_some(VersionId::Null)
    }

    /// That a version went for good.
    pub(super) fn deleted(&self, version: VersionId, is_delete_marker: bool) -> Deleted {
        Deleted {
            changed: true,
            version: self.null_version().map(|_| version),
            is_delete_marker,
        }
    }

    /// The value that takes a deletion back, if one is under way (or was, at a crash).
    pub(super) fn reopened(&self) -> Option<Vec<u8>> {
        self.record.is_deleting.then(|| self.with_deleting(false))
    }

    fn with_deleting(&self, is_deleting: bool) -> Vec<u8> {
        BucketRecord {
            is_deleting,
            ..(*self.record).clone()
        }
        .encode()
    }
}

impl Store {
    /// Creates a bucket. On `Ok` it survives power loss.
    ///
    /// # Errors
    /// [`StoreError::BucketExists`], [`StoreError::UnsuitableProfile`]; [`StoreError::Conflict`] under unceasing changes.
    pub async fn create_bucket(&self, request: CreateBucket) -> Result<Bucket, StoreError> {
        if let Some(profile) = request.profile {
            self.check_profile(profile)?;
        }
        for _ in 0..ATTEMPTS {
            if let Some(bucket) = self.try_create_bucket(request.clone()).await? {
                return Ok(bucket);
            }
        }
        Err(StoreError::Conflict)
    }

    /// One attempt; `None` if something has changed meanwhile.
    async fn try_create_bucket(&self, request: CreateBucket) -> Result<Option<Bucket>, StoreError> {
        let CreateBucket {
            name,
            region,
            owner,
            lock,
            tags,
            profile,
        } = request;
        let key = keys::bucket(&name);
        if self.inner.meta.get(&key).await?.is_some() {
            return Err(StoreError::BucketExists);
        }
        let mut draft = Draft::default();
        let id = self.new_number();
        let documents = tags
            .map(|tags| put_pages(&mut draft, id, DocumentKind::Tags, self.new_number(), &tags));
        let record = BucketRecord {
            id,
            created_unix_millis: self.now(),
            region,
            owner,
            versioning: lock.map_or(Versioning::Off, |_| Versioning::Enabled),
            lock,
            profile,
            documents: documents.into_iter().collect(),
            ..BucketRecord::default()
        };
        draft.put(key.clone(), record.encode());
        draft.expect(key, None);
        self.draft_bucket_of(&mut draft, owner).await?;
        let mark = match lock {
            Some(_) => Some(self.lock_time().await?),
            None => None,
        };
        if let Some(mark) = mark {
            draft_time_mark(&mut draft, mark);
        }
        let created = self.try_commit(draft).await?;
        if created.is_none() {
            return Ok(None);
        }
        if let Some(mark) = mark {
            self.time_is_marked(mark);
        }
        Ok(Some(Bucket::of(name, &record)))
    }

    /// What is known of a bucket.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn bucket(&self, name: &BucketName) -> Result<Bucket, StoreError> {
        let bucket = self.open_bucket(name).await?;
        Ok(Bucket::of(name.clone(), &bucket.record))
    }

    /// Has a bucket keep versions from now on, or no more. Durable when it returns; writes that began before may still be of the other
    /// kind, and come before it.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; [`StoreError::InvalidVersioning`]: it can't be as if it never had had versions;
    /// [`StoreError::LockKeepsVersioning`].
    pub async fn set_versioning(
        &self,
        name: &BucketName,
        versioning: Versioning,
    ) -> Result<(), StoreError> {
        self.change_bucket(name, |_, record, _| match versioning {
            versioning if versioning == record.versioning => Ok(false),
            Versioning::Off => Err(StoreError::InvalidVersioning),
            _ if record.lock.is_some() => Err(StoreError::LockKeepsVersioning),
            versioning => {
                record.versioning = versioning;
                Ok(true)
            }
        })
        .await
    }

    /// Changes a bucket's record, and what `change` adds to the commit. It says whether there is anything to change, and is asked again if
    /// another change came first.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], those of `change`; [`StoreError::Conflict`] under unceasing changes.
    pub(super) async fn change_bucket(
        &self,
        name: &BucketName,
        mut change: impl FnMut(&OpenBucket, &mut BucketRecord, &mut Draft) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let bucket = self.read_bucket(name).await?;
            let mut record = BucketRecord {
                is_deleting: false,
                ..(*bucket.record).clone()
            };
            let mut draft = Draft::default();
            if !change(&bucket, &mut record, &mut draft)? {
                return Ok(());
            }
            draft.put(bucket.key.clone(), record.encode());
            draft.expect(bucket.key.clone(), Some(bucket.revision));
            if self.try_commit(draft).await?.is_some() {
                return Ok(());
            }
        }
        Err(StoreError::Conflict)
    }

    /// Deletes an empty bucket, and in due course the uploads in it.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::BucketNotEmpty`]; [`StoreError::Conflict`] under unceasing writes.
    pub async fn delete_bucket(&self, name: &BucketName) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let bucket = self.read_bucket(name).await?;
            if !self.is_empty(&bucket).await? {
                return Err(StoreError::BucketNotEmpty);
            }
            let Some(bucket) = self.mark_deleting(bucket).await? else {
                continue;
            };
            // From here each write of an object changes the bucket's revision, so what is found now counts.
            if !self.is_empty(&bucket).await? {
                self.take_deletion_back(&bucket).await?;
                return Err(StoreError::BucketNotEmpty);
            }
            if self.remove_bucket(&bucket).await? {
                return Ok(());
            }
        }
        Err(StoreError::Conflict)
    }

    /// Buckets of `owner`, or of all, whose names begin with `prefix` and come after `after`, in order, `limit` at most.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn list_buckets(
        &self,
        owner: Option<AccountId>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Bucket>, StoreError> {
        let from = keys::bucket_prefix(prefix);
        let to = keys::successor(&from);
        let after = after.map(|name| [&keys::bucket_prefix(name)[..], &[0]].concat());
        let mut from = from.to_vec().max(after.unwrap_or_default());
        let mut buckets = Vec::new();
        while buckets.len() < limit {
            let entries = self.inner.meta.scan(&from, &to, LIST_PAGE).await?;
            for entry in &entries {
                let bucket = listed(&entry.key, &entry.value)?;
                if owner.is_none_or(|owner| owner == bucket.owner) {
                    buckets.push(bucket);
                }
            }
            match entries.last() {
                Some(last) if entries.len() == LIST_PAGE => {
                    from = [&last.key[..], &[0]].concat();
                }
                _ => break,
            }
        }
        buckets.truncate(limit);
        Ok(buckets)
    }

    /// Hands the records of all buckets to `each`, in order of name.
    pub(super) async fn each_bucket(
        &self,
        mut each: impl FnMut(BucketRecord),
    ) -> Result<(), StoreError> {
        let from = keys::bucket_prefix("");
        let to = keys::successor(&from);
        let mut pages = Pages::new(&*self.inner.meta, from.to_vec(), to, LIST_PAGE);
        while let Some(entry) = pages.next().await? {
            each(BucketRecord::decode(&entry.value)?);
        }
        Ok(())
    }

    /// Whose a bucket is; reads nothing where the bucket was read before.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn bucket_owner(&self, name: &BucketName) -> Result<AccountId, StoreError> {
        Ok(self.open_bucket(name).await?.record.owner)
    }

    /// The bucket, from memory if it was read before. Each request that concerns objects comes by here.
    pub(super) async fn open_bucket(&self, name: &BucketName) -> Result<OpenBucket, StoreError> {
        self.inner.load.served();
        self.known_bucket(name).await
    }

    /// As [`Store::open_bucket`], for what no client waits for, such as metrics: upkeep does not step back for it.
    pub(super) async fn known_bucket(&self, name: &BucketName) -> Result<OpenBucket, StoreError> {
        match self.inner.buckets.get(name) {
            Ok(bucket) => Ok(bucket),
            Err(generation) => {
                let mut bucket = self.read_bucket(name).await?;
                bucket.ceiling = self.ceiling_of(bucket.record.owner).await?;
                self.inner.buckets.insert(generation, name, &bucket);
                Ok(bucket)
            }
        }
    }

    /// A bucket as it is now: writes that were decided by what it was have failed.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], also where another has taken its name.
    pub(super) async fn reopen_bucket(
        &self,
        bucket: &OpenBucket,
    ) -> Result<OpenBucket, StoreError> {
        let found = self.inner.meta.get(&bucket.key).await?;
        let found = found.ok_or(StoreError::NoSuchBucket)?;
        let mut now = OpenBucket::decode(bucket.key.clone(), &found)?;
        if now.id() != bucket.id() {
            return Err(StoreError::NoSuchBucket);
        }
        now.ceiling = self.ceiling_of(now.record.owner).await?;
        Ok(now)
    }

    /// A bucket as it is now, without the quota of its account: for changes of itself, and for its documents.
    pub(super) async fn read_bucket(&self, name: &BucketName) -> Result<OpenBucket, StoreError> {
        let key = keys::bucket(name);
        let found = self
            .inner
            .meta
            .get(&key)
            .await?
            .ok_or(StoreError::NoSuchBucket)?;
        Ok(OpenBucket::decode(key, &found)?)
    }

    async fn is_empty(&self, bucket: &OpenBucket) -> Result<bool, StoreError> {
        self.has_none(&keys::objects(bucket.id())).await
    }

    async fn has_none(&self, prefix: &[u8]) -> Result<bool, StoreError> {
        let found = self
            .inner
            .meta
            .scan(prefix, &keys::successor(prefix), 1)
            .await?;
        Ok(found.is_empty())
    }

    /// The bucket marked as being deleted; `None` if it changed meanwhile.
    async fn mark_deleting(&self, bucket: OpenBucket) -> Result<Option<OpenBucket>, StoreError> {
        if bucket.record.is_deleting {
            return Ok(Some(bucket));
        }
        let mut draft = Draft::default();
        draft.put(bucket.key.clone(), bucket.with_deleting(true));
        draft.expect(bucket.key.clone(), Some(bucket.revision));
        let revision = self.try_commit(draft).await?;
        Ok(revision.map(|revision| {
            let record = BucketRecord {
                is_deleting: true,
                ..(*bucket.record).clone()
            };
            OpenBucket {
                key: bucket.key,
                revision,
                record: Arc::new(record),
                documents: bucket.documents,
                ceiling: bucket.ceiling,
            }
        }))
    }

    /// Whoever changed the bucket meanwhile has taken it back already.
    async fn take_deletion_back(&self, bucket: &OpenBucket) -> Result<(), StoreError> {
        let mut draft = Draft::default();
        draft.put(bucket.key.clone(), bucket.with_deleting(false));
        draft.expect(bucket.key.clone(), Some(bucket.revision));
        self.try_commit(draft).await.map(drop)
    }

    async fn remove_bucket(&self, bucket: &OpenBucket) -> Result<bool, StoreError> {
        let mut draft = Draft::default();
        draft.delete(bucket.key.clone());
        for place in &bucket.record.documents {
            discard_pages(&mut draft, bucket.id(), *place);
        }
        draft.expect(bucket.key.clone(), Some(bucket.revision));
        if !self.has_none(&keys::uploads(bucket.id(), "")).await? {
            self.discard(&mut draft, &GarbageRecord::Uploads(bucket.id()));
        }
        Ok(self.try_commit(draft).await?.is_some())
    }
}

fn listed(key: &[u8], value: &[u8]) -> Result<Bucket, StoreError> {
    let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok());
    let name = name
        .and_then(|name| BucketName::parse(name).ok())
        .ok_or(RecordError::BadKey)?;
    Ok(Bucket::of(name, &BucketRecord::decode(value)?))
}
