//! Objects that have versions: how they are stored, found, added and removed.
//!
//! A version's record stands under a key of its own (`v`), where it was written and stays; so a further version costs no more than the
//! first, however many there are, and no blob moves. The object's own key (`o`) says which version is the latest, and what listings show of
//! it: it is there as long as there is any version, delete markers included, and each change of a version has a precondition on it, which
//! puts all changes of one object in an order.
//!
//! What was written before the bucket had versions stays under `o`, and is the null version. It moves to its place among the versions
//! when something else becomes the latest.

use bytes::Bytes;

use super::{
    ETag, Existing, Governance, ObjectKey, Store, StoreError, VersionId, Versioning,
    bucket::OpenBucket,
    commit::{ATTEMPTS, Draft},
    keys,
    object::FoundObject,
    record::{Body, ObjectRecord},
};
use crate::{meta::Revision, stripes::InlineBlob};

/// What the key of an object holds.
#[derive(Debug)]
pub(super) enum Head {
    /// Nothing: there is no version of it.
    Absent,
    /// The object: its only version, the null one.
    Plain(FoundObject),
    /// Which of its versions is the latest.
    Pointer {
        revision: Revision,
        record: ObjectRecord,
        latest: VersionId,
    },
}

impl Head {
    pub(super) fn revision(&self) -> Option<Revision> {
        match self {
            Self::Absent => None,
            Self::Plain(found) => Some(found.revision),
            Self::Pointer { revision, .. } => Some(*revision),
        }
    }

    /// What the conditions of a write are about: a delete marker is no object.
    pub(super) fn existing(&self) -> Option<Existing> {
        match self {
            Self::Absent => None,
            Self::Plain(found) => Some(found.existing()),
            Self::Pointer { record, .. } if record.is_delete_marker => None,
            Self::Pointer {
                revision, record, ..
            } => Some(Existing {
                etag: record.etag,
                revision: *revision,
            }),
        }
    }
}

/// A version that was asked for.
#[derive(Debug)]
pub(super) struct FoundVersion {
    /// The key of its record.
    pub(super) row: Bytes,
    pub(super) found: FoundObject,
    /// `None` in a bucket that never had versions.
    pub(super) id: Option<VersionId>,
}

/// What became of a write that is being drafted.
#[derive(Debug)]
pub(super) enum Drafted {
    /// It is in the draft; the identifier of the version, in a bucket that has versions.
    Ready(Option<VersionId>),
    /// Something had to be committed before: read again.
    Again,
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Whether there was something to delete, or a delete marker was made.
    pub changed: bool,
    /// The version that is gone, or the delete marker that was made; `None` in a bucket without versions.
    pub version: Option<VersionId>,
    /// It is a delete marker: made, or gone.
    pub is_delete_marker: bool,
}

/// A delete marker, as it stands among the versions.
pub(super) fn delete_marker(now: u64) -> ObjectRecord {
    let no_content = ETag {
        md5: [0; 16],
        parts: 0,
    };
    ObjectRecord {
        is_delete_marker: true,
        ..ObjectRecord::new(0, now, no_content)
    }
}

impl Store {
    pub(super) async fn find_head(
        &self,
        bucket: &OpenBucket,
        key: &ObjectKey,
    ) -> Result<Head, StoreError> {
        let found = self.find_object(&keys::object(bucket.id(), key)).await?;
        Ok(match found {
            None => Head::Absent,
            Some(FoundObject { revision, record }) => match record.body {
                Body::Elsewhere(latest) => Head::Pointer {
                    revision,
                    record,
                    latest,
                },
                _ => Head::Plain(FoundObject { revision, record }),
            },
        })
    }

    /// The version `id` of an object, or its latest.
    ///
    /// # Errors
    /// [`StoreError::NoSuchKey`], [`StoreError::NoSuchVersion`], [`StoreError::DeleteMarker`].
    pub(super) async fn find_version(
        &self,
        bucket: &OpenBucket,
        key: &ObjectKey,
        id: Option<VersionId>,
    ) -> Result<FoundVersion, StoreError> {
        for _ in 0..ATTEMPTS {
            let found = match id {
                Some(id @ VersionId::Number(_)) => self.find_row(bucket, key, id).await?,
                Some(VersionId::Null) => match self.find_head(bucket, key).await? {
                    Head::Absent => None,
                    Head::Plain(found) => Some(plain(bucket, key, found)),
                    Head::Pointer { .. } => self.find_row(bucket, key, VersionId::Null).await?,
                },
                None => match self.find_head(bucket, key).await? {
                    Head::Absent => return Err(StoreError::NoSuchKey),
                    Head::Plain(found) => Some(plain(bucket, key, found)),
                    Head::Pointer { latest, .. } => match self.find_row(bucket, key, latest).await?
                    {
                        None => continue, // Gone since the pointer was read.
                        found => found,
                    },
                },
            };
            let found = found.ok_or(StoreError::NoSuchVersion)?;
            let record = &found.found.record;
            if record.is_delete_marker {
                return Err(StoreError::DeleteMarker {
                    version: found.id.unwrap_or(VersionId::Null),
                    modified_unix_millis: record.modified_unix_millis,
                    is_named: id.is_some(),
                });
            }
            return Ok(found);
        }
        Err(StoreError::Conflict)
    }

