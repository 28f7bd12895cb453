//! How much may be somewhere, as an argument and in tables.

use clap::Args;

use super::table::bytes;
use crate::units::ByteSize;

/// What `quota` commands set.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Bounds {
    /// Bytes that may be there, such as 500GiB or 2TB. Without it there is no bound on bytes.
    #[arg(long)]
    bytes: Option<ByteSize>,
    /// Objects that may be there, noncurrent versions included. Without it there is no bound on objects.
    #[arg(long)]
    pub(super) objects: Option<u64>,
    /// Remove the quota.
    #[arg(long, conflicts_with_all = ["bytes", "objects"])]
    none: bool,
}

impl Bounds {
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes.map(|size| size.0)
    }
}

/// A bound on a number of objects.
pub(super) fn bound_of_objects(bound: Option<u64>) -> String {
    bound.map_or_else(|| "-".to_owned(), |objects| objects.to_string())
}

/// A bound on bytes.
pub(super) fn bound_of_bytes(bound: Option<u64>) -> String {
    bound.map_or_else(|| "-".to_owned(), bytes)
}
