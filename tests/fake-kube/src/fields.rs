//! Sets of fields, as `managedFields` keeps them (`FieldsV1`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::shape::{ListKind, Shape, find_item, item_key};

/// A set of fields: a tree, in which a node that is a member stands for its own field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) member: bool,
    pub(crate) children: BTreeMap<String, Fields>,
}

impl Fields {
    fn leaf() -> Self {
        Self {
            member: true,
            children: BTreeMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// What a manager who wrote this value owns.
    pub(crate) fn of(value: &Value, shape: Shape<'_>) -> Self {
        match value {
            Value::Object(map) if !map.is_empty() && !shape.is_atomic_map() => {
                Self::of_children(map.iter().map(|(field, value)| {
                    (format!("f:{field}"), Self::of(value, shape.child(field)))
                }))
            }
            Value::Array(items) if !items.is_empty() => Self::of_list(items, shape),
            _ => Self::leaf(),
        }
    }

    fn of_list(items: &[Value], shape: Shape<'_>) -> Self {
        match shape.list() {
            ListKind::Atomic => Self::leaf(),
            ListKind::Set => {
                Self::of_children(items.iter().map(|item| (format!("v:{item}"), Self::leaf())))
            }
            ListKind::Map(keys) => Self::of_children(items.iter().map(|item| {
                let mut fields = Self::of(item, shape.item());
                fields.member = true;
                (key_name(&item_key(item, &keys)), fields)
            })),
        }
    }

    fn of_children(children: impl Iterator<Item = (String, Self)>) -> Self {
        Self {
            member: false,
            children: children.filter(|(_, child)| !child.is_empty()).collect(),
        }
    }

    /// What is in `new` and not the same in `old`.
    pub(crate) fn changed(old: &Value, new: &Value, shape: Shape<'_>) -> Self {
        match (old, new) {
            _ if old == new => Self::default(),
            (Value::Object(before), Value::Object(after))
                if !after.is_empty() && !shape.is_atomic_map() =>
            {
                Self::of_children(after.iter().map(|(field, value)| {
                    let shape = shape.child(field);
                    let fields = before.get(field).map_or_else(
                        || Self::of(value, shape),
                        |old| Self::changed(old, value, shape),
                    );
                    (format!("f:{field}"), fields)
                }))
            }
            (Value::Array(before), Value::Array(after)) => Self::changed_list(before, after, shape),
            _ => Self::of(new, shape),
        }
    }

    fn changed_list(before: &[Value], after: &[Value], shape: Shape<'_>) -> Self {
        match shape.list() {
            ListKind::Atomic => Self::leaf(),
            ListKind::Set => Self::of_children(
                after
                    .iter()
                    .filter(|item| !before.contains(item))
                    .map(|item| (format!("v:{item}"), Self::leaf())),
            ),
            ListKind::Map(keys) => Self::of_children(after.iter().map(|item| {
                let key = item_key(item, &keys);
                let fields = find_item(before, &key).map_or_else(
                    || Self {
                        member: true,
                        ..Self::of(item, shape.item())
                    },
                    |old| Self::changed(old, item, shape.item()),
                );
                (key_name(&key), fields)
            })),
        }
    }

    pub(crate) fn union(&mut self, other: &Self) {
        self.member |= other.member;
        for (name, child) in &other.children {
            self.children.entry(name.clone()).or_default().union(child);
        }
    }

    /// Takes out the members of `other`, and nothing below them that isn't there too.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.member &= !other.member;
        for (name, child) in &other.children {
            if let Some(mine) = self.children.get_mut(name) {
                mine.subtract(child);
                if mine.is_empty() {
                    self.children.remove(name);
                }
            }
        }
    }

    /// The members of both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(name, child)| {
            Some((name.clone(), child.intersection(other.children.get(name)?)))
        });
        let mut both = Self::of_children(children);
        both.member = self.member && other.member;
        both
    }

    /// Takes out single fields: paths of field names.
    pub(crate) fn without(mut self, paths: &[&[&str]]) -> Self {
        for path in paths {
            self.remove(path);
        }
        self
    }

    fn remove(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let name = format!("f:{first}");
        if rest.is_empty() {
            self.children.remove(&name);
        } else if let Some(child) = self.children.get_mut(&name) {
            child.remove(rest);
            if child.is_empty() {
                self.children.remove(&name);
            }
        }
    }

    /// The members as messages show them: `.spec.containers[name="a"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect_paths(String::new(), &mut found);
        found
    }

    fn collect_paths(&self, prefix: String, found: &mut Vec<String>) {
        for (name, child) in &self.children {
            child.collect_paths(format!("{prefix}{}", shown(name)), found);
        }
        if self.member && self.children.is_empty() {
            found.push(prefix);
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        map.extend(
            self.children
                .iter()
                .map(|(name, child)| (name.clone(), child.to_json())),
        );
        Value::Object(map)
    }

    pub(crate) fn from_json(value: &Value) -> Self {
        let Some(map) = value.as_object() else {
            return Self::default();
        };
        let children: BTreeMap<String, Self> = map
            .iter()
            .filter(|(name, _)| *name != ".")
            .map(|(name, child)| (name.clone(), Self::from_json(child)))
            .collect();
        Self {
            member: children.is_empty() || map.contains_key("."),
            children,
        }
    }
}

