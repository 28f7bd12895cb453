//! The checksum of a multipart object, from those of its parts.

use http::HeaderMap;

use super::{Algorithm, Checksum, ChecksumError, ChecksumType, Hasher};

/// An object's checksum as headers and XML show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectChecksum {
    /// The value.
    pub value: Checksum,
    /// What it is of.
    pub kind: ChecksumType,
    /// For a composite one, the number of parts.
    pub parts: Option<u32>,
}

impl ObjectChecksum {
    /// The checksum of an object that was put in one piece.
    pub fn whole(value: Checksum) -> Self {
        Self {
            value,
            kind: ChecksumType::FullObject,
            parts: None,
        }
    }

    /// `base64`, or `base64-N` for a composite one.
    pub fn to_text(&self) -> String {
        match (self.kind, self.parts) {
            (ChecksumType::Composite, Some(parts)) => format!("{}-{parts}", self.value.to_base64()),
            _ => self.value.to_base64(),
        }
    }

    /// Whether a value that the client sent with its Complete request means this one. The number
    /// of parts may be left out, as the SDKs disagree about it.
    pub fn is_meant_by(&self, sent: &str) -> bool {
        sent == self.to_text() || sent == self.value.to_base64()
    }
}

/// A part's checksum and length.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its checksum.
    pub checksum: Checksum,
    /// Its length in bytes.
    pub len_bytes: u64,
}

/// Reads algorithm and type from the headers of `CreateMultipartUpload`.
///
/// # Errors
/// A [`ChecksumError`] for an unknown algorithm or type, or a pair that AWS does not have.
pub fn upload_algorithm(
    headers: &HeaderMap,
) -> Result<Option<(Algorithm, ChecksumType)>, ChecksumError> {
    super::request::upload_algorithm(headers)
}

/// The object's checksum from its parts', in the order of the parts.
///
/// `None` if a part has another algorithm, there are no parts, or the algorithm does not allow
/// that kind.
pub fn of_parts(
    algorithm: Algorithm,
    kind: ChecksumType,
    parts: &[Part],
) -> Option<ObjectChecksum> {
    let uniform = parts.iter().all(|p| p.checksum.algorithm() == algorithm);
    if parts.is_empty() || !uniform || !algorithm.allows(kind) {
        return None;
    }
    match kind {
        ChecksumType::Composite => Some(ObjectChecksum {
            value: composite(algorithm, parts),
            kind,
            parts: Some(u32::try_from(parts.len()).ok()?),
        }),
        ChecksumType::FullObject => Some(ObjectChecksum {
            value: full_object(algorithm, parts)?,
            kind,
            parts: None,
        }),
    }
}

fn composite(algorithm: Algorithm, parts: &[Part]) -> Checksum {
    let mut hasher = Hasher::new(algorithm);
    for part in parts {
        hasher.update(part.checksum.as_bytes());
    }
    hasher.finish()
}

fn full_object(algorithm: Algorithm, parts: &[Part]) -> Option<Checksum> {
    let crc = algorithm.crc()?;
    let (first, rest) = parts.split_first()?;
    let combined = rest.iter().fold(first.checksum.crc_value(), |value, part| {
        if part.len_bytes == 0 {
            return value;
        }
        crc_fast::checksum_combine(crc, value, part.checksum.crc_value(), part.len_bytes)
    });
    Some(Checksum::from_crc(algorithm, combined))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::checksum;
    use super::*;

    fn part(algorithm: Algorithm, data: &[u8]) -> Part {
        Part {
            checksum: checksum(algorithm, data),
            len_bytes: data.len() as u64,
        }
    }

    #[test]
    fn composite_is_the_checksum_of_the_raw_checksums() {
        let parts = [
            part(Algorithm::Sha256, b"one"),
            part(Algorithm::Sha256, b"two"),
        ];
        let joined = [parts[0].checksum.as_bytes(), parts[1].checksum.as_bytes()].concat();
        let sum = of_parts(Algorithm::Sha256, ChecksumType::Composite, &parts).expect("composite");
        let expected = checksum(Algorithm::Sha256, &joined).to_base64();
        assert_eq!(sum.to_text(), format!("{expected}-2"));
        assert!(sum.is_meant_by(&expected) && sum.is_meant_by(&format!("{expected}-2")));
        assert!(!sum.is_meant_by(&format!("{expected}-3")));
    }

    #[test]
    fn forbidden_and_mixed_kinds_give_nothing() {
        let sha = [part(Algorithm::Sha1, b"x")];
        assert_eq!(
            of_parts(Algorithm::Sha1, ChecksumType::FullObject, &sha),
            None
        );
        assert_eq!(
            of_parts(Algorithm::Sha256, ChecksumType::Composite, &sha),
            None
        );
        assert_eq!(
            of_parts(Algorithm::Crc32, ChecksumType::Composite, &[]),
            None
        );
        let crc = [part(Algorithm::Crc64Nvme, b"x")];
        assert_eq!(
            of_parts(Algorithm::Crc64Nvme, ChecksumType::Composite, &crc),
            None
        );
    }

    proptest! {
        #[test]
        fn combined_crcs_equal_the_crc_of_the_whole(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..8),
            which in 0_usize..3,
        ) {
            let algorithm = [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme][which];
            let parts: Vec<Part> = pieces.iter().map(|p| part(algorithm, p)).collect();
            let sum = of_parts(algorithm, ChecksumType::FullObject, &parts).expect("CRC");
            prop_assert_eq!(sum.value, checksum(algorithm, &pieces.concat()));
        }
    }
}
