//! `GetObjectLegalHold` and `PutObjectLegalHold`.

use larder_storage::objects::{BucketName, ObjectKey};

use super::{
    Call,
    authorize::{self, NewLock},
    object_lock::{OFF, ON, hold_name, lock_of},
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
    let is_held = lock_of(bucket, key, &call).await?.legal_hold;
    let is_held = is_held.ok_or(S3Error::new(S3Code::NoSuchObjectLockConfiguration))?;
    Ok(reply::xml(write::legal_hold(hold_name(is_held))))
}

pub(super) async fn put(
    bucket: &BucketName,
    key: &ObjectKey,
    mut call: Call<'_>,
) -> S3Result<Response> {
    let version = call.version_id()?;
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let asked = parse::legal_hold(&body)?;
    let is_held = match asked.as_str() {
        ON => true,
        OFF => false,
        _ => return Err(S3Error::new(S3Code::MalformedXml)),
    };
    let lock = NewLock {
        legal_hold: Some(&asked),
        ..NewLock::default()
    };
    authorize::check_lock(bucket, key, lock, &call).await?;
    let set = call
        .store
        .set_legal_hold(bucket, key, version, is_held)
        .await;
    set.map_err(|error| call.missing(error, key))?;
    Ok(reply::empty())
}
