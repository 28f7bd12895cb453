//! Schemas of custom resources: defaults, what isn't known is cut off, what is wrong is refused.

use serde_json::{Map, Value};

/// What a check finds.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Fields that the schema doesn't know; they are cut off.
    pub(crate) unknown: Vec<String>,
    /// `(field, what is wrong with it)`.
    pub(crate) problems: Vec<(String, String)>,
}

/// Brings an object into the shape of its schema, and says what was wrong.
pub(crate) fn conform(object: &mut Value, schema: &Value) -> Findings {
    let mut findings = Findings::default();
    let Some(map) = object.as_object_mut() else {
        return findings;
    };
    // These three belong to every object, whatever its schema says.
    let outer: Vec<(String, Value)> = ["apiVersion", "kind", "metadata"]
        .iter()
        .filter_map(|&field| Some((field.to_owned(), map.remove(field)?)))
        .collect();
    let required = |field: &str| !["apiVersion", "kind", "metadata"].contains(&field);
    visit_map(map, schema, "", &required, &mut findings);
    map.extend(outer);
    findings
}

fn visit(value: &mut Value, schema: &Value, path: &str, findings: &mut Findings) {
    if value.is_null() && schema.get("nullable").and_then(Value::as_bool) == Some(true) {
        return;
    }
    if !right_type(value, schema) {
        let wanted = crate::json::text(schema, "/type");
        findings.problems.push((
            path.to_owned(),
            format!(
                "Invalid value: {:?}: {path} in body must be of type {wanted}: {:?}",
                type_name(value),
                type_name(value)
            ),
        ));
        return;
    }
    check_value(value, schema, path, findings);
    match value {
        Value::Object(map) => visit_map(map, schema, path, &|_| true, findings),
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (at, item) in items.iter_mut().enumerate() {
                    visit(item, schema, &format!("{path}[{at}]"), findings);
                }
            }
        }
        _ => {}
    }
}

fn visit_map(
    map: &mut Map<String, Value>,
    schema: &Value,
    path: &str,
    required: &dyn Fn(&str) -> bool,
    findings: &mut Findings,
) {
    let below = |field: &str| {
        if path.is_empty() {
            field.to_owned()
        } else {
            format!("{path}.{field}")
        }
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    let rest = schema
        .get("additionalProperties")
        .filter(|rest| rest.is_object());
    for (field, schema) in properties.into_iter().flatten() {
        if let Some(default) = schema.get("default")
            && !map.contains_key(field)
        {
            map.insert(field.clone(), default.clone());
        }
    }
    for field in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if required(field) && !map.contains_key(field) {
            findings
                .problems
                .push((below(field), "Required value".to_owned()));
        }
    }
    let keeps_unknown = schema
        .get("x-kubernetes-preserve-unknown-fields")
        .and_then(Value::as_bool)
        == Some(true);
    let fields: Vec<String> = map.keys().cloned().collect();
    for field in fields {
        match (
            properties.and_then(|all| all.get(&field)).or(rest),
            map.get_mut(&field),
        ) {
            (Some(schema), Some(value)) => visit(value, schema, &below(&field), findings),
            (None, Some(_)) if !keeps_unknown => {
                findings.unknown.push(below(&field));
                map.remove(&field);
            }
            _ => {}
        }
    }
}

fn right_type(value: &Value, schema: &Value) -> bool {
    if schema
        .get("x-kubernetes-int-or-string")
        .and_then(Value::as_bool)
        == Some(true)
    {
        return value.is_string() || value.is_i64() || value.is_u64();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => true,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check_value(value: &Value, schema: &Value, path: &str, findings: &mut Findings) {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let mut wrong = |words: String| findings.problems.push((path.to_owned(), words));
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let names: Vec<String> = allowed.iter().map(Value::to_string).collect();
        wrong(format!(
            "Unsupported value: {value}: supported values: {}",
            names.join(", ")
        ));
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "lengths of what fits into a request"
    )]
    let size = match value {
        Value::String(text) => Some((text.chars().count() as f64, "Length", "chars")),
        Value::Array(items) => Some((items.len() as f64, "Items", "items")),
        Value::Object(map) => Some((map.len() as f64, "Properties", "properties")),
        _ => None,
    };
    if let Some((size, what, unit)) = size {
        if bound(&format!("max{what}")).is_some_and(|most| size > most) {
            wrong(format!(
                "Too long: may not be more than {} {unit}",
                bound(&format!("max{what}")).unwrap_or_default()
            ));
        }
        if bound(&format!("min{what}")).is_some_and(|least| size < least) {
            wrong(format!(
                "Invalid value: {value}: should be at least {} {unit} long",
                bound(&format!("min{what}")).unwrap_or_default()
            ));
        }
    }
    if let Some(number) = value.as_f64()
        && (bound("minimum").is_some_and(|least| number < least)
            || bound("maximum").is_some_and(|most| number > most))
    {
        wrong(format!("Invalid value: {value}: out of range"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_brought_into_shape() {
        let schema = json!({"type": "object", "required": ["spec"], "properties": {
            "spec": {"type": "object", "required": ["name", "policy"], "properties": {
                "name": {"type": "string", "maxLength": 3}, "policy": {"type": "string", "default": "Retain", "enum": ["Retain", "Delete"]},
                "parameters": {"type": "object", "additionalProperties": {"type": "string"}}}}}});
        let mut object = json!({"kind": "X", "metadata": {"name": "x"}, "spec": {"name": "abc", "odd": 1, "parameters": {"a": "b"}}});
        let findings = conform(&mut object, &schema);
        assert_eq!(
            (findings.unknown, findings.problems),
            (vec!["spec.odd".to_owned()], vec![])
        );
        assert_eq!(
            object,
            json!({"kind": "X", "metadata": {"name": "x"}, "spec": {"name": "abc", "parameters": {"a": "b"}, "policy": "Retain"}})
        );

        let mut object =
            json!({"spec": {"name": "abcd", "policy": "Keep", "parameters": {"a": 1}}});
        let fields: Vec<String> = conform(&mut object, &schema)
            .problems
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(fields, ["spec.name", "spec.parameters.a", "spec.policy"]);
        assert_eq!(
            conform(&mut json!({}), &schema).problems,
            [("spec".to_owned(), "Required value".to_owned())]
        );
    }
}
