//! STS: who somebody is, and temporary credentials.

use std::sync::Arc;

use larder_policy::{Context, Request, Verdict};

use super::{
    ask::{Ask, tag_keys},
    directory::Known,
    document::{Node, date, group, text},
    error::{IamCode, IamError, IamResult, refused},
    form::Form,
    member::{Member, MemberKind, Principal},
    names, policy_document,
    records::Role,
    session::{Session, SessionOf},
};
use crate::accounts::Caller;

const MIN_SECONDS: u64 = 900;
const DEFAULT_SECONDS: u64 = 3600;
/// The longest session of somebody who is in a session already.
const MAX_CHAINED_SECONDS: u64 = 3600;
const DEFAULT_OWN_SECONDS: u64 = 12 * 3600;
const MAX_OWN_SECONDS: u64 = 36 * 3600;
const MAX_POLICY_CHARS: usize = 2048;
const MAX_POLICY_ARNS: usize = 10;

/// Nothing is needed for this but a signature: a policy can't deny it.
pub(super) fn caller_identity(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    ask.account()?;
    let principal = Principal::of(&ask.caller);
    Ok(vec![
        text("Arn", principal.arn()),
        text("UserId", principal.id()),
        text("Account", principal.account()),
    ])
}

/// Temporary credentials for a user. No permission is needed, and none is gained.
pub(super) fn session_token(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let account = ask.account_id()?;
    let member = match &ask.caller {
        Caller::Member(member) => member,
        Caller::Account(_) | Caller::Anonymous => {
            return refused(
                IamCode::AccessDenied,
                "The root of an account has no sessions: make a user.",
            );
        }
    };
    if member.since.is_some() {
        let message = "Cannot call GetSessionToken with session credentials";
        return refused(IamCode::AccessDenied, message);
    }
    let seconds = duration(&ask.form, DEFAULT_OWN_SECONDS, MAX_OWN_SECONDS)?;
    let of = SessionOf::User {
        id: member.id.clone(),
    };
    let session = new_session(ask, &account.to_string(), of, seconds);
    Ok(vec![credentials(ask, &session)?])
}

/// Credentials of a role for whoever its trust policy lets.
pub(super) fn assume_role(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    ask.account()?;
    let arn = form.need("RoleArn")?;
    let name = session_name(form)?;
    let tags = names::tags(form, &[])?;
    let denied = |action: &str| {
        let caller = Principal::of(&ask.caller).arn().to_owned();
        let message =
            format!("User: {caller} is not authorized to perform: {action} on resource: {arn}");
        IamError::new(IamCode::AccessDenied, message)
    };
    let Caller::Member(member) = &ask.caller else {
        return refused(
            IamCode::AccessDenied,
            "Roles may not be assumed by root accounts.",
        );
    };
    let role = role_of(ask, arn).ok_or_else(|| denied("sts:AssumeRole"))?;
    for action in ["sts:AssumeRole", "sts:TagSession"] {
        let is_asked = action == "sts:AssumeRole" || !tags.is_empty();
        if is_asked && !trusts(ask, member, &role, action, name)? {
            return Err(denied(action));
        }
    }
    let longest = match member.kind {
        MemberKind::Session { .. } => MAX_CHAINED_SECONDS.min(role.record.max_session),
        MemberKind::User { .. } => role.record.max_session,
    };
    let seconds = duration(form, DEFAULT_SECONDS, longest)?;
    let session = Session {
        tags,
        ..role_session(ask, &role, arn, name, seconds)?
    };
    role_answer(ask, &role, &session, name)
}

/// The role of an ARN, of whatever account.
pub(super) fn role_of(ask: &Ask<'_>, arn: &str) -> Option<Arc<Known<Role>>> {
    let account = arn.split(':').nth(4)?.parse().ok()?;
    // Of an account that can't sign any more nobody takes on anything.
    ask.app.accounts.of_id(account)?;
    let name = arn.rsplit('/').next()?;
    let role = ask.directory().find::<Role>(account, name)?;
    (role.arn == arn).then_some(role)
}

