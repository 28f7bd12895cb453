//! MD5 as fast as the machine allows: the `ETag` of every object is one, and it costs more than
//! everything else that is done to a body.
//!
//! [`Md5`] is the plain streaming hasher. [`Md5Lanes`] is a worker thread that hashes up to 16
//! bodies at once in the lanes of one vector register; [`Md5Stream`] is one body on it.
//!
//! Why the kernel is our own: measured in one run on one core of a Xeon with AVX-512 (GB/s),
//!
//! | bodies | md-5 0.11 | fast-md5 1.0 | md5-many 0.1.0-alpha.4 | this kernel, AVX-512 | AVX2 | scalar |
//! |---|---|---|---|---|---|---|
//! | 1 | 0.68 | 0.86 | 0.97 | 0.97 | 0.85 | 0.85 |
//! | 2 | | | 1.22 | 1.94 | 1.19 | |
//! | 4 | | | 2.4 | 3.8 | 2.3 | |
//! | 8 | | | 4.8 | 7.4 | 4.7 | |
//! | 16 | | | 10.8 | 13.1 | 4.7 | |
//!
//! It is as fast for one body, faster for 2 to 16, a few hundred lines, and needs no alpha release
//! of a crate. `cargo run --release --example md5_speed` prints this machine's figures.

mod md5;
mod md5_kernel;
mod service;

pub use md5::Md5;
pub use md5_kernel::{Level, MAX_LANES};
pub use service::{Md5Lanes, Md5Stream};
