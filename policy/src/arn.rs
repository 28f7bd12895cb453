//! Names of resources: `arn:partition:service:region:account:resource`.

use crate::{
    context::Context,
    error::PolicyError,
    pattern::{Case, Pattern, Syntax, variable_bytes},
};

const PARTS: usize = 6;

/// A pattern of names. A wildcard does not reach over a colon, but for those in the last part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArnPattern {
    whole: Pattern,
    /// `None` for `*`, which is everything, and for what is no name, which is nothing.
    parts: Option<Box<[Pattern]>>,
}

impl ArnPattern {
    /// Reads a pattern; what has too few parts matches nothing.
    ///
    /// # Errors
    /// [`PolicyError::Variable`].
    pub(crate) fn parse(source: &str, variables: bool) -> Result<Self, PolicyError> {
        let syntax = Syntax {
            wildcards: true,
            variables,
        };
        let parse = |part| Pattern::parse(part, syntax);
        let whole = parse(source)?;
        let parts = split_pattern(source, variables);
        let parts = parts.map(|parts| parts.into_iter().map(parse).collect());
        let parts = parts.transpose()?;
        Ok(Self { whole, parts })
    }

    pub(crate) fn whole(&self) -> &Pattern {
        &self.whole
    }

    /// Whether it has all parts of a name.
    pub(crate) fn is_arn(&self) -> bool {
        self.parts.is_some()
    }

    /// The part with this number.
    pub(crate) fn part(&self, number: usize) -> Option<&Pattern> {
        self.parts.as_ref()?.get(number)
    }

    /// Whether a name matches.
    pub(crate) fn matches(&self, name: &str, context: &Context<'_>) -> bool {
        let Some(patterns) = &self.parts else {
            return self.whole.is_everything();
        };
        let Some(parts) = split(name) else {
            return false;
        };
        let mut pairs = patterns.iter().zip(parts);
        pairs.all(|(pattern, part)| pattern.matches(part, context, Case::Counts))
    }
}

/// The parts of a name; the last may have colons in it.
pub(crate) fn split(name: &str) -> Option<[&str; PARTS]> {
    let mut parts = name.splitn(PARTS, ':');
    let mut next = || parts.next();
    let parts = [next()?, next()?, next()?, next()?, next()?, next()?];
    (parts[0] == "arn").then_some(parts)
}

/// As [`split`]; colons within variables do not count.
fn split_pattern(source: &str, variables: bool) -> Option<[&str; PARTS]> {
    let mut parts = [""; PARTS];
    let mut rest = source;
    for part in &mut parts[..PARTS - 1] {
        let end = next_colon(rest, variables)?;
        (*part, rest) = (&rest[..end], &rest[end + 1..]);
    }
    parts[PARTS - 1] = rest;
    (parts[0] == "arn").then_some(parts)
}

fn next_colon(text: &str, variables: bool) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..)?;
        match rest.chars().next()? {
            ':' => return Some(at),
            '$' if variables && rest.starts_with("${") => at += variable_bytes(rest)?,
            c => at += c.len_utf8(),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let mut context = Context::new();
        context.set("aws:username", "ann");
        ArnPattern::parse(pattern, true)
            .expect("a pattern")
            .matches(name, &context)
    }

    #[test]
    fn wildcards_stay_within_their_part() {
        for (pattern, name, expected) in [
            ("*", "arn:aws:s3:::b/k", true),
            ("*", "*", true),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b/a:b:c", true),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b", false),
            ("arn:aws:s3:::b*", "arn:aws:s3:::b/k", true),
            ("arn:aws:s3:*:*:b", "arn:aws:s3:::b", true),
            ("arn:aws:s3:*:b", "arn:aws:s3:::b", false),
            ("arn:*", "arn:aws:s3:::b", false),
            ("a*", "arn:aws:s3:::b", false),
            (
                "arn:aws:s3:::b/${aws:username}/?",
                "arn:aws:s3:::b/ann/x",
                true,
            ),
            (
                "arn:aws:iam::1:user/${aws:username}",
                "arn:aws:iam::1:user/bob",
                false,
            ),
            ("arn:aws:s3:::B", "arn:aws:s3:::b", false),
            ("arn:aws:s3:::b", "b", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
