//! A file of lines that is put aside when it is full. `audit.log.1` is the youngest of those put aside.
//!
//! Somebody else may put it aside as well (logrotate): where the path names another file than the open one, or none, it is opened anew.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    AuditSettings,
    writer::{Sink, Unwritten, write_all},
};

/// For the server's user and its group: whoever collects logs.
const MODE: u32 = 0o640;

#[derive(Debug)]
pub(super) struct LogFile {
    settings: AuditSettings,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
    /// Whether a line was begun and not ended.
    is_within_line: bool,
}

impl LogFile {
    /// # Errors
    /// The file can't be opened.
    pub(super) fn open(settings: AuditSettings) -> io::Result<Self> {
        let open = Some(Open::at(&settings.path)?);
        Ok(Self { settings, open })
    }

    /// Writes as many of `lines` as go into one file, at least one.
    fn write_some(&mut self, lines: &[u8]) -> Result<usize, Unwritten> {
        let failed = |error| Unwritten {
            written_bytes: 0,
            error,
        };
        let first = next_line(lines);
        let max_bytes = self.settings.max_bytes;
        let is_full = |open: &Open| {
            !open.is_within_line && open.bytes > 0 && open.bytes + first as u64 > max_bytes
        };
        if self.open.as_ref().is_some_and(is_full) {
            self.open = None;
            self.put_aside().map_err(failed)?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => self
                .open
                .insert(Open::at(&self.settings.path).map_err(failed)?),
        };
        let fitting = fitting(lines, max_bytes.saturating_sub(open.bytes)).max(first);
        open.write(&lines[..fitting]).map(|()| fitting)
    }

    /// Moves the file out of the way, and the oldest away.
    fn put_aside(&self) -> io::Result<()> {
        let path = &self.settings.path;
        if self.settings.keep == 0 {
            return fs::remove_file(path);
        }
        for number in (1..self.settings.keep).rev() {
            match rename(&numbered(path, number), &numbered(path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        rename(path, &numbered(path, 1))
    }

    /// Whether the path names the open file.
    fn is_in_place(&self, open: &Open) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let named = fs::metadata(&self.settings.path).map(identity);
        let ours = open.file.metadata().map(identity);
        named.is_ok_and(|named| ours.is_ok_and(|ours| ours == named))
    }
}

impl Sink for LogFile {
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        if self
            .open
            .as_ref()
            .is_some_and(|open| !self.is_in_place(open))
        {
            self.open = None;
        }
        let mut written_bytes = 0;
        while written_bytes < lines.len() {
            let some = self.write_some(&lines[written_bytes..]);
            written_bytes += some.map_err(|unwritten| Unwritten {
                written_bytes: written_bytes + unwritten.written_bytes,
                ..unwritten
            })?;
        }
        Ok(())
    }

    fn reopen(&mut self) {
        self.open = None;
    }
}

impl Open {
    /// A line that a crash has torn is ended.
    fn at(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(MODE)
            .open(path)?;
        let metadata = file.metadata()?;
        let mut bytes = metadata.len();
        if metadata.is_file() && bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                io::Write::write_all(&mut file, b"\n")?;
                bytes += 1;
            }
        }
        Ok(Self {
            file,
            bytes,
            is_within_line: false,
        })
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        let written = write_all(&mut self.file, lines);
        let count = match &written {
            Ok(()) => lines.len(),
            Err(unwritten) => unwritten.written_bytes,
        };
        self.bytes += count as u64;
        if let Some(last) = lines[..count].last() {
            self.is_within_line = *last != b'\n';
        }
        written
    }
}

/// The length of the first line, with its end.
fn next_line(lines: &[u8]) -> usize {
    memchr::memchr(b'\n', lines).map_or(lines.len(), |at| at + 1)
}

/// The length of those first lines that have room.
fn fitting(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    memchr::memrchr(b'\n', &lines[..room]).map_or(0, |at| at + 1)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[expect(
    clippy::disallowed_methods,
    reason = "lines are not synced either: what a power cut takes is documented"
)]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path, max_bytes: u64, keep: u32) -> LogFile {
        let path = dir.join("audit.log");
        LogFile::open(AuditSettings {
            path,
            max_bytes,
            keep,
        })
        .unwrap()
    }

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap_or_else(|_| "none".to_owned())
    }

    #[test]
    fn a_full_file_is_put_aside_between_lines_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let mut log = log(dir, 8, 2);
        log.write(b"aaa\nbbb\nccc\n").unwrap();
        assert_eq!(read(dir, "audit.log"), "ccc\n");
        assert_eq!(read(dir, "audit.log.1"), "aaa\nbbb\n");
        log.write(b"longer than a file\nd\n").unwrap();
        assert_eq!(read(dir, "audit.log"), "d\n");
        assert_eq!(read(dir, "audit.log.1"), "longer than a file\n");
        assert_eq!(read(dir, "audit.log.2"), "ccc\n");
        assert_eq!(read(dir, "audit.log.3"), "none");
    }

    #[test]
    fn none_is_kept_where_none_is_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 4, 0);
        log.write(b"aaa\nbbb\n").unwrap();
        assert_eq!(read(dir.path(), "audit.log"), "bbb\n");
        assert_eq!(read(dir.path(), "audit.log.1"), "none");
    }

    #[test]
    fn what_somebody_moved_away_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let mut log = log(dir, 1 << 20, 2);
        log.write(b"a\n").unwrap();
        rename(&dir.join("audit.log"), &dir.join("moved")).unwrap();
        log.write(b"b\n").unwrap();
        fs::remove_file(dir.join("audit.log")).unwrap();
        fs::write(dir.join("audit.log"), "theirs\n").unwrap();
        log.write(b"c\n").unwrap();
        assert_eq!(read(dir, "moved"), "a\n");
        assert_eq!(read(dir, "audit.log"), "theirs\nc\n");
    }

    #[test]
    fn a_torn_line_is_ended_and_size_counts_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::write(dir.join("audit.log"), "torn").unwrap();
        let mut log = log(dir, 9, 1);
        log.write(b"abc\n").unwrap();
        assert_eq!(read(dir, "audit.log"), "torn\nabc\n");
        log.write(b"d\n").unwrap();
        assert_eq!(read(dir, "audit.log"), "d\n");
        assert_eq!(read(dir, "audit.log.1"), "torn\nabc\n");
    }
}
