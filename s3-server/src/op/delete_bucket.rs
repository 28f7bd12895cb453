//! `DeleteBucket`: only of an empty one.

use larder_storage::objects::BucketName;

use super::Call;
use crate::{error::S3Result, http::Response, reply};

pub(super) async fn run(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    call.store.delete_bucket(bucket).await?;
    Ok(reply::no_content())
}
