//! Larder's COSI driver: `BucketClaim`s become buckets, and `BucketAccess`es credentials that work.
//!
//! | module | what it is |
//! |---|---|
//! | [`mod@kube`] | the objects of COSI in Kubernetes |
//! | [`provision`] | what COSI asks for, in terms of buckets and accounts: idempotent, and safe to kill at any point |

pub mod kube;
pub mod provision;
