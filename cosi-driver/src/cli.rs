//! The command line.
//!
//! Invariant: the only place that prints, but for logs. Results go to stdout; an error is one line on stderr and a non-zero exit. Secrets come from the
//! environment or from files, never from the command line.

pub mod connection;
pub mod logs;
pub mod span;

use std::{error::Error, io::Write as _};

/// Everything that may go wrong ends up here as one line.
pub type Failure = Box<dyn Error + Send + Sync>;
/// What a command ends with.
pub type Outcome = Result<(), Failure>;

/// Prints a result.
///
/// # Errors
/// Nobody reads it.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
