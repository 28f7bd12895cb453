//! `PutObject`.

use http::header;
use larder_storage::objects::{BucketName, ETag, ObjectKey, PutObject, Written};

use super::{
    Call, bucket_lifecycle, call::check_unbuilt_headers, checksums, conditions,
    encryption::Encryption, get_object, ingest, metadata, object_acl, object_lock,
};
use crate::{checksum::Algorithm, error::S3Result, http::Response, reply};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    mut call: Call<'_>,
) -> S3Result<Response> {
    check_unbuilt_headers(call.headers())?;
    let acl = object_acl::of_new(bucket, &call).await?;
    let conditions = conditions::of_write(&call)?;
    let headers = metadata::from_request(call.headers())?;
    let tags = metadata::tags_from_request(call.headers())?;
    let lock = object_lock::from_headers(call.headers())?;
    let encryption = Encryption::of_new(bucket, key, &call).await?;
    let mut plan = ingest::Plan::of_data(&call)?;
    object_lock::check_write(&call, bucket, &lock, plan.has_integrity()).await?;
    if plan.algorithm().is_none() {
        plan = plan.computing(Algorithm::DEFAULT);
    }
    // A write that can only fail is told so before its body is sent.
    let checked = call.store.check_conditions(bucket, key, &conditions).await;
    checked.map_err(|error| get_object::missing(error, key))?;
    call.store.check_quota(bucket, Some(key), plan.size).await?;
    let writer = encryption.writer(bucket, Some(plan.size), &call).await?;
    let received = ingest::receive(&mut call, plan, writer).await?;
    let put = PutObject {
        bucket: bucket.clone(),
        key: key.clone(),
        etag: ETag {
            md5: encryption.tag(received.md5, &call),
            parts: 0,
        },
        checksum: received.checksum.or(received.computed),
        blob: received.blob,
        headers,
        tags: tags.clone(),
        conditions,
        lock,
        acl,
    };
    let written = call
        .store
        .put_object(put)
        .await
        .map_err(|e| get_object::missing(e, key))?;
    let mut response = answer(&written);
    let what = (written.size, written.modified_unix_millis);
    let headers = response.headers_mut();
    encryption.show(headers);
    bucket_lifecycle::describe(&call, (bucket, key), what, &tags, headers).await;
    Ok(response)
}

/// What every write of a body answers with.
pub(super) fn answer(written: &Written) -> Response {
    let mut response = reply::empty();
    let headers = response.headers_mut();
    headers.insert(header::ETAG, reply::quoted(&written.etag));
    checksums::set_stored(headers, written.checksum.as_ref());
    reply::set_version(headers, written.version);
    response
}
