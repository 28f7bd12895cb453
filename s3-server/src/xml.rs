//! S3's XML: [`parse`] reads request bodies, [`mod@write`] builds answers.
//!
//! Invariants: bodies are untrusted, so that parsing never panics, is bounded in size and depth, and
//! knows no entities but XML's own five; everything written is escaped, control characters as
//! numeric references, as S3 does.

pub mod parse;
mod tag;
mod time;
pub mod write;

pub use tag::{MAX_OBJECT_TAGS, Tag, TagError, TagSet};
pub use time::iso8601;
