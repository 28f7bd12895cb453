//! `GetObjectTagging`.

use larder_storage::objects::{BucketName, ObjectKey};

use super::{Call, metadata};
use crate::{error::S3Result, http::Response, reply, xml::write};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let version = call.version_id()?;
    let handle = call.store.object_version(bucket, key, version).await;
    let handle = handle.map_err(|error| call.missing(error, key))?;
    let tags = metadata::from_tags(&handle.info().tags)?;
    let mut response = reply::xml(write::tagging(&tags));
    reply::set_version(response.headers_mut(), handle.info().version);
    Ok(response)
}
