//! All objects, and the last changes: what is kept in memory has a bound, and a watcher that falls behind it is told so.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::{
    failure::Failure,
    json::{metadata, name, text},
    resources::{Registry, Resource},
};

/// Namespace (empty for what has none) and name.
pub(crate) type Key = (String, String);

/// Objects of one resource.
pub(crate) type Objects = BTreeMap<Key, Arc<Value>>;

/// So many changes are kept for watchers.
const KEPT_CHANGES: usize = 20_000;
/// So many objects there may be.
const MOST_OBJECTS: usize = 100_000;

/// How an object changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One change: what watchers are told.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) storage: String,
    pub(crate) kind: ChangeKind,
    /// As it is now; when deleted, as it was, with the revision of the deletion.
    pub(crate) object: Arc<Value>,
    pub(crate) before: Option<Arc<Value>>,
}

/// Everything that the server knows.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) registry: Registry,
    objects: BTreeMap<String, Objects>,
    revision: u64,
    changes: VecDeque<Change>,
    /// Changes up to this revision are forgotten.
    forgotten: u64,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            registry: Registry::built_in(),
            objects: BTreeMap::new(),
            revision: 1,
            changes: VecDeque::new(),
            forgotten: 1,
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn get(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Value>> {
        self.objects
            .get(&resource.storage)?
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    pub(crate) fn require(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Arc<Value>, Failure> {
        self.get(resource, namespace, name)
            .ok_or_else(|| Failure::not_found(resource, name))
    }

    /// Objects of a resource, in all namespaces.
    pub(crate) fn objects(&self, storage: &str) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.get(storage).into_iter().flatten()
    }

    /// Objects of a resource as they were at a revision.
    pub(crate) fn at(&self, storage: &str, revision: u64) -> Result<Objects, Failure> {
        self.require_kept(revision)?;
        let mut objects = self.objects.get(storage).cloned().unwrap_or_default();
        for change in self
            .changes
            .iter()
            .rev()
            .take_while(|change| change.revision > revision)
            .filter(|change| change.storage == storage)
        {
            let key = key_of(&change.object);
            match &change.before {
                Some(before) => objects.insert(key, Arc::clone(before)),
                None => objects.remove(&key),
            };
        }
        Ok(objects)
    }

    /// Fails where changes since a revision are not all known, or where there is no such revision yet.
    pub(crate) fn require_kept(&self, revision: u64) -> Result<(), Failure> {
        if revision > self.revision {
            return Err(Failure::too_large_version(revision, self.revision));
        }
        if revision < self.forgotten {
            return Err(Failure::expired(revision, self.forgotten));
        }
        Ok(())
    }

    /// Changes of a resource after a revision.
    pub(crate) fn changes_after(
        &self,
        storage: &str,
        revision: u64,
    ) -> Result<Vec<Change>, Failure> {
        self.require_kept(revision)?;
        let start = self
            .changes
            .partition_point(|change| change.revision <= revision);
        Ok(self
            .changes
            .range(start..)
            .filter(|change| change.storage == storage)
            .cloned()
            .collect())
    }

    /// Forgets all changes, as etcd does when it is compacted.
    pub(crate) fn compact(&mut self) {
        self.changes.clear();
        // A revision of its own, so that whoever has seen everything up to now is behind too.
        self.revision += 1;
        self.forgotten = self.revision;
    }

    /// Writes an object under the next revision.
    pub(crate) fn put(
        &mut self,
        resource: &Resource,
        mut object: Value,
    ) -> Result<Arc<Value>, Failure> {
        let key = key_of(&object);
        let before = self
            .objects
            .get(&resource.storage)
            .and_then(|objects| objects.get(&key))
            .cloned();
        if before.is_none()
            && self.objects.values().map(BTreeMap::len).sum::<usize>() >= MOST_OBJECTS
        {
            return Err(Failure::new(
                507,
                "InternalError",
                format!("more than {MOST_OBJECTS} objects"),
            ));
        }
        let object = self.next(&mut object);
        self.objects
            .entry(resource.storage.clone())
            .or_default()
            .insert(key, Arc::clone(&object));
        let kind = if before.is_some() {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        self.record(resource, kind, Arc::clone(&object), before);
        Ok(object)
    }

    /// Removes an object under the next revision, and says what it was.
    pub(crate) fn remove(&mut self, resource: &Resource, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.get_mut(&resource.storage)?.remove(key)?;
        let mut last = (*before).clone();
        let last = self.next(&mut last);
        self.record(
            resource,
            ChangeKind::Deleted,
            Arc::clone(&last),
            Some(before),
        );
        Some(last)
    }

    fn next(&mut self, object: &mut Value) -> Arc<Value> {
        self.revision += 1;
        metadata(object).insert(
            "resourceVersion".to_owned(),
            json!(self.revision.to_string()),
        );
        Arc::new(object.take())
    }

    fn record(
        &mut self,
        resource: &Resource,
        kind: ChangeKind,
        object: Arc<Value>,
        before: Option<Arc<Value>>,
    ) {
        self.changes.push_back(Change {
            revision: self.revision,
            storage: resource.storage.clone(),
            kind,
            object,
            before,
        });
        while self.changes.len() > KEPT_CHANGES {
            self.forgotten = self
                .changes
                .pop_front()
                .map_or(self.forgotten, |change| change.revision);
        }
    }
}

/// Where an object is kept.
pub(crate) fn key_of(object: &Value) -> Key {
    (
        text(object, "/metadata/namespace").to_owned(),
        name(object).to_owned(),
    )
}
