//! The view in fjall, a log-structured merge tree.
//!
//! Tuned for keys of 40 to 90 bytes with values of 80 to 350 bytes, one small batch per S3 PUT, and HEAD and LIST
//! above all. The settings that are not fjall's defaults are argued for where they are set;
//! `docs/decisions/0001-view-engine.md` has the figures.
//!
//! A batch goes to fjall's journal (in memory until 8 KiB are full: [`View::apply`] makes no system call of its own) and to
//! the memtable. Full memtables become sorted tables in the background, synced before their journal is deleted.

use std::{
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _,
    compaction::Leveled,
    config::{
        BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
        HashRatioPolicy, PartitioningPolicy, PinningPolicy, RestartIntervalPolicy,
    },
};

use super::{View, ViewChange, ViewError, ViewSettings, change, disk_usage};

/// The only key space in the database.
const KEYSPACE: &str = "view";
/// File descriptors kept open: those of 4 GiB of tables.
const OPEN_FILES: usize = 256;
/// fjall's default of 64 MiB makes merging the first level cost up to 256 MiB at a time, and index blocks so
/// large that they drive data out of the cache.
const TABLE_BYTES: u64 = 16 << 20;
/// One for writing buffers out, one for compaction. With one alone (fjall's default on one core) a compaction keeps
/// buffers from being written out, and memory grew to 600 MiB in a measurement.
const WORKER_THREADS: usize = 2;

/// A view kept by fjall.
pub struct FjallView {
    dir: PathBuf,
    db: Database,
    entries: Keyspace,
}

impl FjallView {
    /// Opens the database in `dir`, or makes one.
    ///
    /// # Errors
    /// [`ViewError`]: it is damaged or in use, or the disk fails.
    pub fn open(dir: &Path, settings: ViewSettings) -> Result<Self, ViewError> {
        let db = Database::builder(dir)
            .cache_size(settings.cache_bytes)
            .manual_journal_persist(true)
            .max_cached_files(Some(OPEN_FILES))
            .worker_threads(WORKER_THREADS)
            .open()?;
        let entries = db.keyspace(KEYSPACE, || options(settings))?;
        Ok(Self {
            dir: dir.to_owned(),
            db,
            entries,
        })
    }

    /// Syncs what the journals hold without fjall's lock, which stops all writers while it is held.
    fn sync_journals_unlocked(&self) -> Result<(), ViewError> {
        self.db.persist(PersistMode::Buffer)?;
        for path in self.journals()? {
            match File::open(&path) {
                Ok(journal) => journal.sync_data()?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn journals(&self) -> Result<Vec<PathBuf>, ViewError> {
        let mut journals = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jnl") {
                journals.push(path);
            }
        }
        Ok(journals)
    }
}

/// Only used when the view is created: fjall keeps the options with the data.
fn options(settings: ViewSettings) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .max_memtable_size(settings.write_buffer_bytes)
        // All levels but the first, which is short-lived: fjall's default leaves the second uncompressed too.
        .data_block_compression_policy(CompressionPolicy::new([
            fjall::CompressionType::None,
            fjall::CompressionType::Lz4,
        ]))
        // A hash index of 8 bits in each data block saves most of the binary search of a point read.
        .data_block_hash_ratio_policy(HashRatioPolicy::all(0.75))
        .data_block_restart_interval_policy(RestartIntervalPolicy::all(8))
        // In memory for good, about 23 bytes per key: a get then reads one data block at most.
        .index_block_pinning_policy(PinningPolicy::all(true))
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .index_block_partitioning_policy(PartitioningPolicy::all(false))
        .filter_block_partitioning_policy(PartitioningPolicy::all(false))
        .compaction_strategy(Arc::new(
            Leveled::default().with_table_target_size(TABLE_BYTES),
        ))
        // A PUT of a new key looks it up first. Without filters on the last level each would read a block.
        .expect_point_read_hits(false)
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(
            BloomConstructionPolicy::BitsPerKey(10.0),
        )))
}

impl View for FjallView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        if key.is_empty() {
            return Ok(None);
        }
        // `Keyspace::get` would show batches that scans, which read a snapshot, do not show yet.
        let value = self.db.snapshot().get(&self.entries, key)?;
        // Copied, because a slice of fjall keeps the whole block that it is in.
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), ViewError> {
        if from >= to {
            return Ok(());
        }
        // `Keyspace::range` would show half-applied batches; a snapshot does not.
        for entry in self.db.snapshot().range(&self.entries, from..to) {
            let (key, value) = entry.into_inner()?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, changes: &[ViewChange]) -> Result<(), ViewError> {
        change::check(changes)?;
        let mut batch = fjall::OwnedWriteBatch::with_capacity(self.db.clone(), changes.len());
        for change in changes {
            match &change.value {
                Some(value) => batch.insert(&self.entries, &change.key[..], &value[..]),
                None => batch.remove(&self.entries, &change.key[..]),
            }
        }
        Ok(batch.commit()?)
    }

    /// Straight into sorted tables, which are synced: neither the journal nor the memtable sees the entries, and nothing is merged later.
    fn load(
        &self,
        entries: &mut dyn Iterator<Item = Result<(Bytes, Bytes), ViewError>>,
    ) -> Result<(), ViewError> {
        let mut tables = self.entries.start_ingestion()?;
        let mut is_empty = true;
        for entry in entries {
            let (key, value) = entry?;
            change::check_entry(&key, &value)?;
            tables.write(&key[..], &value[..])?;
            is_empty = false;
        }
        if is_empty {
            Ok(())
        } else {
            Ok(tables.finish()?)
        }
    }

    fn persist(&self) -> Result<(), ViewError> {
        self.sync_journals_unlocked()?;
        Ok(self.db.persist(PersistMode::SyncData)?)
    }

    fn disk_bytes(&self) -> u64 {
        disk_usage::allocated_bytes(&self.dir)
    }
}

impl fmt::Debug for FjallView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallView")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl From<fjall::Error> for ViewError {
    fn from(error: fjall::Error) -> Self {
        Self(format!("fjall: {error}"))
    }
}

impl From<std::io::Error> for ViewError {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}
