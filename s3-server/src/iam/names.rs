//! Names, paths and tags by IAM's rules, and identifiers in AWS's form.

use larder_storage::{objects::AccountId, rng::Rng};
use serde::{Deserialize, Serialize};

use super::{
    document::{Node, text},
    error::{IamCode, IamResult, refused},
    form::{Form, lower_first},
};

const MAX_PATH_CHARS: usize = 512;
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY_CHARS: usize = 128;
const MAX_TAG_VALUE_CHARS: usize = 256;
/// After the four letters that say what it is.
const ID_CHARS: usize = 17;
const ACCESS_KEY_CHARS: usize = 16;
const SECRET_CHARS: usize = 40;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A tag of a user, role or policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tag {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// `name` if something can be called so: at most `max` letters, digits and `+=,.@_-`.
pub(super) fn check_name<'a>(parameter: &str, name: &'a str, max: usize) -> IamResult<&'a str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
    if name.is_empty() || name.len() > max {
        let which = if name.is_empty() { "greater" } else { "less" };
        let bound = if name.is_empty() { 1 } else { max };
        return refused(
            IamCode::ValidationError,
            format!(
                "1 validation error detected: Value at '{}' failed to satisfy constraint: Member must have length {which} than or equal to {bound}",
                lower_first(parameter)
            ),
        );
    }
    if name.bytes().all(fits) {
        return Ok(name);
    }
    refused(
        IamCode::ValidationError,
        format!(
            "The specified value for {} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-",
            lower_first(parameter)
        ),
    )
}

/// A path, `/` where none is given.
pub(super) fn path(form: &Form, parameter: &str) -> IamResult<String> {
    let path = form.get(parameter).unwrap_or("/");
    let is_path = path.len() <= MAX_PATH_CHARS
        && path.starts_with('/')
        && path.ends_with('/')
        && path.bytes().all(|b| b.is_ascii_graphic());
    if is_path {
        return Ok(path.to_owned());
    }
    refused(
        IamCode::ValidationError,
        format!(
            "The specified value for {} is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.",
            lower_first(parameter)
        ),
    )
}

/// The tags of `Tags`, beside those that there are already: a key that is there gets the new value.
pub(super) fn tags(form: &Form, existing: &[Tag]) -> IamResult<Vec<Tag>> {
    let mut all = existing.to_vec();
    let mut seen = Vec::new();
    for [key, value] in form.structures("Tags", ["Key", "Value"]) {
        let tag = Tag {
            key: key.unwrap_or_default().to_owned(),
            value: value.unwrap_or_default().to_owned(),
        };
        check_tag(&tag)?;
        let is_same = |other: &str| other.eq_ignore_ascii_case(&tag.key);
        if seen.iter().any(|key: &String| is_same(key)) {
            let message =
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return refused(IamCode::InvalidInput, message);
        }
        seen.push(tag.key.clone());
        match all.iter().position(|tag| is_same(&tag.key)) {
            Some(at) => all[at] = tag,
            None => all.push(tag),
        }
    }
    if all.len() > MAX_TAGS {
        let message = format!("The number of tags has reached the maximum limit of {MAX_TAGS}.");
        return refused(IamCode::LimitExceeded, message);
    }
    Ok(all)
}

/// `existing` without the keys of `TagKeys`.
pub(super) fn without_tags(form: &Form, existing: &[Tag]) -> Vec<Tag> {
    let gone = form.list("TagKeys");
    let stays = |tag: &&Tag| !gone.iter().any(|key| key.eq_ignore_ascii_case(&tag.key));
    existing.iter().filter(stays).cloned().collect()
}

fn check_tag(tag: &Tag) -> IamResult<()> {
    let fits = |text: &str| {
        let may_be = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
        text.chars().all(may_be)
    };
    let key_chars = tag.key.chars().count();
    let is_good = (1..=MAX_TAG_KEY_CHARS).contains(&key_chars)
        && tag.value.chars().count() <= MAX_TAG_VALUE_CHARS
        && fits(&tag.key)
        && fits(&tag.value);
    let is_reserved = tag
        .key
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    if is_reserved {
        let message = "Tag keys that start with aws: are reserved for system use.";
        return refused(IamCode::InvalidInput, message);
    }
    if is_good {
        return Ok(());
    }
    let message = "1 validation error detected: Value at 'tags' failed to satisfy constraint: keys have 1 to 128 and values up to 256 letters, digits, spaces and _.:/=+-@";
    refused(IamCode::ValidationError, message)
}

