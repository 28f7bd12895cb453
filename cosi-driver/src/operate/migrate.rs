//! `larder-cosi migrate`: the objects of v1alpha2 that take up, as static buckets, everything that there is in v1alpha1. The two can't be in one cluster at once, and nothing
//! converts them: these are applied once v1alpha1 is gone.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::World;
use crate::{
    kube::{Bucket, BucketAccess, BucketAccessClass, BucketClaim, same_driver},
    parameters::AccessParameters,
    provision::AccessMode,
};

const HEAD: &str = "\
# Objects of objectstorage.k8s.io/v1alpha2 for what this driver has in v1alpha1. Keep this file; then:
#   1. see that every Bucket of v1alpha1 says deletionPolicy: Retain (below, all do),
#   2. delete the BucketAccesses and BucketClaims of v1alpha1 (credentials end here), then its controllers and CRDs,
#   3. install v1alpha2, and apply this file: no data is touched, and every access gets new credentials in a Secret of the same name.
";

/// How accesses say what they may do: the first revision of v1alpha2 has one mode, later ones have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {
    /// `accessMode`.
    One,
    /// `accessModes`.
    Several,
}

/// All of it, as YAML whose documents are JSON.
pub fn manifests(world: &World, driver: &str, modes: Modes) -> String {
    let mut text = HEAD.to_owned();
    for object in objects(world, driver, modes) {
        text += "---\n";
        text += &serde_json::to_string_pretty(&object).unwrap_or_default();
        text.push('\n');
    }
    text
}

/// All of it, as a list that kubectl takes.
pub fn json(world: &World, driver: &str, modes: Modes) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": objects(world, driver, modes)})
}

fn objects(world: &World, driver: &str, modes: Modes) -> Vec<Value> {
    let ours: Vec<&Bucket> = world
        .buckets
        .iter()
        .filter(|bucket| same_driver(&bucket.spec.driver_name, driver) && bucket.id().is_some())
        .collect();
    let classes: Vec<&BucketAccessClass> = world
        .access_classes
        .iter()
        .filter(|class| same_driver(&class.driver_name, driver))
        .collect();
    let mut all: Vec<Value> = world
        .bucket_classes
        .iter()
        .filter(|class| same_driver(&class.driver_name, driver))
        .map(|class| object("BucketClass", &class.name_any(), None, with_parameters(json!({"driverName": class.driver_name, "deletionPolicy": class.deletion_policy.as_deref().unwrap_or("Retain")}), class.parameters.as_ref())))
        .collect();
    all.extend(classes.iter().map(|class| access_class(class)));
    all.extend(ours.iter().map(|bucket| static_bucket(bucket)));
    let mut claims: Vec<(&BucketClaim, String)> = Vec::new();
    for claim in &world.claims {
        let bucket = ours.iter().find(|bucket| is_of(bucket, claim));
        claims.extend(bucket.map(|bucket| (claim, bucket.name_any())));
    }
    all.extend(claims.iter().map(|(claim, bucket)| {
        object(
            "BucketClaim",
            &claim.name_any(),
            claim.namespace(),
            json!({"existingBucketName": bucket, "protocols": ["S3"]}),
        )
    }));
    for access in &world.accesses {
        let class = classes
            .iter()
            .find(|class| class.name_any() == access.spec.bucket_access_class_name);
        let is_bound = claims.iter().any(|(claim, _)| {
            claim.namespace() == access.namespace()
                && claim.name_any() == access.spec.bucket_claim_name
        });
        if let Some(class) = class.filter(|_| is_bound) {
            all.push(bucket_access(access, class, modes));
        }
    }
    all
}

fn is_of(bucket: &Bucket, claim: &BucketClaim) -> bool {
    let reference = &bucket.spec.bucket_claim;
    reference.name.as_deref() == Some(&claim.name_any()) && reference.namespace == claim.namespace()
}

fn object(kind: &str, name: &str, namespace: Option<String>, spec: Value) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    let mut object =
        json!({"apiVersion": "objectstorage.k8s.io/v1alpha2", "kind": kind, "metadata": metadata});
    object["spec"] = spec;
    object
}

fn with_parameters(mut spec: Value, parameters: Option<&crate::provision::Parameters>) -> Value {
    if let Some(parameters) = parameters.filter(|all| !all.is_empty()) {
        spec["parameters"] = json!(parameters);
    }
    spec
}

fn access_class(class: &BucketAccessClass) -> Value {
    let kind = if class.authentication_type == "IAM" {
        "ServiceAccount"
    } else {
        "Key"
    };
    let spec = json!({"driverName": class.driver_name, "authenticationType": kind});
    object(
        "BucketAccessClass",
        &class.name_any(),
        None,
        with_parameters(spec, class.parameters.as_ref()),
    )
}

/// Kept, whatever its class says: what is taken up is not to be lost by the next deletion. The policy of a v1alpha2 Bucket can be changed later.
fn static_bucket(bucket: &Bucket) -> Value {
    let mut spec = json!({
        "driverName": bucket.spec.driver_name, "deletionPolicy": "Retain", "protocols": ["S3"], "existingBucketID": bucket.id(),
    });
    let claim = &bucket.spec.bucket_claim;
    if let (Some(name), Some(namespace)) = (&claim.name, &claim.namespace) {
        spec["bucketClaimRef"] = json!({"name": name, "namespace": namespace});
    }
    object("Bucket", &bucket.name_any(), None, spec)
}

fn bucket_access(access: &BucketAccess, class: &BucketAccessClass, modes: Modes) -> Value {
    let parameters = class.parameters.clone().unwrap_or_default();
    let mode = AccessParameters::parse(&parameters)
        .map(|parsed| parsed.mode)
        .unwrap_or_default();
    // What v1alpha2 has no word for stays in the class's parameters, which narrow it.
    let word = match mode {
        AccessMode::ReadOnly => "ReadOnly",
        AccessMode::WriteOnly => "WriteOnly",
        AccessMode::ReadWrite | AccessMode::AppendOnly | AccessMode::Admin => "ReadWrite",
    };
    let mut claim = json!({"bucketClaimName": access.spec.bucket_claim_name, "accessSecretName": access.spec.credentials_secret_name});
    match modes {
        Modes::One => claim["accessMode"] = json!(word),
        Modes::Several => claim["accessModes"] = json!({"objectData": word}),
    }
    let mut spec = json!({"bucketClaims": [claim], "bucketAccessClassName": class.name_any(), "protocol": "S3"});
    if let Some(account) = &access.spec.service_account_name {
        spec["serviceAccountName"] = json!(account);
    }
    object("BucketAccess", &access.name_any(), access.namespace(), spec)
}
