//! `DeleteObjectTagging`.

use larder_storage::objects::{BucketName, ObjectKey, Tags};

use super::{Call, get_object};
use crate::{error::S3Result, http::Response, reply};

pub(super) async fn run(bucket: &BucketName, key: &ObjectKey, call: Call<'_>) -> S3Result<Response> {
    call.check_version_id()?;
    let set = call.store.set_tags(bucket, key, Tags::default()).await;
    set.map_err(|error| get_object::missing(error, key))?;
    Ok(reply::no_content())
}
