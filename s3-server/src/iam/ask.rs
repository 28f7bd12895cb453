//! One request to IAM or STS, whose signature is right: who asks for what, and whether they may.

use std::sync::Arc;

use http::request::Parts;
use larder_policy::{Context, Request, Value, Verdict};
use larder_storage::objects::{AccountId, Store};

use super::{
    directory::{Change, Directory, Known},
    error::{IamCode, IamError, IamResult, refused},
    form::Form,
    holder::Called,
    member::{MemberKind, Principal},
    names::{self, Tag},
    records::User,
};
use crate::{
    accounts::{Account, Caller},
    app::App,
    audit::{PolicyOf, Trail},
    http::Peer,
    keyring::Keyring,
};

/// What only an administrator of the whole account may see, without a name of its own.
pub(super) const EVERYTHING: &str = "*";

/// A request that an action answers.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) app: &'a App,
    pub(super) store: &'a Store,
    /// `iam:CreateUser`, `sts:AssumeRole`.
    pub(super) action: String,
    pub(super) form: Form,
    pub(super) caller: Caller,
    pub(super) parts: &'a Parts,
    pub(super) peer: &'a Peer,
    pub(super) trail: &'a Trail,
}

/// Condition keys that an action adds.
pub(super) type Keys<'a> = Vec<(String, Value<'a>)>;

