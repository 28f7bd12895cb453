//! Answers about single objects, and of `DeleteObjects`.

use crate::checksum::Checksum;
use crate::checksum::multipart::ObjectChecksum;
use crate::error::S3Error;

use super::super::TagSet;
use super::writer::Writer;

/// What a copy gave.
#[derive(Clone, Copy, Debug)]
pub struct CopyResult<'a> {
    /// When the copy was written, in milliseconds since 1970.
    pub last_modified_ms: i64,
    /// Its entity tag, without quotes.
    pub etag: &'a str,
    /// Its checksum, if it has one.
    pub checksum: Option<&'a ObjectChecksum>,
}

/// `CopyObjectResult`.
pub fn copy_object_result(result: &CopyResult<'_>) -> String {
    let mut w = Writer::new("CopyObjectResult", 256);
    w.time("LastModified", result.last_modified_ms);
    w.etag(result.etag);
    w.object_checksum(result.checksum);
    w.finish()
}

/// `CopyPartResult`.
pub fn copy_part_result(last_modified_ms: i64, etag: &str, checksum: Option<&Checksum>) -> String {
    let mut w = Writer::new("CopyPartResult", 256);
    w.time("LastModified", last_modified_ms);
    w.etag(etag);
    if let Some(checksum) = checksum {
        w.text(checksum.algorithm().element(), &checksum.to_base64());
    }
    w.finish()
}

/// An object that `DeleteObjects` deleted, or that was not there.
#[derive(Clone, Copy, Debug)]
pub struct DeletedObject<'a> {
    /// Its key.
    pub key: &'a str,
    /// The version that was named.
    pub version_id: Option<&'a str>,
    /// The version of the delete marker that was made or deleted.
    pub delete_marker_version_id: Option<&'a str>,
}

/// An object that `DeleteObjects` could not delete.
#[derive(Clone, Copy, Debug)]
pub struct FailedDelete<'a> {
    /// Its key.
    pub key: &'a str,
    /// The version that was named.
    pub version_id: Option<&'a str>,
    /// Why.
    pub error: &'a S3Error,
}

/// What became of one object.
#[derive(Clone, Copy, Debug)]
pub enum DeleteOutcome<'a> {
    /// It is gone.
    Deleted(DeletedObject<'a>),
    /// It is not.
    Failed(FailedDelete<'a>),
}

/// `DeleteResult`. A quiet one holds only the failures.
pub fn delete_result(outcomes: &[DeleteOutcome<'_>], quiet: bool) -> String {
    let mut w = Writer::new("DeleteResult", 128 + outcomes.len() * 128);
    for outcome in outcomes {
        match outcome {
            DeleteOutcome::Deleted(_) if quiet => {}
            DeleteOutcome::Deleted(deleted) => deleted.write(&mut w),
            DeleteOutcome::Failed(failed) => failed.write(&mut w),
        }
    }
    w.finish()
}

impl DeletedObject<'_> {
    fn write(&self, w: &mut Writer) {
        w.nested("Deleted", |w| {
            w.text("Key", self.key);
            w.text_if("VersionId", self.version_id);
            if let Some(marker) = self.delete_marker_version_id {
                w.value("DeleteMarker", true);
                w.text("DeleteMarkerVersionId", marker);
            }
        });
    }
}

impl FailedDelete<'_> {
    fn write(&self, w: &mut Writer) {
        w.nested("Error", |w| {
            w.text("Key", self.key);
            w.text_if("VersionId", self.version_id);
            w.text("Code", self.error.code().as_str());
            w.text("Message", self.error.message());
        });
    }
}

/// A part in `GetObjectAttributes`.
#[derive(Clone, Copy, Debug)]
pub struct AttributePart {
    /// Its number.
    pub number: u32,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its checksum, if it has one.
    pub checksum: Option<Checksum>,
}

/// The parts in `GetObjectAttributes`.
#[derive(Clone, Debug)]
pub struct AttributeParts<'a> {
    /// How many the object has.
    pub total_count: u32,
    /// The marker asked for.
    pub part_number_marker: u32,
    /// The last part of this page.
    pub next_part_number_marker: u32,
    /// The page size asked for.
    pub max_parts: u32,
    /// Whether there is more.
    pub is_truncated: bool,
    /// The parts; AWS lists them only where they have checksums.
    pub parts: &'a [AttributePart],
}

/// `GetObjectAttributesResponse`: only what was asked for.
#[derive(Clone, Debug, Default)]
pub struct ObjectAttributes<'a> {
    /// The entity tag, without quotes, and written without them.
    pub etag: Option<&'a str>,
    /// The checksum.
    pub checksum: Option<&'a ObjectChecksum>,
    /// The parts.
    pub parts: Option<AttributeParts<'a>>,
    /// The storage class.
    pub storage_class: Option<&'a str>,
    /// The size in bytes.
    pub size_bytes: Option<u64>,
}

impl ObjectAttributes<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::new("GetObjectAttributesResponse", 512);
        w.text_if("ETag", self.etag);
        if let Some(checksum) = self.checksum {
            // AWS leaves the number of parts out here.
            w.nested("Checksum", |w| {
                w.text(
                    checksum.value.algorithm().element(),
                    &checksum.value.to_base64(),
                );
                w.text("ChecksumType", checksum.kind.as_str());
            });
        }
        if let Some(parts) = &self.parts {
            w.nested("ObjectParts", |w| parts.write(w));
        }
        w.text_if("StorageClass", self.storage_class);
        if let Some(size) = self.size_bytes {
            w.value("ObjectSize", size);
        }
        w.finish()
    }
}

impl AttributeParts<'_> {
    fn write(&self, w: &mut Writer) {
        w.value("PartsCount", self.total_count);
        w.value("PartNumberMarker", self.part_number_marker);
        w.value("NextPartNumberMarker", self.next_part_number_marker);
        w.value("MaxParts", self.max_parts);
        w.value("IsTruncated", self.is_truncated);
        for part in self.parts {
            w.nested("Part", |w| {
                w.value("PartNumber", part.number);
                w.value("Size", part.size_bytes);
                if let Some(checksum) = &part.checksum {
                    w.text(checksum.algorithm().element(), &checksum.to_base64());
                }
            });
        }
    }
}

/// `Tagging`.
pub fn tagging(tags: &TagSet) -> String {
    let mut w = Writer::new("Tagging", 128 + tags.as_slice().len() * 128);
    w.nested("TagSet", |w| {
        for tag in tags.as_slice() {
            w.nested("Tag", |w| {
                w.text("Key", &tag.key);
                w.text("Value", &tag.value);
            });
        }
    });
    w.finish()
}

/// `PostResponse`, which an upload by form gets that asks for 201.
#[derive(Clone, Copy, Debug)]
pub struct PostedObject<'a> {
    /// Its address.
    pub location: &'a str,
    /// Its bucket.
    pub bucket: &'a str,
    /// Its key.
    pub key: &'a str,
    /// Its entity tag, without quotes.
    pub etag: &'a str,
}

impl PostedObject<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::bare("PostResponse");
        w.text("Location", self.location);
        w.text("Bucket", self.bucket);
        w.text("Key", self.key);
        w.etag(self.etag);
        w.finish()
    }
}
