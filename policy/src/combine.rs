//! One decision from all policies that concern a request.

use crate::{
    evaluate::{Decision, Verdict},
    principal::{Requester, Via},
};

/// What the policies that concern a request decide, each kind for itself.
#[derive(Clone, Copy, Debug)]
pub struct Policies<'p> {
    /// Those of the requester: allowed where one of them allows and none denies. `None` where it has none because nobody can give
    /// it any: a root, an unknown, a service.
    pub identity: Option<Decision<'p>>,
    /// The most that the requester's policies may allow, where that is limited.
    pub boundary: Option<Decision<'p>>,
    /// The most that the requester's session may do, where that is limited.
    pub session: Option<Decision<'p>>,
    /// That of the resource, where it has one.
    pub resource: Option<Decision<'p>>,
    /// Whether the resource belongs to the requester's account.
    pub is_same_account: bool,
}

/// What the policies decide together, as AWS has it:
///
/// - an explicit deny in any of them wins;
/// - within an account either side suffices, the requester's policies within its boundary and its session, or the resource's policy where
///   it names the requester and not just the account;
/// - across accounts both are needed;
/// - a root may do what its account may, so that only the resource's policy is asked.
///
/// The statement of the decision is that of the policy that decided; where both sides are needed, that of the resource's policy.
pub fn combine<'p>(requester: &Requester<'_>, policies: &Policies<'p>) -> Decision<'p> {
    let Policies {
        identity,
        boundary,
        session,
        resource,
        is_same_account,
    } = *policies;
    let all = [resource, identity, boundary, session];
    let is_denied = |d: &Decision<'_>| d.verdict == Verdict::ExplicitDeny;
    if let Some(denied) = all.into_iter().flatten().find(is_denied) {
        return denied;
    }
    let allows = |decision: Option<Decision<'_>>| decision.is_none_or(|d| d.is_allowed());
    let is_limited = !(allows(boundary) && allows(session));
    let is_root = matches!(requester, Requester::Root(_));
    let by_itself = identity.filter(|d| d.is_allowed() && !is_limited);
    let by_resource = resource.filter(Decision::is_allowed);
    let has_account = requester.account().is_some();
    match (has_account, is_same_account) {
        (false, _) => by_resource.unwrap_or(Decision::NONE),
        (true, true) if is_root => by_resource.unwrap_or(ROOT),
        (true, true) => {
            let suffices = |d: &Decision<'_>| match d.via {
                Some(Via::Itself) => true,
                Some(Via::Everyone | Via::Role) => !is_limited,
                Some(Via::Account) | None => false,
            };
            let by_resource = by_resource.filter(suffices);
            by_resource.or(by_itself).unwrap_or(Decision::NONE)
        }
        (true, false) if is_root || by_itself.is_some() => by_resource.unwrap_or(Decision::NONE),
        (true, false) => Decision::NONE,
    }
}

/// Allowed for being the root of the account, which no statement says.
const ROOT: Decision<'static> = Decision {
    verdict: Verdict::Allow,
    statement: None,
    via: None,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::Account;

    const ACCOUNT: Account<'_> = Account {
        id: "111122223333",
        canonical_id: "c",
    };
    const USER: Requester<'_> = Requester::User {
        account: ACCOUNT,
        arn: "arn:aws:iam::111122223333:user/u",
    };
    const DENY: Option<Decision<'_>> = Some(Decision {
        verdict: Verdict::ExplicitDeny,
        statement: None,
        via: None,
    });
    const SILENT: Option<Decision<'_>> = Some(Decision::NONE);
    const YES: Option<Decision<'_>> = Some(ROOT);

    #[expect(clippy::unnecessary_wraps, reason = "as the fields that it is for")]
    fn via(via: Via) -> Option<Decision<'static>> {
        Some(Decision {
            via: Some(via),
            ..ROOT
        })
    }

    fn allowed(requester: Requester<'_>, policies: Policies<'_>) -> bool {
        combine(&requester, &policies).is_allowed()
    }

    fn same(
        identity: Option<Decision<'static>>,
        resource: Option<Decision<'static>>,
    ) -> Policies<'static> {
        Policies {
            identity,
            boundary: None,
            session: None,
            resource,
            is_same_account: true,
        }
    }

    fn across(
        identity: Option<Decision<'static>>,
        resource: Option<Decision<'static>>,
    ) -> Policies<'static> {
        Policies {
            is_same_account: false,
            ..same(identity, resource)
        }
    }

    #[test]
    fn within_an_account_either_side_suffices() {
        assert!(allowed(USER, same(YES, None)));
        assert!(allowed(USER, same(YES, SILENT)));
        assert!(allowed(USER, same(SILENT, via(Via::Itself))));
        assert!(allowed(USER, same(SILENT, via(Via::Everyone))));
        assert!(!allowed(USER, same(SILENT, via(Via::Account))));
        assert!(!allowed(USER, same(SILENT, SILENT)));
    }

    #[test]
    fn across_accounts_both_are_needed() {
        assert!(allowed(USER, across(YES, via(Via::Account))));
        assert!(!allowed(USER, across(YES, SILENT)));
        assert!(!allowed(USER, across(YES, None)));
        assert!(!allowed(USER, across(SILENT, via(Via::Itself))));
        assert!(allowed(
            Requester::Root(ACCOUNT),
            across(None, via(Via::Itself))
        ));
        assert!(!allowed(Requester::Root(ACCOUNT), across(None, None)));
    }

    #[test]
    fn roots_may_do_all_in_their_account_but_what_is_denied() {
        let root = Requester::Root(ACCOUNT);
        assert!(allowed(root, same(None, None)));
        assert!(allowed(root, same(None, SILENT)));
        assert!(!allowed(root, same(None, DENY)));
    }

    #[test]
    fn the_unknown_may_do_what_the_resource_says() {
        let anonymous = Requester::Anonymous;
        assert!(!allowed(anonymous, across(None, None)));
        assert!(!allowed(anonymous, across(None, SILENT)));
        assert!(allowed(anonymous, across(None, via(Via::Everyone))));
    }

    #[test]
    fn boundaries_and_sessions_limit_and_a_deny_anywhere_wins() {
        let limits = [SILENT, DENY];
        for limit in limits {
            let policies = same(YES, via(Via::Role));
            assert!(!allowed(
                USER,
                Policies {
                    boundary: limit,
                    ..policies
                }
            ));
            assert!(!allowed(
                USER,
                Policies {
                    session: limit,
                    ..policies
                }
            ));
        }
        let named = same(SILENT, via(Via::Itself));
        assert!(allowed(
            USER,
            Policies {
                session: SILENT,
                ..named
            }
        ));
        assert!(!allowed(
            USER,
            Policies {
                session: DENY,
                ..named
            }
        ));
        assert!(!allowed(USER, same(DENY, via(Via::Itself))));
        assert!(!allowed(USER, same(YES, DENY)));
    }
}
