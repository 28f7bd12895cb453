//! The file of `--accounts`, and how a change of it is noticed.
//!
//! ```toml
//! [[account]]
//! id = "123456789012"
//! name = "databases"
//! email = "dba@example.com"
//! access_key = "AKIADATABASES"
//! secret_key = "at least eight characters"
//! canonical_id = "64 hexadecimal digits, worked out from the id where it is missing"
//! ```
//!
//! It is looked at once a second.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use larder_storage::{clock::Clock, objects::AccountId};
use serde::Deserialize;

use super::{Account, Accounts, Origin, canonical_id};
use crate::{
    credentials,
    sigv4::Secret,
    watched::{LOOK_EVERY, WatchedFiles},
};

/// More is no file of accounts.
const MAX_BYTES: u64 = 16 << 20;
const MAX_NAME_CHARS: usize = 128;
const CANONICAL_DIGITS: usize = 64;

/// Why a file of accounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// It cannot be read.
    #[error("accounts file {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no TOML of the right form. The text is never shown: it may hold a secret.
    #[error("accounts file {}: {reason}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default, alias = "accounts")]
    account: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    name: String,
    #[serde(default)]
    email: String,
    #[serde(alias = "access_key_id")]
    access_key: String,
    #[serde(alias = "secret", alias = "secret_access_key")]
    secret_key: String,
    canonical_id: Option<String>,
}

/// A file of accounts that is watched.
#[derive(Debug)]
pub struct AccountsFile {
    path: PathBuf,
    watched: WatchedFiles,
}

impl AccountsFile {
    /// The file at `path`, read into `accounts` for the first time. Blocks.
    ///
    /// # Errors
    /// [`AccountsError`]: the operator corrects the file.
    pub fn open(path: &Path, accounts: &Accounts) -> Result<Self, AccountsError> {
        let mut file = Self {
            path: path.to_owned(),
            watched: WatchedFiles::new([path.to_owned()]),
        };
        file.look(accounts)?;
        Ok(file)
    }

    /// Reads the file again whenever it has changed, for ever. A state of it that cannot be used is logged, and what was read before stays.
    pub async fn watch(mut self, accounts: Arc<Accounts>, clock: Arc<dyn Clock>) {
        loop {
            clock.sleep(LOOK_EVERY).await;
            let (accounts, path) = (Arc::clone(&accounts), self.path.clone());
            let look = move || {
                let looked = self.look(&accounts);
                (self, looked)
            };
            let Ok((file, looked)) = tokio::task::spawn_blocking(look).await else {
                return;
            };
            self = file;
            match looked {
                Ok(None) => {}
                Ok(Some(count)) => {
                    tracing::info!(path = %path.display(), accounts = count, "accounts read anew");
                }
                Err(error) => tracing::warn!("{error}; the accounts stay as they were"),
            }
        }
    }

    /// How many accounts were read; `None` if nothing has changed. What went wrong is told once per state of the file.
    fn look(&mut self, accounts: &Accounts) -> Result<Option<usize>, AccountsError> {
        if !self.watched.has_changed() {
            return Ok(None);
        }
        let text = read(&self.path).map_err(|source| AccountsError::Unreadable {
            path: self.path.clone(),
            source,
        })?;
        let found = parse(&text).map_err(|reason| AccountsError::Malformed {
            path: self.path.clone(),
            reason,
        })?;
        let count = found.len();
        accounts.set_file(found);
        Ok(Some(count))
    }
}

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_BYTES {
        return Err(io::Error::other("larger than 16 MiB"));
    }
    fs::read_to_string(path)
}

/// The accounts of a file's text.
///
/// # Errors
/// What is wrong, and with which account; never a secret.
pub fn parse(text: &str) -> Result<Vec<Account>, String> {
    let document: Document = toml::from_str(text).map_err(|error| describe(text, &error))?;
    let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
    let mut accounts = Vec::with_capacity(document.account.len());
    for entry in document.account {
        let account = entry.into_account()?;
        if !ids.insert(account.id) {
            return Err(format!("account {} is there twice", account.id));
        }
        if !keys.insert(account.access_key.clone()) {
            let id = account.id;
            return Err(format!("account {id} has the access key of another"));
        }
        accounts.push(account);
    }
    Ok(accounts)
}

/// Where it is wrong. What stands there is left out.
fn describe(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    let message = error.message();
    // Messages on a missing or unknown field name it; others may quote a value.
    let is_harmless = ["missing field", "unknown field", "duplicate"]
        .iter()
        .any(|start| message.starts_with(start));
    let message = if is_harmless {
        message.lines().next().unwrap_or_default()
    } else {
        "not as it should be: [[account]] tables with id, name, email, access_key and secret_key as strings"
    };
    format!("line {line}: {message}")
}

