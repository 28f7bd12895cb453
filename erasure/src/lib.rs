//! Reed-Solomon erasure coding over GF(2^8).
//!
//! A [`Profile`] says how many data shards (`k`) and parity shards (`m`) make up a stripe. A
//! [`Codec`] computes parity from data ([`Codec::encode`], [`Codec::progressive`],
//! [`Codec::update`]), checks it ([`Codec::verify`]) and makes a [`Plan`] for rebuilding any set of
//! lost shards from any `k` that are left. Every call takes plain slices of equal length: a whole
//! shard, or the same sub-range of every shard, because coding works byte column by byte column.
//!
//! # Invariants
//! - The code is maximum distance separable: any `k` of the `k + m` shards rebuild the rest.
//! - Every [`Level`] gives the same bytes. Golden vectors freeze them, so that what is on disk
//!   today can be read for ever. [`FIELD_POLYNOMIAL`] and [`MATRIX_ID`] name the code; store them.
//! - No I/O, no clock, no threads, and no allocation per call once a codec or plan exists.
//! - Unsafe code is confined to the vector kernels (`kernel/x86.rs`, `kernel/aarch64.rs`, and what
//!   they share in `kernel/combine.rs` and `kernel/combine/vector.rs`).
//!
//! # Example
//! ```
//! use larder_erasure::{Codec, Profile};
//!
//! let codec = Codec::new("2+1".parse::<Profile>()?);
//! let (a, b, mut parity) = ([1u8, 2, 3], [4u8, 5, 6], [0u8; 3]);
//! codec.encode(&[&a, &b], &mut [&mut parity])?;
//!
//! // Shard 0 is lost: shards 1 and 2 rebuild it.
//! let plan = codec.plan(&[1, 2], &[0])?;
//! let mut rebuilt = [0u8; 3];
//! plan.run(&[&b, &parity], &mut [&mut rebuilt])?;
//! assert_eq!(rebuilt, a);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod codec;
mod error;
mod gf256;
mod kernel;
mod level;
mod matrix;
mod plan;
mod profile;
mod program;
mod progressive;

pub use codec::Codec;
pub use error::Error;
pub use gf256::FIELD_POLYNOMIAL;
pub use level::Level;
pub use matrix::MATRIX_ID;
pub use plan::Plan;
pub use profile::{Profile, ProfileError};
pub use progressive::Progressive;
