//! The record of a part.

use super::{
    checksum::Checksum,
    fields::{Decoder, Encoder, RecordError, Unknown},
    object::{
        CHECKSUM, ETAG, MODIFIED, Required, SIZE, decode_etag, decode_placement, encode_etag,
    },
};
use crate::{objects::names::ETag, stripes::BlobPlacement};

/// A part of an upload, or of the object that it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::objects) struct PartRecord {
    pub(in crate::objects) size: u64,
    pub(in crate::objects) modified_unix_millis: u64,
    pub(in crate::objects) etag: ETag,
    pub(in crate::objects) checksum: Option<Checksum>,
    pub(in crate::objects) unknown: Unknown,
    /// `None` for an empty part, and before the commit engine appends that of an inline blob.
    pub(in crate::objects) placement: Option<BlobPlacement>,
}

impl PartRecord {
    pub(in crate::objects) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.number(SIZE, self.size);
        out.number(MODIFIED, self.modified_unix_millis);
        out.bytes(ETAG, &encode_etag(&self.etag));
        if let Some(checksum) = &self.checksum {
            out.bytes(CHECKSUM, &checksum.encode());
        }
        out.unknown(&self.unknown);
        let mut record = out.finish();
        if let Some(placement) = &self.placement {
            placement.encode_into(&mut record);
        }
        record
    }

    pub(in crate::objects) fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut decoder = Decoder::new(record)?;
        let etag = ETag {
            md5: [0; 16],
            parts: 0,
        };
        let mut part = Self {
            size: 0,
            modified_unix_millis: 0,
            etag,
            checksum: None,
            unknown: Unknown::new(),
            placement: None,
        };
        let mut seen = Required::default();
        while let Some(field) = decoder.field()? {
            seen.note(field.tag);
            match field.tag {
                SIZE => part.size = field.number()?,
                MODIFIED => part.modified_unix_millis = field.number()?,
                ETAG => part.etag = decode_etag(&field)?,
                CHECKSUM => part.checksum = Some(Checksum::decode(&field)?),
                _ => field.keep_unknown(&mut part.unknown)?,
            }
        }
        seen.check()?;
        part.decode_body(decoder.rest())?;
        Ok(part)
    }

    fn decode_body(&mut self, rest: &[u8]) -> Result<(), RecordError> {
        if rest.is_empty() {
            return if self.size == 0 {
                Ok(())
            } else {
                Err(RecordError::BadBody)
            };
        }
        self.placement = Some(decode_placement(rest)?);
        Ok(())
    }
}
