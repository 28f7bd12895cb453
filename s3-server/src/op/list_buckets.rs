//! `ListBuckets`.

use larder_storage::objects::Bucket;

use super::{Call, authorize, call::invalid_argument, listing};
use crate::{error::S3Result, http::Response, reply, route::Query, xml::write};

/// What AWS gives where no page size is asked for, and the most that may be asked for.
const MAX_BUCKETS: u32 = 10_000;

pub(super) async fn run(call: Call<'_>) -> S3Result<Response> {
    let account = authorize::account(&call)?;
    let limit = page_size(&call.query)? as usize;
    let prefix = call.query.get("prefix");
    let after = call
        .query
        .filled("continuation-token")
        .map(listing::decode_token)
        .transpose()?;
    let mut buckets = call
        .store
        .list_buckets(
            Some(account),
            prefix.unwrap_or_default(),
            after.as_deref(),
            limit + 1,
        )
        .await?;
    let is_truncated = buckets.len() > limit;
    buckets.truncate(limit);
    let token = buckets
        .last()
        .filter(|_| is_truncated)
        .map(|b| listing::encode_token(b.name.as_str()));
    let with_region = [
        "max-buckets",
        "prefix",
        "bucket-region",
        "continuation-token",
    ]
    .iter()
    .any(|parameter| call.query.has(parameter));
    if let Some(region) = call.query.filled("bucket-region") {
        buckets.retain(|bucket| bucket.region == region);
    }
    let shown: Vec<_> = buckets
        .iter()
        .map(|bucket| show(bucket, with_region))
        .collect();
    let document = write::ListBuckets {
        owner: &call.app.accounts.owner(account),
        buckets: &shown,
        continuation_token: token.as_deref(),
        prefix,
    };
    Ok(reply::xml(document.to_xml()))
}

/// AWS has a range for it, where the pages of other listings are only cut.
fn page_size(query: &Query) -> S3Result<u32> {
    const NAME: &str = "max-buckets";
    let Some(asked) = query.filled(NAME) else {
        return Ok(MAX_BUCKETS);
    };
    let size = listing::page_size_of(NAME, Some(asked), u32::MAX)?;
    if (1..=MAX_BUCKETS).contains(&size) {
        return Ok(size);
    }
    let message = format!("Argument {NAME} must be an integer between 1 and {MAX_BUCKETS}");
    Err(invalid_argument(NAME, asked, message))
}

fn show(bucket: &Bucket, with_region: bool) -> write::Bucket<'_> {
    write::Bucket {
        name: bucket.name.as_str(),
        created_ms: listing::millis(bucket.created_unix_millis),
        region: with_region.then_some(bucket.region.as_str()),
    }
}