impl Entry {
    fn into_account(self) -> Result<Account, String> {
        let bad = |what: &str| format!("account `{}`: {what}", self.id);
        let id: AccountId = self
            .id
            .parse()
            .map_err(|_| bad("the id must have twelve digits"))?;
        if id == AccountId::default() {
            return Err(bad("this id is the server's own account"));
        }
        check_name(&self.name).map_err(bad)?;
        check_key_pair(&self.access_key, &self.secret_key).map_err(bad)?;
        let canonical = self.canonical_id.unwrap_or_else(|| canonical_id(id));
        let is_good =
            canonical.len() == CANONICAL_DIGITS && canonical.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_good {
            return Err(format!(
                "account {id}: the canonical id must have 64 hexadecimal digits"
            ));
        }
        Ok(Account {
            id,
            name: self.name,
            email: self.email,
            canonical_id: canonical.to_ascii_lowercase(),
            access_key: self.access_key,
            secret: Secret::new(self.secret_key),
            origin: Origin::File,
        })
    }
}

/// Whether an account may be called that.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    let is_good =
        (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    is_good
        .then_some(())
        .ok_or("the name must have 1 to 128 characters, and no control characters")
}

/// Whether a key pair will do.
pub(crate) fn check_key_pair(access_key: &str, secret_key: &str) -> Result<(), &'static str> {
    if !credentials::is_access_key(access_key) {
        return Err(
            "the access key must be 3 to 128 printable characters without `/`, `,` and `=`",
        );
    }
    let is_good = credentials::is_secret_key(secret_key);
    is_good
        .then_some(())
        .ok_or("the secret key must have at least 8 characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"
        [[account]]
        id = "123456789012"
        name = "one"
        email = "one@example.com"
        access_key = "KEYONE"
        secret_key = "secret-of-one"
        canonical_id = "ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789"

        [[account]]
        id = "000000000007"
        name = "seven"
        access_key = "KEYSEVEN"
        secret = "secret-of-seven"
    "#;

    #[test]
    fn accounts_are_read() {
        let accounts = parse(TWO).unwrap();
        assert_eq!(accounts.len(), 2);
        assert_eq!(accounts[0].id.to_string(), "123456789012");
        assert!(accounts[0].canonical_id.starts_with("abcdef"));
        assert_eq!(accounts[1].canonical_id, canonical_id(accounts[1].id));
        assert_eq!(parse("").unwrap().len(), 0);
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_shown() {
        let cases = [
            (TWO.replace("000000000007", "123456789012"), "there twice"),
            (TWO.replace("KEYSEVEN", "KEYONE"), "access key of another"),
            (TWO.replace("123456789012", "1234"), "twelve digits"),
            (TWO.replace("000000000007", "000000000000"), "server's own"),
            (TWO.replace("secret-of-one", "short"), "at least 8"),
            (TWO.replace("KEYONE", "A/B"), "printable"),
            (TWO.replace("ABCDEF", "xyz"), "hexadecimal"),
            (TWO.replace("\"seven\"", "\"\""), "1 to 128"),
            (
                TWO.replace("secret = ", "sekret = "),
                "line 14: unknown field `sekret`",
            ),
            (TWO.replace("name = \"seven\"", ""), "missing field `name`"),
            (
                TWO.replace("\"secret-of-seven\"", "secret-of-seven"),
                "line 14",
            ),
            (
                TWO.replace("\"secret-of-seven\"", "[\"secret-of-seven\"]"),
                "line 14",
            ),
        ];
        for (text, expected) in cases {
            let reason = parse(&text).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
            assert!(!reason.contains("secret-of"), "{reason}");
        }
    }

    #[test]
    fn a_change_is_seen_and_a_bad_one_leaves_what_there_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts.toml");
        let accounts = Accounts::default();
        assert!(AccountsFile::open(&path, &accounts).is_err());
        fs::write(&path, TWO).unwrap();
        let mut file = AccountsFile::open(&path, &accounts).unwrap();
        assert_eq!(accounts.all().len(), 2);
        assert_eq!(file.look(&accounts).unwrap(), None);

        fs::write(&path, "[[account]]\nid = \"1\"").unwrap();
        assert!(file.look(&accounts).is_err());
        assert_eq!(file.look(&accounts).unwrap(), None, "told once");
        assert_eq!(accounts.all().len(), 2);

        fs::remove_file(&path).unwrap();
        assert!(file.look(&accounts).is_err());
        assert_eq!(file.look(&accounts).unwrap(), None, "told once");
        assert_eq!(accounts.all().len(), 2);
        fs::write(&path, "").unwrap();
        assert_eq!(file.look(&accounts).unwrap(), Some(0));
        assert!(accounts.all().is_empty());
    }
}
