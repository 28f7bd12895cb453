//! What the store's errors are to an S3 client.

use larder_storage::objects::{ErrorKind, StoreError};
use larder_storage::{
    meta::tally::{Limited, OverLimit},
    stripes::StripeError,
};

use super::call::no_object_lock;
use crate::error::{S3Code, S3Error};

impl From<StoreError> for S3Error {
    fn from(error: StoreError) -> Self {
        answer(&error).source_of(error)
    }
}

impl From<StripeError> for S3Error {
    fn from(error: StripeError) -> Self {
        StoreError::from(error).into()
    }
}

fn answer(error: &StoreError) -> S3Error {
    match error {
        StoreError::NoSuchBucket => S3Code::NoSuchBucket.into(),
        StoreError::BucketExists => S3Code::BucketAlreadyOwnedByYou.into(),
        StoreError::BucketNotEmpty => S3Code::BucketNotEmpty.into(),
        StoreError::NoSuchKey => S3Code::NoSuchKey.into(),
        StoreError::NoSuchVersion => S3Code::NoSuchVersion.into(),
        StoreError::InvalidVersioning => S3Code::IllegalVersioningConfigurationException.into(),
        StoreError::NoSuchUpload => S3Code::NoSuchUpload.into(),
        StoreError::Locked => S3Error::with_message(S3Code::AccessDenied, LOCKED),
        StoreError::NoObjectLock => no_object_lock(),
        StoreError::LockWithoutVersioning => {
            S3Error::with_message(S3Code::InvalidBucketState, LOCK_WITHOUT_VERSIONING)
        }
        StoreError::LockKeepsVersioning => {
            S3Error::with_message(S3Code::InvalidBucketState, LOCK_KEEPS_VERSIONING)
        }
        StoreError::InvalidPart { number } => {
            S3Error::new(S3Code::InvalidPart).element("PartNumber", number.to_string())
        }
        StoreError::InvalidPartOrder => S3Code::InvalidPartOrder.into(),
        StoreError::NoParts => S3Code::MalformedXml.into(),
        StoreError::PartTooSmall { number, size } => S3Error::new(S3Code::EntityTooSmall)
            .element("ProposedSize", size.to_string())
            .element("MinSizeAllowed", "5242880")
            .element("PartNumber", number.to_string()),
        StoreError::ChecksumMismatch { .. } => bad_checksum(),
        StoreError::ChecksumUnknown => checksum_unknown(),
        StoreError::SizeMismatch { .. } => size_mismatch(),
        StoreError::PreconditionFailed { which } => {
            S3Error::new(S3Code::PreconditionFailed).element("Condition", *which)
        }
        StoreError::InvalidTags(_) => S3Code::InvalidTag.into(),
        StoreError::MetadataTooLarge { .. } => S3Code::MetadataTooLarge.into(),
        StoreError::Stripe(StripeError::LengthMismatch { .. }) => S3Code::IncompleteBody.into(),
        StoreError::Conflict => S3Code::ConditionalRequestConflict.into(),
        StoreError::Replaced => S3Code::ServiceUnavailable.into(),
        StoreError::QuotaExceeded(over) => quota_exceeded(over),
        StoreError::Overloaded(_) => S3Code::SlowDown.into(),
        other => by_kind(other.kind()).into(),
    }
}

const LOCKED: &str = "Access Denied because object protected by object lock.";
const LOCK_WITHOUT_VERSIONING: &str =
    "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration";
const LOCK_KEEPS_VERSIONING: &str = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.";

/// The rest says only what the caller may do next.
fn by_kind(kind: ErrorKind) -> S3Code {
    match kind {
        ErrorKind::NotFound => S3Code::NoSuchKey,
        ErrorKind::Conflict => S3Code::ConditionalRequestConflict,
        ErrorKind::Invalid => S3Code::InvalidRequest,
        ErrorKind::Unavailable => S3Code::ServiceUnavailable,
        ErrorKind::Full => S3Code::InsufficientStorage,
        ErrorKind::Corrupt | ErrorKind::Internal => S3Code::InternalError,
    }
}

/// No code of AWS's: the one that Ceph's gateway gives.
fn quota_exceeded(over: &OverLimit) -> S3Error {
    let what = match over.what {
        Limited::Bytes => "bytes",
        Limited::Objects => "objects",
    };
    let (of, would_be, limit) = (over.of, over.would_be, over.limit);
    let message = format!(
        "The {of} would have {would_be} {what}, and its quota is {limit}. Delete something, or ask whoever runs the server for a larger quota."
    );
    S3Error::with_message(S3Code::QuotaExceeded, message)
        .element("Quota", limit.to_string())
        .element("ProposedUsage", would_be.to_string())
}

fn bad_checksum() -> S3Error {
    let message = "The checksum you specified did not match what we received.";
    S3Error::with_message(S3Code::BadDigest, message)
}

fn checksum_unknown() -> S3Error {
    let message = "The parts of this upload have no checksums that the checksum of the whole could be compared with.";
    S3Error::with_message(S3Code::InvalidRequest, message)
}

fn size_mismatch() -> S3Error {
    let message = "The provided 'x-amz-mp-object-size' header does not match what was computed.";
    S3Error::with_message(S3Code::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_clients_act_on_have_their_codes() {
        let table = [
            (StoreError::NoSuchBucket, S3Code::NoSuchBucket),
            (StoreError::BucketNotEmpty, S3Code::BucketNotEmpty),
            (StoreError::InvalidPart { number: 3 }, S3Code::InvalidPart),
            (
                StoreError::PreconditionFailed { which: "If-Match" },
                S3Code::PreconditionFailed,
            ),
            (StoreError::Conflict, S3Code::ConditionalRequestConflict),
            (StoreError::Locked, S3Code::AccessDenied),
            (StoreError::NoObjectLock, S3Code::InvalidRequest),
            (
                StoreError::LockWithoutVersioning,
                S3Code::InvalidBucketState,
            ),
            (StoreError::LockKeepsVersioning, S3Code::InvalidBucketState),
            (
                StoreError::Unavailable("disks".to_owned()),
                S3Code::ServiceUnavailable,
            ),
            (StoreError::Overloaded("disk".to_owned()), S3Code::SlowDown),
            (StoreError::Full, S3Code::InsufficientStorage),
            (
                StoreError::Stripe(StripeError::Full),
                S3Code::InsufficientStorage,
            ),
            (
                StoreError::Unreadable("rot".to_owned()),
                S3Code::InternalError,
            ),
            (
                StoreError::Internal("bug".to_owned()),
                S3Code::InternalError,
            ),
        ];
        for (error, code) in table {
            assert_eq!(S3Error::from(error.clone()).code(), code, "{error}");
        }
    }
}
