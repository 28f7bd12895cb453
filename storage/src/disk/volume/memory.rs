//! A volume in memory that can lose power.
//!
//! It keeps two images: what a running process sees (live) and what a power cut would certainly leave (durable), with the
//! changes between them. [`MemoryVolume::crash`] keeps any part of those changes: writes torn at sectors of 512 bytes and out
//! of order, names created or removed or not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    DiskError, Listed, ReadMode, Space, Volume, VolumeFile, VolumeLock, io_error, parent, refusal,
};
use crate::rng::Rng;

/// What a disk writes as a whole.
const SECTOR_BYTES: usize = 512;

/// A directory tree in memory. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryVolume(Arc<World>);

#[derive(Debug)]
struct World {
    name: String,
    tree: Mutex<Tree>,
    locked: AtomicBool,
    cached: AtomicBool,
}

#[derive(Debug)]
struct Tree {
    live: Names,
    durable: Names,
    /// Changes of names since the last sync of their directory.
    pending: Vec<NameChange>,
    total_bytes: u64,
}

#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<String, Arc<Mutex<Content>>>,
    dirs: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum NameChange {
    CreateDir(String),
    Link(String, Arc<Mutex<Content>>),
    Unlink(String),
    Rename { from: String, to: String },
}

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<ByteChange>,
}

#[derive(Clone, Debug)]
enum ByteChange {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl MemoryVolume {
    /// An empty volume of this size, known by `name`.
    pub fn new(name: impl Into<String>, total_bytes: u64) -> Self {
        Self::with(name.into(), Names::default(), total_bytes)
    }

    /// The volume as the next start finds it after a power cut now: all that was synced, and of the rest what `rng` keeps. This
    /// volume and its open files live on, apart.
    #[must_use]
    pub fn crash(&self, rng: &dyn Rng) -> Self {
        let tree = self.0.tree.lock();
        let mut names = tree.durable.clone();
        let keep_percent = rng.next_u64() % 101;
        for change in &tree.pending {
            if rng.next_u64() % 100 < keep_percent {
                names.apply(change);
            }
        }
        names.drop_unreachable();
        for file in names.files.values_mut() {
            let survivor = file.lock().crash(rng);
            *file = Arc::new(Mutex::new(survivor));
        }
        Self::with(self.0.name.clone(), names, tree.total_bytes)
    }

    /// The volume as the next process finds it when this one is killed and the machine runs on: all that was written, synced or
    /// not, and a power cut may still take what was not. This volume and its open files live on, apart.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let tree = self.0.tree.lock();
        let mut copies = Copies::default();
        let copy = Tree {
            live: copies.names(&tree.live),
            durable: copies.names(&tree.durable),
            pending: tree.pending.iter().map(|c| copies.change(c)).collect(),
            total_bytes: tree.total_bytes,
        };
        Self(Arc::new(World {
            name: self.0.name.clone(),
            tree: Mutex::new(copy),
            locked: AtomicBool::new(false),
            cached: AtomicBool::new(self.0.cached.load(Ordering::Relaxed)),
        }))
    }

    /// Changes the size of the file system.
    pub fn set_total_bytes(&self, total_bytes: u64) {
        self.0.tree.lock().total_bytes = total_bytes;
    }

    /// Whether reads in mode [`ReadMode::CachedOnly`] find their bytes. True at first.
    pub fn set_cached(&self, cached: bool) {
        self.0.cached.store(cached, Ordering::Relaxed);
    }

    /// Changes a file behind everybody's back, durable image included: rot, or an operator's hand.
    ///
    /// # Errors
    /// [`DiskError::NotFound`].
    pub fn tamper(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<(), DiskError> {
        let file = self.0.tree.lock().file(path)?;
        let mut content = file.lock();
        let mut bytes = content.live.clone();
        change(&mut bytes);
        *content = Content {
            live: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
        };
        Ok(())
    }

    /// All files with their content, for comparing.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let tree = self.0.tree.lock();
        tree.live
            .files
            .iter()
            .map(|(path, file)| (path.clone(), file.lock().live.clone()))
            .collect()
    }

    fn with(name: String, names: Names, total_bytes: u64) -> Self {
        let tree = Tree {
            live: names.clone(),
            durable: names,
            pending: Vec::new(),
            total_bytes,
        };
        Self(Arc::new(World {
            name,
            tree: Mutex::new(tree),
            locked: AtomicBool::new(false),
            cached: AtomicBool::new(true),
        }))
    }

