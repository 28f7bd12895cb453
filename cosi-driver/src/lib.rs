//! Larder's COSI driver: `BucketClaim`s become buckets, and `BucketAccess`es credentials that work.
//!
//! | module | what it is |
//! |---|---|
//! | [`provision`] | what COSI asks for, in terms of buckets and accounts: idempotent, and safe to kill at any point |

pub mod provision;
