//! A bucket as the cluster knows it, whichever namespace uses it.

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::core::TypeMeta;
use serde::{Deserialize, Serialize};

use crate::{
    kube::{resource, said},
    provision::Parameters,
};

/// A bucket of some driver.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Bucket {
    /// Its kind, where it is said.
    #[serde(flatten)]
    pub types: Option<TypeMeta>,
    /// Name, labels, versions.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: BucketSpec,
    /// What there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<BucketStatus>,
}
resource!(Bucket, "buckets", ClusterResourceScope);

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketSpec {
    /// Whose bucket it is.
    #[serde(default)]
    pub driver_name: String,
    /// The class it was made of.
    #[serde(default)]
    pub bucket_class_name: String,
    /// The claim that uses it; empty where none does.
    #[serde(default)]
    pub bucket_claim: ObjectReference,
    /// `S3` and others.
    #[serde(default)]
    pub protocols: Vec<String>,
    /// For the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// `Delete` or `Retain`; left out, it is `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<String>,
    /// The bucket in the store, where it is not the driver's to make.
    #[serde(
        default,
        rename = "existingBucketID",
        skip_serializing_if = "Option::is_none"
    )]
    pub existing_bucket_id: Option<String>,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketStatus {
    /// Whether the bucket is there.
    #[serde(default)]
    pub bucket_ready: bool,
    /// Its name in the store.
    #[serde(default, rename = "bucketID", skip_serializing_if = "Option::is_none")]
    pub bucket_id: Option<String>,
}

impl Bucket {
    /// The bucket in the store that an administrator named.
    pub fn existing(&self) -> Option<&str> {
        said(self.spec.existing_bucket_id.as_ref())
    }

    /// The bucket in the store, once it is known to be there.
    pub fn id(&self) -> Option<&str> {
        said(self.status.as_ref()?.bucket_id.as_ref())
    }

    /// The bucket in the store, whether it is there yet or not.
    pub fn wanted_id(&self) -> Option<&str> {
        self.id()
            .or_else(|| self.existing())
            .or(self.metadata.name.as_deref())
    }

    /// Whether accesses may be granted.
    pub fn ready(&self) -> bool {
        self.id().is_some()
            && self
                .status
                .as_ref()
                .is_some_and(|status| status.bucket_ready)
    }

    /// Whether the bucket in the store goes with this object. Anything but a plain `Delete` keeps data.
    pub fn deletes(&self) -> bool {
        self.spec
            .deletion_policy
            .as_deref()
            .is_some_and(|policy| policy.eq_ignore_ascii_case("delete"))
    }

    /// Namespace and name of the claim that uses it.
    pub fn claim(&self) -> Option<(&str, &str)> {
        let claim = &self.spec.bucket_claim;
        Some((said(claim.namespace.as_ref())?, said(claim.name.as_ref())?))
    }

    /// The uid of the claim that uses it.
    pub fn claim_uid(&self) -> Option<&str> {
        said(self.spec.bucket_claim.uid.as_ref())
    }

    /// The parameters, none where none are said.
    pub fn parameters(&self) -> Parameters {
        self.spec.parameters.clone().unwrap_or_default()
    }
}