    fn handle(&self, path: &str, content: Arc<Mutex<Content>>) -> Arc<dyn VolumeFile> {
        Arc::new(MemoryFile {
            world: Arc::clone(&self.0),
            path: path.to_owned(),
            content,
        })
    }
}

type SharedContent = Arc<Mutex<Content>>;

/// Copies of files, one per file however many names lead to it.
#[derive(Default)]
struct Copies(Vec<(SharedContent, SharedContent)>);

impl Copies {
    fn file(&mut self, file: &SharedContent) -> SharedContent {
        if let Some((_, copy)) = self.0.iter().find(|(old, _)| Arc::ptr_eq(old, file)) {
            return Arc::clone(copy);
        }
        let copy = Arc::new(Mutex::new(file.lock().clone()));
        self.0.push((Arc::clone(file), Arc::clone(&copy)));
        copy
    }

    fn names(&mut self, names: &Names) -> Names {
        let files = names.files.iter();
        Names {
            files: files
                .map(|(path, f)| (path.clone(), self.file(f)))
                .collect(),
            dirs: names.dirs.clone(),
        }
    }

    fn change(&mut self, change: &NameChange) -> NameChange {
        match change {
            NameChange::Link(path, file) => NameChange::Link(path.clone(), self.file(file)),
            other => other.clone(),
        }
    }
}

impl Tree {
    fn file(&self, path: &str) -> Result<Arc<Mutex<Content>>, DiskError> {
        self.live
            .files
            .get(path)
            .map(Arc::clone)
            .ok_or(DiskError::NotFound)
    }

    fn change(&mut self, change: NameChange) {
        self.live.apply(&change);
        self.pending.push(change);
    }

    fn sync_dir(&mut self, dir: &str) {
        let (synced, rest) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition::<Vec<_>, _>(|change| parent(change.path()) == dir);
        self.pending = rest;
        for change in &synced {
            self.durable.apply(change);
        }
    }

    fn space(&self) -> Space {
        let used: u64 = self
            .live
            .files
            .values()
            .map(|file| file.lock().live.len() as u64)
            .sum();
        Space {
            total_bytes: self.total_bytes,
            free_bytes: self.total_bytes.saturating_sub(used),
        }
    }

    fn check_parent(&self, path: &str) -> Result<(), DiskError> {
        let directory = parent(path);
        let exists = directory.is_empty() || self.live.dirs.contains(directory);
        if exists {
            Ok(())
        } else {
            Err(DiskError::NotFound)
        }
    }
}

impl NameChange {
    fn path(&self) -> &str {
        match self {
            Self::CreateDir(path) | Self::Link(path, _) | Self::Unlink(path) => path,
            Self::Rename { to, .. } => to,
        }
    }
}

impl Names {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::CreateDir(path) => {
                self.dirs.insert(path.clone());
            }
            NameChange::Link(path, content) => {
                self.files.insert(path.clone(), Arc::clone(content));
            }
            NameChange::Unlink(path) => {
                self.files.remove(path);
            }
            NameChange::Rename { from, to } => {
                if let Some(content) = self.files.remove(from) {
                    self.files.insert(to.clone(), content);
                }
            }
        }
    }

    /// What lies in a directory that was lost is lost with it.
    fn drop_unreachable(&mut self) {
        let dirs = self.dirs.clone();
        let reachable = |path: &str| {
            let mut directory = parent(path);
            while !directory.is_empty() {
                if !dirs.contains(directory) {
                    return false;
                }
                directory = parent(directory);
            }
            true
        };
        self.files.retain(|path, _| reachable(path));
        self.dirs.retain(|path| reachable(path));
    }
}

impl Content {
    fn change(&mut self, change: ByteChange) {
        change.apply(&mut self.live, &mut |_| true);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        // Not a copy of the whole: a segment is synced once per batch.
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable, &mut |_| true);
        }
    }

    /// What of it a power cut leaves.
    fn crash(&self, rng: &dyn Rng) -> Self {
        let mut bytes = self.durable.clone();
        let keep_percent = rng.next_u64() % 101;
        for change in &self.pending {
            change.apply(&mut bytes, &mut |_| rng.next_u64() % 100 < keep_percent);
        }
        if bytes.len() < self.live.len() && rng.next_u64().is_multiple_of(4) {
            // The length may be durable before the bytes are.
            bytes.resize(self.live.len(), 0);
        }
        Self {
            live: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
        }
    }
}

