//! `DeleteObject`: succeeds whether or not the object was there.

use larder_storage::objects::{BucketName, ObjectKey};

use super::{Call, conditions, get_object};
use crate::{error::S3Result, http::Response, reply};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    call.check_version_id()?;
    let conditions = conditions::of_delete(call.headers())?;
    let deleted = call.store.delete_object(bucket, key, conditions).await;
    deleted.map_err(|error| get_object::missing(error, key))?;
    Ok(reply::no_content())
}
