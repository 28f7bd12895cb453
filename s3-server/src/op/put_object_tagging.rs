//! `PutObjectTagging`: replaces all tags.

use larder_storage::objects::{BucketName, ObjectKey};

use super::{Call, authorize, metadata, small_body};
use crate::{
    error::S3Result,
    http::Response,
    reply,
    xml::parse::{MAX_SMALL_BYTES, tagging},
};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    mut call: Call<'_>,
) -> S3Result<Response> {
    let version = call.version_id()?;
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let tags = metadata::to_tags(tagging(&body)?);
    authorize::check_tags(bucket, key, &tags, &call).await?;
    let set = call
        .store
        .set_version_tags(bucket, key, version, tags)
        .await;
    set.map_err(|error| call.missing(error, key))?;
    Ok(reply::empty())
}
