//! `CopyObject`.

use larder_storage::objects::{
    BucketName, ETag, Headers, ObjectInfo, ObjectKey,
    PutObject, Tags, Written,
};

use super::{
    Call,
    call::{check_unbuilt_headers, invalid_argument},
    checksums, conditions,
    copy_source::{Copied, Source},
    get_object, listing, metadata,
};
use crate::{
    checksum::Algorithm,
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::write::{CopyResult, copy_object_result},
};

/// The largest object that one copy may make.
const MAX_COPY_BYTES: u64 = 5 << 30;

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    check_unbuilt_headers(call.headers())?;
    let conditions = conditions::of_write(call.headers())?;
    let source = Source::find(&call).await?;
    let info = source.handle.info();
    check_size(info.size)?;
    let replaces = directive(&call, "x-amz-metadata-directive")?;
    if !replaces && source.bucket == *bucket && source.key == *key {
        return Err(S3Error::with_message(S3Code::InvalidRequest, TO_ITSELF));
    }
    let (headers, tags) = described(&call, info, replaces)?;
    let algorithm = wanted_checksum(&call, info)?;
    let writer = call.store.blob_writer(bucket, Some(info.size)).await?;
    let Copied { blob, md5, checksum } = source.copy(0..info.size, writer, algorithm).await?;
    let checksum = checksum.as_ref().map(checksums::to_stored);
    let put = PutObject {
        bucket: bucket.clone(),
        key: key.clone(),
        blob,
        etag: ETag { md5, parts: 0 },
        checksum,
        headers,
        tags,
        conditions,
    };
    let written = call.store.put_object(put).await.map_err(|e| get_object::missing(e, key))?;
    Ok(answer(&written))
}

const TO_ITSELF: &str = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.";

fn check_size(size: u64) -> S3Result<()> {
    if size <= MAX_COPY_BYTES {
        return Ok(());
    }
    let message = format!(
        "The specified copy source is larger than the maximum allowable size for a copy source: {MAX_COPY_BYTES}"
    );
    Err(S3Error::with_message(S3Code::InvalidRequest, message))
}

/// Whether a directive says to replace; it copies unless it says so.
fn directive(call: &Call<'_>, name: &'static str) -> S3Result<bool> {
    match call.header(name) {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(invalid_argument(name, other, "Unknown directive.")),
    }
}

fn described(call: &Call<'_>, info: &ObjectInfo, replaces: bool) -> S3Result<(Headers, Tags)> {
    let given = metadata::from_request(call.headers())?;
    let headers = if replaces { given } else { info.headers.clone() };
    let tags = if directive(call, "x-amz-tagging-directive")? {
        metadata::tags_from_request(call.headers())?
    } else {
        info.tags.clone()
    };
    Ok((headers, tags))
}

/// What the request asks for, or else what the source has; of the whole object in either case.
fn wanted_checksum(call: &Call<'_>, info: &ObjectInfo) -> S3Result<Option<Algorithm>> {
    match call.header("x-amz-checksum-algorithm") {
        Some(name) => Ok(Some(Algorithm::from_name(name)?)),
        None => Ok(info.checksum.as_ref().map(|c| checksums::algorithm(c.algorithm))),
    }
}

fn answer(written: &Written) -> Response {
    let checksum = written.checksum.as_ref().and_then(checksums::from_stored);
    let result = CopyResult {
        last_modified_ms: listing::millis(written.modified_unix_millis),
        etag: &written.etag.to_string(),
        checksum: checksum.as_ref(),
    };
    let mut response = reply::xml(copy_object_result(&result));
    if let Some(version) = &written.version_id {
        reply::set(response.headers_mut(), reply::X_AMZ_VERSION_ID, version);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_a_largest_size() {
        assert!(check_size(MAX_COPY_BYTES).is_ok());
        assert_eq!(check_size(MAX_COPY_BYTES + 1).unwrap_err().code(), S3Code::InvalidRequest);
    }
}
