//! `GetObjectAttributes`.

use http::{HeaderMap, header};
use larder_storage::objects::{BucketName, ObjectHandle, ObjectKey};

use super::{
    Call,
    call::{invalid_argument, text},
    checksums, conditions,
    encryption::{self, Reading},
    list_parts, listing,
    metadata::STANDARD,
};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    http_date, reply,
    xml::write::{AttributePart, AttributeParts, ObjectAttributes},
};

const HEADER: &str = "x-amz-object-attributes";
const KNOWN: [&str; 5] = [
    "ETag",
    "Checksum",
    "ObjectParts",
    "StorageClass",
    "ObjectSize",
];

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let wanted = wanted(call.headers())?;
    let mut handle = call.object(bucket, key).await?;
    encryption::unlock(bucket, &mut handle, Reading::Facts, &call).await?;
    let info = handle.info();
    conditions::check_read(call.headers(), info)?;
    let asked = |name: &str| wanted.iter().any(|wanted| wanted == name);
    let checksum = info.checksum.as_ref().and_then(checksums::from_stored);
    let parts = if asked("ObjectParts") {
        page_of_parts(&call, &handle).await?
    } else {
        None
    };
    let document = ObjectAttributes {
        etag: asked("ETag").then(|| info.etag.to_string()).as_deref(),
        checksum: checksum.as_ref().filter(|_| asked("Checksum")),
        parts: parts.as_ref().map(PartsPage::show),
        storage_class: asked("StorageClass").then_some(STANDARD),
        size_bytes: asked("ObjectSize").then_some(info.size),
    }
    .to_xml();
    let mut response = reply::xml(document);
    let modified = http_date::header(info.modified_unix_millis);
    response
        .headers_mut()
        .insert(header::LAST_MODIFIED, modified);
    reply::set_version(response.headers_mut(), info.version);
    Ok(response)
}

/// The attributes asked for, in one header or several.
fn wanted(headers: &HeaderMap) -> S3Result<Vec<String>> {
    let values = headers
        .get_all(HEADER)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let names: Vec<_> = values
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    match names.iter().find(|name| !KNOWN.contains(&name.as_str())) {
        None if names.is_empty() => {
            let message = "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty";
            Err(S3Error::with_message(S3Code::InvalidRequest, message))
        }
        None => Ok(names),
        Some(unknown) => Err(invalid_argument(
            HEADER,
            unknown,
            "Invalid attribute name specified.",
        )),
    }
}

struct PartsPage {
    total: u32,
    marker: u16,
    limit: u32,
    is_truncated: bool,
    parts: Vec<AttributePart>,
}

impl PartsPage {
    fn show(&self) -> AttributeParts<'_> {
        AttributeParts {
            total_count: self.total,
            part_number_marker: u32::from(self.marker),
            next_part_number_marker: self.parts.last().map_or(0, |part| part.number),
            max_parts: self.limit,
            is_truncated: self.is_truncated,
            parts: &self.parts,
        }
    }
}

/// The parts, if the object has any.
async fn page_of_parts(call: &Call<'_>, handle: &ObjectHandle) -> S3Result<Option<PartsPage>> {
    let all = handle.parts().await?;
    if all.is_empty() {
        return Ok(None);
    }
    let asked = text(call.headers(), "x-amz-max-parts");
    let limit = listing::page_size_of("x-amz-max-parts", asked, listing::MAX_KEYS)?;
    let marker = list_parts::marker(text(call.headers(), "x-amz-part-number-marker"))?;
    let rest = all.iter().filter(|part| part.number.get() > marker);
    let mut parts: Vec<_> = rest
        .take(limit as usize + 1)
        .map(|part| AttributePart {
            number: u32::from(part.number.get()),
            size_bytes: part.size,
            checksum: part
                .checksum
                .as_ref()
                .and_then(checksums::from_stored)
                .map(|c| c.value),
        })
        .collect();
    let is_truncated = parts.len() > limit as usize;
    parts.truncate(limit as usize);
    let total = u32::try_from(all.len()).unwrap_or(u32::MAX);
    Ok(Some(PartsPage {
        total,
        marker,
        limit,
        is_truncated,
        parts,
    }))
}
