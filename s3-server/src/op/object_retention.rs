//! `GetObjectRetention` and `PutObjectRetention`.

use larder_storage::objects::{BucketName, ObjectKey, Retention};

use super::{
    Call,
    authorize::{self, NewLock},
    listing,
    object_lock::{
        check_no_event_hold, date, governance, lock_of, mode, mode_name, retention_error,
    },
    small_body,
};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::{
        parse::{self, MAX_SMALL_BYTES},
        write,
    },
};

pub(super) async fn get(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let lock = lock_of(bucket, key, &call).await?;
    let retention = lock.retention;
    let retention = retention.ok_or(S3Error::new(S3Code::NoSuchObjectLockConfiguration))?;
    let until = listing::millis(retention.until_unix_millis);
    Ok(reply::xml(write::retention(
        mode_name(retention.mode),
        until,
    )))
}

pub(super) async fn put(
    bucket: &BucketName,
    key: &ObjectKey,
    mut call: Call<'_>,
) -> S3Result<Response> {
    let version = call.version_id()?;
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let asked = parse::retention(&body)?;
    let retention = retention(&asked)?;
    let lock = NewLock {
        mode: asked.mode.as_deref(),
        until: asked.until.as_deref(),
        legal_hold: None,
    };
    authorize::check_lock(bucket, key, lock, &call).await?;
    let governance = governance(&call, bucket).await?;
    let set = call
        .store
        .set_retention(bucket, key, version, retention, governance)
        .await;
    let until = asked.until.unwrap_or_default();
    match set {
        Ok(()) => Ok(reply::empty()),
        Err(error @ larder_storage::objects::StoreError::RetentionInPast) => {
            Err(retention_error(error, "RetainUntilDate", &until))
        }
        Err(error) => Err(call.missing(error, key)),
    }
}

/// `None`: the retention is to end.
fn retention(asked: &parse::Retention) -> S3Result<Option<Retention>> {
    check_no_event_hold(asked.has_event_hold)?;
    let (name, until) = match (asked.mode.as_deref(), asked.until.as_deref()) {
        (None, None) => return Ok(None),
        (Some(name), Some(until)) => (name, until),
        _ => return Err(S3Error::new(S3Code::MalformedXml)),
    };
    match (mode(name), date(until)) {
        (Some(mode), Some(until_unix_millis)) => Ok(Some(Retention {
            mode,
            until_unix_millis,
        })),
        _ => Err(S3Error::new(S3Code::MalformedXml)),
    }
}
