//! COSI's gRPC services, thin over [`crate::provision`]: what is asked is checked, said in its terms, and its answer put into COSI's.
//!
//! | module | what it is |
//! |---|---|
//! | [`pb`] | messages and services as generated |
//! | [`calls`] | what each call goes through: limits, one at a time for an identifier, time, log, metrics |
//! | [`checks`] | what the fields of requests may be |
//! | [`status`] | errors as gRPC's codes |
//!
//! Invariant: a message of a status holds no secret, and `details` are empty. A credential is in no `Debug` text.

pub mod calls;
pub mod checks;
pub mod pb;
pub mod status;
