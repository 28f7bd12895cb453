//! `UploadPartCopy`: a part whose bytes are those of an object, or a range of them.

use larder_storage::objects::{BucketName, ETag, ObjectKey, PutPart};

use super::{
    Call, checksums,
    copy_source::{Copied, Source},
    ingest::MAX_BODY_BYTES,
    listing, range,
    upload_part::{algorithm_of, find, gone, named},
};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::write::copy_part_result,
};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let (upload, number) = named(&call)?;
    let info = find(bucket, key, upload, &call).await?;
    let source = Source::find(&call).await?;
    let size = source.handle.info().size;
    let range = match call.header("x-amz-copy-source-range") {
        Some(value) => range::parse_copy_source(value, size)?,
        None => 0..size,
    };
    let length = range.end - range.start;
    if length > MAX_BODY_BYTES {
        return Err(S3Error::new(S3Code::EntityTooLarge));
    }
    let writer = call.store.blob_writer(bucket, Some(length)).await?;
    let copied = source.copy(range, writer, algorithm_of(&info, None)?).await?;
    let Copied { blob, md5, checksum } = copied;
    let part = PutPart {
        bucket: bucket.clone(),
        key: key.clone(),
        upload,
        number,
        blob,
        etag: ETag { md5, parts: 0 },
        checksum: checksum.as_ref().map(checksums::to_stored),
    };
    let written = call.store.put_part(part).await.map_err(|error| gone(error.into(), upload))?;
    let modified = listing::millis(written.modified_unix_millis);
    let document = copy_part_result(modified, &written.etag.to_string(), checksum.as_ref());
    Ok(reply::xml(document))
}
