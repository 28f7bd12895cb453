//! What a record says of its data key.
//!
//! ```text
//! 01 | mode (1 master key, 3 the client's key) | the data key as a sealed message
//! ```
//!
//! The sealed message's context is `larder/object-key`, bucket and key: an envelope opens for no other object.

use larder_storage::objects::{BucketName, ObjectKey};

use crate::error::{S3Error, S3Result};

const VERSION: u8 = 1;

/// What wraps a data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The server's master key.
    Master = 1,
    /// A key of the client's.
    Customer = 3,
}

/// An envelope, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope<'a> {
    pub(crate) mode: Mode,
    pub(crate) sealed: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads one; what a later release wrote is an error, and the object not served.
    pub(crate) fn parse(bytes: &'a [u8]) -> S3Result<Self> {
        let (mode, sealed) = match bytes {
            [VERSION, 1, sealed @ ..] => (Mode::Master, sealed),
            [VERSION, 3, sealed @ ..] => (Mode::Customer, sealed),
            _ => {
                return Err(S3Error::internal(
                    "an envelope that this version does not know",
                ));
            }
        };
        Ok(Self { mode, sealed })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        [&[VERSION, self.mode as u8], self.sealed].concat()
    }
}

/// What a data key belongs to.
pub(crate) fn context(bucket: &BucketName, key: &ObjectKey) -> Vec<u8> {
    [
        b"larder/object-key\0",
        bucket.as_str().as_bytes(),
        b"\0",
        key.as_str().as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_an_envelope_or_refused(bytes: Vec<u8>) {
            if let Ok(envelope) = Envelope::parse(&bytes) {
                prop_assert_eq!(envelope.encode(), bytes);
            }
        }
    }

    #[test]
    fn contexts_of_two_objects_differ() {
        let of = |bucket: &str, key: &str| {
            context(
                &BucketName::parse(bucket).unwrap(),
                &ObjectKey::parse(key).unwrap(),
            )
        };
        assert_ne!(of("bucket", "k"), of("bucket", "k2"));
        assert_ne!(of("bucket", "k"), of("bucket2", "k"));
        assert_ne!(of("bucket", "a\0b"), of("bucket", "b"));
    }

    #[test]
    fn bytes_are_frozen() {
        let of = |mode| Envelope { mode, sealed: b"x" }.encode();
        assert_eq!(
            [of(Mode::Master), of(Mode::Customer)],
            [b"\x01\x01x", b"\x01\x03x"]
        );
    }
}
