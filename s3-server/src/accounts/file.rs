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

use std::{collections::HashSet, path::Path, sync::Arc};

use larder_storage::objects::AccountId;
use serde::Deserialize;

use super::{Account, Accounts, Origin, canonical_id};
use crate::{
    credentials,
    sigv4::Secret,
    watched::{DocumentError, WatchedDocument},
};

/// More is no file of accounts.
const MAX_BYTES: u64 = 16 << 20;
const MAX_NAME_CHARS: usize = 128;
const CANONICAL_DIGITS: usize = 64;

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

/// The file at `path`, read into `accounts` for the first time, to be watched. Blocks.
///
/// # Errors
/// The file can't be read, or has not the right form: the operator corrects it.
pub fn open(path: &Path, accounts: &Arc<Accounts>) -> Result<WatchedDocument, DocumentError> {
    let accounts = Arc::clone(accounts);
    WatchedDocument::open("accounts", path, MAX_BYTES, move |text| {
        let found = parse(text)?;
        let count = found.len();
        accounts.set_file(found);
        Ok(count)
    })
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
    use std::fs;

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
        let accounts = Arc::new(Accounts::default());
        assert!(open(&path, &accounts).is_err());
        fs::write(&path, TWO).unwrap();
        let mut file = open(&path, &accounts).unwrap();
        assert_eq!(accounts.all().len(), 2);
        assert_eq!(file.look().unwrap(), None);

        fs::write(&path, "[[account]]\nid = \"1\"").unwrap();
        assert!(file.look().is_err());
        assert_eq!(file.look().unwrap(), None, "told once");
        assert_eq!(accounts.all().len(), 2);

        fs::remove_file(&path).unwrap();
        assert!(file.look().is_err());
        assert_eq!(file.look().unwrap(), None, "told once");
        assert_eq!(accounts.all().len(), 2);
        fs::write(&path, "").unwrap();
        assert_eq!(file.look().unwrap(), Some(0));
        assert!(accounts.all().is_empty());
    }
}
