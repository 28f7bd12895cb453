//! Patches other than server-side apply: merge, JSON, and strategic merge for built-in kinds.

use serde_json::{Map, Value};

use crate::{
    failure::Failure,
    resources::Resource,
    shape::{ListKind, Shape, has_key, item_key},
};

/// What kind of patch a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchKind {
    pub(crate) fn of(content_type: &str, resource: &Resource) -> Result<Self, Failure> {
        let accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            "application/strategic-merge-patch+json" if !resource.custom => Ok(Self::Strategic),
            other => Err(Failure::unsupported_media(other, accepted)),
        }
    }
}

/// An object with a patch applied, which isn't an apply patch.
pub(crate) fn patched(object: &Value, patch: &Value, kind: PatchKind) -> Result<Value, Failure> {
    let mut object = object.clone();
    match kind {
        PatchKind::Json => json_patch(&mut object, patch)?,
        PatchKind::Merge => merge_patch(&mut object, patch),
        PatchKind::Strategic | PatchKind::Apply => strategic(&mut object, patch, Shape::root(None)),
    }
    Ok(object)
}

fn json_patch(object: &mut Value, patch: &Value) -> Result<(), Failure> {
    let operations: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    json_patch::patch(object, &operations).map_err(|_| {
        Failure::new(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
    })
}

fn merge_patch(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    let map = crate::json::as_map(object);
    for (field, value) in patch {
        if value.is_null() {
            map.remove(field);
        } else {
            merge_patch(map.entry(field.clone()).or_insert(Value::Null), value);
        }
    }
}

fn strategic(object: &mut Value, patch: &Value, shape: Shape<'_>) {
    match patch {
        Value::Object(patch) => strategic_map(crate::json::as_map(object), patch, shape),
        Value::Array(items) => strategic_list(object, items, shape),
        _ => *object = patch.clone(),
    }
}

fn strategic_map(map: &mut Map<String, Value>, patch: &Map<String, Value>, shape: Shape<'_>) {
    if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
        map.clear();
    }
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        map.retain(|field, _| kept.iter().any(|one| one.as_str() == Some(field)));
    }
    for (field, value) in patch {
        if let Some(list) = field.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Some(gone)) = (map.get_mut(list), value.as_array()) {
                items.retain(|item| !gone.contains(item));
            }
        } else if field.starts_with('$') {
            // Order has no meaning here, and the rest is dealt with above.
        } else if value.is_null() {
            map.remove(field);
        } else {
            strategic(
                map.entry(field.clone()).or_insert(Value::Null),
                value,
                shape.child(field),
            );
        }
    }
}

fn strategic_list(object: &mut Value, patch: &[Value], shape: Shape<'_>) {
    let mut items = object.as_array().cloned().unwrap_or_default();
    match shape.list() {
        ListKind::Atomic => items = patch.to_vec(),
        ListKind::Set => items.extend(
            patch
                .iter()
                .filter(|item| !object.as_array().is_some_and(|old| old.contains(item)))
                .cloned()
                .collect::<Vec<_>>(),
        ),
        ListKind::Map(keys) => {
            for item in patch {
                strategic_item(&mut items, item, &keys, shape.item());
            }
        }
    }
    *object = Value::Array(items);
}

fn strategic_item(items: &mut Vec<Value>, item: &Value, keys: &[String], shape: Shape<'_>) {
    match item.get("$patch").and_then(Value::as_str) {
        Some("delete") => {
            let key = item_key(item, keys);
            items.retain(|old| !has_key(old, &key));
        }
        Some("replace") => items.clear(),
        _ => {
            let key = item_key(item, keys);
            if let Some(old) = items.iter_mut().find(|old| has_key(old, &key)) {
                strategic(old, item, shape);
            } else {
                let mut new = Value::Null;
                strategic(&mut new, item, shape);
                items.push(new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_removes_with_null() {
        let object = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
        assert_eq!(
            patched(
                &object,
                &json!({"a": {"b": null, "d": 3}, "l": [3]}),
                PatchKind::Merge
            )
            .unwrap(),
            json!({"a": {"c": 2, "d": 3}, "l": [3]})
        );
    }

    #[test]
    fn a_json_patch_whose_test_fails_changes_nothing() {
        let object = json!({"a": 1});
        let patch = json!([{"op": "replace", "path": "/a", "value": 2}, {"op": "test", "path": "/a", "value": 1}]);
        assert_eq!(
            patched(&object, &patch, PatchKind::Json).unwrap_err().code,
            422
        );
        assert_eq!(
            patched(
                &object,
                &json!([{"op": "add", "path": "/b", "value": 2}]),
                PatchKind::Json
            )
            .unwrap(),
            json!({"a": 1, "b": 2})
        );
        assert_eq!(
            patched(&object, &json!({"op": "add"}), PatchKind::Json)
                .unwrap_err()
                .code,
            400
        );
    }

    #[test]
    fn a_strategic_patch_merges_lists_by_name() {
        let object = json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}});
        let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a", "image": "3"}, {"name": "b", "$patch": "delete"}]}});
        assert_eq!(
            patched(&object, &patch, PatchKind::Strategic).unwrap(),
            json!({"spec": {"containers": [{"name": "a", "image": "3"}]}})
        );
    }
}
