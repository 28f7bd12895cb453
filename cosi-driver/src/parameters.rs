//! Parameters of classes: what an administrator writes, read strictly into types.
//!
//! [`BUCKET_CLASS`] and [`ACCESS_CLASS`] are the one list of what there is: unknown keys are told by it, and `docs/cosi-parameters.md` is made of it. What
//! was read is written again by `canonical`, the same for all ways to write the same thing, and without what is the default; that is what buckets and
//! accounts are compared by, and [`text`] is how tags keep it.
//!
//! Invariant: whatever text is given, nothing here panics, and reading what `canonical` wrote gives the same again.

mod access;
mod bucket;
mod nearest;
mod reader;
mod table;
pub mod text;
mod values;

pub use access::{AccessParameters, EndpointKind, SecretFormat};
pub use bucket::{BucketParameters, OnDelete};
pub use table::{ACCESS_CLASS, BUCKET_CLASS, Key, reference};
pub use values::Cidr;
