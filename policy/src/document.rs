//! A policy as it is in memory.

use crate::{
    arn::ArnPattern, condition::Condition, error::PolicyError, pattern::Pattern,
    principal::NamedPrincipal,
};

/// What a policy is attached to, and so which elements it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To a resource: statements say for whom and for which resources they are.
    Resource,
    /// To a user, group, role or session: statements name no principal.
    Identity,
    /// To a role, saying who may take it on: statements name no resource.
    Trust,
}

/// The version of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `2008-10-17`, also where none is given: without variables.
    V2008,
    /// `2012-10-17`.
    V2012,
}

/// What a statement does to the requests that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Allows them, unless another denies them.
    Allow,
    /// Denies them.
    Deny,
}

/// A policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What those call it who keep it; see [`Policy::named`].
    pub(crate) name: Option<Box<str>>,
    pub(crate) version: Version,
    pub(crate) id: Option<Box<str>>,
    pub(crate) statements: Box<[Statement]>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) effect: Effect,
    /// `None` where the kind of policy has none.
    pub(crate) principals: Option<Either<NamedPrincipal>>,
    pub(crate) actions: Either<Pattern>,
    /// `None` where the kind of policy has none.
    pub(crate) resources: Option<Either<ArnPattern>>,
    pub(crate) conditions: Box<[Condition]>,
}

/// Those that are listed, or all but those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Either<T> {
    pub(crate) except: bool,
    pub(crate) listed: Box<[T]>,
}

impl Policy {
    /// Reads a policy of some kind.
    ///
    /// # Errors
    /// [`PolicyError`]: whoever wrote it corrects what it names.
    pub fn parse(document: &[u8], kind: Kind) -> Result<Self, PolicyError> {
        crate::parse::policy(document, kind)
    }

    /// The version of the language that it is in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its name.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether a decision may depend on a condition key of this name. A name that ends in `/` stands for all keys that begin so, such
    /// as `s3:ExistingObjectTag/`.
    pub fn looks_at(&self, key: &str) -> bool {
        let is_meant = |looked_at: &str| {
            if key.ends_with('/') {
                let start = looked_at.get(..key.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(key))
            } else {
                looked_at.eq_ignore_ascii_case(key)
            }
        };
        self.statements.iter().any(|statement| {
            let conditions = &statement.conditions;
            let resources = statement.resources.iter().flat_map(|r| r.listed.iter());
            let mut in_resources = resources.flat_map(|resource| resource.whole().variables());
            conditions
                .iter()
                .any(|condition| is_meant(condition.key()) || condition.variables().any(is_meant))
                || in_resources.any(is_meant)
        })
    }

    /// Everybody whom it names.
    pub fn principals(&self) -> impl Iterator<Item = &NamedPrincipal> {
        let principals = self.statements.iter().filter_map(|s| s.principals.as_ref());
        principals.flat_map(|either| either.listed.iter())
    }
}
