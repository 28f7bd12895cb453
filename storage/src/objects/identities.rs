//! Identities of accounts: users, groups, roles, policies and what belongs to them, as records of the server's own making.
//!
//! What a record says is not this crate's matter. It keeps records by account, kind and name, changes several of them at once or not at all,
//! and sees to it that no access key is ever given twice, to identities or to accounts.
//!
//! Invariant: a change is made only if every record that it names still has the revision that whoever asks for it has seen.

use std::collections::HashSet;

use bytes::Bytes;

use super::{
    AccountId, Store, StoreError,
    commit::Draft,
    keys,
    pages::Pages,
    record::{AccountRecord, IdentityRecord, RecordError},
};
use crate::meta::Revision;

/// Records read at a time.
const PAGE: usize = 256;
/// The most bytes that a record may have: with its frame it stays below what a value may have.
pub const MAX_IDENTITY_BYTES: usize = 56 << 10;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum IdentityKind {
    /// A group of users.
    Group = b'g',
    /// When an access key was last used.
    KeyUse = b'k',
    /// An identity provider that vouches for others.
    Provider = b'o',
    /// A policy that can be attached.
    Policy = b'p',
    /// A role that can be taken on.
    Role = b'r',
    /// A user.
    User = b'u',
}

impl IdentityKind {
    const ALL: [Self; 6] = [
        Self::Group,
        Self::KeyUse,
        Self::Provider,
        Self::Policy,
        Self::Role,
        Self::User,
    ];

    pub(super) fn code(self) -> u8 {
        self as u8
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Which record. Two names that differ only in the case of ASCII letters are one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityName {
    /// Whose.
    pub account: AccountId,
    /// Of what.
    pub kind: IdentityKind,
    name: String,
}

impl IdentityName {
    /// The record of `name`.
    pub fn new(account: AccountId, kind: IdentityKind, name: &str) -> Self {
        Self {
            account,
            kind,
            name: name.to_ascii_lowercase(),
        }
    }

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub(super) fn of_parsed(account: AccountId, kind: IdentityKind, name: String) -> Self {
        Self {
            account,
            kind,
            name,
        }
    }
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredIdentity {
    /// Which.
    pub name: IdentityName,
    /// What it says.
    pub content: Bytes,
    /// Which state of it that is.
    pub revision: Revision,
}

/// One record of a change.
#[derive(Clone, Debug)]
pub struct ChangeIdentity {
    /// Which.
    pub name: IdentityName,
    /// The state that it must be in; `None`: there is none yet.
    pub expected: Option<Revision>,
    /// What it is to say; `None`: it goes.
    pub content: Option<Bytes>,
}

/// What is changed at once.
#[derive(Clone, Debug, Default)]
pub struct ChangeIdentities {
    /// The records.
    pub records: Vec<ChangeIdentity>,
    /// Access keys that nobody may have yet, and that are the account's from then on.
    pub new_keys: Vec<(AccountId, String)>,
    /// Access keys that are nobody's any more, with when they were last used.
    pub freed_keys: Vec<(AccountId, String)>,
}

impl Store {
    /// All records of all accounts, by account, kind and name.
    ///
    /// # Errors
    /// Those of the metadata engine; [`StoreError::Record`] for one that a newer release wrote.
    pub async fn identities(&self) -> Result<Vec<StoredIdentity>, StoreError> {
        let (from, to) = keys::all_identities();
        let mut pages = Pages::new(&*self.inner.meta, from, to, PAGE);
        let mut all = Vec::new();
        while let Some(entry) = pages.next().await? {
            let name = keys::parse_identity(&entry.key).ok_or(RecordError::BadKey)?;
            let content = IdentityRecord::decode(&entry.value)?.content;
            let revision = entry.revision;
            all.push(StoredIdentity {
                name,
                content,
                revision,
            });
        }
        Ok(all)
    }

    /// One record.
    ///
    /// # Errors
    /// As [`Store::identities`].
    pub async fn identity(
        &self,
        name: &IdentityName,
    ) -> Result<Option<StoredIdentity>, StoreError> {
        let Some(found) = self.inner.meta.get(&keys::identity(name)).await? else {
            return Ok(None);
        };
        Ok(Some(StoredIdentity {
            name: name.clone(),
            content: IdentityRecord::decode(&found.value)?.content,
            revision: found.revision,
        }))
    }

    /// Changes records, all of them or none. On `Ok` that survives power loss; the revision is that of all that was put.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: a record is in another state than expected, or an access key is taken: the caller reads and decides anew.
    /// [`StoreError::MetadataTooLarge`] for a record over [`MAX_IDENTITY_BYTES`].
    pub async fn change_identities(
        &self,
        change: &ChangeIdentities,
    ) -> Result<Revision, StoreError> {
        let mut draft = Draft::default();
        let mut seen = HashSet::new();
        for record in &change.records {
            let key = keys::identity(&record.name);
            if !seen.insert(key.clone()) {
                let reason = format!("{:?} is changed twice at once", record.name);
                return Err(StoreError::Internal(reason));
            }
            draft.expect(key.clone(), record.expected);
            match &record.content {
                None => draft.delete(key),
                Some(content) => draft.put(key, encode(content)?),
            }
        }
        for (account, access_key) in &change.new_keys {
            let key = keys::access_key(access_key);
            draft.put(key.clone(), AccountRecord::encode_reference(*account));
            draft.expect(key, None);
        }
        for (account, access_key) in &change.freed_keys {
            draft.delete(keys::access_key(access_key));
            draft.delete(keys::identity(&key_use(*account, access_key)));
        }
        let committed = self.try_commit(draft).await?;
        committed.ok_or(StoreError::Conflict)
    }

    /// Notes when an access key was last used; nothing happens if it is nobody's any more. Durable when it returns.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn note_key_use(
        &self,
        account: AccountId,
        access_key: &str,
        content: &Bytes,
    ) -> Result<(), StoreError> {
        let reference = keys::access_key(access_key);
        let Some(found) = self.inner.meta.get(&reference).await? else {
            return Ok(());
        };
        let mut draft = Draft::default();
        let key = keys::identity(&key_use(account, access_key));
        draft.put(key, encode(content)?);
        draft.expect(reference, Some(found.revision));
        // A conflict: the key has gone meanwhile.
        self.try_commit(draft).await.map(drop)
    }

    /// Whether an account has any identity.
    pub(super) async fn has_identities(&self, account: AccountId) -> Result<bool, StoreError> {
        let (from, to) = keys::identities_of(account);
        Ok(!self.inner.meta.scan(&from, &to, 1).await?.is_empty())
    }
}

fn key_use(account: AccountId, access_key: &str) -> IdentityName {
    // An access key is as it is written.
    IdentityName::of_parsed(account, IdentityKind::KeyUse, access_key.to_owned())
}

fn encode(content: &Bytes) -> Result<Vec<u8>, StoreError> {
    let bytes = content.len();
    if bytes > MAX_IDENTITY_BYTES {
        return Err(StoreError::MetadataTooLarge { bytes });
    }
    Ok(IdentityRecord::of(content).encode())
}
