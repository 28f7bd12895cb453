//! `ListObjectsV2`.

use larder_storage::objects::BucketName;

use super::{
    Call,
    listing::{self, Asked, Page},
};
use crate::{error::S3Result, http::Response, reply, xml::write};

pub(super) async fn run(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let query = &call.query;
    let asked = Asked::of(query)?;
    // Both come back as they were sent, empty ones too.
    let token = query.get("continuation-token");
    let start_after = query.get("start-after");
    let after = match token.filter(|token| !token.is_empty()) {
        Some(token) => listing::decode_token(token)?,
        None => start_after.unwrap_or_default().to_owned(),
    };
    let page = Page::read(&call, bucket, after, asked.max_keys).await?;
    let owners = match query.get("fetch-owner") {
        Some("true") => Some(page.owners(bucket, &call).await?),
        _ => None,
    };
    let next_token = page.next.as_deref().map(listing::encode_token);
    let prefixes = page.prefixes();
    let document = write::ListObjectsV2 {
        listing: asked.answered(bucket, page.next.is_some(), &prefixes),
        continuation_token: token,
        next_continuation_token: next_token.as_deref(),
        start_after,
        objects: &page.contents(owners.as_ref()),
    };
    Ok(reply::xml(document.to_xml()))
}
