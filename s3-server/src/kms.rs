//! Keys that requests call by name (SSE-KMS), and who holds them: the master keys (`aws/s3`, where no other key is the default), a file of named keys, or
//! the transit engine of a Vault or `OpenBao`.
//!
//! A named key never encrypts objects: it wraps a *wrapping key* of 256 random bits, which seals the data key of one object or, as a *bucket key*, those
//! of all objects that one bucket gets within a few minutes. What the transit engine has unwrapped as a bucket key is remembered for as long, so that
//! not each request asks it.
//!
//! Invariants: keys and the token are in no `Debug` text, log line, error or answer; what is remembered is bounded in number and time.

mod cache;
mod error;
mod local;
mod names;
mod transit;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use http::Uri;
use larder_storage::clock::Clock;
use zeroize::Zeroizing;

use crate::{
    keyring::{KeyId, Keyring, KeyringError},
    watched::{LOOK_EVERY, WatchedFiles},
};
use cache::Cache;
pub(crate) use error::KmsError;
pub use error::KmsSetupError;
use local::{Local, NamedKeys};
pub(crate) use names::Asked;
use transit::Transit;

/// Bytes of a wrapping key.
const KEY_BYTES: usize = 32;
/// The key of whoever names none, where none is set.
const MANAGED: &str = "aws/s3";

/// A wrapping key in the clear.
pub(crate) type WrappingKey = Zeroizing<[u8; KEY_BYTES]>;

/// What named keys there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KmsSettings {
    /// Lines `name:base64`.
    pub keys_file: Option<PathBuf>,
    /// The key of whoever names none.
    pub default_key: Option<String>,
    /// Vault or `OpenBao`.
    pub transit: Option<TransitSettings>,
}

/// How a transit engine is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitSettings {
    /// Where the server is.
    pub url: Uri,
    /// Where the engine is mounted.
    pub mount: String,
    /// The namespace that it is in.
    pub namespace: Option<String>,
    /// A file with the token; read again when it changes.
    pub token_file: PathBuf,
    /// Authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Who holds a key. The numbers stand in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// The server's master keys.
    Master = 1,
    /// The file of named keys.
    File = 2,
    /// The transit engine.
    Transit = 3,
}

impl Holder {
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Master, Self::File, Self::Transit]
            .into_iter()
            .find(|holder| *holder as u8 == code)
    }
}

/// A key, found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) holder: Holder,
    pub(crate) name: String,
}

/// A new wrapping key.
pub(crate) struct Wrapped {
    pub(crate) key: WrappingKey,
    /// The same, wrapped by the named key.
    pub(crate) wrapped: Vec<u8>,
}

/// All named keys.
pub struct Kms {
    local: Local,
    transit: Option<Transit>,
    default: Option<KeyId>,
    region: String,
    cache: Cache,
    clock: Arc<dyn Clock>,
    /// Files that are read again when they change.
    files: Vec<PathBuf>,
}

impl fmt::Debug for Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kms")
            .field("has_transit", &self.transit.is_some())
            .finish_non_exhaustive()
    }
}

