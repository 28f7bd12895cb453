//! Wrapping anew: all that master keys sealed is sealed by the one that seals now, so that the others can be taken away.
//!
//! A pass seals the secrets of accounts and of users' access keys anew, then goes through all objects, versions and uploads
//! ([`Store::reseal_step`]). What it encrypts is only their data keys, so no object is read or encrypted again; it rests as its [`Pace`] says, remembers where it is
//! twice a minute, and goes on from there after a restart. If nothing failed, the proofs of the other master keys are forgotten at its end: a start without
//! them is no longer refused.
//!
//! Wrapping keys that named keys of the file wrapped are wrapped anew with them, by the first line of their name.
//!
//! Invariant: a proof is forgotten only after a pass that met everything, and while no key but the first seals.

use std::{sync::Arc, time::Duration};

use larder_storage::{
    objects::{
        BucketName, ObjectKey, Reseal, ResealMemory, ResealPass, Resealed, Store, StoreError,
    },
    upkeep::{Pace, PaceSettings},
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    accounts,
    app::App,
    error::S3Error,
    iam::{self, IamError},
    keyring::Keyring,
    kms::Kms,
    op,
};

/// How fast it goes.
const PACE: PaceSettings = PaceSettings {
    share_percent: 25,
    max_bytes_per_second: None,
};
const SAVE_EVERY: Duration = Duration::from_secs(30);
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Why a pass does not go on for now.
#[derive(Debug, thiserror::Error)]
enum RewrapError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Iam(IamError),
    #[error("{0}")]
    Closed(S3Error),
}

/// Passes, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Rewrap {
    state: Mutex<State>,
    saving: tokio::sync::Mutex<()>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    memory: ResealMemory,
    saved_at: Duration,
    secrets: u64,
    secrets_failed: u64,
    last_error: Option<String>,
}

/// How it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct RewrapStatus {
    pub(crate) memory: ResealMemory,
    /// Secrets of accounts and users that were sealed anew since the start.
    pub(crate) secrets: u64,
    /// Secrets that did not open in the last pass.
    pub(crate) secrets_failed: u64,
    pub(crate) last_error: Option<String>,
}

/// What wraps data keys anew.
struct Wrapper<'a> {
    ring: &'a Keyring,
    kms: &'a Kms,
}

impl Reseal for Wrapper<'_> {
    fn reseal(&self, bucket: &BucketName, key: &ObjectKey, envelope: &[u8]) -> Resealed {
        op::rewrapped((bucket, key), envelope, self.ring, self.kms)
    }
}

impl Rewrap {
    /// Begins a pass, unless one is under way for the key that seals now. On `Ok` it is written down, and goes on after a crash.
    pub(crate) async fn start(&self, app: &App) -> Result<(), S3Error> {
        self.begin(app)?;
        self.save(app, app.store()?).await?;
        self.wake.notify_one();
        Ok(())
    }

    fn begin(&self, app: &App) -> Result<(), S3Error> {
        let target = app.keyring()?.sealing_id().to_string();
        {
            let mut state = self.state.lock();
            let pass = &mut state.memory.pass;
            if pass.as_ref().is_none_or(|pass| pass.target != target) {
                *pass = Some(ResealPass {
                    target,
                    ..ResealPass::default()
                });
                state.memory.started_unix_millis = app.clock.unix_millis();
            }
        }
        Ok(())
    }

    /// How it stands. Reads nothing but what is in memory.
    pub(crate) fn status(&self) -> RewrapStatus {
        let state = self.state.lock();
        RewrapStatus {
            memory: state.memory.clone(),
            secrets: state.secrets,
            secrets_failed: state.secrets_failed,
            last_error: state.last_error.clone(),
        }
    }

    /// Reads what was remembered. To be called before the first [`Rewrap::start`].
    pub(crate) async fn recall(&self, store: &Store) -> Result<(), StoreError> {
        let memory = store.reseal_memory().await?.unwrap_or_default();
        self.state.lock().memory = memory;
        Ok(())
    }

