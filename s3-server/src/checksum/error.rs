//! What can be wrong with a checksum, and what AWS answers.

use crate::error::{S3Code, S3Error};

use super::{Algorithm, ChecksumType};

/// Why a request's checksum was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// More than one checksum header or trailer.
    #[error("more than one checksum was sent")]
    Multiple,
    /// A checksum header is not the base64 of the right number of bytes.
    #[error("value of checksum header {header} is invalid")]
    InvalidValue {
        /// The header.
        header: String,
    },
    /// The same in a trailer.
    #[error("value of checksum trailer {header} is invalid")]
    InvalidTrailerValue {
        /// The trailer.
        header: String,
    },
    /// `x-amz-sdk-checksum-algorithm` names another algorithm than the checksum header.
    #[error("sdk checksum algorithm does not fit the checksum sent: {name}")]
    SdkAlgorithmMismatch {
        /// What it names.
        name: String,
    },
    /// `x-amz-sdk-checksum-algorithm` without a checksum.
    #[error("sdk checksum algorithm without a checksum")]
    SdkAlgorithmAlone,
    /// `x-amz-trailer` names something that is not a checksum.
    #[error("trailer is not supported: {name}")]
    UnsupportedTrailer {
        /// What it names.
        name: String,
    },
    /// The trailer that was announced did not come, or another did.
    #[error("trailer does not fit its announcement")]
    TrailerMismatch,
    /// An unknown algorithm.
    #[error("checksum algorithm is not supported: {name}")]
    UnsupportedAlgorithm {
        /// Its name.
        name: String,
    },
    /// `x-amz-checksum-type` is neither COMPOSITE nor `FULL_OBJECT`.
    #[error("checksum type is invalid: {value}")]
    InvalidType {
        /// What stood there.
        value: String,
    },
    /// The algorithm has no checksums of that type.
    #[error("checksum type {} cannot be used with {}", kind.as_str(), algorithm.name())]
    TypeNotAllowed {
        /// The algorithm.
        algorithm: Algorithm,
        /// The type.
        kind: ChecksumType,
    },
    /// `x-amz-checksum-type` without an algorithm.
    #[error("checksum type without a checksum algorithm")]
    TypeWithoutAlgorithm,
    /// The checksum calculated is another one.
    #[error("{} does not match", algorithm.name())]
    Mismatch {
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// `Content-MD5` is malformed.
    #[error("content-md5 is malformed")]
    InvalidContentMd5,
    /// The MD5 calculated is another one.
    #[error("content-md5 does not match, expected {expected}, got {calculated}")]
    ContentMd5Mismatch {
        /// As the header said.
        expected: String,
        /// As calculated.
        calculated: String,
    },
}

const MULTIPLE: &str =
    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.";
const SDK_ALONE: &str = "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.";
const SDK_MISMATCH: &str = "Value for x-amz-sdk-checksum-algorithm header is invalid.";
const UNSUPPORTED: &str = "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]";
const TRAILER: &str = "The value specified in the x-amz-trailer header is not supported";
const TYPE: &str = "Value for x-amz-checksum-type header is invalid.";
const TYPE_ALONE: &str =
    "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.";

impl From<ChecksumError> for S3Error {
    fn from(error: ChecksumError) -> Self {
        let answer = answer(&error);
        answer.source_of(error)
    }
}

fn answer(error: &ChecksumError) -> S3Error {
    let invalid = |message: String| S3Error::with_message(S3Code::InvalidRequest, message);
    match error {
        ChecksumError::Multiple => invalid(MULTIPLE.into()),
        ChecksumError::InvalidValue { header } => {
            invalid(format!("Value for {header} header is invalid."))
        }
        ChecksumError::InvalidTrailerValue { header } => {
            invalid(format!("Value for {header} trailing header is invalid."))
        }
        ChecksumError::SdkAlgorithmMismatch { .. } => invalid(SDK_MISMATCH.into()),
        ChecksumError::SdkAlgorithmAlone => invalid(SDK_ALONE.into()),
        ChecksumError::UnsupportedTrailer { .. } => invalid(TRAILER.into()),
        ChecksumError::TrailerMismatch => S3Error::new(S3Code::MalformedTrailer),
        ChecksumError::UnsupportedAlgorithm { .. } => invalid(UNSUPPORTED.into()),
        ChecksumError::InvalidType { .. } => invalid(TYPE.into()),
        ChecksumError::TypeWithoutAlgorithm => invalid(TYPE_ALONE.into()),
        ChecksumError::TypeNotAllowed { algorithm, kind } => invalid(format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.as_str(),
            algorithm.name().to_ascii_lowercase()
        )),
        ChecksumError::Mismatch { algorithm } => S3Error::with_message(
            S3Code::BadDigest,
            format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            ),
        ),
        ChecksumError::InvalidContentMd5 => S3Error::new(S3Code::InvalidDigest),
        ChecksumError::ContentMd5Mismatch {
            expected,
            calculated,
        } => S3Error::new(S3Code::BadDigest)
            .element("ExpectedDigest", expected)
            .element("CalculatedDigest", calculated),
    }
}
