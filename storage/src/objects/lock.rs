//! Object lock: what protects versions from being deleted, in buckets that have it.
//!
//! A lock stands in the record of its version. Whatever takes a version away reads that record, asks [`Store::check_removable`], and commits
//! on the condition that the record is still the one that it read; and so does a change of the lock. So one of the two comes first,
//! and the other sees it.
//!
//! Invariants: a bucket that has object lock keeps it, and keeps versions; what is retained for compliance ends no earlier than it says.

use super::{
    BucketLock, BucketName, ObjectKey, ObjectLock, Retention, RetentionMode, Store, StoreError,
    VersionId, Versioning, bucket::OpenBucket, lock_clock::draft_time_mark, record::ObjectRecord,
};

/// What governance means to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Governance {
    /// It holds.
    #[default]
    Heeded,
    /// It does not: whoever asks has the permission, and says so.
    Bypassed,
}

impl ObjectLock {
    /// Nothing was asked for.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a version with this lock may go at `now`.
    fn is_removable(&self, now: u64, governance: Governance) -> bool {
        let retention = self.retention.filter(|retention| retention.holds(now));
        self.legal_hold != Some(true)
            && retention.is_none_or(|retention| retention.yields(governance))
    }

    /// Whether the retention may be replaced by `new` at `now`: governed ones may be extended, compliant ones only that.
    fn may_become(&self, new: Option<Retention>, now: u64, governance: Governance) -> bool {
        let Some(old) = self.retention.filter(|old| old.holds(now)) else {
            return true;
        };
        let is_extended = new.is_some_and(|new| {
            new.mode == old.mode && new.until_unix_millis >= old.until_unix_millis
        });
        is_extended || old.yields(governance)
    }
}

impl Retention {
    fn holds(&self, now: u64) -> bool {
        now < self.until_unix_millis
    }

    fn yields(&self, governance: Governance) -> bool {
        self.mode == RetentionMode::Governance && governance == Governance::Bypassed
    }
}

impl Store {
    /// Gives a bucket object lock, for ever, or changes what new versions get. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; [`StoreError::LockWithoutVersioning`].
    pub async fn set_bucket_lock(
        &self,
        name: &BucketName,
        lock: BucketLock,
    ) -> Result<(), StoreError> {
        let mark = self.lock_time().await?;
        self.change_bucket(name, |_, record, draft| {
            if record.versioning != Versioning::Enabled {
                return Err(StoreError::LockWithoutVersioning);
            }
            record.lock = Some(lock);
            draft_time_mark(draft, mark);
            Ok(true)
        })
        .await?;
        self.time_is_marked(mark);
        Ok(())
    }

    /// Whether an object with this lock can be written into a bucket now, and whether it would be locked: for looking before a body is
    /// taken.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoObjectLock`], [`StoreError::RetentionInPast`].
    pub async fn check_lock(
        &self,
        bucket: &BucketName,
        lock: &ObjectLock,
    ) -> Result<bool, StoreError> {
        let bucket = self.open_bucket(bucket).await?;
        if let Some(retention) = lock.retention {
            self.check_future(retention).await?;
        }
        match bucket.lock() {
            None if !lock.is_none() => Err(StoreError::NoObjectLock),
            of_bucket => Ok(locks_new(of_bucket, lock)),
        }
    }

    /// Whether an object for which this lock was asked once would be locked if it were written now.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn is_locked_when_new(
        &self,
        bucket: &BucketName,
        lock: &ObjectLock,
    ) -> Result<bool, StoreError> {
        Ok(locks_new(self.open_bucket(bucket).await?.lock(), lock))
    }

    async fn check_future(&self, retention: Retention) -> Result<(), StoreError> {
        if retention.until_unix_millis <= self.lock_time().await? {
            return Err(StoreError::RetentionInPast);
        }
        Ok(())
    }

    /// The lock of a version that is written to `bucket` now: what was asked for, and the bucket's where nothing was.
    pub(super) async fn lock_of_new(
        &self,
        bucket: &OpenBucket,
        asked: ObjectLock,
    ) -> Result<ObjectLock, StoreError> {
        let Some(of_bucket) = bucket.lock() else {
            return if asked.is_none() {
                Ok(asked)
            } else {
                Err(StoreError::NoObjectLock)
            };
        };
        match (asked.retention, of_bucket.default_retention) {
            (None, Some(default)) => Ok(ObjectLock {
                retention: Some(default.from(self.lock_time().await?)),
                ..asked
            }),
            _ => Ok(asked),
        }
    }

    /// Changes until when a version is retained; `None` ends it. Atomic and durable as [`Store::put_object`].
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchKey`], [`StoreError::NoSuchVersion`], [`StoreError::DeleteMarker`];
    /// [`StoreError::NoObjectLock`], [`StoreError::RetentionInPast`]; [`StoreError::Locked`]: the present retention forbids it.
    pub async fn set_retention(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        retention: Option<Retention>,
        governance: Governance,
    ) -> Result<(), StoreError> {
        self.check_has_lock(bucket).await?;
        if let Some(retention) = retention {
            self.check_future(retention).await?;
        }
        let changed = self.modify_object(bucket, key, version, None, |found| {
            let lock = &mut found.record.lock;
            if !lock.may_become(retention, self.now(), governance) {
                return Err(StoreError::Locked);
            }
            lock.retention = retention;
            Ok(())
        });
        changed.await.map(drop)
    }

    /// Holds a version, or releases it. Atomic and durable as [`Store::put_object`].
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchKey`], [`StoreError::NoSuchVersion`], [`StoreError::DeleteMarker`];
    /// [`StoreError::NoObjectLock`].
    pub async fn set_legal_hold(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        is_held: bool,
    ) -> Result<(), StoreError> {
        self.check_has_lock(bucket).await?;
        let changed = self.modify_object(bucket, key, version, None, |found| {
            found.record.lock.legal_hold = Some(is_held);
            Ok(())
        });
        changed.await.map(drop)
    }

    async fn check_has_lock(&self, bucket: &BucketName) -> Result<(), StoreError> {
        let lock = self.open_bucket(bucket).await?.lock();
        lock.map(drop).ok_or(StoreError::NoObjectLock)
    }

    /// Whether a version, whose record was read, may go for good. The commit that takes it away must have a precondition on that record.
    ///
    /// # Errors
    /// [`StoreError::Locked`].
    pub(super) fn check_removable(
        &self,
        record: &ObjectRecord,
        governance: Governance,
    ) -> Result<(), StoreError> {
        if record.lock.is_none() || record.lock.is_removable(self.now(), governance) {
            return Ok(());
        }
        Err(StoreError::Locked)
    }
}

fn locks_new(of_bucket: Option<BucketLock>, asked: &ObjectLock) -> bool {
    !asked.is_none() || of_bucket.is_some_and(|lock| lock.default_retention.is_some())
}
