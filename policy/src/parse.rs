//! From JSON to a policy. Strict: what a policy has no element for is refused, never ignored.

use std::collections::HashSet;

use crate::{
    arn::ArnPattern,
    condition::Condition,
    document::{Effect, Either, Kind, Policy, Statement, Version},
    error::PolicyError,
    json::{self, Json},
    pattern::{Pattern, Syntax},
    principal::NamedPrincipal,
};

type Result<T> = std::result::Result<T, PolicyError>;

/// The members of an object, each of which is taken once.
struct Members(Vec<(String, Json)>);

impl Members {
    fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn take_text(&mut self, name: &str) -> Result<Option<Box<str>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.into())),
            Some(_) => Err(PolicyError::Syntax),
        }
    }

    /// The element, or that for its contrary.
    fn take_either(&mut self, names: [&'static str; 2]) -> Result<Option<(bool, Json)>> {
        match names.map(|name| self.take(name)) {
            [None, None] => Ok(None),
            [Some(json), None] => Ok(Some((false, json))),
            [None, Some(json)] => Ok(Some((true, json))),
            [Some(_), Some(_)] => Err(PolicyError::Syntax),
        }
    }

    fn end(self) -> Result<()> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(PolicyError::UnknownField(name)),
        }
    }
}

pub(crate) fn policy(document: &[u8], kind: Kind) -> Result<Policy> {
    let mut members = Members(json::object(document)?);
    let version = version(members.take_text("Version")?.as_deref())?;
    let id = members.take_text("Id")?;
    let found = members.take("Statement");
    members.end()?;
    let statements = match found {
        None => return Err(PolicyError::MissingField("Statement")),
        Some(Json::Object(one)) => vec![statement(one, kind, version)?],
        Some(Json::List(all)) => statements(all, kind, version)?,
        Some(_) => return Err(PolicyError::Syntax),
    };
    check_sids(&statements, kind)?;
    Ok(Policy {
        name: None,
        version,
        id,
        statements: statements.into(),
    })
}

fn version(text: Option<&str>) -> Result<Version> {
    match text {
        None | Some("2008-10-17") => Ok(Version::V2008),
        Some("2012-10-17") => Ok(Version::V2012),
        Some(_) => Err(PolicyError::Version),
    }
}

fn statements(all: Vec<Json>, kind: Kind, version: Version) -> Result<Vec<Statement>> {
    if all.is_empty() {
        return Err(PolicyError::NoStatement);
    }
    let one = |json| match json {
        Json::Object(members) => statement(members, kind, version),
        _ => Err(PolicyError::Syntax),
    };
    all.into_iter().map(one).collect()
}

/// Names are unique, and those outside of bucket policies of letters and digits.
fn check_sids(statements: &[Statement], kind: Kind) -> Result<()> {
    let mut seen = HashSet::new();
    for sid in statements.iter().filter_map(|s| s.sid.as_deref()) {
        if kind != Kind::Resource && !sid.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(PolicyError::Sid(sid.to_owned()));
        }
        if !sid.is_empty() && !seen.insert(sid) {
            return Err(PolicyError::DuplicateSid(sid.to_owned()));
        }
    }
    Ok(())
}

fn statement(members: Vec<(String, Json)>, kind: Kind, version: Version) -> Result<Statement> {
    let mut members = Members(members);
    let sid = members.take_text("Sid")?;
    let effect = effect(members.take("Effect"))?;
    let principals = match kind {
        Kind::Identity => None,
        Kind::Resource | Kind::Trust => Some(principals(&mut members)?),
    };
    let actions = actions(&mut members)?;
    let resources = match kind {
        Kind::Trust => None,
        Kind::Resource | Kind::Identity => Some(resources(&mut members, version)?),
    };
    let conditions = conditions(members.take("Condition"), version)?;
    members.end()?;
    Ok(Statement {
        sid,
        effect,
        principals,
        actions,
        resources,
        conditions: conditions.into(),
    })
}

fn effect(json: Option<Json>) -> Result<Effect> {
    match json {
        None => Err(PolicyError::MissingField("Effect")),
        Some(Json::Text(text)) if text == "Allow" => Ok(Effect::Allow),
        Some(Json::Text(text)) if text == "Deny" => Ok(Effect::Deny),
        Some(Json::Text(text)) => Err(PolicyError::Effect(text)),
        Some(_) => Err(PolicyError::Syntax),
    }
}

