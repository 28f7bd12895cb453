//! What `x-amz-content-sha256` says about the body.

use super::SigError;

/// How the body is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Plain, with the SHA-256 that it must have.
    Sha256([u8; 32]),
    /// Plain, not covered by the signature.
    Unsigned,
    /// aws-chunked, each chunk signed.
    SignedChunks,
    /// aws-chunked, each chunk and the trailer signed.
    SignedChunksTrailer,
    /// aws-chunked, not signed, with a trailer.
    UnsignedChunksTrailer,
}

impl Payload {
    /// Parses the value of `x-amz-content-sha256`.
    ///
    /// # Errors
    /// [`SigError::UnsupportedAlgorithm`] for the `SigV4A` modes, [`SigError::InvalidContentSha256`]
    /// for everything that is neither a mode nor 64 hex digits.
    pub fn parse(text: &str) -> Result<Self, SigError> {
        match text {
            "UNSIGNED-PAYLOAD" => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(Self::SignedChunks),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Ok(Self::SignedChunksTrailer),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Self::UnsignedChunksTrailer),
            _ if text.starts_with("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD") => {
                Err(SigError::UnsupportedAlgorithm)
            }
            _ => Self::parse_hash(text),
        }
    }

    fn parse_hash(text: &str) -> Result<Self, SigError> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| SigError::InvalidContentSha256 {
            value: text.to_owned(),
        })?;
        Ok(Self::Sha256(hash))
    }

    /// Whether trailers follow the last chunk.
    pub fn has_trailer(self) -> bool {
        matches!(
            self,
            Self::SignedChunksTrailer | Self::UnsignedChunksTrailer
        )
    }

    /// Whether the body is framed as aws-chunked.
    pub fn is_chunked(self) -> bool {
        !matches!(self, Self::Sha256(_) | Self::Unsigned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_parses_and_the_rest_is_refused() {
        assert_eq!(
            Payload::parse("UNSIGNED-PAYLOAD").expect("mode"),
            Payload::Unsigned
        );
        assert_eq!(
            Payload::parse(&"0a".repeat(32)).expect("hash"),
            Payload::Sha256([10; 32])
        );
        for chunked in [
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        ] {
            assert!(Payload::parse(chunked).expect("mode").is_chunked());
        }
        let sigv4a = Payload::parse("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD");
        assert!(matches!(sigv4a, Err(SigError::UnsupportedAlgorithm)));
        for wrong in ["", "abc", "STREAMING", &"0g".repeat(32)] {
            let error = Payload::parse(wrong).expect_err("refused");
            assert!(
                matches!(error, SigError::InvalidContentSha256 { .. }),
                "{wrong}"
            );
        }
    }
}
