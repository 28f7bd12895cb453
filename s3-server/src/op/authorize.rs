//! Who may do what: each request comes by here before anything of it is looked at.
//!
//! A bucket is its account's, and nobody else reaches it.

use larder_storage::objects::{AccountId, BucketName, StoreError};

use super::Call;
use crate::{
    error::{S3Code, S3Error, S3Result},
    route::{Operation, Target},
};

const EXPECTED_OWNER: &str = "x-amz-expected-bucket-owner";
const EXPECTED_SOURCE_OWNER: &str = "x-amz-source-expected-bucket-owner";

/// Refuses whoever may not do `operation` with `target`, and requests for a bucket of somebody else than they expect.
///
/// # Errors
/// [`S3Code::AccessDenied`]; [`S3Code::InvalidArgument`] for an expected owner that is no account.
pub(super) async fn check(operation: Operation, target: &Target, call: &Call<'_>) -> S3Result<()> {
    match target {
        _ if operation == Operation::CreateBucket => account(call).map(drop),
        Target::Service => account(call).map(drop),
        Target::Bucket(bucket) | Target::Object(bucket, _) => {
            bucket_of_caller(bucket, EXPECTED_OWNER, call).await
        }
    }
}

/// Refuses whoever may not read from `bucket`, the source of a copy.
///
/// # Errors
/// As [`check`].
pub(super) async fn check_source(bucket: &BucketName, call: &Call<'_>) -> S3Result<()> {
    bucket_of_caller(bucket, EXPECTED_SOURCE_OWNER, call).await
}

/// The account that asks.
///
/// # Errors
/// [`S3Code::AccessDenied`] for nobody.
pub(super) fn account(call: &Call<'_>) -> S3Result<AccountId> {
    let account = call.caller.account().map(|account| account.id);
    account.ok_or_else(|| S3Code::AccessDenied.into())
}

async fn bucket_of_caller(bucket: &BucketName, header: &str, call: &Call<'_>) -> S3Result<()> {
    let expected = expected_owner(header, call)?;
    let owner = match call.store.bucket_owner(bucket).await {
        Ok(owner) => owner,
        // The operation says so in its own words.
        Err(StoreError::NoSuchBucket) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if account(call)? != owner || expected.is_some_and(|expected| expected != owner) {
        return Err(S3Code::AccessDenied.into());
    }
    Ok(())
}

fn expected_owner(header: &str, call: &Call<'_>) -> S3Result<Option<AccountId>> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            let message =
                "The value of the expected bucket owner parameter must be an AWS account ID";
            S3Error::with_message(S3Code::InvalidBucketOwner, message)
                .element("ExpectedBucketOwner", text)
        })
    };
    call.header(header).map(parse).transpose()
}
