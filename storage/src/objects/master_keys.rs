//! What the master keys are known by, that ever sealed something that is kept here. The keys themselves, and what is sealed with them,
//! are not this crate's matter: it keeps opaque bytes by the identifier of a key.

use super::{
    Store, StoreError,
    commit::Draft,
    keys,
    pages::Pages,
    record::{KeyCheckRecord, RecordError},
};

/// Checks read at a time.
const PAGE: usize = 64;

/// What proves that a key is the one that was used under its identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCheck {
    /// The key's identifier.
    pub id: String,
    /// The proof: opaque here.
    pub proof: Vec<u8>,
}

impl Store {
    /// All checks, by identifier.
    ///
    /// # Errors
    /// Those of the metadata engine; [`StoreError::Record`] for one that a newer release wrote.
    pub async fn key_checks(&self) -> Result<Vec<KeyCheck>, StoreError> {
        let (from, to) = keys::all_master_keys();
        let mut pages = Pages::new(&*self.inner.meta, from, to, PAGE);
        let mut checks = Vec::new();
        while let Some(entry) = pages.next().await? {
            let id = keys::parse_master_key(&entry.key).ok_or(RecordError::BadKey)?;
            let proof = KeyCheckRecord::decode(&entry.value)?.proof;
            checks.push(KeyCheck { id, proof });
        }
        Ok(checks)
    }

    /// Keeps a check unless there is one of this identifier. On `Ok` there is one that survives power loss; it may be another's.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn keep_key_check(&self, check: &KeyCheck) -> Result<(), StoreError> {
        let key = keys::master_key(&check.id);
        let mut draft = Draft::default();
        draft.put(key.clone(), KeyCheckRecord::new(&check.proof).encode());
        draft.expect(key, None);
        self.try_commit(draft).await.map(drop)
    }

    /// Forgets a key: nothing that it sealed is left. On `Ok` that survives power loss.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn forget_key_check(&self, id: &str) -> Result<(), StoreError> {
        let mut draft = Draft::default();
        draft.delete(keys::master_key(id));
        self.try_commit(draft).await.map(drop)
    }
}
