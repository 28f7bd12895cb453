//! Users and roles.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::super::{
    AccessKey, BackendError, BackendResult, IdentityKind, ListedIdentity, NewIdentity,
    StoredIdentity,
};
use crate::provision::KeyPair;

const MAX_KEYS: usize = 2;
const USER_POLICY_CHARS: usize = 2048;
const ROLE_POLICY_CHARS: usize = 10240;

#[derive(Debug, Default)]
pub(super) struct Identities {
    all: BTreeMap<(IdentityKind, String), Identity>,
    /// Keys that were ever made.
    count: u64,
}

#[derive(Debug)]
struct Identity {
    stored: StoredIdentity,
    policies: BTreeMap<String, String>,
    keys: Vec<Key>,
}

struct Key {
    shown: AccessKey,
    secret: Zeroizing<String>,
    token: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.shown).finish()
    }
}

fn missing(kind: IdentityKind, name: &str) -> BackendError {
    let word = kind.word().to_ascii_lowercase();
    BackendError::NoSuchEntity(format!("The {word} with name {name} cannot be found."))
}

impl Identities {
    fn get(&self, kind: IdentityKind, name: &str) -> BackendResult<&Identity> {
        let found = self.all.get(&(kind, name.to_owned()));
        found.ok_or_else(|| missing(kind, name))
    }

    fn get_mut(&mut self, kind: IdentityKind, name: &str) -> BackendResult<&mut Identity> {
        let found = self.all.get_mut(&(kind, name.to_owned()));
        found.ok_or_else(|| missing(kind, name))
    }

    pub(super) fn user_of_key(&self, access_key: &str) -> Option<String> {
        let counts = |key: &Key| key.shown.id == access_key && key.shown.is_active;
        let mut all = self.all.iter();
        let found = all.find(|(_, identity)| identity.keys.iter().any(counts));
        found.map(|((_, name), _)| name.clone())
    }

    pub(super) fn create(
        &mut self,
        kind: IdentityKind,
        new: &NewIdentity,
        account: &str,
    ) -> BackendResult<StoredIdentity> {
        let at = (kind, new.name.clone());
        if self.all.contains_key(&at) {
            let (word, name) = (kind.word(), &new.name);
            let message = format!("{word} with name {name} already exists.");
            return Err(BackendError::EntityAlreadyExists(message));
        }
        let word = kind.word().to_ascii_lowercase();
        let stored = StoredIdentity {
            arn: format!("arn:aws:iam::{account}:{word}{}{}", new.path, new.name),
            path: new.path.clone(),
            created: OffsetDateTime::now_utc(),
            tags: new.tags.clone(),
        };
        let made = Identity {
            stored: stored.clone(),
            policies: BTreeMap::new(),
            keys: Vec::new(),
        };
        self.all.insert(at, made);
        Ok(stored)
    }

    pub(super) fn stored(&self, kind: IdentityKind, name: &str) -> Option<StoredIdentity> {
        let found = self.get(kind, name).ok()?;
        Some(found.stored.clone())
    }

    pub(super) fn stored_mut(
        &mut self,
        kind: IdentityKind,
        name: &str,
    ) -> BackendResult<&mut StoredIdentity> {
        Ok(&mut self.get_mut(kind, name)?.stored)
    }

    pub(super) fn list(&self, kind: IdentityKind, path: &str) -> Vec<ListedIdentity> {
        let below = self
            .all
            .iter()
            .filter(|((of, _), identity)| *of == kind && identity.stored.path.starts_with(path));
        let listed = below.map(|((_, name), identity)| ListedIdentity {
            name: name.clone(),
            created: identity.stored.created,
        });
        listed.collect()
    }

    pub(super) fn delete(&mut self, kind: IdentityKind, name: &str) -> BackendResult<()> {
        let identity = self.get(kind, name)?;
        let conflict = |what: &str| {
            let message = format!("Cannot delete entity, must delete {what} first.");
            Err(BackendError::DeleteConflict(message))
        };
        if !identity.keys.is_empty() {
            return conflict("access keys");
        }
        if !identity.policies.is_empty() {
            return conflict("policies");
        }
        self.all.remove(&(kind, name.to_owned()));
        Ok(())
    }

