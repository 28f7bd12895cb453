//! How tags keep parameters: `key=value@key=value`, in the characters that tags may have, continued in further tags.

use std::collections::BTreeSet;

use crate::{backend::Tags, provision::Parameters};

/// What fits into the value of one tag.
const MAX_CHARS: usize = 256;

/// Writes parameters in letters, digits and `_.:/-`, `=` between key and value, `@` between pairs; every other byte as `+` and two digits.
pub fn encode(parameters: &Parameters) -> String {
    let pair = |(key, value): (&String, &String)| format!("{}={}", escaped(key), escaped(value));
    parameters.iter().map(pair).collect::<Vec<_>>().join("@")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.:/-".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('+');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

/// Reads what [`encode`] wrote; `None` where it is something else.
pub fn decode(text: &str) -> Option<Parameters> {
    if text.is_empty() {
        return Some(Parameters::new());
    }
    let mut found = Parameters::new();
    for pair in text.split('@') {
        let (key, value) = pair.split_once('=')?;
        found.insert(unescaped(key)?, unescaped(value)?);
    }
    Some(found)
}

fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('+');
    let mut out = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        out.extend(hex::decode(digits).ok()?);
        out.extend(rest.as_bytes());
    }
    String::from_utf8(out).ok()
}

/// Puts a text of ASCII into as many tags as it takes: `key`, `key.2`, `key.3` …; none for an empty one.
pub fn put(tags: &mut Tags, key: &str, text: &str) {
    let bytes: Vec<char> = text.chars().collect();
    for (i, chunk) in bytes.chunks(MAX_CHARS).enumerate() {
        tags.insert(name(key, i), chunk.iter().collect());
    }
}

/// Takes together what [`put`] has put; empty where there is nothing.
pub fn get(tags: &Tags, key: &str) -> String {
    let chunks = (0..).map_while(|i| tags.get(&name(key, i)));
    chunks.map(String::as_str).collect()
}

fn name(key: &str, i: usize) -> String {
    match i {
        0 => key.to_owned(),
        i => format!("{key}.{}", i + 1),
    }
}

/// What differs, key by key, in words.
pub fn differences(there: &Parameters, asked: &Parameters) -> Vec<String> {
    let keys: BTreeSet<_> = there.keys().chain(asked.keys()).collect();
    let word =
        |of: &Parameters, key: &String| of.get(key).map_or("not set".to_owned(), Clone::clone);
    let differs = keys
        .into_iter()
        .filter(|key| there.get(*key) != asked.get(*key));
    let line = |key: &String| {
        let (there, asked) = (word(there, key), word(asked, key));
        format!("{key} is {there}, asked for is {asked}")
    };
    differs.map(line).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Parameters {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn texts_are_readable() {
        let parameters = of(&[("quotaBytes", "1024"), ("tags", "a=b,c=ü")]);
        let text = encode(&parameters);
        assert_eq!(text, "quotaBytes=1024@tags=a+3Db+2Cc+3D+C3+BC");
        assert_eq!(decode(&text), Some(parameters));
        assert_eq!(decode(""), Some(Parameters::new()));
        for wrong in ["a", "a=+", "a=+4", "a=+zz", "a=+ff", "a=+é"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_differs_is_told() {
        let there = of(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let asked = of(&[("a", "1"), ("b", "4"), ("d", "5")]);
        assert_eq!(
            differences(&there, &asked),
            [
                "b is 2, asked for is 4",
                "c is 3, asked for is not set",
                "d is not set, asked for is 5"
            ]
        );
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(parameters in prop::collection::btree_map(".*", ".*", 0..4)) {
            let text = encode(&parameters);
            let may_be = |c: char| c.is_ascii_alphanumeric() || "_.:/-+=@".contains(c);
            prop_assert!(text.chars().all(may_be));
            let is_empty_pair = parameters.is_empty();
            prop_assert_eq!(decode(&text), Some(parameters));
            prop_assert_eq!(text.is_empty(), is_empty_pair);
        }

        #[test]
        fn nothing_decoded_panics(text in ".*") {
            let _ = decode(&text);
        }

        #[test]
        fn long_texts_are_continued(text in "[a-z]{0,1200}") {
            let mut tags = Tags::new();
            put(&mut tags, "k", &text);
            prop_assert!(tags.values().all(|value| value.len() <= MAX_CHARS));
            prop_assert_eq!(tags.len(), text.len().div_ceil(MAX_CHARS));
            prop_assert_eq!(get(&tags, "k"), text);
        }
    }
}
