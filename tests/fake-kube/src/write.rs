//! Creating and changing objects: what the server fills in, what it keeps, what it refuses.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    apply::{Writer, apply, track_update},
    collect, crds,
    failure::Failure,
    json::{is_deleting, map_mut, metadata, name, now, random, set, text, texts, uuid},
    resources::Resource,
    schema::conform,
    state::{State, key_of},
};

/// Where something is written, and how strictly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) namespace: &'a str,
    /// Whether unknown fields are refused rather than cut off.
    pub(crate) strict: bool,
}

/// Fields of metadata that only the server sets.
const SERVERS_OWN: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "selfLink",
];

pub(crate) fn create(
    state: &mut State,
    place: Place<'_>,
    mut object: Value,
    writer: &Writer,
) -> Result<Arc<Value>, Failure> {
    let resource = place.resource;
    prepare_new(&mut object, place)?;
    let object_name = name(&object).to_owned();
    check_namespace(state, place, &object_name)?;
    if state.get(resource, place.namespace, &object_name).is_some() {
        return Err(Failure::already_exists(resource, &object_name));
    }
    if resource.status && resource.custom {
        crate::json::as_map(&mut object).remove("status");
    }
    fill_in(&mut object, resource);
    check(&mut object, place)?;
    if writer.operation == "Update" {
        metadata(&mut object).remove("managedFields");
        track_update(&json!({}), &mut object, resource, writer);
    }
    if resource.plural == "customresourcedefinitions" {
        crds::establish(&mut object);
    }
    let created = state.put(resource, object)?;
    after_write(state, resource, &created);
    Ok(created)
}

fn prepare_new(object: &mut Value, place: Place<'_>) -> Result<(), Failure> {
    let given = text(object, "/metadata/namespace");
    if !given.is_empty() && given != place.namespace {
        return Err(Failure::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request ({given:?})"
        )));
    }
    if name(object).is_empty() {
        let prefix = text(object, "/metadata/generateName").to_owned();
        if prefix.is_empty() {
            let problem = (
                "metadata.name".to_owned(),
                "Required value: name or generateName is required".to_owned(),
            );
            return Err(Failure::invalid(place.resource, "", &[problem]));
        }
        metadata(object).insert("name".to_owned(), json!(format!("{prefix}{}", suffix())));
    }
    check_name(object, place.resource)?;
    let map = metadata(object);
    for field in SERVERS_OWN {
        map.remove(*field);
    }
    map.insert("uid".to_owned(), json!(uuid()));
    map.insert("creationTimestamp".to_owned(), json!(now()));
    set(
        map,
        "namespace",
        place.resource.namespaced.then(|| json!(place.namespace)),
    );
    if place.resource.generation || place.resource.custom {
        map.insert("generation".to_owned(), json!(1));
    }
    Ok(())
}

/// Five letters and digits, none that make words.
fn suffix() -> String {
    let letters: Vec<char> = "bcdfghjklmnpqrstvwxz2456789".chars().collect();
    random::<5>()
        .iter()
        .filter_map(|byte| letters.get(usize::from(*byte) % letters.len()))
        .collect()
}

fn check_name(object: &Value, resource: &Resource) -> Result<(), Failure> {
    let name = name(object);
    // Names of roles are any part of a path.
    let part_of_path = resource.group == "rbac.authorization.k8s.io";
    let outer = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let fine = !name.is_empty()
        && name.len() <= 253
        && if part_of_path {
            !name.contains(['/', '%']) && name != "." && name != ".."
        } else {
            name.split('.').all(|label| {
                label.starts_with(outer)
                    && label.ends_with(outer)
                    && label.chars().all(|letter| outer(letter) || letter == '-')
            })
        };
    if fine {
        return Ok(());
    }
    let words = format!(
        "Invalid value: {name:?}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
    );
    Err(Failure::invalid(
        resource,
        name,
        &[("metadata.name".to_owned(), words)],
    ))
}

fn check_namespace(state: &State, place: Place<'_>, name: &str) -> Result<(), Failure> {
    if !place.resource.namespaced {
        return Ok(());
    }
    let namespaces = state
        .registry
        .get("", "v1", "namespaces")
        .ok_or_else(Failure::unknown_path)?;
    let namespace = state.require(&namespaces, "", place.namespace)?;
    if is_deleting(&namespace) {
        Err(Failure::namespace_terminating(
            place.resource,
            name,
            place.namespace,
        ))
    } else {
        Ok(())
    }
}

