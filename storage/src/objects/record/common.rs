//! The fields that objects and parts share.

use super::{
    checksum::{self, Checksum, ChecksumAlgorithm, ChecksumKind},
    fields::{Decoder, Encoder, Field, RecordError},
};
use crate::{objects::names::ETag, stripes::BlobPlacement, varint};

pub(super) const SIZE: u64 = 1;
pub(super) const MODIFIED: u64 = 3;
pub(super) const ETAG: u64 = 5;
pub(super) const CHECKSUM: u64 = 7;

/// The fields that no object or part lacks.
const REQUIRED: [u64; 3] = [SIZE, MODIFIED, ETAG];

/// The shared fields, as far as they were read. Nothing is allocated.
#[derive(Debug)]
pub(super) struct Common<'a> {
    pub(super) size: u64,
    pub(super) modified_unix_millis: u64,
    pub(super) etag: ETag,
    checksum: Option<Field<'a>>,
    seen: u64,
}

impl<'a> Common<'a> {
    pub(super) fn new() -> Self {
        let (md5, parts) = ([0; 16], 0);
        Self {
            size: 0,
            modified_unix_millis: 0,
            etag: ETag { md5, parts },
            checksum: None,
            seen: 0,
        }
    }

    /// Reads `field` if it is a shared one; says whether it is.
    pub(super) fn take(&mut self, field: &Field<'a>) -> Result<bool, RecordError> {
        match field.tag {
            SIZE => self.size = field.number()?,
            MODIFIED => self.modified_unix_millis = field.number()?,
            ETAG => self.etag = decode_etag(field)?,
            CHECKSUM => self.checksum = Some(*field),
            _ => return Ok(false),
        }
        self.seen |= 1 << field.tag;
        Ok(true)
    }

    /// Refuses a record that lacks one of the fields that each has.
    pub(super) fn check(&self) -> Result<(), RecordError> {
        match REQUIRED.into_iter().find(|tag| self.seen & (1 << tag) == 0) {
            Some(tag) => Err(RecordError::Missing { tag }),
            None => Ok(()),
        }
    }

    pub(super) fn checksum(&self) -> Result<Option<Checksum>, RecordError> {
        self.checksum.as_ref().map(Checksum::decode).transpose()
    }

    pub(super) fn checksum_type(
        &self,
    ) -> Result<Option<(ChecksumAlgorithm, ChecksumKind)>, RecordError> {
        self.checksum.as_ref().map(checksum::take_type).transpose()
    }
}

/// Writes the shared fields, which come first.
pub(super) fn encode(
    out: &mut Encoder,
    size: u64,
    modified_unix_millis: u64,
    etag: &ETag,
    checksum: Option<&Checksum>,
) {
    out.number(SIZE, size);
    out.number(MODIFIED, modified_unix_millis);
    out.bytes(ETAG, &encode_etag(etag));
    if let Some(checksum) = checksum {
        out.bytes(CHECKSUM, &checksum.encode());
    }
}

/// The placement that is all of `rest`.
pub(super) fn decode_placement(rest: &[u8]) -> Result<BlobPlacement, RecordError> {
    let (placement, used) = BlobPlacement::decode(rest).map_err(RecordError::Placement)?;
    if used == rest.len() {
        Ok(placement)
    } else {
        Err(RecordError::BadBody)
    }
}

/// Splits a record of any kind into its fields, end mark included, and what follows them.
fn split(record: &[u8]) -> Result<(&[u8], &[u8]), RecordError> {
    let mut decoder = Decoder::new(record)?;
    while decoder.field()?.is_some() {}
    let rest = decoder.rest();
    Ok((&record[..record.len() - rest.len()], rest))
}

/// The placement at the end of a record of any kind, if it has one.
pub(in crate::objects) fn placement_of(
    record: &[u8],
) -> Result<Option<BlobPlacement>, RecordError> {
    match split(record)?.1 {
        [] => Ok(None),
        rest => decode_placement(rest).map(Some),
    }
}

/// The same record with another placement at its end.
pub(in crate::objects) fn with_placement(
    record: &[u8],
    placement: &BlobPlacement,
) -> Result<Vec<u8>, RecordError> {
    let mut out = split(record)?.0.to_vec();
    placement.encode_into(&mut out);
    Ok(out)
}

/// The digest, and the number of parts if any.
fn encode_etag(etag: &ETag) -> Vec<u8> {
    let mut out = etag.md5.to_vec();
    if etag.parts > 0 {
        varint::put(&mut out, u64::from(etag.parts));
    }
    out
}

fn decode_etag(field: &Field<'_>) -> Result<ETag, RecordError> {
    field.whole(|input| {
        let md5 = varint::take_bytes(input, 16)?.try_into().ok()?;
        let parts = if input.is_empty() {
            0
        } else {
            varint::take(input)?
        };
        Some(ETag {
            md5,
            parts: u16::try_from(parts).ok()?,
        })
    })
}
