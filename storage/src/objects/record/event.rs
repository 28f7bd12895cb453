//! The record of an event that waits. What it says is opaque here.

use bytes::Bytes;

use super::fields::{Decoder, Encoder, RecordError};

const CONTENT: u64 = 1;

/// An event as it is kept.
pub(in crate::objects) fn encode_event(content: &[u8]) -> Vec<u8> {
    let mut out = Encoder::new();
    out.bytes(CONTENT, content);
    out.finish()
}

/// What it says.
pub(in crate::objects) fn decode_event(record: &[u8]) -> Result<Bytes, RecordError> {
    let mut decoder = Decoder::new(record)?;
    let mut content = None;
    while let Some(field) = decoder.field()? {
        match field.tag {
            CONTENT => content = Some(Bytes::copy_from_slice(field.bytes)),
            // An event is never written again, so there is nothing to keep.
            _ => field.keep_unknown(&mut Vec::new())?,
        }
    }
    content.ok_or(RecordError::Missing { tag: CONTENT })
}
