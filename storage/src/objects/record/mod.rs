//! What stands under the keys of [`super::keys`], in bytes. The form is described in [`fields`].
//!
//! The placement of a blob comes last, because the commit engine appends that of an inline blob itself.
//!
//! Invariants: decoding never panics; what one release skips it does not lose; codes are only ever added.

mod account;
mod acl;
mod bucket;
mod checksum;
mod common;
mod document;
mod encryption;
mod event;
mod fields;
#[cfg(any(test, feature = "testing"))]
mod fuzzing;
mod garbage;
mod headers;
mod identity;
mod key_check;
mod lock;
mod manifest;
mod object;
mod part;
#[cfg(test)]
mod tests;
mod upload;

pub(super) use account::AccountRecord;
pub use acl::{ObjectAcl, ObjectOwner};
pub use bucket::Versioning;
pub(super) use bucket::{BucketRecord, decode_quota, encode_quota};
pub use checksum::{Checksum, ChecksumAlgorithm, ChecksumKind};
pub(super) use common::{placement_of, with_placement};
pub(super) use document::{DocumentPlace, decode_page, encode_page};
pub(super) use encryption::Encryption;
pub(super) use event::{decode_event, encode_event};
pub use fields::RecordError;
pub(super) use fields::{Decoder, Encoder, Field, put_text, take_text};
#[cfg(any(test, feature = "testing"))]
pub(crate) use fuzzing::records as fuzz_records;
pub(super) use garbage::GarbageRecord;
pub use headers::{Headers, Tags};
pub(super) use identity::IdentityRecord;
pub(super) use key_check::KeyCheckRecord;
pub use lock::{
    BucketLock, DefaultRetention, ObjectLock, Retention, RetentionMode, RetentionPeriod,
};
pub(super) use manifest::Manifest;
pub(super) use object::{Body, ObjectRecord, ObjectSummary, weight_of};
pub(super) use part::PartRecord;
pub(super) use upload::UploadRecord;
