//! Larder's S3 server: protocol, operations and command line.
//!
//! The protocol modules (errors, signatures, checksums, XML, hashes) are pure: they know
//! no HTTP framework, no clock and no storage.

pub mod checksum;
pub mod error;
pub mod hash;
pub mod sigv4;
pub mod xml;
