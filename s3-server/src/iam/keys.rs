//! Access keys of users: who signs with what, and when they last did.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use larder_storage::objects::{AccountId, Store};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    directory::Directory,
    error::{IamCode, IamResult},
    records::{AccessKey, User},
};
use crate::{keyring::Keyring, sigv4::Secret};

/// How often a change starts over when somebody else was first.
const ATTEMPTS: usize = 8;

/// When a key was last used, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyUse {
    /// Seconds since 1970.
    pub(crate) at: u64,
    /// `s3`, `iam` or `sts`.
    pub(crate) service: String,
    pub(crate) region: String,
}

/// An access key as requests look it up.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) account: AccountId,
    /// The identifier of the user.
    pub(crate) user: String,
    /// `None` where the master key that sealed it is not here.
    secret: Option<Secret>,
    is_active: bool,
    used: Mutex<Option<KeyUse>>,
    is_dirty: AtomicBool,
}

impl Key {
    pub(super) fn read(
        record: &AccessKey,
        account: AccountId,
        user: &str,
        keyring: &Keyring,
    ) -> Self {
        let secret = open(record, keyring);
        if secret.is_none() {
            tracing::error!(
                access_key = record.id,
                "the secret of an access key does not open: it can't be used"
            );
        }
        Self {
            id: record.id.clone(),
            account,
            user: user.to_owned(),
            secret: secret.map(Secret::new),
            is_active: record.is_active,
            used: Mutex::default(),
            is_dirty: AtomicBool::new(false),
        }
    }

    /// What it signs with; `None` where it may not sign.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref().filter(|_| self.is_active)
    }

    /// Notes that it was used. Nothing is written now.
    pub(crate) fn note_use(&self, now: u64, service: &str, region: &str) {
        let mut used = self.used.lock();
        let is_same = used
            .as_ref()
            .is_some_and(|used| used.at == now && used.service == service && used.region == region);
        if !is_same {
            *used = Some(KeyUse {
                at: now,
                service: service.to_owned(),
                region: region.to_owned(),
            });
            self.is_dirty.store(true, Ordering::Release);
        }
    }

    pub(super) fn last_use(&self) -> Option<KeyUse> {
        self.used.lock().clone()
    }

    pub(super) fn set_use(&self, used: KeyUse) {
        *self.used.lock() = Some(used);
    }

    /// Takes over what an earlier reading of the same key knows.
    pub(super) fn keep_use(&self, before: &Self) {
        if let Some(used) = before.last_use() {
            self.set_use(used);
            let is_dirty = before.is_dirty.load(Ordering::Acquire);
            self.is_dirty.store(is_dirty, Ordering::Release);
        }
    }

    pub(super) fn take_dirty(&self) -> bool {
        self.is_dirty.swap(false, Ordering::AcqRel)
    }
}

/// Seals the secret of the access key `id`.
pub(super) fn seal(id: &str, secret: &str, keyring: &Keyring) -> IamResult<String> {
    let sealed = keyring.seal(&context(id), secret.as_bytes())?;
    Ok(STANDARD.encode(sealed))
}

/// The secret of a key.
pub(super) fn open(record: &AccessKey, keyring: &Keyring) -> Option<String> {
    let sealed = STANDARD.decode(&record.sealed).ok()?;
    let secret = keyring.open(&context(&record.id), &sealed).ok()?;
    String::from_utf8(secret.to_vec()).ok()
}

fn context(id: &str) -> Vec<u8> {
    format!("larder/iam/access-key/{id}").into_bytes()
}

/// Writes down which keys were used when, since it was last called.
pub(crate) async fn keep_uses(directory: &Arc<Directory>, store: &Store) {
    for key in directory.used_keys() {
        let Some(content) = key
            .last_use()
            .and_then(|used| serde_json::to_vec(&used).ok())
        else {
            continue;
        };
        let content = content.into();
        let kept = store.note_key_use(key.account, &key.id, &content);
        if let Err(error) = kept.await {
            key.is_dirty.store(true, Ordering::Release);
            tracing::debug!(%error, "when an access key was used is not written down yet");
        }
    }
}

/// Seals the secrets of all access keys anew that another master key has sealed. How many were, and how many don't open.
///
/// # Errors
/// Those of the store.
pub(crate) async fn reseal_keys(
    directory: &Arc<Directory>,
    store: &Store,
    keyring: &Arc<Keyring>,
) -> IamResult<(u64, u64)> {
    let (mut done, mut failed) = (0, 0);
    for account in directory.accounts() {
        for user in directory.all::<User>(account) {
            let is_current = |key: &AccessKey| is_current(key, keyring);
            if user.record.keys.iter().all(is_current) {
                continue;
            }
            let of_user = reseal_keys_of(account, &user.record.id, (directory, store, keyring));
            let (of_user, failed_of_user) = of_user.await?;
            done += of_user;
            failed += failed_of_user;
        }
    }
    Ok((done, failed))
}

async fn reseal_keys_of(
    account: AccountId,
    user: &str,
    (directory, store, keyring): (&Arc<Directory>, &Store, &Arc<Keyring>),
) -> IamResult<(u64, u64)> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut change = directory.change(account, store, keyring).await?;
        // It may have changed, or gone, before the change began.
        let Some(user) = directory.of_id::<User>(account, user) else {
            return Ok((0, 0));
        };
        let (mut record, mut done, mut failed) = (user.record.clone(), 0, 0);
        for key in &mut record.keys {
            if is_current(key, keyring) {
                continue;
            }
            let Some(secret) = open(key, keyring).map(zeroize::Zeroizing::new) else {
                failed += 1;
                continue;
            };
            key.sealed = seal(&key.id, &secret, keyring)?;
            done += 1;
        }
        change.put(Some(&user), record)?;
        match change.commit().await {
            // What heals may have written the record again since it was read; all was read anew by now.
            Err(error)
                if error.code() == IamCode::ConcurrentModification && attempts < ATTEMPTS => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok((done, failed)),
        }
    }
}

fn is_current(key: &AccessKey, keyring: &Keyring) -> bool {
    let sealed = STANDARD.decode(&key.sealed);
    sealed.is_ok_and(|sealed| keyring.is_current(&sealed))
}
