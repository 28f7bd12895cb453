//! Deleting, and what goes with it: finalizers, owners, namespaces.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    crds,
    failure::Failure,
    json::{is_deleting, list, map_mut, metadata, name, now, text, texts},
    resources::Resource,
    state::{Key, State, key_of},
};

/// Whether nothing holds a deleted object any more.
pub(crate) fn is_done(object: &Value) -> bool {
    is_deleting(object)
        && texts(object, "/metadata/finalizers").is_empty()
        && texts(object, "/spec/finalizers")
            .iter()
            .all(|one| *one != "kubernetes")
}

/// How an object is deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) uid: String,
    pub(crate) version: String,
    /// `Background`, `Foreground` or `Orphan`.
    pub(crate) propagation: String,
}

impl DeleteOptions {
    pub(crate) fn parse(body: &Value, query: &crate::request::Query) -> Self {
        let in_body = text(body, "/propagationPolicy");
        let legacy = if body.get("orphanDependents") == Some(&json!(true)) {
            "Orphan"
        } else {
            "Background"
        };
        let propagation = [in_body, query.text("propagationPolicy"), legacy]
            .into_iter()
            .find(|one| !one.is_empty())
            .unwrap_or_default();
        Self {
            uid: text(body, "/preconditions/uid").to_owned(),
            version: text(body, "/preconditions/resourceVersion").to_owned(),
            propagation: propagation.to_owned(),
        }
    }
}

/// Deletes an object; answers what is left of it while something holds it, and otherwise what it was.
pub(crate) fn delete(
    state: &mut State,
    resource: &Resource,
    namespace: &str,
    object_name: &str,
    options: &DeleteOptions,
) -> Result<(Arc<Value>, bool), Failure> {
    let object = state.require(resource, namespace, object_name)?;
    check_preconditions(&object, resource, options)?;
    let key = key_of(&object);
    match options.propagation.as_str() {
        "Orphan" => orphan_dependents(state, &object)?,
        "Foreground" => delete_dependents(state, &object)?,
        _ => {}
    }
    doom(state, resource, &object, options)?;
    settle(state);
    let left = state.get(resource, &key.0, &key.1);
    Ok(left.map_or((object, true), |left| (left, false)))
}

/// Marks an object as deleted; one that nothing holds goes at once.
fn doom(
    state: &mut State,
    resource: &Resource,
    object: &Value,
    options: &DeleteOptions,
) -> Result<(), Failure> {
    let marked = mark(object, options);
    if is_done(&marked) {
        forget(state, resource, object);
    } else if marked != *object {
        state.put(resource, marked)?;
    }
    Ok(())
}

fn forget(state: &mut State, resource: &Resource, object: &Value) -> Option<Arc<Value>> {
    let removed = state.remove(resource, &key_of(object))?;
    if resource.plural == "customresourcedefinitions" {
        crds::unregister(state, &removed);
    }
    Some(removed)
}

fn check_preconditions(
    object: &Value,
    resource: &Resource,
    options: &DeleteOptions,
) -> Result<(), Failure> {
    for (what, wanted, is) in [
        ("UID", &options.uid, text(object, "/metadata/uid")),
        (
            "ResourceVersion",
            &options.version,
            text(object, "/metadata/resourceVersion"),
        ),
    ] {
        if !wanted.is_empty() && wanted != is {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}"
            );
            return Err(Failure::conflict(resource, name(object), &why));
        }
    }
    Ok(())
}

fn mark(object: &Value, options: &DeleteOptions) -> Value {
    let mut object = object.clone();
    let is_new = !is_deleting(&object);
    let has_generation = object
        .pointer("/metadata/generation")
        .and_then(Value::as_u64);
    let map = metadata(&mut object);
    if is_new {
        map.insert("deletionTimestamp".to_owned(), json!(now()));
        map.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
        // Deletion counts as a change of what is wanted.
        if let Some(generation) = has_generation {
            map.insert("generation".to_owned(), json!(generation + 1));
        }
    }
    if options.propagation == "Foreground" {
        let finalizers = map.entry("finalizers").or_insert_with(|| json!([]));
        if let Value::Array(all) = finalizers
            && !all.contains(&json!("foregroundDeletion"))
        {
            all.push(json!("foregroundDeletion"));
        }
    }
    if text(&object, "/kind") == "Namespace" {
        map_mut(&mut object, "status").insert("phase".to_owned(), json!("Terminating"));
    }
    object
}

