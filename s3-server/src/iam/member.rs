//! Who belongs to an account, beside its root, and what they may do.

use std::sync::Arc;

use larder_policy::{
    Account as PolicyAccount, Context, Decision, Kind, Policies, Policy, Request, Requester, Value,
    Verdict, combine,
};

use super::{
    builtin,
    directory::{Directory, Known, Rules},
    names::Tag,
    records::{Group, ManagedPolicy, Role, User},
    session::{Session, SessionOf},
};
use crate::accounts::{Account, Caller};

/// Somebody of an account who is not its root.
#[derive(Debug)]
pub struct Member {
    pub(crate) account: Arc<Account>,
    pub(crate) kind: MemberKind,
    /// Its name in policies: of a user, or of a session of a role.
    pub(crate) arn: String,
    /// `aws:userid`.
    pub(crate) id: String,
    pub(crate) tags: Vec<Tag>,
    /// When its temporary credentials were given, in seconds since 1970.
    pub(crate) since: Option<u64>,
    pub(crate) grants: Grants,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemberKind {
    /// A user.
    User {
        /// Its name.
        name: String,
        /// Whether it has temporary credentials.
        is_session: bool,
    },
    /// Somebody who took on a role.
    Session {
        /// The role's ARN.
        role: String,
        /// The identity provider that vouched for them.
        provider: Option<String>,
    },
}

/// The policies that say what somebody may do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants {
    pub(crate) identity: Vec<Rules>,
    pub(crate) boundary: Option<Rules>,
    pub(crate) session: Option<Vec<Rules>>,
}

impl Member {
    /// A user as it is now.
    pub(crate) fn user(directory: &Directory, account: &Arc<Account>, user: &Known<User>) -> Self {
        let record = &user.record;
        let mut identity = vec![user.policies.clone()];
        identity.extend(
            record
                .attached
                .iter()
                .map(|arn| attached(directory, account, arn)),
        );
        for id in &record.groups {
            let Some(group) = directory.of_id::<Group>(account.id, id) else {
                continue;
            };
            identity.push(group.policies.clone());
            let of_group = group.record.attached.iter();
            identity.extend(of_group.map(|arn| attached(directory, account, arn)));
        }
        let boundary = record.boundary.as_ref();
        Self {
            account: Arc::clone(account),
            kind: MemberKind::User {
                name: record.name.clone(),
                is_session: false,
            },
            arn: user.arn.clone(),
            id: record.id.clone(),
            tags: record.tags.clone(),
            since: None,
            grants: Grants {
                identity,
                boundary: boundary.map(|arn| attached(directory, account, arn)),
                session: None,
            },
        }
    }
}

impl Member {
    /// The user in a session of their own.
    pub(crate) fn in_session(self, session: &Session) -> Self {
        let kind = match self.kind {
            MemberKind::User { name, .. } => MemberKind::User {
                name,
                is_session: true,
            },
            kind @ MemberKind::Session { .. } => kind,
        };
        Self {
            kind,
            since: Some(session.issued),
            ..self
        }
    }

    /// Somebody who took on a role, which is as it is now.
    pub(crate) fn role(
        directory: &Directory,
        account: &Arc<Account>,
        role: &Known<Role>,
        session: &Session,
    ) -> Self {
        let record = &role.record;
        let mut identity = vec![role.policies.clone()];
        let attached_to = record.attached.iter();
        identity.extend(attached_to.map(|arn| attached(directory, account, arn)));
        let name = match &session.of {
            SessionOf::Role { session, .. } => session.as_str(),
            SessionOf::User { .. } => "",
        };
        let mut tags = session.tags.clone();
        let is_set = |tag: &&Tag| {
            !tags
                .iter()
                .any(|set| set.key.eq_ignore_ascii_case(&tag.key))
        };
        let of_role: Vec<_> = record.tags.iter().filter(is_set).cloned().collect();
        tags.extend(of_role);
        let boundary = record.boundary.as_ref();
        Self {
            account: Arc::clone(account),
            kind: MemberKind::Session {
                role: role.arn.clone(),
                provider: session.provider.clone(),
            },
            arn: format!(
                "arn:aws:sts::{}:assumed-role/{}/{name}",
                account.id, record.name
            ),
            id: format!("{}:{name}", record.id),
            tags,
            since: Some(session.issued),
            grants: Grants {
                identity,
                boundary: boundary.map(|arn| attached(directory, account, arn)),
                session: limits(directory, account, session),
            },
        }
    }
}

/// What a session's own policies say, where it has any. One that can't be read denies all.
fn limits(directory: &Directory, account: &Account, session: &Session) -> Option<Vec<Rules>> {
    if session.policies.is_empty() && session.policy_arns.is_empty() {
        return None;
    }
    let read = |text: &String| {
        let policy = Policy::parse(text.as_bytes(), Kind::Identity).ok()?;
        Some(Arc::from([policy]))
    };
    let by_arn = session.policy_arns.iter();
    let by_arn = by_arn.map(|arn| attached(directory, account, arn));
    Some(session.policies.iter().map(read).chain(by_arn).collect())
}