impl ByteChange {
    /// Applies the sectors that `keep` picks by their number.
    fn apply(&self, to: &mut Vec<u8>, keep: &mut dyn FnMut(usize) -> bool) {
        match self {
            Self::Truncate(length) => {
                if keep(length / SECTOR_BYTES) {
                    to.resize(*length, 0);
                }
            }
            Self::Write { offset, bytes } => {
                let mut at = *offset;
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let room = SECTOR_BYTES - at % SECTOR_BYTES;
                    let (piece, later) = rest.split_at(room.min(rest.len()));
                    if keep(at / SECTOR_BYTES) {
                        let end = at + piece.len();
                        to.resize(to.len().max(end), 0);
                        to[at..end].copy_from_slice(piece);
                    }
                    at += piece.len();
                    rest = later;
                }
            }
        }
    }
}

impl Volume for MemoryVolume {
    fn location(&self) -> String {
        self.0.name.clone()
    }

    fn create(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let mut tree = self.0.tree.lock();
        tree.check_parent(path)?;
        if tree.live.files.contains_key(path) || tree.live.dirs.contains(path) {
            return Err(refusal("create", path, "the name is taken".to_owned()));
        }
        let content = Arc::new(Mutex::new(Content::default()));
        tree.change(NameChange::Link(path.to_owned(), Arc::clone(&content)));
        Ok(self.handle(path, content))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        Ok(self.handle(path, self.0.tree.lock().file(path)?))
    }

    fn create_dir(&self, path: &str) -> Result<bool, DiskError> {
        let mut tree = self.0.tree.lock();
        tree.check_parent(path)?;
        if tree.live.dirs.contains(path) {
            return Ok(false);
        }
        tree.change(NameChange::CreateDir(path.to_owned()));
        Ok(true)
    }

    fn list(&self, dir: &str) -> Result<Vec<Listed>, DiskError> {
        let tree = self.0.tree.lock();
        if !dir.is_empty() && !tree.live.dirs.contains(dir) {
            return Err(DiskError::NotFound);
        }
        let listed = |path: &String, is_dir| {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            (parent(path) == dir).then_some(Listed { name, is_dir })
        };
        let files = tree
            .live
            .files
            .keys()
            .filter_map(|path| listed(path, false));
        let dirs = tree.live.dirs.iter().filter_map(|path| listed(path, true));
        Ok(files.chain(dirs).collect())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let mut tree = self.0.tree.lock();
        tree.file(path)?;
        tree.change(NameChange::Unlink(path.to_owned()));
        Ok(())
    }

    fn rename_durable(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut tree = self.0.tree.lock();
        tree.file(from)?.lock().sync();
        tree.change(NameChange::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        });
        tree.sync_dir(parent(to));
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        self.0.tree.lock().sync_dir(dir);
        Ok(())
    }

    fn space(&self) -> Result<Space, DiskError> {
        Ok(self.0.tree.lock().space())
    }

    fn lock(&self) -> Result<Box<dyn VolumeLock>, DiskError> {
        if self.0.locked.swap(true, Ordering::Relaxed) {
            let error = std::io::Error::from_raw_os_error(libc::EWOULDBLOCK);
            return Err(io_error("lock", &self.0.name, &error));
        }
        Ok(Box::new(MemoryLock(Arc::clone(&self.0))))
    }
}

#[derive(Debug)]
struct MemoryLock(Arc<World>);

