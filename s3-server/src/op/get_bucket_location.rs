//! `GetBucketLocation`.

use larder_storage::objects::BucketName;

use super::Call;
use crate::{error::S3Result, http::Response, reply, xml::write};

pub(super) async fn run(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let bucket = call.store.bucket(bucket).await?;
    Ok(reply::xml(write::location_constraint(&bucket.region)))
}
