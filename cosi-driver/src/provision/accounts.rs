//! Accounts: given, taken away, their keys changed.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::{
    AccountSummary, Credentials, Grant, Granted, KeyPair, ProvisionError, Provisioner,
    access::{self, Access, DISABLED, check_account},
    buckets::PARALLEL,
    fault::failed,
    identity::{Found, POLICY, absent_is_fine},
    provisioner::Inner,
};
use crate::backend::{BackendError, IdentityKind};

impl Provisioner {
    /// Gives an access: the same answer every time, the secret included.
    ///
    /// # Errors
    /// [`ProvisionError::Invalid`]; [`ProvisionError::NotFound`] and [`ProvisionError::Precondition`] for a bucket that there is not, or that is in the trash;
    /// [`ProvisionError::Conflict`]: the account has another access.
    ///
    /// # Cancel safety
    /// May be dropped at any point, and called again.
    pub async fn grant(&self, grant: &Grant) -> Result<Granted, ProvisionError> {
        let access = Access::of(grant)?;
        let _only = self.inner.locks.lock(&access.account).await;
        let found = self.inner.ensure(&access).await?;
        let generation = found.state.generation;
        self.inner.granted(&access, &found, generation).await
    }

    /// Makes a key of a later generation beside the one before it, which goes by [`Provisioner::retire`]; from then on [`Provisioner::grant`] answers the
    /// new one. The same answer every time. A role has no keys, and stays as it is.
    ///
    /// # Errors
    /// Those of [`Provisioner::grant`]; [`ProvisionError::Precondition`]: the account is at a later generation already.
    pub async fn rotate(&self, grant: &Grant, generation: u64) -> Result<Granted, ProvisionError> {
        let access = Access::of(grant)?;
        let _only = self.inner.locks.lock(&access.account).await;
        let found = self.inner.ensure(&access).await?;
        if found.kind == IdentityKind::Role {
            let generation = found.state.generation;
            return self.inner.granted(&access, &found, generation).await;
        }
        self.inner.advance(&access, &found, generation).await?;
        self.inner.granted(&access, &found, generation).await
    }

    /// Takes away the keys of generations before `generation`.
    ///
    /// # Errors
    /// [`ProvisionError::Precondition`]: there is no key of that generation yet.
    pub async fn retire(&self, account: &str, generation: u64) -> Result<(), ProvisionError> {
        check_account(account)?;
        let _only = self.inner.locks.lock(account).await;
        let Some(found) = self.inner.account(account).await? else {
            return Ok(());
        };
        self.inner.retire(account, &found, generation).await
    }

    /// Takes an access away, with its account. An account that there is not, or that this driver has not made, is left alone: `Ok`.
    ///
    /// # Errors
    /// [`ProvisionError::Precondition`]: something hangs on the account that the driver has not made. Its keys are gone even so.
    pub async fn revoke(&self, account: &str) -> Result<(), ProvisionError> {
        if check_account(account).is_err() {
            return Ok(());
        }
        let _only = self.inner.locks.lock(account).await;
        match self.inner.account(account).await? {
            None => Ok(()),
            Some(found) => self.inner.remove(found.kind, account).await,
        }
    }

    /// Has an account's keys, or what its role may do, not count any more, until it is granted again. One that there is not is left alone.
    ///
    /// # Errors
    /// [`ProvisionError::Denied`], [`ProvisionError::Unavailable`].
    pub async fn disable(&self, account: &str) -> Result<(), ProvisionError> {
        check_account(account)?;
        let _only = self.inner.locks.lock(account).await;
        match self.inner.account(account).await? {
            None => Ok(()),
            Some(found) => self.inner.disable(account, &found).await,
        }
    }

    /// The accounts that this driver made, users before roles, by name.
    ///
    /// # Errors
    /// [`ProvisionError::Denied`], [`ProvisionError::Unavailable`].
    pub async fn accounts(&self) -> Result<Vec<AccountSummary>, ProvisionError> {
        let mut all = Vec::new();
        for kind in [IdentityKind::User, IdentityKind::Role] {
            let path = self.inner.path();
            let listed = self.inner.backend.list_identities(kind, &path).await;
            let inner = &self.inner;
            let asked = stream::iter(listed.map_err(failed)?)
                .map(|listed| inner.account_summary(kind, listed.name));
            let found: Vec<_> = asked.buffered(PARALLEL).try_collect().await?;
            all.extend(found.into_iter().flatten());
        }
        Ok(all)
    }
}

impl Inner {
    /// The account of an access, able to do what it was granted.
    async fn ensure(&self, access: &Access) -> Result<Found, ProvisionError> {
        for (id, _) in &access.buckets {
            self.info(id, access.parameters.endpoint)?;
            let tags = self.tags_of_existing(id).await?;
            self.check_not_in_trash(id, &tags)?;
        }
        if access.kind() == IdentityKind::Role {
            self.oidc()?;
        }
        let found = self.ensure_identity(access).await?;
        self.ensure_policy(access).await?;
        if found.state.disabled.is_some() {
            self.enable(&access.account, &found).await?;
        }
        Ok(found)
    }

