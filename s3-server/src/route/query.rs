//! The query of a request, decoded.

use percent_encoding::percent_decode_str;

use crate::error::{S3Code, S3Error, S3Result};

/// Decoded parameters in the order of the URI; a parameter without `=` has an empty value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses a raw query.
    ///
    /// # Errors
    /// [`S3Code::InvalidUri`] where it is no UTF-8 once decoded.
    pub fn parse(raw: Option<&str>) -> S3Result<Self> {
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        pairs.map(parse_pair).collect::<S3Result<_>>().map(Self)
    }

    /// The value of the first parameter `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The value of `name` unless it is missing or empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Whether the parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn parse_pair(pair: &str) -> S3Result<(String, String)> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    Ok((decode(name)?, decode(value)?))
}

fn decode(raw: &str) -> S3Result<String> {
    let spaced;
    let raw = if raw.contains('+') {
        spaced = raw.replace('+', " ");
        &spaced
    } else {
        raw
    };
    let decoded = percent_decode_str(raw).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|error| {
        S3Error::new(S3Code::InvalidUri).element("URI", raw).source_of(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse(Some("uploads&prefix=a%2Fb+c%2B&empty=&&x=a=b")).unwrap();
        assert!(query.has("uploads"));
        assert_eq!(query.get("prefix"), Some("a/b c+"));
        assert_eq!(query.get("x"), Some("a=b"));
        assert_eq!((query.get("empty"), query.filled("empty")), (Some(""), None));
        assert_eq!(query.get("none"), None);
        assert_eq!(Query::parse(None).unwrap(), Query::default());
        assert_eq!(Query::parse(Some("a=%ff")).unwrap_err().code(), S3Code::InvalidUri);
    }
}
