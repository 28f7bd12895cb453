//! The audit log: a line of JSON for each request, whoever sent it and however it ended.
//!
//! A request leaves its marks in a [`Trail`] on its way; an `Observer` makes the line of them once the answer has gone out, or the client has. Lines
//! wait in memory for one thread that writes them. While it can't (a full disk, a pipe that nobody reads), they wait up to a bound; beyond it they
//! are lost, counted, and the loss is a line itself: a store of backups that stops for want of a log would be the greater harm.
//!
//! Invariants: adding a line never waits for a disk. A line holds no secret, no signature and no token: it is made of named fields, never of
//! a query, a header or a body as a whole.

mod file;
mod line;
mod observer;
mod trail;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use larder_storage::clock::Clock;

use crate::http::Peer;

pub(crate) use observer::{Observer, Pending};
pub use trail::Trail;
pub(crate) use trail::{Deletion, PolicyOf, Say};
pub use writer::Counts;

use file::LogFile;
use line::Connection;
pub(crate) use line::Refusal;
use writer::{Sink, Stdout, Writer};

/// Stands for standard output where a path is expected.
const STDOUT: &str = "-";

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// A file, or `-` for standard output.
    pub path: PathBuf,
    /// A file of this size is put aside and another one begun.
    pub max_bytes: u64,
    /// Files put aside that are kept.
    pub keep: u32,
}

/// Takes lines for as long as the server runs.
#[derive(Debug)]
pub struct AuditLog {
    writer: Writer,
    clock: Arc<dyn Clock>,
}

impl AuditLog {
    /// Opens the file and starts the thread that writes it. Blocks.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn open(settings: AuditSettings, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let sink: Box<dyn Sink> = if settings.path == Path::new(STDOUT) {
            Box::new(Stdout)
        } else {
            Box::new(LogFile::open(settings)?)
        };
        let writer = Writer::start(sink, Arc::clone(&clock))?;
        Ok(Self { writer, clock })
    }

    /// Begins the file anew: somebody has moved it away.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// What became of the lines so far.
    pub fn counts(&self) -> Counts {
        self.writer.counts()
    }

    /// Writes what waits; what can't be written within `patience` is lost. Blocks.
    pub fn close(&self, patience: Duration) {
        self.writer.close(patience);
    }

    /// A connection that brought no request.
    pub(crate) fn refused(&self, peer: &Peer, refusal: Refusal) {
        self.add(&Connection::refused(
            self.clock.unix_millis(),
            peer,
            refusal,
        ));
    }

    fn add(&self, line: &impl serde::Serialize) {
        match serde_json::to_vec(line) {
            Ok(mut text) => {
                text.push(b'\n');
                self.writer.add(&text);
            }
            // Nothing that a line is made of can do that.
            Err(error) => tracing::error!(%error, "a line of the audit log can't be made"),
        }
    }
}

#[cfg(test)]
mod tests;
