//! `DeleteObject`: succeeds whether or not the object was there. Where there are versions it makes a delete marker, or deletes one version.

use http::HeaderValue;
use larder_storage::objects::{BucketName, ObjectKey};

use super::{Call, conditions, object_lock};
use crate::{error::S3Result, http::Response, reply};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let version = call.version_id()?;
    let conditions = conditions::of_delete(call.headers())?;
    let governance = object_lock::governance(&call, bucket).await?;
    let deleted = call
        .store
        .delete_version(bucket, key, version, conditions, governance)
        .await;
    let deleted = deleted.map_err(|error| call.missing(error, key))?;
    let mut response = reply::no_content();
    let headers = response.headers_mut();
    match call.query.get("versionId") {
        Some(named) if deleted.version.is_some() => {
            reply::set(headers, reply::X_AMZ_VERSION_ID, named);
        }
        _ => reply::set_version(headers, deleted.version),
    }
    if deleted.is_delete_marker {
        headers.insert(reply::X_AMZ_DELETE_MARKER, HeaderValue::from_static("true"));
    }
    Ok(response)
}
