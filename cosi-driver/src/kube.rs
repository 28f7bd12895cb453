//! The objects of `objectstorage.k8s.io/v1alpha1`, by hand: its classes have no `spec`, which kube's derive can't express.
//!
//! These custom resources have no enums, patterns or rules that the API server would keep, so nothing here is closed: a field that is not known is passed over, one
//! that is missing is its default, and what ought to be an enum is a string.

mod access;
mod bucket;
mod claim;
mod class;
mod names;
mod patch;

pub use self::{
    access::{BucketAccess, BucketAccessSpec, BucketAccessStatus},
    bucket::{Bucket, BucketSpec, BucketStatus},
    claim::{BucketClaim, BucketClaimSpec, BucketClaimStatus},
    class::{BucketAccessClass, BucketClass},
    names::{
        ACCESS_FINALIZER, BUCKET_ACCESS_FINALIZER, BUCKET_FINALIZER, CLAIM_FINALIZER,
        DRIVER_ANNOTATION, SECRET_FINALIZER, account_name, bucket_name, info_name, same_driver,
    },
    patch::{MANAGER, apply_status, delete, hold, merge, release},
};

/// The API group.
pub const GROUP: &str = "objectstorage.k8s.io";
/// The version that is released.
pub const VERSION: &str = "v1alpha1";
/// Both, as objects name them.
pub const API_VERSION: &str = "objectstorage.k8s.io/v1alpha1";

/// Says where objects of a type are in the API.
macro_rules! resource {
    ($type:ident, $plural:literal, $scope:ident) => {
        impl k8s_openapi::Resource for $type {
            const API_VERSION: &'static str = crate::kube::API_VERSION;
            const GROUP: &'static str = crate::kube::GROUP;
            const KIND: &'static str = stringify!($type);
            const VERSION: &'static str = crate::kube::VERSION;
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = k8s_openapi::$scope;
        }

        impl k8s_openapi::Metadata for $type {
            type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

            fn metadata(&self) -> &Self::Ty {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut Self::Ty {
                &mut self.metadata
            }
        }

        impl $type {
            /// An empty object of this name, as it is sent to be made.
            #[must_use]
            pub fn named(name: &str) -> Self {
                Self {
                    types: Some(::kube::core::TypeMeta::resource::<Self>()),
                    metadata: ::kube::core::ObjectMeta {
                        name: Some(name.to_owned()),
                        ..Default::default()
                    },
                    ..Self::default()
                }
            }
        }
    };
}
use resource;

/// The string, unless it says nothing: what is left out and what is empty are the same in these objects.
fn said(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
