//! The master keys: what seals data keys of objects, secrets of users, and whatever else must not lie on a disk in the clear.
//!
//! One key seals, and those before it still open: so a key is replaced without touching what it sealed. Each message is encrypted by
//! a key of its own, derived from the master key and 24 random bytes, so no number of messages wears a master key out, and no nonce is
//! ever used twice. What a message belongs to (its *context*) is authenticated with it: a sealed message that is moved to another
//! object, user or field does not open there.
//!
//! Invariants: key bytes are in no `Debug` text, log line or error, and are wiped when they are dropped; a key is never made up in place of
//! one that sealed something (see [`Keyring::check`]).

mod kept;
mod key;
mod sealed;
mod sources;

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Prk},
};
use parking_lot::RwLock;
use zeroize::Zeroizing;

use crate::error::{S3Code, S3Error};

pub(crate) use kept::{keep, kept, make_up};
pub use key::{KeyId, MasterKey};
pub(crate) use sealed::Sealed;
use sealed::{SALT_BYTES, TAG_BYTES};
pub use sources::{Source, SourceError};
pub(crate) use sources::{from_environment, parse, parse_key};

const KEY_BYTES: usize = 32;
/// What is sealed to prove that a key is the one of its identifier.
const CHECK_CONTEXT: &[u8] = b"larder/master-key-check";
const MESSAGE_LABEL: &[u8] = b"larder/sealed/1";

/// Why something does not seal or open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The master key that sealed it is not here: the operator gives it back.
    #[error("master key `{id}` is not among the configured ones")]
    UnknownKey {
        /// Its identifier.
        id: String,
    },
    /// It is not what was sealed under this key and in this context: damaged, or moved.
    #[error("what master key `{id}` sealed does not open: it is damaged, or belongs elsewhere")]
    Refused {
        /// The key's identifier.
        id: String,
    },
    /// It is nothing that was ever sealed.
    #[error("{got_bytes} bytes that are no sealed message")]
    Malformed {
        /// How many.
        got_bytes: usize,
    },
    /// The cryptographic library refuses to work.
    #[error("encryption failed")]
    Failed,
}

impl From<KeyringError> for S3Error {
    fn from(error: KeyringError) -> Self {
        Self::new(S3Code::InternalError).source_of(error)
    }
}

/// The master keys. Shared by all that seals and opens.
pub struct Keyring {
    keys: RwLock<Arc<Keys>>,
}

/// The first one seals.
struct Keys {
    all: Vec<MasterKey>,
    source: Source,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("ids", &self.ids())
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// A keyring whose first key seals. `None` without any key.
    pub fn new(keys: Vec<MasterKey>, source: Source) -> Option<Self> {
        let keys = Keys::new(keys, source)?;
        Some(Self {
            keys: RwLock::new(Arc::new(keys)),
        })
    }

    /// A keyring with one new key.
    ///
    /// # Errors
    /// [`KeyringError::Failed`]: there is no randomness.
    pub fn made_up() -> Result<Self, KeyringError> {
        Self::new(vec![make_up()?], Source::MadeUp).ok_or(KeyringError::Failed)
    }

    /// Puts other keys in the place of those there are. False, and nothing changed, without any key.
    pub fn replace(&self, keys: Vec<MasterKey>, source: Source) -> bool {
        let Some(keys) = Keys::new(keys, source) else {
            return false;
        };
        *self.keys.write() = Arc::new(keys);
        true
    }

    /// The identifiers, that of the key that seals first.
    pub fn ids(&self) -> Vec<KeyId> {
        let keys = self.now();
        keys.all.iter().map(|key| key.id().clone()).collect()
    }

    /// The identifier of the key that seals.
    pub fn sealing_id(&self) -> KeyId {
        self.now().sealing().id().clone()
    }

    /// Where the key that seals is from.
    pub fn source(&self) -> Source {
        self.now().source
    }

    /// The keys themselves, that which seals first.
    pub fn keys(&self) -> Vec<MasterKey> {
        self.now().all.clone()
    }

    /// Encrypts `plain` for [`Keyring::open`] in the same `context`. Gives 42 bytes more than `plain` has, and the identifier of the key.
    ///
    /// # Errors
    /// [`KeyringError::Failed`].
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KeyringError> {
        seal_with(self.now().sealing(), context, plain)
    }

