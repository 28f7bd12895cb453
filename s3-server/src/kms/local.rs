//! Named keys in a file.
//!
//! ```text
//! # of several lines with one name the first one seals, and the others open what they sealed before
//! backups:mE9m…43 characters and `=`
//! backups:pQ3v…
//! retired:disabled
//! ```

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use parking_lot::RwLock;
use zeroize::Zeroizing;

use super::{Key, KmsError, KmsSetupError, names};
use crate::{
    keyring::{KeyId, Keyring, KeyringError, MasterKey, Source, parse_key},
    private_file,
};

const WHAT: &str = "file of named keys";
/// More is no file of keys.
const MAX_FILE_BYTES: usize = 1 << 20;
const DISABLED: &str = "disabled";
const LABEL: &[u8] = b"larder/kms-key\0";

/// The file, as it was read last.
pub(super) struct Local {
    path: Option<PathBuf>,
    keys: RwLock<Arc<NamedKeys>>,
}

/// Keys by name; `None` for those that are disabled.
#[derive(Default)]
pub(super) struct NamedKeys(HashMap<KeyId, Option<Keyring>>);

impl Local {
    pub(super) fn open(path: Option<PathBuf>) -> Result<Self, KmsSetupError> {
        let local = Self {
            path,
            keys: RwLock::default(),
        };
        local.read()?;
        Ok(local)
    }

    /// Reads the file again. Blocks.
    pub(super) fn read(&self) -> Result<(), KmsSetupError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let unreadable = |source| KmsSetupError::Unreadable {
            what: WHAT,
            path: path.clone(),
            source,
        };
        let malformed = |reason: String| KmsSetupError::Malformed {
            what: WHAT,
            path: path.clone(),
            reason,
        };
        let bytes = private_file::read(path).map_err(unreadable)?;
        let bytes = bytes.ok_or_else(|| unreadable(std::io::ErrorKind::NotFound.into()))?;
        let bytes = Zeroizing::new(bytes);
        if bytes.len() > MAX_FILE_BYTES {
            return Err(malformed("larger than 1 MiB".to_owned()));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed("no UTF-8".to_owned()))?;
        let keys = NamedKeys::parse(text).map_err(malformed)?;
        *self.keys.write() = Arc::new(keys);
        Ok(())
    }

    pub(super) fn now(&self) -> Arc<NamedKeys> {
        Arc::clone(&self.keys.read())
    }
}

impl NamedKeys {
    /// What is wrong is told with the line's number; never the line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut found = HashMap::<KeyId, (Vec<MasterKey>, bool)>::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |why: &str| format!("line {}: {why}", number + 1);
            let (name, key) = line
                .split_once(':')
                .ok_or_else(|| at("a line is name:key"))?;
            let name: KeyId = name
                .trim()
                .parse()
                .map_err(|()| at("a name has 1 to 64 letters, digits, `.`, `_` and `-`"))?;
            let (versions, is_disabled) = found.entry(name).or_default();
            if key.trim() == DISABLED {
                *is_disabled = true;
                continue;
            }
            let bytes = parse_key(key.trim()).map_err(at)?;
            // Called by its fingerprint, which says which version sealed something.
            let key = MasterKey::new(None, bytes).map_err(|_| at("the key can't be used"))?;
            if versions.iter().any(|known| known.id() == key.id()) {
                return Err(at("this key is there twice"));
            }
            versions.push(key);
        }
        let keys = found.into_iter().map(|(name, (versions, is_disabled))| {
            let ring = Keyring::new(versions, Source::Configured);
            (name, ring.filter(|_| !is_disabled))
        });
        Ok(Self(keys.collect()))
    }

    pub(super) fn has(&self, name: &KeyId) -> bool {
        self.0.contains_key(name)
    }

    /// All names, and whether they can be used.
    pub(super) fn ring(&self, key: &Key, region: &str) -> Result<&Keyring, KmsError> {
        let arn = || names::arn(region, &key.name);
        let name: Option<KeyId> = key.name.parse().ok();
        let found = name.and_then(|name| self.0.get(&name));
        let found = found.ok_or_else(|| KmsError::NotFound(arn()))?;
        found.as_ref().ok_or_else(|| KmsError::Disabled(arn()))
    }

    pub(super) fn seal(
        &self,
        key: &Key,
        bound: &[u8],
        plain: &[u8],
        region: &str,
    ) -> Result<Vec<u8>, KmsError> {
        let ring = self.ring(key, region)?;
        Ok(ring.seal(&context(&key.name, bound), plain)?)
    }

    pub(super) fn open(
        &self,
        key: &Key,
        bound: &[u8],
        sealed: &[u8],
        region: &str,
    ) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let ring = self.ring(key, region)?;
        let opened = ring.open(&context(&key.name, bound), sealed);
        opened.map_err(|error| match error {
            // A version that was taken away.
            KeyringError::UnknownKey { .. } => KmsError::NotFound(names::arn(region, &key.name)),
            KeyringError::Refused { .. } => KmsError::Refused(names::arn(region, &key.name)),
            error => error.into(),
        })
    }
}

/// What a wrapping key belongs to: the named key, and the encryption context.
pub(super) fn context(name: &str, bound: &[u8]) -> Vec<u8> {
    [LABEL, name.as_bytes(), b"\0", bound].concat()
}
