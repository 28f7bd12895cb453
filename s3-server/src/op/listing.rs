//! What all listings have in common.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use larder_storage::objects::{BucketName, ListObjects, ListedEntry, ListedObject, Listing};

use super::{Call, call::invalid_argument, checksums, metadata::STANDARD, owners::Owners};
use crate::{
    error::S3Result,
    route::Query,
    xml::write::{self, Owner},
};

/// Entries of a page at most.
pub(super) const MAX_KEYS: u32 = 1000;

/// The account that a bucket is of. Who owns what is in it: [`Owners`].
pub(super) async fn owner(call: &Call<'_>, bucket: &BucketName) -> S3Result<Owner> {
    let owner = call.store.bucket_owner(bucket).await?;
    Ok(call.app.accounts.owner(owner))
}

/// A time of the store for XML.
pub(super) fn millis(unix_millis: u64) -> i64 {
    i64::try_from(unix_millis).unwrap_or(i64::MAX)
}

/// A page size: what is asked for, at most `max`.
///
/// # Errors
/// `InvalidArgument` if it is no number of 0 or more.
pub(super) fn page_size(query: &Query, name: &'static str, max: u32) -> S3Result<u32> {
    page_size_of(name, query.filled(name), max)
}

/// The same, of a value that stands elsewhere.
///
/// # Errors
/// As [`page_size`].
pub(super) fn page_size_of(name: &'static str, text: Option<&str>, max: u32) -> S3Result<u32> {
    let Some(text) = text else {
        return Ok(max);
    };
    let message = match text.parse::<i32>().map(u32::try_from) {
        Ok(Ok(size)) => return Ok(size.min(max)),
        Ok(Err(_)) => format!("Argument {name} must be an integer between 0 and 2147483647"),
        Err(_) => format!("Provided {name} not an integer or within integer range"),
    };
    Err(invalid_argument(name, text, message))
}

/// Whether names are to be URL-encoded in the answer.
///
/// # Errors
/// `InvalidArgument` for an encoding other than `url`.
pub(super) fn url_encode(query: &Query) -> S3Result<bool> {
    match query.filled("encoding-type") {
        None => Ok(false),
        Some("url") => Ok(true),
        Some(other) => Err(invalid_argument(
            "encoding-type",
            other,
            "Invalid Encoding Method specified in Request",
        )),
    }
}

/// A continuation token: the key to go on after, in letters that need no escaping.
pub(super) fn encode_token(after: &str) -> String {
    URL_SAFE_NO_PAD.encode(after)
}

/// The reverse of [`encode_token`].
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn decode_token(token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let message = "The continuation token provided is incorrect";
    text.ok_or_else(|| invalid_argument("continuation-token", token, message))
}

/// One page of the objects of a bucket.
#[derive(Debug)]
pub(super) struct Page {
    /// Objects and their entity tags as text.
    pub(super) objects: Vec<(ListedObject, String)>,
    /// Prefixes that end in the delimiter.
    pub(super) common_prefixes: Vec<String>,
    /// Where the next page starts, if there is one.
    pub(super) next: Option<String>,
}

impl Page {
    /// Asks the store for a page after `after`.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn read(
        call: &Call<'_>,
        bucket: &BucketName,
        after: String,
        limit: u32,
    ) -> S3Result<Self> {
        if limit == 0 {
            call.store.bucket(bucket).await?;
            return Ok(Self {
                objects: Vec::new(),
                common_prefixes: Vec::new(),
                next: None,
            });
        }
        let request = ListObjects {
            bucket: bucket.clone(),
            prefix: call.query.get("prefix").unwrap_or_default().to_owned(),
            delimiter: call.query.get("delimiter").unwrap_or_default().to_owned(),
            after,
            limit: limit as usize,
        };
        Ok(Self::from(call.store.list_objects(request).await?))
    }

    /// The objects for XML.
    pub(super) fn contents<'a>(
        &'a self,
        owners: Option<&'a Owners>,
    ) -> Vec<write::ListedObject<'a>> {
        let show = |(object, etag): &'a (ListedObject, String)| write::ListedObject {
            key: object.key.as_str(),
            last_modified_ms: millis(object.modified_unix_millis),
            etag,
            checksum: checksums::listed(object.checksum),
            size_bytes: object.size,
            owner: owners.map(|owners| owners.of_object(object.owner)),
            storage_class: STANDARD,
        };
        self.objects.iter().map(show).collect()
    }

    /// Who owns its objects.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn owners(&self, bucket: &BucketName, call: &Call<'_>) -> S3Result<Owners> {
        let owners = self.objects.iter().map(|(object, _)| object.owner);
        Owners::of(bucket, call, owners).await
    }

    /// The prefixes for XML.
    pub(super) fn prefixes(&self) -> Vec<&str> {
        self.common_prefixes.iter().map(String::as_str).collect()
    }
}

/// What is asked of a listing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    query: &'a Query,
    /// Entries at most.
    pub(super) max_keys: u32,
    url_encode: bool,
}

impl<'a> Asked<'a> {
    /// Reads the parameters that all listings of objects have.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub(super) fn of(query: &'a Query) -> S3Result<Self> {
        Ok(Self {
            query,
            max_keys: page_size(query, "max-keys", MAX_KEYS)?,
            url_encode: url_encode(query)?,
        })
    }

    /// The delimiter, if there is one.
    pub(super) fn delimiter(&self) -> Option<&'a str> {
        self.query.filled("delimiter")
    }

    /// What all listings say, for XML.
    pub(super) fn answered(
        &self,
        bucket: &'a BucketName,
        is_truncated: bool,
        common_prefixes: &'a [&'a str],
    ) -> write::Listing<'a> {
        write::Listing {
            bucket: bucket.as_str(),
            prefix: self.query.get("prefix").unwrap_or_default(),
            max_keys: self.max_keys,
            delimiter: self.delimiter(),
            url_encode: self.url_encode,
            is_truncated,
            common_prefixes,
        }
    }
}

impl From<Listing> for Page {
    fn from(listing: Listing) -> Self {
        let (mut objects, mut common_prefixes) = (Vec::new(), Vec::new());
        for entry in listing.entries {
            match entry {
                ListedEntry::Object(object) => {
                    let etag = object.etag.to_string();
                    objects.push((object, etag));
                }
                ListedEntry::CommonPrefix(prefix) => common_prefixes.push(prefix),
            }
        }
        Self {
            objects,
            common_prefixes,
            next: listing.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(raw: &str) -> Query {
        Query::parse(Some(raw)).unwrap()
    }

    #[test]
    fn page_sizes_are_bounded() {
        let size = |raw| page_size(&query(raw), "max-keys", MAX_KEYS);
        assert_eq!(size("").unwrap(), 1000);
        assert_eq!(size("max-keys=").unwrap(), 1000);
        assert_eq!(size("max-keys=0").unwrap(), 0);
        assert_eq!(size("max-keys=7").unwrap(), 7);
        assert_eq!(size("max-keys=5000").unwrap(), 1000);
        for bad in ["max-keys=-1", "max-keys=x", "max-keys=99999999999"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_carry_any_key_and_wrong_ones_are_refused() {
        for key in ["a", "ü//😀", "a b+c%"] {
            assert_eq!(decode_token(&encode_token(key)).unwrap(), key);
        }
        assert!(decode_token("not a token").is_err());
    }

    #[test]
    fn only_url_is_an_encoding() {
        assert!(url_encode(&query("encoding-type=url")).unwrap());
        assert!(!url_encode(&query("")).unwrap());
        assert!(url_encode(&query("encoding-type=base64")).is_err());
    }
}
