//! A file or a directory.

use parking_lot::Mutex;

use crate::{content::Content, directory::Directory};

/// The number by which the kernel knows a node. Never used twice, also not across power cuts.
pub(crate) type Ino = u64;

/// Locked one at a time, under the lock of the disk; a directory before what is in it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) ino: Ino,
    /// The directory just below the root in which it was made; empty in the root itself.
    pub(crate) area: String,
    pub(crate) body: Mutex<Body>,
}

#[derive(Debug)]
pub(crate) enum Body {
    File(Content),
    Directory(Directory),
}

impl Node {
    pub(crate) fn new(ino: Ino, area: String, body: Body) -> Self {
        Self {
            ino,
            area,
            body: Mutex::new(body),
        }
    }
}
