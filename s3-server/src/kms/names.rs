//! What clients call keys: a name, an alias, or the ARN of either.

use larder_storage::objects::AccountId;

use super::{KmsError, MANAGED};
use crate::keyring::KeyId;

/// A key as somebody calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// `aws/s3`: the key of whoever names none.
    Default,
    /// One of this name.
    Named(KeyId),
}

impl Asked {
    /// Reads a name (`backups`), an alias (`alias/backups`), or an ARN (`arn:aws:kms:us-east-1:000000000000:key/backups`, or with `alias/`). Keys are
    /// the server's: of its region, and of the operator's account.
    ///
    /// # Errors
    /// [`KmsError::InvalidName`], [`KmsError::NotFound`] for keys of elsewhere.
    pub(crate) fn parse(text: &str, region: &str) -> Result<Self, KmsError> {
        let invalid = || KmsError::InvalidName(text.to_owned());
        let name = match text.strip_prefix("arn:") {
            Some(_) => {
                let mut fields = text.splitn(6, ':');
                let mut field = || fields.next().unwrap_or_default();
                if [field(), field(), field()] != ["arn", "aws", "kms"] {
                    return Err(invalid());
                }
                let (of_region, account) = (field(), field());
                let is_ours = of_region == region && account == AccountId::default().to_string();
                let resource = field();
                let name = resource.strip_prefix("key/");
                let name = name.or_else(|| resource.strip_prefix("alias/"));
                let name = name.ok_or_else(invalid)?;
                if !is_ours {
                    return Err(KmsError::NotFound(text.to_owned()));
                }
                name
            }
            None => text.strip_prefix("alias/").unwrap_or(text),
        };
        if name == MANAGED {
            return Ok(Self::Default);
        }
        name.parse().map(Self::Named).map_err(|()| invalid())
    }
}

/// The ARN of a key.
pub(super) fn arn(region: &str, name: &str) -> String {
    format!("arn:aws:kms:{region}:{}:key/{name}", AccountId::default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Result<Asked, KmsError> {
        Asked::parse(text, "here")
    }

    #[test]
    fn keys_have_a_name_an_alias_and_an_arn_of_each() {
        let named = Asked::Named("k-1".parse().unwrap());
        for text in [
            "k-1",
            "alias/k-1",
            "arn:aws:kms:here:000000000000:key/k-1",
            "arn:aws:kms:here:000000000000:alias/k-1",
        ] {
            assert_eq!(of(text).unwrap(), named, "{text}");
        }
        for text in ["aws/s3", "alias/aws/s3", &arn("here", "aws/s3")] {
            assert_eq!(of(text).unwrap(), Asked::Default, "{text}");
        }
    }

    #[test]
    fn what_no_key_is_called_is_told_from_keys_of_elsewhere() {
        for text in [
            "",
            "a b",
            "alias/",
            "arn:aws:iam::1:user/a",
            "arn:aws:kms:here:000000000000:k",
            "aws/s4",
        ] {
            assert!(matches!(of(text), Err(KmsError::InvalidName(_))), "{text}");
        }
        for text in [
            "arn:aws:kms:there:000000000000:key/k",
            "arn:aws:kms:here:123456789012:key/k",
        ] {
            assert!(matches!(of(text), Err(KmsError::NotFound(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_arn_is_read_again(name in "[a-z0-9._-]{1,64}", any in "\\PC{0,40}") {
            prop_assert_eq!(of(&arn("here", &name)).unwrap(), Asked::Named(name.parse().unwrap()));
            drop(of(&any));
        }
    }
}
