//! The tagged binary form that all records share.
//!
//! ```text
//! version byte (1) | field ... | 00 | rest (the placement of a blob, or nothing)
//! field: tag (varint, not 0) | length (varint) | bytes
//! ```
//!
//! Rule for tags that a reader does not know: **even** ones it skips, and keeps when it rewrites the record;
//! **odd** ones change what the record means, so it refuses the record. Numbers are LEB128 varints.

use crate::{stripes::PlacementError, varint};

/// The version of the form, the first byte of each record.
pub(super) const FORMAT_VERSION: u8 = 1;
const END: u64 = 0;

/// A record that does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer release, or no record at all.
    #[error("record has format version {found}, known is {FORMAT_VERSION}")]
    Version {
        /// Its first byte.
        found: u8,
    },
    /// It ends within a field.
    #[error("record is cut off")]
    CutOff,
    /// A field that must be understood is not known: written by a newer release.
    #[error("record has unknown field {tag}")]
    UnknownField {
        /// Its tag.
        tag: u64,
    },
    /// A field that is known, and asks for what this version does not do.
    #[error("record has field {tag}, which this version does not serve")]
    Unserved {
        /// Its tag.
        tag: u64,
    },
    /// A known field with impossible contents.
    #[error("field {tag} of record does not decode")]
    BadField {
        /// Its tag.
        tag: u64,
    },
    /// A field that each record of the kind has is not there.
    #[error("record lacks field {tag}")]
    Missing {
        /// Its tag.
        tag: u64,
    },
    /// What follows the fields does not decode as a placement.
    #[error("record ends with no placement that is known")]
    Placement(#[source] PlacementError),
    /// What follows the fields is no placement, or does not agree with them.
    #[error("body of record does not decode")]
    BadBody,
    /// The bucket's record names a document that is not there.
    #[error("document of bucket has no pages")]
    NoPages,
    /// The key under which a record was found is none of its kind.
    #[error("key of record does not decode")]
    BadKey,
}

/// Fields that this release skips but keeps.
pub(super) type Unknown = Vec<(u64, Vec<u8>)>;

/// Writes the fields of one record.
#[derive(Debug)]
pub(in crate::objects) struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    pub(in crate::objects) fn new() -> Self {
        let mut out = Vec::with_capacity(128);
        out.push(FORMAT_VERSION);
        Self { out }
    }

    pub(in crate::objects) fn bytes(&mut self, tag: u64, value: &[u8]) {
        varint::put(&mut self.out, tag);
        varint::put(&mut self.out, value.len() as u64);
        self.out.extend_from_slice(value);
    }

    pub(in crate::objects) fn number(&mut self, tag: u64, value: u64) {
        let mut bytes = Vec::with_capacity(10);
        varint::put(&mut bytes, value);
        self.bytes(tag, &bytes);
    }

    pub(super) fn unknown(&mut self, fields: &Unknown) {
        for (tag, value) in fields {
            self.bytes(*tag, value);
        }
    }

    /// Ends the fields; what is appended to the result is the rest.
    pub(in crate::objects) fn finish(mut self) -> Vec<u8> {
        varint::put(&mut self.out, END);
        self.out
    }
}

/// Reads the fields of one record, front to back.
#[derive(Debug)]
pub(in crate::objects) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(in crate::objects) fn new(record: &'a [u8]) -> Result<Self, RecordError> {
        match record.split_first() {
            Some((&FORMAT_VERSION, rest)) => Ok(Self { rest }),
            Some((&found, _)) => Err(RecordError::Version { found }),
            None => Err(RecordError::CutOff),
        }
    }

    /// The next field; `None` at the end of the fields.
    pub(in crate::objects) fn field(&mut self) -> Result<Option<Field<'a>>, RecordError> {
        let tag = varint::take(&mut self.rest).ok_or(RecordError::CutOff)?;
        if tag == END {
            return Ok(None);
        }
        let length = varint::take(&mut self.rest).ok_or(RecordError::CutOff)?;
        let length = usize::try_from(length).map_err(|_| RecordError::CutOff)?;
        let bytes = varint::take_bytes(&mut self.rest, length).ok_or(RecordError::CutOff)?;
        Ok(Some(Field { tag, bytes }))
    }

    /// What follows the fields; call it after [`Self::field`] gave `None`.
    pub(in crate::objects) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(in crate::objects) struct Field<'a> {
    pub(in crate::objects) tag: u64,
    pub(in crate::objects) bytes: &'a [u8],
}

