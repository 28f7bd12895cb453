//! `CompleteMultipartUpload`.

use http::{HeaderMap, header};
use larder_storage::objects::{
    BucketName, Checksum as StoredChecksum, CompletePart, CompleteUpload, ObjectKey, PartNumber,
    StoreError, UploadInfo, Written,
};

use super::{
    Call, bucket_lifecycle,
    call::{invalid_argument, text},
    checksums, conditions, encryption, small_body,
    upload_part::gone,
};
use crate::{
    checksum::{Algorithm, Checksum, ChecksumType},
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::{
        parse::{self, MAX_COMPLETE_BYTES, complete_multipart_upload},
        write::{CompletedUpload, url_encode},
    },
};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    mut call: Call<'_>,
) -> S3Result<Response> {
    let upload = call.upload_id()?;
    let conditions = conditions::of_write(&call)?;
    let expected_size = expected_size(call.headers())?;
    // An upload that is completed already may be completed again by a client that lost the answer:
    // the store decides.
    let info = match call.store.upload(bucket, key, &upload).await {
        Ok(info) => Some(info),
        Err(StoreError::NoSuchUpload) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(info) = &info {
        encryption::check_completion(bucket, key, info, &call).await?;
    }
    check_type(call.headers(), info.as_ref())?;
    let checksum = expected_checksum(call.headers(), info.as_ref())?;
    let body = small_body::read_unchecked(&mut call, MAX_COMPLETE_BYTES).await?;
    let parts = complete_multipart_upload(&body)?;
    let complete = CompleteUpload {
        bucket: bucket.clone(),
        key: key.clone(),
        upload,
        parts: parts.iter().map(part).collect::<S3Result<_>>()?,
        expected_size,
        checksum,
        conditions,
    };
    let written = call
        .store
        .complete_upload(complete, &checksums::combine)
        .await;
    let written = written.map_err(|error| gone(error.into(), upload))?;
    let mut response = answer(bucket, key, &call, &written);
    let envelope = info.as_ref().and_then(|info| info.encryption.as_deref());
    encryption::describe(envelope, &call, response.headers_mut());
    let tags = info.map(|info| info.tags).unwrap_or_default();
    let what = (written.size, written.modified_unix_millis);
    let headers = response.headers_mut();
    bucket_lifecycle::describe(&call, (bucket, key), what, &tags, headers).await;
    Ok(response)
}

fn part(part: &parse::CompletePart) -> S3Result<CompletePart> {
    let invalid = || {
        S3Error::new(S3Code::InvalidPart)
            .element("PartNumber", part.number.to_string())
            .element("ETag", part.etag.as_str())
    };
    let number = PartNumber::new(part.number).ok_or_else(invalid)?;
    let etag = part.etag.parse().map_err(|_| invalid())?;
    let checksum = match part.checksums.first() {
        None => None,
        Some(Ok(checksum)) => Some(checksums::to_stored(checksum)),
        Some(Err(_)) => return Err(invalid()),
    };
    Ok(CompletePart {
        number,
        etag,
        checksum,
    })
}

fn expected_size(headers: &HeaderMap) -> S3Result<Option<u64>> {
    const NAME: &str = "x-amz-mp-object-size";
    let Some(value) = text(headers, NAME) else {
        return Ok(None);
    };
    let message = "The value of x-amz-mp-object-size must be a number of bytes";
    value
        .parse()
        .map(Some)
        .map_err(|_| invalid_argument(NAME, value, message))
}

/// A type that is named here must be the one that the upload was begun with.
fn check_type(headers: &HeaderMap, info: Option<&UploadInfo>) -> S3Result<()> {
    let Some(sent) = text(headers, reply::X_AMZ_CHECKSUM_TYPE) else {
        return Ok(());
    };
    let sent = ChecksumType::parse(sent)?;
    match info.and_then(|info| checksums::listed(info.checksum)) {
        Some((_, begun)) if begun != sent => {
            let (begun, sent) = (begun.as_str(), sent.as_str());
            let message = format!(
                "The upload was created using the {begun} checksum mode. The complete request says {sent}."
            );
            Err(S3Error::with_message(S3Code::BadDigest, message))
        }
        _ => Ok(()),
    }
}

/// The checksum that the whole must have; a composite one may carry its number of parts.
fn expected_checksum(
    headers: &HeaderMap,
    info: Option<&UploadInfo>,
) -> S3Result<Option<StoredChecksum>> {
    let sent = |&a: &Algorithm| text(headers, a.header()).map(|value| (a, value));
    let Some((algorithm, value)) = Algorithm::ALL.iter().find_map(sent) else {
        return Ok(None);
    };
    let kind = kind(headers, algorithm, info)?;
    let (value, parts) = value.split_once('-').unwrap_or((value, "0"));
    let bad = || {
        let message = format!("Value for {} header is invalid.", algorithm.header());
        S3Error::with_message(S3Code::InvalidRequest, message)
    };
    let checksum = Checksum::from_base64(algorithm, value).ok_or_else(bad)?;
    let parts = parts.parse().map_err(|_| bad())?;
    Ok(Some(StoredChecksum {
        kind: checksums::stored_kind(kind),
        parts,
        ..checksums::to_stored(&checksum)
    }))
}

/// What the request says, else what the upload was begun with.
fn kind(
    headers: &HeaderMap,
    algorithm: Algorithm,
    info: Option<&UploadInfo>,
) -> S3Result<ChecksumType> {
    if let Some(sent) = text(headers, reply::X_AMZ_CHECKSUM_TYPE) {
        return Ok(ChecksumType::parse(sent)?);
    }
    let begun = info.and_then(|info| checksums::listed(info.checksum));
    Ok(begun.map_or(algorithm.default_type(), |(_, kind)| kind))
}

fn answer(bucket: &BucketName, key: &ObjectKey, call: &Call<'_>, written: &Written) -> Response {
    let host = call
        .header(header::HOST)
        .or(call.parts.uri.host())
        .unwrap_or_default();
    let checksum = written.checksum.as_ref().and_then(checksums::from_stored);
    let document = CompletedUpload {
        location: &format!(
            "{}://{host}/{}/{}",
            call.client().scheme(),
            bucket.as_str(),
            url_encode(key.as_str())
        ),
        bucket: bucket.as_str(),
        key: key.as_str(),
        etag: &written.etag.to_string(),
        checksum: checksum.as_ref(),
    };
    let mut response = reply::xml(document.to_xml());
    reply::set_version(response.headers_mut(), written.version);
    response
}

#[cfg(test)]
mod tests {
    use larder_storage::objects::ChecksumKind;

    use super::*;

    #[test]
    fn the_checksum_of_the_whole_may_carry_its_number_of_parts() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-checksum-crc32", "AAAAAQ==-2".parse().unwrap());
        let checksum = expected_checksum(&headers, None).unwrap().unwrap();
        assert_eq!(
            (checksum.kind, checksum.parts),
            (ChecksumKind::Composite, 2)
        );
        assert_eq!(checksum.value, [0, 0, 0, 1]);
        headers.insert("x-amz-checksum-type", "FULL_OBJECT".parse().unwrap());
        headers.insert("x-amz-checksum-crc32", "AAAAAQ==".parse().unwrap());
        let checksum = expected_checksum(&headers, None).unwrap().unwrap();
        assert_eq!(
            (checksum.kind, checksum.parts),
            (ChecksumKind::FullObject, 0)
        );
        headers.insert("x-amz-checksum-crc32", "AAAA".parse().unwrap());
        assert!(expected_checksum(&headers, None).is_err());
        assert_eq!(expected_checksum(&HeaderMap::new(), None).unwrap(), None);
    }
}
