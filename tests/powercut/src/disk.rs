//! One disk: a tree of nodes that can lose power.
//!
//! Invariants:
//! - What a sync that was answered covers is in every image after it. What no sync covers may be gone, in any combination: each
//!   sector of 512 bytes, each name, the length of a file before its bytes.
//! - Syncing a file says nothing about its name, syncing a directory nothing about the files in it.
//! - Without power everything fails with `EIO`, and nothing changes.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    sync::Arc,
};

use fuser::Errno;

use crate::{
    content::{Content, Seq},
    directory::{Directory, NameChange, Names},
    fate::{Fate, Policy},
    node::{Body, Ino, Node},
};

/// The root's number, fixed by FUSE.
pub(crate) const ROOT: Ino = 1;

/// What `stat` says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) ino: Ino,
    pub(crate) is_dir: bool,
    pub(crate) len_bytes: u64,
}

/// A kind of sync that a lying disk answers and does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lie {
    /// The directory just below the root.
    pub(crate) area: String,
    /// Syncs of directories; otherwise of files.
    pub(crate) names: bool,
}

#[derive(Debug)]
pub(crate) struct Disk {
    root: Arc<Node>,
    /// What the kernel holds, with the number of its lookups.
    known: HashMap<Ino, (Arc<Node>, u64)>,
    next_ino: Ino,
    seq: Seq,
    powered: bool,
    lies: Vec<Lie>,
}

impl Disk {
    /// An empty disk.
    pub(crate) fn new() -> Self {
        Self {
            root: directory(ROOT, String::new(), Names::new()),
            known: HashMap::new(),
            next_ino: ROOT + 1,
            seq: 0,
            powered: true,
            lies: Vec::new(),
        }
    }

    /// Answers syncs of this kind from now on without doing them.
    pub(crate) fn lie(&mut self, lie: Lie) {
        self.lies.push(lie);
    }

    /// Puts an empty disk in its place.
    pub(crate) fn empty(&mut self) {
        self.root = directory(ROOT, String::new(), Names::new());
        self.known.clear();
    }

    /// Takes the power away.
    pub(crate) fn cut(&mut self) {
        self.powered = false;
    }

    /// Gives the power back: the images are what the cut has left. Returns how many unsynced changes were kept and lost.
    pub(crate) fn power_on(&mut self, seed: u64, policy: Policy) -> (u64, u64) {
        let mut revival = Revival {
            fate: Fate::new(seed, policy),
            next_ino: self.next_ino,
            done: HashMap::new(),
        };
        self.root = revival.revive(&self.root);
        self.next_ino = revival.next_ino;
        self.known.clear();
        self.powered = true;
        (revival.fate.kept, revival.fate.lost)
    }

    /// Unsynced changes of all that can be reached, now or after a cut.
    pub(crate) fn unsynced_count(&self) -> usize {
        unsynced_count(&self.root)
    }

    fn node(&self, ino: Ino) -> Result<Arc<Node>, Errno> {
        if !self.powered {
            return Err(Errno::EIO);
        }
        if ino == ROOT {
            return Ok(Arc::clone(&self.root));
        }
        let known = self.known.get(&ino).ok_or(Errno::ESTALE)?;
        Ok(Arc::clone(&known.0))
    }

    fn next_seq(&mut self) -> Seq {
        self.seq += 1;
        self.seq
    }

    /// Notes that the kernel was told of a node once more.
    fn tell(&mut self, node: &Arc<Node>) -> Stat {
        let entry = self.known.entry(node.ino);
        entry.or_insert_with(|| (Arc::clone(node), 0)).1 += 1;
        stat(node)
    }

    pub(crate) fn forget(&mut self, ino: Ino, count: u64) {
        if let Some((_, lookups)) = self.known.get_mut(&ino) {
            *lookups = lookups.saturating_sub(count);
            if *lookups == 0 {
                self.known.remove(&ino);
            }
        }
    }

    pub(crate) fn stat(&self, ino: Ino) -> Result<Stat, Errno> {
        Ok(stat(&*self.node(ino)?))
    }

    pub(crate) fn lookup(&mut self, parent: Ino, name: &OsStr) -> Result<Stat, Errno> {
        let found = self.child(parent, name)?.ok_or(Errno::ENOENT)?;
        Ok(self.tell(&found))
    }

    fn child(&self, parent: Ino, name: &OsStr) -> Result<Option<Arc<Node>>, Errno> {
        self.in_directory(parent, |directory| directory.get(name).map(Arc::clone))
    }

