//! What a policy decides about a request.

use crate::{
    arn::ArnPattern,
    context::Context,
    document::{Effect, Either, Policy, Statement},
    pattern::{Case, Pattern},
    principal::{NamedPrincipal, Requester, Via},
};

/// Who wants to do what to which resource.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who.
    pub requester: Requester<'a>,
    /// `service:Action`.
    pub action: &'a str,
    /// The resource's name. What concerns no resource is written `arn:aws:s3:::*`, so that policies for all buckets hold.
    pub resource: &'a str,
    /// The condition keys.
    pub context: &'a Context<'a>,
}

/// What is to happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A statement allows it.
    Allow,
    /// No statement is about it.
    ImplicitDeny,
    /// A statement denies it.
    ExplicitDeny,
}

/// A statement of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementRef<'p> {
    /// What its policy is called, see [`Policy::named`].
    pub policy: Option<&'p str>,
    /// Its place in the policy, from 0.
    pub index: usize,
    /// Its name.
    pub sid: Option<&'p str>,
}

/// A verdict, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'p> {
    /// The verdict.
    pub verdict: Verdict,
    /// The statement that decided; `None` where none did.
    pub statement: Option<StatementRef<'p>>,
    /// How the statements that allow it name the requester, the most exact of them; `None` where nothing allows it, or where the policy
    /// names nobody.
    pub via: Option<Via>,
}

impl Decision<'_> {
    /// That no statement is about the request.
    pub const NONE: Decision<'static> = Decision {
        verdict: Verdict::ImplicitDeny,
        statement: None,
        via: None,
    };

    /// Whether the request is allowed.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allow
    }
}

impl Policy {
    /// The policy with a name for those who read what it decided, such as the ARN that it is kept under. It is no part of the document.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// What this policy alone decides. A policy without principals is that of whoever asks.
    pub fn decide(&self, request: &Request<'_>) -> Decision<'_> {
        let mut best = Decision::NONE;
        for (index, statement) in self.statements.iter().enumerate() {
            let is_better = |via: Option<Via>| !best.is_allowed() || via > best.via;
            let Some(via) = statement.applies(request) else {
                continue;
            };
            let found = || {
                let sid = statement.sid.as_deref();
                let policy = self.name.as_deref();
                Some(StatementRef { policy, index, sid })
            };
            match statement.effect {
                Effect::Deny => {
                    return Decision {
                        verdict: Verdict::ExplicitDeny,
                        statement: found(),
                        via: None,
                    };
                }
                Effect::Allow if is_better(via) => {
                    best = Decision {
                        verdict: Verdict::Allow,
                        statement: found(),
                        via,
                    };
                }
                Effect::Allow => {}
            }
        }
        best
    }
}

impl Statement {
    /// `Some` when it is about the request, with how it names the requester; the cheap questions come first.
    #[expect(
        clippy::option_option,
        reason = "a policy without principals names nobody"
    )]
    fn applies(&self, request: &Request<'_>) -> Option<Option<Via>> {
        if !self
            .actions
            .has(|action: &Pattern| action.matches(request.action, request.context, Case::Ignored))
        {
            return None;
        }
        let via = match &self.principals {
            None => None,
            Some(principals) => Some(names(principals, &request.requester)?),
        };
        let is_resource =
            |resource: &ArnPattern| resource.matches(request.resource, request.context);
        let is_about = self.resources.as_ref().is_none_or(|r| r.has(is_resource))
            && self.conditions.iter().all(|c| c.holds(request.context));
        is_about.then_some(via)
    }
}

impl<T> Either<T> {
    fn has(&self, is: impl Fn(&T) -> bool) -> bool {
        self.listed.iter().any(is) != self.except
    }
}

/// How a statement's principals name `requester`. Where they are those that are not meant, naming an account means its root, not all who
/// belong to it.
fn names(principals: &Either<NamedPrincipal>, requester: &Requester<'_>) -> Option<Via> {
    let listed = principals.listed.iter();
    let found = listed
        .filter_map(|principal| principal.names(requester))
        .max();
    if principals.except {
        let is_excepted = found.is_some_and(|via| via > Via::Account);
        return (!is_excepted).then_some(Via::Everyone);
    }
    found
}

#[cfg(test)]
mod tests;
