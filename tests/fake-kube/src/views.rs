//! Objects as their resource shows them: in which version, and events as either of their two groups names the fields.

use serde_json::{Map, Value, json};

use crate::{json::as_map, resources::Resource};

/// Fields of events: in the core group, in `events.k8s.io`.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("message", "note"),
    ("involvedObject", "regarding"),
    ("reportingComponent", "reportingController"),
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("source", "deprecatedSource"),
];

/// An object as a resource shows it.
pub(crate) fn shown(object: &Value, resource: &Resource) -> Value {
    let mut object = object.clone();
    let map = as_map(&mut object);
    if resource.group == "events.k8s.io" {
        rename(map, EVENT_FIELDS.iter().map(|&(core, new)| (core, new)));
    }
    label(map, resource);
    object
}

/// An object as it is kept.
pub(crate) fn kept(mut object: Value, resource: &Resource) -> Value {
    let map = as_map(&mut object);
    if resource.group == "events.k8s.io" {
        rename(map, EVENT_FIELDS.iter().map(|&(core, new)| (new, core)));
    }
    label(map, resource);
    object
}

fn rename<'a>(map: &mut Map<String, Value>, names: impl Iterator<Item = (&'a str, &'a str)>) {
    for (from, to) in names {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

fn label(map: &mut Map<String, Value>, resource: &Resource) {
    map.insert("apiVersion".to_owned(), json!(resource.api_version()));
    map.insert("kind".to_owned(), json!(resource.kind));
}

/// A list of objects that are shown already.
pub(crate) fn listed(items: Vec<Value>, resource: &Resource, metadata: Value) -> Value {
    let mut list = Map::new();
    list.insert("kind".to_owned(), json!(format!("{}List", resource.kind)));
    list.insert("apiVersion".to_owned(), json!(resource.api_version()));
    list.insert("metadata".to_owned(), metadata);
    list.insert("items".to_owned(), Value::Array(items));
    Value::Object(list)
}