/// Whether the trust policy lets the caller, and where it names only the account, or another account's, the caller's own policies do so too.
fn trusts(
    ask: &Ask<'_>,
    member: &Member,
    role: &Known<Role>,
    action: &str,
    name: &str,
) -> IamResult<bool> {
    let trust = policy_document::check_trust(&role.record.trust).map_err(IamError::internal)?;
    let principal = Principal::of(&ask.caller);
    let mut context = Context::new();
    principal.fill(&mut context);
    ask.fill(&mut context);
    context.set("sts:RoleSessionName", name);
    context.set_some("sts:ExternalId", ask.form.get("ExternalId"));
    for (key, value) in tag_keys(&ask.form) {
        context.set(key, value);
    }
    let request = Request {
        requester: principal.requester(),
        action,
        resource: &role.arn,
        context: &context,
    };
    let by_trust = trust.decide(&request);
    let is_same_account = role.arn.split(':').nth(4) == Some(principal.account());
    let decision = member
        .grants
        .decide(&request, Some(by_trust), is_same_account);
    tracing::debug!(action, role = role.arn, verdict = ?decision.verdict, "decided by trust and the caller's policies");
    Ok(by_trust.is_allowed() && decision.verdict == Verdict::Allow)
}

/// What a session of a role calls itself.
pub(super) fn session_name(form: &Form) -> IamResult<&str> {
    let name = form.need("RoleSessionName")?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    if (2..=64).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(name);
    }
    refused(
        IamCode::ValidationError,
        format!(
            "1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]{{2,64}}"
        ),
    )
}

pub(super) fn duration(form: &Form, default: u64, longest: u64) -> IamResult<u64> {
    let asked = form.number("DurationSeconds")?;
    let seconds = asked.unwrap_or_else(|| default.min(longest));
    if seconds < MIN_SECONDS {
        let message = format!(
            "1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to {MIN_SECONDS}"
        );
        return refused(IamCode::ValidationError, message);
    }
    if seconds > longest {
        let message =
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return refused(IamCode::ValidationError, message);
    }
    Ok(seconds)
}

fn new_session(ask: &Ask<'_>, account: &str, of: SessionOf, seconds: u64) -> Session {
    let rng = &*ask.app.rng;
    let now = ask.now();
    Session {
        access_key: names::access_key(rng, "ASIA"),
        secret: names::secret(rng),
        account: account.to_owned(),
        of,
        issued: now,
        expires: now.saturating_add(seconds),
        policies: Vec::new(),
        policy_arns: Vec::new(),
        tags: Vec::new(),
        provider: None,
    }
}

/// A session of a role, limited by the policies that the request has.
pub(super) fn role_session(
    ask: &Ask<'_>,
    role: &Known<Role>,
    arn: &str,
    name: &str,
    seconds: u64,
) -> IamResult<Session> {
    let account = arn.split(':').nth(4).unwrap_or_default();
    let of = SessionOf::Role {
        id: role.record.id.clone(),
        session: name.to_owned(),
    };
    let policies: Vec<_> = ask
        .form
        .get("Policy")
        .map(str::to_owned)
        .into_iter()
        .collect();
    for policy in &policies {
        policy_document::check_identity(policy)?;
        if policy.chars().count() > MAX_POLICY_CHARS {
            let message = format!(
                "1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to {MAX_POLICY_CHARS}"
            );
            return refused(IamCode::ValidationError, message);
        }
    }
    let arns = ask.form.structures("PolicyArns", ["arn"]);
    let policy_arns: Vec<_> = arns
        .iter()
        .filter_map(|[arn]| arn.map(str::to_owned))
        .collect();
    if policy_arns.len() > MAX_POLICY_ARNS {
        return refused(
            IamCode::LimitExceeded,
            format!("Cannot exceed quota for PolicyArns: {MAX_POLICY_ARNS}"),
        );
    }
    Ok(Session {
        policies,
        policy_arns,
        ..new_session(ask, account, of, seconds)
    })
}

/// What is answered to whoever took on a role.
pub(super) fn role_answer(
    ask: &Ask<'_>,
    role: &Known<Role>,
    session: &Session,
    name: &str,
) -> IamResult<Vec<Node>> {
    let account = &session.account;
    let arn = format!(
        "arn:aws:sts::{account}:assumed-role/{}/{name}",
        role.record.name
    );
    tracing::info!(arn, "role taken on");
    let user = vec![
        text("AssumedRoleId", format!("{}:{name}", role.record.id)),
        text("Arn", arn),
    ];
    Ok(vec![
        credentials(ask, session)?,
        group("AssumedRoleUser", user),
    ])
}

fn credentials(ask: &Ask<'_>, session: &Session) -> IamResult<Node> {
    let token = session.seal(ask.keyring()?)?;
    let nodes = vec![
        text("AccessKeyId", &*session.access_key),
        text("SecretAccessKey", &*session.secret),
        text("SessionToken", token),
        date("Expiration", session.expires),
    ];
    Ok(group("Credentials", nodes))
}
