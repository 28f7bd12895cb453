//! The Secret of an access: made, kept as it should be, and removed; never one of somebody else.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    controllers::{
        context::{Context, is_deleting},
        failure::Failure,
        rotation::GENERATION,
    },
    kube::{
        BucketAccess, DRIVER_ANNOTATION, MANAGER, SECRET_FINALIZER, delete, info_name, merge,
        release,
    },
};

/// The uid of the access that a Secret belongs to.
const ACCESS: &str = "cosi.larder.dev/access-uid";
/// The key that COSI's own contract is about.
const INFO: &str = "BucketInfo";

/// What is in a Secret, by key.
pub(crate) type Contents = BTreeMap<String, String>;

/// The access's Secret, where it is there; an error where the name is somebody else's.
pub(crate) async fn find(ctx: &Context, access: &BucketAccess) -> Result<Option<Secret>, Failure> {
    let name = &access.spec.credentials_secret_name;
    let secret = secrets(ctx, access).get_opt(name).await?;
    match secret {
        Some(secret) if !belongs(&secret, access) => Err(Failure::wrong(
            "SecretExists",
            format!(
                "there is a Secret {name} that this access did not make, and it is left alone; delete it, or make an access with another credentialsSecretName"
            ),
        )),
        other => Ok(other),
    }
}

fn secrets(ctx: &Context, access: &BucketAccess) -> Api<Secret> {
    ctx.beside(access)
}

/// Whether a Secret was made for this very access, by us or by upstream's sidecar.
pub(crate) fn belongs(secret: &Secret, access: &BucketAccess) -> bool {
    let uid = access.uid().unwrap_or_default();
    if let Some(owner) = secret.annotations().get(ACCESS) {
        return *owner == uid;
    }
    let info = secret
        .data
        .as_ref()
        .and_then(|data| data.get(INFO))
        .and_then(|info| serde_json::from_slice::<Value>(&info.0).ok());
    info.is_some_and(|info| info["metadata"]["name"] == json!(info_name(&uid)))
}

/// Sees to it that the Secret is there with these contents; whether anything had to be written.
pub(crate) async fn write(
    ctx: &Context,
    access: &BucketAccess,
    contents: &Contents,
    generation: u64,
) -> Result<bool, Failure> {
    let annotations = annotations(ctx, access, generation);
    match find(ctx, access).await? {
        None => make(ctx, access, contents, annotations)
            .await
            .map(|()| true),
        Some(secret) if is_deleting(&secret) => {
            release(&secrets(ctx, access), &secret, &[SECRET_FINALIZER]).await?;
            Err(Failure::waits(
                "SecretDeleted",
                "the Secret was deleted while the access is there: it is made anew",
            ))
        }
        Some(secret) => put_right(ctx, access, secret, contents, &annotations).await,
    }
}

async fn put_right(
    ctx: &Context,
    access: &BucketAccess,
    secret: Secret,
    contents: &Contents,
    annotations: &BTreeMap<String, String>,
) -> Result<bool, Failure> {
    let surplus = surplus(&secret, contents);
    let rid = if surplus.is_empty() {
        None
    } else {
        Some(merge(&secrets(ctx, access), &secret, json!({ "data": surplus })).await?)
    };
    let secret = rid.as_ref().unwrap_or(&secret);
    if is_as_wanted(secret, contents, annotations) {
        return Ok(rid.is_some());
    }
    renew(ctx, access, secret, contents, annotations).await?;
    Ok(true)
}

/// The keys that this driver has written and does not write any more, such as those of a format that the class has no longer: each with nothing in it, which takes it away.
/// What somebody else owns as well stays; and where nothing says who wrote a key, so does that.
fn surplus(secret: &Secret, contents: &Contents) -> BTreeMap<String, Option<String>> {
    let rows = secret.managed_fields();
    let owns = |row: &ManagedFieldsEntry, key: &str| {
        let fields = row.fields_v1.as_ref();
        let data = fields.and_then(|fields| fields.0.get("f:data"));
        data.is_some_and(|data| data.get(format!("f:{key}")).is_some())
    };
    let is_ours = |row: &&ManagedFieldsEntry| row.manager.as_deref() == Some(MANAGER);
    let there = secret.data.iter().flatten().map(|(key, _)| key);
    there
        .filter(|key| !contents.contains_key(*key))
        .filter(|key| {
            let mut owners = rows.iter().filter(|row| owns(row, key)).peekable();
            owners.peek().is_some() && owners.all(|row| is_ours(&row))
        })
        .map(|key| (key.clone(), None))
        .collect()
}

fn annotations(ctx: &Context, access: &BucketAccess, generation: u64) -> BTreeMap<String, String> {
    BTreeMap::from([
        (ACCESS.to_owned(), access.uid().unwrap_or_default()),
        (DRIVER_ANNOTATION.to_owned(), ctx.settings.driver.clone()),
        (GENERATION.to_owned(), generation.to_string()),
    ])
}

fn is_as_wanted(
    secret: &Secret,
    contents: &Contents,
    annotations: &BTreeMap<String, String>,
) -> bool {
    let empty = BTreeMap::new();
    let data = secret.data.as_ref().unwrap_or(&empty);
    let has = |(key, value): (&String, &String)| {
        data.get(key).is_some_and(|have| have.0 == value.as_bytes())
    };
    let said = |(key, value)| secret.annotations().get(key) == Some(value);
    contents.iter().all(has) && annotations.iter().all(said)
}

