//! `GetObject`: a whole object, a range of bytes, or a part.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use larder_storage::objects::{BucketName, ObjectHandle, ObjectInfo, ObjectKey, StoreError};

use super::{
    Call, bucket_lifecycle, checksums, conditions,
    encryption::{self, Reading},
    metadata, range,
};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::{Body, Response},
    reply,
    route::Query,
};

/// `response-…` parameters and the headers that they override.
const OVERRIDES: [(&str, HeaderName); 6] = [
    ("response-cache-control", header::CACHE_CONTROL),
    ("response-content-disposition", header::CONTENT_DISPOSITION),
    ("response-content-encoding", header::CONTENT_ENCODING),
    ("response-content-language", header::CONTENT_LANGUAGE),
    ("response-content-type", header::CONTENT_TYPE),
    ("response-expires", header::EXPIRES),
];

/// What of an object is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// All of it.
    Whole,
    /// These bytes, never none.
    Range(Range<u64>),
    /// The part at this place of `info.parts`, or the whole of an object without parts.
    Part(usize, Range<u64>),
}

/// How often a read starts over when the object is replaced between its look-up and its first byte.
const ATTEMPTS: usize = 8;

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    for _ in 1..ATTEMPTS {
        if let Some(response) = attempt(bucket, key, &call).await? {
            return Ok(response);
        }
    }
    attempt(bucket, key, &call)
        .await?
        .ok_or_else(|| StoreError::Replaced.into())
}

