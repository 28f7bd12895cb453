//! Text with wildcards and policy variables.
//!
//! What a variable stands for is taken literally: wildcards count only where the policy itself has them. A variable without a value
//! matches nothing.

use std::borrow::Cow;

use crate::{context::Context, error::PolicyError};

/// A text to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    source: Box<str>,
    pieces: Box<[Piece]>,
    has_variables: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// `?`
    One,
    /// `*`
    Any,
    /// `${key, 'default'}`
    Variable {
        key: Box<str>,
        default: Option<Box<str>>,
    },
}

/// What has a meaning of its own in a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syntax {
    /// `*` and `?`.
    pub(crate) wildcards: bool,
    /// `${…}`.
    pub(crate) variables: bool,
}

/// Whether case counts. Only that of ASCII letters can be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Counts,
    Ignored,
}

/// A piece whose variable is known.
#[derive(Clone, Debug)]
enum Token<'a> {
    Text(Cow<'a, str>),
    One,
    Any,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PolicyError::Variable`].
    pub(crate) fn parse(source: &str, syntax: Syntax) -> Result<Self, PolicyError> {
        let pieces = Parser::new(source, syntax).pieces()?;
        let is_variable = |piece: &Piece| matches!(piece, Piece::Variable { .. });
        Ok(Self {
            source: source.into(),
            has_variables: pieces.iter().any(is_variable),
            pieces: pieces.into(),
        })
    }

    /// The pattern as it was written.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether it can match one text at most, known from the pattern alone.
    pub(crate) fn is_fixed(&self) -> bool {
        self.pieces
            .iter()
            .all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// Whether it matches all texts.
    pub(crate) fn is_everything(&self) -> bool {
        matches!(&*self.pieces, [Piece::Any])
    }

    /// The keys of its variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable { key, .. } => Some(&**key),
            _ => None,
        })
    }

    /// Whether `text` matches. Only patterns with variables allocate.
    pub(crate) fn matches(&self, text: &str, context: &Context<'_>, case: Case) -> bool {
        if !self.has_variables {
            return glob(self.pieces.len(), |i| self.pieces[i].token(), text, case);
        }
        let Some(tokens) = self.resolved(context) else {
            return false;
        };
        glob(tokens.len(), |i| tokens[i].borrowed(), text, case)
    }

    /// `None` where a variable has no value.
    fn resolved<'a>(&'a self, context: &'a Context<'_>) -> Option<Vec<Token<'a>>> {
        let resolve = |piece: &'a Piece| match piece {
            Piece::Variable { key, default } => {
                let value = context.single(key).map(crate::context::Value::text);
                let value = value.or_else(|| default.as_deref().map(Cow::Borrowed))?;
                Some(Token::Text(value))
            }
            other => Some(other.token()),
        };
        self.pieces.iter().map(resolve).collect()
    }
}

impl Piece {
    /// A variable is never asked: patterns with variables are resolved first.
    fn token(&self) -> Token<'_> {
        match self {
            Self::Text(text) => Token::Text(Cow::Borrowed(text)),
            Self::Variable { key, .. } => Token::Text(Cow::Borrowed(key)),
            Self::One => Token::One,
            Self::Any => Token::Any,
        }
    }
}

impl Token<'_> {
    fn borrowed(&self) -> Token<'_> {
        match self {
            Self::Text(text) => Token::Text(Cow::Borrowed(text)),
            Self::One => Token::One,
            Self::Any => Token::Any,
        }
    }
}

/// Whether `text` matches `count` tokens. On a mismatch the last `*` takes one character more; earlier ones need never be looked at
/// again, so that the time is bounded by the product of the lengths.
fn glob<'p>(count: usize, token: impl Fn(usize) -> Token<'p>, text: &str, case: Case) -> bool {
    let (mut at, mut next) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = if next == count {
            (at == text.len()).then_some(0)
        } else {
            match token(next) {
                Token::Any if next + 1 == count => return true,
                Token::Any => {
                    star = Some((next + 1, at));
                    Some(0)
                }
                Token::One => text[at..].chars().next().map(char::len_utf8),
                Token::Text(piece) => starts_with(&text[at..], &piece, case),
            }
        };
        match (step, star) {
            (Some(_), _) if next == count => return true,
            (Some(bytes), _) => {
                at += bytes;
                next += 1;
            }
            (None, None) => return false,
            (None, Some((after, from))) => {
                let Some(skipped) = text[from..].chars().next() else {
                    return false;
                };
                at = from + skipped.len_utf8();
                next = after;
                star = Some((after, at));
            }
        }
    }
}

/// The length of `piece`, if `text` begins with it.
fn starts_with(text: &str, piece: &str, case: Case) -> Option<usize> {
    let begins = match case {
        Case::Counts => text.starts_with(piece),
        Case::Ignored => text
            .get(..piece.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(piece)),
    };
    begins.then_some(piece.len())
}

struct Parser<'a> {
    source: &'a str,
    rest: &'a str,
    syntax: Syntax,
    pieces: Vec<Piece>,
    text: String,
}

impl<'a> Parser<'a> {
    fn new(source: &'a str, syntax: Syntax) -> Self {
        Self {
            source,
            rest: source,
            syntax,
            pieces: Vec::new(),
            text: String::new(),
        }
    }

    fn pieces(mut self) -> Result<Vec<Piece>, PolicyError> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                '$' if self.syntax.variables && self.rest.starts_with("${") => self.variable()?,
                '*' if self.syntax.wildcards => self.push(Piece::Any, 1),
                '?' if self.syntax.wildcards => self.push(Piece::One, 1),
                c => {
                    self.text.push(c);
                    self.rest = &self.rest[c.len_utf8()..];
                }
            }
        }
        self.flush();
        Ok(self.pieces)
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.pieces.push(Piece::Text(text.into()));
        }
    }

    fn push(&mut self, piece: Piece, bytes: usize) {
        self.flush();
        self.rest = &self.rest[bytes..];
        if piece != Piece::Any || self.pieces.last() != Some(&Piece::Any) {
            self.pieces.push(piece);
        }
    }

    /// `${key}`, `${key, 'default'}`, and `${*}`, `${?}`, `${$}`, which are the characters themselves.
    fn variable(&mut self) -> Result<(), PolicyError> {
        let bad = || PolicyError::Variable(self.source.to_owned());
        let bytes = variable_bytes(self.rest).ok_or_else(bad)?;
        let inside = self.rest[2..bytes - 1].trim();
        if let "*" | "?" | "$" = inside {
            self.text.push_str(inside);
            self.rest = &self.rest[bytes..];
            return Ok(());
        }
        let (key, default) = match inside.split_once(',') {
            Some((key, default)) => (key.trim_end(), Some(unquoted(default).ok_or_else(bad)?)),
            None => (inside, None),
        };
        let is_key = |key: &str| {
            let fits = |b: u8| b.is_ascii_graphic() && !b"'{}$*?,".contains(&b) || b == b' ';
            key.contains(':') && key.bytes().all(fits)
        };
        if !is_key(key) {
            return Err(bad());
        }
        let (key, default) = (key.into(), default.map(Into::into));
        self.push(Piece::Variable { key, default }, bytes);
        Ok(())
    }
}

/// `'text'`, in which two quotes are one.
fn unquoted(default: &str) -> Option<String> {
    let quoted = default.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let text = quoted.replace("''", "\0");
    (!text.contains('\'')).then(|| text.replace('\0', "'"))
}

/// How long the variable is that `text` begins with; braces within quotes belong to a default.
pub(crate) fn variable_bytes(text: &str) -> Option<usize> {
    let mut is_quoted = false;
    for (at, b) in text.bytes().enumerate().skip(2) {
        match b {
            b'\'' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Syntax = Syntax {
        wildcards: true,
        variables: true,
    };

    fn matches(pattern: &str, text: &str) -> bool {
        let mut context = Context::new();
        context.set("aws:username", "a*b");
        context.set("aws:epochtime", 7);
        let pattern = Pattern::parse(pattern, ALL).expect("a pattern");
        pattern.matches(text, &context, Case::Counts)
    }

    #[test]
    fn wildcards_match_as_in_file_names() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything/at:all", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "ü", true),
            ("*?ü", "xü", true),
            ("*ab", "aab", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*abc*abd", "abcabcabd", true),
            ("**a**", "a", true),
            ("a*", "b", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn variables_stand_for_values_without_wildcards() {
        for (pattern, text, expected) in [
            ("home/${aws:username}/*", "home/a*b/x", true),
            ("home/${aws:username}/*", "home/axb/x", false),
            ("home/${AWS:UserName}/*", "home/a*b/x", true),
            ("${aws:EpochTime}", "7", true),
            ("${aws:nobody}", "", false),
            ("x${aws:nobody, 'all'}", "xall", true),
            ("x${aws:username, 'all'}", "xa*b", true),
            ("${aws:nobody, 'it''s }{ *'}", "it's }{ *", true),
            ("${*}${?}${$}{", "*?${", true),
            ("${*}", "x", false),
            ("$x$", "$x$", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn wrong_variables_are_refused() {
        for pattern in [
            "${",
            "${}",
            "${aws:x",
            "${x}",
            "${aws:a*}",
            "${aws:x, y}",
            "${aws:x, 'y}",
            "${aws:x, 'a'b'}",
            "${aws:${a:b}}",
        ] {
            let error = Pattern::parse(pattern, ALL).expect_err(pattern);
            assert_eq!(error, PolicyError::Variable(pattern.to_owned()));
        }
    }

    #[test]
    fn a_variable_with_several_values_has_none() {
        let mut context = Context::new();
        context.set("aws:tagkeys", vec!["a".into(), "b".into()]);
        let pattern = Pattern::parse("${aws:tagkeys}", ALL).expect("a pattern");
        assert!(!pattern.matches("a", &context, Case::Counts));
    }

    #[test]
    fn case_is_ignored_where_it_is_to_be() {
        let pattern = Pattern::parse("S3:Get*ü", ALL).expect("a pattern");
        let matches = |text, case| pattern.matches(text, &Context::new(), case);
        assert!(matches("s3:getobjectü", Case::Ignored));
        assert!(!matches("s3:getobjectü", Case::Counts));
        assert!(!matches("s3:ge", Case::Ignored));
    }

    /// The obvious way, in exponential time.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            (['*', rest @ ..], text) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            (['?', rest @ ..], [_, text @ ..]) => naive(rest, text),
            ([p, rest @ ..], [t, text @ ..]) => p == t && naive(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn wildcards_match_what_the_obvious_way_matches(pattern in "[abü*?]{0,10}", text in "[abü]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = naive(&chars(&pattern), &chars(&text));
            prop_assert_eq!(matches(&pattern, &text), expected);
        }

        #[test]
        fn no_pattern_panics(pattern in "[a:${}'*?, ü]{0,20}", text in "\\PC{0,10}") {
            if let Ok(pattern) = Pattern::parse(&pattern, ALL) {
                pattern.matches(&text, &Context::new(), Case::Ignored);
            }
        }
    }
}
