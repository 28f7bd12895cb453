//! Writers of answers: plain structs in, a string out.
//!
//! Names, order and namespace of the elements are AWS's. Every text is escaped here and nowhere
//! else. With `encoding-type=url`, keys, prefixes, markers and delimiters are URL-encoded first.

mod access;
mod bucket;
mod encryption;
mod error;
mod lifecycle;
mod list;
mod logging;
mod notification;
mod object;
mod object_lock;
mod upload;
mod writer;

pub use access::{
    ShownGrantee, access_control_policy, ownership_controls, policy_status, public_access_block,
};
pub use bucket::{
    Bucket, ListBuckets, cors_configuration, location_constraint, versioning_configuration,
};
pub use encryption::bucket_encryption;
pub use error::error;
pub use lifecycle::lifecycle_configuration;
pub use list::{
    ListObjects, ListObjectsV2, ListVersions, ListedObject, ListedVersion, Listing, VersionBody,
};
pub use logging::bucket_logging;
pub use notification::notification_configuration;
pub use object::{
    AttributePart, AttributeParts, CopyResult, DeleteOutcome, DeletedObject, FailedDelete,
    ObjectAttributes, PostedObject, copy_object_result, copy_part_result, delete_result, tagging,
};
pub use object_lock::{LockRule, legal_hold, object_lock_configuration, retention};
pub use upload::{
    CompletedUpload, InitiatedUpload, ListParts, ListUploads, ListedPart, ListedUpload,
};
pub use writer::{push_escaped, url_encode};

use crate::checksum::{Algorithm, ChecksumType};

/// An owner or initiator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The canonical user id.
    pub id: String,
    /// The name shown to people.
    pub display_name: String,
}

/// The algorithm and type that listings show.
pub type ListedChecksum = (Algorithm, ChecksumType);

#[cfg(test)]
mod tests;