    /// What was sealed in this `context`. Wiped when it is dropped.
    ///
    /// # Errors
    /// [`KeyringError`]: whatever depends on it must fail.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let message = Sealed::parse(sealed)?;
        let keys = self.now();
        let key = keys.all.iter().find(|key| key.id().as_str() == message.id);
        let key = key.ok_or_else(|| KeyringError::UnknownKey {
            id: message.id.to_owned(),
        })?;
        open_with(key, context, &message)
    }

    /// Whether the key that seals now has sealed this.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        let now = self.now();
        Sealed::parse(sealed).is_ok_and(|message| message.id == now.sealing().id().as_str())
    }

    /// What proves of the key that seals that it is the one of its identifier, to be kept with what it seals.
    ///
    /// # Errors
    /// [`KeyringError::Failed`].
    pub fn proof(&self) -> Result<(KeyId, Vec<u8>), KeyringError> {
        let now = self.now();
        let sealing = now.sealing();
        let proof = seal_with(sealing, CHECK_CONTEXT, sealing.id().as_str().as_bytes())?;
        Ok((sealing.id().clone(), proof))
    }

    /// Whether the key of this identifier is here, and the one that made `proof`.
    ///
    /// # Errors
    /// [`KeyringError::UnknownKey`], [`KeyringError::Refused`]: the server must not start.
    pub fn check(&self, id: &str, proof: &[u8]) -> Result<(), KeyringError> {
        let refused = || KeyringError::Refused { id: id.to_owned() };
        if Sealed::parse(proof)?.id != id {
            return Err(refused());
        }
        let opened = self.open(CHECK_CONTEXT, proof)?;
        (**opened == *id.as_bytes())
            .then_some(())
            .ok_or_else(refused)
    }

    fn now(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read())
    }
}

impl Keys {
    fn new(all: Vec<MasterKey>, source: Source) -> Option<Self> {
        (!all.is_empty()).then_some(Self { all, source })
    }

    fn sealing(&self) -> &MasterKey {
        &self.all[0]
    }
}

fn seal_with(key: &MasterKey, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KeyringError> {
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| KeyringError::Failed)?;
    let mut out = Sealed::head(key.id().as_str(), &salt);
    let bound = [&out[..], context].concat();
    let head_bytes = out.len();
    out.reserve(plain.len() + TAG_BYTES);
    out.extend_from_slice(plain);
    let cipher = message_key(key.prk(), &salt)?;
    let tag = cipher.seal_in_place_separate_tag(nonce(), Aad::from(bound), &mut out[head_bytes..]);
    out.extend_from_slice(tag.map_err(|_| KeyringError::Failed)?.as_ref());
    Ok(out)
}

fn open_with(
    key: &MasterKey,
    context: &[u8],
    message: &Sealed<'_>,
) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let bound = [message.head, context].concat();
    let mut out = Zeroizing::new(message.body.to_vec());
    let cipher = message_key(key.prk(), message.salt)?;
    let opened = cipher.open_in_place(nonce(), Aad::from(bound), &mut out);
    let length = opened.map(|plain| plain.len());
    let length = length.map_err(|_| KeyringError::Refused {
        id: message.id.to_owned(),
    })?;
    out.truncate(length);
    Ok(out)
}

/// The key of one message: no other has its salt.
fn message_key(master: &Prk, salt: &[u8]) -> Result<LessSafeKey, KeyringError> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    expand(master, &[MESSAGE_LABEL, salt], &mut *bytes)?;
    let key = UnboundKey::new(&AES_256_GCM, &*bytes).map_err(|_| KeyringError::Failed)?;
    Ok(LessSafeKey::new(key))
}

/// Each key encrypts one message.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Bytes that follow from `from` and `info` alone (HKDF-Expand with SHA-256).
pub(crate) fn expand(from: &Prk, info: &[&[u8]], out: &mut [u8]) -> Result<(), KeyringError> {
    let bytes = Length(out.len());
    let okm = from.expand(info, bytes).map_err(|_| KeyringError::Failed)?;
    okm.fill(out).map_err(|_| KeyringError::Failed)
}

/// A secret of 32 evenly distributed bytes, for [`expand`].
pub(crate) fn prk(secret: &[u8; KEY_BYTES]) -> Prk {
    Prk::new_less_safe(HKDF_SHA256, secret)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests;
