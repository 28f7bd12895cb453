//! `ListObjectsV2`.

use larder_storage::objects::BucketName;

use super::{Call, listing::{self, MAX_KEYS, Page}};
use crate::{error::S3Result, http::Response, reply, xml::write};

pub(super) async fn run(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let query = &call.query;
    let max_keys = listing::page_size(query, "max-keys", MAX_KEYS)?;
    let url_encode = listing::url_encode(query)?;
    let token = query.filled("continuation-token");
    let start_after = query.filled("start-after");
    let after = match token {
        Some(token) => listing::decode_token(token)?,
        None => start_after.unwrap_or_default().to_owned(),
    };
    let page = Page::read(&call, bucket, after, max_keys).await?;
    let owner = (query.get("fetch-owner") == Some("true")).then(listing::owner);
    let next_token = page.next.as_deref().map(listing::encode_token);
    let document = write::ListObjectsV2 {
        bucket: bucket.as_str(),
        prefix: query.get("prefix").unwrap_or_default(),
        continuation_token: token,
        next_continuation_token: next_token.as_deref(),
        start_after,
        max_keys,
        delimiter: query.filled("delimiter"),
        url_encode,
        is_truncated: page.next.is_some(),
        objects: &page.contents(owner.as_ref()),
        common_prefixes: &page.prefixes(),
    };
    Ok(reply::xml(document.to_xml()))
}
