//! Server-side apply, and who owns what: `metadata.managedFields`.

use serde_json::{Map, Value, json};

use crate::{
    failure::Failure,
    fields::{Fields, key_name},
    json::{list, metadata, now, text},
    resources::Resource,
    shape::{ListKind, Shape, has_key, item_key},
};

/// Who writes, through what.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    /// `Apply` or `Update`.
    pub(crate) operation: &'static str,
    pub(crate) subresource: String,
    pub(crate) force: bool,
}

/// What nobody owns.
const UNOWNED: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "generateName"],
    &["metadata", "uid"],
    &["metadata", "resourceVersion"],
    &["metadata", "generation"],
    &["metadata", "creationTimestamp"],
    &["metadata", "deletionTimestamp"],
    &["metadata", "deletionGracePeriodSeconds"],
    &["metadata", "managedFields"],
    &["metadata", "selfLink"],
];

/// A row of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    manager: String,
    operation: String,
    subresource: String,
    version: String,
    time: String,
    fields: Fields,
}

impl Row {
    fn is(&self, writer: &Writer) -> bool {
        self.manager == writer.manager
            && self.operation == writer.operation
            && self.subresource == writer.subresource
    }

    /// As conflicts name it: whoever applies, by name alone.
    fn shown(&self) -> String {
        let through = match self.subresource.as_str() {
            "" => String::new(),
            name => format!(" with subresource {name:?}"),
        };
        let using = match self.operation.as_str() {
            "Update" => format!(" using {}", self.version),
            _ => String::new(),
        };
        format!("{:?}{through}{using}", self.manager)
    }
}

fn rows(object: &Value) -> Vec<Row> {
    let row = |row: &Value| Row {
        manager: text(row, "/manager").to_owned(),
        operation: text(row, "/operation").to_owned(),
        subresource: text(row, "/subresource").to_owned(),
        version: text(row, "/apiVersion").to_owned(),
        time: text(row, "/time").to_owned(),
        fields: row
            .get("fieldsV1")
            .map(Fields::from_json)
            .unwrap_or_default(),
    };
    list(object, "/metadata/managedFields")
        .iter()
        .map(row)
        .filter(|row| !row.manager.is_empty())
        .collect()
}

fn set_rows(object: &mut Value, rows: &[Row]) {
    let rows: Vec<Value> = rows
        .iter()
        .filter(|row| !row.fields.is_empty())
        .map(row_json)
        .collect();
    crate::json::set(
        metadata(object),
        "managedFields",
        (!rows.is_empty()).then_some(Value::Array(rows)),
    );
}

fn row_json(row: &Row) -> Value {
    let mut json = json!({
        "manager": row.manager, "operation": row.operation, "apiVersion": row.version, "time": row.time,
        "fieldsType": "FieldsV1", "fieldsV1": row.fields.to_json(),
    });
    if !row.subresource.is_empty() {
        json["subresource"] = json!(row.subresource);
    }
    json
}

fn shape(resource: &Resource) -> Shape<'_> {
    Shape::root(resource.schema.as_deref())
}

fn owned(value: &Value, resource: &Resource) -> Fields {
    // Nobody owns a whole object, not even an empty one.
    Fields {
        member: false,
        ..Fields::of(value, shape(resource)).without(UNOWNED)
    }
}

/// Writes into `new` who owns what after it replaced `old`; what the new object says of that itself doesn't count.
pub(crate) fn track_update(old: &Value, new: &mut Value, resource: &Resource, writer: &Writer) {
    let mut rows = rows(old);
    let changed = Fields::changed(old, new, shape(resource)).without(UNOWNED);
    let mut removed = owned(old, resource);
    removed.subtract(&owned(new, resource));
    for row in &mut rows {
        row.fields.subtract(&removed);
        if !row.is(writer) {
            row.fields.subtract(&changed);
        }
    }
    if !changed.is_empty() {
        give(&mut rows, writer, resource, |fields| fields.union(&changed));
    }
    set_rows(new, &rows);
}

