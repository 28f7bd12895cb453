//! How much of the disk a directory takes.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Unit of `st_blocks`, whatever the file system's block size.
const STAT_BLOCK_BYTES: u64 = 512;

/// Bytes allocated to the files below `dir`. Holes cost nothing: fjall makes its journals 64 MiB long at once and
/// fills them later. What vanishes or cannot be read meanwhile (a compaction deletes files) counts as nothing.
pub(super) fn allocated_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries.flatten().map(|entry| entry_bytes(&entry)).sum()
}

fn entry_bytes(entry: &fs::DirEntry) -> u64 {
    match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => allocated_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * STAT_BLOCK_BYTES,
        Err(_) => 0,
    }
}
