//! Removing what commits have stopped referring to.
//!
//! Each task is a record under a `g` key, written in the commit that dropped the last reference. Order: first the extents go,
//! then the records that named them, last the task. A crash in between repeats what is left; every step may be repeated.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    Store, StoreError,
    commit::Draft,
    keys,
    pages::Pages,
    record::{GarbageRecord, Manifest, PartRecord, RecordError, UploadRecord},
};
use crate::{
    meta::{Entry, Revision},
    stripes::BlobPlacement,
};

/// Keys deleted in one commit.
const BATCH: usize = 60;
/// Pinned tasks that one sweep passes over before it stops: the next goes on where it stopped.
const MAX_PASSED_OVER: usize = 1000;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Tasks done.
    pub tasks: usize,
    /// Blobs whose extents were removed, those of parts included.
    pub blobs: usize,
    /// Records of parts deleted.
    pub parts: usize,
    /// Uploads given up because they were abandoned, or their bucket was deleted.
    pub uploads: usize,
    /// Tasks passed over because readers still need their data, or because they do not decode.
    pub waiting: usize,
    /// Whether the sweep stopped before the end of the tasks: call again soon.
    pub has_more: bool,
}

/// Where sweeps stand, in memory only.
#[derive(Debug, Default)]
pub(super) struct SweepState {
    /// Where the next one starts, if not at the beginning.
    cursor: Mutex<Option<Vec<u8>>>,
    /// When abandoned uploads were last looked for.
    looked_for_uploads: Mutex<Option<Duration>>,
    /// One sweep at a time.
    running: tokio::sync::Mutex<()>,
}

impl Store {
    /// Does up to `limit` garbage tasks, after looking for abandoned uploads if it is time. For a loop in the background.
    ///
    /// # Errors
    /// Those of the metadata engine. What was done stays done.
    pub async fn sweep_once(&self, limit: usize) -> Result<Swept, StoreError> {
        let _one_at_a_time = self.inner.sweep.running.lock().await;
        let mut swept = Swept::default();
        if self.is_time_for_uploads() {
            swept.uploads += self.drop_abandoned_uploads().await?;
        }
        self.sweep_tasks(limit, &mut swept).await?;
        Ok(swept)
    }

    async fn sweep_tasks(&self, limit: usize, swept: &mut Swept) -> Result<(), StoreError> {
        let (start, to) = keys::all_garbage();
        let from = self.inner.sweep.cursor.lock().take().unwrap_or(start);
        let mut pages = Pages::new(&*self.inner.meta, from, to, limit);
        let mut done = Vec::new();
        while let Some(entry) = pages.next().await? {
            if swept.tasks == limit || swept.waiting == MAX_PASSED_OVER {
                *self.inner.sweep.cursor.lock() = Some(entry.key.to_vec());
                swept.has_more = true;
                break;
            }
            if self.try_task(&entry, swept).await? {
                swept.tasks += 1;
                done.push(entry.key);
            } else {
                swept.waiting += 1;
            }
            if done.len() == BATCH {
                self.delete_all(std::mem::take(&mut done)).await?;
            }
        }
        self.delete_all(done).await
    }

    /// Does one task; `false` if it has to wait. Damaged records hold up no other task.
    async fn try_task(&self, entry: &Entry, swept: &mut Swept) -> Result<bool, StoreError> {
        match self.sweep_task(entry, swept).await {
            Err(StoreError::Record(error)) => {
                tracing::error!(%error, key = ?entry.key, "garbage task is left alone");
                Ok(false)
            }
            result => result,
        }
    }

    async fn sweep_task(&self, entry: &Entry, swept: &mut Swept) -> Result<bool, StoreError> {
        let task = GarbageRecord::decode(&entry.value)?;
        if task
            .pin_number()
            .is_some_and(|number| self.inner.pins.is_pinned(number))
        {
            return Ok(false);
        }
        match task {
            GarbageRecord::Blob(placement) => {
                let Some(_alone) = self.inner.healing.begin(placement.blob) else {
                    return Ok(false);
                };
                self.inner.pool.remove_blob(&placement).await;
                swept.blobs += 1;
            }
            GarbageRecord::Parts(upload) => return self.sweep_parts(upload, None, swept).await,
            GarbageRecord::UnusedParts(used) => {
                let upload = used.upload.number;
                return self.sweep_parts(upload, Some(&used), swept).await;
            }
            GarbageRecord::Uploads(bucket_id) => self.sweep_uploads(bucket_id, swept).await?,
            GarbageRecord::Strays(key, placement) => {
                return self.sweep_strays(&key, &placement).await;
            }
        }
        Ok(true)
    }

