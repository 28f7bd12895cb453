//! A request of AWS's Query protocol: an action and its parameters, as a form.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Tag;

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Which of the two APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Iam,
    Sts,
}

impl Api {
    /// What requests are signed for.
    pub(super) fn service(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Iam => "2010-05-08",
            Self::Sts => "2011-06-15",
        }
    }
}

/// An action with its parameters.
#[derive(Clone)]
pub(super) struct Form {
    pub(super) api: Api,
    /// A parameter may be a token: there is no `Debug`.
    fields: Vec<(String, String)>,
}

impl Form {
    pub(super) fn iam(action: &str) -> Self {
        Self::new(Api::Iam, action)
    }

    pub(super) fn sts(action: &str) -> Self {
        Self::new(Api::Sts, action)
    }

    fn new(api: Api, action: &str) -> Self {
        let fields = Vec::new();
        Self { api, fields }
            .with("Action", action)
            .with("Version", api.version())
    }

    pub(super) fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub(super) fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// A list of texts.
    pub(super) fn list<'a>(self, name: &str, all: impl IntoIterator<Item = &'a str>) -> Self {
        let numbered = (1..).zip(all);
        numbered.fold(self, |form, (number, value)| {
            form.with(format!("{name}.member.{number}"), value)
        })
    }

    pub(super) fn tags(self, tags: &[Tag]) -> Self {
        let numbered = (1..).zip(tags);
        numbered.fold(self, |form, (number, tag)| {
            form.with(format!("Tags.member.{number}.Key"), &*tag.key)
                .with(format!("Tags.member.{number}.Value"), &*tag.value)
        })
    }

    pub(super) fn action(&self) -> &str {
        &self.fields[0].1
    }

    /// As it is sent.
    pub(super) fn encoded(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let pairs = self.fields.iter();
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        pairs.join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_tags_are_numbered_from_one() {
        let tag = Tag {
            key: "a b".to_owned(),
            value: "ü".to_owned(),
        };
        let form = Form::iam("X").list("L", ["p", "q"]).tags(&[tag]);
        assert_eq!(
            form.encoded(),
            "Action=X&Version=2010-05-08&L.member.1=p&L.member.2=q&Tags.member.1.Key=a%20b&Tags.member.1.Value=%C3%BC"
        );
        assert_eq!((form.action(), form.api.service()), ("X", "iam"));
    }
}