/// Takes an object out, with what only it owned.
pub(crate) fn remove(state: &mut State, resource: &Resource, key: &Key) -> Option<Arc<Value>> {
    let object = state.get(resource, &key.0, &key.1)?;
    let removed = forget(state, resource, &object)?;
    settle(state);
    Some(removed)
}

/// Everything that is in the store: its resource with it.
fn everything(state: &State) -> Vec<(Arc<Resource>, Arc<Value>)> {
    let of = |resource: Arc<Resource>| {
        state
            .objects(&resource.storage)
            .map(|(_, object)| (Arc::clone(&resource), Arc::clone(object)))
            .collect::<Vec<_>>()
    };
    state.registry.storages().into_iter().flat_map(of).collect()
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    list(object, "/metadata/ownerReferences")
        .iter()
        .map(|owner| text(owner, "/uid"))
}

fn dependents(state: &State, owner: &Value) -> Vec<(Arc<Resource>, Arc<Value>)> {
    let uid = text(owner, "/metadata/uid").to_owned();
    everything(state)
        .into_iter()
        .filter(|(_, object)| owners(object).any(|one| one == uid))
        .collect()
}

fn delete_dependents(state: &mut State, owner: &Value) -> Result<(), Failure> {
    for (resource, object) in dependents(state, owner) {
        if !is_deleting(&object) {
            doom(state, &resource, &object, &DeleteOptions::default())?;
        }
    }
    Ok(())
}

fn orphan_dependents(state: &mut State, owner: &Value) -> Result<(), Failure> {
    let uid = text(owner, "/metadata/uid");
    for (resource, object) in dependents(state, owner) {
        let mut object = (*object).clone();
        if let Some(Value::Array(all)) = metadata(&mut object).get_mut("ownerReferences") {
            all.retain(|one| text(one, "/uid") != uid);
        }
        state.put(&resource, object)?;
    }
    Ok(())
}

/// Does what the garbage collector and the namespace controller do, until there is nothing left to do.
pub(crate) fn settle(state: &mut State) {
    while settle_once(state) {}
}

fn settle_once(state: &mut State) -> bool {
    let all = everything(state);
    let uids: std::collections::BTreeSet<&str> = all
        .iter()
        .map(|(_, object)| text(object, "/metadata/uid"))
        .collect();
    let dying: std::collections::BTreeSet<&str> = all
        .iter()
        .filter(|(resource, object)| resource.plural == "namespaces" && is_deleting(object))
        .map(|(_, object)| name(object))
        .collect();
    for (resource, object) in &all {
        let ownerless =
            owners(object).next().is_some() && !owners(object).any(|uid| uids.contains(uid));
        let homeless = dying.contains(text(object, "/metadata/namespace"));
        if (ownerless || homeless) && !is_deleting(object) {
            return doom(state, resource, object, &DeleteOptions::default()).is_ok();
        }
        if let Some(next) = without_servers_finalizers(resource, object, &all) {
            return state.put(resource, next).is_ok();
        }
        if is_done(object) && forget(state, resource, object).is_some() {
            return true;
        }
    }
    false
}

/// A deleted object without the finalizers that are the server's own business, once that is done.
fn without_servers_finalizers(
    resource: &Resource,
    object: &Value,
    all: &[(Arc<Resource>, Arc<Value>)],
) -> Option<Value> {
    if !is_deleting(object) {
        return None;
    }
    let uid = text(object, "/metadata/uid");
    let foreground = texts(object, "/metadata/finalizers").contains(&"foregroundDeletion")
        && !all
            .iter()
            .any(|(_, other)| owners(other).any(|one| one == uid));
    let is_empty_namespace = resource.plural == "namespaces"
        && !texts(object, "/spec/finalizers").is_empty()
        && !all
            .iter()
            .any(|(_, other)| text(other, "/metadata/namespace") == name(object));
    if !foreground && !is_empty_namespace {
        return None;
    }
    let mut next = object.clone();
    if foreground && let Some(Value::Array(finalizers)) = metadata(&mut next).get_mut("finalizers")
    {
        finalizers.retain(|one| one != "foregroundDeletion");
    }
    if is_empty_namespace {
        map_mut(&mut next, "spec").insert("finalizers".to_owned(), json!([]));
    }
    Some(next)
}