/// `None`: the object was replaced meanwhile.
async fn attempt(
    bucket: &BucketName,
    key: &ObjectKey,
    call: &Call<'_>,
) -> S3Result<Option<Response>> {
    let (handle, selection) = select(bucket, key, Reading::Bytes, call).await?;
    let mut response = head(call, handle.info(), &selection);
    describe_part(call, &handle, &selection, response.headers_mut()).await?;
    describe_expiry(bucket, key, call, handle.info(), response.headers_mut()).await;
    match body(&handle, selection.bytes(handle.info().size)).await {
        Ok(body) => *response.body_mut() = body,
        Err(StoreError::Replaced) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    Ok(Some(response))
}

/// Finds the object, checks the conditions and works out what is asked for. Shared with `HeadObject`.
pub(super) async fn select(
    bucket: &BucketName,
    key: &ObjectKey,
    reading: Reading,
    call: &Call<'_>,
) -> S3Result<(ObjectHandle, Selection)> {
    let mut handle = call.object(bucket, key).await?;
    encryption::unlock(bucket, &mut handle, reading, call).await?;
    conditions::check_read(call.headers(), handle.info())?;
    let selection = Selection::of(call, handle.info())?;
    Ok((handle, selection))
}

/// A missing key names itself, as AWS's answer does.
pub(super) fn missing(error: StoreError, key: &ObjectKey) -> S3Error {
    match error {
        StoreError::NoSuchKey => S3Error::new(S3Code::NoSuchKey).element("Key", key.as_str()),
        other => other.into(),
    }
}

impl Selection {
    fn of(call: &Call<'_>, info: &ObjectInfo) -> S3Result<Self> {
        let range = call.header(header::RANGE).filter(|_| is_fresh(call, info));
        match (call.part_number()?, range) {
            (None, None) => Ok(Self::Whole),
            (Some(_), Some(_)) => Err(S3Error::with_message(
                S3Code::InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter",
            )),
            (None, Some(range)) => {
                Ok(range::parse(range, info.size)?.map_or(Self::Whole, Self::Range))
            }
            (Some(number), None) => Self::part(info, number.get()),
        }
    }

    fn part(info: &ObjectInfo, number: u16) -> S3Result<Self> {
        if info.parts.is_empty() && number == 1 {
            return Ok(Self::Part(0, 0..info.size));
        }
        let place = info
            .parts
            .iter()
            .position(|part| part.number.get() == number);
        let index = place.ok_or_else(|| {
            S3Error::new(S3Code::InvalidPartNumber)
                .element("PartNumberRequested", number.to_string())
                .element("ActualPartCount", info.parts.len().max(1).to_string())
        })?;
        let start = info.parts[..index].iter().map(|p| p.size).sum();
        Ok(Self::Part(index, start..start + info.parts[index].size))
    }

    /// The bytes, of an object of `size`.
    pub(super) fn bytes(&self, size: u64) -> Range<u64> {
        match self {
            Self::Whole => 0..size,
            Self::Range(range) | Self::Part(_, range) => range.clone(),
        }
    }
}

/// `If-Range`: a range only of the very object that the client has begun to read.
fn is_fresh(call: &Call<'_>, info: &ObjectInfo) -> bool {
    let Some(tag) = call.header(header::IF_RANGE) else {
        return true;
    };
    match tag.strip_prefix('"') {
        Some(_) => tag.parse().is_ok_and(|etag| info.etag == etag),
        None => crate::http_date::parse(tag) == Some(info.modified_unix_millis / 1000),
    }
}

/// Status and headers of an answer, the length left to its body.
pub(super) fn head(call: &Call<'_>, info: &ObjectInfo, selection: &Selection) -> Response {
    let mut response = reply::empty();
    metadata::describe(info, response.headers_mut());
    encryption::describe(info.encryption.as_deref(), call, response.headers_mut());
    override_headers(&call.query, response.headers_mut());
    match selection {
        Selection::Whole => checksums::describe(call, info, response.headers_mut()),
        Selection::Range(range) | Selection::Part(_, range) => {
            partial(&mut response, range, info.size);
        }
    }
    response
}

/// When the object expires; of a version that is asked for by its name AWS says nothing.
pub(super) async fn describe_expiry(
    bucket: &BucketName,
    key: &ObjectKey,
    call: &Call<'_>,
    info: &ObjectInfo,
    headers: &mut HeaderMap,
) {
    if call.query.get("versionId").is_none() {
        let what = (info.size, info.modified_unix_millis);
        bucket_lifecycle::describe(call, (bucket, key), what, &info.tags, headers).await;
    }
}

/// The checksum of a range would be mistaken for that of the object, so it is never sent.
fn partial(response: &mut Response, range: &Range<u64>, size: u64) {
    if range.is_empty() {
        return;
    }
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let value = format!("bytes {}-{}/{size}", range.start, range.end - 1);
    reply::set(response.headers_mut(), header::CONTENT_RANGE, &value);
}

/// What is said only of a part: how many there are, and its own checksum.
pub(super) async fn describe_part(
    call: &Call<'_>,
    handle: &ObjectHandle,
    selection: &Selection,
    headers: &mut HeaderMap,
) -> S3Result<()> {
    let Selection::Part(index, _) = selection else {
        return Ok(());
    };
    let info = handle.info();
    if info.parts.is_empty() {
        checksums::describe(call, info, headers);
        return Ok(());
    }
    reply::set_number(
        headers,
        reply::X_AMZ_MP_PARTS_COUNT,
        info.parts.len() as u64,
    );
    if checksums::is_wanted(call) {
        let parts = handle.parts().await?;
        checksums::set_stored(
            headers,
            parts.get(*index).and_then(|part| part.checksum.as_ref()),
        );
    }
    Ok(())
}

fn override_headers(query: &Query, headers: &mut HeaderMap) {
    for (parameter, name) in OVERRIDES {
        if let Some(value) = query
            .filled(parameter)
            .and_then(|v| HeaderValue::from_str(v).ok())
        {
            headers.insert(name, value);
        }
    }
}

/// Waits for the first chunk, so that what fails early is still an error with a status.
async fn body(handle: &ObjectHandle, range: Range<u64>) -> Result<Body, StoreError> {
    let size = range.end - range.start;
    if size == 0 {
        return Ok(Body::Full(Bytes::new()));
    }
    let mut reader = handle.read(range).await?;
    let first = reader.next().await.unwrap_or(Ok(Bytes::new()))?;
    Ok(Body::stream(first, reader, size))
}