async fn make(
    ctx: &Context,
    access: &BucketAccess,
    contents: &Contents,
    annotations: BTreeMap<String, String>,
) -> Result<(), Failure> {
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(access.spec.credentials_secret_name.clone()),
            finalizers: Some(vec![SECRET_FINALIZER.to_owned()]),
            annotations: Some(annotations),
            labels: Some(labels()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(bytes(contents)),
        ..Secret::default()
    };
    let how = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    secrets(ctx, access).create(&how, &secret).await?;
    Ok(())
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([(
        "app.kubernetes.io/managed-by".to_owned(),
        MANAGER.to_owned(),
    )])
}

fn bytes(contents: &Contents) -> BTreeMap<String, ByteString> {
    contents
        .iter()
        .map(|(key, value)| (key.clone(), ByteString(value.clone().into_bytes())))
        .collect()
}

/// By server-side apply, to the very Secret that was seen: keys that somebody added stay.
async fn renew(
    ctx: &Context,
    access: &BucketAccess,
    secret: &Secret,
    contents: &Contents,
    annotations: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let body = json!({
        "apiVersion": Secret::api_version(&()),
        "kind": Secret::kind(&()),
        "metadata": {
            "name": secret.name_any(),
            "uid": secret.uid(),
            "resourceVersion": secret.resource_version(),
            "annotations": annotations,
            "labels": labels(),
        },
        "data": bytes(contents),
    });
    let how = PatchParams::apply(MANAGER).force();
    secrets(ctx, access)
        .patch(&secret.name_any(), &how, &Patch::Apply(body))
        .await?;
    Ok(())
}

/// Removes the access's Secret; one of somebody else stays.
pub(crate) async fn remove(ctx: &Context, access: &BucketAccess) -> Result<(), Failure> {
    let api = secrets(ctx, access);
    let name = &access.spec.credentials_secret_name;
    if name.is_empty() {
        return Ok(());
    }
    let Some(secret) = api.get_opt(name).await? else {
        return Ok(());
    };
    if belongs(&secret, access) {
        release(&api, &secret, &[SECRET_FINALIZER]).await?;
        delete(&api, &secret).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> BucketAccess {
        let mut access = BucketAccess::named("a");
        access.metadata.uid = Some("u".to_owned());
        access
    }

    fn secret(key: &str, text: &str) -> Secret {
        Secret {
            data: Some(BTreeMap::from([(
                key.to_owned(),
                ByteString(text.as_bytes().to_vec()),
            )])),
            ..Secret::default()
        }
    }

    #[test]
    fn a_secret_belongs_to_the_access_that_it_names() {
        let mut ours = Secret::default();
        ours.annotations_mut()
            .insert(ACCESS.to_owned(), "u".to_owned());
        assert!(belongs(&ours, &access()));
        ours.annotations_mut()
            .insert(ACCESS.to_owned(), "another".to_owned());
        assert!(!belongs(&ours, &access()));
    }

    #[test]
    fn a_secret_of_upstreams_sidecar_is_known_by_its_info() {
        let upstreams = secret(
            INFO,
            r#"{"metadata":{"name":"bc-u","creationTimestamp":null}}"#,
        );
        assert!(belongs(&upstreams, &access()));
        assert!(!belongs(
            &secret(INFO, r#"{"metadata":{"name":"bc-v"}}"#),
            &access()
        ));
    }

    #[test]
    fn a_secret_of_somebody_else_is_theirs() {
        assert!(!belongs(&Secret::default(), &access()));
        assert!(!belongs(&secret("password", "hunter2"), &access()));
        assert!(!belongs(&secret(INFO, "not json"), &access()));
    }

    #[test]
    fn what_is_not_written_any_more_goes_unless_somebody_else_has_a_part_in_it() {
        let keys = ["BucketInfo", "cloud", "extra", "shared", "unknown"];
        let data = keys.map(|key| (key.to_owned(), ByteString(b"x".to_vec())));
        let row = |manager: &str, keys: &[&str]| {
            let fields: Value = keys
                .iter()
                .map(|key| (format!("f:{key}"), json!({})))
                .collect();
            serde_json::from_value(json!({"manager": manager, "fieldsV1": {"f:data": fields}}))
                .unwrap()
        };
        let mut secret = Secret {
            data: Some(BTreeMap::from(data)),
            ..Secret::default()
        };
        secret.metadata.managed_fields = Some(vec![
            row(MANAGER, &["BucketInfo", "cloud"]),
            row(MANAGER, &["shared"]),
            row("kubectl-edit", &["extra", "shared"]),
        ]);
        let wanted = Contents::from([("BucketInfo".to_owned(), "y".to_owned())]);
        let gone = BTreeMap::from([("cloud".to_owned(), None)]);
        assert_eq!(surplus(&secret, &wanted), gone);
        secret.metadata.managed_fields = None;
        assert_eq!(surplus(&secret, &wanted), BTreeMap::new());
    }

    #[test]
    fn contents_are_compared_and_other_keys_left_out_of_it() {
        let have = secret("AWS_REGION", "us-east-1");
        let same = Contents::from([("AWS_REGION".to_owned(), "us-east-1".to_owned())]);
        let other = Contents::from([("AWS_REGION".to_owned(), "eu".to_owned())]);
        let none = BTreeMap::new();
        assert!(is_as_wanted(&have, &same, &none));
        assert!(is_as_wanted(&have, &Contents::new(), &none));
        assert!(!is_as_wanted(&have, &other, &none));
    }
}
