//! Classes: what administrators offer. Both have their fields at the top.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::TypeMeta;
use serde::{Deserialize, Serialize};

use crate::{kube::resource, provision::Parameters};

/// What buckets of a class are like.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketClass {
    /// Its kind, where it is said.
    #[serde(flatten)]
    pub types: Option<TypeMeta>,
    /// Name, labels, versions.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Whose buckets.
    #[serde(default)]
    pub driver_name: String,
    /// `Delete` or `Retain`; left out, it is `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<String>,
    /// For the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
}
resource!(BucketClass, "bucketclasses", ClusterResourceScope);

/// What accesses of a class may do, and how they are proved.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketAccessClass {
    /// Its kind, where it is said.
    #[serde(flatten)]
    pub types: Option<TypeMeta>,
    /// Name, labels, versions.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Whose accesses.
    #[serde(default)]
    pub driver_name: String,
    /// `Key` or `IAM`.
    #[serde(default)]
    pub authentication_type: String,
    /// For the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
}
resource!(
    BucketAccessClass,
    "bucketaccessclasses",
    ClusterResourceScope
);
