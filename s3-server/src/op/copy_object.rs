//! `CopyObject`.

use larder_storage::objects::{
    BucketName, ETag, Headers, ObjectAcl, ObjectInfo, ObjectKey, ObjectLock, PutObject, Tags,
    UpdateObject, WriteConditions, Written,
};

use super::{
    Call, bucket_lifecycle,
    call::{check_unbuilt_headers, invalid_argument},
    checksums, conditions,
    copy_source::{Copied, Source, check_copy_size, retry, unless_replaced},
    encryption::{self, Encryption},
    get_object, listing, metadata, object_acl, object_lock,
};
use crate::{
    checksum::Algorithm,
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::write::{CopyResult, copy_object_result},
};

pub(super) async fn run(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    check_unbuilt_headers(call.headers())?;
    let acl = object_acl::of_new(bucket, &call).await?;
    let conditions = conditions::of_write(&call)?;
    let lock = object_lock::from_headers(call.headers())?;
    object_lock::check_write(&call, bucket, &lock, true).await?;
    let checked = call.store.check_conditions(bucket, key, &conditions).await;
    checked.map_err(|error| get_object::missing(error, key))?;
    let target = Target {
        bucket,
        key,
        conditions,
        lock,
        acl,
    };
    retry(|| attempt(&target, &call)).await
}

/// Where a copy goes.
struct Target<'a> {
    bucket: &'a BucketName,
    key: &'a ObjectKey,
    conditions: WriteConditions,
    lock: ObjectLock,
    /// The source's is not copied.
    acl: ObjectAcl,
}

impl Target<'_> {
    fn is_source(&self, source: &Source) -> bool {
        source.bucket == *self.bucket && source.key == *self.key && source.version.is_none()
    }

    /// Whether the copy takes the place of what it is made of: where there are versions, it stands beside it.
    fn is_rewritten(&self, source: &Source) -> bool {
        self.is_source(source) && source.handle.info().version.is_none()
    }

    /// The conditions of the write: a copy onto itself is of what was read, or else a write between reading and
    /// committing would be undone.
    fn conditions(&self, source: &Source) -> WriteConditions {
        WriteConditions {
            if_unchanged: self.is_rewritten(source).then(|| source.handle.revision()),
            ..self.conditions.clone()
        }
    }
}

/// `None`: the source has changed meanwhile.
async fn attempt(target: &Target<'_>, call: &Call<'_>) -> S3Result<Option<Response>> {
    let source = Source::find(call).await?;
    let info = source.handle.info();
    check_copy_size(info.size)?;
    let replaces = directive(call, "x-amz-metadata-directive")?;
    let to_itself = target.is_source(&source);
    let changes = changes_storage_class(call) || encryption::is_asked_for(call.headers());
    if to_itself && !replaces && !changes {
        return Err(S3Error::with_message(S3Code::InvalidRequest, TO_ITSELF));
    }
    let (headers, tags) = described(call, info, replaces)?;
    let encryption = Encryption::of_new(target.bucket, target.key, call).await?;
    let updates =
        target.is_rewritten(&source) && !encryption.differs_from(info.encryption.as_deref());
    let written = if updates && call.header("x-amz-checksum-algorithm").is_none() {
        let update = UpdateObject {
            bucket: target.bucket.clone(),
            key: target.key.clone(),
            headers,
            tags: Some(tags.clone()),
            acl: target.acl.clone(),
            conditions: target.conditions(&source),
        };
        call.store.update_headers(update).await
    } else {
        let Some(copied) = copy_bytes(target, call, &source, &encryption).await? else {
            return Ok(None);
        };
        let put = PutObject {
            bucket: target.bucket.clone(),
            key: target.key.clone(),
            blob: copied.blob,
            etag: ETag {
                md5: encryption.tag(copied.md5, call),
                parts: 0,
            },
            checksum: Some(checksums::to_stored(&copied.checksum)),
            headers,
            tags: tags.clone(),
            conditions: target.conditions(&source),
            lock: target.lock,
            acl: target.acl.clone(),
        };
        call.store.put_object(put).await
    };
    let written = match unless_replaced(written) {
        Ok(written) => written,
        Err(error) => return Err(get_object::missing(error, target.key)),
    };
    let Some(written) = written else {
        return Ok(None);
    };
    let mut response = answer(&written, &source);
    let (to, headers) = ((target.bucket, target.key), response.headers_mut());
    let what = (written.size, written.modified_unix_millis);
    encryption.show(headers);
    bucket_lifecycle::describe(call, to, what, &tags, headers).await;
    Ok(Some(response))
}

async fn copy_bytes(
    target: &Target<'_>,
    call: &Call<'_>,
    source: &Source,
    encryption: &Encryption,
) -> S3Result<Option<Copied>> {
    let info = source.handle.info();
    let algorithm = wanted_checksum(call, info)?;
    let size = Some(info.size);
    let writer = encryption.writer(target.bucket, size, call).await?;
    let copied = source.copy(call, 0..info.size, writer, algorithm).await;
    Ok(unless_replaced(copied)?)
}

const TO_ITSELF: &str = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.";

/// A storage class may be asked for again, as on AWS: that is how clients have objects written anew.
fn changes_storage_class(call: &Call<'_>) -> bool {
    call.headers().contains_key("x-amz-storage-class")
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
    let headers = if replaces {
        given
    } else {
        info.headers.clone()
    };
    let tags = if directive(call, "x-amz-tagging-directive")? {
        metadata::tags_from_request(call.headers())?
    } else {
        info.tags.clone()
    };
    Ok((headers, tags))
}

/// What the request asks for, or else what the source has, or else the default; of the whole object in any case.
fn wanted_checksum(call: &Call<'_>, info: &ObjectInfo) -> S3Result<Algorithm> {
    if let Some(name) = call.header("x-amz-checksum-algorithm") {
        return Ok(Algorithm::from_name(name)?);
    }
    let of_source = info.checksum.as_ref().map(|c| c.algorithm);
    Ok(of_source.map_or(Algorithm::DEFAULT, checksums::algorithm))
}

fn answer(written: &Written, source: &Source) -> Response {
    let checksum = written.checksum.as_ref().and_then(checksums::from_stored);
    let result = CopyResult {
        last_modified_ms: listing::millis(written.modified_unix_millis),
        etag: &written.etag.to_string(),
        checksum: checksum.as_ref(),
    };
    let mut response = reply::xml(copy_object_result(&result));
    reply::set_version(response.headers_mut(), written.version);
    source.set_version(response.headers_mut());
    response
}
