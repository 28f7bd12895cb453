//! `UploadPart`.

use larder_storage::objects::{
    BucketName, ETag, ObjectKey, PartNumber, PutPart, UploadId, UploadInfo,
};

use super::{
    Call, call::invalid_argument, checksums, encryption::Encryption, ingest, object_lock,
    put_object,
};
use crate::{
    checksum::Algorithm,
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    mut call: Call<'_>,
) -> S3Result<Response> {
    let (upload, number) = named(&call)?;
    let plan = ingest::Plan::of_data(&call)?;
    let info = find(bucket, key, upload, &call).await?;
    let is_locked = call.store.is_locked_when_new(bucket, &info.lock).await?;
    if is_locked && !plan.has_integrity() {
        return Err(object_lock::no_integrity("Put Part"));
    }
    let chosen = algorithm_of(&info, plan.algorithm())?;
    let plan = plan.computing(chosen.unwrap_or(Algorithm::DEFAULT));
    call.store.check_quota(bucket, None, plan.size).await?;
    let encryption = Encryption::of_part(bucket, key, &info, &call).await?;
    let part = (number, plan.size);
    let writer = encryption.part_writer(bucket, part, &call).await?;
    let received = ingest::receive(&mut call, plan, writer).await?;
    let (checksum, default_checksum) = match chosen {
        Some(_) => (received.computed, None),
        None => (received.checksum, received.computed),
    };
    let part = PutPart {
        bucket: bucket.clone(),
        key: key.clone(),
        upload,
        number,
        etag: ETag {
            md5: encryption.tag(received.md5, &call),
            parts: 0,
        },
        checksum,
        default_checksum,
        blob: received.blob,
    };
    let written = call
        .store
        .put_part(part)
        .await
        .map_err(|error| gone(error.into(), upload))?;
    let mut response = put_object::answer(&written);
    encryption.show(response.headers_mut());
    // The type is the whole object's and no part has one.
    response.headers_mut().remove(reply::X_AMZ_CHECKSUM_TYPE);
    Ok(response)
}

/// The upload and part number that the query names.
///
/// # Errors
/// [`S3Code::InvalidArgument`], [`S3Code::NoSuchUpload`].
pub(super) fn named(call: &Call<'_>) -> S3Result<(UploadId, PartNumber)> {
    let message = "This operation requires a part number";
    let number = call
        .part_number()?
        .ok_or_else(|| invalid_argument("partNumber", "", message))?;
    Ok((call.upload_id()?, number))
}

/// The upload, before any byte of its part is asked for.
///
/// # Errors
/// [`S3Code::NoSuchUpload`], [`S3Code::NoSuchBucket`].
pub(super) async fn find(
    bucket: &BucketName,
    key: &ObjectKey,
    upload: UploadId,
    call: &Call<'_>,
) -> S3Result<UploadInfo> {
    let info = call.store.upload(bucket, key, &upload).await;
    info.map_err(|error| gone(error.into(), upload))
}

/// The upload's algorithm, which is worked out for parts that come without a checksum, so that the whole has one.
/// An upload without takes parts with any, and the default is worked out beside it.
///
/// # Errors
/// [`S3Code::InvalidRequest`] where the part came with another.
pub(super) fn algorithm_of(
    info: &UploadInfo,
    sent: Option<Algorithm>,
) -> S3Result<Option<Algorithm>> {
    let wanted = info
        .checksum
        .map(|(algorithm, _)| checksums::algorithm(algorithm));
    match (wanted, sent) {
        (Some(wanted), Some(sent)) if wanted != sent => {
            let (wanted, sent) = (wanted.name().to_lowercase(), sent.name().to_lowercase());
            Err(S3Error::with_message(
                S3Code::InvalidRequest,
                format!(
                    "Checksum Type mismatch occurred, expected checksum Type: {wanted}, actual checksum Type: {sent}"
                ),
            ))
        }
        _ => Ok(wanted),
    }
}

/// A missing upload names itself.
pub(super) fn gone(error: S3Error, upload: UploadId) -> S3Error {
    match error.code() {
        S3Code::NoSuchUpload => error.element("UploadId", upload.to_string()),
        _ => error,
    }
}
