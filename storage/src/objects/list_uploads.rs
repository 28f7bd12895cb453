//! Listing uploads in progress.

use super::{
    BucketName, ChecksumAlgorithm, ChecksumKind, ObjectKey, ObjectOwner, Store, StoreError,
    UploadId, keys,
    listing::Names,
    pages::Pages,
    record::{RecordError, UploadRecord},
};

/// Which uploads to list.
#[derive(Clone, Debug)]
pub struct ListUploads {
    /// Where.
    pub bucket: BucketName,
    /// What the keys begin with.
    pub prefix: String,
    /// As for objects.
    pub delimiter: String,
    /// Only keys after this one. Empty: all.
    pub key_marker: String,
    /// With it also those uploads of `key_marker` itself that come after this one.
    pub upload_marker: Option<UploadId>,
    /// Entries at most.
    pub limit: usize,
}

/// A page of uploads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadsPage {
    /// In order of key, then of creation.
    pub entries: Vec<UploadEntry>,
    /// The markers of the next page; `None`: this is the last.
    pub next: Option<(String, Option<UploadId>)>,
}

/// An entry of a page of uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadEntry {
    /// An upload.
    Upload(ListedUpload),
    /// What stands for all keys that begin with it.
    CommonPrefix(String),
}

impl UploadEntry {
    fn marker(&self) -> (String, Option<UploadId>) {
        match self {
            Self::Upload(upload) => (upload.key.as_str().to_owned(), Some(upload.id)),
            Self::CommonPrefix(prefix) => (prefix.clone(), None),
        }
    }
}

/// An upload as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUpload {
    /// Which object it will be.
    pub key: ObjectKey,
    /// Its identifier.
    pub id: UploadId,
    /// When it was started, milliseconds since the Unix epoch.
    pub initiated_unix_millis: u64,
    /// The checksum that the object is to have.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    /// Who is to own the object, if that is not the bucket's owner.
    pub owner: Option<ObjectOwner>,
}

impl ListUploads {
    /// Where in the metadata the page starts.
    fn start(&self, bucket_id: u64, names: Names<'_>) -> Vec<u8> {
        let start = match names.common_prefix(&self.key_marker) {
            Some(common) => keys::successor(&keys::uploads(bucket_id, common)),
            None if self.key_marker.is_empty() => Vec::new(),
            None => keys::after_upload(bucket_id, &self.key_marker, self.upload_marker.as_ref()),
        };
        start.max(keys::uploads(bucket_id, &self.prefix))
    }
}

impl Store {
    /// A page of the uploads in progress of a bucket.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn list_uploads(&self, request: ListUploads) -> Result<UploadsPage, StoreError> {
        let id = self.open_bucket(&request.bucket).await?.id();
        let mut listing = UploadsPage::default();
        if request.limit == 0 {
            return Ok(listing);
        }
        let names = Names {
            prefix: &request.prefix,
            delimiter: &request.delimiter,
        };
        let to = keys::successor(&keys::uploads(id, &request.prefix));
        let from = request.start(id, names);
        let mut pages = Pages::new(&*self.inner.meta, from, to, names.expected(request.limit));
        while let Some(entry) = pages.next().await? {
            let (_, name, upload) = keys::parse_upload(&entry.key).ok_or(RecordError::BadKey)?;
            if listing.entries.len() == request.limit {
                listing.next = listing.entries.last().map(UploadEntry::marker);
                break;
            }
            if let Some(common) = names.common_prefix(&name) {
                pages.seek(keys::successor(&keys::uploads(id, common)));
                listing
                    .entries
                    .push(UploadEntry::CommonPrefix(common.to_owned()));
            } else {
                listing
                    .entries
                    .push(UploadEntry::Upload(listed(&name, upload, &entry.value)?));
            }
        }
        Ok(listing)
    }
}

fn listed(name: &str, id: UploadId, record: &[u8]) -> Result<ListedUpload, RecordError> {
    let key = ObjectKey::parse(name).map_err(|_| RecordError::BadKey)?;
    let UploadRecord {
        initiated_unix_millis,
        checksum,
        acl,
        ..
    } = UploadRecord::decode(record)?;
    Ok(ListedUpload {
        key,
        id,
        initiated_unix_millis,
        checksum,
        owner: acl.owner,
    })
}
