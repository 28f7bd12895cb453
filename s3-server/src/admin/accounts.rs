//! `accounts`: who may sign, how much is in their buckets, and how much may be; `accounts/quota`: sets the latter; `accounts/add`, `accounts/rotate`, `accounts/remove`: those that are kept in the store.

use std::sync::Arc;

use larder_storage::objects::{
    AccountId, Quota, Store, StoreError, StoredAccount, StoredSecret, Tally,
};
use serde::{Deserialize, Serialize};

use super::{AdminCall, AdminError, AdminResult, json};
use crate::{
    accounts::{Account, Origin, canonical_id, check_key_pair, check_name, seal_secret},
    credentials,
    http::Response,
};

/// Below [`super::V1`].
pub const PATH: &str = "accounts";
/// Below [`super::V1`].
pub const ADD_PATH: &str = "accounts/add";
/// Below [`super::V1`].
pub const QUOTA_PATH: &str = "accounts/quota";
/// Below [`super::V1`].
pub const REMOVE_PATH: &str = "accounts/remove";
/// Below [`super::V1`].
pub const ROTATE_PATH: &str = "accounts/rotate";

/// How many identifiers are drawn until one is free.
const DRAWS: usize = 16;

/// All accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AccountList {
    /// The operator's first, then by identifier.
    pub accounts: Vec<AccountEntry>,
}

/// One account; its secret is never shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AccountEntry {
    /// Twelve digits.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Where its owner is reached.
    pub email: String,
    /// What access control lists call it.
    pub canonical_id: String,
    /// Who signs.
    pub access_key: String,
    /// `root`, `file` or `store`.
    pub origin: String,
    /// Buckets that it owns.
    #[serde(default)]
    pub buckets: u64,
    /// Versions of objects in all of them, without delete markers.
    #[serde(default)]
    pub objects: u64,
    /// Bytes of all of these, as clients sent them.
    #[serde(default)]
    pub bytes: u64,
    /// Bytes that may be there.
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// Objects that may be there, counted as [`AccountEntry::objects`].
    #[serde(default)]
    pub max_objects: Option<u64>,
}

/// A new quota for all buckets of an account together; what is `null` or left out has no bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AccountQuotaChange {
    /// Of this account, twelve digits.
    pub id: String,
    /// Bytes that may be there.
    pub max_bytes: Option<u64>,
    /// Objects that may be there.
    pub max_objects: Option<u64>,
}

/// A key pair that was just made. It is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NewKey {
    /// Whose.
    pub account: AccountEntry,
    /// The secret of its access key.
    pub secret_key: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// An account to add.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "NewAccount"))]
pub(super) struct Add {
    /// What it is called.
    name: String,
    /// Where its owner is reached.
    #[serde(default)]
    email: String,
    /// Twelve digits; drawn where they are not given.
    id: Option<String>,
    /// With `secret_key`, or neither: made up then.
    access_key: Option<String>,
    /// At least eight characters.
    secret_key: Option<String>,
}

/// Which account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "AccountId"))]
pub(super) struct Which {
    /// Its twelve digits.
    id: String,
}

impl From<&Account> for AccountEntry {
    fn from(account: &Account) -> Self {
        Self {
            id: account.id.to_string(),
            name: account.name.clone(),
            email: account.email.clone(),
            canonical_id: account.canonical_id.clone(),
            access_key: account.access_key.clone(),
            origin: account.origin.as_str().to_owned(),
            ..Self::default()
        }
    }
}

impl AccountEntry {
    fn with(self, (buckets, usage): (u64, Tally), quota: Quota) -> Self {
        Self {
            buckets,
            objects: usage.objects,
            bytes: usage.bytes,
            max_bytes: quota.max_bytes,
            max_objects: quota.max_objects,
            ..self
        }
    }
}

