//! The root credentials: from the environment, or made up once and kept on the disks.
//!
//! Invariants: the secret is never logged, printed or part of a `Debug` text; a file that holds it
//! is made with mode 0600 before the secret is written to it.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use larder_storage::rng::Rng;
use serde::{Deserialize, Serialize};

use crate::private_file::{self, within};

/// The file that holds made-up credentials, in each data directory.
pub const FILE_NAME: &str = "credentials.json";
const ACCESS_KEY: &str = "LARDER_ROOT_ACCESS_KEY";
const METRICS_TOKEN: &str = "LARDER_METRICS_TOKEN";
const SECRET_KEY: &str = "LARDER_ROOT_SECRET_KEY";
/// As AWS: 20 characters and 40.
const ACCESS_KEY_CHARS: usize = 20;
const SECRET_KEY_CHARS: usize = 40;
const MIN_SECRET_CHARS: usize = 8;
/// As AWS.
const MAX_ACCESS_KEY_CHARS: usize = 128;

/// A key pair that may do everything.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Root {
    /// Who.
    pub access_key: String,
    /// The proof.
    pub secret_key: String,
    /// When it was made, in milliseconds since 1970; 0 for a pair of the environment.
    #[serde(default)]
    pub created_unix_millis: u64,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

/// Where the root credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The environment, or files that it names.
    Environment,
    /// Made at an earlier start and kept in this file.
    Kept(PathBuf),
    /// Made now.
    MadeUp,
}

/// Why there are no root credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// One half of a pair is missing.
    #[error("{0} is set but {1} is not: set both or neither")]
    HalfSet(&'static str, &'static str),
    /// A value is set directly and by file.
    #[error("{0} and {0}_FILE are both set: set one")]
    SetTwice(&'static str),
    /// A value cannot be used.
    #[error("{0} {1}")]
    Invalid(&'static str, &'static str),
    /// A file cannot be read or written.
    #[error("credentials file {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("credentials file {} is damaged: remove it to use another disk's copy", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
}

/// The root credentials of the environment; `variable` looks one up.
///
/// # Errors
/// [`CredentialsError`]: the operator corrects the variable or file that it names.
pub fn from_environment(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Root>, CredentialsError> {
    let access_key = value_or_file(&variable, ACCESS_KEY)?;
    let secret_key = value_or_file(&variable, SECRET_KEY)?;
    match (access_key, secret_key) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(CredentialsError::HalfSet(ACCESS_KEY, SECRET_KEY)),
        (None, Some(_)) => Err(CredentialsError::HalfSet(SECRET_KEY, ACCESS_KEY)),
        (Some(access_key), Some(secret_key)) => {
            check(&access_key, &secret_key)?;
            Ok(Some(Root {
                access_key,
                secret_key,
                created_unix_millis: 0,
            }))
        }
    }
}