pub(crate) fn key_name(key: &Map<String, Value>) -> String {
    format!("k:{}", Value::Object(key.clone()))
}

fn shown(name: &str) -> String {
    match name.split_once(':') {
        Some(("f", field)) => format!(".{field}"),
        Some(("k", key)) => {
            let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
            let each: Vec<String> = key
                .iter()
                .map(|(field, value)| format!("{field}={value}"))
                .collect();
            format!("[{}]", each.join(","))
        }
        Some((_, value)) => format!("[={value}]"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> Fields {
        Fields::of(value, Shape::root(None))
    }

    #[test]
    fn what_is_written_down_reads_back() {
        let fields = of(
            &json!({"data": {"a": "1"}, "empty": {}, "metadata": {"finalizers": ["x"]}, "spec": {"containers": [{"name": "c", "image": "i"}], "args": [1]}}),
        );
        let json = json!({"f:data": {"f:a": {}}, "f:empty": {}, "f:metadata": {"f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:args": {}, "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}}}}});
        assert_eq!(fields.to_json(), json);
        assert_eq!(Fields::from_json(&json), fields);
        assert_eq!(
            fields.paths(),
            [
                ".data.a",
                ".empty",
                ".metadata.finalizers[=\"x\"]",
                ".spec.args",
                ".spec.containers[name=\"c\"].image",
                ".spec.containers[name=\"c\"].name"
            ]
        );
    }

    #[test]
    fn changes_are_what_is_new_or_different() {
        let old = json!({"data": {"a": "1", "b": "2"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let new = json!({"data": {"a": "1", "b": "3", "c": "4"}, "spec": {"containers": [{"name": "c", "image": "j"}]}});
        let changed = Fields::changed(&old, &new, Shape::root(None));
        assert_eq!(
            changed.paths(),
            [".data.b", ".data.c", ".spec.containers[name=\"c\"].image"]
        );
        assert!(Fields::changed(&new, &new, Shape::root(None)).is_empty());
    }

    #[test]
    fn sets_are_subtracted_and_intersected() {
        let mut both = of(&json!({"data": {"a": 1, "b": 2}, "x": 1}));
        let one = of(&json!({"data": {"a": 5}}));
        assert_eq!(both.intersection(&one), one);
        both.subtract(&one);
        assert_eq!(both.paths(), [".data.b", ".x"]);
        both.union(&one);
        assert_eq!(both.paths(), [".data.a", ".data.b", ".x"]);
    }
}
