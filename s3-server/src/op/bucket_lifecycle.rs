//! `GetBucketLifecycleConfiguration`, `PutBucketLifecycleConfiguration`, `DeleteBucketLifecycle`, and what answers say of expiry.

mod rules;

use std::collections::HashSet;

use http::HeaderMap;
use larder_storage::objects::{BucketName, Expiry, Lifecycle, ObjectKey, Tags};

use super::{Call, small_body};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    http_date, reply,
    xml::{
        parse::{MAX_LIFECYCLE_BYTES, MAX_LIFECYCLE_RULES, lifecycle_configuration},
        write::{self, url_encode},
    },
};

/// Nothing is ever moved to another storage class, so this is true of every bucket.
const TRANSITION_SIZE: &str = "all_storage_classes_128K";

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let Some(lifecycle) = call.store.lifecycle(bucket).await? else {
        return Err(S3Error::new(S3Code::NoSuchLifecycleConfiguration)
            .element("BucketName", bucket.as_str()));
    };
    let mut response = reply::xml(write::lifecycle_configuration(&lifecycle));
    set_transition_size(response.headers_mut());
    Ok(response)
}

pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    let body = small_body::read(&mut call, MAX_LIFECYCLE_BYTES).await?;
    let asked = lifecycle_configuration(&body)?;
    if asked.len() > MAX_LIFECYCLE_RULES {
        let message =
            "The number of lifecycle rules must not exceed the allowed limit of 1000 rules.";
        return Err(S3Error::with_message(S3Code::InvalidRequest, message));
    }
    let new_id = || {
        format!(
            "{}{}",
            call.app.request_ids.next(),
            call.app.request_ids.next()
        )
    };
    let mut lifecycle = Lifecycle::default();
    let mut ids = HashSet::new();
    for asked in &asked {
        let rule = rules::rule(asked, new_id)?;
        if !ids.insert(rule.id.clone()) {
            return Err(rules::same_id(&rule.id));
        }
        lifecycle.rules.push(rule);
    }
    rules::check_forms(&lifecycle.rules)?;
    call.store.set_lifecycle(bucket, Some(&lifecycle)).await?;
    let mut response = reply::empty();
    set_transition_size(response.headers_mut());
    Ok(response)
}

pub(super) async fn delete(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    call.store.set_lifecycle(bucket, None).await?;
    Ok(reply::no_content())
}

fn set_transition_size(headers: &mut HeaderMap) {
    reply::set(headers, reply::X_AMZ_TRANSITION_SIZE, TRANSITION_SIZE);
}

/// Says on an answer when the current version of an object expires, if it does. An answer is not held back for that.
pub(super) async fn describe(
    call: &Call<'_>,
    (bucket, key): (&BucketName, &ObjectKey),
    (size, modified_unix_millis): (u64, u64),
    tags: &Tags,
    headers: &mut HeaderMap,
) {
    let written = (size, modified_unix_millis);
    let expiry = call.store.expiry(bucket, key, written, tags).await;
    if let Ok(Some(expiry)) = expiry {
        reply::set(headers, reply::X_AMZ_EXPIRATION, &expiration(&expiry));
    }
}

fn expiration(expiry: &Expiry) -> String {
    let date = http_date::header(expiry.unix_millis);
    let date = date.to_str().unwrap_or_default();
    format!(
        "expiry-date=\"{date}\", rule-id=\"{}\"",
        url_encode(&expiry.rule)
    )
}

/// Says on an answer when an upload is given up, if it is.
pub(super) async fn describe_upload(
    call: &Call<'_>,
    bucket: &BucketName,
    key: &ObjectKey,
    initiated_unix_millis: u64,
    headers: &mut HeaderMap,
) {
    let expiry = call.store.upload_expiry(bucket, key, initiated_unix_millis);
    if let Ok(Some(expiry)) = expiry.await {
        let date = http_date::header(expiry.unix_millis);
        headers.insert(reply::X_AMZ_ABORT_DATE, date);
        let rule = url_encode(&expiry.rule);
        reply::set(headers, reply::X_AMZ_ABORT_RULE_ID, &rule);
    }
}
