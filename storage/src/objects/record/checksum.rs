//! Checksums that S3 clients choose, as kept with objects and parts.

use super::fields::{Field, RecordError};
use crate::varint;

/// How a checksum is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumAlgorithm {
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl ChecksumAlgorithm {
    const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// Bytes of a value.
    pub fn value_bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Its number in records; never changes.
    fn code(self) -> u8 {
        match self {
            Self::Crc32 => 1,
            Self::Crc32c => 2,
            Self::Crc64Nvme => 3,
            Self::Sha1 => 4,
            Self::Sha256 => 5,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.code() == code)
    }
}

/// What a checksum is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumKind {
    /// Of all bytes of the object.
    FullObject,
    /// Of the parts' checksums.
    Composite,
}

/// A checksum of an object or part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checksum {
    /// How it is computed.
    pub algorithm: ChecksumAlgorithm,
    /// What of.
    pub kind: ChecksumKind,
    /// Raw bytes, big-endian as in the header.
    pub value: Vec<u8>,
    /// Number of parts of a composite one, else 0.
    pub parts: u16,
}

const COMPOSITE: u8 = 0x80;

/// One byte for algorithm and kind.
pub(super) fn put_type(algorithm: ChecksumAlgorithm, kind: ChecksumKind) -> u8 {
    algorithm.code()
        | if kind == ChecksumKind::Composite {
            COMPOSITE
        } else {
            0
        }
}

/// The reverse of [`put_type`], from the front of `field`.
pub(super) fn take_type(
    field: &Field<'_>,
) -> Result<(ChecksumAlgorithm, ChecksumKind), RecordError> {
    let code = *field.bytes.first().ok_or_else(|| field.bad())?;
    let algorithm = ChecksumAlgorithm::from_code(code & !COMPOSITE).ok_or_else(|| field.bad())?;
    let is_composite = code & COMPOSITE != 0;
    let kind = if is_composite {
        ChecksumKind::Composite
    } else {
        ChecksumKind::FullObject
    };
    Ok((algorithm, kind))
}

impl Checksum {
    /// Type byte, value, and the number of parts if composite.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![put_type(self.algorithm, self.kind)];
        out.extend_from_slice(&self.value);
        if self.kind == ChecksumKind::Composite {
            varint::put(&mut out, u64::from(self.parts));
        }
        out
    }

    pub(super) fn decode(field: &Field<'_>) -> Result<Self, RecordError> {
        let (algorithm, kind) = take_type(field)?;
        field.whole(|input| {
            let value_bytes = algorithm.value_bytes();
            let value = varint::take_bytes(input, value_bytes + 1)?
                .get(1..)?
                .to_vec();
            let parts = match kind {
                ChecksumKind::Composite => u16::try_from(varint::take(input)?).ok()?,
                ChecksumKind::FullObject => 0,
            };
            Some(Self {
                algorithm,
                kind,
                value,
                parts,
            })
        })
    }
}
