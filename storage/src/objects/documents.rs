//! What a bucket is configured with: documents that are kept here whole, and read by whoever wrote them.
//!
//! A document is never changed in place. Its pages stand under a number of their own, and the bucket's record says which number counts:
//! whoever follows an older record finds no pages, and reads the bucket again. So what is read is always one document, and a change of any
//! is a change of the bucket.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use super::{
    BucketName, Store, StoreError,
    bucket::OpenBucket,
    commit::{ATTEMPTS, Draft},
    keys,
    record::{DocumentPlace, RecordError, decode_page, encode_page},
};

/// Bytes of a page: with its frame it stays below what a value may have.
const PAGE_BYTES: usize = 56 << 10;
/// The most bytes that a document may have.
pub const MAX_DOCUMENT_BYTES: usize = 4 * PAGE_BYTES;

/// What a document is for. A bucket has one of each at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DocumentKind {
    /// Who may do what with the bucket.
    Policy = 1,
    /// What is blocked of what policies and access control lists grant to everybody.
    PublicAccessBlock = 2,
    /// Who owns objects, and whether access control lists count.
    Ownership = 3,
    /// The bucket's own access control list.
    Acl = 4,
    /// Which web pages may use it.
    Cors = 5,
    /// Its tags.
    Tags = 6,
    /// What expires when.
    Lifecycle = 7,
    /// Where its requests are logged.
    Logging = 8,
    /// Who is told of what happens.
    Notifications = 9,
    /// How new objects are encrypted.
    Encryption = 10,
}

impl DocumentKind {
    const ALL: [Self; 10] = [
        Self::Policy,
        Self::PublicAccessBlock,
        Self::Ownership,
        Self::Acl,
        Self::Cors,
        Self::Tags,
        Self::Lifecycle,
        Self::Logging,
        Self::Notifications,
        Self::Encryption,
    ];

    /// The number by which records name it.
    pub(super) fn code(self) -> u8 {
        self as u8
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    fn index(self) -> usize {
        usize::from(self.code() - 1)
    }
}

/// A document as it was put.
#[derive(Debug)]
pub struct Document {
    bytes: Bytes,
    parsed: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Document {
    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What `parse` makes of the bytes, kept for whoever asks next, as long as the bucket does not change. Each kind of document is
    /// asked for as one type; another is parsed each time.
    pub fn parsed<T: Send + Sync + 'static>(&self, parse: impl FnOnce(&[u8]) -> T) -> Arc<T> {
        if let Some(kept) = self.parsed.get() {
            return Arc::clone(kept)
                .downcast()
                .unwrap_or_else(|_| Arc::new(parse(&self.bytes)));
        }
        let made = Arc::new(parse(&self.bytes));
        drop(self.parsed.set(Arc::<T>::clone(&made)));
        made
    }
}

/// The documents of a bucket that were read so far.
#[derive(Debug, Default)]
pub(super) struct Documents([OnceLock<Arc<Document>>; DocumentKind::ALL.len()]);

impl Store {
    /// A document of a bucket; `None` if it has none of the kind. Reads nothing where the bucket and the document were read before.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; those of the metadata engine.
    pub async fn document(
        &self,
        name: &BucketName,
        kind: DocumentKind,
    ) -> Result<Option<Arc<Document>>, StoreError> {
        let mut bucket = self.open_bucket(name).await?;
        for _ in 0..ATTEMPTS {
            let Some(place) = bucket.document_place(kind) else {
                return Ok(None);
            };
            if let Some(document) = self.document_in(&bucket, kind).await? {
                return Ok(Some(document));
            }
            let now = self.read_bucket(name).await?;
            if now.document_place(kind) == Some(place) {
                return Err(RecordError::NoPages.into());
            }
            bucket = now;
        }
        Err(StoreError::Conflict)
    }

    /// A document of a bucket as it was read, kept with it; `None` if it has none of the kind, or has changed since.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(super) async fn document_in(
        &self,
        bucket: &OpenBucket,
        kind: DocumentKind,
    ) -> Result<Option<Arc<Document>>, StoreError> {
        let Some(place) = bucket.document_place(kind) else {
            return Ok(None);
        };
        let slot = &bucket.documents().0[kind.index()];
        if let Some(known) = slot.get() {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(bytes) = self.read_pages(bucket, place).await? else {
            return Ok(None);
        };
        let parsed = OnceLock::new();
        let document = Arc::new(Document { bytes, parsed });
        Ok(Some(Arc::clone(slot.get_or_init(|| document))))
    }

    /// Sets a document of a bucket, or removes it. Durable when it returns; requests that begin then go by it.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; [`StoreError::MetadataTooLarge`] over [`MAX_DOCUMENT_BYTES`]; [`StoreError::Conflict`] under unceasing changes.
    pub async fn set_document(
        &self,
        name: &BucketName,
        kind: DocumentKind,
        document: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        if let Some(bytes) = document.map(<[u8]>::len)
            && bytes > MAX_DOCUMENT_BYTES
        {
            return Err(StoreError::MetadataTooLarge { bytes });
        }
        self.change_bucket(name, |bucket, record, draft| {
            let old = bucket.document_place(kind);
            if document.is_none() && old.is_none() {
                return Ok(false);
            }
            record.documents.retain(|place| place.kind != kind);
            if let Some(old) = old {
                discard_pages(draft, bucket.id(), old);
            }
            if let Some(bytes) = document {
                let number = self.new_number();
                record
                    .documents
                    .push(put_pages(draft, bucket.id(), kind, number, bytes));
            }
            Ok(true)
        })
        .await
    }

    /// The bytes of a document of a bucket as it was read; `None` if it has none of the kind, or has changed since.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(super) async fn document_of(
        &self,
        bucket: &OpenBucket,
        kind: DocumentKind,
    ) -> Result<Option<Bytes>, StoreError> {
        match bucket.document_place(kind) {
            Some(place) => self.read_pages(bucket, place).await,
            None => Ok(None),
        }
    }

    /// The bytes of a document; `None` if a page of it is gone.
    async fn read_pages(
        &self,
        bucket: &OpenBucket,
        place: DocumentPlace,
    ) -> Result<Option<Bytes>, StoreError> {
        let mut bytes = Vec::new();
        for page in 0..place.pages {
            let key = keys::document(bucket.id(), place.number, page);
            let Some(found) = self.inner.meta.get(&key).await? else {
                return Ok(None);
            };
            bytes.extend_from_slice(decode_page(&found.value)?);
        }
        Ok(Some(bytes.into()))
    }
}

/// Writes the pages of a document with the commit that names it.
pub(super) fn put_pages(
    draft: &mut Draft,
    bucket_id: u64,
    kind: DocumentKind,
    number: u64,
    bytes: &[u8],
) -> DocumentPlace {
    let mut pages = 0;
    for page in bytes.chunks(PAGE_BYTES) {
        draft.put(keys::document(bucket_id, number, pages), encode_page(page));
        pages += 1;
    }
    DocumentPlace {
        kind,
        number,
        pages,
    }
}

/// Removes the pages of a document with the commit that no longer names it.
pub(super) fn discard_pages(draft: &mut Draft, bucket_id: u64, place: DocumentPlace) {
    for page in 0..place.pages {
        draft.delete(keys::document(bucket_id, place.number, page));
    }
}
