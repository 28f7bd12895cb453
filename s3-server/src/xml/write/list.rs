//! Listings of objects and versions.

use super::writer::Writer;
use super::{ListedChecksum, Owner};

/// A guess of what one entry takes beside its key, in bytes.
const ENTRY_BYTES: usize = 320;

/// An object in a listing.
#[derive(Clone, Debug)]
pub struct ListedObject<'a> {
    /// Its key.
    pub key: &'a str,
    /// When it was written, in milliseconds since 1970.
    pub last_modified_ms: i64,
    /// Its entity tag, without quotes.
    pub etag: &'a str,
    /// Its checksum, if it has one.
    pub checksum: Option<ListedChecksum>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its owner; in version 2 only where asked for.
    pub owner: Option<&'a Owner>,
    /// Its storage class.
    pub storage_class: &'a str,
}

impl ListedObject<'_> {
    fn write(&self, w: &mut Writer) {
        w.open("Contents");
        w.name_text("Key", self.key);
        self.write_facts(w);
        w.close("Contents");
    }

    fn write_facts(&self, w: &mut Writer) {
        w.time("LastModified", self.last_modified_ms);
        w.etag(self.etag);
        w.listed_checksum(self.checksum);
        w.value("Size", self.size_bytes);
        w.owner("Owner", self.owner);
        w.text("StorageClass", self.storage_class);
    }
}

/// What was asked of a listing, and what all listings say of their page.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The prefix asked for, may be empty.
    pub prefix: &'a str,
    /// The page size asked for.
    pub max_keys: u32,
    /// The delimiter asked for.
    pub delimiter: Option<&'a str>,
    /// Whether `encoding-type=url` was asked for.
    pub url_encode: bool,
    /// Whether there is more.
    pub is_truncated: bool,
    /// The prefixes that end in the delimiter.
    pub common_prefixes: &'a [&'a str],
}

impl Listing<'_> {
    fn begin(&self, root: &'static str, entries: usize) -> Writer {
        let mut w = Writer::new(root, 512 + entries * ENTRY_BYTES).url_encoding(self.url_encode);
        w.text("Name", self.bucket);
        w.name_text("Prefix", self.prefix);
        w
    }

    fn page(&self, w: &mut Writer) {
        w.value("MaxKeys", self.max_keys);
        w.name_text_if("Delimiter", self.delimiter);
        w.encoding_type();
        w.value("IsTruncated", self.is_truncated);
    }

    fn end(&self, mut w: Writer) -> String {
        w.common_prefixes(self.common_prefixes);
        w.finish()
    }
}

/// `ListBucketResult` of `ListObjects`, version 1.
#[derive(Clone, Debug)]
pub struct ListObjects<'a> {
    /// What all listings say.
    pub listing: Listing<'a>,
    /// The marker asked for, may be empty.
    pub marker: &'a str,
    /// Where the next page starts; only with a delimiter and a truncated page.
    pub next_marker: Option<&'a str>,
    /// The objects.
    pub objects: &'a [ListedObject<'a>],
}

impl ListObjects<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let mut w = self.listing.begin("ListBucketResult", self.objects.len());
        w.name_text("Marker", self.marker);
        w.name_text_if("NextMarker", self.next_marker);
        self.listing.page(&mut w);
        self.objects.iter().for_each(|o| o.write(&mut w));
        self.listing.end(w)
    }
}

/// `ListBucketResult` of `ListObjectsV2`.
#[derive(Clone, Debug)]
pub struct ListObjectsV2<'a> {
    /// What all listings say.
    pub listing: Listing<'a>,
    /// The token asked for.
    pub continuation_token: Option<&'a str>,
    /// The token of the next page.
    pub next_continuation_token: Option<&'a str>,
    /// The start asked for.
    pub start_after: Option<&'a str>,
    /// The objects.
    pub objects: &'a [ListedObject<'a>],
}

impl ListObjectsV2<'_> {
    /// The document. `KeyCount` is the number of objects and prefixes in it.
    pub fn to_xml(&self) -> String {
        let mut w = self.listing.begin("ListBucketResult", self.objects.len());
        w.text_if("ContinuationToken", self.continuation_token);
        w.text_if("NextContinuationToken", self.next_continuation_token);
        w.name_text_if("StartAfter", self.start_after);
        w.value(
            "KeyCount",
            self.objects.len() + self.listing.common_prefixes.len(),
        );
        self.listing.page(&mut w);
        self.objects.iter().for_each(|o| o.write(&mut w));
        self.listing.end(w)
    }
}

/// What stands behind a version.
#[derive(Clone, Debug)]
pub enum VersionBody<'a> {
    /// An object; its `key` is the version's.
    Object(ListedObject<'a>),
    /// A delete marker.
    DeleteMarker {
        /// When it was made, in milliseconds since 1970.
        last_modified_ms: i64,
        /// Who made it.
        owner: Option<&'a Owner>,
    },
}

/// A version in a listing.
#[derive(Clone, Debug)]
pub struct ListedVersion<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its id; `null` in buckets without versioning.
    pub version_id: &'a str,
    /// Whether it is the newest of its key.
    pub is_latest: bool,
    /// The object or marker.
    pub body: VersionBody<'a>,
}

impl ListedVersion<'_> {
    fn write(&self, w: &mut Writer) {
        let name = match self.body {
            VersionBody::Object(_) => "Version",
            VersionBody::DeleteMarker { .. } => "DeleteMarker",
        };
        w.nested(name, |w| {
            w.name_text("Key", self.key);
            w.text("VersionId", self.version_id);
            w.value("IsLatest", self.is_latest);
            match &self.body {
                VersionBody::Object(object) => object.write_facts(w),
                VersionBody::DeleteMarker {
                    last_modified_ms,
                    owner,
                } => {
                    w.time("LastModified", *last_modified_ms);
                    w.owner("Owner", *owner);
                }
            }
        });
    }
}

/// `ListVersionsResult`.
#[derive(Clone, Debug)]
pub struct ListVersions<'a> {
    /// What all listings say.
    pub listing: Listing<'a>,
    /// The key marker asked for, may be empty.
    pub key_marker: &'a str,
    /// The version marker asked for, may be empty.
    pub version_id_marker: &'a str,
    /// Key and version where the next page starts.
    pub next: Option<(&'a str, &'a str)>,
    /// The versions and markers, newest first within a key.
    pub versions: &'a [ListedVersion<'a>],
}

impl ListVersions<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let mut w = self
            .listing
            .begin("ListVersionsResult", self.versions.len());
        w.name_text("KeyMarker", self.key_marker);
        w.text("VersionIdMarker", self.version_id_marker);
        w.name_text_if("NextKeyMarker", self.next.map(|(key, _)| key));
        w.text_if("NextVersionIdMarker", self.next.map(|(_, version)| version));
        self.listing.page(&mut w);
        self.versions.iter().for_each(|v| v.write(&mut w));
        self.listing.end(w)
    }
}