fn give(
    rows: &mut Vec<Row>,
    writer: &Writer,
    resource: &Resource,
    change: impl FnOnce(&mut Fields),
) {
    let at = rows
        .iter()
        .position(|row| row.is(writer))
        .unwrap_or_else(|| {
            rows.push(Row {
                manager: writer.manager.clone(),
                operation: writer.operation.to_owned(),
                subresource: writer.subresource.clone(),
                version: resource.api_version(),
                time: String::new(),
                fields: Fields::default(),
            });
            rows.len() - 1
        });
    if let Some(row) = rows.get_mut(at) {
        let before = row.fields.clone();
        change(&mut row.fields);
        if row.fields != before || row.time.is_empty() {
            row.time = now();
        }
    }
}

/// What `live` becomes when a manager applies a configuration.
pub(crate) fn apply(
    live: &Value,
    applied: &Value,
    resource: &Resource,
    writer: &Writer,
) -> Result<Value, Failure> {
    let mut rows = rows(live);
    let wanted = owned(applied, resource);
    let mut merged = merge(Some(live), applied, shape(resource));
    let changed = Fields::changed(live, &merged, shape(resource)).without(UNOWNED);
    settle_conflicts(&mut rows, &changed, writer)?;
    let mut dropped = rows
        .iter()
        .find(|row| row.is(writer))
        .map(|row| row.fields.clone())
        .unwrap_or_default();
    dropped.subtract(&wanted);
    for row in rows.iter().filter(|row| !row.is(writer)) {
        dropped.subtract(&row.fields);
    }
    let others = rows
        .iter()
        .filter(|row| !row.is(writer))
        .fold(wanted.clone(), |mut all, row| {
            all.union(&row.fields);
            all
        });
    remove(&mut merged, &dropped, &others, shape(resource));
    give(&mut rows, writer, resource, |fields| *fields = wanted);
    set_rows(&mut merged, &rows);
    Ok(merged)
}

/// Fails where somebody else owns what changes; takes it from them where that is forced.
fn settle_conflicts(rows: &mut [Row], changed: &Fields, writer: &Writer) -> Result<(), Failure> {
    let mut conflicts = Vec::new();
    for row in rows.iter_mut().filter(|row| !row.is(writer)) {
        let both = row.fields.intersection(changed);
        let who = row.shown();
        conflicts.extend(both.paths().into_iter().map(|path| (who.clone(), path)));
        if writer.force {
            row.fields.subtract(&both);
        }
    }
    if conflicts.is_empty() || writer.force {
        Ok(())
    } else {
        Err(Failure::field_conflicts(&conflicts))
    }
}

/// Lays a value over another.
pub(crate) fn merge(live: Option<&Value>, applied: &Value, shape: Shape<'_>) -> Value {
    match (live, applied) {
        (Some(Value::Object(live)), Value::Object(applied)) if !shape.is_atomic_map() => {
            let mut merged = live.clone();
            for (field, value) in applied {
                merged.insert(
                    field.clone(),
                    merge(live.get(field), value, shape.child(field)),
                );
            }
            Value::Object(merged)
        }
        (Some(Value::Array(live)), Value::Array(applied)) => {
            Value::Array(merge_list(live, applied, shape))
        }
        _ => applied.clone(),
    }
}

fn merge_list(live: &[Value], applied: &[Value], shape: Shape<'_>) -> Vec<Value> {
    let mut merged = live.to_vec();
    match shape.list() {
        ListKind::Atomic => merged = applied.to_vec(),
        ListKind::Set => merged.extend(applied.iter().filter(|item| !live.contains(item)).cloned()),
        ListKind::Map(keys) => {
            for item in applied {
                let key = item_key(item, &keys);
                match merged.iter_mut().find(|old| has_key(old, &key)) {
                    Some(old) => *old = merge(Some(old), item, shape.item()),
                    None => merged.push(item.clone()),
                }
            }
        }
    }
    merged
}

/// Takes fields out of a value, and what is empty afterwards unless somebody still has something there.
fn remove(value: &mut Value, fields: &Fields, kept: &Fields, shape: Shape<'_>) {
    let nobody = Fields::default();
    match value {
        Value::Object(map) => {
            for (name, child) in &fields.children {
                let Some(field) = name.strip_prefix("f:") else {
                    continue;
                };
                let kept = kept.children.get(name).unwrap_or(&nobody);
                remove_field(map, field, child, kept, shape);
            }
        }
        Value::Array(items) => remove_items(items, fields, kept, shape),
        _ => {}
    }
}