    /// Makes passes when they are asked for, and goes on with the one that a restart interrupted, for ever.
    pub(crate) async fn run(&self, app: &App) {
        loop {
            match self.work(app).await {
                Ok(()) => self.wake.notified().await,
                Err(error) => {
                    tracing::warn!(%error, "wrapping keys anew is interrupted, and goes on soon");
                    self.state.lock().last_error = Some(error.to_string());
                    app.clock.sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    async fn work(&self, app: &App) -> Result<(), RewrapError> {
        let (store, ring) = (
            app.store().map_err(RewrapError::Closed)?,
            app.keyring().map_err(RewrapError::Closed)?,
        );
        if self.under_way().is_none() {
            return Ok(());
        }
        let target = ring.sealing_id().to_string();
        if self.under_way().is_some_and(|pass| pass.target != target) {
            // The keys changed at a restart in the middle of a pass.
            self.begin(app).map_err(RewrapError::Closed)?;
        }
        self.save(app, store).await?;
        self.secrets(app, store).await?;
        let (load, clock) = (Arc::clone(store.load()), Arc::clone(&app.clock));
        let (pace, kms) = (Pace::new(clock, load, PACE), &app.kms);
        let wrapper = Wrapper { ring, kms };
        while let Some(pass) = self.under_way() {
            let step = store.reseal_step(&pass.place, &wrapper, &pace);
            let (done, next) = step.await?;
            let is_over = next.is_none();
            {
                let mut state = self.state.lock();
                if let Some(pass) = &mut state.memory.pass {
                    pass.tally.add(done);
                    pass.place = next.unwrap_or_default();
                }
            }
            if is_over {
                return self.finish(app, store, ring).await;
            }
            self.save_now_and_then(app, store).await?;
        }
        Ok(())
    }

    fn under_way(&self) -> Option<ResealPass> {
        self.state.lock().memory.pass.clone()
    }

    /// Seals secrets anew; those that don't open are counted.
    async fn secrets(&self, app: &App, store: &Store) -> Result<(), RewrapError> {
        let ring = app.keyring().map_err(RewrapError::Closed)?;
        let (mut done, mut failed) = (0, 0);
        {
            let _changing = app.accounts.changing().await;
            for account in store.accounts().await? {
                match accounts::resealed(&account, ring) {
                    Ok(None) => {}
                    Ok(Some(secret)) => {
                        store
                            .reseal_account(account.id, &account.secret, &secret)
                            .await?;
                        done += 1;
                    }
                    Err(_) => failed += 1,
                }
            }
        }
        self.state.lock().secrets += done;
        let keys = iam::reseal_keys(&app.directory, store, ring).await;
        let (keys, keys_failed) = keys.map_err(RewrapError::Iam)?;
        let mut state = self.state.lock();
        state.secrets += keys;
        state.secrets_failed = failed + keys_failed;
        Ok(())
    }

    /// The end of a pass.
    async fn finish(&self, app: &App, store: &Store, ring: &Keyring) -> Result<(), RewrapError> {
        let (tally, secrets_failed) = {
            let state = self.state.lock();
            let pass = state.memory.pass.as_ref();
            (
                pass.map(|pass| pass.tally).unwrap_or_default(),
                state.secrets_failed,
            )
        };
        if tally.failed + secrets_failed == 0 {
            let sealing = ring.sealing_id();
            for check in store.key_checks().await? {
                if check.id != sealing.as_str() {
                    store.forget_key_check(&check.id).await?;
                    tracing::info!(
                        key = check.id,
                        "this master key seals nothing any more: it may be taken away"
                    );
                }
            }
        } else {
            tracing::warn!(
                objects = tally.failed,
                secrets = secrets_failed,
                "what master keys sealed does not open, or can't be read now: all keys stay needed"
            );
        }
        {
            let mut state = self.state.lock();
            state.memory.last = tally;
            state.memory.ended_unix_millis = app.clock.unix_millis();
            state.memory.pass = None;
            state.last_error = None;
        }
        Ok(self.save(app, store).await?)
    }

    async fn save_now_and_then(&self, app: &App, store: &Store) -> Result<(), RewrapError> {
        let age = app
            .clock
            .monotonic()
            .saturating_sub(self.state.lock().saved_at);
        if age >= SAVE_EVERY {
            self.save(app, store).await?;
        }
        Ok(())
    }

    async fn save(&self, app: &App, store: &Store) -> Result<(), StoreError> {
        // What is written last must be what was true last.
        let _saving = self.saving.lock().await;
        let memory = {
            let mut state = self.state.lock();
            state.saved_at = app.clock.monotonic();
            state.memory.clone()
        };
        store.remember_reseal(&memory).await
    }
}
