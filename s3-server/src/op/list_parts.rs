//! `ListParts`.

use larder_storage::objects::{BucketName, ListParts, ListedPart, ObjectKey};

use super::{
    Call, bucket_lifecycle, call::invalid_argument, checksums, listing, metadata::STANDARD,
    owners::Owners, upload_part::gone,
};
use crate::{error::S3Result, http::Response, reply, xml::write};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let upload = call.upload_id()?;
    let limit = listing::page_size(&call.query, "max-parts", listing::MAX_KEYS)?;
    let after = marker(call.query.filled("part-number-marker"))?;
    let request = ListParts {
        bucket: bucket.clone(),
        key: key.clone(),
        upload,
        after,
        limit: limit.max(1) as usize,
    };
    let mut page = call
        .store
        .list_parts(request)
        .await
        .map_err(|e| gone(e.into(), upload))?;
    if limit == 0 {
        (page.parts, page.next) = (Vec::new(), None);
    }
    let etags: Vec<_> = page
        .parts
        .iter()
        .map(|part| part.etag.to_string())
        .collect();
    let parts: Vec<_> = page
        .parts
        .iter()
        .zip(&etags)
        .map(|(p, etag)| show(p, etag))
        .collect();
    let owners = Owners::of(bucket, &call, [page.upload.owner]).await?;
    let document = write::ListParts {
        bucket: bucket.as_str(),
        key: key.as_str(),
        url_encode: listing::url_encode(&call.query)?,
        upload_id: &upload.to_string(),
        owner: owners.of_object(page.upload.owner),
        storage_class: STANDARD,
        part_number_marker: u32::from(after),
        next_part_number_marker: parts.last().map_or(0, |part| part.number),
        max_parts: limit,
        is_truncated: page.next.is_some(),
        checksum: checksums::listed(page.upload.checksum),
        parts: &parts,
    };
    let mut response = reply::xml(document.to_xml());
    let (initiated, headers) = (page.upload.initiated_unix_millis, response.headers_mut());
    bucket_lifecycle::describe_upload(&call, bucket, key, initiated, headers).await;
    Ok(response)
}

/// A marker of part numbers; one beyond the last part number is as good as the last.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn marker(text: Option<&str>) -> S3Result<u16> {
    let Some(text) = text else { return Ok(0) };
    let message = "Provided part-number-marker not an integer or within integer range";
    let number: u32 = text
        .parse()
        .map_err(|_| invalid_argument("part-number-marker", text, message))?;
    Ok(u16::try_from(number).unwrap_or(u16::MAX - 1))
}

fn show<'a>(part: &ListedPart, etag: &'a str) -> write::ListedPart<'a> {
    write::ListedPart {
        number: u32::from(part.number.get()),
        last_modified_ms: listing::millis(part.modified_unix_millis),
        etag,
        size_bytes: part.size,
        checksum: part
            .checksum
            .as_ref()
            .and_then(checksums::from_stored)
            .map(|c| c.value),
    }
}