/// What a Prometheus shows to read the metrics, where the environment sets it.
///
/// # Errors
/// As [`from_environment`].
pub fn metrics_token(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, CredentialsError> {
    let token = value_or_file(&variable, METRICS_TOKEN)?;
    let is_good = |token: &String| {
        token.len() >= MIN_SECRET_CHARS && token.bytes().all(|b| b.is_ascii_graphic())
    };
    if token.as_ref().is_none_or(is_good) {
        return Ok(token);
    }
    let reason = "must be at least 8 printable characters without spaces";
    Err(CredentialsError::Invalid(METRICS_TOKEN, reason))
}

/// The newest pair kept in `directories`, and where it is. A directory that does not answer for so long is passed over.
///
/// # Errors
/// [`CredentialsError::File`], [`CredentialsError::Damaged`] when no directory has a readable pair
/// and one has an unreadable one.
pub fn kept(
    directories: &[PathBuf],
    patience: Duration,
) -> Result<Option<(Root, PathBuf)>, CredentialsError> {
    let (mut newest, mut failed) = (None::<(Root, PathBuf)>, None);
    for path in directories.iter().map(|d| d.join(FILE_NAME)) {
        let file = path.clone();
        let found = within(patience, move || read(&file));
        let late = |source| {
            let path = path.clone();
            Err(CredentialsError::File { path, source })
        };
        match found.unwrap_or_else(late) {
            Ok(Some(root)) if newest.as_ref().is_none_or(|(n, _)| is_newer(&root, n)) => {
                newest = Some((root, path));
            }
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
    }
    match (newest, failed) {
        (None, Some(error)) => Err(error),
        (newest, _) => Ok(newest),
    }
}

/// Makes a pair up.
pub fn make_up(rng: &dyn Rng, now_unix_millis: u64) -> Root {
    const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    const ALL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    Root {
        access_key: characters(rng, UPPER, ACCESS_KEY_CHARS),
        secret_key: characters(rng, ALL, SECRET_KEY_CHARS),
        created_unix_millis: now_unix_millis,
    }
}

/// Writes `root` to every directory that has no copy of it. On `Ok` each copy survives power loss. A directory that does not
/// answer for so long is passed over.
///
/// # Errors
/// [`CredentialsError::File`] when not one directory has a copy.
pub fn keep(
    root: &Root,
    directories: &[PathBuf],
    patience: Duration,
) -> Result<(), CredentialsError> {
    let (mut copies, mut failed) = (0_usize, None);
    for directory in directories {
        let (copy, to) = (root.clone(), directory.clone());
        let kept = within(patience, move || keep_one(&copy, &to));
        match kept.and_then(|kept| kept) {
            Ok(()) => copies += 1,
            Err(source) => {
                let path = directory.join(FILE_NAME);
                tracing::warn!(path = %path.display(), error = %source, "credentials not kept here");
                failed = Some(CredentialsError::File { path, source });
            }
        }
    }
    failed.filter(|_| copies == 0).map_or(Ok(()), Err)
}

fn keep_one(root: &Root, directory: &Path) -> io::Result<()> {
    let path = directory.join(FILE_NAME);
    if matches!(read(&path), Ok(Some(kept)) if kept == *root) {
        return Ok(());
    }
    private_file::write(directory, FILE_NAME, &serde_json::to_vec(root)?)
}

fn is_newer(root: &Root, than: &Root) -> bool {
    root.created_unix_millis > than.created_unix_millis
}

fn read(path: &Path) -> Result<Option<Root>, CredentialsError> {
    let bytes = private_file::read(path).map_err(|source| CredentialsError::File {
        path: path.to_owned(),
        source,
    })?;
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    let damaged = |_| CredentialsError::Damaged {
        path: path.to_owned(),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

pub(crate) fn value_or_file(
    variable: &impl Fn(&str) -> Option<String>,
    name: &'static str,
) -> Result<Option<String>, CredentialsError> {
    let file = variable(&format!("{name}_FILE"));
    match (variable(name), file) {
        (Some(_), Some(_)) => Err(CredentialsError::SetTwice(name)),
        (value, None) => Ok(value),
        (None, Some(path)) => {
            let path = PathBuf::from(path);
            let read = fs::read_to_string(&path);
            let text = read.map_err(|source| CredentialsError::File { path, source })?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
    }
}

/// Whether somebody may sign under this name.
pub(crate) fn is_access_key(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'/' && b != b',' && b != b'=';
    (3..=MAX_ACCESS_KEY_CHARS).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether a secret is long enough.
pub(crate) fn is_secret_key(text: &str) -> bool {
    text.len() >= MIN_SECRET_CHARS
}

fn check(access_key: &str, secret_key: &str) -> Result<(), CredentialsError> {
    if !is_access_key(access_key) {
        let reason = "must be 3 to 128 printable characters without `/`, `,` and `=`";
        return Err(CredentialsError::Invalid(ACCESS_KEY, reason));
    }
    if !is_secret_key(secret_key) {
        return Err(CredentialsError::Invalid(
            SECRET_KEY,
            "must be at least 8 characters",
        ));
    }
    Ok(())
}

/// `count` characters of `alphabet`, whose length divides 2^64: each is as likely.
fn characters(rng: &dyn Rng, alphabet: &[u8], count: usize) -> String {
    let pick = |_| {
        let index = rng.next_u64() % (alphabet.len() as u64);
        char::from(alphabet[usize::try_from(index).unwrap_or(0)])
    };
    (0..count).map(pick).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use larder_storage::rng::SeededRng;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_directory_that_does_not_answer_is_passed_over() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths: Vec<_> = dirs.iter().map(|d| d.path().to_owned()).collect();
        let root = make_up(&SeededRng::new(1), 1);
        keep(&root, &paths[1..], LONG).unwrap();
        // Opening a pipe waits for who writes into it: for ever.
        let pipe = paths[0].join(FILE_NAME);
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let found = kept(&paths, Duration::from_millis(50)).unwrap().unwrap();
        assert_eq!(found, (root.clone(), paths[1].join(FILE_NAME)));
        keep(&root, &paths, Duration::from_secs(1)).unwrap();
    }

    fn environment(
        pairs: &'static [(&'static str, &'static str)],
    ) -> impl Fn(&str) -> Option<String> {
        move |name| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        }
    }

    #[test]
    fn a_pair_of_the_environment_is_taken() {
        let root = from_environment(environment(&[
            (ACCESS_KEY, "admin"),
            (SECRET_KEY, "12345678"),
        ]));
        assert_eq!(root.unwrap().unwrap().access_key, "admin");
        assert_eq!(from_environment(environment(&[])).unwrap(), None);
    }

    #[test]
    fn half_a_pair_or_a_bad_one_is_refused() {
        assert!(from_environment(environment(&[(ACCESS_KEY, "admin")])).is_err());
        assert!(from_environment(environment(&[(SECRET_KEY, "12345678")])).is_err());
        assert!(
            from_environment(environment(&[
                (ACCESS_KEY, "a/b"),
                (SECRET_KEY, "12345678")
            ]))
            .is_err()
        );
        assert!(
            from_environment(environment(&[(ACCESS_KEY, "admin"), (SECRET_KEY, "123")])).is_err()
        );
    }

    #[test]
    fn a_token_for_metrics_is_taken_or_refused_never_ignored() {
        let token =
            |value| metrics_token(move |name| (name == METRICS_TOKEN).then(|| String::from(value)));
        assert_eq!(
            token("t0ken-of-prometheus").unwrap().unwrap(),
            "t0ken-of-prometheus"
        );
        assert!(token("").is_err() && token("short").is_err() && token("with a space").is_err());
        assert_eq!(metrics_token(|_| None).unwrap(), None);
    }

    #[test]
    fn made_up_pairs_are_kept_privately_on_each_disk_and_the_newest_wins() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths: Vec<_> = dirs.iter().map(|d| d.path().to_owned()).collect();
        let old = make_up(&SeededRng::new(1), 1);
        let new = make_up(&SeededRng::new(2), 2);
        keep(&old, &paths, LONG).unwrap();
        keep(&new, &paths[1..], LONG).unwrap();
        let (root, path) = kept(&paths, LONG).unwrap().unwrap();
        assert_eq!(
            (root, path.as_path()),
            (new.clone(), paths[1].join(FILE_NAME).as_path())
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::write(&path, b"{").unwrap();
        assert_eq!(kept(&paths, LONG).unwrap().unwrap().0, old);
        assert!(kept(&paths[1..], LONG).is_err());
    }

    #[test]
    fn the_secret_is_in_no_debug_text() {
        let root = make_up(&SeededRng::new(3), 1);
        assert_eq!((root.access_key.len(), root.secret_key.len()), (20, 40));
        assert!(!format!("{root:?}").contains(&root.secret_key));
    }
}
