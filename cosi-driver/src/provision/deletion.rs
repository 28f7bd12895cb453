//! Deleting buckets, and what is in them.

use tokio::time::Instant;

use super::{
    Parameters, ProvisionError, Provisioner,
    bucket_state::{BucketState, instant_text},
    buckets::check_name,
    fault::failed,
    provisioner::Inner,
};
use crate::{
    backend::{BackendError, DeleteFailure, LockMode, Tags},
    parameters::{BucketParameters, OnDelete},
};

impl Provisioner {
    /// Deletes a bucket as its parameters say. One that there is not, or that this driver has not made, is left alone: `Ok`.
    ///
    /// `parameters` are the class's today: their `onDelete` counts before the one that the bucket was made with.
    ///
    /// # Errors
    /// [`ProvisionError::Precondition`]: it is not empty, or what is in it is locked; [`ProvisionError::Unavailable`] also where it takes several calls.
    ///
    /// # Cancel safety
    /// May be dropped at any point, and called again.
    pub async fn delete_bucket(
        &self,
        id: &str,
        parameters: &Parameters,
    ) -> Result<(), ProvisionError> {
        let asked = BucketParameters::parse(parameters)?;
        if check_name(id).is_err() {
            return Ok(());
        }
        let names_it = parameters.contains_key("onDelete");
        let asked = names_it.then_some(asked.on_delete);
        let _only = self.inner.locks.lock(id).await;
        let Some((state, tags)) = self.inner.own_bucket(id).await? else {
            return Ok(());
        };
        let made_with = || {
            let parameters = BucketParameters::parse(&state.parameters.clone().unwrap_or_default());
            parameters.unwrap_or_default().on_delete
        };
        match asked.unwrap_or_else(made_with) {
            OnDelete::Empty => self.inner.empty_and_delete(id).await,
            on_delete => match self.inner.backend.delete_bucket(id).await {
                Err(BackendError::BucketNotEmpty(_)) => {
                    self.inner.not_empty(id, tags, on_delete).await
                }
                Err(BackendError::NoSuchBucket(_)) => Ok(()),
                other => other.map_err(failed),
            },
        }
    }
}

impl Inner {
    /// A bucket that this driver has made.
    async fn own_bucket(&self, id: &str) -> Result<Option<(BucketState, Tags)>, ProvisionError> {
        let tags = match self.backend.bucket_tags(id).await {
            Err(BackendError::NoSuchBucket(_) | BackendError::Refused { .. }) => return Ok(None),
            // Another account's bucket, unless the driver may ask about none at all.
            Err(error @ BackendError::Denied { .. }) => {
                let is_own = self.is_own(id).await?;
                return if is_own { Err(failed(error)) } else { Ok(None) };
            }
            other => other.map_err(failed)?,
        };
        let state = BucketState::of(&self.settings.driver, &tags);
        Ok(state.map(|state| (state, tags)))
    }

    async fn not_empty(
        &self,
        id: &str,
        tags: Tags,
        on_delete: OnDelete,
    ) -> Result<(), ProvisionError> {
        match on_delete {
            OnDelete::Trash { days } => self.put_into_trash(id, tags, days).await,
            OnDelete::Refuse | OnDelete::Empty => {
                let content = self.content(id).await?;
                Err(ProvisionError::Precondition(format!(
                    "bucket {id} is not empty: it has {content}. Delete them, and the bucket goes by itself; or have its class say onDelete: Empty or Trash"
                )))
            }
        }
    }

    /// Deletes all that is in a bucket, and then the bucket.
    pub(super) async fn empty_and_delete(&self, id: &str) -> Result<(), ProvisionError> {
        let end = Instant::now() + self.settings.patience;
        loop {
            match self.backend.delete_bucket(id).await {
                Err(BackendError::BucketNotEmpty(_)) => {}
                Err(BackendError::NoSuchBucket(_)) => return Ok(()),
                other => return other.map_err(failed),
            }
            self.empty(id, end).await?;
        }
    }

    async fn empty(&self, id: &str, end: Instant) -> Result<(), ProvisionError> {
        loop {
            let versions = self.backend.list_versions(id).await.map_err(failed)?;
            let uploads = self.backend.list_uploads(id).await.map_err(failed)?;
            if versions.versions.is_empty() && uploads.uploads.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                let content = self.content(id).await?;
                return Err(ProvisionError::Unavailable(format!(
                    "still deleting what is in bucket {id}: {content} left"
                )));
            }
            for upload in &uploads.uploads {
                let aborted = self.backend.abort_upload(id, upload).await;
                aborted.map_err(failed)?;
            }
            if versions.versions.is_empty() {
                continue;
            }
            let gone = self.backend.delete_versions(id, &versions.versions).await;
            if let Some(failure) = gone.map_err(failed)?.first() {
                return Err(self.stays(id, failure).await?);
            }
        }
    }

    /// Why a version can't be deleted.
    async fn stays(
        &self,
        id: &str,
        failure: &DeleteFailure,
    ) -> Result<ProvisionError, ProvisionError> {
        let held = self.backend.held(id, &failure.version).await;
        let held = held.map_err(failed)?;
        let key = &failure.version.key;
        if held.legal_hold {
            return Ok(ProvisionError::Precondition(format!(
                "bucket {id} can't be emptied: there is a legal hold on {key:?}; it has to be taken away first"
            )));
        }
        if let Some((mode, until)) = held.retention {
            let mode = match mode {
                LockMode::Governance => "Governance",
                LockMode::Compliance => "Compliance",
            };
            return Ok(ProvisionError::Precondition(format!(
                "bucket {id} can't be emptied before {}: {key:?} is locked until then (mode {mode})",
                instant_text(until)
            )));
        }
        let (code, message) = (&failure.code, &failure.message);
        Ok(ProvisionError::Unavailable(format!(
            "bucket {id} can't be emptied: {key:?} is not deleted: {message} ({code})"
        )))
    }

    /// What is in a bucket, in words.
    async fn content(&self, id: &str) -> Result<String, ProvisionError> {
        let page = self.backend.list_versions(id).await.map_err(failed)?;
        let uploads = self.backend.list_uploads(id).await.map_err(failed)?;
        let all = page.versions.len();
        let objects = page.versions.iter();
        let objects = objects.filter(|version| version.is_latest && !version.is_marker);
        let objects = objects.count();
        let parts = [
            counted(objects, page.is_truncated, "object"),
            counted(
                all - objects,
                page.is_truncated,
                "older version or delete marker",
            ),
            counted(
                uploads.uploads.len(),
                uploads.is_truncated,
                "unfinished upload",
            ),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        Ok(parts.join(", "))
    }
}

/// `more than 3 objects`; `None` for none at all.
fn counted(count: usize, is_truncated: bool, what: &str) -> Option<String> {
    let more = if is_truncated { "more than " } else { "" };
    let what = match (count, what.split_once(" or ")) {
        (1, _) => what.to_owned(),
        (_, Some((first, second))) => format!("{first}s or {second}s"),
        (_, None) => format!("{what}s"),
    };
    (count > 0).then(|| format!("{more}{count} {what}"))
}

#[cfg(test)]
mod tests;
