//! Who may sign: the operator's account with the root credentials, accounts of a file, and accounts that are kept in the store.
//!
//! Where two of them have one identifier, access key or canonical id, the first of that order counts and the other is left out and logged:
//! nobody loses access because of what somebody else added. An account that is gone may still own buckets; it is shown by an identifier that is
//! worked out from its number.
//!
//! Invariant: a secret is in no log and in no `Debug` text.

mod file;
mod table;

use std::sync::Arc;

use larder_storage::objects::{AccountId, StoredAccount, StoredSecret};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest as _, Sha256};

pub(crate) use file::{check_key_pair, check_name};
pub use file::{open as open_file, parse};
use table::Table;

use crate::{
    credentials::Root,
    iam::{Member, Principal},
    keyring::{Keyring, KeyringError},
    sigv4::Secret,
    xml::write::Owner,
};

/// What lists call the operator's account.
const ROOT_CANONICAL_ID: &str = "6c61726465720000000000000000000000000000000000000000000000000001";
const ROOT_NAME: &str = "larder";

/// Where an account is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The root credentials of the server: the operator.
    Root,
    /// The file of `--accounts`.
    File,
    /// The store, by `larder account add`.
    Store,
}

impl Origin {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::File => "file",
            Self::Store => "store",
        }
    }
}

/// A tenant with the key pair that may do everything in it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Twelve digits.
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
    pub secret: Secret,
    /// Where it is from.
    pub origin: Origin,
}

impl Account {
    /// The account of the server's own credentials.
    pub fn root(root: &Root) -> Self {
        Self {
            id: AccountId::default(),
            name: ROOT_NAME.to_owned(),
            email: String::new(),
            canonical_id: ROOT_CANONICAL_ID.to_owned(),
            access_key: root.access_key.clone(),
            secret: Secret::new(root.secret_key.as_str()),
            origin: Origin::Root,
        }
    }

    /// Whether it may administer the server.
    pub fn is_operator(&self) -> bool {
        self.origin == Origin::Root
    }

    /// As answers show it.
    pub fn owner(&self) -> Owner {
        Owner {
            id: self.canonical_id.clone(),
            display_name: self.name.clone(),
        }
    }
}

impl Account {
    /// An account that the store keeps; `None` where its secret does not open: then nobody can sign for it.
    fn kept(stored: StoredAccount, keyring: &Keyring) -> Option<Self> {
        let id = stored.id;
        let secret = match stored.secret {
            StoredSecret::Clear(secret) => Some(secret),
            StoredSecret::Sealed(sealed) => open_secret(id, &sealed, keyring),
        };
        if secret.is_none() {
            tracing::error!(account = %id, "the secret of an account does not open: nobody can sign for it");
        }
        let secret = Secret::new(secret?);
        Some(Self {
            id,
            name: stored.name,
            email: stored.email,
            canonical_id: stored.canonical_id,
            access_key: stored.access_key,
            secret,
            origin: Origin::Store,
        })
    }
}

/// Seals the secret of an account for [`StoredAccount`].
///
/// # Errors
/// Those of the keyring.
pub(crate) fn seal_secret(
    id: AccountId,
    secret: &str,
    keyring: &Keyring,
) -> Result<StoredSecret, KeyringError> {
    let sealed = keyring.seal(&secret_context(id), secret.as_bytes());
    sealed.map(StoredSecret::Sealed)
}

/// The secret of an account sealed by the key that seals now; `None` where it is.
///
/// # Errors
/// Those of the keyring.
pub(crate) fn resealed(
    account: &StoredAccount,
    keyring: &Keyring,
) -> Result<Option<StoredSecret>, KeyringError> {
    let StoredSecret::Sealed(sealed) = &account.secret else {
        // Kept by a release before secrets were sealed.
        return Ok(None);
    };
    if keyring.is_current(sealed) {
        return Ok(None);
    }
    let context = secret_context(account.id);
    let secret = keyring.open(&context, sealed)?;
    let sealed = keyring.seal(&context, &secret)?;
    Ok(Some(StoredSecret::Sealed(sealed)))
}

