//! `ListObjects`, version 1.

use larder_storage::objects::BucketName;

use super::{Call, listing::{self, MAX_KEYS, Page}};
use crate::{error::S3Result, http::Response, reply, xml::write};

pub(super) async fn run(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let query = &call.query;
    let max_keys = listing::page_size(query, "max-keys", MAX_KEYS)?;
    let url_encode = listing::url_encode(query)?;
    let marker = query.get("marker").unwrap_or_default();
    let delimiter = query.filled("delimiter");
    let page = Page::read(&call, bucket, marker.to_owned(), max_keys).await?;
    let owner = listing::owner();
    let document = write::ListObjects {
        bucket: bucket.as_str(),
        prefix: query.get("prefix").unwrap_or_default(),
        marker,
        // Without a delimiter the last key of the page is the marker, and AWS says nothing.
        next_marker: page.next.as_deref().filter(|_| delimiter.is_some()),
        max_keys,
        delimiter,
        url_encode,
        is_truncated: page.next.is_some(),
        objects: &page.contents(Some(&owner)),
        common_prefixes: &page.prefixes(),
    };
    Ok(reply::xml(document.to_xml()))
}