/// What a policy says that is attached somewhere. One that is gone says nothing.
fn attached(directory: &Directory, account: &Account, arn: &str) -> Rules {
    if let Some(policy) = builtin::find(arn) {
        return Some(Arc::clone(&policy.rules));
    }
    let name = arn.rsplit('/').next().unwrap_or_default();
    match directory.find::<ManagedPolicy>(account.id, name) {
        Some(policy) if policy.arn == arn => policy.policies.clone(),
        _ => Some(Arc::default()),
    }
}

impl Grants {
    /// What the policies decide, with that of the resource, if it has one.
    pub(crate) fn decide<'p>(
        &'p self,
        request: &Request<'_>,
        resource: Option<Decision<'p>>,
        is_same_account: bool,
    ) -> Decision<'p> {
        let policies = Policies {
            identity: Some(any(&self.identity, request)),
            boundary: self.boundary.as_ref().map(|rules| any([rules], request)),
            session: self.session.as_ref().map(|rules| any(rules, request)),
            resource,
            is_same_account,
        };
        combine(&request.requester, &policies)
    }

    /// Whether a decision may depend on a condition key.
    pub(crate) fn looks_at(&self, key: &str) -> bool {
        let sets = self.identity.iter().chain(&self.boundary);
        let all = sets.chain(self.session.iter().flatten()).flatten();
        all.flat_map(|rules| rules.iter())
            .any(|policy| policy.looks_at(key))
    }
}

/// Allowed where one allows and none denies. What can't be read denies.
fn any<'p>(sets: impl IntoIterator<Item = &'p Rules>, request: &Request<'_>) -> Decision<'p> {
    const DENIED: Decision<'static> = Decision {
        verdict: Verdict::ExplicitDeny,
        statement: None,
        via: None,
    };
    let mut best = Decision::NONE;
    for rules in sets {
        let Some(rules) = rules else {
            return DENIED;
        };
        for policy in rules.iter() {
            let decision = policy.decide(request);
            match decision.verdict {
                Verdict::ExplicitDeny => return decision,
                Verdict::Allow if !best.is_allowed() => best = decision,
                Verdict::Allow | Verdict::ImplicitDeny => {}
            }
        }
    }
    best
}

/// A caller as policies see it.
#[derive(Debug)]
pub(crate) struct Principal<'a> {
    caller: &'a Caller,
    /// Twelve digits, or nothing.
    account: String,
    arn: String,
}

impl<'a> Principal<'a> {
    pub(crate) fn of(caller: &'a Caller) -> Self {
        let account = caller.account().map(|account| account.id.to_string());
        let account = account.unwrap_or_default();
        Self {
            arn: match caller {
                Caller::Anonymous => String::new(),
                Caller::Account(_) => format!("arn:aws:iam::{account}:root"),
                Caller::Member(member) => member.arn.clone(),
            },
            account,
            caller,
        }
    }

    /// Its name; empty for nobody.
    pub(crate) fn arn(&self) -> &str {
        &self.arn
    }

    /// `aws:userid`.
    pub(crate) fn id(&self) -> &str {
        match self.caller {
            Caller::Anonymous => "anonymous",
            Caller::Account(_) => &self.account,
            Caller::Member(member) => &member.id,
        }
    }

    /// Its account's twelve digits; empty for nobody.
    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    pub(crate) fn requester(&self) -> Requester<'_> {
        let of = |account: &'a Account| PolicyAccount {
            id: &self.account,
            canonical_id: &account.canonical_id,
        };
        match self.caller {
            Caller::Anonymous => Requester::Anonymous,
            Caller::Account(account) => Requester::Root(of(account)),
            Caller::Member(member) => match &member.kind {
                MemberKind::User { .. } => Requester::User {
                    account: of(&member.account),
                    arn: &member.arn,
                },
                MemberKind::Session { role, .. } => Requester::Session {
                    account: of(&member.account),
                    role,
                    arn: &member.arn,
                },
            },
        }
    }

    /// Sets the condition keys that say who asks.
    pub(crate) fn fill<'b>(&'b self, context: &mut Context<'b>) {
        context.set("aws:userid", self.id());
        let kind = match self.caller {
            Caller::Anonymous => "Anonymous",
            Caller::Account(_) => "Account",
            Caller::Member(member) => match &member.kind {
                MemberKind::User { name, .. } => {
                    context.set("aws:username", name.as_str());
                    "User"
                }
                MemberKind::Session { provider, .. } => {
                    context.set_some("aws:FederatedProvider", provider.as_deref());
                    "AssumedRole"
                }
            },
        };
        context.set("aws:PrincipalType", kind);
        if self.caller.account().is_some() {
            context.set("aws:PrincipalAccount", self.account.as_str());
            context.set("aws:PrincipalArn", self.policy_arn());
        }
        if let Caller::Member(member) = self.caller {
            let since = member.since.and_then(|since| i64::try_from(since).ok());
            let since = since.map(|since| Value::Time(since.saturating_mul(1000)));
            context.set_some("aws:TokenIssueTime", since);
            for Tag { key, value } in &member.tags {
                context.set(format!("aws:PrincipalTag/{key}"), value.as_str());
            }
        }
    }

    /// `aws:PrincipalArn`: of a session it is the role's.
    fn policy_arn(&self) -> &str {
        match self.requester() {
            Requester::Session { role, .. } => role,
            _ => &self.arn,
        }
    }
}
