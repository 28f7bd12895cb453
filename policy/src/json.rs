//! JSON as policies are written in it: no key twice in an object, order kept.

use std::{collections::HashSet, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::error::PolicyError;

/// A value. Numbers and truth values are kept as their text, which is all that policies use of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    /// A number or a truth value.
    Plain(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Reads an object.
///
/// # Errors
/// [`PolicyError::NoObject`], [`PolicyError::NoJson`]; [`PolicyError::Syntax`] for a key that is there twice.
pub(crate) fn object(bytes: &[u8]) -> Result<Vec<(String, Json)>, PolicyError> {
    if bytes.first() != Some(&b'{') {
        return Err(PolicyError::NoObject);
    }
    match serde_json::from_slice(bytes) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(PolicyError::NoObject),
        Err(error) if error.is_data() => Err(PolicyError::Syntax),
        Err(_) => Err(PolicyError::NoJson),
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some(member) = entries.next_entry()? {
            members.push(member);
        }
        let mut names = HashSet::new();
        if members.iter().all(|(name, _)| names.insert(name.as_str())) {
            return Ok(Json::Object(members));
        }
        Err(A::Error::custom("a key is there twice"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_order_is_kept() {
        let members = object(br#"{"b":1,"a":[true,null,"x",-2,1.5]}"#).expect("an object");
        let plain = |text: &str| Json::Plain(text.to_owned());
        let list = vec![
            plain("true"),
            Json::Null,
            Json::Text("x".to_owned()),
            plain("-2"),
            plain("1.5"),
        ];
        assert_eq!(members[0], ("b".to_owned(), plain("1")));
        assert_eq!(members[1], ("a".to_owned(), Json::List(list)));
        assert_eq!(object(br#"{"a":1,"a":1}"#), Err(PolicyError::Syntax));
        assert_eq!(
            object(br#"{"x":{"a":1,"\u0061":1}}"#),
            Err(PolicyError::Syntax)
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for (text, error) in [
            ("", PolicyError::NoObject),
            ("[]", PolicyError::NoObject),
            (" {}", PolicyError::NoObject),
            ("{", PolicyError::NoJson),
            ("{}x", PolicyError::NoJson),
            ("{'a':1}", PolicyError::NoJson),
            ("{\"a\":1e999}", PolicyError::NoJson),
        ] {
            assert_eq!(object(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(PolicyError::NoJson));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(object(deep.as_bytes()), Err(PolicyError::NoJson));
    }
}
