//! Which checksum a request's body must have: in a header, in a trailer, or none.

use http::HeaderMap;

use crate::sigv4::chunked::Trailers;

use super::{Algorithm, Checksum, ChecksumError, ChecksumType, Hasher};

const PREFIX: &str = "x-amz-checksum-";
const SDK_ALGORITHM: &str = "x-amz-sdk-checksum-algorithm";

/// Headers that start like a checksum and aren't one.
const NOT_VALUES: [&str; 3] = [
    "x-amz-checksum-algorithm",
    "x-amz-checksum-mode",
    "x-amz-checksum-type",
];

/// What the client said about its body's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    None,
    /// Its value, in a header.
    Header(Checksum),
    /// Its algorithm; the value comes in the trailer.
    Trailer(Algorithm),
}

impl Expected {
    /// Reads the headers of a request with a body.
    ///
    /// `has_trailer` says whether the body's encoding has trailers
    /// ([`crate::sigv4::Payload::has_trailer`]).
    ///
    /// # Errors
    /// A [`ChecksumError`]: the request is refused before its body is read.
    pub fn from_headers(headers: &HeaderMap, has_trailer: bool) -> Result<Self, ChecksumError> {
        let header = value_header(headers)?;
        let trailer = if has_trailer {
            announced(headers)?
        } else {
            None
        };
        let expected = match (header, trailer) {
            (Some(_), Some(_)) => return Err(ChecksumError::Multiple),
            (Some(value), None) => Self::Header(value),
            (None, Some(algorithm)) => Self::Trailer(algorithm),
            (None, None) => Self::None,
        };
        check_sdk_algorithm(headers, expected)?;
        Ok(expected)
    }

    /// The algorithm to compute while the body streams.
    pub fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::None => None,
            Self::Header(value) => Some(value.algorithm()),
            Self::Trailer(algorithm) => Some(*algorithm),
        }
    }

    /// A hasher for the body, where the client sends a checksum.
    pub fn hasher(&self) -> Option<Hasher> {
        self.algorithm().map(Hasher::new)
    }

    /// Compares at the end of the body. `trailers` are those of the body, empty where it has none.
    ///
    /// # Errors
    /// [`ChecksumError::Mismatch`], and for trailers that are missing, not announced or malformed
    /// [`ChecksumError::TrailerMismatch`] and [`ChecksumError::InvalidTrailerValue`]. Nothing of the
    /// body may be kept.
    pub fn check(
        &self,
        calculated: Option<Checksum>,
        trailers: &Trailers,
    ) -> Result<(), ChecksumError> {
        let expected = match self {
            Self::None => return no_checksum_in(trailers, None),
            Self::Header(value) => {
                no_checksum_in(trailers, None)?;
                *value
            }
            Self::Trailer(algorithm) => from_trailer(*algorithm, trailers)?,
        };
        match calculated {
            Some(calculated) if calculated == expected => Ok(()),
            _ => Err(ChecksumError::Mismatch {
                algorithm: expected.algorithm(),
            }),
        }
    }
}

/// Reads `x-amz-checksum-algorithm` and `x-amz-checksum-type` of `CreateMultipartUpload`.
///
/// # Errors
/// [`ChecksumError::UnsupportedAlgorithm`], [`ChecksumError::InvalidType`],
/// [`ChecksumError::TypeNotAllowed`] and [`ChecksumError::TypeWithoutAlgorithm`].
pub(super) fn upload_algorithm(
    headers: &HeaderMap,
) -> Result<Option<(Algorithm, ChecksumType)>, ChecksumError> {
    let kind = match text(headers, "x-amz-checksum-type") {
        Some(kind) => Some(ChecksumType::parse(kind)?),
        None => None,
    };
    let Some(name) = text(headers, "x-amz-checksum-algorithm") else {
        return kind.map_or(Ok(None), |_| Err(ChecksumError::TypeWithoutAlgorithm));
    };
    let algorithm = Algorithm::from_name(name)?;
    Ok(Some((algorithm, algorithm.resolve_type(kind)?)))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .map(|v| v.to_str().unwrap_or_default().trim())
}

