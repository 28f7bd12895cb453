//! `ServerSideEncryptionConfiguration`.

use super::{MAX_SMALL_BYTES, XmlError, cursor::Cursor, malformed};

/// How a bucket is to keep objects whose requests don't say. `Default`: under the server's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultEncryption {
    /// Under a key that is called by name: which, or the one of whoever names none.
    pub kms: Option<Option<String>>,
    /// Whether one wrapping key is for many objects; kept and shown, and without meaning where no key is called by name.
    pub bucket_key: bool,
}

/// The longest name of a key.
const MAX_KEY_ID_CHARS: usize = 2048;

#[derive(Default)]
struct Rule {
    algorithm: Option<String>,
    key_id: Option<String>,
    bucket_key: bool,
    blocks: bool,
}

/// Parses `ServerSideEncryptionConfiguration`, which has one rule; `None` for one that AWS knows and Larder does not.
///
/// # Errors
/// [`XmlError::Malformed`] and [`XmlError::TooLarge`].
pub fn bucket_encryption(body: &[u8]) -> Result<Option<DefaultEncryption>, XmlError> {
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("ServerSideEncryptionConfiguration")?;
    let mut found = None;
    while let Some(name) = cursor.next_child()? {
        match name {
            "Rule" if found.is_none() => found = Some(rule(&mut cursor)?),
            "Rule" => return Err(malformed("more than one rule")),
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    decide(found.ok_or(malformed("no rule"))?)
}

fn decide(rule: Rule) -> Result<Option<DefaultEncryption>, XmlError> {
    let kms = match rule.algorithm.as_deref() {
        _ if rule.blocks => return Ok(None),
        Some("AES256") if rule.key_id.is_some() => {
            return Err(malformed("a key id without aws:kms"));
        }
        Some("AES256") => None,
        Some("aws:kms") => Some(rule.key_id),
        Some("aws:kms:dsse") => return Ok(None),
        _ => return Err(malformed("unknown algorithm")),
    };
    Ok(Some(DefaultEncryption {
        kms,
        bucket_key: rule.bucket_key,
    }))
}

fn key_id(text: &str) -> Result<Option<String>, XmlError> {
    let is_one = |text: &str| text.chars().count() <= MAX_KEY_ID_CHARS && !text.contains(' ');
    match text.trim() {
        "" => Ok(None),
        id if is_one(id) => Ok(Some(id.to_owned())),
        _ => Err(malformed("a key id that no key can have")),
    }
}

fn rule(cursor: &mut Cursor<'_>) -> Result<Rule, XmlError> {
    let mut rule = Rule::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "ApplyServerSideEncryptionByDefault" => default(cursor, &mut rule)?,
            "BucketKeyEnabled" => {
                rule.bucket_key = match cursor.text()?.trim() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(malformed("neither true nor false")),
                }
            }
            "BlockedEncryptionTypes" => rule.blocks |= blocks(cursor)?,
            _ => cursor.skip()?,
        }
    }
    Ok(rule)
}

fn default(cursor: &mut Cursor<'_>, rule: &mut Rule) -> Result<(), XmlError> {
    while let Some(name) = cursor.next_child()? {
        match name {
            "SSEAlgorithm" => rule.algorithm = Some(cursor.text()?.trim().to_owned()),
            "KMSMasterKeyID" => rule.key_id = key_id(&cursor.text()?)?,
            _ => cursor.skip()?,
        }
    }
    Ok(())
}

/// Whether anything is blocked.
fn blocks(cursor: &mut Cursor<'_>) -> Result<bool, XmlError> {
    let mut blocks = false;
    while let Some(name) = cursor.next_child()? {
        match name {
            "EncryptionType" => blocks |= cursor.text()?.trim() != "NONE",
            _ => cursor.skip()?,
        }
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rule: &str) -> Result<Option<DefaultEncryption>, XmlError> {
        let body = format!(
            "<ServerSideEncryptionConfiguration xmlns=\"x\">{rule}</ServerSideEncryptionConfiguration>"
        );
        bucket_encryption(body.as_bytes())
    }

    #[test]
    fn one_rule_with_an_algorithm() {
        let apply = |what: &str, more: &str| {
            of(&format!(
                "<Rule><ApplyServerSideEncryptionByDefault>{what}</ApplyServerSideEncryptionByDefault>{more}</Rule>"
            ))
        };
        let aes = "<SSEAlgorithm>AES256</SSEAlgorithm>";
        let key = "<BucketKeyEnabled>true</BucketKeyEnabled>";
        let default = |kms, bucket_key| Ok(Some(DefaultEncryption { kms, bucket_key }));
        assert_eq!(apply(aes, ""), default(None, false));
        assert_eq!(apply(aes, key), default(None, true));
        let kms = "<SSEAlgorithm>aws:kms</SSEAlgorithm>";
        let named = format!("{kms}<KMSMasterKeyID> k </KMSMasterKeyID>");
        assert_eq!(apply(kms, key), default(Some(None), true));
        assert_eq!(
            apply(&named, ""),
            default(Some(Some("k".to_owned())), false)
        );
        assert!(apply(&named.replace(" k ", "a b"), "").is_err());
        assert_eq!(
            apply("<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>", ""),
            Ok(None)
        );
        let blocked = "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>";
        assert_eq!(apply(aes, blocked), Ok(None));
        assert!(
            apply(
                "<SSEAlgorithm>AES256</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID>",
                ""
            )
            .is_err()
        );
        assert!(apply("<SSEAlgorithm>ROT13</SSEAlgorithm>", "").is_err());
        assert!(apply("", "").is_err());
        assert!(apply(aes, "<BucketKeyEnabled>yes</BucketKeyEnabled>").is_err());
        assert!(of("").is_err());
        assert!(of("<Rule></Rule><Rule></Rule>").is_err());
    }
}
