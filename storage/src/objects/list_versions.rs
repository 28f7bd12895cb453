//! Listing versions: the walk over objects, and for each that has versions a walk over these.

use super::{
    BucketName, ListedObject, ObjectKey, Store, StoreError, VersionId,
    bucket::OpenBucket,
    keys,
    listing::Names,
    pages::Pages,
    record::{ObjectRecord, ObjectSummary, RecordError},
};
use crate::meta::Entry;

/// Which versions to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListVersions {
    /// Where.
    pub bucket: BucketName,
    /// What the keys begin with.
    pub prefix: String,
    /// As in [`super::ListObjects::delimiter`].
    pub delimiter: String,
    /// Where to start: after all versions of this key, or after `after_version` of it. Empty: at the beginning.
    pub after: String,
    /// See `after`.
    pub after_version: Option<VersionId>,
    /// Entries at most.
    pub limit: usize,
}

/// A page of versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionsPage {
    /// In order of key, the newest version of each first.
    pub entries: Vec<VersionEntry>,
    /// `after` and `after_version` of the next page; `None`: this is the last.
    pub next: Option<(String, Option<VersionId>)>,
}

/// An entry of a listing of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionEntry {
    /// A version, or a delete marker.
    Version(ListedVersion),
    /// What stands for all keys that begin with it, delimiter included.
    CommonPrefix(String),
}

/// A version as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedVersion {
    /// What listings show of it; of a delete marker only key and time mean something.
    pub object: ListedObject,
    /// Which one.
    pub id: VersionId,
    /// Nothing newer is there.
    pub is_latest: bool,
    /// It says that there was no object from then on.
    pub is_delete_marker: bool,
}

impl VersionEntry {
    fn position(&self) -> (String, Option<VersionId>) {
        match self {
            Self::Version(version) => (version.object.key.as_str().to_owned(), Some(version.id)),
            Self::CommonPrefix(prefix) => (prefix.clone(), None),
        }
    }
}

impl Store {
    /// A page of the versions of a bucket; in one that never had any, each object is its null version. Sees every write that was
    /// acknowledged before it was asked for. Records that this version can't read are left out.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn list_versions(&self, request: ListVersions) -> Result<VersionsPage, StoreError> {
        let bucket = self.open_bucket(&request.bucket).await?;
        let mut page = VersionsPage::default();
        if request.limit == 0 {
            return Ok(page);
        }
        let base = keys::objects(bucket.id());
        let names = Names {
            prefix: &request.prefix,
            delimiter: &request.delimiter,
        };
        let start = match request.after_version {
            // The rest of that key comes first.
            Some(_) if names.common_prefix(&request.after).is_none() => {
                let after = request.after.as_bytes().to_vec();
                after.max(request.prefix.as_bytes().to_vec())
            }
            _ => names.start(&request.after),
        };
        let from = [&base[..], &start].concat();
        let to = keys::successor(&[&base[..], request.prefix.as_bytes()].concat());
        let mut pages = Pages::new(&*self.inner.meta, from, to, names.expected(request.limit));
        while let Some(entry) = pages.next().await? {
            let (_, name) = keys::parse_object(&entry.key).ok_or(RecordError::BadKey)?;
            if let Some(common) = names.common_prefix(&name) {
                pages.seek(keys::successor(&[&base[..], common.as_bytes()].concat()));
                page.entries
                    .push(VersionEntry::CommonPrefix(common.to_owned()));
            } else {
                let after = request.after_version.filter(|_| name == request.after);
                let room = request.limit + 1 - page.entries.len();
                let versions = self.versions_of(&bucket, &name, &entry, after, room);
                let versions = versions.await?.into_iter();
                page.entries.extend(versions.map(VersionEntry::Version));
            }
            if page.entries.len() > request.limit {
                page.entries.truncate(request.limit);
                page.next = page.entries.last().map(VersionEntry::position);
                break;
            }
        }
        Ok(page)
    }

    /// Up to `room` versions of an object, the newest first, those after `after`. `head` is what its key holds.
    async fn versions_of(
        &self,
        bucket: &OpenBucket,
        name: &str,
        head: &Entry,
        after: Option<VersionId>,
        room: usize,
    ) -> Result<Vec<ListedVersion>, StoreError> {
        let summary = ObjectSummary::decode(&head.value);
        if !summary.as_ref().is_ok_and(|summary| summary.is_pointer) {
            let only = listed(name, VersionId::Null, &head.value);
            return Ok(only.into_iter().filter(|_| after.is_none()).collect());
        }
        let key = ObjectKey::parse(name).map_err(|_| RecordError::BadKey)?;
        let null_row = keys::version(bucket.id(), &key, VersionId::Null);
        let null = self.inner.meta.get(&null_row).await?;
        let null = null.and_then(|null| {
            let number = ObjectRecord::decode(&null.value).ok()?.version?;
            Some((number, listed(name, VersionId::Null, &null.value)?))
        });
        let below = match after {
            None => u64::MAX,
            Some(VersionId::Number(number)) => number,
            // That one is gone: nobody knows where it was.
            Some(VersionId::Null) => null.as_ref().map_or(0, |(number, _)| *number),
        };
        let mut null = null.filter(|(number, _)| *number < below);
        let (from, to) = keys::versions_below(bucket.id(), name, below);
        let mut pages = Pages::new(&*self.inner.meta, from, to, room.min(1000));
        let mut versions = Vec::new();
        while versions.len() < room {
            let entry = pages.next().await?;
            let id = entry
                .as_ref()
                .and_then(|entry| keys::parse_version(&entry.key));
            let number = match id {
                Some((.., VersionId::Number(number))) => Some(number),
                _ => None,
            };
            if let Some((_, version)) = null.take_if(|(null, _)| number.is_none_or(|n| n < *null)) {
                versions.push(version);
            }
            let (Some(entry), Some(number)) = (entry, number) else {
                break;
            };
            versions.extend(listed(name, VersionId::Number(number), &entry.value));
        }
        versions.truncate(room);
        let latest = ObjectRecord::decode(&head.value)?.body.elsewhere();
        for version in &mut versions {
            version.is_latest = latest == Some(version.id);
        }
        Ok(versions)
    }
}

/// `None`: this version of Larder can't read it.
fn listed(name: &str, id: VersionId, record: &[u8]) -> Option<ListedVersion> {
    let summary = ObjectSummary::decode(record)
        .inspect_err(|error| tracing::warn!(name, %error, "version left out of a listing"));
    let summary = summary.ok()?;
    Some(ListedVersion {
        object: ListedObject::new(name, &summary).ok()?,
        id,
        is_latest: true,
        is_delete_marker: summary.is_delete_marker,
    })
}
