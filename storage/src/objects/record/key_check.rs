//! The record of what a master key is known by.

use super::fields::{Decoder, Encoder, RecordError, Unknown};

const PROOF: u64 = 1;

/// What proves that a key is the one that was used under its identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::objects) struct KeyCheckRecord {
    /// Opaque here.
    pub(in crate::objects) proof: Vec<u8>,
    unknown: Unknown,
}

impl KeyCheckRecord {
    pub(in crate::objects) fn new(proof: &[u8]) -> Self {
        Self {
            proof: proof.to_vec(),
            unknown: Unknown::new(),
        }
    }

    pub(in crate::objects) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.bytes(PROOF, &self.proof);
        out.unknown(&self.unknown);
        out.finish()
    }

    pub(in crate::objects) fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut decoder = Decoder::new(record)?;
        let (mut proof, mut unknown) = (None, Unknown::new());
        while let Some(field) = decoder.field()? {
            match field.tag {
                PROOF => proof = Some(field.bytes.to_vec()),
                _ => field.keep_unknown(&mut unknown)?,
            }
        }
        let proof = proof.ok_or(RecordError::Missing { tag: PROOF })?;
        Ok(Self { proof, unknown })
    }
}
