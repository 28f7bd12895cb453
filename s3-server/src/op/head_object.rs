//! `HeadObject`: what `GetObject` would answer, without the bytes.

use http::header;
use larder_storage::objects::{BucketName, ObjectKey};

use super::{Call, get_object};
use crate::{error::S3Result, http::Response, reply};

pub(super) async fn run(bucket: &BucketName, key: &ObjectKey, call: Call<'_>) -> S3Result<Response> {
    call.check_version_id()?;
    let (handle, selection) = get_object::select(bucket, key, &call).await?;
    let mut response = get_object::head(&call, handle.info(), &selection);
    let range = selection.bytes(handle.info().size);
    reply::set_number(response.headers_mut(), header::CONTENT_LENGTH, range.end - range.start);
    Ok(response)
}
