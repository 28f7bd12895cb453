//! The condition keys of a request.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    net::IpAddr,
};

use crate::date;

/// One value of a condition key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Bool(bool),
    /// An address.
    Ip(IpAddr),
    /// A time, in milliseconds since 1970.
    Time(i64),
}

/// The values of a condition key: none counts as a key that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values<'a> {
    /// A key that has one value.
    One(Value<'a>),
    /// A key that may have several.
    Many(Vec<Value<'a>>),
}

/// The condition keys of a request, filled by the caller.
///
/// Only keys that the request has are set: that a key is missing decides as well. Names are compared without regard to case.
#[derive(Clone, Debug, Default)]
pub struct Context<'a> {
    entries: Vec<(Cow<'a, str>, Values<'a>)>,
}

impl<'a> Context<'a> {
    /// A context without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key; what it was is forgotten.
    pub fn set(&mut self, key: impl Into<Cow<'a, str>>, values: impl Into<Values<'a>>) {
        let (key, values) = (key.into(), values.into());
        match self
            .entries
            .iter_mut()
            .find(|(k, _)| k.eq_ignore_ascii_case(&key))
        {
            Some(entry) => entry.1 = values,
            None => self.entries.push((key, values)),
        }
    }

    /// As [`Context::set`], where there is a value.
    pub fn set_some<V: Into<Values<'a>>>(
        &mut self,
        key: impl Into<Cow<'a, str>>,
        value: Option<V>,
    ) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// The values of a key.
    pub fn get(&self, key: &str) -> &[Value<'a>] {
        let found = self
            .entries
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(key));
        found.map_or(&[], |(_, values)| values.as_slice())
    }

    /// The value of a key that has just one.
    pub(crate) fn single(&self, key: &str) -> Option<&Value<'a>> {
        match self.get(key) {
            [value] => Some(value),
            _ => None,
        }
    }
}

impl<'a> Values<'a> {
    fn as_slice(&self) -> &[Value<'a>] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl Value<'_> {
    /// The value as text.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            _ => Cow::Owned(self.with_text(str::to_owned)),
        }
    }

    /// What `look` makes of the value as text; nothing is allocated.
    pub(crate) fn with_text<R>(&self, look: impl FnOnce(&str) -> R) -> R {
        let mut buffer = Buffer {
            bytes: [0; 48],
            length: 0,
        };
        let written = match self {
            Self::Text(text) => return look(text),
            Self::Number(number) => write!(buffer, "{number}"),
            Self::Bool(truth) => write!(buffer, "{truth}"),
            Self::Ip(address) => write!(buffer, "{}", address.to_canonical()),
            Self::Time(unix_millis) => date::write(*unix_millis, &mut buffer),
        };
        debug_assert!(
            written.is_ok(),
            "the buffer takes every number, address and date"
        );
        look(buffer.as_str())
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => parse_number(text),
            #[expect(
                clippy::cast_precision_loss,
                reason = "beyond 2^53 neighbours are equal"
            )]
            Self::Number(number) => Some(*number as f64),
            #[expect(
                clippy::cast_precision_loss,
                reason = "beyond 2^53 neighbours are equal"
            )]
            Self::Time(unix_millis) => Some(unix_millis.div_euclid(1000) as f64),
            Self::Bool(_) | Self::Ip(_) => None,
        }
    }

    pub(crate) fn time(&self) -> Option<i64> {
        match self {
            Self::Text(text) => date::parse(text),
            Self::Number(seconds) => seconds.checked_mul(1000),
            Self::Time(unix_millis) => Some(*unix_millis),
            Self::Bool(_) | Self::Ip(_) => None,
        }
    }

    pub(crate) fn truth(&self) -> Option<bool> {
        match self {
            Self::Text(text) => parse_bool(text),
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Ip(address) => Some(*address),
            _ => None,
        }
    }
}

/// A whole or decimal number as policies write it: no infinity, no `NaN`, no exponent.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_number.then(|| text.parse().ok())?
}

pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<IpAddr> for Value<'_> {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl<'a, V: Into<Value<'a>>> From<V> for Values<'a> {
    fn from(value: V) -> Self {
        Self::One(value.into())
    }
}

impl<'a> From<Vec<Value<'a>>> for Values<'a> {
    fn from(values: Vec<Value<'a>>) -> Self {
        Self::Many(values)
    }
}

/// Room for the longest text that is no text: an IPv6 address.
struct Buffer {
    bytes: [u8; 48],
    length: usize,
}

impl Buffer {
    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_whatever_their_case() {
        let mut context = Context::new();
        context.set("aws:SourceIp", "1.2.3.4");
        context.set("AWS:sourceip", "1.2.3.5");
        context.set_some("s3:prefix", None::<&str>);
        assert_eq!(context.get("aws:sourceIP"), &[Value::from("1.2.3.5")]);
        assert_eq!(context.get("s3:prefix"), &[]);
        context.set("aws:TagKeys", vec![Value::from("a"), Value::from("b")]);
        assert_eq!(context.get("aws:tagkeys").len(), 2);
        assert_eq!(context.single("aws:tagkeys"), None);
    }

    #[test]
    fn all_values_have_a_text() {
        let text = |value: Value<'_>| value.text().into_owned();
        assert_eq!(text(Value::from(i64::MIN)), i64::MIN.to_string());
        assert_eq!(text(Value::from(true)), "true");
        assert_eq!(text(Value::Time(0)), "1970-01-01T00:00:00Z");
        assert_eq!(text(Value::Time(i64::MAX)).len(), 25);
        assert_eq!(text(Value::Time(i64::MIN)).len(), 26);
        let long = "1111:2222:3333:4444:5555:6666:7777:8888";
        assert_eq!(text(Value::Ip(long.parse().expect("an address"))), long);
        let mapped = "::ffff:1.2.3.4".parse().expect("an address");
        assert_eq!(text(Value::Ip(mapped)), "1.2.3.4");
    }
}
