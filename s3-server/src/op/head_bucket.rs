//! `HeadBucket`: whether the bucket is there, and its region.

use http::HeaderName;
use larder_storage::objects::BucketName;

use super::Call;
use crate::{error::S3Result, http::Response, reply};

pub(super) async fn run(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let bucket = call.store.bucket(bucket).await?;
    let mut response = reply::empty();
    let headers = response.headers_mut();
    reply::set(headers, reply::X_AMZ_BUCKET_REGION, &bucket.region);
    reply::set(headers, HeaderName::from_static("x-amz-access-point-alias"), "false");
    Ok(response)
}
