//! Lifecycle: what expires, by the rules that a bucket has.
//!
//! `rules` says what they mean, `codec` keeps them as a document of the bucket, `expire` finds what is due and takes it away. When that
//! happens is upkeep's matter ([`crate::upkeep::Lifecycles`]).
//!
//! Invariants: what expires does so by a commit with preconditions on all that was looked at, so whoever changes an object, a version or
//! the rules first wins; nothing that is locked expires.

mod codec;
mod expire;
mod rules;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub(crate) use expire::{Expired, Place};
pub(crate) use rules::Calendar;
pub use rules::{
    Expiration, FilterForm, Lifecycle, LifecycleFilter, LifecycleRule, NoncurrentExpiration,
};

use rules::Subject;

use super::{
    BucketName, DocumentKind, ObjectKey, Store, StoreError, Tags, bucket::OpenBucket,
    record::RecordError,
};

/// What expires when, for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// When, milliseconds since the Unix epoch.
    pub unix_millis: u64,
    /// The rule that says so.
    pub rule: String,
}

impl Store {
    /// How long a day of the rules is. Default 24 hours; shorter is for those who try rules out, and expires data accordingly.
    pub fn set_lifecycle_day(&self, day: Duration) {
        self.inner.lifecycle.set_day(day);
    }

    /// The rules of a bucket; `None` if it has none.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn lifecycle(
        &self,
        bucket: &BucketName,
    ) -> Result<Option<Arc<Lifecycle>>, StoreError> {
        let document = self.document(bucket, DocumentKind::Lifecycle).await?;
        let Some(document) = document else {
            return Ok(None);
        };
        let parsed: Arc<Result<Arc<Lifecycle>, RecordError>> =
            document.parsed(|bytes| Lifecycle::decode(bytes).map(Arc::new));
        match &*parsed {
            Ok(lifecycle) => Ok(Some(Arc::clone(lifecycle))),
            Err(error) => Err((*error).into()),
        }
    }

    /// Sets the rules of a bucket, or removes them. Durable when it returns. What is due already expires soon.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; [`StoreError::MetadataTooLarge`].
    pub async fn set_lifecycle(
        &self,
        bucket: &BucketName,
        lifecycle: Option<&Lifecycle>,
    ) -> Result<(), StoreError> {
        let bytes = lifecycle.map(Lifecycle::encode);
        self.set_document(bucket, DocumentKind::Lifecycle, bytes.as_deref())
            .await?;
        self.inner.lifecycle.changed();
        Ok(())
    }

    /// When the current version of an object expires, if it does.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn expiry(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        (size, modified_unix_millis): (u64, u64),
        tags: &Tags,
    ) -> Result<Option<Expiry>, StoreError> {
        let Some(lifecycle) = self.lifecycle(bucket).await? else {
            return Ok(None);
        };
        let subject = Subject {
            key: key.as_str(),
            size,
            tags: &tags.0,
        };
        let calendar = self.inner.lifecycle.calendar();
        let expiry = lifecycle.expiry(calendar, &subject, modified_unix_millis);
        Ok(expiry.map(Expiry::of))
    }

    /// When an upload is given up, if it is not completed before.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn upload_expiry(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        initiated_unix_millis: u64,
    ) -> Result<Option<Expiry>, StoreError> {
        let Some(lifecycle) = self.lifecycle(bucket).await? else {
            return Ok(None);
        };
        let calendar = self.inner.lifecycle.calendar();
        let expiry = lifecycle.upload_expiry(calendar, key.as_str(), initiated_unix_millis);
        Ok(expiry.map(Expiry::of))
    }

    /// Days as the rules of this store count them.
    pub(crate) fn calendar(&self) -> Calendar {
        self.inner.lifecycle.calendar()
    }

    /// Grows whenever rules are set.
    pub(crate) fn lifecycle_changes(&self) -> u64 {
        self.inner.lifecycle.changes()
    }

    /// A bucket and its rules, if it has any, as they are now. Counts as nobody's request.
    async fn ruled(&self, name: &BucketName) -> Result<Option<Ruled>, StoreError> {
        let bucket = self.read_bucket(name).await?;
        let Some(bytes) = self.document_of(&bucket, DocumentKind::Lifecycle).await? else {
            return Ok(None);
        };
        let lifecycle = Lifecycle::decode(&bytes)?;
        Ok(Some(Ruled {
            bucket,
            lifecycle,
            calendar: self.calendar(),
            now: self.now(),
        }))
    }
}

/// A bucket whose rules are applied.
#[derive(Debug)]
struct Ruled {
    bucket: OpenBucket,
    lifecycle: Lifecycle,
    calendar: Calendar,
    now: u64,
}

impl Expiry {
    fn of((unix_millis, rule): (u64, &LifecycleRule)) -> Self {
        Self {
            unix_millis,
            rule: rule.id.clone(),
        }
    }
}

/// What a store keeps of lifecycles in memory.
#[derive(Debug)]
pub(super) struct LifecycleState {
    day_millis: AtomicU64,
    changes: AtomicU64,
}

impl Default for LifecycleState {
    fn default() -> Self {
        Self {
            day_millis: AtomicU64::new(millis(Duration::from_hours(24))),
            changes: AtomicU64::new(0),
        }
    }
}

impl LifecycleState {
    fn set_day(&self, day: Duration) {
        self.day_millis.store(millis(day), Ordering::Relaxed);
    }

    fn calendar(&self) -> Calendar {
        Calendar::new(self.day_millis.load(Ordering::Relaxed))
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
