//! `ListMultipartUploads`.

use larder_storage::objects::{
    BucketName, ListUploads, ListedUpload, UploadEntry, UploadId, UploadsPage,
};

use super::{Call, call::invalid_argument, checksums, listing, metadata::STANDARD, owners::Owners};
use crate::{
    error::S3Result,
    http::Response,
    reply,
    xml::write::{self, Owner},
};

pub(super) async fn run(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let query = &call.query;
    let limit = listing::page_size(query, "max-uploads", listing::MAX_KEYS)?;
    let upload_marker = upload_marker(&call)?;
    let request = ListUploads {
        bucket: bucket.clone(),
        prefix: query.get("prefix").unwrap_or_default().to_owned(),
        delimiter: query.get("delimiter").unwrap_or_default().to_owned(),
        key_marker: query.get("key-marker").unwrap_or_default().to_owned(),
        upload_marker,
        limit: limit.max(1) as usize,
    };
    let mut page = call.store.list_uploads(request).await?;
    if limit == 0 {
        page = UploadsPage {
            entries: Vec::new(),
            next: None,
        };
    }
    let owners = page.entries.iter().map(|entry| match entry {
        UploadEntry::Upload(upload) => upload.owner,
        UploadEntry::CommonPrefix(_) => None,
    });
    let owners = Owners::of(bucket, &call, owners).await?;
    Ok(reply::xml(document(bucket, &call, limit, &page, &owners)?))
}

/// The upload to go on after, which counts only beside a key.
fn upload_marker(call: &Call<'_>) -> S3Result<Option<UploadId>> {
    call.query
        .filled("key-marker")
        .and_then(|_| call.query.filled("upload-id-marker"))
        .map_or(Ok(None), |text| {
            let message = "Invalid uploadId marker";
            text.parse()
                .map(Some)
                .map_err(|_| invalid_argument("upload-id-marker", text, message))
        })
}

fn document(
    bucket: &BucketName,
    call: &Call<'_>,
    limit: u32,
    page: &UploadsPage,
    owners: &Owners,
) -> S3Result<String> {
    let query = &call.query;
    let (mut uploads, mut common_prefixes) = (Vec::new(), Vec::new());
    for entry in &page.entries {
        match entry {
            UploadEntry::Upload(upload) => uploads.push((upload, upload.id.to_string())),
            UploadEntry::CommonPrefix(prefix) => common_prefixes.push(prefix.as_str()),
        }
    }
    let shown: Vec<_> = uploads
        .iter()
        .map(|(upload, id)| show(upload, id, owners.of_object(upload.owner)))
        .collect();
    let next_id = page
        .next
        .as_ref()
        .and_then(|(_, id)| *id)
        .map(|id| id.to_string());
    let next = page
        .next
        .as_ref()
        .map(|(key, _)| (key.as_str(), next_id.as_deref().unwrap_or_default()));
    let document = write::ListUploads {
        bucket: bucket.as_str(),
        key_marker: query.get("key-marker").unwrap_or_default(),
        upload_id_marker: query.get("upload-id-marker").unwrap_or_default(),
        next,
        delimiter: query.filled("delimiter"),
        prefix: query.get("prefix").unwrap_or_default(),
        max_uploads: limit,
        url_encode: listing::url_encode(query)?,
        is_truncated: page.next.is_some(),
        uploads: &shown,
        common_prefixes: &common_prefixes,
    };
    Ok(document.to_xml())
}

fn show<'a>(upload: &'a ListedUpload, id: &'a str, owner: &'a Owner) -> write::ListedUpload<'a> {
    write::ListedUpload {
        key: upload.key.as_str(),
        upload_id: id,
        owner,
        storage_class: STANDARD,
        initiated_ms: listing::millis(upload.initiated_unix_millis),
        checksum: checksums::listed(upload.checksum),
    }
}
