//! The record of one page of a document, and where a bucket's record says that the document is.

use super::fields::{Decoder, Encoder, RecordError};
use crate::{objects::documents::DocumentKind, varint};

const BYTES: u64 = 1;

/// Where a document of a bucket is: pages that are written once, under a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::objects) struct DocumentPlace {
    pub(in crate::objects) kind: DocumentKind,
    pub(in crate::objects) number: u64,
    pub(in crate::objects) pages: u16,
}

impl DocumentPlace {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        varint::put(&mut out, u64::from(self.kind.code()));
        varint::put(&mut out, self.number);
        varint::put(&mut out, u64::from(self.pages));
        out
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let code = varint::take(&mut bytes)?;
        let kind = DocumentKind::from_code(u8::try_from(code).ok()?)?;
        let number = varint::take(&mut bytes)?;
        let pages = u16::try_from(varint::take(&mut bytes)?).ok()?;
        bytes.is_empty().then_some(Self {
            kind,
            number,
            pages,
        })
    }
}

/// The record of a page that holds `bytes`.
pub(in crate::objects) fn encode_page(bytes: &[u8]) -> Vec<u8> {
    let mut out = Encoder::new();
    out.bytes(BYTES, bytes);
    out.finish()
}

/// What a page holds.
pub(in crate::objects) fn decode_page(record: &[u8]) -> Result<&[u8], RecordError> {
    let mut decoder = Decoder::new(record)?;
    let mut bytes = None;
    while let Some(field) = decoder.field()? {
        match field.tag {
            BYTES => bytes = Some(field.bytes),
            _ => field.check_skippable()?,
        }
    }
    bytes.ok_or(RecordError::Missing { tag: BYTES })
}
