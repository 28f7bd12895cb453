//! Lists in pages, and watches.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::{
    failure::Failure,
    request::Query,
    resources::Resource,
    selectors::Selector,
    state::{Change, ChangeKind, Key, State},
    views::{listed, shown},
};

/// Which objects are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) resource: Arc<Resource>,
    /// All where empty.
    pub(crate) namespace: String,
    pub(crate) selector: Selector,
}

impl Scope {
    fn has(&self, key: &Key, object: &Value) -> bool {
        (self.namespace.is_empty() || key.0 == self.namespace) && self.selector.matches(object)
    }

    /// Objects that are selected now.
    fn selected(&self, state: &State) -> Vec<Arc<Value>> {
        state
            .objects(&self.resource.storage)
            .filter(|(key, object)| self.has(key, object))
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }
}

/// A list, or a page of it.
pub(crate) fn list(state: &State, scope: &Scope, query: &Query) -> Result<Value, Failure> {
    let (revision, after) = start_of_page(state, query)?;
    let all = state.at(&scope.resource.storage, revision)?;
    let limit = query
        .number("limit")
        .filter(|&limit| limit > 0)
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX);
    let mut matching = all.iter().filter(|(key, object)| {
        after.as_ref().is_none_or(|after| *key > after) && scope.has(key, object)
    });
    let mut items = Vec::new();
    let mut last = None;
    for (key, object) in matching.by_ref().take(limit) {
        items.push(shown(object, &scope.resource));
        last = Some(key);
    }
    let left = matching.count();
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if let (Some(key), 1..) = (last, left) {
        metadata["continue"] =
            json!(BASE64_URL_SAFE_NO_PAD.encode(json!([revision, key.0, key.1]).to_string()));
        metadata["remainingItemCount"] = json!(left);
    }
    Ok(listed(items, &scope.resource, metadata))
}

fn start_of_page(state: &State, query: &Query) -> Result<(u64, Option<Key>), Failure> {
    let token = query.text("continue");
    if !token.is_empty() {
        let wrong = || Failure::bad_request("continue key is not valid");
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let (revision, namespace, name): (u64, String, String) =
            serde_json::from_slice(&decoded).map_err(|_| wrong())?;
        return Ok((revision, Some((namespace, name))));
    }
    let asked = version(query)?;
    if asked > state.revision() {
        return Err(Failure::too_large_version(asked, state.revision()));
    }
    let exact = query.text("resourceVersionMatch") == "Exact" && asked > 0;
    Ok((if exact { asked } else { state.revision() }, None))
}

fn version(query: &Query) -> Result<u64, Failure> {
    let text = query.text("resourceVersion");
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        Failure::bad_request(format!("Invalid value: {text:?}: invalid resource version"))
    })
}

/// A watch: where it is, and what it looks at.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    scope: Scope,
    at: u64,
    bookmarks: bool,
    /// Written before changes.
    initial: Vec<Value>,
}

impl Watch {
    /// A version that isn't kept shows with the first events, as with the real server: clients list again then, and only then.
    pub(crate) fn start(state: &State, scope: Scope, query: &Query) -> Result<Self, Failure> {
        let asked = version(query)?;
        let bookmarks = query.is_true("allowWatchBookmarks");
        let wants_list = query.is_true("sendInitialEvents");
        if wants_list && query.text("resourceVersionMatch") != "NotOlderThan" {
            return Err(Failure::new(
                422,
                "Invalid",
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        let mut initial = Vec::new();
        let mut at = asked;
        if wants_list || (asked == 0 && query.text("sendInitialEvents") != "false") {
            at = state.revision();
            initial = scope
                .selected(state)
                .iter()
                .map(|object| event("ADDED", shown(object, &scope.resource)))
                .collect();
        } else if asked == 0 {
            at = state.revision();
        }
        let mut watch = Self {
            scope,
            at,
            bookmarks,
            initial,
        };
        if wants_list && bookmarks {
            let end = watch.bookmark(true);
            watch.initial.push(end);
        }
        Ok(watch)
    }

    /// What is to be written now.
    pub(crate) fn next(&mut self, state: &State) -> Result<Vec<Value>, Failure> {
        let mut events = std::mem::take(&mut self.initial);
        let changes = state.changes_after(&self.scope.resource.storage, self.at)?;
        events.extend(changes.iter().filter_map(|change| self.event(change)));
        self.at = state.revision();
        Ok(events)
    }

    /// A change as this watch sees it: what enters or leaves the selection is added or deleted.
    fn event(&self, change: &Change) -> Option<Value> {
        let key = crate::state::key_of(&change.object);
        let is = change.kind != ChangeKind::Deleted && self.scope.has(&key, &change.object);
        let was = change
            .before
            .as_ref()
            .is_some_and(|before| self.scope.has(&key, before));
        let kind = match (was, is) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        Some(event(kind, shown(&change.object, &self.scope.resource)))
    }

    /// How far this watch has seen everything, if its client wants to know.
    pub(crate) fn quiet(&self) -> Option<Value> {
        self.bookmarks.then(|| self.bookmark(false))
    }

    fn bookmark(&self, initial_end: bool) -> Value {
        let mut metadata = json!({"resourceVersion": self.at.to_string()});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let resource = &self.scope.resource;
        event(
            "BOOKMARK",
            json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata}),
        )
    }
}

/// A line of a watch.
pub(crate) fn event(kind: &str, object: Value) -> Value {
    let mut event = Map::new();
    event.insert("type".to_owned(), json!(kind));
    event.insert("object".to_owned(), object);
    Value::Object(event)
}
