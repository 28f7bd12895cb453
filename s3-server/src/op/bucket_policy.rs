//! `GetBucketPolicy`, `PutBucketPolicy`, `DeleteBucketPolicy` and `GetBucketPolicyStatus`.

use http::{HeaderValue, header};
use larder_policy::PolicyError;
use larder_storage::objects::{BucketName, DocumentKind};

use super::{
    Call,
    authorize::{BucketPolicy, is_known},
    small_body,
};
use crate::{
    access::PublicAccessBlock,
    error::{S3Code, S3Error, S3Result},
    http::{Body, Response},
    reply,
    xml::{parse::MAX_SMALL_BYTES, write},
};

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let found = call.store.document(bucket, DocumentKind::Policy).await?;
    let document = found.ok_or_else(|| missing(bucket))?;
    let mut response = reply::empty();
    *response.body_mut() = Body::Full(document.bytes().clone());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// What is too long for a policy is still read, as far as it goes, so that the client is told so in the words of policies.
pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    call.store.bucket_owner(bucket).await?;
    let document = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let parsed = BucketPolicy::parse(&document, bucket.as_str(), |p| is_known(p, call.app));
    let policy = parsed.map_err(|error| malformed(&error))?;
    let block = PublicAccessBlock::of(bucket, call.store).await?;
    if policy.is_public && block.block_public_policy {
        return Err(S3Code::AccessDenied.into());
    }
    let set = call
        .store
        .set_document(bucket, DocumentKind::Policy, Some(&document));
    set.await?;
    Ok(reply::no_content())
}

pub(super) async fn delete(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let removed = call.store.set_document(bucket, DocumentKind::Policy, None);
    removed.await?;
    Ok(reply::no_content())
}

pub(super) async fn status(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let found = call.store.document(bucket, DocumentKind::Policy).await?;
    let document = found.ok_or_else(|| missing(bucket))?;
    let policy = BucketPolicy::parse(document.bytes(), bucket.as_str(), |_| true);
    let policy = policy.map_err(S3Error::internal)?;
    Ok(reply::xml(write::policy_status(policy.is_public)))
}

fn missing(bucket: &BucketName) -> S3Error {
    S3Error::new(S3Code::NoSuchBucketPolicy).element("BucketName", bucket.as_str())
}

fn malformed(error: &PolicyError) -> S3Error {
    let answer = S3Error::with_message(S3Code::MalformedPolicy, error.message());
    match error.detail() {
        Some(detail) => answer.element("Detail", detail),
        None => answer,
    }
}