    pub(super) async fn find_row(
        &self,
        bucket: &OpenBucket,
        key: &ObjectKey,
        id: VersionId,
    ) -> Result<Option<FoundVersion>, StoreError> {
        let row = keys::version(bucket.id(), key, id);
        let found = self.find_object(&row).await?;
        Ok(found.map(|found| FoundVersion {
            row,
            found,
            id: Some(id),
        }))
    }

    /// Adds to a draft, which is empty, that `record` becomes the latest version of an object, or the object where there are none.
    /// `inline` is its body, if that is to travel with the commit.
    pub(super) async fn draft_latest(
        &self,
        draft: &mut Draft,
        bucket: &OpenBucket,
        key: &ObjectKey,
        (record, inline): (&mut ObjectRecord, Option<InlineBlob>),
        head: Head,
    ) -> Result<Drafted, StoreError> {
        let object_key = keys::object(bucket.id(), key);
        draft.expect(object_key.clone(), head.revision());
        if bucket.versioning() == Versioning::Off {
            record.version = None;
            draft_record(draft, &object_key, record, inline);
            if let Head::Plain(old) = head {
                self.check_removable(&old.record, Governance::Heeded)?;
                self.discard_object(draft, Some(&old.record));
            }
            return Ok(Drafted::Ready(None));
        }
        let id = if bucket.versioning() == Versioning::Enabled {
            if let Head::Plain(old) = head {
                let moved = self.draft_null_version(draft, bucket, key, old, inline.is_some());
                // On the heap: seldom needed, and large.
                if !Box::pin(moved).await? {
                    return Ok(Drafted::Again);
                }
            }
            let number = self.new_number();
            record.version = Some(number);
            VersionId::Number(number)
        } else {
            record.version = Some(self.new_number());
            self.draft_end_of_null_version(draft, bucket, key, head)
                .await?;
            VersionId::Null
        };
        let row = keys::version(bucket.id(), key, id);
        draft_record(draft, &row, record, inline);
        draft.put(object_key, record.pointer(id).encode());
        Ok(Drafted::Ready(Some(id)))
    }

    /// Gives the object that stands under its own key a place among the versions. A commit carries one blob: where `has_inline` and
    /// this one is in the log, too, it gets a commit of its own, and the answer is false.
    async fn draft_null_version(
        &self,
        draft: &mut Draft,
        bucket: &OpenBucket,
        key: &ObjectKey,
        old: FoundObject,
        has_inline: bool,
    ) -> Result<bool, StoreError> {
        let object_key = keys::object(bucket.id(), key);
        let row = keys::version(bucket.id(), key, VersionId::Null);
        let FoundObject {
            revision,
            mut record,
        } = old;
        let blob = match self.code_again(&object_key, revision, &record.body).await {
            Ok(blob) => blob,
            // Upkeep has moved the blob since the record was read.
            Err(_) if self.revision_of(&object_key).await? != Some(revision) => return Ok(false),
            Err(error) => return Err(error),
        };
        if blob.is_some() {
            record.body = Body::Empty;
        }
        record.version = Some(self.new_number());
        if blob.is_some() && has_inline {
            let mut alone = Draft::default();
            draft_record(&mut alone, &row, &record, blob);
            alone.put(object_key.clone(), record.pointer(VersionId::Null).encode());
            alone.expect(object_key, Some(revision));
            alone.expect(row, None);
            alone.enter(bucket);
            self.try_commit(alone).await?;
            return Ok(false);
        }
        draft.expect(row.clone(), None);
        draft_record(draft, &row, &record, blob);
        Ok(true)
    }