fn value_header(headers: &HeaderMap) -> Result<Option<Checksum>, ChecksumError> {
    let mut found = None;
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with(PREFIX) || NOT_VALUES.contains(&name) {
            continue;
        }
        if found.is_some() {
            return Err(ChecksumError::Multiple);
        }
        let algorithm =
            Algorithm::from_header(name).ok_or_else(|| ChecksumError::UnsupportedAlgorithm {
                name: name[PREFIX.len()..].to_owned(),
            })?;
        let value = value.to_str().unwrap_or_default().trim();
        let invalid = || ChecksumError::InvalidValue {
            header: name.to_owned(),
        };
        found = Some(Checksum::from_base64(algorithm, value).ok_or_else(invalid)?);
    }
    Ok(found)
}

/// The checksum that `x-amz-trailer` announces.
fn announced(headers: &HeaderMap) -> Result<Option<Algorithm>, ChecksumError> {
    let mut found = None;
    let values = headers
        .get_all("x-amz-trailer")
        .iter()
        .map(|v| v.to_str().unwrap_or_default());
    for name in values
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .filter(|n| !n.is_empty())
    {
        let unsupported = || ChecksumError::UnsupportedTrailer {
            name: name.to_owned(),
        };
        let algorithm = Algorithm::from_header(name).ok_or_else(unsupported)?;
        if found.replace(algorithm).is_some() {
            return Err(ChecksumError::Multiple);
        }
    }
    Ok(found)
}

fn check_sdk_algorithm(headers: &HeaderMap, expected: Expected) -> Result<(), ChecksumError> {
    let Some(name) = text(headers, SDK_ALGORITHM).filter(|n| !n.is_empty()) else {
        return Ok(());
    };
    let mismatch = || ChecksumError::SdkAlgorithmMismatch {
        name: name.to_owned(),
    };
    let named = Algorithm::from_name(name).map_err(|_| mismatch())?;
    match expected.algorithm() {
        None if headers.contains_key("content-md5") => Ok(()),
        None => Err(ChecksumError::SdkAlgorithmAlone),
        Some(algorithm) if algorithm == named => Ok(()),
        Some(_) => Err(mismatch()),
    }
}

fn from_trailer(algorithm: Algorithm, trailers: &Trailers) -> Result<Checksum, ChecksumError> {
    no_checksum_in(trailers, Some(algorithm))?;
    let value = trailers
        .get(algorithm.header())
        .ok_or(ChecksumError::TrailerMismatch)?;
    Checksum::from_base64(algorithm, value).ok_or_else(|| ChecksumError::InvalidTrailerValue {
        header: algorithm.header().to_owned(),
    })
}

