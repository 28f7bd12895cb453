//! `AbortMultipartUpload`.

use larder_storage::objects::{BucketName, ObjectKey};

use super::{Call, upload_part::gone};
use crate::{error::S3Result, http::Response, reply};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let upload = call.upload_id()?;
    let aborted = call.store.abort_upload(bucket, key, &upload).await;
    aborted.map_err(|error| gone(error.into(), upload))?;
    Ok(reply::no_content())
}
