//! One master key.

use std::{fmt, str::FromStr};

use aws_lc_rs::hkdf::Prk;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{KEY_BYTES, KeyringError, expand, prk};

/// Bytes of an identifier at most: it stands in each sealed message.
const MAX_ID_BYTES: usize = 64;

/// What a master key is called. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_good(text: &str) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(plain)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::is_good(text).then(|| Self(text.to_owned())).ok_or(())
    }
}

/// A master key. `Debug` shows its identifier alone; its bytes are wiped when it is dropped.
#[derive(Clone)]
pub struct MasterKey {
    id: KeyId,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    prk: Prk,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq as _;
        self.id == other.id && bool::from(self.bytes.ct_eq(&*other.bytes))
    }
}

impl MasterKey {
    /// The key of these bytes; without an identifier it is called by a fingerprint of them.
    ///
    /// # Errors
    /// [`KeyringError::Failed`].
    pub fn new(id: Option<KeyId>, bytes: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self, KeyringError> {
        let prk = prk(&bytes);
        let id = id.map_or_else(|| fingerprint(&prk, "key"), Ok)?;
        Ok(Self { id, bytes, prk })
    }

    /// A key of 32 new random bytes, called by `kind` and a fingerprint.
    ///
    /// # Errors
    /// [`KeyringError::Failed`]: there is no randomness.
    pub fn random(kind: &str) -> Result<Self, KeyringError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| KeyringError::Failed)?;
        let prk = prk(&bytes);
        let id = fingerprint(&prk, kind)?;
        Ok(Self { id, bytes, prk })
    }

    /// Its identifier.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The line of a file of keys: `id:base64`.
    pub(crate) fn line(&self) -> Zeroizing<String> {
        let key = Zeroizing::new(STANDARD.encode(*self.bytes));
        Zeroizing::new(format!("{}:{}\n", self.id, *key))
    }

    pub(super) fn prk(&self) -> &Prk {
        &self.prk
    }
}

fn fingerprint(prk: &Prk, kind: &str) -> Result<KeyId, KeyringError> {
    let mut bytes = [0; 6];
    expand(prk, &[b"larder/key-id"], &mut bytes)?;
    Ok(KeyId(format!("{kind}-{}", hex::encode(bytes))))
}
