//! A key that was made up because none is configured: kept on the disks, beside the credentials.
//!
//! It keeps nothing from whoever has a disk. It is there so that what is encrypted has one form everywhere, and so that a configured key can
//! take its place without rewriting data.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use zeroize::Zeroizing;

use super::{KeyringError, MasterKey, SourceError, parse};
use crate::private_file::{self, within};

/// The file that holds made-up keys, in each data directory.
pub(super) const FILE_NAME: &str = "master.key";
const KIND: &str = "local";
const NOTE: &str = "# Larder made this master key up, since none was configured. Losing it loses what is encrypted.\n";

/// A new key.
///
/// # Errors
/// [`KeyringError::Failed`].
pub(crate) fn make_up() -> Result<MasterKey, KeyringError> {
    MasterKey::random(KIND)
}

/// All keys that are kept in `directories`, each once. A directory that does not answer for so long, or whose file is damaged, is passed
/// over as long as another one has keys.
///
/// # Errors
/// [`SourceError`] where none has.
pub(crate) fn kept(
    directories: &[PathBuf],
    patience: Duration,
) -> Result<Vec<MasterKey>, SourceError> {
    let (mut keys, mut failed) = (Vec::<MasterKey>::new(), None);
    for path in directories.iter().map(|dir| dir.join(FILE_NAME)) {
        let file = path.clone();
        let found = within(patience, move || read(&file));
        let found = found.unwrap_or_else(|source| Err(SourceError::Unreadable { path, source }));
        match found {
            Ok(found) => {
                for key in found {
                    if !keys.iter().any(|known| known.id() == key.id()) {
                        keys.push(key);
                    }
                }
            }
            Err(error) => failed = Some(error),
        }
    }
    failed.filter(|_| keys.is_empty()).map_or(Ok(keys), Err)
}

fn read(path: &Path) -> Result<Vec<MasterKey>, SourceError> {
    let unreadable = |source| SourceError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let Some(bytes) = private_file::read(path).map_err(unreadable)? else {
        return Ok(Vec::new());
    };
    let bytes = Zeroizing::new(bytes);
    let malformed = |reason| SourceError::Malformed {
        origin: path.display().to_string(),
        reason,
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed("no UTF-8".to_owned()))?;
    parse(text).map_err(malformed)
}

/// Writes `keys` to every directory that does not have just these. On `Ok` each copy survives power loss. How many directories have
/// them is told; one that does not answer for so long is passed over.
pub(crate) fn keep(keys: &[MasterKey], directories: &[PathBuf], patience: Duration) -> usize {
    let mut copies = 0;
    for directory in directories {
        let (keys, to) = (keys.to_vec(), directory.clone());
        match within(patience, move || keep_one(&keys, &to)).and_then(|kept| kept) {
            Ok(()) => copies += 1,
            Err(error) => {
                let path = directory.join(FILE_NAME);
                tracing::warn!(path = %path.display(), %error, "master key not kept here");
            }
        }
    }
    copies
}

fn keep_one(keys: &[MasterKey], directory: &Path) -> io::Result<()> {
    if read(&directory.join(FILE_NAME)).is_ok_and(|kept| kept == keys) {
        return Ok(());
    }
    let mut text = Zeroizing::new(NOTE.to_owned());
    for key in keys {
        text.push_str(&key.line());
    }
    private_file::write(directory, FILE_NAME, text.as_bytes())
}
