//! Small files that only the server's user may read, kept in data directories beside what they belong to.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::mpsc,
    time::Duration,
};

/// What `work` returns, unless it takes longer than `patience`: a thread that hangs on a dead disk is left to itself.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`].
pub(crate) fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (told, result) = mpsc::channel();
    std::thread::Builder::new().spawn(move || drop(told.send(work())))?;
    let late = |_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer for {patience:?}"),
        )
    };
    result.recv_timeout(patience).map_err(late)
}

/// Puts a file of mode 0600 in place of what is there. On `Ok` it survives power loss.
///
/// # Errors
/// Those of the file system; what was there stays then.
pub(crate) fn write(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.new"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the file is synced above, its directory below"
    )]
    fs::rename(&temporary, directory.join(name))?;
    fs::File::open(directory)?.sync_all()
}

/// A file's bytes; `None` where there is none.
///
/// # Errors
/// Those of the file system.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
