//! Uploads by HTML form (`POST Object`): the form, its policy document, and who signed it. Pure.
//!
//! Source: "Browser-based uploads using POST" of the S3 documentation, RFC 7578.

mod form;
mod policy;

pub use form::{Event, Form, FormError, PartHead, boundary};
pub use policy::{Fields, LengthRange, PostPolicy, PostPolicyError};
