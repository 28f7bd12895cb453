//! COSI's gRPC services, thin over [`crate::provision`]: what is asked is checked, said in its terms, and its answer put into COSI's.
//!
//! | module | what it is |
//! |---|---|
//! | [`pb`] | messages and services as generated |
//! | [`calls`] | what each call goes through: limits, one at a time for an identifier, time, log, metrics |
//! | [`checks`] | what the fields of requests may be |
//! | [`driver`] | what all versions work with |
//! | [`status`] | errors as gRPC's codes |
//! | [`v1alpha1`] | the released version |
//! | [`v1alpha2`] | three revisions of the unreleased one |
//! | [`server`] | all of them on one socket |
//!
//! Invariant: a message of a status holds no secret, and `details` are empty. A credential is in no `Debug` text.

pub mod calls;
pub mod checks;
pub mod driver;
pub mod pb;
pub mod server;
pub mod status;
pub mod v1alpha1;
pub mod v1alpha2;
