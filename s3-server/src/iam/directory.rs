//! All identities of all accounts, in memory: requests look them up, changes go to the store first.
//!
//! Invariants: what is in memory is durable; changes are made one after another, and each is finished once it is begun, whoever hangs up
//! meanwhile; after a change whose outcome is not known nothing is changed before all was read anew.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use larder_policy::{Kind, Policy, PolicyError};
use larder_storage::{
    meta::Revision,
    objects::{
        AccountId, ChangeIdentities, ChangeIdentity, IdentityKind, IdentityName,
        MAX_IDENTITY_BYTES, Store, StoreError, StoredIdentity,
    },
};
use parking_lot::RwLock;

use super::{
    error::{IamCode, IamError, IamResult, refused},
    keys::{Key, KeyUse},
    records::{Entity, Group, ManagedPolicy, Provider, Role, User},
};
use crate::keyring::Keyring;

/// Something with its record's state, and what is worked out from it once.
#[derive(Debug)]
pub(crate) struct Known<T> {
    pub(crate) record: T,
    pub(crate) arn: String,
    /// The policies that are a part of it; `None` where one can't be read: then all is denied.
    pub(crate) policies: Rules,
    revision: Revision,
}

/// Policies that were read; `None` where one can't be.
pub(crate) type Rules = Option<Arc<[Policy]>>;

/// All of one kind in one account.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// By name in lower case.
    by_name: BTreeMap<String, Arc<Known<T>>>,
    by_id: HashMap<String, Arc<Known<T>>>,
}

/// What belongs to one account.
#[derive(Debug, Default)]
pub(crate) struct Realm {
    pub(super) users: Table<User>,
    pub(super) groups: Table<Group>,
    pub(super) roles: Table<Role>,
    pub(super) policies: Table<ManagedPolicy>,
    pub(super) providers: Table<Provider>,
}

#[derive(Debug, Default)]
struct Tables {
    realms: HashMap<AccountId, Realm>,
    keys: HashMap<String, Arc<Key>>,
}

/// All identities.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    tables: RwLock<Tables>,
    changing: Arc<tokio::sync::Mutex<()>>,
    /// Whether the store may hold something else.
    is_stale: AtomicBool,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            by_name: BTreeMap::new(),
            by_id: HashMap::new(),
        }
    }
}

impl<T: Entity> Known<T> {
    fn new(record: T, account: AccountId, revision: Revision) -> Self {
        let arn = record.arn(account);
        let parse = |(name, text): (Option<&str>, &str)| {
            let name = name.map_or_else(|| arn.clone(), |name| format!("{arn}#{name}"));
            Ok(Policy::parse(text.as_bytes(), Kind::Identity)?.named(&name))
        };
        let parsed: Result<Vec<_>, PolicyError> =
            record.documents().into_iter().map(parse).collect();
        if let Err(error) = &parsed {
            tracing::error!(arn, %error, "a policy can't be read: all is denied to those whom it concerns");
        }
        Self {
            arn,
            policies: parsed.ok().map(Into::into),
            record,
            revision,
        }
    }
}

impl<T: Entity> Table<T> {
    fn insert(&mut self, known: Arc<Known<T>>) {
        let id = known.record.id().to_owned();
        self.by_name
            .insert(key_of(known.record.name()), Arc::clone(&known));
        self.by_id.insert(id, known);
    }

    fn remove(&mut self, name: &str) {
        if let Some(known) = self.by_name.remove(&key_of(name)) {
            self.by_id.remove(known.record.id());
        }
    }
}

fn key_of(name: &str) -> String {
    name.to_ascii_lowercase()
}

impl Directory {
    /// Reads everything.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Internal`] for a record that says nothing that can be understood.
    pub(crate) async fn load(&self, store: &Store, keyring: &Keyring) -> Result<(), StoreError> {
        let mut tables = Tables::default();
        let mut uses = Vec::new();
        for stored in store.identities().await? {
            match stored.name.kind {
                IdentityKind::KeyUse => uses.push(stored),
                IdentityKind::User => {
                    tables.read::<User>(&stored)?;
                    tables.read_keys(stored.name.account, stored.name.as_str(), keyring);
                }
                IdentityKind::Group => tables.read::<Group>(&stored)?,
                IdentityKind::Role => tables.read::<Role>(&stored)?,
                IdentityKind::Policy => tables.read::<ManagedPolicy>(&stored)?,
                IdentityKind::Provider => tables.read::<Provider>(&stored)?,
            }
        }
        let mut now = self.tables.write();
        for stored in uses {
            tables.read_use(&stored);
        }
        for (id, key) in &tables.keys {
            if let Some(before) = now.keys.get(id) {
                key.keep_use(before);
            }
        }
        *now = tables;
        drop(now);
        self.is_stale.store(false, Ordering::Release);
        Ok(())
    }