    pub(super) fn put_policy(
        &mut self,
        kind: IdentityKind,
        name: &str,
        policy: &str,
        document: &str,
    ) -> BackendResult<()> {
        let identity = self.get_mut(kind, name)?;
        let most = match kind {
            IdentityKind::User => USER_POLICY_CHARS,
            IdentityKind::Role => ROLE_POLICY_CHARS,
        };
        let others = identity.policies.iter();
        let others = others.filter(|(known, _)| *known != policy);
        let texts = others.map(|(_, text)| text.as_str());
        let chars = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
        if texts.chain([document]).map(chars).sum::<usize>() > most {
            let word = kind.word().to_ascii_lowercase();
            let message = format!("Maximum policy size of {most} bytes exceeded for {word} {name}");
            return Err(BackendError::LimitExceeded(message));
        }
        let policies = &mut identity.policies;
        policies.insert(policy.to_owned(), document.to_owned());
        Ok(())
    }

    pub(super) fn policy(&self, kind: IdentityKind, name: &str, policy: &str) -> Option<String> {
        self.get(kind, name).ok()?.policies.get(policy).cloned()
    }

    pub(super) fn delete_policy(
        &mut self,
        kind: IdentityKind,
        name: &str,
        policy: &str,
    ) -> BackendResult<()> {
        let gone = self.get_mut(kind, name)?.policies.remove(policy);
        let missing = || {
            let message = format!("The policy with name {policy} cannot be found.");
            BackendError::NoSuchEntity(message)
        };
        gone.map(drop).ok_or_else(missing)
    }

    pub(super) fn create_key(&mut self, user: &str, token: &str) -> BackendResult<KeyPair> {
        let number = self.count + 1;
        let identity = self.get_mut(IdentityKind::User, user)?;
        let pair = |key: &Key| KeyPair {
            access_key: key.shown.id.clone(),
            secret_key: key.secret.clone(),
        };
        if let Some(key) = identity.keys.iter().find(|key| key.token == token) {
            return Ok(pair(key));
        }
        if identity.keys.len() >= MAX_KEYS {
            let message = format!("Cannot exceed quota for AccessKeysPerUser: {MAX_KEYS}");
            return Err(BackendError::LimitExceeded(message));
        }
        let key = Key::new(number, token);
        let made = pair(&key);
        identity.keys.push(key);
        self.count = number;
        Ok(made)
    }

    pub(super) fn keys(&self, user: &str) -> BackendResult<Vec<AccessKey>> {
        let keys = &self.get(IdentityKind::User, user)?.keys;
        Ok(keys.iter().map(|key| key.shown.clone()).collect())
    }

    pub(super) fn activate_key(
        &mut self,
        user: &str,
        access_key: &str,
        is_active: bool,
    ) -> BackendResult<()> {
        let keys = &mut self.get_mut(IdentityKind::User, user)?.keys;
        let found = keys.iter_mut().find(|key| key.shown.id == access_key);
        let key = found.ok_or_else(|| no_key(access_key))?;
        key.shown.is_active = is_active;
        Ok(())
    }

    pub(super) fn delete_key(&mut self, user: &str, access_key: &str) -> BackendResult<()> {
        let keys = &mut self.get_mut(IdentityKind::User, user)?.keys;
        let found = keys.iter().position(|key| key.shown.id == access_key);
        keys.remove(found.ok_or_else(|| no_key(access_key))?);
        Ok(())
    }
}

fn no_key(access_key: &str) -> BackendError {
    let message = format!("The Access Key with id {access_key} cannot be found.");
    BackendError::NoSuchEntity(message)
}

impl Key {
    fn new(number: u64, token: &str) -> Self {
        let secret = hex::encode(Sha256::digest(format!("{number}/{token}")));
        Self {
            shown: AccessKey {
                id: format!("AKIA{number:016}"),
                is_active: true,
                created: OffsetDateTime::now_utc(),
            },
            secret: Zeroizing::new(secret.chars().take(40).collect()),
            token: token.to_owned(),
        }
    }
}
