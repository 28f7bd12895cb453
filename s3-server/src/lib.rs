//! Larder's S3 server: protocol, operations and command line.
//!
//! The protocol modules (errors, signatures, checksums, XML, hashes) are pure: they know
//! no HTTP framework, no clock and no storage.

pub mod access;
pub mod access_log;
pub mod accounts;
pub mod admin;
pub mod app;
pub mod audit;
pub mod banner;
pub mod bench;
pub mod checksum;
pub mod cli;
pub mod config;
pub mod cors;
pub mod credentials;
pub mod error;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
pub mod hash;
pub mod http;
pub mod http_date;
mod iam;
pub mod keyring;
pub mod kms;
pub mod metrics;
pub mod notify;
pub mod op;
pub mod post;
mod private_file;
pub mod reply;
mod rewrap;
pub mod route;
pub mod server;
pub mod sigv2;
pub mod sigv4;
pub mod tls;
pub mod units;
mod watched;
pub mod xml;