fn remove_field(
    map: &mut Map<String, Value>,
    field: &str,
    fields: &Fields,
    kept: &Fields,
    shape: Shape<'_>,
) {
    let Some(value) = map.get_mut(field) else {
        return;
    };
    let is_leaf = fields.member && fields.children.is_empty();
    if !is_leaf {
        remove(value, fields, kept, shape.child(field));
    }
    let is_empty =
        value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    if kept.is_empty() && (is_leaf || is_empty) {
        map.remove(field);
    }
}

fn remove_items(items: &mut Vec<Value>, fields: &Fields, kept: &Fields, shape: Shape<'_>) {
    let nobody = Fields::default();
    let list = shape.list();
    items.retain_mut(|item| {
        let name = match &list {
            ListKind::Atomic => return true,
            ListKind::Set => format!("v:{item}"),
            ListKind::Map(keys) => key_name(&item_key(item, keys)),
        };
        let Some(fields) = fields.children.get(&name) else {
            return true;
        };
        let kept = kept.children.get(&name).unwrap_or(&nobody);
        if fields.member && kept.is_empty() {
            return false;
        }
        remove(item, fields, kept, shape.item());
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(manager: &str) -> Writer {
        Writer {
            manager: manager.to_owned(),
            operation: "Apply",
            subresource: String::new(),
            force: false,
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers read better so")]
    fn applied(live: &Value, config: Value, manager: &str) -> Value {
        apply(live, &config, &Resource::default(), &writer(manager)).unwrap()
    }

    #[test]
    fn what_is_no_longer_applied_goes_unless_others_have_it() {
        let one = applied(&json!({}), json!({"data": {"a": "1", "b": "2"}}), "one");
        let two = applied(&one, json!({"data": {"b": "2", "c": "3"}}), "two");
        let three = applied(&two, json!({}), "one");
        assert_eq!(three["data"], json!({"b": "2", "c": "3"}));
        let four = applied(&three, json!({}), "two");
        assert_eq!(four.get("data"), None);
        assert_eq!(four["metadata"], json!({}));
    }

    #[test]
    fn what_others_own_is_a_conflict_unless_forced() {
        let one = applied(&json!({}), json!({"data": {"a": "1"}}), "one");
        let failure = apply(
            &one,
            &json!({"data": {"a": "2"}}),
            &Resource::default(),
            &writer("two"),
        )
        .unwrap_err();
        assert_eq!(failure.code, 409);
        assert_eq!(failure.status()["details"]["causes"][0]["field"], ".data.a");
        let forced = Writer {
            force: true,
            ..writer("two")
        };
        let two = apply(
            &one,
            &json!({"data": {"a": "2"}}),
            &Resource::default(),
            &forced,
        )
        .unwrap();
        assert_eq!(two["data"]["a"], "2");
        assert_eq!(
            two["metadata"]["managedFields"].as_array().unwrap().len(),
            1
        );
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let one = applied(
            &json!({}),
            json!({"data": {"a": "1"}, "metadata": {"labels": {"x": "y"}}}),
            "one",
        );
        assert_eq!(
            applied(
                &one,
                json!({"data": {"a": "1"}, "metadata": {"labels": {"x": "y"}}}),
                "one"
            ),
            one
        );
    }

    #[test]
    fn an_update_takes_what_it_changes() {
        let one = applied(&json!({}), json!({"data": {"a": "1", "b": "1"}}), "one");
        let mut two = one.clone();
        two["data"] = json!({"a": "2"});
        track_update(
            &one,
            &mut two,
            &Resource::default(),
            &Writer {
                operation: "Update",
                ..writer("two")
            },
        );
        let rows = rows(&two);
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(
            (rows[0].manager.as_str(), rows[0].fields.paths()),
            ("two", vec![".data.a".to_owned()])
        );
    }

    #[test]
    fn lists_merge_by_name() {
        let one = applied(
            &json!({}),
            json!({"spec": {"containers": [{"name": "a", "image": "1"}]}}),
            "one",
        );
        let two = applied(
            &one,
            json!({"spec": {"containers": [{"name": "b", "image": "2"}]}}),
            "two",
        );
        assert_eq!(two["spec"]["containers"].as_array().unwrap().len(), 2);
        let three = applied(
            &two,
            json!({"spec": {"containers": [{"name": "c", "image": "3"}]}}),
            "one",
        );
        let names: Vec<&str> = three["spec"]["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| text(one, "/name"))
            .collect();
        assert_eq!(names, ["b", "c"]);
    }
}
