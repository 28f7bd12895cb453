//! `GetBucketOwnershipControls`, `PutBucketOwnershipControls`, `DeleteBucketOwnershipControls`.

use larder_storage::objects::{BucketName, DocumentKind};

use super::{Call, listing, small_body};
use crate::{
    access::{Acl, Ownership},
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::{
        parse::{MAX_SMALL_BYTES, ownership_controls},
        write,
    },
};

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let found = Ownership::set_for(bucket, call.store).await?;
    let ownership = found.ok_or_else(|| {
        S3Error::new(S3Code::OwnershipControlsNotFound).element("BucketName", bucket.as_str())
    })?;
    Ok(reply::xml(write::ownership_controls(ownership)))
}

/// A list that lets others in is taken away first: nobody loses access without having said so.
pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let ownership = ownership_controls(&body)?;
    if ownership == Ownership::BucketOwnerEnforced {
        let owner = listing::owner(&call, bucket).await?.id;
        let acl = Acl::of_bucket(bucket, call.store).await?;
        if acl.is_some_and(|acl| acl.is_shared(&owner)) {
            return Err(S3Code::InvalidBucketAclWithObjectOwnership.into());
        }
    }
    set(bucket, ownership, &call).await?;
    Ok(reply::empty())
}

/// Keeps what holds for a bucket.
///
/// # Errors
/// Those of the store.
pub(super) async fn set(
    bucket: &BucketName,
    ownership: Ownership,
    call: &Call<'_>,
) -> S3Result<()> {
    let document = Some(ownership.as_str().as_bytes());
    let set = call
        .store
        .set_document(bucket, DocumentKind::Ownership, document);
    Ok(set.await?)
}

pub(super) async fn delete(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let removed = call
        .store
        .set_document(bucket, DocumentKind::Ownership, None);
    removed.await?;
    Ok(reply::no_content())
}