    /// One of an account's, by name.
    pub(crate) fn find<T: Entity>(&self, account: AccountId, name: &str) -> Option<Arc<Known<T>>> {
        let tables = self.tables.read();
        let table = T::table(tables.realms.get(&account)?);
        table.by_name.get(&key_of(name)).cloned()
    }

    /// All accounts that have identities.
    pub(super) fn accounts(&self) -> Vec<AccountId> {
        self.tables.read().realms.keys().copied().collect()
    }

    /// As [`Directory::find`], by the identifier.
    pub(crate) fn of_id<T: Entity>(&self, account: AccountId, id: &str) -> Option<Arc<Known<T>>> {
        let tables = self.tables.read();
        T::table(tables.realms.get(&account)?)
            .by_id
            .get(id)
            .cloned()
    }

    /// All of an account's, by name.
    pub(crate) fn all<T: Entity>(&self, account: AccountId) -> Vec<Arc<Known<T>>> {
        let tables = self.tables.read();
        let realm = tables.realms.get(&account);
        realm.map_or_else(Vec::new, |realm| {
            T::table(realm).by_name.values().cloned().collect()
        })
    }

    /// Whether there is a user, a role, or a role of which it is a session, that policies call `arn`.
    pub(crate) fn has(&self, account: AccountId, arn: &str) -> bool {
        let resource = arn.rsplit(':').next().unwrap_or_default();
        if let Some(session) = resource.strip_prefix("assumed-role/") {
            let role = session.split('/').next().unwrap_or_default();
            return self.find::<Role>(account, role).is_some();
        }
        let name = resource.rsplit('/').next().unwrap_or_default();
        let user = self
            .find::<User>(account, name)
            .map(|user| user.arn.clone());
        let role = self
            .find::<Role>(account, name)
            .map(|role| role.arn.clone());
        [user, role].into_iter().flatten().any(|known| known == arn)
    }

    /// An access key.
    pub(crate) fn key(&self, access_key: &str) -> Option<Arc<Key>> {
        self.tables.read().keys.get(access_key).cloned()
    }

    /// All access keys that were used since they were last asked for here.
    pub(super) fn used_keys(&self) -> Vec<Arc<Key>> {
        let tables = self.tables.read();
        tables
            .keys
            .values()
            .filter(|key| key.take_dirty())
            .cloned()
            .collect()
    }

    /// Begins a change; others wait until it is over. What it is based on is read after this.
    ///
    /// # Errors
    /// Those of the store, where all had to be read anew.
    pub(crate) async fn change(
        self: &Arc<Self>,
        account: AccountId,
        store: &Store,
        keyring: &Arc<Keyring>,
    ) -> IamResult<Change> {
        let guard = Arc::clone(&self.changing).lock_owned().await;
        if self.is_stale.load(Ordering::Acquire) {
            self.load(store, keyring).await?;
        }
        Ok(Change {
            directory: Arc::clone(self),
            store: store.clone(),
            keyring: Arc::clone(keyring),
            account,
            batch: ChangeIdentities::default(),
            apply: Vec::new(),
            _guard: guard,
        })
    }
}

impl Tables {
    fn read<T: Entity>(&mut self, stored: &StoredIdentity) -> Result<(), StoreError> {
        let account = stored.name.account;
        let record: T = serde_json::from_slice(&stored.content)
            .map_err(|error| StoreError::Internal(format!("{:?}: {error}", stored.name)))?;
        let known = Known::new(record, account, stored.revision);
        T::table_mut(self.realms.entry(account).or_default()).insert(Arc::new(known));
        Ok(())
    }

    /// Puts the access keys of a user in place.
    fn read_keys(&mut self, account: AccountId, user: &str, keyring: &Keyring) {
        let realm = self.realms.get(&account);
        let Some(user) = realm.and_then(|realm| realm.users.by_name.get(&key_of(user))) else {
            return;
        };
        for record in &user.record.keys {
            let key = Key::read(record, account, &user.record.id, keyring);
            if let Some(before) = self.keys.get(&record.id) {
                key.keep_use(before);
            }
            self.keys.insert(record.id.clone(), Arc::new(key));
        }
    }

