//! Where master keys come from: `LARDER_MASTER_KEY`, or the file that `LARDER_MASTER_KEY_FILE` names.
//!
//! ```text
//! # the first key seals, the others open what they sealed before
//! 2027:mE9m…43 characters and `=`
//! 2026:pQ3v…
//! ```
//!
//! A line without an identifier is a key that is called by a fingerprint of it, so that `openssl rand -base64 32` is enough.

use std::{collections::HashSet, fmt, io, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{KEY_BYTES, MasterKey};
use crate::private_file;

const VARIABLE: &str = "LARDER_MASTER_KEY";
const FILE_VARIABLE: &str = "LARDER_MASTER_KEY_FILE";
/// More is no file of keys.
const MAX_FILE_BYTES: usize = 64 << 10;

/// Where the key that seals is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "MasterKeySource"))]
pub enum Source {
    /// The operator gave it.
    Configured,
    /// It was made up, and lies on the very disks whose contents it seals.
    #[default]
    MadeUp,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configured => "configured",
            Self::MadeUp => {
                "made up and kept on these disks: it protects nothing against who takes them"
            }
        })
    }
}

/// Why the configured keys can't be used. The text of a key is never shown.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Keys are given directly and by file.
    #[error("{VARIABLE} and {FILE_VARIABLE} are both set: set one")]
    SetTwice,
    /// A file can't be read.
    #[error("file of master keys {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("master keys of {origin}: {reason}")]
    Malformed {
        /// A variable or a file.
        origin: String,
        /// What is wrong, with a line's number.
        reason: String,
    },
    /// A key could not be made up or kept.
    #[error("no master key: {0}")]
    None(String),
    /// What is stored here was sealed with other keys than those given.
    #[error("{0}")]
    Refused(String),
}

/// The keys that the environment gives, the first one for sealing; none if it says nothing. `variable` looks one up.
///
/// # Errors
/// [`SourceError`]: the operator corrects the variable or file that it names.
pub(crate) fn from_environment(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<MasterKey>, SourceError> {
    let malformed = |origin: String| move |reason| SourceError::Malformed { origin, reason };
    match (variable(VARIABLE), variable(FILE_VARIABLE)) {
        (None, None) => Ok(Vec::new()),
        (Some(_), Some(_)) => Err(SourceError::SetTwice),
        (Some(text), None) => {
            let text = Zeroizing::new(text);
            parse(&text).map_err(malformed(VARIABLE.to_owned()))
        }
        (None, Some(path)) => {
            let path = PathBuf::from(path);
            let text = read(&path)?;
            parse(&text).map_err(malformed(path.display().to_string()))
        }
    }
}

fn read(path: &std::path::Path) -> Result<Zeroizing<String>, SourceError> {
    let unreadable = |source| SourceError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let read = private_file::read(path).map_err(unreadable)?;
    let bytes = read.ok_or_else(|| unreadable(io::ErrorKind::NotFound.into()))?;
    let bytes = Zeroizing::new(bytes);
    if bytes.len() > MAX_FILE_BYTES {
        return Err(unreadable(io::Error::other("larger than 64 KiB")));
    }
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| unreadable(io::Error::other("no UTF-8")))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The keys of a text, a line each.
///
/// # Errors
/// What is wrong, with the line's number; never the line.
pub(crate) fn parse(text: &str) -> Result<Vec<MasterKey>, String> {
    let (mut keys, mut ids) = (Vec::new(), HashSet::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = parse_line(line).map_err(|why| format!("line {}: {why}", number + 1))?;
        if !ids.insert(key.id().clone()) {
            return Err(format!(
                "line {}: `{}` is there twice",
                number + 1,
                key.id()
            ));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err("there is no key in it".to_owned());
    }
    Ok(keys)
}

fn parse_line(line: &str) -> Result<MasterKey, &'static str> {
    let (id, key) = match line.split_once(':') {
        Some((id, key)) => (Some(id.trim()), key.trim()),
        None => (None, line),
    };
    let id = id.map(str::parse).transpose();
    let id = id.map_err(|()| "an identifier has 1 to 64 letters, digits, `.`, `_` and `-`")?;
    MasterKey::new(id, parse_key(key)?).map_err(|_| "the key can't be used")
}

/// The bytes of a key as a line has them.
///
/// # Errors
/// What is wrong.
pub(crate) fn parse_key(key: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, &'static str> {
    let wrong = "a key is 32 bytes in base64 (44 characters): openssl rand -base64 32 makes one";
    let decoded = Zeroizing::new(STANDARD.decode(key).map_err(|_| wrong)?);
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    if decoded.len() != KEY_BYTES {
        return Err(wrong);
    }
    bytes.copy_from_slice(&decoded);
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        return Err("a key must be random bytes");
    }
    Ok(bytes)
}
