//! Larder's COSI driver: `BucketClaim`s become buckets, and `BucketAccess`es credentials that work.
//!
//! | module | what it is |
//! |---|---|
//! | [`grpc`] | COSI's services on a Unix socket |
//! | [`metrics`] | what the driver did, for Prometheus |
//! | [`controllers`] | what makes the objects of COSI true |
//! | [`mod@kube`] | the objects of COSI in Kubernetes |
//! | [`parameters`] | what may be written into classes |
//! | [`policy`] | what accounts may do, in AWS's language |
//! | [`backend`] | the server that buckets and accounts are made on, by S3 and IAM; and one in memory |
//! | [`provision`] | what COSI asks for, in terms of buckets and accounts: idempotent, and safe to kill at any point |
//! | [`socket`] | the socket that a sidecar finds the driver at |

pub mod backend;
pub mod controllers;
pub mod grpc;
pub mod kube;
pub mod metrics;
pub mod parameters;
pub mod policy;
pub mod provision;
pub mod socket;
