//! `UploadPartCopy`: a part whose bytes are those of an object, or a range of them.

use larder_storage::objects::{BucketName, ETag, ObjectKey, PartNumber, PutPart};

use super::{
    Call, checksums,
    copy_source::{Copied, Source, check_copy_size, retry, unless_replaced},
    encryption::Encryption,
    listing, range,
    upload_part::{algorithm_of, find, gone, named},
};
use crate::{
    checksum::Algorithm, error::S3Result, http::Response, reply, xml::write::copy_part_result,
};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let (upload, number) = named(&call)?;
    let info = find(bucket, key, upload, &call).await?;
    let chosen = algorithm_of(&info, None)?;
    let encryption = Encryption::of_part(bucket, key, &info, &call).await?;
    let algorithm = chosen.unwrap_or(Algorithm::DEFAULT);
    let (copied, source) =
        retry(|| attempt(bucket, (number, &encryption), algorithm, &call)).await?;
    let checksum = checksums::to_stored(&copied.checksum);
    let (checksum, default_checksum) = match chosen {
        Some(_) => (Some(checksum), None),
        None => (None, Some(checksum)),
    };
    let part = PutPart {
        bucket: bucket.clone(),
        key: key.clone(),
        upload,
        number,
        blob: copied.blob,
        etag: ETag {
            md5: encryption.tag(copied.md5, &call),
            parts: 0,
        },
        checksum,
        default_checksum,
    };
    let written = call.store.put_part(part).await;
    let written = written.map_err(|error| gone(error.into(), upload))?;
    let modified = listing::millis(written.modified_unix_millis);
    let shown = chosen.map(|_| &copied.checksum);
    let document = copy_part_result(modified, &written.etag.to_string(), shown);
    let mut response = reply::xml(document);
    encryption.show(response.headers_mut());
    source.set_version(response.headers_mut());
    Ok(response)
}

/// `None`: the source was replaced meanwhile.
async fn attempt(
    bucket: &BucketName,
    (number, encryption): (PartNumber, &Encryption),
    algorithm: Algorithm,
    call: &Call<'_>,
) -> S3Result<Option<(Copied, Source)>> {
    let source = Source::find(call).await?;
    let size = source.handle.info().size;
    let range = match call.header("x-amz-copy-source-range") {
        Some(value) => range::parse_copy_source(value, size)?,
        None => 0..size,
    };
    let length = range.end - range.start;
    check_copy_size(length)?;
    let writer = encryption
        .part_writer(bucket, (number, length), call)
        .await?;
    let copied = source.copy(call, range, writer, algorithm).await;
    Ok(unless_replaced(copied)?.map(|copied| (copied, source)))
}
