//! `CreateMultipartUpload`.

use larder_storage::objects::{BucketName, CreateUpload, ObjectKey};

use super::{
    Call, bucket_lifecycle, call::check_unbuilt_headers, checksums, encryption::Encryption,
    metadata, object_acl, object_lock,
};
use crate::{
    checksum::multipart, error::S3Result, http::Response, reply, xml::write::InitiatedUpload,
};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    check_unbuilt_headers(call.headers())?;
    let acl = object_acl::of_new(bucket, &call).await?;
    let checksum = multipart::upload_algorithm(call.headers())?;
    let lock = object_lock::from_headers(call.headers())?;
    object_lock::check_write(&call, bucket, &lock, true).await?;
    let encryption = Encryption::of_new(bucket, key, &call).await?;
    let mut shown = http::HeaderMap::new();
    encryption.show(&mut shown);
    let create = CreateUpload {
        encryption: encryption.into_envelope(),
        bucket: bucket.clone(),
        key: key.clone(),
        headers: metadata::from_request(call.headers())?,
        tags: metadata::tags_from_request(call.headers())?,
        checksum: checksum
            .map(|(a, k)| (checksums::stored_algorithm(a), checksums::stored_kind(k))),
        lock,
        acl,
    };
    let id = call.store.create_upload(create).await?.to_string();
    let initiated = call.app.clock.unix_millis();
    let document = InitiatedUpload {
        bucket: bucket.as_str(),
        key: key.as_str(),
        upload_id: &id,
    };
    let mut response = reply::xml(document.to_xml());
    if let Some((algorithm, kind)) = checksum {
        let headers = response.headers_mut();
        reply::set(headers, reply::X_AMZ_CHECKSUM_ALGORITHM, algorithm.name());
        reply::set(headers, reply::X_AMZ_CHECKSUM_TYPE, kind.as_str());
    }
    let headers = response.headers_mut();
    headers.extend(shown);
    bucket_lifecycle::describe_upload(&call, bucket, key, initiated, headers).await;
    Ok(response)
}
