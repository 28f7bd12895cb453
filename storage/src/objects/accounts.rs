//! Accounts that are kept on the disks. Who they let in, and accounts that come from elsewhere, are not this crate's matter.
//!
//! An account stands under its identifier, and its access key under a key of its own: so no two accounts ever have one access key,
//! whoever else makes accounts at the same time.

use std::fmt;

use bytes::Bytes;

use super::{
    AccountId, Store, StoreError,
    commit::{ATTEMPTS, Draft},
    keys,
    pages::Pages,
    record::{AccountRecord, RecordError},
};
use crate::meta::Revision;

/// Accounts read at a time.
const PAGE: usize = 256;

/// What an account signs with. Sealing and opening it is not this crate's matter.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredSecret {
    /// As it is, by a release before secrets were sealed.
    Clear(String),
    /// Sealed: opaque here.
    Sealed(Vec<u8>),
}

impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear(_) => "Clear(…)",
            Self::Sealed(_) => "Sealed(…)",
        })
    }
}

/// An account with the one key pair that may do everything in it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAccount {
    /// Its identifier.
    pub id: AccountId,
    /// What it is called.
    pub name: String,
    /// Where its owner is reached; may be empty.
    pub email: String,
    /// What access control lists call it.
    pub canonical_id: String,
    /// Who signs.
    pub access_key: String,
    /// What with.
    pub secret: StoredSecret,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_unix_millis: u64,
}

impl fmt::Debug for StoredAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredAccount")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// All accounts that are kept here, by identifier.
    ///
    /// # Errors
    /// Those of the metadata engine; [`StoreError::Record`] for one that a newer release wrote.
    pub async fn accounts(&self) -> Result<Vec<StoredAccount>, StoreError> {
        let (from, to) = keys::all_accounts();
        let mut pages = Pages::new(&*self.inner.meta, from, to, PAGE);
        let mut accounts = Vec::new();
        while let Some(entry) = pages.next().await? {
            let id = keys::parse_account(&entry.key).ok_or(RecordError::BadKey)?;
            accounts.push(AccountRecord::decode(&entry.value)?.into_account(id));
        }
        Ok(accounts)
    }

    /// Adds an account. On `Ok` it survives power loss.
    ///
    /// # Errors
    /// [`StoreError::AccountExists`]: its identifier or its access key is taken.
    pub async fn create_account(&self, account: &StoredAccount) -> Result<(), StoreError> {
        let mut draft = Draft::default();
        let key = keys::account(account.id);
        draft.put(key.clone(), AccountRecord::of(account).encode());
        draft.expect(key, None);
        take_access_key(&mut draft, account);
        let committed = self.try_commit(draft).await?;
        committed.map(drop).ok_or(StoreError::AccountExists)
    }

    /// Gives an account another key pair. On `Ok` that survives power loss, and the old one is gone.
    ///
    /// # Errors
    /// [`StoreError::NoSuchAccount`]; [`StoreError::AccountExists`]: the access key is taken; [`StoreError::Conflict`].
    pub async fn rotate_account_key(
        &self,
        id: AccountId,
        access_key: &str,
        secret: &StoredSecret,
    ) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let (old, revision) = self.read_account(id).await?;
            let taken = self.inner.meta.get(&keys::access_key(access_key)).await?;
            if taken.is_some() {
                return Err(StoreError::AccountExists);
            }
            let new = StoredAccount {
                access_key: access_key.to_owned(),
                secret: secret.clone(),
                ..old.clone()
            };
            let key = keys::account(id);
            let mut draft = Draft::default();
            draft.put(key.clone(), AccountRecord::of(&new).encode());
            draft.expect(key, Some(revision));
            draft.delete(keys::access_key(&old.access_key));
            take_access_key(&mut draft, &new);
            if self.try_commit(draft).await?.is_some() {
                return Ok(());
            }
        }
        Err(StoreError::Conflict)
    }

    /// Puts another form of the same secret in place. False, and nothing is changed, where the account has another secret by now, or is gone. On `Ok` it
    /// survives power loss.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn reseal_account(
        &self,
        id: AccountId,
        from: &StoredSecret,
        to: &StoredSecret,
    ) -> Result<bool, StoreError> {
        let (old, revision) = match self.read_account(id).await {
            Err(StoreError::NoSuchAccount) => return Ok(false),
            read => read?,
        };
        if old.secret != *from {
            return Ok(false);
        }
        let new = StoredAccount {
            secret: to.clone(),
            ..old
        };
        let key = keys::account(id);
        let mut draft = Draft::default();
        draft.put(key.clone(), AccountRecord::of(&new).encode());
        draft.expect(key, Some(revision));
        Ok(self.try_commit(draft).await?.is_some())
    }

    /// Removes an account that owns no bucket and has no identities. A bucket or a user that it makes at the same moment stays, and is the
    /// account's again if one of the same identifier is added.
    ///
    /// # Errors
    /// [`StoreError::NoSuchAccount`], [`StoreError::AccountNotEmpty`], [`StoreError::AccountHasIdentities`]; [`StoreError::Conflict`].
    pub async fn remove_account(&self, id: AccountId) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let (account, revision) = self.read_account(id).await?;
            if !self.list_buckets(Some(id), "", None, 1).await?.is_empty() {
                return Err(StoreError::AccountNotEmpty);
            }
            if self.has_identities(id).await? {
                return Err(StoreError::AccountHasIdentities);
            }
            let key = keys::account(id);
            let mut draft = Draft::default();
            draft.delete(key.clone());
            draft.expect(key, Some(revision));
            draft.delete(keys::access_key(&account.access_key));
            if self.try_commit(draft).await?.is_some() {
                return Ok(());
            }
        }
        Err(StoreError::Conflict)
    }

    async fn read_account(&self, id: AccountId) -> Result<(StoredAccount, Revision), StoreError> {
        let found = self.inner.meta.get(&keys::account(id)).await?;
        let found = found.ok_or(StoreError::NoSuchAccount)?;
        let account = AccountRecord::decode(&found.value)?.into_account(id);
        Ok((account, found.revision))
    }
}

fn take_access_key(draft: &mut Draft, account: &StoredAccount) {
    let key: Bytes = keys::access_key(&account.access_key);
    draft.put(key.clone(), AccountRecord::encode_reference(account.id));
    draft.expect(key, None);
}
