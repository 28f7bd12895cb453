//! What can go wrong above metadata and blobs.

use super::{VersionId, record::RecordError};
use crate::{
    meta::{MetaError, tally::OverLimit},
    stripes::{StripeError, UnsuitableProfile},
};

/// What went wrong with a request to the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No bucket of this name.
    #[error("no such bucket")]
    NoSuchBucket,
    /// There is a bucket of this name already.
    #[error("bucket exists")]
    BucketExists,
    /// The bucket still holds objects.
    #[error("bucket is not empty")]
    BucketNotEmpty,
    /// No account of this identifier is kept here.
    #[error("no such account")]
    NoSuchAccount,
    /// An account has the identifier or the access key already.
    #[error("account id or access key is taken")]
    AccountExists,
    /// The account still owns buckets.
    #[error("account owns buckets")]
    AccountNotEmpty,
    /// The account still has users, groups, roles or policies.
    #[error("account has identities")]
    AccountHasIdentities,
    /// No object of this key.
    #[error("no such key")]
    NoSuchKey,
    /// The object has no such version.
    #[error("no such version")]
    NoSuchVersion,
    /// The version that was asked for is a delete marker.
    #[error("version {version} is a delete marker")]
    DeleteMarker {
        /// Which one.
        version: VersionId,
        /// When it was made, milliseconds since the Unix epoch.
        modified_unix_millis: u64,
        /// Whether it was asked for by its identifier, and not as the latest.
        is_named: bool,
    },
    /// A bucket that has had versions can't be one that never had any.
    #[error("versioning can be suspended, not taken back")]
    InvalidVersioning,
    /// The version is protected by object lock, or its retention may not become what was asked for.
    #[error("version is protected by object lock")]
    Locked,
    /// The bucket has no object lock.
    #[error("bucket has no object lock")]
    NoObjectLock,
    /// Object lock is only for buckets that keep versions.
    #[error("object lock needs versioning")]
    LockWithoutVersioning,
    /// A bucket that has object lock keeps versions.
    #[error("versioning can't be suspended in a bucket with object lock")]
    LockKeepsVersioning,
    /// A retention that would be over already.
    #[error("retention ends in the past")]
    RetentionInPast,
    /// No such upload of this key; completed or aborted, perhaps.
    #[error("no such upload")]
    NoSuchUpload,
    /// A part that is to be completed is missing or differs from what was uploaded.
    #[error("part {number} is missing or differs")]
    InvalidPart {
        /// Its number.
        number: u16,
    },
    /// The parts to be completed are not in ascending order.
    #[error("parts are not in ascending order")]
    InvalidPartOrder,
    /// A completion without a part.
    #[error("no parts to complete")]
    NoParts,
    /// A part other than the last is below the minimum.
    #[error("part {number} has {size} bytes, too few for any but the last part")]
    PartTooSmall {
        /// Its number.
        number: u16,
        /// Its bytes.
        size: u64,
    },
    /// The whole's checksum differs from the one that the client sent.
    #[error("checksum of the completed object does not match")]
    ChecksumMismatch {
        /// What the client sent, raw.
        expected: Vec<u8>,
        /// What the parts yield, raw.
        got: Vec<u8>,
    },
    /// The client sent a checksum of the whole that the parts' checksums do not yield, so that it cannot be compared.
    #[error("the parts have no checksums that yield that of the completed object")]
    ChecksumUnknown,
    /// The body, or the sum of the parts, has another length than announced.
    #[error("{got_bytes} bytes where {expected_bytes} were announced")]
    SizeMismatch {
        /// Announced.
        expected_bytes: u64,
        /// Received.
        got_bytes: u64,
    },
    /// A range that does not lie within the object.
    #[error("range {start}..{end} is not within {size} bytes")]
    InvalidRange {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// Size of the object.
        size: u64,
    },
    /// A condition of the request does not hold.
    #[error("precondition failed: {which}")]
    PreconditionFailed {
        /// The header that carried it.
        which: &'static str,
    },
    /// Lost against other writers too often; worth a retry.
    #[error("too many concurrent changes of the same key")]
    Conflict,
    /// The object was replaced while it was about to be read; ask for it again.
    #[error("object was replaced while it was read")]
    Replaced,
    /// More tags than an object may have, or longer ones.
    #[error("tags: {0}")]
    InvalidTags(&'static str),
    /// Headers, tags and list of parts of one object do not fit into a record.
    #[error("metadata of the object takes {bytes} bytes, too many")]
    MetadataTooLarge {
        /// What it takes.
        bytes: usize,
    },
    /// Too few disks; retry later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// More is waiting to be written than the disks can take; retry later. Nothing happened.
    #[error("overloaded: {0}")]
    Overloaded(String),
    /// No space for data.
    #[error("disks are full")]
    Full,
    /// The bucket would have more than its quota. Nothing happened.
    #[error("over the quota: {0}")]
    QuotaExceeded(OverLimit),
    /// A bucket can't have this profile here.
    #[error(transparent)]
    UnsuitableProfile(#[from] UnsuitableProfile),
    /// The data cannot be rebuilt.
    #[error("unreadable: {0}")]
    Unreadable(String),
    /// A bug.
    #[error("internal error: {0}")]
    Internal(String),
    /// A disk failed beneath the stripes.
    #[error(transparent)]
    Stripe(StripeError),
    /// The metadata engine failed.
    #[error(transparent)]
    Meta(MetaError),
    /// A record in the metadata does not decode.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What the caller does about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Nothing: it is not there.
    NotFound,
    /// Reads again and decides.
    Conflict,
    /// Changes the request.
    Invalid,
    /// Retries later.
    Unavailable,
    /// Heals.
    Corrupt,
    /// Frees or adds space.
    Full,
    /// Reports a bug.
    Internal,
}

impl StoreError {
    /// What the caller does about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchBucket
            | Self::NoSuchAccount
            | Self::NoSuchKey
            | Self::NoSuchVersion
            | Self::DeleteMarker { .. }
            | Self::NoSuchUpload => ErrorKind::NotFound,
            Self::BucketExists
            | Self::BucketNotEmpty
            | Self::AccountExists
            | Self::AccountNotEmpty
            | Self::AccountHasIdentities
            | Self::LockWithoutVersioning
            | Self::LockKeepsVersioning
            | Self::PreconditionFailed { .. }
            | Self::Replaced
            | Self::Conflict => ErrorKind::Conflict,
            Self::InvalidVersioning
            | Self::Locked
            | Self::NoObjectLock
            | Self::RetentionInPast
            | Self::InvalidPart { .. }
            | Self::InvalidPartOrder
            | Self::NoParts
            | Self::PartTooSmall { .. }
            | Self::ChecksumMismatch { .. }
            | Self::ChecksumUnknown
            | Self::SizeMismatch { .. }
            | Self::InvalidRange { .. }
            | Self::InvalidTags(_)
            | Self::MetadataTooLarge { .. }
            | Self::QuotaExceeded(_)
            | Self::UnsuitableProfile(_) => ErrorKind::Invalid,
            Self::Unavailable(_) | Self::Overloaded(_) => ErrorKind::Unavailable,
            Self::Full => ErrorKind::Full,
            Self::Unreadable(_) | Self::Record(_) => ErrorKind::Corrupt,
            Self::Internal(_) => ErrorKind::Internal,
            Self::Stripe(error) => stripe_kind(error),
            Self::Meta(error) => meta_kind(error),
        }
    }
}

