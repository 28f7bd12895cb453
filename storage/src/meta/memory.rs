//! A metadata engine in memory: the model of what [`Meta`] promises, and the engine of tests. Nothing is durable.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Debug,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::{
    Change, Committed, Entry, MAX_COMMIT_BYTES, MAX_COMMIT_KEYS, MAX_KEY_BYTES, MAX_VALUE_BYTES,
    Meta, MetaError, Precondition, Revision, Transaction, Versioned,
    tally::{Delta, Deltas, Tally, Weigh, weightless},
};
use crate::stripes::{BlobPlacement, InlineBlob};

/// Where the shards of inline blobs go.
pub trait InlineSink: Send + Sync + Debug {
    /// Stores the shards for the commit `revision` and says where they are.
    ///
    /// # Errors
    /// [`MetaError::Unavailable`] or [`MetaError::Full`]: the commit does not happen.
    fn store(&self, revision: Revision, blob: &InlineBlob) -> Result<BlobPlacement, MetaError>;
}

/// The engine.
#[derive(Debug, Default)]
pub struct MemoryMeta {
    state: Mutex<State>,
    sink: Option<Arc<dyn InlineSink>>,
    weigh: Option<Weigh>,
}

#[derive(Debug, Default)]
struct State {
    map: BTreeMap<Bytes, (Revision, Bytes)>,
    last: u64,
    tallies: BTreeMap<u64, Delta>,
}

impl MemoryMeta {
    /// An empty engine that refuses inline blobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty engine that hands inline blobs to `sink`.
    pub fn with_sink(sink: Arc<dyn InlineSink>) -> Self {
        Self {
            sink: Some(sink),
            ..Self::default()
        }
    }

    /// The same engine, which keeps the tallies of what its rows weigh.
    #[must_use]
    pub fn weighing(self, weigh: Weigh) -> Self {
        Self {
            weigh: Some(weigh),
            ..self
        }
    }

    fn store_inline(
        &self,
        revision: Revision,
        blob: &InlineBlob,
        change: Option<&mut Change>,
    ) -> Result<(), MetaError> {
        let sink = self.sink.as_ref().ok_or_else(|| {
            MetaError::Unavailable("this engine has no place for inline blobs".to_owned())
        })?;
        let value = change.and_then(|change| change.value.as_mut());
        let value = value.ok_or_else(|| {
            MetaError::TooLarge("an inline blob without a change that holds it".to_owned())
        })?;
        let mut encoded = Vec::new();
        sink.store(revision, blob)?.encode_into(&mut encoded);
        let mut joined = BytesMut::from(value.as_ref());
        joined.extend_from_slice(&encoded);
        *value = joined.freeze();
        Ok(())
    }
}

impl State {
    fn check(&self, preconditions: &[Precondition]) -> Result<(), MetaError> {
        let fails = |condition: &&Precondition| {
            self.map.get(&condition.key).map(|(revision, _)| *revision) != condition.revision
        };
        match preconditions.iter().find(fails) {
            Some(condition) => Err(MetaError::Conflict {
                key: condition.key.clone(),
            }),
            None => Ok(()),
        }
    }

    /// What `changes` make of the tallies.
    fn deltas(&self, weigh: Weigh, changes: &[Change]) -> Deltas {
        let mut deltas = Deltas::default();
        for Change { key, value } in changes {
            let old = self.map.get(key).map(|(_, value)| &value[..]);
            deltas.row(weigh, key, old, value.as_deref());
        }
        deltas
    }

    fn tally(&self, group: u64) -> Tally {
        let sum = self.tallies.get(&group).copied();
        sum.unwrap_or_default().tally()
    }

    fn apply(&mut self, changes: Vec<Change>, revision: Revision) {
        for Change { key, value } in changes {
            match value {
                Some(value) => self.map.insert(key, (revision, value)),
                None => self.map.remove(&key),
            };
        }
    }
}

#[async_trait]
impl Meta for MemoryMeta {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, MetaError> {
        let state = self.state.lock();
        let found = state.map.get(key);
        Ok(found.map(|(revision, value)| Versioned {
            revision: *revision,
            value: value.clone(),
        }))
    }

    async fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, MetaError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let state = self.state.lock();
        let range = state.map.range::<[u8], _>((
            std::ops::Bound::Included(from),
            std::ops::Bound::Excluded(to),
        ));
        let entry = |(key, (revision, value)): (&Bytes, &(Revision, Bytes))| Entry {
            key: key.clone(),
            revision: *revision,
            value: value.clone(),
        };
        Ok(range.take(limit).map(entry).collect())
    }

    async fn commit(&self, mut transaction: Transaction) -> Result<Committed, MetaError> {
        check_limits(&transaction)?;
        let mut state = self.state.lock();
        state.check(&transaction.preconditions)?;
        let deltas = state.deltas(self.weigh.unwrap_or(weightless), &transaction.changes);
        for limit in &transaction.limits {
            limit.check(&deltas, |group| state.tally(group))?;
        }
        let revision = Revision(state.last + 1);
        if let Some(blob) = &transaction.inline {
            self.store_inline(revision, blob, transaction.changes.first_mut())?;
        }
        state.last = revision.0;
        state.apply(transaction.changes, revision);
        for (group, delta) in deltas.iter() {
            let sum = state.tallies.entry(group).or_default();
            *sum = sum.plus(delta);
        }
        Ok(Committed {
            revision,
            degraded: false,
        })
    }

    fn tally(&self, group: u64) -> Tally {
        self.state.lock().tally(group)
    }
}

/// Whether `transaction` keeps to the limits of [`super`]. As strict as the strictest engine: a key that is changed and
/// tested counts twice, and a transaction without a change is none.
///
/// # Errors
/// [`MetaError::TooLarge`] says which limit is broken.
pub fn check_limits(transaction: &Transaction) -> Result<(), MetaError> {
    let too_large = |what: String| Err(MetaError::TooLarge(what));
    let Transaction {
        changes,
        preconditions,
        inline: _,
        limits: _,
    } = transaction;
    let changed = || changes.iter().map(|change| &change.key);
    let keys = || changed().chain(preconditions.iter().map(|condition| &condition.key));
    let values = || changes.iter().filter_map(|change| change.value.as_ref());
    let bytes: usize = keys().chain(values()).map(Bytes::len).sum();
    let count = keys().count();
    if changes.is_empty() || count > MAX_COMMIT_KEYS || bytes > MAX_COMMIT_BYTES {
        return too_large(format!("{count} keys, {bytes} bytes"));
    }
    if changed().collect::<HashSet<_>>().len() < changes.len() {
        return too_large("a key is changed twice".to_owned());
    }
    if let Some(value) = values().find(|value| value.len() > MAX_VALUE_BYTES) {
        return too_large(format!("a value of {} bytes", value.len()));
    }
    match keys().find(|key| key.is_empty() || key.len() > MAX_KEY_BYTES) {
        Some(key) => too_large(format!("a key of {} bytes", key.len())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_promises_of_a_metadata_engine() {
        crate::meta::conformance::run(|| async { Arc::new(MemoryMeta::new()) as Arc<dyn Meta> })
            .await;
    }
}