    /// Removes the parts of an upload but for those in `used`. False: one of them is being healed, or was moved meanwhile, so it must be
    /// done again.
    async fn sweep_parts(
        &self,
        upload: u64,
        used: Option<&Manifest>,
        swept: &mut Swept,
    ) -> Result<bool, StoreError> {
        let (from, to) = keys::parts(upload, 0);
        let mut pages = Pages::new(&*self.inner.meta, from, to, BATCH);
        let (mut batch, mut alone, mut all) = (Vec::new(), Vec::new(), true);
        while let Some(entry) = pages.next().await? {
            let number = keys::parse_part(&entry.key).ok_or(RecordError::BadKey)?;
            if used.is_some_and(|used| used.contains(number)) {
                continue;
            }
            let placement = PartRecord::decode(&entry.value)?.placement;
            if let Some(placement) = placement.filter(BlobPlacement::is_extents) {
                let Some(healing) = self.inner.healing.begin(placement.blob) else {
                    all = false;
                    continue;
                };
                // Until its record is gone as well: what is left of it is not to be healed.
                alone.push(healing);
                self.inner.pool.remove_blob(&placement).await;
                swept.blobs += 1;
            }
            swept.parts += 1;
            batch.push((entry.key, entry.revision));
            if batch.len() == BATCH / 2 {
                all &= self.delete_at(std::mem::take(&mut batch)).await?;
                alone.clear();
            }
        }
        all &= self.delete_at(batch).await?;
        drop(alone);
        Ok(all)
    }

    /// Deletes keys that are still at these revisions; false, and none is deleted, if one is not: healing may have given it extents
    /// that were not removed.
    async fn delete_at(&self, keys: Vec<(Bytes, Revision)>) -> Result<bool, StoreError> {
        let mut draft = Draft::default();
        for (key, revision) in keys {
            draft.delete(key.clone());
            draft.expect(key, Some(revision));
        }
        Ok(draft.is_empty() || self.try_commit(draft).await?.is_some())
    }

    /// Gives up the uploads of a bucket that is gone, so that none can be created.
    async fn sweep_uploads(&self, bucket_id: u64, swept: &mut Swept) -> Result<(), StoreError> {
        let from = keys::uploads(bucket_id, "");
        let to = keys::successor(&from);
        swept.uploads += self.drop_uploads(from, to, |_| true).await?;
        Ok(())
    }

    async fn drop_abandoned_uploads(&self) -> Result<usize, StoreError> {
        let age = self.inner.options.abandoned_upload_age.as_millis();
        let age = u64::try_from(age).unwrap_or(u64::MAX);
        let now = self.now();
        let (from, to) = keys::all_uploads();
        let is_abandoned =
            |upload: &UploadRecord| upload.initiated_unix_millis.saturating_add(age) <= now;
        self.drop_uploads(from, to, is_abandoned).await
    }

    async fn drop_uploads(
        &self,
        from: Vec<u8>,
        to: Vec<u8>,
        which: impl Fn(&UploadRecord) -> bool,
    ) -> Result<usize, StoreError> {
        let mut pages = Pages::new(&*self.inner.meta, from, to, usize::MAX);
        let mut count = 0;
        while let Some(Entry {
            key,
            revision,
            value,
        }) = pages.next().await?
        {
            let (_, _, id) = keys::parse_upload(&key).ok_or(RecordError::BadKey)?;
            if which(&UploadRecord::decode(&value)?) && self.drop_upload(key, revision, &id).await?
            {
                count += 1;
            }
        }
        Ok(count)
    }

    fn is_time_for_uploads(&self) -> bool {
        let now = self.inner.clock.monotonic();
        let mut last = self.inner.sweep.looked_for_uploads.lock();
        let interval = self.inner.options.abandoned_upload_interval;
        let is_due = last.is_none_or(|last| now.saturating_sub(last) >= interval);
        if is_due {
            *last = Some(now);
        }
        is_due
    }

    async fn delete_all(&self, keys: Vec<Bytes>) -> Result<(), StoreError> {
        let mut draft = Draft::default();
        for key in keys {
            draft.delete(key);
        }
        if !draft.is_empty() {
            self.try_commit(draft).await?;
        }
        Ok(())
    }
}
