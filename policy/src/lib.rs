//! Access policies in AWS's language, and what they decide.
//!
//! A [`Policy`] is read once from JSON ([`Policy::parse`], for bucket policies [`bucket::parse`]) and then asked about
//! [`Request`]s: who wants to do what to which resource, with the condition keys that the caller has filled into a [`Context`].
//! [`Policy::decide`] answers for one policy, [`combine()`] for all that concern a request. Bucket policies, identity policies,
//! session policies and the trust policies of roles are the same language with other elements allowed ([`Kind`]).
//!
//! Invariants: no I/O, no async, no clock, nothing of HTTP; nothing panics whatever the document or the request; an explicit `Deny`
//! wins over every `Allow`; what is not allowed is denied; what a policy decides depends on nothing but the policy and the request.

#![forbid(unsafe_code)]

mod arn;
pub mod bucket;
mod combine;
mod condition;
mod context;
mod date;
mod document;
mod error;
mod evaluate;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
mod json;
mod network;
#[cfg(test)]
mod oracle;
mod parse;
mod pattern;
mod principal;
mod print;
mod public;
pub mod s3;

pub use combine::{Policies, combine};
pub use context::{Context, Value, Values};
pub use date::parse as parse_date;
pub use document::{Effect, Kind, Policy, Version};
pub use error::PolicyError;
pub use evaluate::{Decision, Request, StatementRef, Verdict};
pub use network::Network;
pub use principal::{Account, NamedPrincipal, Requester, Via};