    /// Throws away what the null version was: another one takes its place.
    async fn draft_end_of_null_version(
        &self,
        draft: &mut Draft,
        bucket: &OpenBucket,
        key: &ObjectKey,
        head: Head,
    ) -> Result<(), StoreError> {
        let row = keys::version(bucket.id(), key, VersionId::Null);
        match head {
            Head::Absent => draft.expect(row, None),
            Head::Plain(old) => {
                draft.expect(row, None);
                self.check_removable(&old.record, Governance::Heeded)?;
                self.discard_object(draft, Some(&old.record));
            }
            Head::Pointer { .. } => {
                let old = self.find_object(&row).await?;
                if let Some(old) = &old {
                    self.check_removable(&old.record, Governance::Heeded)?;
                }
                draft.expect(row, old.as_ref().map(|old| old.revision));
                self.discard_object(draft, old.as_ref().map(|old| &old.record));
            }
        }
        Ok(())
    }

    /// Adds to a draft that the version `id` of an object goes for good; `None` if there is none. Where it fails the draft is as it was.
    pub(super) async fn draft_removal(
        &self,
        draft: &mut Draft,
        bucket: &OpenBucket,
        key: &ObjectKey,
        (id, governance): (VersionId, Governance),
        head: Head,
    ) -> Result<Option<Deleted>, StoreError> {
        let object_key = keys::object(bucket.id(), key);
        let (latest, pointer) = match head {
            Head::Plain(old) if id == VersionId::Null => {
                self.check_removable(&old.record, governance)?;
                draft.expect(object_key.clone(), Some(old.revision));
                draft.delete(object_key);
                self.discard_object(draft, Some(&old.record));
                return Ok(Some(bucket.deleted(id, false)));
            }
            Head::Absent | Head::Plain(_) => return Ok(None),
            Head::Pointer {
                revision,
                record,
                latest,
            } => (latest, (revision, record)),
        };
        let Some(FoundVersion { row, found, .. }) = self.find_row(bucket, key, id).await? else {
            return Ok(None);
        };
        self.check_removable(&found.record, governance)?;
        let (revision, pointer) = pointer;
        draft.expect(object_key.clone(), Some(revision));
        draft.expect(row.clone(), Some(found.revision));
        draft.delete(row);
        self.discard_object(draft, Some(&found.record));
        if id == latest {
            let below = pointer.version.unwrap_or(u64::MAX);
            match self.newest_below(bucket, key, below).await? {
                Some(FoundVersion { row, found, id }) => {
                    draft.expect(row, Some(found.revision));
                    let id = id.unwrap_or(VersionId::Null);
                    draft.put(object_key, found.record.pointer(id).encode());
                }
                None => draft.delete(object_key),
            }
        }
        Ok(Some(bucket.deleted(id, found.record.is_delete_marker)))
    }

    /// The newest version of an object whose number is less than `below`.
    async fn newest_below(
        &self,
        bucket: &OpenBucket,
        key: &ObjectKey,
        below: u64,
    ) -> Result<Option<FoundVersion>, StoreError> {
        let null = self.find_row(bucket, key, VersionId::Null).await?;
        let null = null.filter(|null| null.found.record.version.is_some_and(|n| n < below));
        let (from, to) = keys::versions_below(bucket.id(), key.as_str(), below);
        let numbered = self.inner.meta.scan(&from, &to, 1).await?;
        let Some(entry) = numbered.into_iter().next() else {
            return Ok(null);
        };
        let record = ObjectRecord::decode(&entry.value)?;
        if null.as_ref().and_then(|null| null.found.record.version) > record.version {
            return Ok(null);
        }
        let id = keys::parse_version(&entry.key).map(|(.., id)| id);
        Ok(Some(FoundVersion {
            row: entry.key,
            found: FoundObject {
                revision: entry.revision,
                record,
            },
            id,
        }))
    }
}

fn plain(bucket: &OpenBucket, key: &ObjectKey, found: FoundObject) -> FoundVersion {
    FoundVersion {
        row: keys::object(bucket.id(), key),
        found,
        id: bucket.null_version(),
    }
}

/// Puts a record, and its body if that travels with the commit: then before anything else.
fn draft_record(draft: &mut Draft, row: &Bytes, record: &ObjectRecord, inline: Option<InlineBlob>) {
    if inline.is_some() {
        draft.put_first(row.clone(), record.encode());
        draft.inline(inline);
    } else {
        draft.put(row.clone(), record.encode());
    }
    if let Body::Blob(placement) = &record.body {
        draft.queue_healing(row, Some(placement));
    }
}
