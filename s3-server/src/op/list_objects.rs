//! `ListObjects`, version 1.

use larder_storage::objects::BucketName;

use super::{
    Call,
    listing::{Asked, Page},
};
use crate::{error::S3Result, http::Response, reply, xml::write};

pub(super) async fn run(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let query = &call.query;
    let asked = Asked::of(query)?;
    let marker = query.get("marker").unwrap_or_default();
    let page = Page::read(&call, bucket, marker.to_owned(), asked.max_keys).await?;
    let owners = page.owners(bucket, &call).await?;
    let prefixes = page.prefixes();
    let document = write::ListObjects {
        listing: asked.answered(bucket, page.next.is_some(), &prefixes),
        marker,
        // Without a delimiter the last key of the page is the marker, and AWS says nothing.
        next_marker: page.next.as_deref().filter(|_| asked.delimiter().is_some()),
        objects: &page.contents(Some(&owners)),
    };
    Ok(reply::xml(document.to_xml()))
}
