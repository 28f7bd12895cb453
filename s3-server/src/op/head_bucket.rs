//! `HeadBucket`: whether the bucket is there, its region, and its profile where it has one of its own.

use http::HeaderName;
use larder_storage::objects::BucketName;

use super::Call;
use crate::{
    error::S3Result,
    http::Response,
    reply::{self, X_LARDER_PROFILE},
};

pub(super) async fn run(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let profile = call.store.profile(bucket).await?.asked;
    let bucket = call.store.bucket(bucket).await?;
    let mut response = reply::empty();
    let headers = response.headers_mut();
    reply::set(headers, reply::X_AMZ_BUCKET_REGION, &bucket.region);
    reply::set(
        headers,
        HeaderName::from_static("x-amz-access-point-alias"),
        "false",
    );
    if let Some(profile) = profile {
        let name = HeaderName::from_static(X_LARDER_PROFILE);
        reply::set(headers, name, &profile.to_string());
    }
    Ok(response)
}
