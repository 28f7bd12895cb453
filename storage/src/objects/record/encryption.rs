//! How a body is encrypted: the field that objects, parts and uploads share.
//!
//! ```text
//! 01 | bytes of the salt (varint, 0 or 24) | salt | envelope
//! ```

use super::fields::{Encoder, Field, RecordError};
use crate::{objects::sealed::Salt, varint};

pub(super) const ENCRYPTION: u64 = 25;
const FORM: u64 = 1;

/// How a body is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::objects) struct Encryption {
    /// Of the blob; uploads, and objects made of parts, have none.
    pub(in crate::objects) salt: Option<Salt>,
    /// Opaque: how the one who encrypts gets at the data key again. Empty in parts.
    pub(in crate::objects) envelope: Vec<u8>,
}

impl Encryption {
    pub(super) fn encode(&self, out: &mut Encoder) {
        let mut bytes = Vec::with_capacity(32 + self.envelope.len());
        varint::put(&mut bytes, FORM);
        let salt = self.salt.as_ref().map_or(&[][..], |salt| &salt.0);
        varint::put(&mut bytes, salt.len() as u64);
        bytes.extend_from_slice(salt);
        bytes.extend_from_slice(&self.envelope);
        out.bytes(ENCRYPTION, &bytes);
    }

    /// A form that a later release wrote is refused: its bytes would be served wrongly.
    pub(super) fn decode(field: &Field<'_>) -> Result<Self, RecordError> {
        check(field)?;
        field.whole(|input| {
            varint::take(input)?;
            let length = usize::try_from(varint::take(input)?).ok()?;
            let salt = match varint::take_bytes(input, length)? {
                [] => None,
                salt => Some(Salt(salt.try_into().ok()?)),
            };
            let envelope = std::mem::take(input).to_vec();
            Some(Self { salt, envelope })
        })
    }
}

/// Refuses a form that is not known.
pub(super) fn check(field: &Field<'_>) -> Result<(), RecordError> {
    let mut input = field.bytes;
    match varint::take(&mut input) {
        Some(FORM) => Ok(()),
        _ => Err(RecordError::Unserved { tag: field.tag }),
    }
}
