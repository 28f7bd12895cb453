//! The parameters of a request of AWS's Query protocol: a form, in the body or in the query.

use std::{borrow::Cow, collections::BTreeMap};

use percent_encoding::percent_decode;

use super::error::{IamCode, IamError, IamResult, refused};

/// More parameters than any request has.
const MAX_PARAMETERS: usize = 1000;

/// Parameters by name. Lists are written `Name.member.1`, structures in them `Name.member.1.Field`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a form.
    ///
    /// # Errors
    /// [`IamCode::MalformedQueryString`]: it is no form, has a parameter twice, or too many.
    pub(crate) fn parse(text: &[u8]) -> IamResult<Self> {
        let mut all = BTreeMap::new();
        for pair in text.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|&b| b == b'=');
            let (name, value) = at.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
            let is_new = all.insert(decode(name)?, decode(value)?).is_none();
            if !is_new || all.len() > MAX_PARAMETERS {
                return Err(malformed());
            }
        }
        Ok(Self(all))
    }

    /// A parameter that may be missing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// [`IamCode::ValidationError`].
    pub(crate) fn need(&self, name: &str) -> IamResult<&str> {
        self.get(name).ok_or_else(|| {
            let message = format!(
                "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
                lower_first(name)
            );
            IamError::new(IamCode::ValidationError, message)
        })
    }

    /// `true` or `false`; `None` where it is missing.
    ///
    /// # Errors
    /// [`IamCode::ValidationError`].
    pub(crate) fn flag(&self, name: &str) -> IamResult<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => refused(
                IamCode::ValidationError,
                format!("{name} is true or false, not {other:?}"),
            ),
        }
    }

    /// A whole number; `None` where it is missing.
    ///
    /// # Errors
    /// [`IamCode::ValidationError`].
    pub(crate) fn number(&self, name: &str) -> IamResult<Option<u64>> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                IamError::new(IamCode::ValidationError, format!("{name} is no number"))
            })
        };
        self.get(name).map(parse).transpose()
    }

    /// The entries of a list, by number.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let prefix = format!("{name}.member.");
        let mut found: Vec<(u32, &str)> = self
            .below(&prefix)
            .filter_map(|(rest, value)| Some((rest.parse().ok()?, value)))
            .collect();
        found.sort_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// The structures of a list, by number; of each its fields in the order of `fields`.
    pub(crate) fn structures<const N: usize>(
        &self,
        name: &str,
        fields: [&str; N],
    ) -> Vec<[Option<&str>; N]> {
        let prefix = format!("{name}.member.");
        let mut found = BTreeMap::<u32, [Option<&str>; N]>::new();
        for (rest, value) in self.below(&prefix) {
            let Some((number, field)) = rest.split_once('.') else {
                continue;
            };
            let at = fields.iter().position(|known| *known == field);
            if let (Ok(number), Some(at)) = (number.parse(), at) {
                found.entry(number).or_insert([None; N])[at] = Some(value);
            }
        }
        found.into_values().collect()
    }

    fn below<'a, 'p>(
        &'a self,
        prefix: &'p str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a, 'p> {
        let from = self.0.range(prefix.to_owned()..);
        from.map_while(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

fn decode(text: &[u8]) -> IamResult<String> {
    let spaced: Cow<'_, [u8]> = if text.contains(&b'+') {
        text.iter()
            .map(|&b| if b == b'+' { b' ' } else { b })
            .collect()
    } else {
        text.into()
    };
    let decoded = percent_decode(&spaced).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| malformed())
}

fn malformed() -> IamError {
    IamError::new(
        IamCode::MalformedQueryString,
        "The query string contains a syntax error.",
    )
}

/// `UserName` as AWS's messages write it: `userName`.
pub(super) fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_come_by_number_and_structures_by_field() {
        let text = "Tags.member.10.Key=z&Tags.member.2.Key=a+b&Tags.member.2.Value=%C3%BC&Keys.member.10=last&Keys.member.9=first&KeysOther=x";
        let form = Form::parse(text.as_bytes()).unwrap();
        assert_eq!(form.list("Keys"), ["first", "last"]);
        assert_eq!(
            form.structures("Tags", ["Key", "Value"]),
            [[Some("a b"), Some("ü")], [Some("z"), None]]
        );
        assert!(form.list("Tags").is_empty() && form.structures("Keys", ["Key"]).is_empty());
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for text in ["a=1&a=2", "a=%ff", "%ff=a"] {
            let error = Form::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.code(), IamCode::MalformedQueryString, "{text}");
        }
        let many: Vec<_> = (0..=MAX_PARAMETERS).map(|n| format!("p{n}=")).collect();
        assert!(Form::parse(many.join("&").as_bytes()).is_err());
        assert!(Form::parse(many[1..].join("&").as_bytes()).is_ok());
    }

    #[test]
    fn parameters_that_lack_or_are_wrong_are_named() {
        let form = Form::parse(b"Flag=maybe&Number=x&Yes=true&Seven=7").unwrap();
        assert!(
            form.need("UserName")
                .unwrap_err()
                .message()
                .contains("'userName'")
        );
        assert_eq!(form.flag("Yes").unwrap(), Some(true));
        assert_eq!(form.number("Seven").unwrap(), Some(7));
        assert_eq!(
            (form.flag("No").unwrap(), form.number("No").unwrap()),
            (None, None)
        );
        assert!(form.flag("Flag").is_err() && form.number("Number").is_err());
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read(fields in prop::collection::btree_map(".{1,12}", ".{0,20}", 0..8)) {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let text: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
            let form = Form::parse(text.join("&").as_bytes()).unwrap();
            prop_assert_eq!(form.0, fields);
        }

        #[test]
        fn nothing_panics(text in prop::collection::vec(any::<u8>(), 0..200), name in ".{0,8}") {
            if let Ok(form) = Form::parse(&text) {
                form.list(&name);
                form.structures(&name, ["Key", "Value"]);
                drop((form.need(&name), form.flag(&name), form.number(&name)));
            }
        }
    }
}