impl Kms {
    /// Reads the files of `settings` for the first time. Blocks.
    ///
    /// # Errors
    /// [`KmsSetupError`]: the operator corrects what it names.
    pub fn open(
        settings: KmsSettings,
        region: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KmsSetupError> {
        let files = [
            settings.keys_file.clone(),
            settings.transit.as_ref().map(|t| t.token_file.clone()),
        ];
        let local = Local::open(settings.keys_file)?;
        let transit = settings
            .transit
            .map(|settings| Transit::open(settings, Arc::clone(&clock)))
            .transpose()?;
        let default = settings.default_key.map(|name| {
            let key: Result<KeyId, ()> = name.parse();
            key.map_err(|()| KmsSetupError::DefaultName(name))
        });
        let default = default.transpose()?;
        if let Some(default) = &default
            && transit.is_none()
            && !local.now().has(default)
        {
            return Err(KmsSetupError::NoDefault(default.to_string()));
        }
        Ok(Self {
            local,
            transit,
            default,
            region: region.to_owned(),
            cache: Cache::default(),
            clock,
            files: files.into_iter().flatten().collect(),
        })
    }

    /// Reads its files again whenever they have changed, for ever. A state of them that can't be used is logged, and what was read before stays.
    pub async fn watch(self: Arc<Self>) {
        let mut watched = WatchedFiles::new(self.files.clone());
        while !self.files.is_empty() {
            let this = Arc::clone(&self);
            let look = move || {
                let is_other = watched.has_changed();
                if is_other {
                    this.read_again();
                }
                watched
            };
            let Ok(back) = tokio::task::spawn_blocking(look).await else {
                return;
            };
            watched = back;
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    fn read_again(&self) {
        if let Err(error) = self.local.read() {
            tracing::warn!("{error}; the named keys stay as they were");
        }
        if let Some(Err(error)) = self.transit.as_ref().map(Transit::read_token) {
            tracing::warn!("{error}; the token stays as it was");
        }
    }

    /// The key that a request, or a bucket, asks for.
    ///
    /// # Errors
    /// [`KmsError::NotFound`].
    pub(crate) fn key(&self, asked: Option<&str>) -> Result<Key, KmsError> {
        let asked = asked.map_or(Ok(Asked::Default), |text| Asked::parse(text, &self.region))?;
        let name = match (asked, &self.default) {
            (Asked::Named(name), _) => name,
            (Asked::Default, Some(default)) => default.clone(),
            (Asked::Default, None) => {
                return Ok(Key {
                    holder: Holder::Master,
                    name: MANAGED.to_owned(),
                });
            }
        };
        let holder = if self.local.now().has(&name) {
            Holder::File
        } else if self.transit.is_some() {
            Holder::Transit
        } else {
            return Err(KmsError::NotFound(self.arn_of(name.as_str())));
        };
        let name = name.to_string();
        Ok(Key { holder, name })
    }

    /// What answers call a key.
    pub(crate) fn arn(&self, key: &Key) -> String {
        self.arn_of(&key.name)
    }

    fn arn_of(&self, name: &str) -> String {
        names::arn(&self.region, name)
    }

    /// A new wrapping key, or where it `is_shared` the one of the last few minutes with the same `context`, which has the bucket's name in it.
    ///
    /// # Errors
    /// [`KmsError`].
    pub(crate) async fn wrap(
        &self,
        key: &Key,
        context: &[u8],
        is_shared: bool,
        ring: &Keyring,
    ) -> Result<Wrapped, KmsError> {
        let now = self.clock.monotonic();
        let is_remembered = is_shared && key.holder == Holder::Transit;
        if is_remembered && let Some(found) = self.cache.latest(key, context, now) {
            return Ok(found);
        }
        let mut fresh: WrappingKey = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut *fresh).map_err(|_| KmsError::failed())?;
        let wrapped = match key.holder {
            Holder::Master => ring.seal(&local::context(&key.name, context), &*fresh)?,
            Holder::File => self.named().seal(key, context, &*fresh, &self.region)?,
            Holder::Transit => {
                let wrapped = self.transit(key)?.encrypt(&key.name, context, &*fresh);
                wrapped.await.map_err(|error| error.of(&self.arn(key)))?
            }
        };
        if is_remembered {
            self.cache.remember(key, context, &wrapped, &fresh, now);
        }
        Ok(Wrapped {
            key: fresh,
            wrapped,
        })
    }

    /// The wrapping key again.
    ///
    /// # Errors
    /// [`KmsError`].
    pub(crate) async fn unwrap(
        &self,
        key: &Key,
        context: &[u8],
        (wrapped, is_shared): (&[u8], bool),
        ring: &Keyring,
    ) -> Result<WrappingKey, KmsError> {
        let now = self.clock.monotonic();
        let is_remembered = is_shared && key.holder == Holder::Transit;
        if is_remembered && let Some(found) = self.cache.of_wrapped(key, context, wrapped, now) {
            return Ok(found);
        }
        let opened = match key.holder {
            Holder::Master => ring.open(&local::context(&key.name, context), wrapped)?,
            Holder::File => self.named().open(key, context, wrapped, &self.region)?,
            Holder::Transit => {
                let opened = self.transit(key)?.decrypt(&key.name, context, wrapped);
                opened.await.map_err(|error| error.of(&self.arn(key)))?
            }
        };
        let mut plain: WrappingKey = Zeroizing::new([0; KEY_BYTES]);
        if opened.len() != plain.len() {
            return Err(KmsError::Refused(self.arn(key)));
        }
        plain.copy_from_slice(&opened);
        if is_remembered {
            self.cache
                .remember_opened(key, context, wrapped, &plain, now);
        }
        Ok(plain)
    }

    /// A wrapping key wrapped by the newest version of its key; `None` where it is, and where that is not this server's matter.
    ///
    /// # Errors
    /// [`KmsError`]: what a master key wrapped does not open.
    pub(crate) fn rewrap(
        &self,
        key: &Key,
        context: &[u8],
        wrapped: &[u8],
        ring: &Keyring,
    ) -> Result<Option<Vec<u8>>, KmsError> {
        let context = local::context(&key.name, context);
        let named = self.named();
        let ring = match key.holder {
            Holder::Master => ring,
            // What was wrapped by a key that is gone, or disabled, is to stay so.
            Holder::File => match named.ring(key, &self.region) {
                Ok(ring) => ring,
                Err(_) => return Ok(None),
            },
            Holder::Transit => return Ok(None),
        };
        if ring.is_current(wrapped) {
            return Ok(None);
        }
        match (ring.open(&context, wrapped), key.holder) {
            (Ok(plain), _) => Ok(Some(ring.seal(&context, &plain)?)),
            (Err(KeyringError::UnknownKey { .. }), Holder::File) => Ok(None),
            (Err(error), _) => Err(error.into()),
        }
    }

    fn named(&self) -> Arc<NamedKeys> {
        self.local.now()
    }

    fn transit(&self, key: &Key) -> Result<&Transit, KmsError> {
        let transit = self.transit.as_ref();
        transit.ok_or_else(|| KmsError::NotFound(self.arn(key)))
    }
}

#[cfg(test)]
mod tests;
