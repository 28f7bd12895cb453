//! The trash: buckets that nobody can use, until they go or are taken out again.

use time::Duration;
use tokio::time::Instant;

use super::{
    ProvisionError, Provisioner, Purged,
    bucket_state::{self, BucketState, instant_text},
    fault::failed,
    provisioner::Inner,
};
use crate::{
    backend::{BackendError, Tags},
    policy,
};

impl Provisioner {
    /// Deletes the buckets that were in the trash long enough: as much as one call has time for, the rest the next time.
    ///
    /// # Errors
    /// [`ProvisionError::Denied`], [`ProvisionError::Unavailable`], where not even the list can be had.
    pub async fn purge_trash(&self) -> Result<Purged, ProvisionError> {
        let now = self.inner.now();
        let all = self.buckets().await?;
        let is_over = |until: Option<time::OffsetDateTime>| until.is_some_and(|until| until <= now);
        let due = all
            .into_iter()
            .filter(|bucket| is_over(bucket.trashed_until));
        let mut purged = Purged::default();
        let end = Instant::now() + self.inner.settings.patience;
        for bucket in due.take_while(|_| Instant::now() < end) {
            match self.inner.purge(&bucket.id).await {
                Ok(true) => purged.deleted.push(bucket.id),
                Ok(false) => {}
                Err(error) => purged.kept.push((bucket.id, error)),
            }
        }
        Ok(purged)
    }
}

impl Inner {
    /// Whether it went; it may have been taken out of the trash meanwhile.
    async fn purge(&self, id: &str) -> Result<bool, ProvisionError> {
        let _only = self.locks.lock(id).await;
        let tags = match self.backend.bucket_tags(id).await {
            Err(BackendError::NoSuchBucket(_)) => return Ok(false),
            other => other.map_err(failed)?,
        };
        let state = BucketState::of(&self.settings.driver, &tags);
        let until = state.and_then(|state| state.trashed_until);
        if until.is_none_or(|until| until > self.now()) {
            return Ok(false);
        }
        self.empty_and_delete(id).await.map(|()| true)
    }

    /// Puts a bucket into the trash. The mark comes first: a bucket that is marked is shut by whoever comes next.
    pub(super) async fn put_into_trash(
        &self,
        id: &str,
        mut tags: Tags,
        days: u32,
    ) -> Result<(), ProvisionError> {
        let state = BucketState::of(&self.settings.driver, &tags);
        if state.and_then(|state| state.trashed_until).is_none() {
            let until = self.now() + Duration::days(i64::from(days));
            bucket_state::set_trashed(&mut tags, Some(until));
            let put = self.backend.put_bucket_tags(id, &tags).await;
            put.map_err(failed)?;
        }
        let before = self.backend.bucket_policy(id).await.map_err(failed)?;
        let arns = self.exempt().await?;
        let shut = policy::closed(before.as_deref(), id, &arns);
        self.put_policy(id, before.as_deref(), Some(&shut)).await
    }

    /// Takes a bucket out of the trash, if it is in there. The mark goes last.
    pub(super) async fn take_from_trash(
        &self,
        id: &str,
        tags: &Tags,
    ) -> Result<(), ProvisionError> {
        let state = BucketState::of(&self.settings.driver, tags);
        if state.and_then(|state| state.trashed_until).is_none() {
            return Ok(());
        }
        let before = self.backend.bucket_policy(id).await.map_err(failed)?;
        let open = policy::opened(before.as_deref());
        self.put_policy(id, before.as_deref(), open.as_deref())
            .await?;
        let mut tags = tags.clone();
        bucket_state::set_trashed(&mut tags, None);
        let put = self.backend.put_bucket_tags(id, &tags).await;
        put.map_err(failed)
    }

    async fn put_policy(
        &self,
        id: &str,
        before: Option<&str>,
        policy: Option<&str>,
    ) -> Result<(), ProvisionError> {
        if before == policy {
            return Ok(());
        }
        let put = self.backend.put_bucket_policy(id, policy).await;
        put.map_err(failed)
    }

    /// Who may use a bucket that is in the trash: the driver, and the account's root, who is to be able to look.
    async fn exempt(&self) -> Result<Vec<String>, ProvisionError> {
        let caller = self.caller().await?;
        let root = format!("arn:aws:iam::{}:root", caller.account);
        let mut arns = vec![role_arn(&caller.arn)];
        if !arns.contains(&root) {
            arns.push(root);
        }
        Ok(arns)
    }

    /// That a bucket can't be used because it is in the trash.
    pub(super) fn check_not_in_trash(&self, id: &str, tags: &Tags) -> Result<(), ProvisionError> {
        let state = BucketState::of(&self.settings.driver, tags);
        match state.and_then(|state| state.trashed_until) {
            None => Ok(()),
            Some(until) => Err(ProvisionError::Precondition(format!(
                "bucket {id} is in the trash until {}: a BucketClaim for it as existing bucket takes it out",
                instant_text(until)
            ))),
        }
    }
}

/// What `aws:PrincipalArn` is of whom STS calls `arn`: of a session the role's.
fn role_arn(arn: &str) -> String {
    let role = || {
        let (account, rest) = arn.strip_prefix("arn:aws:sts::")?.split_once(':')?;
        let role = rest.strip_prefix("assumed-role/")?.split('/').next()?;
        Some(format!("arn:aws:iam::{account}:role/{role}"))
    };
    role().unwrap_or_else(|| arn.to_owned())
}
