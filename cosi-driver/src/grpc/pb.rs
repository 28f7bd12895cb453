//! Messages and services as generated from `proto/`, each revision of v1alpha2 in a module of its own beside what they share.

use std::fmt;

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::clone_on_ref_ptr,
    reason = "generated"
)]
mod generated {
    pub mod v1alpha1 {
        include!(concat!(env!("OUT_DIR"), "/v1alpha1/cosi.v1alpha1.rs"));
    }
    pub mod v1alpha2 {
        include!(concat!(
            env!("OUT_DIR"),
            "/v1alpha2/sigs.k8s.io.cosi.v1alpha2.rs"
        ));
    }
    pub mod r1 {
        include!(concat!(env!("OUT_DIR"), "/r1/sigs.k8s.io.cosi.v1alpha2.rs"));
    }
    pub mod r2 {
        include!(concat!(env!("OUT_DIR"), "/r2/sigs.k8s.io.cosi.v1alpha2.rs"));
    }
    pub mod r3 {
        include!(concat!(env!("OUT_DIR"), "/r3/sigs.k8s.io.cosi.v1alpha2.rs"));
    }
}

pub use generated::{r1, r2, r3, v1alpha1, v1alpha2};

/// Descriptors of the files, as gRPC reflection serves them.
pub mod descriptors {
    /// Of `cosi.v1alpha1`.
    pub const V1ALPHA1: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/v1alpha1.bin"));
    /// Of what the revisions of v1alpha2 share.
    pub const V1ALPHA2: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/v1alpha2.bin"));
    /// Of revision R1, with what is shared.
    pub const R1: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/r1.bin"));
    /// Of revision R2, with what is shared.
    pub const R2: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/r2.bin"));
    /// Of revision R3, with what is shared.
    pub const R3: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/r3.bin"));
}

/// The names of the secrets, never one of them.
impl fmt::Debug for v1alpha1::CredentialDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.secrets.keys()).finish()
    }
}

impl fmt::Debug for v1alpha2::S3CredentialInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3CredentialInfo(..)")
    }
}

impl fmt::Debug for v1alpha2::AzureCredentialInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AzureCredentialInfo(..)")
    }
}

impl fmt::Debug for v1alpha2::GcsCredentialInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GcsCredentialInfo(..)")
    }
}
