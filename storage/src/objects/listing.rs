//! Listing objects: a range scan, with one seek per common prefix.

use super::{
    BucketName, ChecksumAlgorithm, ChecksumKind, ETag, ObjectKey, ObjectOwner, Store, StoreError,
    keys,
    pages::Pages,
    record::{ObjectSummary, RecordError},
};

/// Which objects to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListObjects {
    /// Where.
    pub bucket: BucketName,
    /// What the keys begin with.
    pub prefix: String,
    /// Keys with this after the prefix are rolled up into one common prefix; empty: none are. Any length.
    pub delimiter: String,
    /// Where to start, exclusive: a key, a common prefix, or anything else. Empty: at the beginning.
    pub after: String,
    /// Entries at most.
    pub limit: usize,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// In order of key.
    pub entries: Vec<ListedEntry>,
    /// The [`ListObjects::after`] of the next page: the last key or common prefix of this one. `None`: this is the last.
    pub next: Option<String>,
}

/// An entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedEntry {
    /// An object.
    Object(ListedObject),
    /// What stands for all keys that begin with it, delimiter included.
    CommonPrefix(String),
}

impl ListedEntry {
    /// What it is sorted by.
    pub fn name(&self) -> &str {
        match self {
            Self::Object(object) => object.key.as_str(),
            Self::CommonPrefix(prefix) => prefix,
        }
    }
}

/// An object as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: ObjectKey,
    /// Its bytes.
    pub size: u64,
    /// Its entity tag.
    pub etag: ETag,
    /// When it was put, milliseconds since the Unix epoch.
    pub modified_unix_millis: u64,
    /// Which checksum it has.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    /// Who owns it, if that is not the bucket's owner.
    pub owner: Option<ObjectOwner>,
}

impl ListedObject {
    pub(super) fn new(name: &str, summary: &ObjectSummary) -> Result<Self, RecordError> {
        let ObjectSummary {
            size,
            modified_unix_millis,
            etag,
            checksum,
            owner,
            ..
        } = *summary;
        let key = ObjectKey::parse(name).map_err(|_| RecordError::BadKey)?;
        Ok(Self {
            key,
            size,
            etag,
            modified_unix_millis,
            checksum,
            owner,
        })
    }
}

impl Store {
    /// A page of the objects of a bucket. Each page sees every write that was acknowledged before it was asked for.
    ///
    /// An object whose record this version can't read (damaged, or of a later version) is left out: size, time and entity tag would have
    /// to be made up, and clients that compare them would act on that. Reading or writing it fails, so nothing of it is lost.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn list_objects(&self, request: ListObjects) -> Result<Listing, StoreError> {
        let bucket = self.open_bucket(&request.bucket).await?;
        let mut listing = Listing::default();
        if request.limit == 0 {
            return Ok(listing);
        }
        let base = keys::objects(bucket.id());
        let names = Names {
            prefix: &request.prefix,
            delimiter: &request.delimiter,
        };
        let from = [&base[..], &names.start(&request.after)].concat();
        let to = keys::successor(&[&base[..], request.prefix.as_bytes()].concat());
        let mut pages = Pages::new(&*self.inner.meta, from, to, names.expected(request.limit));
        let mut left_out = 0_u64;
        while let Some(entry) = pages.next().await? {
            let summary = ObjectSummary::decode(&entry.value);
            if summary.is_ok_and(|summary| summary.is_delete_marker) {
                continue;
            }
            if listing.entries.len() == request.limit {
                listing.next = listing.entries.last().map(|last| last.name().to_owned());
                break;
            }
            let name = entry
                .key
                .get(base.len()..)
                .and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or(RecordError::BadKey)?;
            if let Some(common) = names.common_prefix(name) {
                pages.seek(keys::successor(&[&base[..], common.as_bytes()].concat()));
                listing
                    .entries
                    .push(ListedEntry::CommonPrefix(common.to_owned()));
            } else {
                match summary.and_then(|summary| ListedObject::new(name, &summary)) {
                    Ok(object) => listing.entries.push(ListedEntry::Object(object)),
                    Err(error) => {
                        tracing::debug!(name, %error, "object left out of a listing");
                        left_out += 1;
                    }
                }
            }
        }
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "records that this version can't read are left out of a listing"
            );
        }
        Ok(listing)
    }
}

/// The names that a listing wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    pub(super) prefix: &'a str,
    pub(super) delimiter: &'a str,
}

impl Names<'_> {
    /// The common prefix that `name`, which begins with the prefix, is rolled up into.
    pub(super) fn common_prefix<'n>(&self, name: &'n str) -> Option<&'n str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = name.strip_prefix(self.prefix)?;
        let end = rest.find(self.delimiter)? + self.delimiter.len();
        name.get(..self.prefix.len() + end)
    }

    /// Bytes of the first name that may be listed after `after`, or something less with nothing between.
    pub(super) fn start(&self, after: &str) -> Vec<u8> {
        let start = match self.common_prefix(after) {
            Some(common) => keys::successor(common.as_bytes()),
            None if after.is_empty() => Vec::new(),
            None => [after.as_bytes(), &[0]].concat(),
        };
        start.max(self.prefix.as_bytes().to_vec())
    }

    /// Entries to fetch at first: with a delimiter few may be needed for many.
    pub(super) fn expected(&self, limit: usize) -> usize {
        if self.delimiter.is_empty() {
            limit
        } else {
            limit.min(100)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_prefixes_end_with_the_first_delimiter_after_the_prefix() {
        let names = |prefix, delimiter| Names { prefix, delimiter };
        assert_eq!(names("", "/").common_prefix("a/b/c"), Some("a/"));
        assert_eq!(names("a/", "/").common_prefix("a/b/c"), Some("a/b/"));
        assert_eq!(names("a", "/").common_prefix("a/b/c"), Some("a/"));
        assert_eq!(names("a/", "/").common_prefix("a//c"), Some("a//"));
        assert_eq!(names("a/b/c", "/").common_prefix("a/b/c"), None);
        assert_eq!(names("", "").common_prefix("a/b"), None);
        assert_eq!(names("", "--ä").common_prefix("a-b--äc"), Some("a-b--ä"));
        assert_eq!(names("x", "/").common_prefix("a/b"), None);
    }

    #[test]
    fn a_listing_starts_after_the_marker_and_past_its_common_prefix() {
        let names = Names {
            prefix: "p/",
            delimiter: "/",
        };
        assert_eq!(names.start(""), b"p/");
        assert_eq!(names.start("a"), b"p/");
        assert_eq!(names.start("p/"), b"p/\0");
        assert_eq!(names.start("p/a"), b"p/a\0");
        assert_eq!(names.start("p/a/"), b"p/a0");
        assert_eq!(names.start("p/a/b/c"), b"p/a0");
        assert_eq!(names.start("q"), b"q\0");
    }
}