fn stripe_kind(error: &StripeError) -> ErrorKind {
    match error {
        StripeError::Full => ErrorKind::Full,
        StripeError::Unreadable { .. } => ErrorKind::Corrupt,
        StripeError::LengthMismatch { .. } => ErrorKind::Invalid,
        StripeError::Coding(_) => ErrorKind::Internal,
        StripeError::TooFewDisks { .. } | StripeError::DisksAway { .. } | StripeError::Disk(_) => {
            ErrorKind::Unavailable
        }
    }
}

fn meta_kind(error: &MetaError) -> ErrorKind {
    match error {
        MetaError::Conflict { .. } => ErrorKind::Conflict,
        MetaError::TooLarge(_) => ErrorKind::Internal,
        MetaError::Unavailable(_) | MetaError::Overloaded(_) => ErrorKind::Unavailable,
        MetaError::OverLimit(_) => ErrorKind::Invalid,
        MetaError::Full => ErrorKind::Full,
        MetaError::Corrupt(_) => ErrorKind::Corrupt,
    }
}

impl From<MetaError> for StoreError {
    fn from(error: MetaError) -> Self {
        match error {
            MetaError::Conflict { .. } => Self::Conflict,
            MetaError::Unavailable(why) => Self::Unavailable(why),
            MetaError::Overloaded(why) => Self::Overloaded(why),
            MetaError::Full => Self::Full,
            MetaError::OverLimit(over) => Self::QuotaExceeded(over),
            MetaError::TooLarge(_) | MetaError::Corrupt(_) => Self::Meta(error),
        }
    }
}

impl From<StripeError> for StoreError {
    fn from(error: StripeError) -> Self {
        match error {
            StripeError::TooFewDisks { .. } | StripeError::DisksAway { .. } => {
                Self::Unavailable(error.to_string())
            }
            StripeError::Unreadable { .. } => Self::Unreadable(error.to_string()),
            StripeError::Full => Self::Full,
            StripeError::LengthMismatch {
                expected_bytes,
                got_bytes,
            } => Self::SizeMismatch {
                expected_bytes,
                got_bytes,
            },
            StripeError::Disk(_) | StripeError::Coding(_) => Self::Stripe(error),
        }
    }
}
