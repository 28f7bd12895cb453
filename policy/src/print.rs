//! From a policy back to JSON.

use std::fmt::{self, Write as _};

use crate::{
    document::{Effect, Either, Policy, Statement, Version},
    principal::NamedPrincipal,
};

impl fmt::Display for Policy {
    /// The policy as a document, which reads as the same policy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version {
            Version::V2008 => "2008-10-17",
            Version::V2012 => "2012-10-17",
        };
        write!(f, "{{\"Version\":\"{version}\"")?;
        if let Some(id) = &self.id {
            write!(f, ",\"Id\":{}", Quoted(id))?;
        }
        f.write_str(",\"Statement\":[")?;
        separated(f, self.statements.iter(), statement)?;
        f.write_str("]}")
    }
}

fn statement(f: &mut fmt::Formatter<'_>, statement: &Statement) -> fmt::Result {
    f.write_char('{')?;
    if let Some(sid) = &statement.sid {
        write!(f, "\"Sid\":{},", Quoted(sid))?;
    }
    let effect = match statement.effect {
        Effect::Allow => "Allow",
        Effect::Deny => "Deny",
    };
    write!(f, "\"Effect\":\"{effect}\"")?;
    if let Some(principals) = &statement.principals {
        self::principals(f, principals)?;
    }
    let actions = &statement.actions;
    either(f, "Action", actions, |action| action.source())?;
    if let Some(resources) = &statement.resources {
        either(f, "Resource", resources, |resource| {
            resource.whole().source()
        })?;
    }
    conditions(f, statement)?;
    f.write_char('}')
}

fn either<T>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    either: &Either<T>,
    source: impl Fn(&T) -> &str,
) -> fmt::Result {
    let not = if either.except { "Not" } else { "" };
    write!(f, ",\"{not}{name}\":[")?;
    separated(f, either.listed.iter(), |f, item| {
        write!(f, "{}", Quoted(source(item)))
    })?;
    f.write_char(']')
}

/// Those of one kind are together, in the order in which kinds come first.
fn principals(f: &mut fmt::Formatter<'_>, either: &Either<NamedPrincipal>) -> fmt::Result {
    let not = if either.except { "Not" } else { "" };
    write!(f, ",\"{not}Principal\":")?;
    if *either.listed == [NamedPrincipal::Everyone] {
        return f.write_str("\"*\"");
    }
    let mut kinds = Vec::new();
    for (kind, _) in either.listed.iter().map(NamedPrincipal::source) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    f.write_char('{')?;
    separated(f, kinds.iter(), |f, kind| {
        write!(f, "\"{kind}\":[")?;
        let sources = either.listed.iter().map(NamedPrincipal::source);
        let of_kind = sources.filter(|(k, _)| k == kind);
        separated(f, of_kind, |f, (_, text)| write!(f, "{}", Quoted(text)))?;
        f.write_char(']')
    })?;
    f.write_char('}')
}

fn conditions(f: &mut fmt::Formatter<'_>, statement: &Statement) -> fmt::Result {
    let conditions = &statement.conditions;
    if conditions.is_empty() {
        return Ok(());
    }
    f.write_str(",\"Condition\":{")?;
    let groups = conditions.chunk_by(|a, b| a.operator() == b.operator() && a.key() != b.key());
    separated(f, groups, |f, group| {
        let operator = group
            .first()
            .map(|condition| condition.operator().to_string());
        write!(f, "{}:{{", Quoted(&operator.unwrap_or_default()))?;
        separated(f, group.iter(), |f, condition| {
            write!(f, "{}:[", Quoted(condition.key()))?;
            separated(f, condition.sources().iter(), |f, value| {
                write!(f, "{}", Quoted(value))
            })?;
            f.write_char(']')
        })?;
        f.write_char('}')
    })?;
    f.write_char('}')
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (number, item) in items.enumerate() {
        if number > 0 {
            f.write_char(',')?;
        }
        write(f, item)?;
    }
    Ok(())
}

/// A JSON string.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}
