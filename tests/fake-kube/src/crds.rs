//! Definitions of custom resources, and the resources that they make.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    collect,
    json::{list, map_mut, now, text, texts},
    resources::{Resource, qualified},
    state::{Key, State},
};

const APPROVAL: &str = "api-approved.kubernetes.io";

/// Whether the definition may take effect: groups of Kubernetes itself need an approval.
fn is_approved(definition: &Value) -> bool {
    let group = text(definition, "/spec/group");
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|&suffix| group == suffix || group.ends_with(&format!(".{suffix}")));
    let annotation = definition
        .pointer("/metadata/annotations")
        .and_then(|all| all.get(APPROVAL))
        .and_then(Value::as_str)
        .unwrap_or_default();
    !protected || annotation.starts_with("http") || annotation.starts_with("unapproved")
}

/// Writes into a definition's status whether it took effect.
pub(crate) fn establish(definition: &mut Value) {
    let approved = is_approved(definition);
    let names = definition
        .pointer("/spec/names")
        .cloned()
        .unwrap_or_default();
    let stored: Vec<Value> = list(definition, "/spec/versions")
        .iter()
        .filter(|one| one.get("storage") == Some(&json!(true)))
        .filter_map(|one| one.get("name").cloned())
        .collect();
    let at = now();
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| json!({"type": kind, "status": if holds { "True" } else { "False" }, "reason": reason, "message": message, "lastTransitionTime": at});
    let mut conditions = vec![
        condition(
            "NamesAccepted",
            approved,
            "NoConflicts",
            "no conflicts found",
        ),
        condition(
            "Established",
            approved,
            if approved {
                "InitialNamesAccepted"
            } else {
                "NotAccepted"
            },
            "the initial names have been accepted",
        ),
    ];
    if !approved {
        let message = format!(
            "protected groups must have approval annotation {APPROVAL:?}, see https://github.com/kubernetes/enhancements/pull/1111"
        );
        conditions.push(condition(
            "KubernetesAPIApprovalPolicyConformant",
            false,
            "MissingAnnotation",
            &message,
        ));
    }
    // An unchanged definition keeps its times, so that writing it again changes nothing.
    let same = |old: &[Value]| {
        old.len() == conditions.len()
            && old.iter().zip(&conditions).all(|(old, new)| {
                text(old, "/type") == text(new, "/type")
                    && text(old, "/status") == text(new, "/status")
            })
    };
    let keep = same(list(definition, "/status/conditions"));
    let status = map_mut(definition, "status");
    if !keep {
        status.insert("conditions".to_owned(), json!(conditions));
    }
    status.insert("acceptedNames".to_owned(), names);
    status.insert("storedVersions".to_owned(), json!(stored));
}

/// Serves what a definition describes, or serves it no more.
pub(crate) fn register(state: &mut State, definition: &Value) {
    let storage = storage(definition);
    state.registry.remove_custom(&storage);
    if !is_approved(definition) {
        return;
    }
    for version in list(definition, "/spec/versions")
        .iter()
        .filter(|version| version.get("served") == Some(&json!(true)))
    {
        state.registry.add(resource(definition, version));
    }
}

/// The objects of a definition go with it.
pub(crate) fn unregister(state: &mut State, definition: &Value) {
    let storage = storage(definition);
    let resource = state
        .registry
        .all()
        .find(|resource| resource.storage == storage)
        .cloned();
    if let Some(resource) = resource {
        let keys: Vec<Key> = state
            .objects(&storage)
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            collect::remove(state, &resource, &key);
        }
    }
    state.registry.remove_custom(&storage);
}

fn storage(definition: &Value) -> String {
    qualified(
        text(definition, "/spec/names/plural"),
        text(definition, "/spec/group"),
    )
}

fn resource(definition: &Value, version: &Value) -> Resource {
    let own = |pointer: &str| text(definition, pointer).to_owned();
    let kind = own("/spec/names/kind");
    let singular = own("/spec/names/singular");
    Resource {
        group: own("/spec/group"),
        version: text(version, "/name").to_owned(),
        plural: own("/spec/names/plural"),
        singular: if singular.is_empty() {
            kind.to_lowercase()
        } else {
            singular
        },
        kind,
        namespaced: text(definition, "/spec/scope") == "Namespaced",
        status: version.pointer("/subresources/status").is_some(),
        generation: true,
        short_names: texts(definition, "/spec/names/shortNames")
            .into_iter()
            .map(str::to_owned)
            .collect(),
        categories: texts(definition, "/spec/names/categories")
            .into_iter()
            .map(str::to_owned)
            .collect(),
        schema: version
            .pointer("/schema/openAPIV3Schema")
            .map(|schema| Arc::new(schema.clone())),
        custom: true,
        storage: storage(definition),
    }
}