/// A tag as answers have it.
pub(super) fn tag_nodes(tag: &Tag) -> Vec<Node> {
    vec![text("Key", &*tag.key), text("Value", &*tag.value)]
}

/// The name that AWS gives what has a path: `arn:aws:iam::<account>:<kind><path><name>`.
pub(super) fn arn(account: AccountId, kind: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}

/// An identifier that nobody has, nor ever had: `AIDA…` for users, `AGPA…`, `AROA…`, `ANPA…`.
pub(super) fn unique_id(rng: &dyn Rng, prefix: &str) -> String {
    drawn(rng, prefix, BASE32, ID_CHARS)
}

/// A new access key: `AKIA…`, or `ASIA…` for one that ends by itself.
pub(super) fn access_key(rng: &dyn Rng, prefix: &str) -> String {
    drawn(rng, prefix, BASE32, ACCESS_KEY_CHARS)
}

/// A new secret: 240 random bits.
pub(super) fn secret(rng: &dyn Rng) -> String {
    drawn(rng, "", BASE64, SECRET_CHARS)
}

fn drawn<const N: usize>(rng: &dyn Rng, prefix: &str, alphabet: &[u8; N], chars: usize) -> String {
    let draw = || {
        let number = usize::try_from(rng.next_u64() % N as u64).unwrap_or_default();
        char::from(alphabet[number])
    };
    prefix.chars().chain((0..chars).map(|_| draw())).collect()
}

#[cfg(test)]
mod tests {
    use larder_storage::rng::SystemRng;

    use super::*;

    fn form(text: &str) -> Form {
        Form::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_are_checked_as_aws_checks_them() {
        assert_eq!(
            check_name("UserName", "a+=,.@_-9", 64).unwrap(),
            "a+=,.@_-9"
        );
        for name in ["", "a b", "a/b", "ü", &"a".repeat(65)] {
            let error = check_name("UserName", name, 64).unwrap_err();
            assert_eq!(error.code(), IamCode::ValidationError);
            assert!(error.message().contains("userName"), "{}", error.message());
        }
    }

    #[test]
    fn paths_begin_and_end_with_a_slash() {
        assert_eq!(path(&form(""), "Path").unwrap(), "/");
        assert_eq!(path(&form("Path=/a/b/"), "Path").unwrap(), "/a/b/");
        for text in ["", "a", "/a", "a/", "/%C3%BC/", "/a b/"] {
            assert!(
                path(&form(&format!("Path={text}")), "Path").is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn tags_replace_each_other_whatever_their_case() {
        let first = tags(&form("Tags.member.1.Key=Team&Tags.member.1.Value=a"), &[]).unwrap();
        let second = tags(
            &form("Tags.member.1.Key=team&Tags.member.1.Value=b"),
            &first,
        )
        .unwrap();
        assert_eq!(second.len(), 1);
        assert_eq!((&*second[0].key, &*second[0].value), ("team", "b"));
        assert!(without_tags(&form("TagKeys.member.1=TEAM"), &second).is_empty());
        let twice = "Tags.member.1.Key=a&Tags.member.2.Key=A";
        assert_eq!(
            tags(&form(twice), &[]).unwrap_err().code(),
            IamCode::InvalidInput
        );
        let reserved = "Tags.member.1.Key=AWS:x";
        assert_eq!(
            tags(&form(reserved), &[]).unwrap_err().code(),
            IamCode::InvalidInput
        );
        let many: Vec<_> = (0..51)
            .map(|n| format!("Tags.member.{n}.Key=k{n}"))
            .collect();
        let error = tags(&form(&many.join("&")), &[]).unwrap_err();
        assert_eq!(error.code(), IamCode::LimitExceeded);
    }

    #[test]
    fn identifiers_look_like_those_of_aws() {
        let rng = SystemRng;
        let id = unique_id(&rng, "AIDA");
        assert!(id.len() == 21 && id.starts_with("AIDA"));
        assert_ne!(id, unique_id(&rng, "AIDA"));
        assert_eq!(access_key(&rng, "AKIA").len(), 20);
        assert_eq!(secret(&rng).len(), 40);
    }
}
