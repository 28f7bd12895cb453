//! The user or role of an account: made, found, taken away.

use super::{
    Authentication, ProvisionError,
    access::{Access, AccountState},
    fault::failed,
    provisioner::Inner,
};
use crate::{
    backend::{BackendError, IdentityKind, NewIdentity, StoredIdentity},
    parameters::text::differences,
    policy,
};

/// The one inline policy that an account has.
pub(super) const POLICY: &str = "larder-cosi";

/// An account that there is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) kind: IdentityKind,
    pub(super) stored: StoredIdentity,
    pub(super) state: AccountState,
}

impl Inner {
    /// Where this driver's users and roles are.
    pub(super) fn path(&self) -> String {
        format!("/cosi/{}/", self.settings.driver)
    }

    /// An account of this driver, if there is one of that name.
    pub(super) async fn account(&self, name: &str) -> Result<Option<Found>, ProvisionError> {
        for kind in [IdentityKind::User, IdentityKind::Role] {
            let found = self.backend.identity(kind, name).await.map_err(failed)?;
            if let Some(found) = found.and_then(|stored| self.own(kind, stored)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// `None` where this driver has not made it.
    pub(super) fn own(&self, kind: IdentityKind, stored: StoredIdentity) -> Option<Found> {
        let state = AccountState::of(&self.settings.driver, &stored.tags);
        let state = state.filter(|_| stored.path == self.path())?;
        Some(Found {
            kind,
            stored,
            state,
        })
    }

    /// The account of an access, made if there is none.
    pub(super) async fn ensure_identity(&self, access: &Access) -> Result<Found, ProvisionError> {
        if let Some(found) = self.account(&access.account).await? {
            check_same(access, &found)?;
            return Ok(found);
        }
        let new = NewIdentity {
            name: access.account.clone(),
            path: self.path(),
            tags: access.tags(&self.settings.driver),
            trust: self.trust(access).await?,
        };
        let kind = access.kind();
        let stored = match self.backend.create_identity(kind, &new).await {
            Err(BackendError::EntityAlreadyExists(_)) => {
                return self.made_meanwhile(access).await;
            }
            other => other.map_err(failed)?,
        };
        let stored = StoredIdentity {
            tags: new.tags,
            path: new.path,
            ..stored
        };
        let name = &access.account;
        self.own(kind, stored).ok_or_else(|| {
            ProvisionError::Unavailable(format!("account {name} is not as it was made"))
        })
    }

    /// There was none a moment ago.
    async fn made_meanwhile(&self, access: &Access) -> Result<Found, ProvisionError> {
        let name = &access.account;
        let Some(found) = self.account(name).await? else {
            return Err(ProvisionError::Conflict(format!(
                "there is a {} {name} already that {} has not made",
                access.kind().word().to_ascii_lowercase(),
                self.settings.driver
            )));
        };
        check_same(access, &found)?;
        Ok(found)
    }

    /// Has the account allow what it was granted, and nothing else.
    pub(super) async fn ensure_policy(&self, access: &Access) -> Result<(), ProvisionError> {
        let (kind, name) = (access.kind(), &access.account);
        let document = policy::of_account(&access.buckets, &access.scope);
        let there = self.backend.identity_policy(kind, name, POLICY).await;
        if there.map_err(failed)?.as_ref() == Some(&document) {
            return Ok(());
        }
        let put = self
            .backend
            .put_identity_policy(kind, name, POLICY, &document);
        match put.await {
            Err(BackendError::LimitExceeded(message)) => {
                self.remove(kind, name).await?;
                Err(ProvisionError::Invalid(format!(
                    "too much for one access: ask for fewer buckets or networks in one ({message})"
                )))
            }
            other => other.map_err(failed),
        }
    }

    /// Takes away an account and whatever hangs on it. Its keys go first, so that what is left of it after a crash is of no use to anybody.
    pub(super) async fn remove(
        &self,
        kind: IdentityKind,
        name: &str,
    ) -> Result<(), ProvisionError> {
        if kind == IdentityKind::User {
            self.delete_keys(name, None).await?;
        }
        let gone = self.backend.delete_identity_policy(kind, name, POLICY);
        absent_is_fine(gone.await)?;
        match self.backend.delete_identity(kind, name).await {
            Err(BackendError::DeleteConflict(message)) => {
                Err(ProvisionError::Precondition(format!(
                    "account {name} has keys no more, but stays: something hangs on it that the driver has not made ({message})"
                )))
            }
            other => absent_is_fine(other),
        }
    }

    /// Deletes the access keys of a user but for one.
    pub(super) async fn delete_keys(
        &self,
        user: &str,
        but: Option<&str>,
    ) -> Result<(), ProvisionError> {
        let keys = match self.backend.access_keys(user).await {
            Err(BackendError::NoSuchEntity(_)) => return Ok(()),
            other => other.map_err(failed)?,
        };
        for key in keys.iter().filter(|key| Some(key.id.as_str()) != but) {
            absent_is_fine(self.backend.delete_access_key(user, &key.id).await)?;
        }
        Ok(())
    }

    async fn trust(&self, access: &Access) -> Result<Option<String>, ProvisionError> {
        let Authentication::ServiceAccount { namespace, name } = &access.authentication else {
            return Ok(None);
        };
        let oidc = self.oidc()?;
        Ok(Some(policy::of_trust(&policy::Trusted {
            account: &self.caller().await?.account,
            provider: &oidc.url,
            audience: &oidc.audience,
            namespace,
            name,
        })))
    }

    pub(super) fn oidc(&self) -> Result<&super::OidcProvider, ProvisionError> {
        self.settings.oidc.as_ref().ok_or_else(|| {
            ProvisionError::Invalid(
                "authentication by service account needs the driver to be told who vouches for them: --oidc-provider (LARDER_COSI_OIDC_PROVIDER)".to_owned(),
            )
        })
    }
}

/// Somebody else may have done it.
pub(super) fn absent_is_fine(answer: Result<(), BackendError>) -> Result<(), ProvisionError> {
    match answer {
        Err(BackendError::NoSuchEntity(_)) => Ok(()),
        other => other.map_err(failed),
    }
}

fn check_same(access: &Access, found: &Found) -> Result<(), ProvisionError> {
    let name = &access.account;
    let Some(there) = &found.state.access else {
        return Err(ProvisionError::Conflict(format!(
            "the tags of account {name} that say what it may do were changed: delete the access and ask for it again"
        )));
    };
    let differs = differences(there, &access.canonical());
    if differs.is_empty() {
        return Ok(());
    }
    Err(ProvisionError::Conflict(format!(
        "there is an account {name} already, for another access: {}",
        differs.join("; ")
    )))
}