fn open_secret(id: AccountId, sealed: &[u8], keyring: &Keyring) -> Option<String> {
    let secret = keyring.open(&secret_context(id), sealed).ok()?;
    String::from_utf8(secret.to_vec()).ok()
}

fn secret_context(id: AccountId) -> Vec<u8> {
    format!("larder/account/{id}").into_bytes()
}

/// The canonical id of an account that was given none: 64 hexadecimal digits, the same each time.
pub fn canonical_id(id: AccountId) -> String {
    hex::encode(Sha256::digest(format!("larder account {id}")))
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody that is known: the request has no signature.
    Anonymous,
    /// The root of an account.
    Account(Arc<Account>),
    /// Somebody else of an account, who may do what policies say.
    Member(Arc<Member>),
}

impl Caller {
    /// What policies call whoever asks; `None` for nobody.
    pub(crate) fn arn(&self) -> Option<String> {
        match self {
            Self::Anonymous => None,
            Self::Account(_) | Self::Member(_) => Some(Principal::of(self).arn().to_owned()),
        }
    }

    /// The account that asks, or to which whoever asks belongs.
    pub fn account(&self) -> Option<&Arc<Account>> {
        match self {
            Self::Anonymous => None,
            Self::Account(account) => Some(account),
            Self::Member(member) => Some(&member.account),
        }
    }

    /// Who asks, where that is neither nobody nor the root of an account.
    pub(crate) fn member(&self) -> Option<&Arc<Member>> {
        match self {
            Self::Member(member) => Some(member),
            Self::Anonymous | Self::Account(_) => None,
        }
    }

    /// Whether the operator asks: the root of the server's own account, and nobody else that belongs to it.
    pub fn is_operator(&self) -> bool {
        matches!(self, Self::Account(account) if account.is_operator())
    }

    /// As access logs show it: the canonical id of a root, the name of anybody else.
    pub fn logged(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Account(account) => Some(&account.canonical_id),
            Self::Member(member) => Some(&member.arn),
        }
    }
}

/// All accounts. Requests look them up; what changes them replaces the table.
#[derive(Debug, Default)]
pub struct Accounts {
    sources: Mutex<Sources>,
    table: RwLock<Arc<Table>>,
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Sources {
    root: Option<Arc<Account>>,
    file: Vec<Arc<Account>>,
    store: Vec<Arc<Account>>,
}

impl Accounts {
    /// Sets the operator's account.
    pub fn set_root(&self, root: Account) {
        self.change(|sources| sources.root = Some(Arc::new(root)));
    }

    /// Sets the accounts of the file.
    pub fn set_file(&self, accounts: Vec<Account>) {
        let accounts = accounts.into_iter().map(Arc::new).collect();
        self.change(|sources| sources.file = accounts);
    }

    /// Sets the accounts of the store.
    pub fn set_stored(&self, accounts: Vec<StoredAccount>, keyring: &Keyring) {
        let kept = |stored| Account::kept(stored, keyring).map(Arc::new);
        let accounts = accounts.into_iter().filter_map(kept).collect();
        self.change(|sources| sources.store = accounts);
    }

    /// To be held from before accounts of the store are changed until they are set here.
    pub async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// The account whose access key this is.
    pub fn of_access_key(&self, access_key: &str) -> Option<Arc<Account>> {
        self.table.read().of_access_key(access_key).cloned()
    }

    /// The account of this identifier.
    pub fn of_id(&self, id: AccountId) -> Option<Arc<Account>> {
        self.table.read().of_id(id).cloned()
    }

    /// The account of this canonical id.
    pub fn of_canonical_id(&self, canonical_id: &str) -> Option<Arc<Account>> {
        self.table.read().of_canonical_id(canonical_id).cloned()
    }