    fn read_use(&self, stored: &StoredIdentity) {
        let found: Result<KeyUse, _> = serde_json::from_slice(&stored.content);
        if let (Ok(found), Some(key)) = (found, self.keys.get(stored.name.as_str())) {
            key.set_use(found);
        }
    }
}

type Apply = Box<dyn FnOnce(&mut Tables, Revision, &Keyring) + Send>;

/// A change of several records, all or none of which is made.
pub(crate) struct Change {
    directory: Arc<Directory>,
    store: Store,
    keyring: Arc<Keyring>,
    account: AccountId,
    batch: ChangeIdentities,
    apply: Vec<Apply>,
    _guard: tokio::sync::OwnedMutexGuard<()>,
}

impl Change {
    /// Adds what is not there yet, or puts `new` in the place of `old`, under another name if it has one.
    ///
    /// # Errors
    /// [`IamCode::LimitExceeded`]: it would be too large.
    pub(crate) fn put<T: Entity>(&mut self, old: Option<&Known<T>>, new: T) -> IamResult<()> {
        let content = serde_json::to_vec(&new).map_err(IamError::internal)?;
        if content.len() > MAX_IDENTITY_BYTES {
            let message = format!(
                "Cannot exceed quota for the policies and tags of one identity: {MAX_IDENTITY_BYTES} bytes"
            );
            return refused(IamCode::LimitExceeded, message);
        }
        let same_place = old.filter(|old| key_of(old.record.name()) == key_of(new.name()));
        if same_place.is_none()
            && let Some(old) = old
        {
            self.delete(old);
        }
        self.batch.records.push(ChangeIdentity {
            name: IdentityName::new(self.account, T::KIND, new.name()),
            expected: same_place.map(|old| old.revision),
            content: Some(content.into()),
        });
        let account = self.account;
        self.apply.push(Box::new(move |tables, revision, keyring| {
            let name = new.name().to_owned();
            let known = Known::new(new, account, revision);
            T::table_mut(tables.realms.entry(account).or_default()).insert(Arc::new(known));
            if T::KIND == IdentityKind::User {
                tables.read_keys(account, &name, keyring);
            }
        }));
        Ok(())
    }

    /// Removes something.
    pub(crate) fn delete<T: Entity>(&mut self, old: &Known<T>) {
        self.batch.records.push(ChangeIdentity {
            name: IdentityName::new(self.account, T::KIND, old.record.name()),
            expected: Some(old.revision),
            content: None,
        });
        let (account, name) = (self.account, old.record.name().to_owned());
        self.apply.push(Box::new(move |tables, _, _| {
            if let Some(realm) = tables.realms.get_mut(&account) {
                T::table_mut(realm).remove(&name);
            }
        }));
    }

    /// Takes an access key for the account.
    pub(super) fn take_key(&mut self, access_key: &str) {
        let taken = (self.account, access_key.to_owned());
        self.batch.new_keys.push(taken);
    }

    /// Gives an access key back.
    pub(super) fn free_key(&mut self, access_key: &str) {
        let freed = access_key.to_owned();
        self.batch.freed_keys.push((self.account, freed.clone()));
        self.apply.push(Box::new(move |tables, _, _| {
            tables.keys.remove(&freed);
        }));
    }

    /// Makes the change. On `Ok` it survives power loss, and requests see it.
    ///
    /// # Errors
    /// Those of the store; where the outcome is not known, the next change reads everything anew.
    ///
    /// # Cancel safety
    /// Once it was polled, it goes on by itself.
    pub(crate) async fn commit(self) -> IamResult<()> {
        let task = tokio::spawn(self.run());
        task.await.map_err(IamError::internal)?
    }

    async fn run(self) -> IamResult<()> {
        let (directory, keyring) = (&self.directory, &self.keyring);
        match self.store.change_identities(&self.batch).await {
            Ok(revision) => {
                let mut tables = directory.tables.write();
                for apply in self.apply {
                    apply(&mut tables, revision, keyring);
                }
                Ok(())
            }
            Err(error) => {
                directory.is_stale.store(true, Ordering::Release);
                if let Err(again) = directory.load(&self.store, keyring).await {
                    tracing::warn!(error = %again, "identities can't be read: the next change does it");
                }
                Err(error.into())
            }
        }
    }
}