impl VolumeLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.locked.store(false, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct MemoryFile {
    world: Arc<World>,
    path: String,
    content: Arc<Mutex<Content>>,
}

impl VolumeFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64, mode: ReadMode) -> Result<usize, DiskError> {
        if mode == ReadMode::CachedOnly && !self.world.cached.load(Ordering::Relaxed) {
            return Err(DiskError::NotCached);
        }
        let content = self.content.lock();
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(content.live.len());
        let bytes = &content.live[from..];
        let length = bytes.len().min(buf.len());
        buf[..length].copy_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let offset = usize::try_from(offset)
            .map_err(|_| refusal("write", &self.path, "offset too large".to_owned()))?;
        let free_bytes = self.world.tree.lock().space().free_bytes;
        let mut content = self.content.lock();
        let grown = (offset + bytes.len()).saturating_sub(content.live.len());
        if grown as u64 > free_bytes {
            return Err(DiskError::Full);
        }
        content.change(ByteChange::Write {
            offset,
            bytes: bytes.to_vec(),
        });
        Ok(())
    }

    fn start_writeback(&self, _offset: u64, _bytes: u64) {}

    fn sync_data(&self) -> Result<(), DiskError> {
        self.content.lock().sync();
        Ok(())
    }

    fn len_bytes(&self) -> Result<u64, DiskError> {
        Ok(self.content.lock().live.len() as u64)
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), DiskError> {
        let length = usize::try_from(len_bytes)
            .map_err(|_| refusal("truncate", &self.path, "length too large".to_owned()))?;
        self.content.lock().change(ByteChange::Truncate(length));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    /// What many power cuts leave of the file `f`; `None` where it is gone.
    fn outcomes(prepare: impl Fn(&MemoryVolume)) -> BTreeSet<Option<Vec<u8>>> {
        let outcome = |seed| {
            let volume = MemoryVolume::new("memory", 1 << 20);
            prepare(&volume);
            volume.crash(&SeededRng::new(seed)).files().remove("f")
        };
        (0..200).map(outcome).collect()
    }

    #[test]
    fn what_is_synced_survives_and_nothing_else_is_sure() {
        let write = |volume: &MemoryVolume| {
            let file = volume.create("f").unwrap();
            file.write_at(b"old", 0).unwrap();
            file
        };
        let nothing_synced = outcomes(|volume| drop(write(volume)));
        assert!(nothing_synced.contains(&None) && nothing_synced.contains(&Some(b"old".to_vec())));
        let data_synced = outcomes(|volume| write(volume).sync_data().unwrap());
        assert_eq!(data_synced, BTreeSet::from([None, Some(b"old".to_vec())]));
        let all_synced = outcomes(|volume| {
            write(volume).sync_data().unwrap();
            volume.sync_dir("").unwrap();
        });
        assert_eq!(all_synced, BTreeSet::from([Some(b"old".to_vec())]));
    }

    #[test]
    fn unsynced_writes_are_torn_at_sectors_and_reordered() {
        let left = outcomes(|volume| {
            let file = volume.create("f").unwrap();
            file.write_at(&[1; 1536], 0).unwrap();
            file.sync_data().unwrap();
            volume.sync_dir("").unwrap();
            file.write_at(&[2; 1536], 0).unwrap();
        });
        let sectors = |bytes: &Option<Vec<u8>>| {
            let bytes = bytes.as_ref().unwrap();
            let whole = |s: &[u8]| s.iter().all(|b| *b == s[0]);
            assert!(bytes.len() == 1536 && bytes.chunks(SECTOR_BYTES).all(whole));
            [bytes[0], bytes[512], bytes[1024]]
        };
        assert_eq!(
            left.iter().map(sectors).collect::<BTreeSet<_>>().len(),
            8,
            "every mixture"
        );
    }

    #[test]
    fn a_killed_process_leaves_all_that_it_wrote_and_a_later_power_cut_takes_it() {
        let volume = MemoryVolume::new("memory", 1 << 20);
        let file = volume.create("f").unwrap();
        file.write_at(b"unsynced", 0).unwrap();
        let next = volume.after_kill();
        file.write_at(b"too late", 0).unwrap();
        assert_eq!(next.files()["f"], b"unsynced");
        let left = (0..50).map(|seed| next.crash(&SeededRng::new(seed)).files().remove("f"));
        assert!(left.collect::<BTreeSet<_>>().contains(&None));
    }

    #[test]
    fn unsynced_removals_and_directories_may_be_undone() {
        let removed = outcomes(|volume| {
            volume.create("f").unwrap();
            volume.sync_dir("").unwrap();
            volume.remove("f").unwrap();
        });
        assert_eq!(removed, BTreeSet::from([None, Some(Vec::new())]));
        let volume = MemoryVolume::new("memory", 1 << 20);
        volume.create_dir("d").unwrap();
        volume.create("d/f").unwrap();
        volume.sync_dir("d").unwrap();
        let cuts = (0..50).map(|seed| volume.crash(&SeededRng::new(seed)).files().len());
        assert_eq!(
            cuts.collect::<BTreeSet<_>>(),
            BTreeSet::from([0, 1]),
            "lost with its directory"
        );
    }
}
