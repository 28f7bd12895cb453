//! `HeadObject`: what `GetObject` would answer, without the bytes.

use http::header;
use larder_storage::objects::{BucketName, ObjectKey};

use super::{Call, encryption::Reading, get_object};
use crate::{error::S3Result, http::Response, reply};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let (handle, selection) = get_object::select(bucket, key, Reading::Facts, &call).await?;
    let mut response = get_object::head(&call, handle.info(), &selection);
    let headers = response.headers_mut();
    get_object::describe_part(&call, &handle, &selection, headers).await?;
    get_object::describe_expiry(bucket, key, &call, handle.info(), headers).await;
    let range = selection.bytes(handle.info().size);
    reply::set_number(headers, header::CONTENT_LENGTH, range.end - range.start);
    Ok(response)
}
