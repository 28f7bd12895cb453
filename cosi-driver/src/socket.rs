//! The Unix socket that a sidecar finds the driver at: `COSI_ENDPOINT`, `unix:///var/lib/cosi/cosi.sock` unless set.
//!
//! Who may open the socket may do everything: it has mode 0660, from the moment that it is there. Its directory is shared with the sidecar, and
//! nothing else is made in it; a lock on the directory itself keeps two drivers that start at once apart.
//!
//! Invariant: what is removed is a socket that nobody serves, or, at the end, the one that this process made.

use std::{
    fs::{self, File, Permissions},
    io,
    os::{
        fd::AsFd as _,
        unix::{
            fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixSocket};

/// Where the socket is unless `COSI_ENDPOINT` says otherwise.
pub const DEFAULT_ENDPOINT: &str = "unix:///var/lib/cosi/cosi.sock";
/// Connections that wait to be taken.
const BACKLOG: u32 = 128;
const MODE: u32 = 0o660;
/// `sun_path` of Linux, without its end.
const MAX_PATH_BYTES: usize = 107;

/// Why there is no socket. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The endpoint is not one.
    #[error("COSI_ENDPOINT `{0}` is no Unix socket: write unix:///directory/name.sock")]
    NoEndpoint(String),
    /// Too long for a socket.
    #[error("the socket's path has {got_bytes} bytes, a socket's has at most {MAX_PATH_BYTES}")]
    TooLong {
        /// Its length.
        got_bytes: usize,
    },
    /// Another process answers there.
    #[error("{} is served by another process: stop that, or set COSI_ENDPOINT", .0.display())]
    Served(PathBuf),
    /// Another driver is starting there.
    #[error("another driver is starting in {}: stop that, or set COSI_ENDPOINT", .0.display())]
    Starting(PathBuf),
    /// Something else has that name.
    #[error("{} is no socket: move it away, or set COSI_ENDPOINT", .0.display())]
    NotSocket(PathBuf),
    /// The system refuses.
    #[error("socket {}: {source}", path.display())]
    Io {
        /// Of the socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The path that an endpoint names.
///
/// # Errors
/// [`SocketError::NoEndpoint`], [`SocketError::TooLong`]: the operator corrects it.
pub fn path_of(endpoint: &str) -> Result<PathBuf, SocketError> {
    let path = endpoint.strip_prefix("unix://").unwrap_or_default();
    // A name that is only ".sock" has no extension.
    let extension = Path::new(path).extension();
    if !path.starts_with('/') || extension.is_none_or(|it| it != "sock") {
        return Err(SocketError::NoEndpoint(endpoint.to_owned()));
    }
    let got_bytes = path.len();
    if got_bytes > MAX_PATH_BYTES {
        return Err(SocketError::TooLong { got_bytes });
    }
    Ok(path.into())
}

/// A socket of this process, which is gone when this is dropped.
#[derive(Debug)]
pub struct Bound {
    path: PathBuf,
    /// Device and inode: another process may have made one of the same name since.
    made: (u64, u64),
}

/// Listens at `path`, in place of a socket that nobody serves any more.
///
/// # Errors
/// See [`SocketError`]; nothing was removed that somebody uses.
pub fn bind(path: &Path) -> Result<(UnixListener, Bound), SocketError> {
    let failed = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let lock = File::open(directory).map_err(failed)?;
    lock.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => SocketError::Starting(directory.to_owned()),
        fs::TryLockError::Error(source) => failed(source),
    })?;
    remove_stale(path)?;
    listen(path).map_err(failed)
}

/// A file's mode is set before it has a name: there is no moment at which others can open it.
fn listen(path: &Path) -> io::Result<(UnixListener, Bound)> {
    let socket = UnixSocket::new_stream()?;
    let file = File::from(socket.as_fd().try_clone_to_owned()?);
    file.set_permissions(Permissions::from_mode(MODE))?;
    socket.bind(path)?;
    // The umask took from it; a group that shares the directory is to have it.
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    let metadata = fs::symlink_metadata(path)?;
    let bound = Bound {
        path: path.to_owned(),
        made: (metadata.dev(), metadata.ino()),
    };
    Ok((socket.listen(BACKLOG)?, bound))
}

fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotSocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::Served(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let is_ours = |it: &fs::Metadata| (it.dev(), it.ino()) == self.made;
        if fs::symlink_metadata(&self.path).is_ok_and(|it| is_ours(&it))
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the socket is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn place() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cosi.sock");
        (directory, path)
    }

    fn names(directory: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(directory.path()).unwrap();
        let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn endpoints_are_absolute_paths_of_sockets() {
        let good = path_of("unix:///run/cosi.sock").unwrap();
        assert_eq!(good, Path::new("/run/cosi.sock"));
        assert!(path_of(DEFAULT_ENDPOINT).is_ok());
        let odd = [
            "",
            "/run/cosi.sock",
            "unix://run/cosi.sock",
            "unix:/run/cosi.sock",
            "tcp://127.0.0.1:1/cosi.sock",
            "unix:///run/cosi",
            "unix:///run/.sock",
        ];
        for odd in odd {
            assert!(
                matches!(path_of(odd), Err(SocketError::NoEndpoint(_))),
                "{odd}"
            );
        }
        let long = format!("unix:///{}.sock", "a".repeat(102));
        assert!(matches!(
            path_of(&long),
            Err(SocketError::TooLong { got_bytes: 108 })
        ));
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_with_its_owner() {
        let (directory, path) = place();
        let (_listener, bound) = bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert_eq!(names(&directory), ["cosi.sock"]);
        drop(bound);
        assert!(names(&directory).is_empty());
    }

    #[tokio::test]
    async fn a_socket_that_nobody_serves_is_replaced() {
        let (_directory, path) = place();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (_listener, _bound) = bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_is_served_stays() {
        let (_directory, path) = place();
        let (_listener, _bound) = bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::Served(_))));
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn what_is_no_socket_stays() {
        let (directory, path) = place();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(SocketError::NotSocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        let target = directory.path().join("target");
        drop(std::os::unix::net::UnixListener::bind(&target).unwrap());
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::NotSocket(_))));
        assert!(target.exists());
    }

    #[tokio::test]
    async fn another_ones_socket_of_the_same_name_stays() {
        let (_directory, path) = place();
        let (_listener, bound) = bind(&path).unwrap();
        // A copy keeps the first inode in use, so that it can't come back for the second.
        fs::hard_link(&path, path.with_extension("old")).unwrap();
        fs::remove_file(&path).unwrap();
        let (_other, _others) = bind(&path).unwrap();
        drop(bound);
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_driver_that_starts_keeps_others_out() {
        let (directory, path) = place();
        let starting = File::open(directory.path()).unwrap();
        starting.lock().unwrap();
        assert!(matches!(bind(&path), Err(SocketError::Starting(_))));
        starting.unlock().unwrap();
        bind(&path).unwrap();
    }

    #[tokio::test]
    async fn a_directory_that_is_missing_is_named() {
        let (_directory, path) = place();
        let text = bind(&path.join("cosi.sock")).unwrap_err().to_string();
        assert!(text.contains("cosi.sock/cosi.sock: No such file"), "{text}");
    }
}
