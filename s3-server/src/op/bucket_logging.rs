//! `PutBucketLogging`, `GetBucketLogging`.

use larder_storage::objects::{BucketName, DocumentKind, StoreError};

use super::{Call, small_body};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::{
        parse::{LogDestination, MAX_SMALL_BYTES, bucket_logging},
        write,
    },
};

const NO_TARGET: &str = "The target bucket for logging does not exist";
const OTHER_OWNER: &str =
    "The owner for the bucket to be logged and the target bucket must be the same.";
const GRANTS: &str =
    "Larder does not implement grants on access logs: they belong to the owner of their bucket.";

pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let destination = bucket_logging(&body)?;
    if let Some(destination) = &destination {
        check(bucket, destination, &call).await?;
    }
    let document = destination.map(|destination| write::bucket_logging(Some(&destination)));
    let bytes = document.as_ref().map(String::as_bytes);
    let set = call
        .store
        .set_document(bucket, DocumentKind::Logging, bytes);
    set.await?;
    Ok(reply::empty())
}

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let found = call.store.document(bucket, DocumentKind::Logging).await?;
    let document = match found {
        Some(document) => document.bytes().to_vec(),
        None => write::bucket_logging(None).into_bytes(),
    };
    Ok(reply::xml(document))
}

/// Logs go into a bucket of the same account, so that nobody fills another's.
async fn check(bucket: &BucketName, destination: &LogDestination, call: &Call<'_>) -> S3Result<()> {
    let refused = |message| {
        let error = S3Error::with_message(S3Code::InvalidTargetBucketForLogging, message);
        error.element("TargetBucket", destination.bucket.as_str())
    };
    if destination.has_grants {
        return Err(S3Error::with_message(S3Code::NotImplemented, GRANTS));
    }
    let target = BucketName::parse(&destination.bucket).map_err(|_| refused(NO_TARGET))?;
    let owner = match call.store.bucket_owner(&target).await {
        Ok(owner) => owner,
        Err(StoreError::NoSuchBucket) => return Err(refused(NO_TARGET)),
        Err(error) => return Err(error.into()),
    };
    if owner != call.store.bucket_owner(bucket).await? {
        return Err(refused(OTHER_OWNER));
    }
    Ok(())
}
