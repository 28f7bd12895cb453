//! The record of a part.

use super::{
    checksum::Checksum,
    common::{self, Common, decode_placement},
    encryption::{ENCRYPTION, Encryption},
    fields::{Decoder, Encoder, RecordError, Unknown},
};
use crate::{objects::names::ETag, stripes::BlobPlacement};

/// Even: a release that does not know it loses only the checksum of the whole.
const DEFAULT_CHECKSUM: u64 = 8;

/// A part of an upload, or of the object that it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::objects) struct PartRecord {
    pub(in crate::objects) size: u64,
    pub(in crate::objects) modified_unix_millis: u64,
    pub(in crate::objects) etag: ETag,
    pub(in crate::objects) checksum: Option<Checksum>,
    /// By the algorithm that the whole has for want of another.
    pub(in crate::objects) default_checksum: Option<Checksum>,
    /// How its bytes are encrypted.
    pub(in crate::objects) encryption: Option<Encryption>,
    pub(in crate::objects) unknown: Unknown,
    /// `None` for an empty part, and before the commit engine appends that of an inline blob.
    pub(in crate::objects) placement: Option<BlobPlacement>,
}

impl PartRecord {
    pub(in crate::objects) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        let modified = self.modified_unix_millis;
        common::encode(
            &mut out,
            self.size,
            modified,
            &self.etag,
            self.checksum.as_ref(),
        );
        if let Some(checksum) = &self.default_checksum {
            out.bytes(DEFAULT_CHECKSUM, &checksum.encode());
        }
        if let Some(encryption) = &self.encryption {
            encryption.encode(&mut out);
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
        let mut common = Common::new();
        let (mut default_checksum, mut encryption, mut unknown) = (None, None, Unknown::new());
        while let Some(field) = decoder.field()? {
            match field.tag {
                _ if common.take(&field)? => {}
                DEFAULT_CHECKSUM => default_checksum = Some(Checksum::decode(&field)?),
                ENCRYPTION => encryption = Some(Encryption::decode(&field)?),
                _ => field.keep_unknown(&mut unknown)?,
            }
        }
        common.check()?;
        let mut part = Self {
            size: common.size,
            modified_unix_millis: common.modified_unix_millis,
            etag: common.etag,
            checksum: common.checksum()?,
            default_checksum,
            encryption,
            unknown,
            placement: None,
        };
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
