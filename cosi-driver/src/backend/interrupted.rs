//! A backend that stops after a number of operations, to find out what a crash at that point leaves behind. For tests.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio::sync::Notify;

use super::{
    AccessKey, Backend, BackendError, BackendResult, Caller, Configuration, DeleteFailure, Held,
    IdentityKind, ListedBucket, ListedIdentity, NewBucket, NewIdentity, ObjectVersion, Setting,
    StoredIdentity, Tags, Upload, UploadPage, VersionPage,
};
use crate::provision::KeyPair;

/// What happens once the operation is done on the server, and before anybody learns of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Its answer is lost: [`BackendError::Unavailable`]; what comes after it works again.
    Fail,
    /// Its answer never comes, nor does any after it. [`Interrupted::stopped`] ends then; whoever waits for an answer is to be dropped.
    Stop,
    /// The process ends, without any ceremony.
    Abort,
}

/// A backend that is interrupted once.
#[derive(Debug)]
pub struct Interrupted {
    inner: Arc<dyn Backend>,
    interruption: Interruption,
    /// Operations that are still answered.
    left: AtomicU64,
    done: AtomicU64,
    stopped: Notify,
}

impl Interrupted {
    /// `inner`, interrupted after its `nth` operation, counted from 1; never for 0.
    pub fn after(inner: Arc<dyn Backend>, nth: u64, interruption: Interruption) -> Self {
        Self {
            inner,
            interruption,
            left: AtomicU64::new(if nth == 0 { u64::MAX } else { nth }),
            done: AtomicU64::new(0),
            stopped: Notify::new(),
        }
    }

    /// Operations that were done so far.
    pub fn operations(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// Waits until it has stopped.
    pub async fn stopped(&self) {
        self.stopped.notified().await;
    }

    /// Called when an operation is done.
    async fn pass<T>(&self, answer: BackendResult<T>) -> BackendResult<T> {
        self.done.fetch_add(1, Ordering::AcqRel);
        // Others may come between any two operations.
        tokio::task::yield_now().await;
        let less = |left: u64| Some(left.saturating_sub(1));
        let left = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        match (left.unwrap_or_default(), self.interruption) {
            (1, Interruption::Fail) => {
                let lost = "the answer is lost, as the test wants it";
                Err(BackendError::Unavailable(lost.to_owned()))
            }
            (2.., _) | (_, Interruption::Fail) => answer,
            (_, Interruption::Stop) => {
                self.stopped.notify_one();
                pending().await
            }
            (_, Interruption::Abort) => std::process::abort(),
        }
    }
}

macro_rules! pass_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Backend for Interrupted {
            $(async fn $name(&self, $($argument: $type),*) -> BackendResult<$answer> {
                let answer = self.inner.$name($($argument),*).await;
                self.pass(answer).await
            })+
        }
    };
}

pass_on! {
    caller() -> Caller;
    date() -> Option<OffsetDateTime>;
    create_bucket(bucket: &str, new: &NewBucket) -> ();
    list_buckets(prefix: &str) -> Vec<ListedBucket>;
    delete_bucket(bucket: &str) -> ();
    bucket_tags(bucket: &str) -> Tags;
    put_bucket_tags(bucket: &str, tags: &Tags) -> ();
    configure(bucket: &str, setting: &Setting) -> ();
    configuration(bucket: &str) -> Configuration;
    bucket_policy(bucket: &str) -> Option<String>;
    put_bucket_policy(bucket: &str, policy: Option<&str>) -> ();
    list_versions(bucket: &str) -> VersionPage;
    delete_versions(bucket: &str, versions: &[ObjectVersion]) -> Vec<DeleteFailure>;
    held(bucket: &str, version: &ObjectVersion) -> Held;
    list_uploads(bucket: &str) -> UploadPage;
    abort_upload(bucket: &str, upload: &Upload) -> ();
    create_identity(kind: IdentityKind, new: &NewIdentity) -> StoredIdentity;
    identity(kind: IdentityKind, name: &str) -> Option<StoredIdentity>;
    list_identities(kind: IdentityKind, path: &str) -> Vec<ListedIdentity>;
    tag_identity(kind: IdentityKind, name: &str, tags: &Tags) -> ();
    untag_identity(kind: IdentityKind, name: &str, keys: &[&str]) -> ();
    delete_identity(kind: IdentityKind, name: &str) -> ();
    put_identity_policy(kind: IdentityKind, name: &str, policy: &str, document: &str) -> ();
    identity_policy(kind: IdentityKind, name: &str, policy: &str) -> Option<String>;
    delete_identity_policy(kind: IdentityKind, name: &str, policy: &str) -> ();
    create_access_key(user: &str, token: &str) -> KeyPair;
    access_keys(user: &str) -> Vec<AccessKey>;
    activate_access_key(user: &str, access_key: &str, is_active: bool) -> ();
    delete_access_key(user: &str, access_key: &str) -> ();
}
