//! Why a named key can't be used.

use std::{io, path::PathBuf};

use crate::{
    error::{S3Code, S3Error},
    keyring::KeyringError,
    tls::TlsError,
};

/// Why settings of named keys can't be used. The text of a key or token is never shown.
#[derive(Debug, thiserror::Error)]
pub enum KmsSetupError {
    /// A file can't be read.
    #[error("{what} {}: {source}", path.display())]
    Unreadable {
        /// What it should hold.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{what} {}: {reason}", path.display())]
    Malformed {
        /// What it should hold.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The default is called as no key can be.
    #[error(
        "kms-default-key: `{0}` is no name of a key: 1 to 64 letters, digits, `.`, `_` and `-`"
    )]
    DefaultName(String),
    /// The default is not there.
    #[error("kms-default-key: there is no key `{0}` in the file of named keys")]
    NoDefault(String),
}

/// Why a named key does not wrap, or unwrap.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KmsError {
    /// No key is called so: the client names another.
    #[error("Key '{0}' does not exist")]
    NotFound(String),
    /// It is called by something that no key is called by.
    #[error("Invalid keyId '{0}'")]
    InvalidName(String),
    /// The operator has disabled it.
    #[error("{0} is disabled.")]
    Disabled(String),
    /// It is of a kind that wraps nothing.
    #[error("{0} can't be used to encrypt")]
    Unusable(String),
    /// The server may not use it.
    #[error("The server is not allowed to use the key {0}")]
    Denied(String),
    /// It is not what this key wrapped in this context: damaged, or moved.
    #[error("what {0} wrapped does not open")]
    Refused(String),
    /// The transit engine does not answer, or not as it should: later, perhaps.
    #[error("the key management service does not answer: {0}")]
    Unavailable(String),
    /// Its authorities can't be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The master keys.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

impl KmsError {
    pub(super) fn failed() -> Self {
        KeyringError::Failed.into()
    }

    /// The same, about the key of this ARN.
    pub(super) fn of(self, arn: &str) -> Self {
        let arn = arn.to_owned();
        match self {
            Self::NotFound(_) => Self::NotFound(arn),
            Self::Disabled(_) => Self::Disabled(arn),
            Self::Unusable(_) => Self::Unusable(arn),
            Self::Denied(_) => Self::Denied(arn),
            Self::Refused(_) => Self::Refused(arn),
            other => other,
        }
    }
}

const NO_ANSWER: &str = "The key management service does not answer. Please try again.";

impl From<KmsError> for S3Error {
    fn from(error: KmsError) -> Self {
        let message = error.to_string();
        let of = |code| Self::with_message(code, message.clone());
        match &error {
            KmsError::NotFound(_) | KmsError::InvalidName(_) => of(S3Code::KmsNotFound),
            KmsError::Disabled(_) => of(S3Code::KmsDisabled),
            KmsError::Unusable(_) => of(S3Code::KmsInvalidKeyUsage),
            KmsError::Denied(_) => of(S3Code::AccessDenied),
            KmsError::Unavailable(reason) => {
                tracing::warn!(reason, "the transit engine is of no use");
                Self::with_message(S3Code::ServiceUnavailable, NO_ANSWER)
            }
            KmsError::Refused(_) | KmsError::Tls(_) | KmsError::Keyring(_) => {
                Self::new(S3Code::InternalError)
            }
        }
        .source_of(error)
    }
}
