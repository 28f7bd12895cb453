//! The form of a sealed message.
//!
//! ```text
//! 01 | bytes of the id | id | salt (24) | ciphertext | tag (16)
//! ```
//!
//! `id` is that of the master key. The message's key is HKDF-Expand (SHA-256) of the master key with `larder/sealed/1` and the salt; the cipher
//! is AES-256-GCM with a nonce of zeros. Associated data: all before the ciphertext, then the context.

use super::{KeyId, KeyringError};

pub(super) const SALT_BYTES: usize = 24;
pub(super) const TAG_BYTES: usize = 16;
const FORM: u8 = 1;

/// A sealed message, not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed<'a> {
    /// Form, identifier and salt as they stand.
    pub(super) head: &'a [u8],
    /// The master key's identifier.
    pub(crate) id: &'a str,
    pub(super) salt: &'a [u8],
    /// Ciphertext and tag.
    pub(super) body: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Takes a message apart.
    ///
    /// # Errors
    /// [`KeyringError::Malformed`].
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, KeyringError> {
        Self::take(bytes).ok_or(KeyringError::Malformed {
            got_bytes: bytes.len(),
        })
    }

    fn take(bytes: &'a [u8]) -> Option<Self> {
        let (&[form, id_bytes], rest) = bytes.split_first_chunk::<2>()?;
        let (id, rest) = rest.split_at_checked(usize::from(id_bytes))?;
        let (salt, body) = rest.split_at_checked(SALT_BYTES)?;
        let id = std::str::from_utf8(id).ok()?;
        let is_whole = form == FORM && KeyId::is_good(id) && body.len() >= TAG_BYTES;
        let head = &bytes[..bytes.len() - body.len()];
        is_whole.then_some(Self {
            head,
            id,
            salt,
            body,
        })
    }

    /// What comes before the ciphertext.
    pub(super) fn head(id: &str, salt: &[u8; SALT_BYTES]) -> Vec<u8> {
        let id_bytes = u8::try_from(id.len()).unwrap_or_default();
        [&[FORM, id_bytes], id.as_bytes(), salt].concat()
    }
}