/// All of these with usage and quota.
///
/// # Errors
/// Those of the store.
pub(super) async fn entries(
    store: &Store,
    accounts: &[Arc<Account>],
) -> Result<Vec<AccountEntry>, StoreError> {
    let usage = store.usage_by_account().await?;
    let mut entries = Vec::new();
    for account in accounts {
        let usage = usage.get(&account.id).copied().unwrap_or_default();
        let quota = store.account_quota(account.id).await?;
        entries.push(AccountEntry::from(&**account).with(usage, quota));
    }
    Ok(entries)
}

pub(super) async fn list(call: AdminCall<'_>) -> AdminResult<Response> {
    let accounts = call.app().accounts.all();
    let entries = entries(call.storage()?.store(), &accounts).await;
    let accounts = entries.map_err(AdminError::internal)?;
    json(&AccountList { accounts })
}

pub(super) async fn set_quota(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let AccountQuotaChange {
        id,
        max_bytes,
        max_objects,
    } = call.body().await?;
    let id = parse_id(&id)?;
    let account = call.app().accounts.of_id(id).ok_or_else(|| unknown(id))?;
    let store = call.storage()?.store();
    let quota = Quota {
        max_bytes,
        max_objects,
    };
    let set = store.set_account_quota(id, quota).await;
    set.map_err(|error| refused(error, id))?;
    tracing::info!(account = %id, ?max_bytes, ?max_objects, "quota set");
    let entries = entries(store, &[account]).await;
    let mut entries = entries.map_err(AdminError::internal)?;
    json(&entries.pop().ok_or_else(|| unknown(id))?)
}

pub(super) async fn add(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let request: Add = call.body().await?;
    let accounts = &call.app().accounts;
    let _changing = accounts.changing().await;
    let (account, secret) = request.into_account(&call)?;
    let taken = if accounts.of_id(account.id).is_some() {
        Some("id")
    } else {
        let of_key = accounts.of_access_key(&account.access_key);
        of_key.map(|_| "access key")
    };
    if let Some(what) = taken {
        return Err(AdminError::conflict(format!(
            "another account has this {what}"
        )));
    }
    call.storage()?
        .store()
        .create_account(&account)
        .await
        .map_err(|error| refused(error, account.id))?;
    read_anew(&call).await?;
    tracing::info!(account = %account.id, name = account.name, "account added");
    new_key(&call, account.id, secret)
}

pub(super) async fn rotate(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let Which { id } = call.body().await?;
    let accounts = &call.app().accounts;
    let _changing = accounts.changing().await;
    let id = kept_here(&call, &id)?;
    let pair = credentials::make_up(&*call.app().rng, 0);
    let store = call.storage()?.store();
    let sealed = sealed(id, &pair.secret_key, &call)?;
    store
        .rotate_account_key(id, &pair.access_key, &sealed)
        .await
        .map_err(|error| refused(error, id))?;
    read_anew(&call).await?;
    tracing::info!(account = %id, "account has a new key pair");
    new_key(&call, id, pair.secret_key)
}

pub(super) async fn remove(mut call: AdminCall<'_>) -> AdminResult<Response> {
    let Which { id } = call.body().await?;
    let _changing = call.app().accounts.changing().await;
    let id = kept_here(&call, &id)?;
    let account = call.app().accounts.of_id(id).ok_or_else(|| unknown(id))?;
    call.storage()?
        .store()
        .remove_account(id)
        .await
        .map_err(|error| refused(error, id))?;
    read_anew(&call).await?;
    tracing::info!(account = %id, "account removed");
    json(&AccountEntry::from(&*account))
}