    async fn granted(
        &self,
        access: &Access,
        found: &Found,
        generation: u64,
    ) -> Result<Granted, ProvisionError> {
        let from = access.parameters.endpoint;
        let buckets = access.buckets.iter().map(|(id, _)| self.info(id, from));
        let credentials = match found.kind {
            IdentityKind::User => Credentials::Key(self.key(&access.account, generation).await?),
            IdentityKind::Role => Credentials::Role {
                arn: found.stored.arn.clone(),
                audience: self.oidc()?.audience.clone(),
            },
        };
        Ok(Granted {
            account: access.account.clone(),
            buckets: buckets.collect::<Result<_, _>>()?,
            credentials,
            generation,
        })
    }

    /// The key of a generation: always the same one.
    async fn key(&self, account: &str, generation: u64) -> Result<KeyPair, ProvisionError> {
        let token = token(account, generation);
        match self.backend.create_access_key(account, &token).await {
            Err(BackendError::LimitExceeded(message)) => {
                Err(ProvisionError::Precondition(format!(
                    "account {account} has access keys that the driver has not made: delete them ({message})"
                )))
            }
            other => other.map_err(failed),
        }
    }

    /// Has the account be of this generation.
    async fn advance(
        &self,
        access: &Access,
        found: &Found,
        generation: u64,
    ) -> Result<(), ProvisionError> {
        let (account, current) = (&access.account, found.state.generation);
        if generation < current {
            return Err(ProvisionError::Precondition(format!(
                "account {account} is at generation {current} already, and does not go back to {generation}"
            )));
        }
        if generation == current {
            return Ok(());
        }
        self.make_room(account, current, generation).await?;
        let tags = access::generation_tags(generation, current);
        let tagged = self
            .backend
            .tag_identity(IdentityKind::User, account, &tags);
        tagged.await.map_err(failed)
    }

    /// A user has two keys at most: those before the current one go where they are in the way.
    async fn make_room(
        &self,
        account: &str,
        current: u64,
        generation: u64,
    ) -> Result<(), ProvisionError> {
        let token = token(account, generation);
        match self.backend.create_access_key(account, &token).await {
            Err(BackendError::LimitExceeded(_)) => {}
            other => return other.map(drop).map_err(failed),
        }
        let kept = self.key(account, current).await?;
        self.delete_keys(account, Some(&kept.access_key)).await
    }

    async fn retire(
        &self,
        account: &str,
        found: &Found,
        generation: u64,
    ) -> Result<(), ProvisionError> {
        let state = &found.state;
        if found.kind == IdentityKind::Role || state.previous >= generation {
            return Ok(());
        }
        if generation > state.generation {
            let current = state.generation;
            return Err(ProvisionError::Precondition(format!(
                "account {account} is at generation {current}: nothing before {generation} goes until there is a key of it"
            )));
        }
        let kept = self.key(account, state.generation).await?;
        self.delete_keys(account, Some(&kept.access_key)).await
    }

    /// The mark comes first: an account that is marked works again once it is granted, whatever was done to it.
    async fn disable(&self, account: &str, found: &Found) -> Result<(), ProvisionError> {
        if found.state.disabled.is_none() {
            let tags = access::disabled_tags(self.now());
            let tagged = self.backend.tag_identity(found.kind, account, &tags);
            tagged.await.map_err(failed)?;
        }
        match found.kind {
            IdentityKind::User => self.activate_keys(account, false).await,
            IdentityKind::Role => {
                let gone = self
                    .backend
                    .delete_identity_policy(found.kind, account, POLICY);
                absent_is_fine(gone.await)
            }
        }
    }

    async fn enable(&self, account: &str, found: &Found) -> Result<(), ProvisionError> {
        if found.kind == IdentityKind::User {
            self.activate_keys(account, true).await?;
        }
        let untagged = self
            .backend
            .untag_identity(found.kind, account, &[DISABLED]);
        untagged.await.map_err(failed)
    }

    async fn activate_keys(&self, account: &str, is_active: bool) -> Result<(), ProvisionError> {
        let keys = self.backend.access_keys(account).await.map_err(failed)?;
        for key in keys.iter().filter(|key| key.is_active != is_active) {
            let set = self
                .backend
                .activate_access_key(account, &key.id, is_active);
            set.await.map_err(failed)?;
        }
        Ok(())
    }

    /// `None`: gone meanwhile, or not ours.
    async fn account_summary(
        &self,
        kind: IdentityKind,
        name: String,
    ) -> Result<Option<AccountSummary>, ProvisionError> {
        let stored = self.backend.identity(kind, &name).await.map_err(failed)?;
        let found = stored.and_then(|stored| self.own(kind, stored));
        Ok(found.map(|found| AccountSummary {
            account: name,
            buckets: found.state.buckets(),
            created: found.stored.created,
            generation: found.state.generation,
            disabled: found.state.disabled,
        }))
    }
}

/// The name that a generation's key is made under: at most 64 characters.
fn token(account: &str, generation: u64) -> String {
    let token = format!("{account}/{generation}");
    if token.len() <= 64 {
        return token;
    }
    hex::encode(Sha256::digest(token))
}

#[cfg(test)]
mod tests;
