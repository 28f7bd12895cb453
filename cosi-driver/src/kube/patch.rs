//! How objects are changed: status by server-side apply, finalizers and annotations by a merge that fails where the object has changed meanwhile.

use std::{collections::BTreeMap, fmt::Debug};

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// What objects are like that are changed here.
pub trait Object:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize
{
}

impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize> Object for K {}

/// Who writes, as `managedFields` names it.
pub const MANAGER: &str = "larder-cosi";

/// Writes the whole status.
///
/// # Errors
///
/// The API server's; a conflict where the object is another one of the same name meanwhile.
pub async fn apply_status<K: Object>(
    api: &Api<K>,
    object: &K,
    status: &impl Serialize,
) -> kube::Result<K> {
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "uid": object.uid() },
        "status": status,
    });
    let how = PatchParams::apply(MANAGER).force();
    api.patch_status(&object.name_any(), &how, &Patch::Apply(body))
        .await
}

/// Merges into an object that must be as it was seen.
///
/// # Errors
///
/// The API server's; a conflict where the object has changed: it is looked at again.
pub async fn merge<K: Object>(api: &Api<K>, object: &K, mut body: Value) -> kube::Result<K> {
    let metadata = &mut body["metadata"];
    metadata["uid"] = json!(object.uid());
    metadata["resourceVersion"] = json!(object.resource_version());
    let how = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch(&object.name_any(), &how, &Patch::Merge(body))
        .await
}

/// Sets a finalizer, and with it the annotations; nothing is sent where all are there.
///
/// # Errors
///
/// As [`merge`].
pub async fn hold<K: Object>(
    api: &Api<K>,
    object: &K,
    finalizer: &str,
    annotations: &BTreeMap<String, String>,
) -> kube::Result<Option<K>> {
    let held = object.finalizers().iter().any(|name| name == finalizer);
    let said = annotations
        .iter()
        .all(|(name, value)| object.annotations().get(name) == Some(value));
    if held && said {
        return Ok(None);
    }
    let mut finalizers = object.finalizers().to_vec();
    if !held {
        finalizers.push(finalizer.to_owned());
    }
    let metadata = json!({ "finalizers": finalizers, "annotations": annotations });
    merge(api, object, json!({ "metadata": metadata }))
        .await
        .map(Some)
}

/// Takes finalizers away; nothing is sent where none is there. An object that is gone already is as good.
///
/// # Errors
///
/// As [`merge`].
pub async fn release<K: Object>(api: &Api<K>, object: &K, ours: &[&str]) -> kube::Result<()> {
    let before = object.finalizers();
    let after: Vec<_> = before
        .iter()
        .filter(|name| !ours.contains(&name.as_str()))
        .collect();
    if after.len() == before.len() {
        return Ok(());
    }
    let body = json!({ "metadata": { "finalizers": after } });
    gone_is_done(merge(api, object, body).await.map(drop))
}

/// Deletes this very object, not a later one of its name.
///
/// # Errors
///
/// The API server's; a conflict where it is another one.
pub async fn delete<K: Object>(api: &Api<K>, object: &K) -> kube::Result<()> {
    let how = DeleteParams {
        preconditions: Some(Preconditions {
            uid: object.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    gone_is_done(api.delete(&object.name_any(), &how).await.map(drop))
}

fn gone_is_done(answer: kube::Result<()>) -> kube::Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other,
    }
}