impl Add {
    /// The account, and its secret.
    fn into_account(self, call: &AdminCall<'_>) -> AdminResult<(StoredAccount, String)> {
        let app = call.app();
        let pair = credentials::make_up(&*app.rng, 0);
        let (access_key, secret_key) = match (self.access_key, self.secret_key) {
            (None, None) => (pair.access_key, pair.secret_key),
            (Some(access_key), Some(secret_key)) => (access_key, secret_key),
            _ => {
                return Err(AdminError::bad_request(
                    "give both an access key and a secret key, or neither",
                ));
            }
        };
        check_name(&self.name).map_err(AdminError::bad_request)?;
        check_key_pair(&access_key, &secret_key).map_err(AdminError::bad_request)?;
        let id = match self.id {
            Some(text) => parse_id(&text)?,
            None => free_id(call)?,
        };
        let account = StoredAccount {
            id,
            name: self.name,
            email: self.email,
            canonical_id: canonical_id(id),
            access_key,
            secret: sealed(id, &secret_key, call)?,
            created_unix_millis: app.clock.unix_millis(),
        };
        Ok((account, secret_key))
    }
}

fn parse_id(text: &str) -> AdminResult<AccountId> {
    text.parse().map_err(|_| {
        AdminError::bad_request(format!("`{text}` is no account: give its twelve digits"))
    })
}

/// An identifier that looks like one of AWS's, and that nobody has.
fn free_id(call: &AdminCall<'_>) -> AdminResult<AccountId> {
    let app = call.app();
    let draw = || {
        let number = 100_000_000_000 + app.rng.next_u64() % 900_000_000_000;
        AccountId::from_number(number).filter(|id| app.accounts.of_id(*id).is_none())
    };
    let drawn = (0..DRAWS).find_map(|_| draw());
    drawn.ok_or_else(|| AdminError::unavailable("no free account id was found; try again"))
}

/// An account that the store keeps, and not a file.
fn kept_here(call: &AdminCall<'_>, text: &str) -> AdminResult<AccountId> {
    let id = parse_id(text)?;
    match call.app().accounts.of_id(id).map(|account| account.origin) {
        None | Some(Origin::Store) => Ok(id),
        Some(Origin::File) => Err(AdminError::conflict(format!(
            "account {id} is from the file of --accounts: change it there, and the server reads it again"
        ))),
        Some(Origin::Root) => Err(AdminError::conflict(format!(
            "account {id} is the server's own: its credentials are LARDER_ROOT_ACCESS_KEY and LARDER_ROOT_SECRET_KEY, or in credentials.json"
        ))),
    }
}

async fn read_anew(call: &AdminCall<'_>) -> AdminResult<()> {
    let stored = call.storage()?.store().accounts().await;
    let stored = stored.map_err(AdminError::internal)?;
    let app = call.app();
    app.accounts.set_stored(stored, app.keyring()?);
    Ok(())
}

fn sealed(id: AccountId, secret: &str, call: &AdminCall<'_>) -> AdminResult<StoredSecret> {
    let keyring = call.app().keyring()?;
    seal_secret(id, secret, keyring).map_err(AdminError::internal)
}

fn new_key(call: &AdminCall<'_>, id: AccountId, secret_key: String) -> AdminResult<Response> {
    let account = call.app().accounts.of_id(id).ok_or_else(|| unknown(id))?;
    json(&NewKey {
        account: (&*account).into(),
        secret_key,
    })
}

fn unknown(id: AccountId) -> AdminError {
    AdminError::not_found(format!("there is no account {id}"))
}

fn refused(error: StoreError, id: AccountId) -> AdminError {
    match error {
        StoreError::NoSuchAccount => unknown(id),
        StoreError::AccountExists => {
            AdminError::conflict("another account has this id or this access key")
        }
        StoreError::AccountNotEmpty => {
            AdminError::conflict(format!("account {id} owns buckets: delete them first"))
        }
        StoreError::AccountHasIdentities => AdminError::conflict(format!(
            "account {id} has users, groups, roles or policies: delete them first"
        )),
        StoreError::Unavailable(_) | StoreError::Overloaded(_) | StoreError::Conflict => {
            AdminError::unavailable(format!("{error}; try again"))
        }
        error => AdminError::internal(error),
    }
}
