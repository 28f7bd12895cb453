//! Temporary credentials. Nothing of them is kept: the token has all that there is to know, sealed under the master key.
//!
//! Invariant: a token that was not sealed here opens nowhere, so nobody gives themselves more than they have.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use larder_storage::objects::AccountId;
use serde::{Deserialize, Serialize};

use super::{
    error::{IamCode, IamError, IamResult, refused},
    names::Tag,
};
use crate::keyring::Keyring;

const CONTEXT: &[u8] = b"larder/sts/session";
/// The longest token: it comes with each request.
const MAX_TOKEN_BYTES: usize = 8 << 10;

/// What a token says.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) access_key: String,
    pub(crate) secret: String,
    /// Twelve digits.
    pub(super) account: String,
    pub(crate) of: SessionOf,
    /// Seconds since 1970, as the next.
    pub(crate) issued: u64,
    pub(crate) expires: u64,
    /// Documents that say the most that the session may do.
    pub(super) policies: Vec<String>,
    /// The same, by ARN.
    pub(super) policy_arns: Vec<String>,
    pub(super) tags: Vec<Tag>,
    /// The identity provider that vouched for whoever took on the role.
    pub(super) provider: Option<String>,
}

/// Whose session it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum SessionOf {
    /// A user's own.
    User {
        /// Its identifier.
        id: String,
    },
    /// Somebody's who took on a role.
    Role {
        /// Its identifier.
        id: String,
        /// What the session calls itself.
        session: String,
    },
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("access_key", &self.access_key)
            .field("account", &self.account)
            .field("of", &self.of)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// The token.
    ///
    /// # Errors
    /// [`IamCode::PackedPolicyTooLarge`].
    pub(super) fn seal(&self, keyring: &Keyring) -> IamResult<String> {
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(self).map_err(IamError::internal)?);
        let token = STANDARD.encode(keyring.seal(CONTEXT, &plain)?);
        if token.len() <= MAX_TOKEN_BYTES {
            return Ok(token);
        }
        refused(
            IamCode::PackedPolicyTooLarge,
            "Packed size of the session's policies and tags exceeds the allowed size.",
        )
    }

    /// What a token says; `None` for what is none.
    pub(crate) fn open(token: &str, keyring: &Keyring) -> Option<Self> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let plain = keyring.open(CONTEXT, &STANDARD.decode(token).ok()?).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// The account that it is of.
    pub(crate) fn account(&self) -> Option<AccountId> {
        self.account.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            access_key: "ASIAX".to_owned(),
            secret: "hunter2".to_owned(),
            account: "111122223333".to_owned(),
            of: SessionOf::User {
                id: "AIDAX".to_owned(),
            },
            issued: 1,
            expires: 2,
            policies: Vec::new(),
            policy_arns: Vec::new(),
            tags: Vec::new(),
            provider: None,
        }
    }

    #[test]
    fn only_what_was_sealed_here_opens() {
        let (keyring, other) = (Keyring::made_up().unwrap(), Keyring::made_up().unwrap());
        let token = session().seal(&keyring).unwrap();
        assert_eq!(Session::open(&token, &keyring).unwrap().access_key, "ASIAX");
        assert!(Session::open(&token, &other).is_none());
        assert!(Session::open("", &keyring).is_none() && Session::open("!", &keyring).is_none());
        let plain = STANDARD.encode(serde_json::to_vec(&session()).unwrap());
        assert!(Session::open(&plain, &keyring).is_none(), "self-made");
        let elsewhere = keyring.seal(
            b"larder/iam/access-key/ASIAX",
            &serde_json::to_vec(&session()).unwrap(),
        );
        assert!(Session::open(&STANDARD.encode(elsewhere.unwrap()), &keyring).is_none());
        let middle = token.len() / 2;
        let changed = if token.as_bytes()[middle] == b'A' {
            "B"
        } else {
            "A"
        };
        let spoilt = format!("{}{changed}{}", &token[..middle], &token[middle + 1..]);
        assert!(Session::open(&spoilt, &keyring).is_none());
    }

    #[test]
    fn a_token_is_bounded_and_shows_no_secret() {
        let keyring = Keyring::made_up().unwrap();
        let large = Session {
            policies: vec!["x".repeat(MAX_TOKEN_BYTES)],
            ..session()
        };
        assert_eq!(
            large.seal(&keyring).unwrap_err().code(),
            IamCode::PackedPolicyTooLarge
        );
        assert!(!format!("{:?}", session()).contains("hunter2"));
    }
}
