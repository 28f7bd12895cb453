//! What users ask for: a bucket.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::TypeMeta;
use serde::{Deserialize, Serialize};

use crate::kube::{resource, said};

/// A bucket that somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct BucketClaim {
    /// Its kind, where it is said.
    #[serde(flatten)]
    pub types: Option<TypeMeta>,
    /// Name, labels, versions.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: BucketClaimSpec,
    /// What there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<BucketClaimStatus>,
}
resource!(BucketClaim, "bucketclaims", NamespaceResourceScope);

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketClaimSpec {
    /// A new bucket of this class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_class_name: Option<String>,
    /// `S3` and others.
    #[serde(default)]
    pub protocols: Vec<String>,
    /// The [`Bucket`](crate::kube::Bucket) of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing_bucket_name: Option<String>,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketClaimStatus {
    /// Whether accesses may be granted.
    #[serde(default)]
    pub bucket_ready: bool,
    /// The [`Bucket`](crate::kube::Bucket).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_name: Option<String>,
}

impl BucketClaim {
    /// The class whose bucket is wanted.
    pub fn class(&self) -> Option<&str> {
        said(self.spec.bucket_class_name.as_ref())
    }

    /// The bucket object that is wanted.
    pub fn existing(&self) -> Option<&str> {
        said(self.spec.existing_bucket_name.as_ref())
    }

    /// The bucket object that the claim is bound to.
    pub fn bound(&self) -> Option<&str> {
        said(self.status.as_ref()?.bucket_name.as_ref())
    }

    /// Whether accesses may be granted.
    pub fn ready(&self) -> bool {
        self.bound().is_some()
            && self
                .status
                .as_ref()
                .is_some_and(|status| status.bucket_ready)
    }
}