/// What the server writes into some built-in kinds.
fn fill_in(object: &mut Value, resource: &Resource) {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") => {
            let name = name(object).to_owned();
            map_mut(object, "spec")
                .entry("finalizers")
                .or_insert_with(|| json!(["kubernetes"]));
            map_mut(object, "status").insert("phase".to_owned(), json!("Active"));
            let labels = metadata(object)
                .entry("labels")
                .or_insert_with(|| json!({}));
            crate::json::as_map(labels)
                .insert("kubernetes.io/metadata.name".to_owned(), json!(name));
        }
        ("", "secrets") => encode_secret(object),
        ("", "pods") => {
            map_mut(object, "status")
                .entry("phase")
                .or_insert_with(|| json!("Pending"));
        }
        _ => {}
    }
}

/// `stringData` is for writing only.
fn encode_secret(object: &mut Value) {
    let map = crate::json::as_map(object);
    map.entry("type").or_insert_with(|| json!("Opaque"));
    let Some(Value::Object(plain)) = map.remove("stringData") else {
        return;
    };
    let data = map_mut(object, "data");
    for (field, value) in plain {
        data.insert(
            field,
            json!(BASE64_STANDARD.encode(value.as_str().unwrap_or_default())),
        );
    }
}

/// Checks an object against its schema, and cuts off what that doesn't know.
fn check(object: &mut Value, place: Place<'_>) -> Result<(), Failure> {
    let Some(schema) = &place.resource.schema else {
        return check_secret(object, place.resource);
    };
    let findings = conform(object, schema);
    if place.strict && !findings.unknown.is_empty() {
        let fields: Vec<String> = findings
            .unknown
            .iter()
            .map(|field| format!("unknown field {field:?}"))
            .collect();
        let (kind, version) = (&place.resource.kind, &place.resource.version);
        return Err(Failure::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
            fields.join(", ")
        )));
    }
    if findings.problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::invalid(
            place.resource,
            name(object),
            &findings.problems,
        ))
    }
}

fn check_secret(object: &Value, resource: &Resource) -> Result<(), Failure> {
    if resource.plural != "secrets" || !resource.group.is_empty() {
        return Ok(());
    }
    let data = object.get("data").and_then(Value::as_object);
    let bad = data.into_iter().flatten().any(|(_, value)| {
        value
            .as_str()
            .is_none_or(|text| BASE64_STANDARD.decode(text).is_err())
    });
    if bad {
        Err(Failure::bad_request(
            "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0",
        ))
    } else {
        Ok(())
    }
}

/// A whole object is put in the place of another.
pub(crate) fn replace(
    state: &mut State,
    place: Place<'_>,
    object_name: &str,
    object: Value,
    writer: &Writer,
) -> Result<Arc<Value>, Failure> {
    if name(&object) != object_name {
        return Err(Failure::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({object_name})",
            name(&object)
        )));
    }
    let old = state.require(place.resource, place.namespace, object_name)?;
    let version = text(&object, "/metadata/resourceVersion");
    if version.is_empty() && place.resource.custom {
        let problem = (
            "metadata.resourceVersion".to_owned(),
            "Invalid value: 0: must be specified for an update".to_owned(),
        );
        return Err(Failure::invalid(place.resource, object_name, &[problem]));
    }
    change(state, place, &old, object, writer)
}

/// An object is applied on the server: made where there is none.
pub(crate) fn apply_object(
    state: &mut State,
    place: Place<'_>,
    object_name: &str,
    mut config: Value,
    writer: &Writer,
) -> Result<(Arc<Value>, bool), Failure> {
    if writer.manager.is_empty() {
        return Err(Failure::bad_request(
            "fieldManager is required for apply patch",
        ));
    }
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    limit_to_subresource(&mut config, place.resource, &writer.subresource);
    let Some(old) = state.get(place.resource, place.namespace, object_name) else {
        if !writer.subresource.is_empty() {
            return Err(Failure::not_found(place.resource, object_name));
        }
        metadata(&mut config).insert("name".to_owned(), json!(object_name));
        let empty = json!({"apiVersion": place.resource.api_version(), "kind": place.resource.kind, "metadata": {}});
        let object = apply(&empty, &config, place.resource, writer)?;
        return Ok((create(state, place, object, writer)?, true));
    };
    let version = text(&config, "/metadata/resourceVersion").to_owned();
    if let Some(map) = config.get_mut("metadata").and_then(Value::as_object_mut) {
        map.remove("resourceVersion");
    }
    if plain_data(&config, place.resource) {
        encode_secret(&mut config);
    }
    let mut merged = apply(&old, &config, place.resource, writer)?;
    if !version.is_empty() {
        metadata(&mut merged).insert("resourceVersion".to_owned(), json!(version));
    }
    Ok((change(state, place, &old, merged, writer)?, false))
}

fn plain_data(object: &Value, resource: &Resource) -> bool {
    resource.plural == "secrets" && resource.group.is_empty() && object.get("stringData").is_some()
}

