//! The record of a garbage task: what a commit stopped referring to and upkeep has yet to remove.

use super::{
    common::decode_placement,
    fields::{Decoder, Encoder, Field, RecordError},
    manifest::Manifest,
};
use crate::{
    objects::{keys, names::UploadId},
    stripes::BlobPlacement,
    varint,
};

const BLOB: u64 = 1;
const PARTS: u64 = 3;
const UNUSED_PARTS: u64 = 5;
const UPLOADS: u64 = 7;
const STRAYS: u64 = 9;

/// What to remove. Each is done when its record is deleted; doing it twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::objects) enum GarbageRecord {
    /// The extents of a blob.
    Blob(BlobPlacement),
    /// All parts of an upload, by its number.
    Parts(u64),
    /// The parts of a completed upload that are not in its object.
    UnusedParts(Manifest),
    /// All uploads of a deleted bucket, by the bucket's identifier.
    Uploads(u64),
    /// Extents that healing was about to write for the record of this key: those that it does not name.
    Strays(Vec<u8>, BlobPlacement),
}

impl GarbageRecord {
    pub(in crate::objects) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        match self {
            Self::Blob(_) => out.bytes(BLOB, &[]),
            Self::Parts(upload) => out.number(PARTS, *upload),
            Self::UnusedParts(used) => out.bytes(UNUSED_PARTS, &used.encode()),
            Self::Uploads(bucket) => out.number(UPLOADS, *bucket),
            Self::Strays(key, _) => out.bytes(STRAYS, key),
        }
        let mut record = out.finish();
        if let Self::Blob(placement) | Self::Strays(_, placement) = self {
            placement.encode_into(&mut record);
        }
        record
    }

    pub(in crate::objects) fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut decoder = Decoder::new(record)?;
        let mut task = None;
        while let Some(field) = decoder.field()? {
            if field.tag % 2 == 1 {
                task = Some(field);
            }
        }
        Self::from_field(
            &task.ok_or(RecordError::Missing { tag: BLOB })?,
            decoder.rest(),
        )
    }

    fn from_field(field: &Field<'_>, rest: &[u8]) -> Result<Self, RecordError> {
        match field.tag {
            BLOB => Ok(Self::Blob(decode_placement(rest)?)),
            PARTS => Ok(Self::Parts(field.whole(varint::take)?)),
            UNUSED_PARTS => Ok(Self::UnusedParts(field.whole(Manifest::take)?)),
            UPLOADS => Ok(Self::Uploads(field.number()?)),
            STRAYS => Ok(Self::Strays(field.bytes.to_vec(), decode_placement(rest)?)),
            tag => Err(RecordError::UnknownField { tag }),
        }
    }

    /// The number under which readers pin what this removes, if any can read it.
    pub(in crate::objects) fn pin_number(&self) -> Option<u64> {
        match self {
            Self::Blob(placement) => Some(placement.blob.0),
            Self::Parts(upload) => Some(*upload),
            Self::Strays(key, placement) => {
                Some(keys::upload_of_part(key).unwrap_or(placement.blob.0))
            }
            Self::UnusedParts(_) | Self::Uploads(_) => None,
        }
    }

    /// The task for all parts of `upload`.
    pub(in crate::objects) fn parts_of(upload: &UploadId) -> Self {
        Self::Parts(upload.number)
    }
}
