//! Answers about multipart uploads.

use crate::checksum::Checksum;
use crate::checksum::multipart::ObjectChecksum;

use super::writer::Writer;
use super::{ListedChecksum, Owner};

/// `InitiateMultipartUploadResult`.
#[derive(Clone, Copy, Debug)]
pub struct InitiatedUpload<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key.
    pub key: &'a str,
    /// The upload.
    pub upload_id: &'a str,
}

impl InitiatedUpload<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::new("InitiateMultipartUploadResult", 256);
        w.text("Bucket", self.bucket);
        w.text("Key", self.key);
        w.text("UploadId", self.upload_id);
        w.finish()
    }
}

/// `CompleteMultipartUploadResult`.
#[derive(Clone, Copy, Debug)]
pub struct CompletedUpload<'a> {
    /// The URL of the object.
    pub location: &'a str,
    /// The bucket.
    pub bucket: &'a str,
    /// The key.
    pub key: &'a str,
    /// The entity tag, without quotes.
    pub etag: &'a str,
    /// The object's checksum, if it has one.
    pub checksum: Option<&'a ObjectChecksum>,
}

impl CompletedUpload<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::new("CompleteMultipartUploadResult", 512);
        w.text("Location", self.location);
        w.text("Bucket", self.bucket);
        w.text("Key", self.key);
        w.etag(self.etag);
        w.object_checksum(self.checksum);
        w.finish()
    }
}

/// A part in `ListParts`.
#[derive(Clone, Copy, Debug)]
pub struct ListedPart<'a> {
    /// Its number.
    pub number: u32,
    /// When it was written, in milliseconds since 1970.
    pub last_modified_ms: i64,
    /// Its entity tag, without quotes.
    pub etag: &'a str,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its checksum, if it has one.
    pub checksum: Option<Checksum>,
}

/// `ListPartsResult`.
#[derive(Clone, Debug)]
pub struct ListParts<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key.
    pub key: &'a str,
    /// Whether `encoding-type=url` was asked for.
    pub url_encode: bool,
    /// The upload.
    pub upload_id: &'a str,
    /// Who began it, and owns it.
    pub owner: &'a Owner,
    /// The storage class.
    pub storage_class: &'a str,
    /// The marker asked for.
    pub part_number_marker: u32,
    /// The last part of this page.
    pub next_part_number_marker: u32,
    /// The page size asked for.
    pub max_parts: u32,
    /// Whether there is more.
    pub is_truncated: bool,
    /// What the upload was begun with.
    pub checksum: Option<ListedChecksum>,
    /// The parts, ascending.
    pub parts: &'a [ListedPart<'a>],
}

impl ListParts<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::new("ListPartsResult", 768 + self.parts.len() * 256)
            .url_encoding(self.url_encode);
        w.text("Bucket", self.bucket);
        w.name_text("Key", self.key);
        w.text("UploadId", self.upload_id);
        w.owner("Initiator", Some(self.owner));
        w.owner("Owner", Some(self.owner));
        w.text("StorageClass", self.storage_class);
        w.value("PartNumberMarker", self.part_number_marker);
        w.value("NextPartNumberMarker", self.next_part_number_marker);
        w.value("MaxParts", self.max_parts);
        w.encoding_type();
        w.value("IsTruncated", self.is_truncated);
        w.listed_checksum(self.checksum);
        self.parts.iter().for_each(|p| p.write(&mut w));
        w.finish()
    }
}

impl ListedPart<'_> {
    fn write(&self, w: &mut Writer) {
        w.nested("Part", |w| {
            w.value("PartNumber", self.number);
            w.time("LastModified", self.last_modified_ms);
            w.etag(self.etag);
            w.value("Size", self.size_bytes);
            if let Some(checksum) = &self.checksum {
                w.text(checksum.algorithm().element(), &checksum.to_base64());
            }
        });
    }
}

/// An upload in `ListMultipartUploads`.
#[derive(Clone, Copy, Debug)]
pub struct ListedUpload<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its id.
    pub upload_id: &'a str,
    /// Who began it, and owns it.
    pub owner: &'a Owner,
    /// The storage class.
    pub storage_class: &'a str,
    /// When it was begun, in milliseconds since 1970.
    pub initiated_ms: i64,
    /// What it was begun with.
    pub checksum: Option<ListedChecksum>,
}

/// `ListMultipartUploadsResult`.
#[derive(Clone, Debug)]
pub struct ListUploads<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key marker asked for, may be empty.
    pub key_marker: &'a str,
    /// The upload marker asked for, may be empty.
    pub upload_id_marker: &'a str,
    /// Key and upload where the next page starts.
    pub next: Option<(&'a str, &'a str)>,
    /// The delimiter asked for.
    pub delimiter: Option<&'a str>,
    /// The prefix asked for, may be empty.
    pub prefix: &'a str,
    /// The page size asked for.
    pub max_uploads: u32,
    /// Whether `encoding-type=url` was asked for.
    pub url_encode: bool,
    /// Whether there is more.
    pub is_truncated: bool,
    /// The uploads, by key and then time.
    pub uploads: &'a [ListedUpload<'a>],
    /// The prefixes that end in the delimiter.
    pub common_prefixes: &'a [&'a str],
}

impl ListUploads<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::new("ListMultipartUploadsResult", 512 + self.uploads.len() * 512)
            .url_encoding(self.url_encode);
        let (next_key, next_upload) = self.next.unwrap_or_default();
        w.text("Bucket", self.bucket);
        w.name_text("KeyMarker", self.key_marker);
        w.text("UploadIdMarker", self.upload_id_marker);
        w.name_text("NextKeyMarker", next_key);
        w.text("NextUploadIdMarker", next_upload);
        w.name_text_if("Delimiter", self.delimiter);
        w.name_text("Prefix", self.prefix);
        w.value("MaxUploads", self.max_uploads);
        w.encoding_type();
        w.value("IsTruncated", self.is_truncated);
        self.uploads.iter().for_each(|u| u.write(&mut w));
        w.common_prefixes(self.common_prefixes);
        w.finish()
    }
}

impl ListedUpload<'_> {
    fn write(&self, w: &mut Writer) {
        w.nested("Upload", |w| {
            w.name_text("Key", self.key);
            w.text("UploadId", self.upload_id);
            w.owner("Initiator", Some(self.owner));
            w.owner("Owner", Some(self.owner));
            w.text("StorageClass", self.storage_class);
            w.time("Initiated", self.initiated_ms);
            w.listed_checksum(self.checksum);
        });
    }
}
