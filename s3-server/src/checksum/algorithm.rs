//! The algorithms, their many names, and which kind of object checksum each can be.

use crc_fast::CrcAlgorithm;

use super::ChecksumError;

/// An algorithm of S3's additional checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
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

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// What an object has for want of a checksum that the client chose, as on AWS.
    pub const DEFAULT: Self = Self::Crc64Nvme;

    /// The name in `x-amz-checksum-algorithm` and in XML.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header and trailer that carries the value.
    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The XML element that carries the value.
    pub const fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    /// Length of a value in bytes.
    pub const fn len_bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The algorithm of that name, in any case.
    ///
    /// # Errors
    /// [`ChecksumError::UnsupportedAlgorithm`].
    pub fn from_name(name: &str) -> Result<Self, ChecksumError> {
        let found = Self::ALL
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| ChecksumError::UnsupportedAlgorithm {
            name: name.to_owned(),
        })
    }

    /// The algorithm whose value that header or trailer carries, in any case.
    pub fn from_header(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|a| a.header().eq_ignore_ascii_case(name))
    }

    /// The algorithm whose value that XML element carries.
    pub fn from_element(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.element() == name)
    }

    pub(super) const fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// The kind that a multipart object has when the client names none.
    pub const fn default_type(self) -> ChecksumType {
        match self {
            Self::Crc64Nvme => ChecksumType::FullObject,
            Self::Crc32 | Self::Crc32c | Self::Sha1 | Self::Sha256 => ChecksumType::Composite,
        }
    }

    /// Whether a multipart object may have a checksum of that kind: CRC64NVME is of the whole
    /// object only, the hashes of the parts only, the other CRCs may be either.
    pub const fn allows(self, kind: ChecksumType) -> bool {
        match kind {
            ChecksumType::Composite => !matches!(self, Self::Crc64Nvme),
            ChecksumType::FullObject => self.crc().is_some(),
        }
    }

    /// The kind for a multipart upload: what the client asked for, or the default.
    ///
    /// # Errors
    /// [`ChecksumError::TypeNotAllowed`].
    pub fn resolve_type(self, asked: Option<ChecksumType>) -> Result<ChecksumType, ChecksumError> {
        let kind = asked.unwrap_or(self.default_type());
        if self.allows(kind) {
            Ok(kind)
        } else {
            Err(ChecksumError::TypeNotAllowed {
                algorithm: self,
                kind,
            })
        }
    }
}

/// What the checksum of a multipart object is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumType {
    /// The checksum of the parts' checksums, written `base64-N`.
    Composite,
    /// The checksum of the object's bytes.
    FullObject,
}

impl ChecksumType {
    /// The text in headers and XML.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::FullObject => "FULL_OBJECT",
        }
    }

    /// Parses the value of `x-amz-checksum-type`.
    ///
    /// # Errors
    /// [`ChecksumError::InvalidType`].
    pub fn parse(text: &str) -> Result<Self, ChecksumError> {
        [Self::Composite, Self::FullObject]
            .into_iter()
            .find(|t| t.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| ChecksumError::InvalidType {
                value: text.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back() {
        for a in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(&a.name().to_lowercase()), Ok(a));
            assert_eq!(Algorithm::from_header(a.header()), Some(a));
            assert_eq!(Algorithm::from_element(a.element()), Some(a));
        }
        assert!(Algorithm::from_name("MD5").is_err());
    }

    #[test]
    fn types_follow_the_aws_table() {
        use Algorithm::{Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
        let (composite, full) = (ChecksumType::Composite, ChecksumType::FullObject);
        assert_eq!(Crc64Nvme.resolve_type(None), Ok(full));
        assert!(Crc64Nvme.resolve_type(Some(composite)).is_err());
        for crc in [Crc32, Crc32c] {
            assert_eq!(crc.resolve_type(None), Ok(composite));
            assert_eq!(crc.resolve_type(Some(full)), Ok(full));
        }
        for sha in [Sha1, Sha256] {
            assert_eq!(sha.resolve_type(None), Ok(composite));
            assert!(sha.resolve_type(Some(full)).is_err());
        }
        assert_eq!(ChecksumType::parse("full_object"), Ok(full));
        assert!(ChecksumType::parse("PARTIAL").is_err());
    }
}
