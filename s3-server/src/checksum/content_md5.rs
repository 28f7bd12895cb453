//! The `Content-MD5` header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use super::ChecksumError;

/// The MD5 that a body must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentMd5([u8; 16]);

impl ContentMd5 {
    /// Reads the header, if it is there.
    ///
    /// # Errors
    /// [`ChecksumError::InvalidContentMd5`] if it isn't the base64 of 16 bytes.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, ChecksumError> {
        let Some(value) = headers.get("content-md5") else {
            return Ok(None);
        };
        let raw = STANDARD
            .decode(value.as_bytes().trim_ascii())
            .unwrap_or_default();
        let bytes = raw
            .try_into()
            .map_err(|_| ChecksumError::InvalidContentMd5)?;
        Ok(Some(Self(bytes)))
    }

    /// Compares with the MD5 of what came in.
    ///
    /// # Errors
    /// [`ChecksumError::ContentMd5Mismatch`].
    pub fn check(&self, calculated: &[u8; 16]) -> Result<(), ChecksumError> {
        if self.0 == *calculated {
            return Ok(());
        }
        Err(ChecksumError::ContentMd5Mismatch {
            expected: STANDARD.encode(self.0),
            calculated: STANDARD.encode(calculated),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<ContentMd5>, ChecksumError> {
        let mut headers = HeaderMap::new();
        headers.insert("content-md5", text.parse().expect("value"));
        ContentMd5::from_headers(&headers)
    }

    #[test]
    fn a_malformed_value_is_not_a_mismatch() {
        for text in ["", "abc", "AAAA", "not base64!"] {
            assert_eq!(parse(text), Err(ChecksumError::InvalidContentMd5), "{text}");
        }
        assert_eq!(ContentMd5::from_headers(&HeaderMap::new()), Ok(None));
        let md5 = parse("1B2M2Y8AsgTpgAmY7PhCfg==")
            .expect("valid")
            .expect("there");
        let empty = hex::decode("d41d8cd98f00b204e9800998ecf8427e").expect("hex");
        md5.check(&empty.try_into().expect("16"))
            .expect("MD5 of nothing");
        assert!(matches!(
            md5.check(&[0; 16]),
            Err(ChecksumError::ContentMd5Mismatch { .. })
        ));
    }
}
