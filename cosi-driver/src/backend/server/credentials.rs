//! Who the driver is.

use std::{fmt, path::PathBuf, sync::Arc};

use parking_lot::RwLock;
use zeroize::Zeroizing;

use crate::provision::KeyPair;

const ACCESS_KEY: &str = "LARDER_COSI_ACCESS_KEY";
const SECRET_KEY: &str = "LARDER_COSI_SECRET_KEY";
/// More is no key.
const MAX_BYTES: u64 = 4096;

/// Where the driver's key pair is from.
#[derive(Clone)]
pub struct CredentialSource {
    access_key: Part,
    secret_key: Part,
}

#[derive(Clone)]
enum Part {
    Given(Zeroizing<String>),
    File(PathBuf),
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSource").finish_non_exhaustive()
    }
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Half of the pair is missing.
    #[error(
        "{0} is not set: give the driver its key pair by {ACCESS_KEY} and {SECRET_KEY}, or by files that {ACCESS_KEY}_FILE and {SECRET_KEY}_FILE name"
    )]
    Missing(&'static str),
    /// Both ways are used.
    #[error("{0} and {0}_FILE are both set: set one of them")]
    Both(&'static str),
    /// A file can't be read, or holds no key.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Never what is in it.
        reason: String,
    },
}

impl CredentialSource {
    /// A key pair that stays.
    pub fn given(pair: &KeyPair) -> Self {
        Self {
            access_key: Part::Given(Zeroizing::new(pair.access_key.clone())),
            secret_key: Part::Given(pair.secret_key.clone()),
        }
    }

    /// As the environment says: `LARDER_COSI_ACCESS_KEY` and `LARDER_COSI_SECRET_KEY`, or files by the same names with `_FILE`.
    ///
    /// # Errors
    /// [`CredentialsError::Missing`], [`CredentialsError::Both`].
    pub fn of_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, CredentialsError> {
        let part = |name: &'static str| {
            let value = variable(name).filter(|value| !value.is_empty());
            let file = variable(&format!("{name}_FILE")).filter(|path| !path.is_empty());
            match (value, file) {
                (Some(_), Some(_)) => Err(CredentialsError::Both(name)),
                (Some(value), None) => Ok(Part::Given(Zeroizing::new(value))),
                (None, Some(path)) => Ok(Part::File(path.into())),
                (None, None) => Err(CredentialsError::Missing(name)),
            }
        };
        Ok(Self {
            access_key: part(ACCESS_KEY)?,
            secret_key: part(SECRET_KEY)?,
        })
    }

    async fn read(&self) -> Result<KeyPair, CredentialsError> {
        let access_key = self.access_key.read().await?;
        Ok(KeyPair {
            access_key: (*access_key).clone(),
            secret_key: self.secret_key.read().await?,
        })
    }
}

impl Part {
    async fn read(&self) -> Result<Zeroizing<String>, CredentialsError> {
        let path = match self {
            Self::Given(value) => return Ok(value.clone()),
            Self::File(path) => path,
        };
        let wrong = |reason: String| CredentialsError::File {
            path: path.clone(),
            reason,
        };
        let metadata = tokio::fs::metadata(path).await;
        if metadata.is_ok_and(|metadata| metadata.len() > MAX_BYTES) {
            return Err(wrong("too large to be a key".to_owned()));
        }
        let text = tokio::fs::read_to_string(path).await.map(Zeroizing::new);
        let text = text.map_err(|error| wrong(error.to_string()))?;
        let key = text.trim();
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
        if !is_key {
            return Err(wrong("no key in it".to_owned()));
        }
        Ok(Zeroizing::new(key.to_owned()))
    }
}

/// The key pair in use.
#[derive(Debug)]
pub(super) struct Identity {
    source: CredentialSource,
    current: RwLock<Option<Arc<KeyPair>>>,
}

impl Identity {
    pub(super) fn new(source: CredentialSource) -> Self {
        Self {
            source,
            current: RwLock::new(None),
        }
    }

    /// The pair to sign with.
    pub(super) async fn pair(&self) -> Result<Arc<KeyPair>, CredentialsError> {
        let current = self.current.read().clone();
        match current {
            Some(pair) => Ok(pair),
            None => self.read_again().await,
        }
    }

    /// Another pair than the one that was refused, if there is one by now.
    pub(super) async fn after(&self, refused: &KeyPair) -> Option<Arc<KeyPair>> {
        let read = self.read_again().await.ok()?;
        (*read != *refused).then_some(read)
    }

    async fn read_again(&self) -> Result<Arc<KeyPair>, CredentialsError> {
        let pair = Arc::new(self.source.read().await?);
        *self.current.write() = Some(Arc::clone(&pair));
        Ok(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(variables: &[(&str, &str)]) -> Result<CredentialSource, CredentialsError> {
        CredentialSource::of_environment(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn half_a_pair_is_none() {
        let message = |variables: &[_]| source(variables).unwrap_err().to_string();
        assert!(message(&[(ACCESS_KEY, "a")]).starts_with("LARDER_COSI_SECRET_KEY is not set"));
        let both = [(ACCESS_KEY, "a"), ("LARDER_COSI_ACCESS_KEY_FILE", "/a")];
        assert!(message(&both).contains("both set"));
    }

    #[tokio::test]
    async fn files_are_read_again_when_a_pair_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "first\n").unwrap();
        let file = path.to_str().unwrap();
        let pairs = [(ACCESS_KEY, "id"), ("LARDER_COSI_SECRET_KEY_FILE", file)];
        let identity = Identity::new(source(&pairs).unwrap());
        let first = identity.pair().await.unwrap();
        assert_eq!(first.secret_key.as_str(), "first");
        assert_eq!(identity.after(&first).await, None);
        std::fs::write(&path, "second").unwrap();
        let second = identity.after(&first).await.unwrap();
        assert_eq!(second.secret_key.as_str(), "second");
        assert_eq!(identity.pair().await.unwrap(), second);
        assert!(!format!("{identity:?}").contains("second"));
        for wrong in ["", "a b", &"x".repeat(5000)] {
            std::fs::write(&path, wrong).unwrap();
            let error = identity.source.read().await.unwrap_err().to_string();
            assert!(error.contains("key"), "{error}");
            assert!(!error.contains("a b"), "{error}");
        }
    }
}