impl<'a> Field<'a> {
    pub(in crate::objects) fn bad(&self) -> RecordError {
        RecordError::BadField { tag: self.tag }
    }

    /// All of the field as one number.
    pub(in crate::objects) fn number(&self) -> Result<u64, RecordError> {
        self.whole(varint::take)
    }

    /// All of the field as text.
    pub(in crate::objects) fn text(&self) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.bytes).map_err(|_| self.bad())
    }

    /// What `take` makes of the field, provided that it takes all of it.
    pub(in crate::objects) fn whole<T>(
        &self,
        take: impl FnOnce(&mut &'a [u8]) -> Option<T>,
    ) -> Result<T, RecordError> {
        let mut input = self.bytes;
        let value = take(&mut input).ok_or_else(|| self.bad())?;
        if input.is_empty() {
            Ok(value)
        } else {
            Err(self.bad())
        }
    }

    /// Keeps a field that may be skipped.
    pub(super) fn keep_unknown(&self, unknown: &mut Unknown) -> Result<(), RecordError> {
        self.check_skippable()?;
        unknown.push((self.tag, self.bytes.to_vec()));
        Ok(())
    }

    /// Refuses a field that must be understood.
    pub(in crate::objects) fn check_skippable(&self) -> Result<(), RecordError> {
        if self.tag % 2 == 1 {
            Err(RecordError::UnknownField { tag: self.tag })
        } else {
            Ok(())
        }
    }
}

/// Appends text with its length before it.
pub(in crate::objects) fn put_text(out: &mut Vec<u8>, text: &str) {
    varint::put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The reverse of [`put_text`].
pub(in crate::objects) fn take_text(input: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(varint::take(input)?).ok()?;
    let bytes = varint::take_bytes(input, length)?;
    Some(std::str::from_utf8(bytes).ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_unknown_fields_are_kept_and_odd_ones_refused() {
        let mut unknown = Unknown::new();
        Field {
            tag: 200,
            bytes: b"new",
        }
        .keep_unknown(&mut unknown)
        .unwrap();
        assert_eq!(unknown, [(200, b"new".to_vec())]);
        let refused = Field {
            tag: 201,
            bytes: b"new",
        }
        .keep_unknown(&mut unknown);
        assert_eq!(refused, Err(RecordError::UnknownField { tag: 201 }));
    }

    #[test]
    fn damage_has_precise_errors() {
        assert_eq!(Decoder::new(&[]).unwrap_err(), RecordError::CutOff);
        assert_eq!(
            Decoder::new(&[9, 0]).unwrap_err(),
            RecordError::Version { found: 9 }
        );
        let cut = [FORMAT_VERSION, 1, 5, 0];
        assert_eq!(
            Decoder::new(&cut).unwrap().field().unwrap_err(),
            RecordError::CutOff
        );
        let huge = [
            FORMAT_VERSION,
            1,
            0xff,
            0xff,
            0xff,
            0xff,
            0xff,
            0xff,
            0xff,
            0xff,
            0xff,
            1,
        ];
        assert_eq!(
            Decoder::new(&huge).unwrap().field().unwrap_err(),
            RecordError::CutOff
        );
        let trailing = Field {
            tag: 1,
            bytes: &[1, 1],
        };
        assert_eq!(trailing.number(), Err(RecordError::BadField { tag: 1 }));
    }
}
