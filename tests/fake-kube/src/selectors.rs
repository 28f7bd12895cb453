//! Selectors of labels and fields.

use serde_json::Value;

use crate::{failure::Failure, json::text, resources::Resource};

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// What a list or a watch is narrowed to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Condition>,
    /// Path, whether it must be equal, value.
    fields: Vec<(String, bool, String)>,
}

impl Selector {
    pub(crate) fn parse(labels: &str, fields: &str, resource: &Resource) -> Result<Self, Failure> {
        Ok(Self {
            labels: parse_labels(labels)?,
            fields: parse_fields(fields, resource)?,
        })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.iter().all(|condition| condition.holds(object))
            && self
                .fields
                .iter()
                .all(|(path, equal, value)| (field(object, path) == *value) == *equal)
    }

    /// The name that the selector asks for, if it asks for exactly one.
    pub(crate) fn single_name(&self) -> Option<&str> {
        self.fields
            .iter()
            .find(|(path, equal, _)| path == "metadata.name" && *equal)
            .map(|(_, _, value)| value.as_str())
    }
}

impl Condition {
    fn holds(&self, object: &Value) -> bool {
        let label = |key: &str| {
            object
                .get("metadata")
                .and_then(|metadata| metadata.get("labels"))
                .and_then(|labels| labels.get(key))
                .and_then(Value::as_str)
        };
        match self {
            Self::In(key, values) => {
                label(key).is_some_and(|value| values.iter().any(|one| one == value))
            }
            Self::NotIn(key, values) => {
                label(key).is_none_or(|value| values.iter().all(|one| one != value))
            }
            Self::Exists(key) => label(key).is_some(),
            Self::Absent(key) => label(key).is_none(),
        }
    }
}

fn field(object: &Value, path: &str) -> String {
    text(object, &format!("/{}", path.replace('.', "/"))).to_owned()
}

/// Splits at commas that are not within parentheses.
fn terms(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_i32, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.extend(text.get(start..));
    found
        .into_iter()
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .collect()
}

fn parse_labels(selector: &str) -> Result<Vec<Condition>, Failure> {
    terms(selector).into_iter().map(parse_label).collect()
}

fn parse_label(term: &str) -> Result<Condition, Failure> {
    let wrong = || Failure::bad_request(format!("unable to parse requirement: {term:?}"));
    if let Some((key, value)) = term.split_once("!=") {
        return Ok(Condition::NotIn(
            key.trim().to_owned(),
            vec![value.trim().to_owned()],
        ));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Ok(Condition::In(
            key.trim().to_owned(),
            vec![value.trim().to_owned()],
        ));
    }
    if let Some((left, rest)) = term.split_once('(') {
        let inner = rest.strip_suffix(')').ok_or_else(wrong)?;
        let values = inner
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        let mut words = left.split_whitespace();
        let key = words.next().ok_or_else(wrong)?.to_owned();
        return match (words.next(), words.next()) {
            (Some("in"), None) => Ok(Condition::In(key, values)),
            (Some("notin"), None) => Ok(Condition::NotIn(key, values)),
            _ => Err(wrong()),
        };
    }
    if term.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(term.strip_prefix('!').map_or_else(
        || Condition::Exists(term.to_owned()),
        |key| Condition::Absent(key.to_owned()),
    ))
}

fn parse_fields(
    selector: &str,
    resource: &Resource,
) -> Result<Vec<(String, bool, String)>, Failure> {
    terms(selector)
        .into_iter()
        .map(|term| {
            let (path, equal, value) = term
                .split_once("!=")
                .map(|(path, value)| (path, false, value))
                .or_else(|| {
                    term.split_once("==")
                        .map(|(path, value)| (path, true, value))
                })
                .or_else(|| {
                    term.split_once('=')
                        .map(|(path, value)| (path, true, value))
                })
                .ok_or_else(|| Failure::bad_request(format!("invalid field selector: {term:?}")))?;
            if selectable(resource, path) {
                Ok((path.to_owned(), equal, value.to_owned()))
            } else {
                Err(Failure::bad_request(format!(
                    "field label not supported: {path}"
                )))
            }
        })
        .collect()
}

fn selectable(resource: &Resource, path: &str) -> bool {
    let more: &[&str] = match (resource.group.as_str(), resource.plural.as_str()) {
        (_, "events") => &[
            "reason",
            "type",
            "involvedObject.",
            "regarding.",
            "reportingController",
            "reportingComponent",
            "source",
        ],
        ("", "secrets") => &["type"],
        ("", "pods") => &["spec.nodeName", "spec.serviceAccountName", "status.phase"],
        ("", "namespaces") => &["status.phase"],
        _ => &[],
    };
    path == "metadata.name"
        || (path == "metadata.namespace" && resource.namespaced)
        || more
            .iter()
            .any(|one| path == *one || (one.ends_with('.') && path.starts_with(one)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(labels: &str) -> bool {
        let object = json!({"metadata": {"labels": {"app": "db", "tier": "1"}}});
        Selector::parse(labels, "", &Resource::default())
            .unwrap()
            .matches(&object)
    }

    #[test]
    fn labels_are_selected_by_equality_and_by_set() {
        for holds in [
            "",
            "app=db",
            "app==db,tier",
            "app!=web",
            "app in (web, db)",
            "app notin (web),!gone",
            "other!=x",
        ] {
            assert!(matches(holds), "{holds}");
        }
        for fails in [
            "app=web",
            "app!=db",
            "gone",
            "!app",
            "app in (web)",
            "app=db,tier=2",
            "app notin (db)",
        ] {
            assert!(!matches(fails), "{fails}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for wrong in ["app within (a)", "app in (a", "a b"] {
            assert_eq!(
                Selector::parse(wrong, "", &Resource::default())
                    .unwrap_err()
                    .code,
                400,
                "{wrong}"
            );
        }
        assert_eq!(
            Selector::parse("", "spec.x=1", &Resource::default())
                .unwrap_err()
                .code,
            400
        );
    }
}
