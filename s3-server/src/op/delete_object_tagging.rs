//! `DeleteObjectTagging`.

use larder_storage::objects::{BucketName, ObjectKey, Tags};

use super::Call;
use crate::{error::S3Result, http::Response, reply};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let version = call.version_id()?;
    let set = call
        .store
        .set_version_tags(bucket, key, version, Tags::default())
        .await;
    set.map_err(|error| call.missing(error, key))?;
    Ok(reply::no_content())
}
