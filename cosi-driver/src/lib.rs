//! Larder's COSI driver: `BucketClaim`s become buckets, and `BucketAccess`es credentials that work.
//!
//! | module | what it is |
//! |---|---|
//! | [`backend`] | the server that buckets and accounts are made on, by S3 and IAM; and one in memory |
//! | [`cli`] | the command line |
//! | [`controllers`] | what makes the objects of COSI true |
//! | [`grpc`] | COSI's services on a Unix socket |
//! | [`mod@kube`] | the objects of COSI in Kubernetes |
//! | [`metrics`] | what the driver did, for Prometheus |
//! | [`operate`] | what operators ask: orphans, what moves a cluster to v1alpha2, what is wrong |
//! | [`parameters`] | what may be written into classes |
//! | [`mod@pause`] | waiting between tries |
//! | [`policy`] | what accounts may do, in AWS's language |
//! | [`provision`] | what COSI asks for, in terms of buckets and accounts: idempotent, and safe to kill at any point |
//! | [`mod@repeats`] | refusals that come again and again, told now and then |
//! | [`sanity`] | `cosi-sanity`, which checks any driver |
//! | [`secrets`] | what is in Secrets beside `BucketInfo`, as its consumers read it |
//! | [`serve`] | a driver that serves |
//! | [`socket`] | the socket that a sidecar finds the driver at |

pub mod backend;
pub mod cli;
pub mod controllers;
pub mod grpc;
pub mod kube;
pub mod metrics;
pub mod operate;
pub mod parameters;
pub mod pause;
pub mod policy;
pub mod provision;
pub mod repeats;
pub mod sanity;
pub mod secrets;
pub mod serve;
pub mod socket;
