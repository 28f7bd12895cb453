//! The record of an identity. What it says is opaque here.

use bytes::Bytes;

use super::fields::{Decoder, Encoder, RecordError, Unknown};

const CONTENT: u64 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::objects) struct IdentityRecord {
    pub(in crate::objects) content: Bytes,
    unknown: Unknown,
}

impl IdentityRecord {
    pub(in crate::objects) fn of(content: &Bytes) -> Self {
        Self {
            content: content.clone(),
            unknown: Unknown::new(),
        }
    }

    pub(in crate::objects) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.bytes(CONTENT, &self.content);
        out.unknown(&self.unknown);
        out.finish()
    }

    pub(in crate::objects) fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut decoder = Decoder::new(record)?;
        let (mut content, mut unknown) = (None, Unknown::new());
        while let Some(field) = decoder.field()? {
            match field.tag {
                CONTENT => content = Some(Bytes::copy_from_slice(field.bytes)),
                _ => field.keep_unknown(&mut unknown)?,
            }
        }
        let content = content.ok_or(RecordError::Missing { tag: CONTENT })?;
        Ok(Self { content, unknown })
    }
}
