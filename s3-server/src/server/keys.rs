//! The master keys at a start: those that are configured, or else one that is made up once.
//!
//! What was ever sealed is known by a check for each key that sealed ([`KeyCheck`]). A start without one of these keys, or with another
//! under its identifier, is refused: going on would look like lost data.

use std::{path::PathBuf, time::Duration};

use larder_storage::objects::{KeyCheck, Store, StoreError};

use super::ServerError;
use crate::keyring::{self, Keyring, KeyringError, MasterKey, Source, SourceError};

/// Where made-up keys are kept.
#[derive(Debug)]
pub(super) struct Places<'a> {
    /// The data directories whose disks are good.
    pub(super) directories: &'a [PathBuf],
    /// How long one may take.
    pub(super) patience: Duration,
    /// Directories that may be lost.
    pub(super) parity: usize,
}

/// The keyring of this start. `configured` seal; what was made up earlier still opens.
///
/// # Errors
/// [`ServerError::Keys`], [`ServerError::Open`].
pub(super) async fn open(
    configured: Vec<MasterKey>,
    places: &Places<'_>,
    store: &Store,
) -> Result<Keyring, ServerError> {
    let checks = store.key_checks().await.map_err(|error| broken(&error))?;
    let kept = keyring::kept(places.directories, places.patience)?;
    let source = if configured.is_empty() {
        Source::MadeUp
    } else {
        Source::Configured
    };
    let mut keys = configured;
    for key in sealing_first(kept, &checks) {
        if !keys.iter().any(|known| known.id() == key.id()) {
            keys.push(key);
        }
    }
    if keys.is_empty() && checks.is_empty() {
        keys.push(keyring::make_up().map_err(|error| none(&error))?);
    }
    let Some(ring) = Keyring::new(keys, source) else {
        return Err(refused(&checks[0].id, Missing::All).into());
    };
    check(&ring, &checks)?;
    if source == Source::MadeUp {
        keep(&ring, places)?;
        tracing::warn!(
            key = %ring.sealing_id(),
            "the master key was made up and lies on the data disks: encryption protects nothing against who takes a disk; \
             give one with LARDER_MASTER_KEY_FILE"
        );
    }
    prove(&ring, store).await?;
    Ok(ring)
}

/// Of the keys that were made up, those that sealed something come first.
fn sealing_first(mut kept: Vec<MasterKey>, checks: &[KeyCheck]) -> Vec<MasterKey> {
    let sealed = |key: &MasterKey| checks.iter().any(|check| check.id == key.id().as_str());
    kept.sort_by_key(|key| !sealed(key));
    kept
}

/// Refuses a keyring that can't open everything that was sealed.
fn check(ring: &Keyring, checks: &[KeyCheck]) -> Result<(), SourceError> {
    for KeyCheck { id, proof } in checks {
        match ring.check(id, proof) {
            Ok(()) => {}
            Err(KeyringError::UnknownKey { .. }) => return Err(refused(id, Missing::One)),
            Err(_) => return Err(refused(id, Missing::Other)),
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Missing {
    All,
    One,
    Other,
}

fn refused(id: &str, what: Missing) -> SourceError {
    SourceError::Refused(match what {
        Missing::All => format!(
            "master key `{id}` sealed what is stored here, and no key is given: give it with LARDER_MASTER_KEY or LARDER_MASTER_KEY_FILE"
        ),
        Missing::One => format!(
            "master key `{id}` sealed what is stored here and is not among the keys given: add it, after the one that is to seal"
        ),
        Missing::Other => format!(
            "master key `{id}` is not the one that sealed what is stored here under this name: give that one, or the new one another name"
        ),
    })
}

/// More disks than may be lost have the key before it seals anything.
fn keep(ring: &Keyring, places: &Places<'_>) -> Result<(), SourceError> {
    let needed = (places.parity + 1).min(places.directories.len());
    let copies = keyring::keep(&ring.keys(), places.directories, places.patience);
    if copies >= needed.max(1) {
        return Ok(());
    }
    Err(SourceError::None(format!(
        "it was kept on {copies} disks, and {needed} must have it"
    )))
}

/// Keeps what the key that seals is known by, before it seals anything.
async fn prove(ring: &Keyring, store: &Store) -> Result<(), ServerError> {
    let (id, proof) = ring.proof().map_err(|error| none(&error))?;
    let id = id.to_string();
    let check = KeyCheck { id, proof };
    store
        .keep_key_check(&check)
        .await
        .map_err(|error| broken(&error))
}

fn none(error: &KeyringError) -> SourceError {
    SourceError::None(error.to_string())
}

fn broken(error: &StoreError) -> ServerError {
    ServerError::Open(error.to_string())
}