fn principals(members: &mut Members) -> Result<Either<NamedPrincipal>> {
    let found = members.take_either(["Principal", "NotPrincipal"])?;
    let (except, json) = found.ok_or(PolicyError::MissingField("Principal"))?;
    let listed = match json {
        Json::Text(text) if text == "*" => vec![NamedPrincipal::Everyone],
        Json::Text(text) => return Err(PolicyError::Principal(format!("\"{text}\""))),
        Json::Object(kinds) => named(kinds)?,
        _ => return Err(PolicyError::Syntax),
    };
    if listed.is_empty() {
        return Err(PolicyError::EmptyField("Principal"));
    }
    Ok(Either {
        except,
        listed: listed.into(),
    })
}

fn named(kinds: Vec<(String, Json)>) -> Result<Vec<NamedPrincipal>> {
    let mut all = Vec::new();
    for (kind, json) in kinds {
        for text in texts(json)? {
            all.push(NamedPrincipal::parse(&kind, &text)?);
        }
    }
    Ok(all)
}

fn actions(members: &mut Members) -> Result<Either<Pattern>> {
    let found = members.take_either(["Action", "NotAction"])?;
    let (except, json) = found.ok_or(PolicyError::MissingField("Action"))?;
    let texts = texts(json)?;
    if texts.is_empty() {
        return Err(PolicyError::EmptyField("Action"));
    }
    let listed = texts
        .iter()
        .map(|text| action(text))
        .collect::<Result<_>>()?;
    Ok(Either { except, listed })
}

/// `*`, or `service:name` with wildcards.
fn action(text: &str) -> Result<Pattern> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"*?-_".contains(&b);
    let is_action = match text.split_once(':') {
        None => text == "*",
        Some((service, name)) => {
            let is_word = |word: &str| !word.is_empty() && word.bytes().all(fits);
            is_word(service) && is_word(name)
        }
    };
    if !is_action {
        return Err(PolicyError::Action(text.to_owned()));
    }
    let syntax = Syntax {
        wildcards: true,
        variables: false,
    };
    Pattern::parse(text, syntax)
}

fn resources(members: &mut Members, version: Version) -> Result<Either<ArnPattern>> {
    let found = members.take_either(["Resource", "NotResource"])?;
    let (except, json) = found.ok_or(PolicyError::MissingField("Resource"))?;
    let texts = texts(json)?;
    if texts.is_empty() {
        return Err(PolicyError::EmptyField("Resource"));
    }
    let resource = |text: &String| {
        let pattern = ArnPattern::parse(text, version == Version::V2012)?;
        if pattern.is_arn() || pattern.whole().is_everything() {
            Ok(pattern)
        } else {
            Err(PolicyError::Resource(text.clone()))
        }
    };
    let listed = texts.iter().map(resource).collect::<Result<_>>()?;
    Ok(Either { except, listed })
}

fn conditions(json: Option<Json>, version: Version) -> Result<Vec<Condition>> {
    let operators = match json {
        None => return Ok(Vec::new()),
        Some(Json::Object(operators)) => operators,
        Some(_) => return Err(PolicyError::Syntax),
    };
    let mut all = Vec::new();
    for (operator, json) in operators {
        let Json::Object(keys) = json else {
            return Err(PolicyError::Syntax);
        };
        for (key, json) in keys {
            let values = values(json)?;
            let variables = version == Version::V2012;
            if !is_key(&key) {
                return Err(PolicyError::ConditionKey(key));
            }
            all.push(Condition::new(&operator, &key, &values, variables)?);
        }
    }
    Ok(all)
}

/// `service:name`, where the name may have a tag's key after a slash.
fn is_key(key: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
    match key.split_once(':') {
        None => false,
        Some((service, rest)) => {
            let (name, tag) = rest.split_once('/').unwrap_or((rest, ""));
            is_word(service) && is_word(name) && !tag.chars().any(char::is_control)
        }
    }
}

/// A text, or a list of them.
fn texts(json: Json) -> Result<Vec<String>> {
    let text = |json| match json {
        Json::Text(text) => Ok(text),
        _ => Err(PolicyError::Syntax),
    };
    match json {
        Json::List(all) => all.into_iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

/// As [`texts`], of numbers and truth values as well.
fn values(json: Json) -> Result<Vec<String>> {
    let value = |json| match json {
        Json::Text(text) | Json::Plain(text) => Ok(text),
        _ => Err(PolicyError::Syntax),
    };
    match json {
        Json::List(all) => all.into_iter().map(value).collect(),
        one => Ok(vec![value(one)?]),
    }
}

#[cfg(test)]
mod tests;
