//! `GetObjectTagging`.

use larder_storage::objects::{BucketName, ObjectKey};

use super::{Call, get_object, metadata};
use crate::{error::S3Result, http::Response, reply, xml::write};

pub(super) async fn run(bucket: &BucketName, key: &ObjectKey, call: Call<'_>) -> S3Result<Response> {
    call.check_version_id()?;
    let handle = call.store.object(bucket, key).await;
    let handle = handle.map_err(|error| get_object::missing(error, key))?;
    let tags = metadata::from_tags(&handle.info().tags)?;
    Ok(reply::xml(write::tagging(&tags)))
}
