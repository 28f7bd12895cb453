//! A file that is only read, in a way of its own: whatever else is asked of it is refused.

use std::{fmt::Debug, fs::File, io, path::Path};

use super::{DiskError, ReadMode, VolumeFile, io_error, refusal};

/// How a file is read.
pub(super) trait Reading: Send + Sync + Debug {
    /// Fills `buf` as far as the file goes.
    fn read(&self, file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// A file that is read and never written. May block in any [`ReadMode`].
#[derive(Debug)]
pub(super) struct OnlyRead<R> {
    file: File,
    path: String,
    reading: R,
}

impl<R: Reading> OnlyRead<R> {
    pub(super) fn new(file: File, path: &Path, reading: R) -> Self {
        Self {
            file,
            path: path.display().to_string(),
            reading,
        }
    }

    fn refuse(&self, operation: &'static str) -> Result<(), DiskError> {
        Err(refusal(operation, &self.path, "opened for reading".into()))
    }
}

impl<R: Reading> VolumeFile for OnlyRead<R> {
    fn read_at(&self, buf: &mut [u8], offset: u64, _: ReadMode) -> Result<usize, DiskError> {
        let read = self.reading.read(&self.file, buf, offset);
        read.map_err(|error| io_error("read", &self.path, &error))
    }

    fn write_at(&self, _: &[u8], _: u64) -> Result<(), DiskError> {
        self.refuse("write")
    }

    fn start_writeback(&self, _: u64, _: u64) {}

    fn sync_data(&self) -> Result<(), DiskError> {
        self.refuse("sync")
    }

    fn len_bytes(&self) -> Result<u64, DiskError> {
        let metadata = self.file.metadata();
        let metadata = metadata.map_err(|error| io_error("stat", &self.path, &error))?;
        Ok(metadata.len())
    }

    fn truncate(&self, _: u64) -> Result<(), DiskError> {
        self.refuse("truncate")
    }
}