impl Ask<'_> {
    pub(super) fn directory(&self) -> &Arc<Directory> {
        &self.app.directory
    }

    pub(super) fn keyring(&self) -> IamResult<&Arc<Keyring>> {
        Ok(self.app.keyring()?)
    }

    /// The account that the request is about: the caller's own, always.
    ///
    /// # Errors
    /// [`IamCode::MissingAuthenticationToken`] for a request without a signature.
    pub(super) fn account(&self) -> IamResult<&Arc<Account>> {
        self.caller.account().ok_or_else(|| {
            IamError::new(
                IamCode::MissingAuthenticationToken,
                "Request is missing Authentication Token",
            )
        })
    }

    pub(super) fn account_id(&self) -> IamResult<AccountId> {
        self.account().map(|account| account.id)
    }

    /// Seconds since 1970.
    pub(super) fn now(&self) -> u64 {
        self.app.clock.unix_millis() / 1000
    }

    /// Begins a change of the account's identities.
    ///
    /// # Errors
    /// As [`Directory::change`].
    pub(super) async fn change(&self) -> IamResult<Change> {
        let account = self.account_id()?;
        let keyring = self.keyring()?;
        self.directory().change(account, self.store, keyring).await
    }

    /// Refuses a caller who may not do this with `resource`.
    ///
    /// # Errors
    /// [`IamCode::AccessDenied`].
    pub(super) fn require(&self, resource: &str) -> IamResult<()> {
        self.require_with(resource, Keys::new())
    }

    /// As [`Ask::require`], with condition keys of the action's own.
    ///
    /// # Errors
    /// [`IamCode::AccessDenied`].
    pub(super) fn require_with(&self, resource: &str, keys: Keys<'_>) -> IamResult<()> {
        self.require_action(&self.action, resource, keys)
    }

    /// As [`Ask::require_with`], for an action that the request needs beside its own.
    ///
    /// # Errors
    /// [`IamCode::AccessDenied`].
    pub(super) fn require_action(
        &self,
        action: &str,
        resource: &str,
        keys: Keys<'_>,
    ) -> IamResult<()> {
        let verdict = self.verdict(action, resource, keys)?;
        let is_allowed = verdict == Verdict::Allow;
        self.trail.decided_on(resource, action, is_allowed);
        let how = match verdict {
            Verdict::Allow => return Ok(()),
            Verdict::ImplicitDeny => {
                format!("because no identity-based policy allows the {action} action")
            }
            Verdict::ExplicitDeny => "with an explicit deny in an identity-based policy".to_owned(),
        };
        let arn = Principal::of(&self.caller).arn().to_owned();
        refused(
            IamCode::AccessDenied,
            format!(
                "User: {arn} is not authorized to perform: {action} on resource: {resource} {how}"
            ),
        )
    }

    fn verdict(&self, action: &str, resource: &str, keys: Keys<'_>) -> IamResult<Verdict> {
        self.account()?;
        let Caller::Member(member) = &self.caller else {
            self.trail.ruled(action, Verdict::Allow, None);
            return Ok(Verdict::Allow);
        };
        let is_own_session = matches!(
            member.kind,
            MemberKind::User {
                is_session: true,
                ..
            }
        );
        if is_own_session && action.starts_with("iam:") {
            // As on AWS, where a user's own session has not shown a second factor; there is none here.
            return Ok(Verdict::ImplicitDeny);
        }
        let principal = Principal::of(&self.caller);
        let mut context = Context::new();
        principal.fill(&mut context);
        self.fill(&mut context);
        for (key, value) in keys {
            context.set(key, value);
        }
        let request = Request {
            requester: principal.requester(),
            action,
            resource,
            context: &context,
        };
        let decision = member.grants.decide(&request, None, true);
        tracing::debug!(action, resource, verdict = ?decision.verdict, "decided by the caller's policies");
        let statement = decision.statement.map(|found| (PolicyOf::Caller, found));
        self.trail.ruled(action, decision.verdict, statement);
        Ok(decision.verdict)
    }

    /// Sets the condition keys that say from where and when.
    pub(super) fn fill<'b>(&'b self, context: &mut Context<'b>) {
        let headers = &self.parts.headers;
        let client = self.app.trusted_proxies.client(self.peer, headers);
        context.set("aws:SourceIp", client.address);
        context.set("aws:SecureTransport", client.is_secure);
        let now = i64::try_from(self.now()).unwrap_or(i64::MAX);
        context.set("aws:CurrentTime", Value::Time(now.saturating_mul(1000)));
        context.set("aws:EpochTime", now);
        context.set("aws:RequestedRegion", self.app.region.as_str());
        let agent = headers.get(http::header::USER_AGENT);
        context.set_some("aws:UserAgent", agent.and_then(|agent| agent.to_str().ok()));
    }

    /// What is called `name`, if there is such a thing and the caller may do this with it.
    ///
    /// # Errors
    /// [`IamCode::AccessDenied`], [`IamCode::NoSuchEntity`].
    pub(super) fn found<T: Called>(&self, name: &str) -> IamResult<Arc<Known<T>>> {
        self.found_with(name, Keys::new())
    }

    /// As [`Ask::found`], with condition keys of the action's own.
    ///
    /// # Errors
    /// As [`Ask::found`].
    pub(super) fn found_with<T: Called>(
        &self,
        name: &str,
        mut keys: Keys<'_>,
    ) -> IamResult<Arc<Known<T>>> {
        let account = self.account_id()?;
        let found = self.directory().find::<T>(account, name);
        let arn = match &found {
            Some(known) => known.arn.clone(),
            None => names::arn(account, &T::WORD.to_ascii_lowercase(), "/", name),
        };
        let tags = found.as_ref().map(|known| known.record.tags().to_vec());
        for Tag { key, value } in tags.into_iter().flatten() {
            keys.push((format!("iam:ResourceTag/{key}"), value.clone().into()));
            keys.push((format!("aws:ResourceTag/{key}"), value.into()));
        }
        self.require_with(&arn, keys)?;
        found.ok_or_else(|| {
            let word = T::WORD.to_ascii_lowercase();
            let message = format!("The {word} with name {name} cannot be found.");
            IamError::new(IamCode::NoSuchEntity, message)
        })
    }

    /// The user of `UserName`; without one, the user who asks. `None` for the root that names nobody.
    ///
    /// # Errors
    /// As [`Ask::found`].
    pub(super) fn user(&self) -> IamResult<Option<Arc<Known<User>>>> {
        let own = match &self.caller {
            Caller::Member(member) => match &member.kind {
                MemberKind::User { name, .. } => Some(name.as_str()),
                MemberKind::Session { .. } => None,
            },
            Caller::Account(_) | Caller::Anonymous => None,
        };
        self.account()?;
        match self.form.get("UserName").or(own) {
            Some(name) => self.found(name).map(Some),
            None => Ok(None),
        }
    }
}

/// The condition keys of tags that a request sets.
pub(super) fn tag_keys<'a>(form: &Form) -> Keys<'a> {
    let mut keys = Keys::new();
    for [key, value] in form.structures("Tags", ["Key", "Value"]) {
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        keys.push((format!("aws:RequestTag/{key}"), value.to_owned().into()));
    }
    keys
}
