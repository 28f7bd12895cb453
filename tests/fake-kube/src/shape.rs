//! How fields merge: which lists are sets or maps, by the schema of a custom resource or, for built-in kinds and metadata, by the field's name.

use serde_json::{Map, Value};

/// How a list merges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListKind {
    Atomic,
    Set,
    /// By these fields of its items.
    Map(Vec<String>),
}

/// A place in an object: what its schema says, or what the field is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'a> {
    schema: Option<&'a Value>,
    field: &'a str,
    /// Whether the field's name decides, there being no schema.
    named: bool,
}

impl<'a> Shape<'a> {
    pub(crate) fn root(schema: Option<&'a Value>) -> Self {
        Self {
            schema,
            field: "",
            named: schema.is_none(),
        }
    }

    pub(crate) fn child(self, field: &'a str) -> Self {
        // Metadata is the same everywhere; schemas say nothing of it.
        let named = self.named || (self.field.is_empty() && field == "metadata");
        let schema = self.schema.and_then(|schema| {
            schema
                .get("properties")
                .and_then(|all| all.get(field))
                .or_else(|| schema.get("additionalProperties"))
        });
        Self {
            schema,
            field,
            named,
        }
    }

    pub(crate) fn item(self) -> Self {
        Self {
            schema: self.schema.and_then(|schema| schema.get("items")),
            field: "[]",
            named: self.named,
        }
    }

    /// Whether a map is owned as a whole.
    pub(crate) fn is_atomic_map(self) -> bool {
        if self.named {
            return matches!(
                self.field,
                "selector"
                    | "labelSelector"
                    | "nodeSelectorTerms"
                    | "roleRef"
                    | "involvedObject"
                    | "regarding"
            );
        }
        self.extension("x-kubernetes-map-type") == Some("atomic")
    }

    pub(crate) fn list(self) -> ListKind {
        if self.named {
            return by_name(self.field);
        }
        match self.extension("x-kubernetes-list-type") {
            Some("set") => ListKind::Set,
            Some("map") => {
                let keys = self
                    .schema
                    .and_then(|schema| schema.get("x-kubernetes-list-map-keys"))
                    .and_then(Value::as_array);
                ListKind::Map(
                    keys.into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect(),
                )
            }
            _ => ListKind::Atomic,
        }
    }

    fn extension(self, name: &str) -> Option<&'a str> {
        self.schema?.get(name)?.as_str()
    }
}

fn by_name(field: &str) -> ListKind {
    let keys: &[&str] = match field {
        "finalizers" => return ListKind::Set,
        "ownerReferences" => &["uid"],
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "volumeClaimTemplates"
        | "secrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "hostAliases" => &["ip"],
        "conditions" => &["type"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        _ => return ListKind::Atomic,
    };
    ListKind::Map(keys.iter().map(|&key| key.to_owned()).collect())
}

/// The key of an item of a list that is a map.
pub(crate) fn item_key(item: &Value, keys: &[String]) -> Map<String, Value> {
    keys.iter()
        .filter_map(|key| Some((key.clone(), item.get(key)?.clone())))
        .collect()
}

/// The item of a list that has a key.
pub(crate) fn find_item<'a>(list: &'a [Value], key: &Map<String, Value>) -> Option<&'a Value> {
    list.iter().find(|item| has_key(item, key))
}

pub(crate) fn has_key(item: &Value, key: &Map<String, Value>) -> bool {
    key.iter()
        .all(|(field, value)| item.get(field) == Some(value))
}
