//! Bucket policies: which of the policies for resources a bucket can have.

use crate::{
    arn::ArnPattern,
    context::Context,
    document::{Either, Kind, Policy, Statement},
    error::PolicyError,
    pattern::{Case, Pattern},
    principal::NamedPrincipal,
    s3::{self, Action, Scope},
};

/// The longest bucket policy.
pub const MAX_BYTES: usize = 20 * 1024;

const RESOURCE_PREFIX: &str = "arn:aws:s3:::";

/// Beginnings of condition keys that are none of S3's: those of all services, and those that identity providers give.
const FOREIGN_KEYS: [&str; 7] = [
    "aws:",
    "saml:",
    "sts:",
    "accounts.google.com:",
    "cognito-identity.amazonaws.com:",
    "graph.facebook.com:",
    "www.amazon.com:",
];

/// Reads the policy of `bucket`. `is_known` says whether there is such a principal.
///
/// # Errors
/// [`PolicyError`]: whoever wrote it corrects what it names.
pub fn parse(
    document: &[u8],
    bucket: &str,
    is_known: impl Fn(&NamedPrincipal) -> bool,
) -> Result<Policy, PolicyError> {
    if document.len() > MAX_BYTES {
        return Err(PolicyError::TooLarge {
            got_bytes: document.len(),
            max_bytes: MAX_BYTES,
        });
    }
    let policy = Policy::parse(document, Kind::Resource)?;
    if let Some(unknown) = policy.principals().find(|principal| !is_known(principal)) {
        let (kind, text) = unknown.source();
        return Err(PolicyError::Principal(format!("\"{kind}\" : \"{text}\"")));
    }
    for statement in &policy.statements {
        check(statement, bucket)?;
    }
    Ok(policy)
}

fn check(statement: &Statement, bucket: &str) -> Result<(), PolicyError> {
    let scopes = Scopes::of(statement.resources.as_ref(), bucket)?;
    check_actions(&statement.actions, scopes)?;
    for condition in &statement.conditions {
        check_key(condition.key(), statement, scopes)?;
    }
    Ok(())
}

/// What the resources of a statement are.
#[derive(Clone, Copy, Debug, Default)]
struct Scopes {
    bucket: bool,
    objects: bool,
}

impl Scopes {
    fn of(resources: Option<&Either<ArnPattern>>, bucket: &str) -> Result<Self, PolicyError> {
        let mut scopes = Self::default();
        let Some(resources) = resources else {
            return Ok(scopes);
        };
        for resource in &resources.listed {
            scopes.add(resource.whole().source(), bucket)?;
        }
        if resources.except {
            // All but some objects are objects still, and so with the bucket's own.
            scopes = Self {
                bucket: true,
                objects: true,
            };
        }
        Ok(scopes)
    }

    /// The bucket, something below it, or `bucket*`, which is both.
    fn add(&mut self, resource: &str, bucket: &str) -> Result<(), PolicyError> {
        let name = resource.strip_prefix(RESOURCE_PREFIX);
        let rest = name.and_then(|name| name.strip_prefix(bucket));
        match rest {
            Some("") => self.bucket = true,
            Some("*") => (self.bucket, self.objects) = (true, true),
            Some(key) if key.starts_with('/') => self.objects = true,
            _ => return Err(PolicyError::Resource(resource.to_owned())),
        }
        Ok(())
    }

    fn has(self, scope: Scope) -> bool {
        match scope {
            Scope::Service => false,
            Scope::Bucket => self.bucket,
            Scope::Object => self.objects,
        }
    }
}

/// The actions that a pattern of a policy means.
fn meant(pattern: &Pattern) -> impl Iterator<Item = Action> + '_ {
    let context = Context::new();
    s3::actions().filter(move |action| pattern.matches(action.name, &context, Case::Ignored))
}

fn check_actions(actions: &Either<Pattern>, scopes: Scopes) -> Result<(), PolicyError> {
    for pattern in &actions.listed {
        let source = || pattern.source().to_owned();
        if meant(pattern).next().is_none() {
            return Err(PolicyError::Action(source()));
        }
        if !actions.except && !meant(pattern).any(|action| scopes.has(action.scope)) {
            return Err(PolicyError::ActionWithoutResource(source()));
        }
    }
    Ok(())
}

/// Each action that is named knows the key; of those that a wildcard stands for, one does.
fn check_key(key: &str, statement: &Statement, scopes: Scopes) -> Result<(), PolicyError> {
    let begins = |start: &&str| {
        let beginning = key.get(..start.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
    };
    if FOREIGN_KEYS.iter().any(begins) {
        return Ok(());
    }
    if !s3::is_condition_key(key) {
        return Err(PolicyError::ConditionKey(key.to_owned()));
    }
    let knows = |action: Action| scopes.has(action.scope) && action.knows(key);
    let actions = &statement.actions;
    if actions.except
        || actions
            .listed
            .iter()
            .all(|pattern| meant(pattern).any(knows))
    {
        return Ok(());
    }
    Err(PolicyError::ConditionWithoutAction(key.to_owned()))
}

#[cfg(test)]
mod tests;
