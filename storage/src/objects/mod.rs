//! S3 semantics: buckets, objects, multipart uploads, listing, conditions, tags. No HTTP in it.
//!
//! Everything here is written on [`crate::meta::Meta`] and [`crate::stripes`] alone, so it is the same on each metadata engine.
//! Keys are opaque UTF-8 in one flat space: `a`, `a/`, `a//b` and `a/b` are four objects.

mod bucket;
mod conditions;
mod error;
mod garbage;
mod keys;
mod listing;
mod names;
mod object;
mod record;
mod tags;
mod upload;

use std::sync::Arc;

pub use bucket::{Bucket, CreateBucket};
pub use conditions::{ConditionFailed, ReadConditions, WriteConditions};
pub use error::{ErrorKind, StoreError};
pub use listing::{ListObjects, ListedObject, Listing};
pub use names::{BucketName, ETag, NameError, ObjectKey, PartNumber, UploadId};
pub use object::{ObjectHandle, ObjectInfo, ObjectPart, PutObject, Written};
pub use record::{Checksum, ChecksumAlgorithm, ChecksumKind, Headers, Tags};
pub use upload::{
    CompletePart, CompleteUpload, CreateUpload, ListParts, ListUploads, ListedPart, ListedUpload,
    PartsPage, PutPart, UploadInfo, UploadsPage,
};

use crate::{clock::Clock, meta::Meta, rng::Rng, stripes::Pool};

/// The object store: a cheap handle, cloned freely.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    meta: Arc<dyn Meta>,
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Store {
    /// A store on `meta` and the disks of `pool`.
    pub fn new(meta: Arc<dyn Meta>, pool: Arc<Pool>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { inner: Arc::new(Inner { meta, pool, clock, rng }) }
    }
}
