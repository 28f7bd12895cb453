//! What a record says of its data key.
//!
//! ```text
//! 01 | mode (1 master key, 3 the client's key) | the data key as a sealed message
//! 01 | 02 | flags (bit 0: a bucket key) | holder (1 master keys, 2 file of named keys, 3 transit engine)
//!    | name of the key | encryption context, JSON | wrapped wrapping key | the data key as a sealed message under the wrapping key
//! ```
//!
//! Name, context and wrapped key each have two bytes of length before them, little-endian. The sealed message's context is `larder/object-key`, bucket and
//! key: an envelope opens for no other object.

use larder_storage::objects::{BucketName, ObjectKey};

use crate::{
    error::{S3Error, S3Result},
    kms::{Holder, Key},
};

const VERSION: u8 = 1;

/// What wraps a data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The server's master key.
    Master = 1,
    /// A key that is called by name.
    Kms = 2,
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
            [VERSION, 2, sealed @ ..] => (Mode::Kms, sealed),
            [VERSION, 3, sealed @ ..] => (Mode::Customer, sealed),
            _ => return Err(unknown()),
        };
        Ok(Self { mode, sealed })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        [&[VERSION, self.mode as u8], self.sealed].concat()
    }
}

/// What stands after the mode of an envelope of a named key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    pub(crate) key: Key,
    /// Whether the wrapping key is a bucket key, which seals data keys of other objects as well.
    pub(crate) is_shared: bool,
    /// The encryption context: JSON.
    pub(crate) context: &'a [u8],
    /// The wrapping key, wrapped by the named key.
    pub(crate) wrapped: &'a [u8],
    /// The data key.
    pub(crate) sealed: &'a [u8],
}

impl<'a> Named<'a> {
    /// Reads one.
    pub(crate) fn parse(bytes: &'a [u8]) -> S3Result<Self> {
        Self::take(bytes).ok_or_else(unknown)
    }

    fn take(bytes: &'a [u8]) -> Option<Self> {
        let (&[flags, holder], mut rest) = bytes.split_first_chunk::<2>()?;
        let is_shared = match flags {
            0 => false,
            1 => true,
            _ => return None,
        };
        let name = std::str::from_utf8(take(&mut rest)?).ok()?.to_owned();
        let holder = Holder::from_code(holder)?;
        Some(Self {
            key: Key { holder, name },
            is_shared,
            context: take(&mut rest)?,
            wrapped: take(&mut rest)?,
            sealed: rest,
        })
    }

    /// `None`: a part of it is too long.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut out = vec![u8::from(self.is_shared), self.key.holder as u8];
        for part in [self.key.name.as_bytes(), self.context, self.wrapped] {
            out.extend_from_slice(&u16::try_from(part.len()).ok()?.to_le_bytes());
            out.extend_from_slice(part);
        }
        out.extend_from_slice(self.sealed);
        Some(out)
    }
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (part, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *bytes = rest;
    Some(part)
}

fn unknown() -> S3Error {
    S3Error::internal("an envelope that this version does not know")
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

        #[test]
        fn any_bytes_are_an_envelope_of_a_named_key_or_refused(start in (0..3_u8, 0..5_u8, 0..4_u8), bytes: Vec<u8>) {
            let bytes = [&[start.0, start.1, start.2, 0], &bytes[..]].concat();
            if let Ok(named) = Named::parse(&bytes) {
                prop_assert_eq!(named.encode().unwrap(), bytes);
            }
        }

        #[test]
        fn an_envelope_of_a_named_key_is_read_again(
            name in "[a-z/]{1,9}", is_shared: bool, holder in 1..4_u8, context: Vec<u8>, wrapped: Vec<u8>, sealed: Vec<u8>,
        ) {
            let key = Key { holder: Holder::from_code(holder).unwrap(), name };
            let named = Named { key, is_shared, context: &context, wrapped: &wrapped, sealed: &sealed };
            let bytes = named.encode().unwrap();
            prop_assert_eq!(Named::parse(&bytes).unwrap(), named);
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
    fn bytes_of_named_keys_are_frozen() {
        let named = Named {
            key: Key {
                holder: Holder::File,
                name: "k".to_owned(),
            },
            is_shared: true,
            context: b"{}",
            wrapped: b"w",
            sealed: b"s",
        };
        assert_eq!(
            named.encode().unwrap(),
            b"\x01\x02\x01\x00k\x02\x00{}\x01\x00ws"
        );
        let long = vec![0; 1 << 16];
        let too_long = Named {
            wrapped: &long,
            ..named
        };
        assert_eq!(too_long.encode(), None);
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