    /// The account of this address.
    pub fn of_email(&self, email: &str) -> Option<Arc<Account>> {
        let table = Arc::clone(&self.table.read());
        let mut all = table.all();
        let found = all.find(|account| account.email.eq_ignore_ascii_case(email));
        found.filter(|_| !email.is_empty()).cloned()
    }

    /// As answers show the owner of a bucket.
    pub fn owner(&self, id: AccountId) -> Owner {
        match self.of_id(id) {
            Some(account) => account.owner(),
            None => Owner {
                id: canonical_id(id),
                display_name: id.to_string(),
            },
        }
    }

    /// All that can sign, the operator first, then by identifier.
    pub fn all(&self) -> Vec<Arc<Account>> {
        let table = Arc::clone(&self.table.read());
        let mut all: Vec<_> = table.all().cloned().collect();
        all.sort_by_key(|account| (!account.is_operator(), account.id));
        all
    }

    fn change(&self, change: impl FnOnce(&mut Sources)) {
        // Held until the table is in place: of two changes the later one's table is the one that stays.
        let mut sources = self.sources.lock();
        change(&mut sources);
        let in_order = sources
            .root
            .iter()
            .chain(&sources.file)
            .chain(&sources.store);
        *self.table.write() = Arc::new(Table::new(in_order));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(access_key: &str) -> Account {
        Account::root(&Root {
            access_key: access_key.to_owned(),
            secret_key: "secret of root".to_owned(),
            created_unix_millis: 0,
        })
    }

    fn account(number: u64, access_key: &str) -> Account {
        let id = AccountId::from_number(number).unwrap();
        Account {
            id,
            name: format!("tenant-{number}"),
            email: format!("Tenant{number}@example.com"),
            canonical_id: canonical_id(id),
            access_key: access_key.to_owned(),
            secret: Secret::new("a secret"),
            origin: Origin::File,
        }
    }

    #[test]
    fn accounts_are_found_by_all_their_names() {
        let accounts = Accounts::default();
        assert!(accounts.of_access_key("ROOT").is_none());
        accounts.set_root(root("ROOT"));
        accounts.set_file(vec![account(5, "FIVE")]);
        let five = accounts.of_access_key("FIVE").unwrap();
        assert_eq!(accounts.of_id(five.id).unwrap().name, "tenant-5");
        let by_canonical = accounts.of_canonical_id(&five.canonical_id);
        assert_eq!(by_canonical.unwrap().id, five.id);
        let by_email = accounts.of_email("tenant5@EXAMPLE.com");
        assert_eq!(by_email.unwrap().id, five.id);
        assert!(accounts.of_email("").is_none(), "root has none");
        assert_eq!(accounts.owner(five.id).display_name, "tenant-5");
        assert!(accounts.of_access_key("ROOT").unwrap().is_operator());
    }

    #[test]
    fn nobody_takes_the_place_of_who_comes_first() {
        let accounts = Accounts::default();
        accounts.set_root(root("ROOT"));
        accounts.set_file(vec![
            account(0, "ZERO"),
            account(1, "ROOT"),
            account(2, "TWO"),
        ]);
        assert_eq!(accounts.all().len(), 2);
        assert!(accounts.of_access_key("ROOT").unwrap().is_operator());
        assert!(accounts.of_access_key("ZERO").is_none());
        accounts.set_root(root("ANOTHER"));
        assert_eq!(accounts.of_access_key("ROOT").unwrap().id.number(), 1);
    }

    #[test]
    fn an_account_that_is_gone_is_still_somebody() {
        let accounts = Accounts::default();
        let owner = accounts.owner(AccountId::from_number(9).unwrap());
        assert_eq!(owner.display_name, "000000000009");
        assert_eq!(owner.id.len(), 64);
    }

    #[test]
    fn no_secret_is_in_a_debug_text() {
        let accounts = Accounts::default();
        accounts.set_root(root("ROOT"));
        accounts.set_file(vec![account(5, "FIVE")]);
        let text = format!("{accounts:?}");
        assert!(text.contains("FIVE") && !text.contains("a secret") && !text.contains("of root"));
    }
}
