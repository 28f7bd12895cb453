//! `ServerSideEncryptionConfiguration`.

use super::{MAX_SMALL_BYTES, XmlError, cursor::Cursor, malformed};

/// How a bucket is to keep objects whose requests don't say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultEncryption {
    /// Under the server's keys.
    Aes256 {
        /// Kept and shown; it means nothing without a KMS.
        bucket_key: bool,
    },
    /// In a way that AWS knows and Larder does not.
    Unbuilt,
}

#[derive(Default)]
struct Rule {
    algorithm: Option<String>,
    has_key_id: bool,
    bucket_key: bool,
    blocks: bool,
}

/// Parses `ServerSideEncryptionConfiguration`, which has one rule.
///
/// # Errors
/// [`XmlError::Malformed`] and [`XmlError::TooLarge`].
pub fn bucket_encryption(body: &[u8]) -> Result<DefaultEncryption, XmlError> {
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
    decide(&found.ok_or(malformed("no rule"))?)
}

fn decide(rule: &Rule) -> Result<DefaultEncryption, XmlError> {
    match rule.algorithm.as_deref() {
        _ if rule.blocks => Ok(DefaultEncryption::Unbuilt),
        Some("AES256") if rule.has_key_id => Err(malformed("a key id without aws:kms")),
        Some("AES256") => Ok(DefaultEncryption::Aes256 {
            bucket_key: rule.bucket_key,
        }),
        Some("aws:kms" | "aws:kms:dsse") => Ok(DefaultEncryption::Unbuilt),
        _ => Err(malformed("unknown algorithm")),
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
            "KMSMasterKeyID" => rule.has_key_id = !cursor.text()?.trim().is_empty(),
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

    fn of(rule: &str) -> Result<DefaultEncryption, XmlError> {
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
        assert_eq!(
            apply(aes, ""),
            Ok(DefaultEncryption::Aes256 { bucket_key: false })
        );
        assert_eq!(
            apply(aes, key),
            Ok(DefaultEncryption::Aes256 { bucket_key: true })
        );
        let kms = "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID>";
        assert_eq!(apply(kms, ""), Ok(DefaultEncryption::Unbuilt));
        let blocked = "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>";
        assert_eq!(apply(aes, blocked), Ok(DefaultEncryption::Unbuilt));
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