/// A checksum that was not announced is an error: ignoring it would skip a check that the client
/// relies on.
fn no_checksum_in(trailers: &Trailers, except: Option<Algorithm>) -> Result<(), ChecksumError> {
    let announced = except.map(Algorithm::header);
    let mut names = trailers.iter().map(|(name, _)| name);
    if names.any(|n| n.starts_with(PREFIX) && Some(n) != announced) {
        return Err(ChecksumError::TrailerMismatch);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::checksum;
    use super::*;
    use crate::error::{S3Code, S3Error};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().expect("value"));
        }
        map
    }

    const CRC32: &str = "x-amz-checksum-crc32";

    #[test]
    fn picks_the_header_the_trailer_or_nothing() {
        let none = Expected::from_headers(&headers(&[("x-amz-checksum-mode", "ENABLED")]), false);
        assert_eq!(none, Ok(Expected::None));
        let sum = checksum(Algorithm::Crc32, b"x").to_base64();
        let map = headers(&[(CRC32, &sum), ("x-amz-sdk-checksum-algorithm", "crc32")]);
        let expected = Expected::from_headers(&map, false).expect("valid");
        assert_eq!(expected.algorithm(), Some(Algorithm::Crc32));
        let map = headers(&[
            ("x-amz-trailer", CRC32),
            ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ]);
        assert_eq!(
            Expected::from_headers(&map, true),
            Ok(Expected::Trailer(Algorithm::Crc32))
        );
    }

    #[test]
    fn wrong_combinations_are_refused_as_aws_does() {
        let (good, sdk) = ("AAAAAA==", "x-amz-sdk-checksum-algorithm");
        let refused = |pairs: &[(&'static str, &str)]| {
            Expected::from_headers(&headers(pairs), true).expect_err("refused")
        };
        assert_eq!(
            refused(&[(CRC32, good), ("x-amz-checksum-crc32c", good)]),
            ChecksumError::Multiple
        );
        assert_eq!(
            refused(&[(CRC32, good), (CRC32, good)]),
            ChecksumError::Multiple
        );
        assert_eq!(
            refused(&[(CRC32, good), ("x-amz-trailer", CRC32)]),
            ChecksumError::Multiple
        );
        assert_eq!(refused(&[(sdk, "CRC32")]), ChecksumError::SdkAlgorithmAlone);
        let mismatch = |e| matches!(e, ChecksumError::SdkAlgorithmMismatch { .. });
        assert!(mismatch(refused(&[(CRC32, good), (sdk, "SHA256")])));
        assert!(mismatch(refused(&[(CRC32, good), (sdk, "nonsense")])));
        assert!(matches!(
            refused(&[(CRC32, "AAAA")]),
            ChecksumError::InvalidValue { .. }
        ));
        assert!(matches!(
            refused(&[("x-amz-checksum-sha512", good)]),
            ChecksumError::UnsupportedAlgorithm { .. }
        ));
        assert!(matches!(
            refused(&[("x-amz-trailer", "x-amz-checksum-sha10")]),
            ChecksumError::UnsupportedTrailer { .. }
        ));
        assert_eq!(
            S3Error::from(ChecksumError::Multiple).code(),
            S3Code::InvalidRequest
        );
    }

    #[test]
    fn a_trailer_must_come_as_announced_and_match() {
        let sum = checksum(Algorithm::Crc32, b"data");
        let expected = Expected::Trailer(Algorithm::Crc32);
        let good: Trailers = [(CRC32, sum.to_base64())].into_iter().collect();
        expected.check(Some(sum), &good).expect("matches");
        let other = checksum(Algorithm::Crc32, b"datb");
        let mismatch = expected.check(Some(other), &good).expect_err("differs");
        assert_eq!(S3Error::from(mismatch).code(), S3Code::BadDigest);
        let missing = expected.check(Some(sum), &Trailers::default());
        assert_eq!(missing, Err(ChecksumError::TrailerMismatch));
        let unannounced = Expected::None.check(None, &good);
        assert_eq!(unannounced, Err(ChecksumError::TrailerMismatch));
        let malformed: Trailers = [(CRC32, "?")].into_iter().collect();
        let error = expected
            .check(Some(sum), &malformed)
            .expect_err("malformed");
        assert!(matches!(error, ChecksumError::InvalidTrailerValue { .. }));
    }

    #[test]
    fn an_upload_names_its_algorithm_and_type() {
        let algorithm = |pairs: &[(&'static str, &str)]| upload_algorithm(&headers(pairs));
        assert_eq!(algorithm(&[]), Ok(None));
        assert_eq!(
            algorithm(&[("x-amz-checksum-algorithm", "crc64nvme")]),
            Ok(Some((Algorithm::Crc64Nvme, ChecksumType::FullObject)))
        );
        let alone = algorithm(&[("x-amz-checksum-type", "COMPOSITE")]);
        assert_eq!(alone, Err(ChecksumError::TypeWithoutAlgorithm));
        let error = algorithm(&[
            ("x-amz-checksum-algorithm", "SHA256"),
            ("x-amz-checksum-type", "FULL_OBJECT"),
        ]);
        let error = S3Error::from(error.expect_err("not allowed"));
        assert_eq!(
            error.message(),
            "The FULL_OBJECT checksum type cannot be used with the sha256 checksum algorithm."
        );
    }
}
