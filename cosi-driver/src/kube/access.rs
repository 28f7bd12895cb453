//! What users ask for: credentials for the bucket of a claim.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::TypeMeta;
use serde::{Deserialize, Serialize};

use crate::kube::{resource, said};

/// Credentials that somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct BucketAccess {
    /// Its kind, where it is said.
    #[serde(flatten)]
    pub types: Option<TypeMeta>,
    /// Name, labels, versions.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: BucketAccessSpec,
    /// What there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<BucketAccessStatus>,
}
resource!(BucketAccess, "bucketaccesses", NamespaceResourceScope);

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketAccessSpec {
    /// The claim, in the same namespace.
    #[serde(default)]
    pub bucket_claim_name: String,
    /// The class.
    #[serde(default)]
    pub bucket_access_class_name: String,
    /// The Secret that credentials are written to.
    #[serde(default)]
    pub credentials_secret_name: String,
    /// `S3` or another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Who takes on the role, where the class says IAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketAccessStatus {
    /// The account in the store.
    #[serde(default, rename = "accountID", skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Whether the Secret is there.
    #[serde(default)]
    pub access_granted: bool,
}

impl BucketAccess {
    /// The account in the store, once it was granted.
    pub fn account(&self) -> Option<&str> {
        said(self.status.as_ref()?.account_id.as_ref())
    }

    /// Whether the Secret is there.
    pub fn granted(&self) -> bool {
        self.account().is_some()
            && self
                .status
                .as_ref()
                .is_some_and(|status| status.access_granted)
    }

    /// Who takes on the role.
    pub fn service_account(&self) -> Option<&str> {
        said(self.spec.service_account_name.as_ref())
    }
}
