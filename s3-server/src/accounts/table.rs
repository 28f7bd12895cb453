//! Accounts by each of their names.

use std::{collections::HashMap, sync::Arc};

use larder_storage::objects::AccountId;

use super::Account;

#[derive(Debug, Default)]
pub(super) struct Table {
    access_keys: HashMap<String, Arc<Account>>,
    ids: HashMap<AccountId, Arc<Account>>,
    canonical_ids: HashMap<String, Arc<Account>>,
}

impl Table {
    /// A table of `accounts`, without those of which an earlier one has a name.
    pub(super) fn new<'a>(accounts: impl Iterator<Item = &'a Arc<Account>>) -> Self {
        let mut table = Self::default();
        for account in accounts {
            match table.taken(account) {
                None => table.insert(account),
                Some(what) => tracing::warn!(
                    account = %account.id,
                    origin = account.origin.as_str(),
                    "account left out: its {what} is another's"
                ),
            }
        }
        table
    }

    pub(super) fn of_access_key(&self, access_key: &str) -> Option<&Arc<Account>> {
        self.access_keys.get(access_key)
    }

    pub(super) fn of_id(&self, id: AccountId) -> Option<&Arc<Account>> {
        self.ids.get(&id)
    }

    pub(super) fn of_canonical_id(&self, canonical_id: &str) -> Option<&Arc<Account>> {
        self.canonical_ids.get(canonical_id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.ids.values()
    }

    /// Which of its names is another's.
    fn taken(&self, account: &Account) -> Option<&'static str> {
        if self.of_id(account.id).is_some() {
            Some("id")
        } else if self.of_access_key(&account.access_key).is_some() {
            Some("access key")
        } else {
            let canonical = self.of_canonical_id(&account.canonical_id);
            canonical.map(|_| "canonical id")
        }
    }

    fn insert(&mut self, account: &Arc<Account>) {
        let shared = || Arc::clone(account);
        self.ids.insert(account.id, shared());
        self.access_keys
            .insert(account.access_key.clone(), shared());
        self.canonical_ids
            .insert(account.canonical_id.clone(), shared());
    }
}
