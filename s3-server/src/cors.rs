//! Cross-origin rules of a bucket: which web pages may use it, as the browser is told. Pure.
//!
//! Source: "Using cross-origin resource sharing (CORS)" and `PutBucketCors` of the S3 documentation, and the Fetch standard, 3.2.

use crate::error::{S3Code, S3Error};

/// Rules of a bucket at most.
pub const MAX_RULES: usize = 100;
/// The methods that a rule may name.
pub const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];
const MAX_ID_CHARS: usize = 255;

/// Rules, in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsRules(pub Vec<CorsRule>);

/// What pages of some origins may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsRule {
    /// What the owner calls it.
    pub id: Option<String>,
    /// Origins, with one `*` each at most.
    pub origins: Vec<String>,
    /// Methods, in capitals.
    pub methods: Vec<String>,
    /// Headers that may be sent, with one `*` each at most.
    pub headers: Vec<String>,
    /// Headers that the page gets to see.
    pub exposed: Vec<String>,
    /// How long a browser may remember the answer.
    pub max_age_seconds: Option<u32>,
}

/// A rule that AWS refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorsError {
    /// No rule, too many, or one that lacks what each has.
    #[error("{0}")]
    Malformed(&'static str),
    /// A method that no rule may have.
    #[error("Found unsupported HTTP method in CORS config. Unsupported method is {0}")]
    Method(String),
    /// More than one wildcard.
    #[error("{element} \"{value}\" can not have more than one wildcard.")]
    Wildcards {
        /// The element.
        element: &'static str,
        /// Its text.
        value: String,
    },
    /// A wildcard where there can be none.
    #[error(
        "ExposeHeader \"{0}\" contains wildcard. We currently do not support wildcard for ExposeHeader"
    )]
    ExposedWildcard(String),
}

impl From<CorsError> for S3Error {
    fn from(error: CorsError) -> Self {
        match error {
            CorsError::Malformed(_) => Self::new(S3Code::MalformedXml).source_of(error),
            error => Self::with_message(S3Code::InvalidRequest, error.to_string()),
        }
    }
}

/// What a page wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// `Origin`.
    pub origin: &'a str,
    /// The method, or the one that a preflight announces.
    pub method: &'a str,
    /// The headers that a preflight announces.
    pub headers: Vec<&'a str>,
}

impl CorsRules {
    /// Checks the rules as AWS does.
    ///
    /// # Errors
    /// [`CorsError`].
    pub fn check(&self) -> Result<(), CorsError> {
        if !(1..=MAX_RULES).contains(&self.0.len()) {
            return Err(CorsError::Malformed("1 to 100 rules are allowed"));
        }
        self.0.iter().try_for_each(CorsRule::check)
    }

    /// The first rule that allows what is asked.
    pub fn find(&self, asked: &Asked<'_>) -> Option<&CorsRule> {
        self.0.iter().find(|rule| rule.allows(asked))
    }
}

impl CorsRule {
    fn check(&self) -> Result<(), CorsError> {
        if self.origins.is_empty() || self.methods.is_empty() {
            return Err(CorsError::Malformed("a rule lacks origin or method"));
        }
        if self
            .id
            .as_ref()
            .is_some_and(|id| id.chars().count() > MAX_ID_CHARS)
        {
            return Err(CorsError::Malformed("the identifier of a rule is too long"));
        }
        let wrong = self.methods.iter().find(|m| !METHODS.contains(&m.as_str()));
        if let Some(method) = wrong {
            return Err(CorsError::Method(method.clone()));
        }
        one_wildcard("AllowedOrigin", &self.origins)?;
        one_wildcard("AllowedHeader", &self.headers)?;
        match self.exposed.iter().find(|header| header.contains('*')) {
            Some(header) => Err(CorsError::ExposedWildcard(header.clone())),
            None => Ok(()),
        }
    }

    fn allows(&self, asked: &Asked<'_>) -> bool {
        self.origins
            .iter()
            .any(|origin| matches(origin, asked.origin))
            && self.methods.iter().any(|method| method == asked.method)
            && asked
                .headers
                .iter()
                .all(|header| self.allows_header(header))
    }

    fn allows_header(&self, header: &str) -> bool {
        let header = header.to_ascii_lowercase();
        let mut allowed = self.headers.iter();
        allowed.any(|pattern| matches(&pattern.to_ascii_lowercase(), &header))
    }

    /// Whether every page may, without credentials of the browser.
    pub fn is_for_all(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }
}

fn one_wildcard(element: &'static str, values: &[String]) -> Result<(), CorsError> {
    let wrong = values.iter().find(|v| v.matches('*').count() > 1);
    wrong.map_or(Ok(()), |value| {
        let value = value.clone();
        Err(CorsError::Wildcards { element, value })
    })
}

/// Whether `text` is `pattern`, in which one `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, end)) = pattern.split_once('*') else {
        return pattern == text;
    };
    text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> CorsRule {
        CorsRule {
            origins: strings(origins),
            methods: strings(methods),
            headers: strings(headers),
            ..CorsRule::default()
        }
    }

    fn asked<'a>(origin: &'a str, method: &'a str, headers: &[&'a str]) -> Asked<'a> {
        let headers = headers.to_vec();
        Asked {
            origin,
            method,
            headers,
        }
    }

    #[test]
    fn one_wildcard_stands_for_anything() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "https://a", true),
            ("https://a", "https://a", true),
            ("https://a", "https://ab", false),
            ("https://*.a", "https://b.a", true),
            ("https://*.a", "https://.a", true),
            ("https://*.a", "https://a", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_rule_that_allows_all_of_it_counts() {
        let rules = CorsRules(vec![
            rule(&["https://a"], &["GET"], &["x-amz-*", "Content-Type"]),
            rule(&["*"], &["GET", "PUT"], &[]),
        ]);
        let find = |asked: &Asked<'_>| {
            let found = rules.find(asked)?;
            rules.0.iter().position(|rule| rule == found)
        };
        assert_eq!(
            find(&asked("https://a", "GET", &["X-Amz-Date", "content-type"])),
            Some(0)
        );
        assert_eq!(find(&asked("https://a", "GET", &["authorization"])), None);
        assert_eq!(find(&asked("https://a", "PUT", &[])), Some(1));
        assert_eq!(find(&asked("https://b", "DELETE", &[])), None);
    }

    #[test]
    fn rules_that_aws_refuses_are_refused_in_its_words() {
        let check = |rule: CorsRule| CorsRules(vec![rule]).check().unwrap_err().to_string();
        assert!(CorsRules(vec![]).check().is_err());
        let good = rule(&["*"], &["GET"], &[]);
        assert!(CorsRules(vec![good.clone(); 100]).check().is_ok());
        assert!(CorsRules(vec![good.clone(); 101]).check().is_err());
        assert_eq!(
            check(rule(&["*"], &["PATCH"], &[])),
            "Found unsupported HTTP method in CORS config. Unsupported method is PATCH"
        );
        assert_eq!(
            check(rule(&["http://*.*"], &["GET"], &[])),
            "AllowedOrigin \"http://*.*\" can not have more than one wildcard."
        );
        assert_eq!(
            check(rule(&["*"], &["GET"], &["**"])),
            "AllowedHeader \"**\" can not have more than one wildcard."
        );
        let exposed = strings(&["x-*"]);
        assert!(check(CorsRule { exposed, ..good }).contains("do not support wildcard"));
    }
}