/// Status is applied through its own resource alone, and nothing else through that.
fn limit_to_subresource(config: &mut Value, resource: &Resource, subresource: &str) {
    let map = crate::json::as_map(config);
    if subresource == "status" {
        map.retain(|field, _| {
            ["apiVersion", "kind", "metadata", "status"].contains(&field.as_str())
        });
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| {
                ["name", "namespace", "uid", "resourceVersion"].contains(&field.as_str())
            });
        }
    } else if resource.status {
        map.remove("status");
    }
}

/// Writes what an object shall be, in the place of what it was.
pub(crate) fn change(
    state: &mut State,
    place: Place<'_>,
    old: &Arc<Value>,
    mut new: Value,
    writer: &Writer,
) -> Result<Arc<Value>, Failure> {
    let resource = place.resource;
    check_preconditions(old, &new, resource)?;
    keep_servers_own(old, &mut new, resource, &writer.subresource);
    if plain_data(&new, resource) {
        encode_secret(&mut new);
    }
    check_finalizers(old, &new, resource)?;
    check(&mut new, place)?;
    if resource.plural == "customresourcedefinitions" && writer.subresource.is_empty() {
        crds::establish(&mut new);
    }
    if writer.operation == "Update" {
        track_update(old, &mut new, resource, writer);
    }
    if new == **old {
        return Ok(Arc::clone(old));
    }
    count_generation(old, &mut new, resource);
    let written = state.put(resource, new)?;
    after_write(state, resource, &written);
    if collect::is_done(&written) {
        return Ok(collect::remove(state, resource, &key_of(&written)).unwrap_or(written));
    }
    Ok(written)
}

fn check_preconditions(old: &Value, new: &Value, resource: &Resource) -> Result<(), Failure> {
    let version = text(new, "/metadata/resourceVersion");
    if !version.is_empty() && version != text(old, "/metadata/resourceVersion") {
        return Err(Failure::stale(resource, name(old)));
    }
    let (had, given) = (text(old, "/metadata/uid"), text(new, "/metadata/uid"));
    if !given.is_empty() && given != had {
        return Err(Failure::conflict(
            resource,
            name(old),
            &format!(
                "Precondition failed: UID in precondition: {given}, UID in object meta: {had}"
            ),
        ));
    }
    Ok(())
}

/// What a change through this subresource doesn't reach stays as it was.
fn keep_servers_own(old: &Value, new: &mut Value, resource: &Resource, subresource: &str) {
    if subresource == "status" {
        let status = new.get("status").cloned();
        let managed = new.pointer("/metadata/managedFields").cloned();
        *new = old.clone();
        set(crate::json::as_map(new), "status", status);
        set(metadata(new), "managedFields", managed);
        return;
    }
    if resource.status {
        let status = old.get("status").cloned();
        set(crate::json::as_map(new), "status", status);
    }
    for field in ["apiVersion", "kind"] {
        set(crate::json::as_map(new), field, old.get(field).cloned());
    }
    let map = metadata(new);
    for field in SERVERS_OWN
        .iter()
        .chain(&["name", "namespace", "generateName"])
    {
        set(
            map,
            field,
            old.get("metadata")
                .and_then(|metadata| metadata.get(field))
                .cloned(),
        );
    }
}

fn check_finalizers(old: &Value, new: &Value, resource: &Resource) -> Result<(), Failure> {
    let before = texts(old, "/metadata/finalizers");
    let added: Vec<&str> = texts(new, "/metadata/finalizers")
        .into_iter()
        .filter(|one| !before.contains(one))
        .collect();
    if added.is_empty() || !is_deleting(old) {
        return Ok(());
    }
    let words = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
    );
    Err(Failure::invalid(
        resource,
        name(old),
        &[("metadata.finalizers".to_owned(), words)],
    ))
}

/// Changes of what is wanted are counted, those of metadata and status are not.
fn count_generation(old: &Value, new: &mut Value, resource: &Resource) {
    if !(resource.generation || resource.custom) {
        return;
    }
    let wanted = |object: &Value| {
        let mut object = object.clone();
        let map = crate::json::as_map(&mut object);
        map.remove("metadata");
        if resource.status {
            map.remove("status");
        }
        object
    };
    if wanted(old) != wanted(new) {
        let generation = old
            .pointer("/metadata/generation")
            .and_then(Value::as_u64)
            .unwrap_or(1);
        metadata(new).insert("generation".to_owned(), json!(generation + 1));
    }
}

fn after_write(state: &mut State, resource: &Resource, written: &Value) {
    if resource.plural == "customresourcedefinitions" {
        crds::register(state, written);
    }
}
