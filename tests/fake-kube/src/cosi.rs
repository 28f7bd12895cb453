//! What is there at the start: namespaces, and COSI's v1alpha1 kinds as their fields are documented.

use serde_json::{Value, json};

use crate::{
    apply::Writer,
    state::State,
    write::{Place, create},
};

/// Makes what every cluster has, and COSI's kinds where they are wanted.
pub(crate) fn prepare(state: &mut State, cosi: bool) {
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        add(state, "", "namespaces", json!({"metadata": {"name": name}}));
    }
    if cosi {
        for definition in definitions() {
            add(
                state,
                "apiextensions.k8s.io",
                "customresourcedefinitions",
                definition,
            );
        }
    }
}

fn add(state: &mut State, group: &str, plural: &str, mut object: Value) {
    let Some(resource) = state.registry.get(group, "v1", plural) else {
        return;
    };
    object["apiVersion"] = json!(resource.api_version());
    object["kind"] = json!(resource.kind);
    let writer = Writer {
        manager: "fake-kube".to_owned(),
        operation: "Update",
        subresource: String::new(),
        force: false,
    };
    let _created = create(
        state,
        Place {
            resource: &resource,
            namespace: "",
            strict: false,
        },
        object,
        &writer,
    );
}

/// The five definitions, without their kind.
pub(crate) fn definitions() -> [Value; 5] {
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let string = json!({"type": "string"});
    let policy = json!({"type": "string", "default": "Retain"});
    let protocols = json!({"type": "array", "items": {"type": "string"}});
    let reference: Value = [
        "apiVersion",
        "fieldPath",
        "kind",
        "name",
        "namespace",
        "resourceVersion",
        "uid",
    ]
    .iter()
    .map(|&field| (field.to_owned(), string.clone()))
    .collect::<serde_json::Map<_, _>>()
    .into();
    let reference =
        json!({"type": "object", "x-kubernetes-map-type": "atomic", "properties": reference});
    [
        definition(
            "BucketClass",
            "bucketclasses",
            false,
            json!({
            "required": ["deletionPolicy", "driverName"], "properties": {"driverName": string, "deletionPolicy": policy, "parameters": strings}}),
            None,
        ),
        definition(
            "BucketAccessClass",
            "bucketaccessclasses",
            false,
            json!({
            "required": ["authenticationType", "driverName"], "properties": {"driverName": string, "authenticationType": string, "parameters": strings}}),
            None,
        ),
        definition(
            "Bucket",
            "buckets",
            false,
            spec(
                &["bucketClaim", "bucketClassName", "driverName", "protocols"],
                &json!({
            "driverName": string, "bucketClassName": string, "bucketClaim": reference, "protocols": protocols, "parameters": strings,
            "deletionPolicy": policy, "existingBucketID": string}),
            ),
            Some(
                json!({"type": "object", "properties": {"bucketReady": {"type": "boolean"}, "bucketID": string}}),
            ),
        ),
        definition(
            "BucketClaim",
            "bucketclaims",
            true,
            spec(
                &["protocols"],
                &json!({
            "bucketClassName": string, "protocols": protocols, "existingBucketName": string}),
            ),
            Some(
                json!({"type": "object", "required": ["bucketReady"], "properties": {"bucketReady": {"type": "boolean"}, "bucketName": string}}),
            ),
        ),
        definition(
            "BucketAccess",
            "bucketaccesses",
            true,
            spec(
                &[
                    "bucketAccessClassName",
                    "bucketClaimName",
                    "credentialsSecretName",
                ],
                &json!({
            "bucketClaimName": string, "bucketAccessClassName": string, "credentialsSecretName": string, "protocol": string, "serviceAccountName": string}),
            ),
            Some(
                json!({"type": "object", "properties": {"accountID": string, "accessGranted": {"type": "boolean"}}}),
            ),
        ),
    ]
}

fn spec(required: &[&str], properties: &Value) -> Value {
    json!({"properties": {"spec": {"type": "object", "required": required, "properties": properties}}})
}

fn definition(
    kind: &str,
    plural: &str,
    namespaced: bool,
    mut schema: Value,
    status: Option<Value>,
) -> Value {
    schema["type"] = json!("object");
    for field in ["apiVersion", "kind"] {
        schema["properties"][field] = json!({"type": "string"});
    }
    schema["properties"]["metadata"] = json!({"type": "object"});
    let mut version = json!({"name": "v1alpha1", "served": true, "storage": true});
    if let Some(status) = status {
        schema["properties"]["status"] = status;
        version["subresources"] = json!({"status": {}});
    }
    version["schema"] = json!({"openAPIV3Schema": schema});
    let group = "objectstorage.k8s.io";
    let annotations = json!({"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/tree/master/keps/sig-storage/1979-object-storage-support"});
    json!({
        "metadata": {"name": format!("{plural}.{group}"), "annotations": annotations},
        "spec": {
            "group": group, "scope": if namespaced { "Namespaced" } else { "Cluster" }, "versions": [version],
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase()},
        },
    })
}