    fn in_directory<T>(
        &self,
        ino: Ino,
        look: impl FnOnce(&mut Directory) -> T,
    ) -> Result<T, Errno> {
        match &mut *self.node(ino)?.body.lock() {
            Body::Directory(directory) => Ok(look(directory)),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn in_file<T>(&self, ino: Ino, look: impl FnOnce(&mut Content) -> T) -> Result<T, Errno> {
        match &mut *self.node(ino)?.body.lock() {
            Body::File(content) => Ok(look(content)),
            Body::Directory(_) => Err(Errno::EISDIR),
        }
    }

    /// Makes a file or a directory.
    pub(crate) fn create(
        &mut self,
        parent: Ino,
        name: &OsStr,
        is_dir: bool,
    ) -> Result<Stat, Errno> {
        if self.child(parent, name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let area = match self.node(parent)?.area.as_str() {
            "" if is_dir => name.to_string_lossy().into_owned(),
            area => area.to_owned(),
        };
        let ino = self.next_ino;
        self.next_ino += 1;
        let node = if is_dir {
            directory(ino, area, Names::new())
        } else {
            Arc::new(Node::new(ino, area, Body::File(Content::default())))
        };
        self.rename_in(parent, NameChange::Link(name.to_owned(), Arc::clone(&node)))?;
        Ok(self.tell(&node))
    }

    fn rename_in(&mut self, parent: Ino, change: NameChange) -> Result<(), Errno> {
        let seq = self.next_seq();
        self.in_directory(parent, |directory| directory.change(seq, change))
    }

    pub(crate) fn unlink(&mut self, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        let node = self.child(parent, name)?.ok_or(Errno::ENOENT)?;
        if stat(&node).is_dir {
            return Err(Errno::EISDIR);
        }
        self.rename_in(parent, NameChange::Unlink(name.to_owned()))
    }

    pub(crate) fn rmdir(&mut self, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        let node = self.child(parent, name)?.ok_or(Errno::ENOENT)?;
        check_empty_directory(&node)?;
        self.rename_in(parent, NameChange::Unlink(name.to_owned()))
    }

    /// Renames, replacing what is at the new name unless told not to.
    pub(crate) fn rename(
        &mut self,
        (parent, name): (Ino, &OsStr),
        (new_parent, new_name): (Ino, &OsStr),
        may_replace: bool,
    ) -> Result<(), Errno> {
        let node = self.child(parent, name)?.ok_or(Errno::ENOENT)?;
        if let Some(old) = self.child(new_parent, new_name)? {
            if !may_replace {
                return Err(Errno::EEXIST);
            }
            if stat(&old).is_dir {
                check_empty_directory(&old)?;
            }
        }
        let (from, to) = (name.to_owned(), new_name.to_owned());
        if parent == new_parent {
            return self.rename_in(parent, NameChange::Rename(from, to, node));
        }
        // Between directories the two halves are synced, and lost, each on its own.
        self.rename_in(new_parent, NameChange::Link(to, node))?;
        self.rename_in(parent, NameChange::Unlink(from))
    }

    /// Names, numbers and kinds of a directory's entries.
    pub(crate) fn list(&self, ino: Ino) -> Result<Vec<(OsString, Stat)>, Errno> {
        self.in_directory(ino, |directory| {
            let names = directory.names().iter();
            names
                .map(|(name, node)| (name.clone(), stat(node)))
                .collect()
        })
    }

    pub(crate) fn read(&self, ino: Ino, offset: u64, size: u64) -> Result<Vec<u8>, Errno> {
        self.in_file(ino, |content| content.read(offset, size).to_vec())
    }

    pub(crate) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let seq = self.next_seq();
        self.in_file(ino, |content| content.write(seq, offset, bytes))
    }

    pub(crate) fn resize(&mut self, ino: Ino, len_bytes: u64) -> Result<(), Errno> {
        let seq = self.next_seq();
        self.in_file(ino, |content| content.resize(seq, len_bytes))
    }

    /// The changes that a sync which begins now covers.
    pub(crate) fn begin_sync(&self) -> Seq {
        self.seq
    }

    /// Makes what came up to `upto` durable: a file's bytes and length, or a directory's names.
    pub(crate) fn sync(&mut self, ino: Ino, upto: Seq) -> Result<(), Errno> {
        let node = self.node(ino)?;
        let names = stat(&node).is_dir;
        let lied = |lie: &Lie| lie.area == node.area && lie.names == names;
        if self.lies.iter().any(lied) {
            return Ok(());
        }
        match &mut *node.body.lock() {
            Body::File(content) => content.sync(upto),
            Body::Directory(directory) => directory.sync(upto),
        }
        Ok(())
    }
}

fn directory(ino: Ino, area: String, names: Names) -> Arc<Node> {
    let body = Body::Directory(Directory::settled(names));
    Arc::new(Node::new(ino, area, body))
}

fn stat(node: &Node) -> Stat {
    let (is_dir, len_bytes) = match &*node.body.lock() {
        Body::File(content) => (false, content.len_bytes()),
        Body::Directory(_) => (true, 0),
    };
    Stat {
        ino: node.ino,
        is_dir,
        len_bytes,
    }
}

fn check_empty_directory(node: &Node) -> Result<(), Errno> {
    match &*node.body.lock() {
        Body::Directory(directory) if directory.names().is_empty() => Ok(()),
        Body::Directory(_) => Err(Errno::ENOTEMPTY),
        Body::File(_) => Err(Errno::ENOTDIR),
    }
}

fn unsynced_count(node: &Node) -> usize {
    match &*node.body.lock() {
        Body::File(content) => content.unsynced_count(),
        Body::Directory(directory) => {
            let below = directory.names().values().map(|node| unsynced_count(node));
            directory.unsynced_count() + below.sum::<usize>()
        }
    }
}

/// The making of the tree that a cut leaves, out of the one before it.
struct Revival {
    fate: Fate,
    next_ino: Ino,
    /// A file may have two names after half a rename: it is one file all the same.
    done: HashMap<Ino, Arc<Node>>,
}

impl Revival {
    fn revive(&mut self, node: &Node) -> Arc<Node> {
        if let Some(done) = self.done.get(&node.ino) {
            return Arc::clone(done);
        }
        self.fate.next_node();
        let ino = self.number(node.ino);
        let area = node.area.clone();
        let revived = match &*node.body.lock() {
            Body::File(content) => {
                let body = Body::File(content.survivor(&mut self.fate));
                Arc::new(Node::new(ino, area, body))
            }
            Body::Directory(old) => {
                let names = old.survivors(&mut self.fate);
                let names = names
                    .into_iter()
                    .map(|(name, node)| (name, self.revive(&node)));
                directory(ino, area, names.collect())
            }
        };
        self.done.insert(node.ino, Arc::clone(&revived));
        revived
    }

    fn number(&mut self, old: Ino) -> Ino {
        if old == ROOT {
            return ROOT;
        }
        self.next_ino += 1;
        self.next_ino - 1
    }
}

#[cfg(test)]
mod tests;
