//! What clients ask before they ask for objects: which groups, versions and resources there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::resources::{Registry, Resource, api_version};

/// The answer to a path of discovery, `None` where it isn't one.
pub(crate) fn answer(registry: &Registry, path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => Some(version()),
        ["api"] => Some(
            json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        ),
        ["apis"] => {
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(registry)}))
        }
        ["apis", group] => groups(registry)
            .into_iter()
            .find(|one| one.get("name") == Some(&json!(group)))
            .map(|mut one| {
                one["kind"] = json!("APIGroup");
                one["apiVersion"] = json!("v1");
                one
            }),
        ["api", version] => resources(registry, "", version),
        ["apis", group, version] => resources(registry, group, version),
        ["openapi", "v3"] => Some(openapi_index(registry)),
        ["openapi", "v3", "api", version] => openapi(registry, "", version),
        ["openapi", "v3", "apis", group, version] => openapi(registry, group, version),
        _ => None,
    }
}

fn version() -> Value {
    json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "clean", "buildDate": "2026-04-22T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64"})
}

/// Groups with their versions, the newest first.
fn versions(registry: &Registry) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for resource in registry.all() {
        found
            .entry(&resource.group)
            .or_default()
            .insert(&resource.version);
    }
    found
        .into_iter()
        .map(|(group, versions)| (group, versions.into_iter().rev().collect()))
        .collect()
}

fn groups(registry: &Registry) -> Vec<Value> {
    let of = |(group, versions): (&str, Vec<&str>)| {
        let versions: Vec<Value> = versions
            .into_iter()
            .map(|version| json!({"groupVersion": api_version(group, version), "version": version}))
            .collect();
        let preferred = versions.first().cloned().unwrap_or_default();
        json!({"name": group, "versions": versions, "preferredVersion": preferred})
    };
    let mut groups: Vec<Value> = versions(registry)
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(of)
        .collect();
    for virtual_group in ["authentication.k8s.io", "authorization.k8s.io"] {
        groups.push(of((virtual_group, vec!["v1"])));
    }
    groups
}

/// Kinds that can only be asked, not kept.
pub(crate) const QUESTIONS: &[(&str, &str, &str)] = &[
    ("authentication.k8s.io", "tokenreviews", "TokenReview"),
    (
        "authentication.k8s.io",
        "selfsubjectreviews",
        "SelfSubjectReview",
    ),
    (
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
    ),
    (
        "authorization.k8s.io",
        "subjectaccessreviews",
        "SubjectAccessReview",
    ),
];

fn resources(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut rows: Vec<Value> = registry
        .all()
        .filter(|one| one.group == group && one.version == version)
        .flat_map(|one| rows(one))
        .collect();
    rows.extend(QUESTIONS.iter().filter(|one| one.0 == group && version == "v1").map(|one| json!({"name": one.1, "singularName": "", "namespaced": false, "kind": one.2, "verbs": ["create"]})));
    if rows.is_empty() {
        return None;
    }
    Some(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version(group, version), "resources": rows}),
    )
}

fn rows(resource: &Resource) -> Vec<Value> {
    let mut main = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced, "kind": resource.kind,
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    });
    if !resource.short_names.is_empty() {
        main["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        main["categories"] = json!(resource.categories);
    }
    let mut rows = vec![main];
    if resource.status {
        rows.push(json!({"name": format!("{}/status", resource.plural), "singularName": "", "namespaced": resource.namespaced, "kind": resource.kind, "verbs": ["get", "patch", "update"]}));
    }
    if resource.plural == "serviceaccounts" {
        rows.push(json!({"name": "serviceaccounts/token", "singularName": "", "namespaced": true, "group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest", "verbs": ["create"]}));
    }
    rows
}

fn openapi_index(registry: &Registry) -> Value {
    let mut paths = serde_json::Map::new();
    for (group, versions) in versions(registry) {
        for version in versions {
            let path = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            paths.insert(
                path.clone(),
                json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash=0")}),
            );
        }
    }
    json!({"paths": paths})
}

/// Just enough for clients to see that the server validates: for each kind, that its PATCH takes `fieldValidation` and `dryRun`.
fn openapi(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut paths = serde_json::Map::new();
    for resource in registry
        .all()
        .filter(|one| one.group == group && one.version == version)
    {
        let prefix = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        let namespace = if resource.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
        let operation = json!({
            "operationId": format!("patch{}", resource.kind), "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation"), parameter("force")],
            "responses": {"200": {"description": "OK"}}, "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": resource.kind},
        });
        paths.insert(
            format!("{prefix}{namespace}/{}/{{name}}", resource.plural),
            json!({"patch": operation}),
        );
    }
    let info = json!({"title": "Kubernetes", "version": "v1.36.0"});
    (!paths.is_empty()).then(
        || json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}),
    )
}
